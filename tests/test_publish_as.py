"""The course under another name: `make publish-as`, tried on a copy of all that is committed."""

import runpy
import subprocess
from pathlib import Path

import pytest
from colab_like import HOME, ROOT, publish

pytestmark = pytest.mark.slow

TOOL = runpy.run_path(str(ROOT / "tools" / "publish_as.py"))
PLACEHOLDERS = ("your-name", f"{HOME.owner}/{HOME.name}", f"{HOME.owner}.github.io")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    publish(folder)
    return folder


def naming(folder: Path, words) -> dict[str, str]:
    """The files of a repository, tests aside, that hold one of these words, and which."""
    found = {}
    for path in TOOL["tracked"](folder):
        text = path.read_bytes().decode(errors="replace").lower()
        found |= {path.relative_to(folder).as_posix(): w for w in words if w.lower() in text}
    return found


def test_no_placeholder_is_left(copy):
    before = naming(copy, PLACEHOLDERS)
    assert {"pyproject.toml", "README.md", "CITATION.cff", "notebooks/00_start_here.ipynb"} <= {
        *before
    }
    assert TOOL["main"](["Ada-L/gpt.kit"], copy) == 0
    assert naming(copy, PLACEHOLDERS) == {}
    assert {*naming(copy, ["Ada-L/gpt.kit"])} >= {*before} - {"tools/publish_as.py"}
    done = subprocess.run(["git", "-C", copy, "status", "--short"], capture_output=True, text=True)
    assert {line[3:] for line in done.stdout.splitlines()} <= {*naming(copy, ["gpt.kit"])}


@pytest.mark.parametrize("words", [[], ["ada"], ["ada/kit/x"], ["https://github.com/ada/kit"]])
def test_a_name_that_is_none_changes_nothing(tmp_path, capsys, words):
    assert TOOL["main"](words, tmp_path) == 1
    assert "make publish-as OWNER/NAME" in capsys.readouterr().out
