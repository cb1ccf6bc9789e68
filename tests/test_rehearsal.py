"""The rehearsal of the workshop: what it counts, and whether each part fits its minutes."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import rehearsal  # noqa: E402
from slides import speaker_notes  # noqa: E402


def test_it_counts_what_is_said_done_and_waited_for():
    slow, look, wait = (
        new_code_cell(code)
        for code in ("train()", "background.look_in(folder)", "background.wait(folder)")
    )
    cells = [
        new_markdown_cell("# Title\n\nNot said."),
        new_markdown_cell("## 1 · A *(9 minutes)*\n\nThree more words.\n\n| a | table |"),
        slow,
        new_markdown_cell("**Predict, then run:** what?\n<details>long\nfold</details>"),
        look,
        wait,
        new_markdown_cell("### Exercise 1 · x *(3 min, to think)*"),
        new_markdown_cell("## 2 · B *(5 minutes)*"),
        new_markdown_cell("## Did it stick?\n\n**Predict, then run:** no more."),
    ]
    seconds = {slow.id: 30.0, look.id: 9.0, wait.id: 900.0}
    first, second = rehearsal.parts_of(cells, seconds, {"1 · A": "Two words."})
    assert (first.name, first.planned, first.exercises, first.answers) == ("1 · A", 9, 3, 1)
    assert (first.seconds, first.guesses, first.looks) == (30.0, 1, 1)
    assert first.words == 2 + 6 + 3 + 5 + 9
    more = rehearsal.ESTIMATES[1][1] + rehearsal.GUESS + rehearsal.LOOK + rehearsal.ANSWER
    assert first.needed == pytest.approx(first.words / rehearsal.WORDS + 0.5 + 3 + more)
    assert second.needed == second.words / rehearsal.WORDS and second.planned == 5


@pytest.fixture(scope="module")
def parts():
    notebook = nbformat.read(ROOT / "notebooks" / "colab_workshop.ipynb", as_version=4)
    seconds = json.loads(rehearsal.CELLS.read_text("utf-8"))["seconds"]
    known = {cell.id for cell in notebook.cells if cell.cell_type == "code"}
    assert known == set(seconds)  # else: tools/run_notebooks.py notebooks/colab_workshop.ipynb
    guide = (ROOT / rehearsal.NOTES).read_text("utf-8")
    return rehearsal.parts_of(notebook.cells, seconds, speaker_notes(guide))


def test_the_workshop_has_80_minutes_and_each_part_fits_its_own(parts):
    assert sum(part.planned for part in parts) == 80
    assert [part.name for part in parts if part.needed > part.planned] == []


def test_the_guide_has_the_clock_and_the_table_of_the_rehearsal(parts):
    assert rehearsal.main(["--check"]) == 0  # else: tools/rehearsal.py --write
    guide, clock = (ROOT / rehearsal.NOTES).read_text("utf-8"), 0
    for part in parts:
        assert f"| {clock // 60}:{clock % 60:02} | {part.planned} | {part.name} |" in guide
        clock += part.planned
