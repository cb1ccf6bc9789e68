"""`nanogpt lab`: the course in JupyterLab, in copies of one's own and without the answers.

The notebooks in `notebooks/` are stored with their outputs, for readers. Who works with them gets
copies without outputs in `my_notebooks/`, which git ignores. A copy that has been worked in is
never written to again.
"""

import hashlib
import json
import os
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.machine.paths import LIBRARY, checkout, way_to_the_course

COPIES = "my_notebooks"  # beside notebooks/, so that relative links and pictures work in both
FIRST = "00_start_here.ipynb"
MARK = "nanogpt"  # of a copy's metadata: which state of the course it was made from


def lab(options=()) -> None:
    """Copies what is missing, then runs JupyterLab until it is shut down.

    options: more words for `jupyter lab`. Raises ValueError where there are no notebooks or no
    JupyterLab, and for root, whom JupyterLab refuses unless it is asked to.
    """
    root = course_root()
    if getattr(os, "geteuid", lambda: 1)() == 0 and "--allow-root" not in options:
        raise ValueError(
            "JupyterLab does not run as root. In a container, where nobody else is, allow it: "
            "nanogpt lab -- --allow-root, or make lab ARGS='-- --allow-root'"
        )
    if not find_spec("jupyterlab"):
        raise ValueError(
            "JupyterLab is missing: pip install 'nanogpt-lib[course]', or everything: make setup"
        )
    for line in copy_course(root):
        print(line)
    from jupyterlab.labapp import LabApp

    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    os.chdir(root)  # the terminals begin here
    page = f"/lab/tree/{COPIES}/{FIRST}"
    LabApp.launch_instance(
        [f"--ServerApp.root_dir={root}", f"--LabApp.default_url={page}", *options]
    )


def course_root() -> Path:
    """The checkout with the notebooks: that of the current folder, else that of the library."""
    root = checkout(Path.cwd()) or checkout(LIBRARY)
    if not root or not (root / "notebooks" / FIRST).is_file():
        raise ValueError(f"the notebooks do not come with the library alone: {way_to_the_course()}")
    return root


def copy_course(root: Path) -> list[str]:
    """Copies the notebooks that are not there yet; returns what a learner has to know, as lines.

    A copy that nobody has run or changed follows the course. Any other copy stays as it is.
    """
    news = []
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        copy = root / COPIES / source.name
        new = without_outputs(json.loads(source.read_text(encoding="utf-8")))
        mine = read_or_none(copy) if copy.exists() else None
        if not copy.exists() or (mine and untouched(mine) and mark(mine) != state(new)):
            write(copy, new)
        elif mine and mark(mine) != state(new):
            news.append(
                f"{source.stem} has changed in the course. Yours stays as it is; "
                f"for the new one: nanogpt lab --fresh {source.stem}"
            )
    return [f"You work in {COPIES}/, in copies of your own.", *news]


def fresh(name: str) -> str:
    """Makes one copy anew, and keeps the old one beside it; returns a line that says so.

    name: a notebook's name or how it begins, such as 03 or 03_model.
    """
    root = course_root()
    stem = Path(name).name.removesuffix(".ipynb")
    sources = sorted((root / "notebooks").glob("*.ipynb"))
    found = [path for path in sources if stem and path.stem.startswith(stem)]
    if len(found) != 1:
        raise ValueError(
            f"there is no notebook {name}; there are {', '.join(path.stem for path in sources)}"
        )
    copy = root / COPIES / found[0].name
    kept = ""
    if copy.exists():
        number = 1
        while (old := copy.with_name(f"{copy.stem}.old{number}.ipynb")).exists():
            number += 1
        copy.replace(old)
        kept = f" The old one is kept as {old.name}."
    write(copy, without_outputs(json.loads(found[0].read_text(encoding="utf-8"))))
    return (
        f"{COPIES}/{copy.name} is new.{kept} If it is open in JupyterLab, take "
        '"Reload Notebook from Disk" in its File menu.'
    )


def without_outputs(notebook: dict) -> dict:
    """The same notebook as if it had never been run. Nothing else changes."""
    cells = [
        cell | {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell
        for cell in notebook["cells"]
    ]
    return notebook | {"cells": cells}


def as_text(notebook: dict) -> str:
    """A notebook as a file's text, in the form in which the course is stored."""
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def state(notebook: dict) -> str:
    """A fingerprint of all that a learner reads or writes in a notebook: the cells' sources."""
    sources = [[cell["cell_type"], "".join(cell["source"])] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


def mark(copy: dict) -> str:
    """The state of the course from which a copy was made."""
    return copy.get("metadata", {}).get(MARK, "")


def untouched(copy: dict) -> bool:
    """Whether a copy has neither been changed nor run."""
    ran = any(cell.get("outputs") or cell.get("execution_count") for cell in copy["cells"])
    return not ran and state(copy) == mark(copy)


def read_or_none(path: Path) -> dict | None:
    """A learner's notebook; None if it is no notebook any more, for then it is left alone."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        state(notebook)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return notebook


def write(copy: Path, notebook: dict) -> None:
    notebook = notebook | {"metadata": notebook["metadata"] | {MARK: state(notebook)}}
    with whole_file(copy) as file:
        file.write(as_text(notebook).encode())
