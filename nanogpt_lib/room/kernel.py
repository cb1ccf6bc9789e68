"""The end of each notebook's set-up cell: what the kernel needs beside the library itself."""

import atexit
import os
import shlex
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

from nanogpt_lib.machine.paths import LIBRARY
from nanogpt_lib.room.display import in_notebook

COMMAND = "nanogpt"


def fingerprint() -> dict[str, int]:
    """When each file of the library was last written, in nanoseconds."""
    return {str(path): path.stat().st_mtime_ns for path in LIBRARY.rglob("*.py")}


# The files as this kernel imports them. A later set-up cell finds out whether they have changed.
IMPORTED = fingerprint()


def ready() -> None:
    """Makes a kernel ready for a notebook of the course; calling it again does no harm.

    Figures appear below their cells. `!nanogpt` and `!python -m nanogpt_lib` work, also where the
    library is not installed, as in Colab. It says so if the library's files have changed since
    this kernel imported them.
    """
    if in_notebook():
        from IPython import get_ipython

        get_ipython().run_line_magic("matplotlib", "inline")
    beside = Path(sys.executable).parent
    first("PATH", beside)
    if not shutil.which(COMMAND, path=str(beside)):
        first("PYTHONPATH", LIBRARY.parent)
        first("PATH", command_folder())
    if fingerprint() != IMPORTED:
        print(
            "The course on disk is newer than the one in this kernel. Restart the kernel (in "
            "Colab: Runtime > Restart session), then run the cells again from the top."
        )


def first(variable: str, folder: Path) -> None:
    """Puts a folder before the others of an environment variable such as PATH, once."""
    known = [place for place in os.environ.get(variable, "").split(os.pathsep) if place]
    others = [place for place in known if place != str(folder)]
    os.environ[variable] = os.pathsep.join([str(folder), *others])


@cache
def command_folder() -> Path:
    """A folder with the command `nanogpt`, which runs this library with this Python.

    It is made once, and is gone when the kernel ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="nanogpt-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    script = folder / COMMAND
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m nanogpt_lib "$@"\n')
    script.chmod(0o755)
    return folder
