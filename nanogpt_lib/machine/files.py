"""Writing files so that no file is ever left half written."""

import errno
import os
import stat
import time
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 2.0  # seconds to try again while another program holds a file
PART = ".part"  # ends the name of a file that is being written


@contextmanager
def whole_file(path: Path):
    """Opens a binary file that replaces `path` only when it is whole.

    Until then `path` keeps its old content, even if the program is killed or the power fails.
    """
    make_folder(path.parent)
    temporary = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # on the disk itself before it gets its name
        replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_file(path: Path) -> bytes:
    """A file's bytes. Raises OSError for a pipe or a device; see `check_regular`."""
    check_regular(path)
    return path.read_bytes()


def check_regular(path: Path) -> None:
    """Raises OSError for a pipe or a device: it may never end, or never answer."""
    mode = path.stat().st_mode
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe (FIFO)", stat.S_IFSOCK: "a socket"}
    if not stat.S_ISREG(mode):
        what = kinds.get(stat.S_IFMT(mode), "a device")
        raise OSError(errno.EINVAL, f"it is {what}, not a file on the disk")


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it. Raises OSError with a sentence if it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        taken = isinstance(error, (FileExistsError, NotADirectoryError))
        reason = "a file or a broken link is in the way" if taken else why(error)
        raise type(error)(f"the folder {folder} cannot be made: {reason}") from None


def replace(old: Path, new: Path) -> None:
    """Renames a file, also over another one; the new name is on the disk when this returns.

    On Windows a virus scanner or a cloud drive may hold a file for a moment: it tries again for
    two seconds.
    """
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            os.replace(old, new)
            break
        except PermissionError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
    sync_folder(new.parent)


def sync_folder(folder: Path) -> None:
    """Puts the names in a folder on the disk itself, where the system can do that."""
    if os.name == "nt":  # Windows does so by itself, and cannot open a folder
        return
    try:
        place = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(place)
    except OSError:  # some network drives cannot
        pass
    finally:
        os.close(place)


def why(error: OSError) -> str:
    """The reason of an error of the disk in a few words, and the way out where there is one."""
    said = error.strerror or str(error)
    ways = {
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some space: your share of this disk is used up",
        errno.EROFS: "this disk can only be read; name a folder elsewhere",
        errno.EACCES: "you may not write there; name a folder elsewhere",
        errno.EPERM: "you may not write there; name a folder elsewhere",
        errno.ENOENT: "its folder is gone",
        errno.ENOTCONN: "the drive went away; connect it again",
        errno.EIO: "the disk does not answer as it should",
    }
    way = ways.get(error.errno or 0)
    return f"{said} ({way})" if way else said
