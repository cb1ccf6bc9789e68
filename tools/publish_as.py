"""Makes the course that of a repository on GitHub: `make publish-as OWNER/NAME`.

The home of the course stands in one place, `Repository` in pyproject.toml. This tool writes the new
one there, then everywhere where the old one was named: links, badges, set-up cells, the citation.
It changes files only; look at them with `git diff`, then commit.

    python tools/publish_as.py ada/gpt-kit
"""

import re
import subprocess
import sys
from pathlib import Path

import colab
from colab import ROOT, Home, Wrong, read_home

from nanogpt_lib.machine.files import whole_file

TESTS = "tests/"  # their addresses are examples


def moved(text: str, old: Home, new: Home) -> str:
    """A text with each address of the old home replaced, that of its site too."""
    text = text.replace(f"{old.owner}/{old.name}", f"{new.owner}/{new.name}")
    return text.replace(f"{old.owner}.github.io/{old.name}", f"{new.owner}.github.io/{new.name}")


def tracked(root: Path) -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    names = [name for name in listed.stdout.split("\0") if name and not name.startswith(TESTS)]
    return [root / name for name in names if (root / name).is_file()]


def main(words: list[str], root: Path = ROOT) -> int:
    """Writes the new home everywhere; returns the exit status."""
    found = re.fullmatch(r"([\w-][\w.-]*)/([\w.-]+)", words[0] if len(words) == 1 else "")
    if not found:
        print("say whose repository it is on GitHub: make publish-as OWNER/NAME")
        return 1
    try:
        old = read_home(root / "pyproject.toml")
    except Wrong as wrong:
        print(wrong)
        return 1
    new = Home(found[1], found[2], old.branch)
    for path in tracked(root):
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue  # a picture, a model
        if (changed := moved(text, old, new)) != text:
            with whole_file(path) as file:
                file.write(changed.encode())
    return colab.main(root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
