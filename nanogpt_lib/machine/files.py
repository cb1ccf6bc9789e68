"""Writing files so that no file is ever left half written."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path):
    """Opens a binary file that replaces `path` only when it is whole.

    Until then `path` keeps its old content, even if the program is killed or the power fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # on the disk itself before it gets its name
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
