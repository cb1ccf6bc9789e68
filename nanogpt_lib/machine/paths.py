"""Where things are: the text, the runs, and the recorded runs that come with the library.

The answers are the same from a notebook, the command line, another folder and an installed wheel.
"""

import os
import shutil
from importlib.resources import files
from pathlib import Path

LIBRARY = Path(str(files("nanogpt_lib")))  # the package's own folder
RECORDED = LIBRARY / "recorded"  # package data: recorded runs and trained models


def checkout(folder: Path) -> Path | None:
    """The checkout of this project that holds a folder, or None."""
    for candidate in (folder, *folder.parents):
        if (candidate / "nanogpt_lib").is_dir() and (candidate / "pyproject.toml").is_file():
            return candidate
    return None


def data_dir() -> Path:
    """The folder of the text: `NANOGPT_DATA` if it is set, else `data/` of the checkout.

    That is the checkout that holds the library, else the one that holds the current folder.
    Without a checkout, it is `data/` in the current folder.
    """
    if os.environ.get("NANOGPT_DATA"):
        return Path(os.environ["NANOGPT_DATA"]).expanduser()
    return (checkout(LIBRARY) or checkout(Path.cwd()) or Path.cwd()) / "data"


def runs_dir() -> Path:
    """The folder of all runs: `NANOGPT_RUNS` if it is set, else `runs/` of the checkout.

    That is the checkout that holds the current folder. Without a checkout, it is `runs/` in the
    current folder.
    """
    if os.environ.get("NANOGPT_RUNS"):
        return Path(os.environ["NANOGPT_RUNS"]).expanduser()
    root = checkout(Path.cwd())
    return root / "runs" if root and root != Path.cwd() else Path("runs")  # short if possible


def advice(target: str, plain: str) -> str:
    """What to type: `make TARGET` in a checkout if make is installed, else a plain command."""
    root = checkout(Path.cwd())
    if not (root and (root / "Makefile").is_file() and shutil.which("make")):
        return plain
    return f"make {target}" if root == Path.cwd() else f"make -C {os.path.relpath(root)} {target}"


def way_to_the_course() -> str:
    """A line that says how to open the notebooks or, if they are not here, where to find them."""
    root = checkout(Path.cwd()) or checkout(LIBRARY)
    if root:
        return advice("lab", "nanogpt lab") + "    opens the course"
    from importlib.metadata import PackageNotFoundError, metadata  # slow to import, rarely needed

    try:
        urls = metadata("nanogpt-lib").get_all("Project-URL") or []
    except PackageNotFoundError:  # a bare copy of the folder
        urls = []
    address = dict(url.split(", ", 1) for url in urls).get("Repository", "its repository")
    return f"the course is at {address}"
