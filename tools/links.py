"""Makes links of notebooks' names and arXiv numbers, in the notebooks and guides: `make links`.

A name such as `04_training` in backticks leads to that notebook, but not from its own page, and
arXiv:1706.03762 leads to the paper. What is a link already stays, and so does code.

    python tools/links.py          # writes what has changed
    python tools/links.py --check  # writes nothing, names what is out of date
"""

import re
import sys
from pathlib import Path

import nbformat
from outdated import update

ROOT = Path(__file__).resolve().parent.parent
# First what must stay: fenced code, links, bare addresses, indented code, other code.
STAYS = r"```.*?```|!?\[(?:[^\[\]]|\[[^\]]*\])*\]\([^)\s]*\)|https?://\S+|^ {4}.*?$"
NAME = r"`(?P<name>\d\d_\w+|colab_workshop)`"
PAPER = r"arXiv:(?P<paper>\d{4}\.\d{4,5})"
FIND = re.compile(f"{STAYS}|{NAME}|`[^`\n]+`|{PAPER}", re.DOTALL | re.MULTILINE)


def linked(text: str, folder: str, own: str, known: set[str]) -> str:
    """Text with its links. folder: from this page to the notebooks; own: this page's own name."""

    def link(found: re.Match) -> str:
        if found["paper"]:
            return f"[{found[0]}](https://arxiv.org/abs/{found['paper']})"
        if found["name"] in known - {own}:
            return f"[{found[0]}]({folder}{found['name']}.ipynb)"
        return found[0]

    return FIND.sub(link, text)


def new_notebook(path: Path, known: set[str]) -> str:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, "", path.stem, known)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def main(root: Path = ROOT, check: bool = False) -> int:
    """Updates all files, or only names those that are out of date; returns the exit status."""
    notebooks = sorted(root.glob("notebooks/*.ipynb"))
    known = {path.stem for path in notebooks}
    new = {path: new_notebook(path, known) for path in notebooks}
    for path in sorted(root.glob("docs/*.md")):
        new[path] = linked(path.read_text(encoding="utf-8"), "../notebooks/", "", known)
    return update(new, root, check, "make links")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    sys.exit(main(check="--check" in sys.argv))
