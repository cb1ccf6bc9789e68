"""Where things lie: the text, the runs, and the recorded runs that come with the library.

The answers are the same from a notebook, the command line, another folder and an installed wheel.
"""

import os
from importlib.resources import files
from pathlib import Path

LIBRARY = Path(str(files("nanogpt_lib")))  # the package's own folder
RECORDED = LIBRARY / "recorded"  # package data: recorded runs, and models that come trained


def checkout(folder: Path) -> Path | None:
    """The checkout of this project that holds a folder, or None."""
    for candidate in (folder, *folder.parents):
        if (candidate / "nanogpt_lib").is_dir() and (candidate / "pyproject.toml").is_file():
            return candidate
    return None


def data_dir() -> Path:
    """The folder of the text: `NANOGPT_DATA` if it is set, else `data/` of the checkout.

    That is the checkout that the library stands in, else the one that holds the current folder.
    If there is none, it is `data/` in the current folder.
    """
    if os.environ.get("NANOGPT_DATA"):
        return Path(os.environ["NANOGPT_DATA"]).expanduser()
    return (checkout(LIBRARY) or checkout(Path.cwd()) or Path.cwd()) / "data"


def runs_dir() -> Path:
    """The folder of all runs: `NANOGPT_RUNS` if it is set, else `runs/` of the checkout.

    That is the checkout that holds the current folder. If there is none, it is `runs/` in the
    current folder.
    """
    if os.environ.get("NANOGPT_RUNS"):
        return Path(os.environ["NANOGPT_RUNS"]).expanduser()
    root = checkout(Path.cwd())
    return root / "runs" if root and root != Path.cwd() else Path("runs")  # short where it can be


def advice(target: str, plain: str) -> str:
    """What to type: `make TARGET` in a checkout with its Makefile, else a plain command."""
    here = checkout(Path.cwd())
    return f"make {target}" if here and (here / "Makefile").is_file() else plain
