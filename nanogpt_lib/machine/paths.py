"""Where things are: the text, the runs, and the recorded runs that come with the library.

The answers are the same from a notebook, the command line, another folder and an installed wheel.
"""

import os
import re
import shlex
import shutil
import sys
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


def command_line(*words, windows: bool = os.name == "nt") -> str:
    """A command that you can paste into this system's shell, whatever its words hold.

    A path that begins with "-" gets "./" before it: give paths as `Path`, options as text. windows:
    quote for cmd, and for PowerShell if no word holds "$" or "`".
    """
    plain = [f"./{w}" if isinstance(w, Path) and str(w)[:1] == "-" else str(w) for w in words]
    return " ".join(map(quoted_for_windows, plain)) if windows else shlex.join(plain)


def program() -> str | Path:
    """How this terminal finds `nanogpt`: by its name, else beside the Python that runs now.

    After `make train` it lies in `.venv`, which is on no PATH yet.
    """
    beside = shutil.which("nanogpt", path=str(Path(sys.executable).parent))
    if shutil.which("nanogpt") or not beside:
        return "nanogpt"
    here = Path(beside).is_relative_to(Path.cwd())
    return Path(beside).relative_to(Path.cwd()) if here else Path(beside)


def quoted_for_windows(word: str) -> str:
    """A word as it is, or in double quotes. Programs there read backslashes before a quote twice.

    Source: "Parsing C command-line arguments" in Microsoft's documentation of C++.
    """
    if re.fullmatch(r"[\w./:\\-]+", word):
        return word
    word = re.sub(r'(\\*)"', r'\1\1\\"', word)
    return '"' + re.sub(r"(\\+)$", r"\1\1", word) + '"'


def advice(target: str, plain: str) -> str:
    """What to type: `make TARGET` in a checkout if make is installed, else a plain command."""
    root = checkout(Path.cwd())
    if not (root and (root / "Makefile").is_file() and shutil.which("make")):
        return plain
    elsewhere = () if root == Path.cwd() else ("-C", Path(os.path.relpath(root)))
    return command_line("make", *elsewhere, target)


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
