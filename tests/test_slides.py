"""Slides: where each cell of a notebook stands in its deck, and the deck itself."""

import re
import runpy
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
TOOL = runpy.run_path(str(ROOT / "tools" / "slides.py"))
main, slide_types, ROOM = TOOL["main"], TOOL["slide_types"], TOOL["ROOM"]


def picture(code):
    png = "iVBORw0KGgo="
    return new_code_cell(code, outputs=[new_output("display_data", {"image/png": png})])


CELLS = [
    (new_markdown_cell("# 01 · Title\n\nWords."), "slide"),
    (new_code_cell("%matplotlib inline", metadata={"tags": ["setup"]}), "skip"),
    (new_code_cell("import math\nfrom pathlib import Path"), "skip"),
    (new_markdown_cell("The end of one.\n\n## A section\n\nWords."), "slide"),
    (new_code_cell("1 + 1"), "-"),
    (picture("plot()"), "subslide"),
    (new_code_cell("print('what it shows')"), "-"),
    (new_markdown_cell("\n".join(["Long."] * ROOM)), "subslide"),
    (new_markdown_cell("### Exercise 1 · something"), "subslide"),
    (new_code_cell("\n".join(["x"] * ROOM), metadata={"exercise": "x"}), "-"),
    (
        new_markdown_cell("## A section that is only\n<details>" + "long\n" * 99 + "</details>"),
        "slide",
    ),
    (new_code_cell("2"), "-"),  # for folds are closed
]


@pytest.fixture
def root(tmp_path):
    """A folder with a notebook of the course."""
    (tmp_path / "notebooks").mkdir()
    notebook = new_notebook(cells=[cell for cell, _ in CELLS])
    nbformat.write(notebook, tmp_path / "notebooks" / "01_one.ipynb")
    return tmp_path


def make(root, check=False):
    return main(root, check, root / "build")


def test_each_cell_has_its_place():
    cells, kinds = zip(*CELLS, strict=True)
    assert slide_types(cells) == list(kinds)


def test_a_notebook_is_marked_once_and_then_left_alone(root, capsys):
    path = root / "notebooks" / "01_one.ipynb"
    before = path.read_bytes()
    assert make(root, check=True) == 1
    assert "01_one: is out of date: make slides" in capsys.readouterr().out
    assert path.read_bytes() == before and not (root / "build").exists()
    assert make(root) == 0
    marked = path.read_bytes()
    assert make(root, check=True) == make(root) == 0
    assert path.read_bytes() == marked
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.metadata.slideshow.slide_type for cell in cells] == [kind for _, kind in CELLS]
    assert [cell.source for cell in cells] == [cell.source for cell, _ in CELLS]


def test_a_deck_shows_what_is_not_left_out(root):
    make(root)
    html = (root / "build" / "01_one.slides.html").read_text("utf-8")
    assert "A section that is only" in html and "what it shows" in html
    assert "%matplotlib" not in html and "pathlib" not in html
    assert html.count("<section>") > 6


def test_with_the_scripts_installed_a_deck_loads_nothing_it_needs_from_the_web(root):
    make(root)
    html = (root / "build" / "01_one.slides.html").read_text("utf-8")
    assert "https://unpkg.com/reveal.js" in html
    (root / "build" / "node_modules").mkdir()
    make(root)
    html = (root / "build" / "01_one.slides.html").read_text("utf-8")
    loaded = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]+)"', html)
    assert loaded and all(address.startswith("node_modules/") for address in loaded)


def test_the_courses_notebooks_are_marked():
    assert main(ROOT, check=True) == 0


def test_pictures_carry_their_descriptions_and_the_notebook_stays_as_it_is():
    described = TOOL["with_descriptions"]
    cell = picture("plot()")
    cell.outputs[0].data["text/plain"] = 'A curve falls below "2".'
    notebook = new_notebook(cells=[new_markdown_cell("## One"), cell, picture("other()")])
    first, second = (cell.outputs[0].data["text/html"] for cell in described(notebook).cells[1:])
    assert 'alt="A curve falls below &quot;2&quot;."' in first
    assert 'alt="Picture in the section One"' in second
    assert "image/png" in cell.outputs[0].data
