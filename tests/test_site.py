"""The site and its links. The whole build runs in `make nightly`, and at each change on GitHub."""

import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = runpy.run_path(str(ROOT / "tools" / "site.py"))
LINKS = runpy.run_path(str(ROOT / "tools" / "links.py"))


def picture(words):
    return [{"output_type": "display_data", "data": {"image/png": "x", "text/plain": words}}]


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        (picture("Two curves fall."), "Two curves fall."),
        (picture(["Two curves", " fall."]), "Two curves fall."),
        (picture("<Figure size 640x480 with 1 Axes>"), "Picture in the section The mask"),
        (picture(""), "Picture in the section The mask"),
        ([{"output_type": "stream", "text": "12"}], None),
        ([], None),
    ],
)
def test_a_picture_is_described_by_its_output_else_by_its_section(outputs, told):
    assert SITE["description"](outputs, "The *mask*") == told


def test_each_picture_of_the_course_has_a_description_and_each_set_up_is_folded():
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = SITE["notebook"](path, lambda found: found[0])["cells"]
        with_picture = [c for c in cells if SITE["description"](c.get("outputs", []), "")]
        assert all(c["metadata"]["mystnb"]["image"]["alt"] for c in with_picture) and with_picture
        (setup,) = [c for c in cells if "setup" in c["metadata"].get("tags", [])]
        assert "hide-cell" in setup["metadata"]["tags"]


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<p id="x"><a href="b.html#y"><a href="https://e.org/x">')
    (tmp_path / "b.html").write_text('<a href="a.html#x"><a href="a.html#z"><img src="c.png">')
    assert SITE["broken_links"](tmp_path) == [
        "a.html: b.html#y leads nowhere",
        "b.html: a.html#z leads nowhere",
        "b.html: c.png leads nowhere",
    ]


def test_notebooks_and_papers_are_linked_and_all_else_stays():
    linked = LINKS["linked"]
    known = {"03_model", "04_training"}
    text = (
        "`03_model`, `04_training`, `05_none`, [`03_model`](x.ipynb), arXiv:1706.03762, "
        "[see arXiv:1706.03762](y)\n\n    nanogpt lab --fresh `03_model`\n"
    )
    new = linked(text, "../", "04_training", known)
    paper = "[arXiv:1706.03762](https://arxiv.org/abs/1706.03762)"
    assert new == text.replace("`03_model`, `04", "[`03_model`](../03_model.ipynb), `04").replace(
        " arXiv:1706.03762, ", f" {paper}, "
    )
    assert linked(new, "../", "04_training", known) == new


def test_all_links_are_made(capsys):
    assert LINKS["main"](check=True) == 0, capsys.readouterr().out


@pytest.mark.soak
@pytest.mark.skipif(not importlib.util.find_spec("myst_nb"), reason="make site installs it")
def test_the_whole_site_builds_without_a_warning_or_a_broken_link():
    done = subprocess.run([sys.executable, ROOT / "tools" / "site.py"], capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
