"""One program at a time trains in a run folder.

`process.json` in the folder names the program: its process id, and when it started, since ids are
used again. A program that was killed leaves the file behind. It is then out of date, and the next
program takes the folder over.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from nanogpt_lib.machine.files import PART, make_folder, whole_file

PROCESS = "process.json"


class FolderInUse(RuntimeError):
    """Another program trains in this folder. The message names its process id."""


def process_of(folder: str | Path) -> psutil.Process | None:
    """The process that trains in this folder, if it is alive."""
    try:
        noted = json.loads((Path(folder) / PROCESS).read_text(encoding="utf-8"))
        process = psutil.Process(noted["pid"])
        same = abs(process.create_time() - noted["created"]) < 2  # process ids are reused
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, psutil.Error):
        return None


def note_process(folder: Path, process: psutil.Process) -> None:
    """Writes down that this process trains in the folder."""
    noted = {"pid": process.pid, "created": process.create_time()}
    with whole_file(folder / PROCESS) as file:
        file.write(json.dumps(noted).encode())


def claim(folder: str | Path, start: Callable[[], int] = os.getpid) -> None:
    """Takes a folder for this process. Raises FolderInUse if another process has it.

    start: what gives the id of the process that trains; it may start that process first. Looking
    and writing are one act: if two programs come at once, one of them is refused.
    """
    folder = Path(folder)
    make_folder(folder)
    user = hashlib.sha256(os.fsencode(os.path.expanduser("~"))).hexdigest()[:16]
    door = FileLock(Path(tempfile.gettempdir(), f"nanogpt-{user}.lock"))  # one for all folders
    try:
        with door.acquire(timeout=10):
            owner = process_of(folder)
            if owner and owner.pid != os.getpid():
                raise FolderInUse(
                    f"{folder} is in use: process {owner.pid} trains there. Wait for it, stop it, "
                    "or name another folder"
                )
            with suppress(psutil.NoSuchProcess):  # it has ended already
                note_process(folder, psutil.Process(start()))
    except Timeout:
        raise FolderInUse(f"{folder} is in use: another program is just starting there") from None


def release(folder: str | Path) -> None:
    """Gives a folder back, if this process has it."""
    owner = process_of(folder)
    if owner and owner.pid == os.getpid():
        (Path(folder) / PROCESS).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes the half-written files of programs that were killed; others may be at work."""
    for path in folder.glob(f"*{PART}"):
        writer = path.name.removesuffix(PART).rpartition(".")[2]
        if not (writer.isdigit() and psutil.pid_exists(int(writer))):
            path.unlink(missing_ok=True)
