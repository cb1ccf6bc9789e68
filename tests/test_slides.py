"""Slides: where each cell of a notebook stands in its deck, and the deck itself."""

import base64
import re
import runpy
from pathlib import Path

import nbformat
import pytest
from chromium import CHROMIUM, FLAGS, WITHOUT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
TOOL = runpy.run_path(str(ROOT / "tools" / "slides.py"))
main, slide_types, ROOM = TOOL["main"], TOOL["slide_types"], TOOL["ROOM"]
SCRIPTS = TOOL["DECKS"] / "node_modules"
LINES = ROOM // TOOL["TEXT"]  # of text, more than fit on a slide with their gaps


def picture(code, high=300):
    """A cell with a picture; only the first bytes of its PNG are there, which hold its size."""
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (900).to_bytes(4, "big") + high.to_bytes(4, "big")
    png = base64.b64encode(header + bytes(9)).decode()
    return new_code_cell(code, outputs=[new_output("display_data", {"image/png": png})])


CELLS = [
    (new_markdown_cell("# 01 · Title\n\nWords."), "slide"),
    (new_code_cell("%matplotlib inline", metadata={"tags": ["setup"]}), "skip"),
    (new_code_cell("import math\nfrom pathlib import Path"), "skip"),
    (new_markdown_cell("## A section\n\nWords."), "slide"),
    (new_code_cell("1 + 1"), "-"),
    (picture("plot()"), "-"),
    (new_code_cell("print('what it shows')"), "-"),
    (new_markdown_cell("\n\n".join(["Long."] * LINES)), "subslide"),
    (new_markdown_cell("### Exercise 1 · something"), "subslide"),
    (new_code_cell("\n".join(["x"] * LINES), metadata={"exercise": "x"}), "-"),
    (picture("what_the_answer_gives()"), "subslide"),
    (new_markdown_cell("**Predict, then run:** what comes?"), "-"),
    (new_code_cell("def without_output(): ..."), "-"),
    (picture("the_answer()"), "subslide"),
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


def test_a_question_stays_with_the_picture_and_the_words_that_it_is_about():
    words = new_code_cell("tell()", outputs=[new_output("stream", text="word\n" * 8)])
    answer = new_code_cell("answer = ...", metadata={"exercise": "x"})
    cells = [new_markdown_cell("### Exercise 5 · patient A"), picture("show()", 440), words, answer]
    assert slide_types(cells) == ["subslide", "-", "-", "-"]
    cells[0] = new_markdown_cell("### No question")
    assert slide_types(cells) == ["subslide", "-", "subslide", "-"]


def test_a_heading_begins_a_cell():
    text = "The end of one.\n\n## A section\n\nWords.\n```\n## a comment\n```\n### Part\nMore."
    cells = [new_markdown_cell(text), new_code_cell("## no heading\n## either")]
    cut = TOOL["at_headings"](cells)
    assert [cell.source for cell in cut] == [
        "The end of one.",
        "## A section\n\nWords.\n```\n## a comment\n```",
        "### Part\nMore.",
        "## no heading\n## either",
    ]
    assert len({cell.id for cell in cut}) == 4 and cut[0].id == cells[0].id
    assert TOOL["at_headings"](cut) == cut


def deck_of(cells, notes=()):
    cells = TOOL["at_headings"](cells)
    for cell, kind in zip(cells, slide_types(cells), strict=True):
        cell.metadata["slideshow"] = {"slide_type": kind}
    return TOOL["for_a_deck"](new_notebook(cells=cells), dict(notes)).cells


def test_on_a_deck_the_code_of_pictures_and_of_what_they_show_is_left_out():
    said = new_code_cell("print(1)", outputs=[new_output("stream", text="1")])
    made = new_code_cell("def f():\n    return 1\nprint(f())", outputs=said.outputs)
    cells = [new_markdown_cell("## A"), picture("plot()"), said, new_code_cell("x = 1"), made]
    hidden = ["transient" in cell.metadata for cell in deck_of(cells)]
    assert hidden == [False, True, True, False, False]
    assert not any("transient" in cell.metadata for cell in cells)


def test_a_look_at_a_run_that_has_hardly_begun_is_not_on_a_deck():
    early = new_code_cell("background.look_in(folder)", outputs=[new_output("stream", text="no")])
    late = new_code_cell(early.source, outputs=[new_output("stream", text="Finished: step 9")])
    kinds = [c.metadata.slideshow.slide_type for c in deck_of([early, late])]
    assert kinds == ["skip", "-"]


def test_outputs_that_do_not_fit_below_their_code_get_a_slide_of_their_own():
    text = new_output("stream", text="long\n" * LINES)
    code, shown = deck_of([new_code_cell("x = 1\n" * LINES + "print(x)", outputs=[text])])
    assert code.source and not code.outputs
    assert not shown.source and shown.outputs == [text]
    assert shown.metadata.slideshow.slide_type == "subslide"


def test_what_to_say_stands_in_the_notes_of_its_part():
    guide = "## Before\n### 1 · A\nno\n## What to say, part by part\nx\n### 1 · A\nSay *this*.\n"
    notes = TOOL["speaker_notes"](guide + "### 2 · B\nAnd that.\n## After\n")
    assert notes == {"1 · A": "Say *this*.", "2 · B": "And that."}
    cells = deck_of([new_markdown_cell("## 1 · A *(9 minutes)*\nWords."), picture("p()")], notes)
    assert [cell.metadata.slideshow.slide_type for cell in cells] == ["slide", "notes", "-"]
    assert cells[1].source == "Say *this*."


def test_each_part_of_the_workshop_has_notes():
    notes = TOOL["speaker_notes"]((ROOT / TOOL["NOTES"]).read_text("utf-8"))
    workshop = nbformat.read(ROOT / "notebooks" / "colab_workshop.ipynb", as_version=4)
    headings = re.findall(r"^## (\d · .+?) \*", "\n".join(c.source for c in workshop.cells), re.M)
    assert len(headings) == 8 and set(headings) == set(notes)


def slides_of(cells):
    """The cells of each slide of a deck."""
    slides = []
    for cell in cells:
        kind = cell.metadata.slideshow.slide_type
        if kind in ("slide", "subslide") or not slides:
            slides.append([])
        if kind not in ("skip", "notes"):
            slides[-1].append(cell)
    return slides


@pytest.mark.parametrize("path", TOOL["notebooks"](ROOT), ids=lambda path: path.stem)
def test_every_slide_of_the_course_fits_the_screen(path):
    """By the tool's own estimate, which is higher than what Chromium measures for nearly all."""
    pictured = False
    for slide in slides_of(TOOL["for_a_deck"](nbformat.read(path, as_version=4), {}).cells):
        high = 0
        for cell in slide:
            high += TOOL["height"](cell, pictured)
            pictured = TOOL["shows_picture"](cell)
        tags = slide[0].metadata.get("tags", []) if slide else []
        size = next((int(tag[4:]) / 100 for tag in tags if tag.startswith("size")), 1)
        assert high * size <= ROOM, (high, size, slide[0].source)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
@pytest.mark.skipif(not SCRIPTS.is_dir(), reason="the decks' scripts are not installed")
def test_in_chromium_no_slide_is_higher_than_the_screen(tmp_path):
    from playwright.sync_api import sync_playwright

    (tmp_path / "node_modules").symlink_to(SCRIPTS)
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": TOOL["WIDTH"], "height": TOOL["HEIGHT"]})
        for path in TOOL["notebooks"](ROOT):
            html = TOOL["deck"](nbformat.read(path, as_version=4), path.stem, tmp_path, {})
            (tmp_path / "deck.html").write_text(html, encoding="utf-8")
            found = TOOL["heights"](page, tmp_path / "deck.html")
            assert len(found) > 20
            assert [slide for slide in found if slide[0] > TOOL["HEIGHT"]] == [], path.stem
        browser.close()


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
