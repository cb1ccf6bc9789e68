"""Keeps what Colab and Kaggle need the same in all notebooks and in the README: `make badges`.

Owner, repository and branch are in one place, `Repository` in pyproject.toml. From it this tool
makes the badges under each notebook's title, the set-up cell of each notebook, and the README's
links. The badges open the notebooks without outputs: see `tools/blank_branch.py`. The notebooks
also get the metadata that asks Colab for a T4, and one name for the kernel. Nothing else changes.

    python tools/colab.py          # writes what has changed
    python tools/colab.py --check  # writes nothing, names what is out of date
"""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import nbformat
from outdated import update

ROOT = Path(__file__).resolve().parent.parent
COLAB = "https://colab.research.google.com"
METADATA = {
    "accelerator": "GPU",
    "colab": {"gpuType": "T4", "provenance": []},
    # As JupyterLab writes it, so that opening and saving changes nothing.
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
}
KAGGLE = "https://kaggle.com"
SETUP = """\
# Set-up. Where the course is missing, as in Colab and on Kaggle, this cell fetches it.
import os
import sys
from importlib.util import find_spec

course = os.path.abspath(".." if os.path.exists("../nanogpt_lib") else "{name}")
if find_spec("torch") and ("COURSE" in os.environ or not find_spec("nanogpt_lib")):
    course = os.environ.setdefault("COURSE", course)  # also after %cd
    if not os.path.exists(course):
        !git clone -q --depth 1 --branch {branch} {url} "{{course}}"
    !bash "{{course}}/colab_setup.sh" "{{sys.executable}}"
    sys.path.insert(0, course)
if not find_spec("nanogpt_lib"):
    raise SystemExit(f"{{sys.executable}} has no nanogpt_lib: see above, or choose .venv's kernel")
from nanogpt_lib import kernel

kernel.ready()"""
BADGES = r"(?:\[!\[Open in \w+\]\(\S+\)\]\(\S+\) ?)+"


class Wrong(Exception):
    """A file that this tool cannot use; the message says which, and what is missing."""


@dataclass(frozen=True)
class Home:
    """Where the course is published: a branch (or a tag) of a repository on GitHub."""

    owner: str
    name: str
    branch: str

    @property
    def url(self) -> str:
        return f"https://github.com/{self.owner}/{self.name}"

    @property
    def blank(self) -> str:
        """The branch with the notebooks without outputs, which `tools/blank_branch.py` writes."""
        return f"{self.branch}-blank"

    def badge(self, notebook: str) -> str:
        link = f"{COLAB}/github/{self.owner}/{self.name}/blob/{self.blank}/notebooks/{notebook}"
        return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({link})"

    def kaggle_badge(self, notebook: str) -> str:
        """Kaggle copies the notebook; its free GPUs are chosen there, under Session options."""
        link = f"{KAGGLE}/kernels/welcome?src={self.url}/blob/{self.blank}/notebooks/{notebook}"
        return f"[![Open in Kaggle]({KAGGLE}/static/images/open-in-kaggle.svg)]({link})"

    def setup(self) -> str:
        return SETUP.format(name=self.name, branch=self.branch, url=self.url)


def read_home(pyproject: Path) -> Home:
    """The home of the course; a URL that ends in /tree/TAG pins a tag, for a live workshop."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    url = project.get("urls", {}).get("Repository", "")
    pattern = r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?(?:/tree/([\w./-]+?))?/?"
    found = re.fullmatch(pattern, url)
    if not found:
        raise Wrong(
            f"{pyproject.name}: Repository under [project.urls] is {url!r}, but Colab opens what "
            'is on GitHub only: "https://github.com/OWNER/NAME", or with "/tree/TAG" at its end'
        )
    owner, name, branch = found.groups()
    return Home(owner, name, branch or "main")


def new_notebook(path: Path, home: Home) -> str:
    """The text of a notebook with badge, set-up cell and metadata as they should be."""
    notebook = nbformat.read(path, as_version=4)
    first = notebook.cells[0] if notebook.cells else None
    if not first or first.cell_type != "markdown" or not first.source.startswith("# "):
        raise Wrong(f"{path.name}: the first cell must begin with the title, # NN · ...")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if not code or "setup" not in code[0].metadata.get("tags", []):
        raise Wrong(f'{path.name}: the first code cell must carry the tag "setup"')
    title, _, rest = first.source.partition("\n")
    rest = re.sub(rf"\A\s*{BADGES}", "", rest).lstrip("\n")
    badges = f"{home.badge(path.name)} {home.kaggle_badge(path.name)}"
    first.source = f"{title}\n\n{badges}\n\n{rest}".rstrip("\n")
    code[0].source = home.setup()
    notebook.metadata.update(nbformat.from_dict(METADATA))
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def new_readme(path: Path, home: Home) -> str:
    """The README with the address to clone and all badges as they should be."""
    text = path.read_text(encoding="utf-8")
    tag = "" if home.branch == "main" else f"--branch {home.branch} "
    clone = f"    git clone {tag}{home.url} train-a-gpt"
    text, n = re.subn(r"^    git clone .* train-a-gpt$", clone, text, flags=re.MULTILINE)
    if n != 1:
        raise Wrong(f"{path.name}: one line must read `git clone ADDRESS train-a-gpt`")
    badges = r"\[!\[Open in Colab\]\(\S+\)\]\(\S+/notebooks/([\w.-]+)\)"
    return re.sub(badges, lambda found: home.badge(found[1]), text)


def main(root: Path = ROOT, check: bool = False) -> int:
    """Updates all files, or only names those that are out of date; returns the exit status."""
    notebooks = root.glob("notebooks/*.ipynb")
    try:
        home = read_home(root / "pyproject.toml")
        texts = {path: new_notebook(path, home) for path in sorted(notebooks)}
        texts[root / "README.md"] = new_readme(root / "README.md", home)
    except Wrong as wrong:  # before anything is written
        print(wrong)
        return 1
    return update(texts, root, check, "make badges")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    sys.exit(main(check="--check" in sys.argv))
