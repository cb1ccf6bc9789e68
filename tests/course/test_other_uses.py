"""The notebooks as they are used, too: cells run twice, the stop button, texts of other scripts.

What takes long is for `make nightly`.
"""

import random

import nbformat
import pytest
from course.test_notebooks import FOLDER, PATHS, code_cells, read, run

pytestmark = pytest.mark.slow


def without_comparing(notebook):
    """The same notebook, its outputs compared with nothing: they will be others."""
    for cell in code_cells(notebook):
        cell.metadata["tags"] = [tag for tag in cell.metadata.get("tags", []) if tag == "setup"]
    return notebook


@pytest.mark.soak
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_cell_can_be_run_twice_in_a_row(path, tmp_path):
    notebook = without_comparing(read(path))
    twice = []
    for cell in notebook.cells:
        again = nbformat.v4.new_code_cell(cell.source) if cell.cell_type == "code" else None
        twice += [cell, again] if again else [cell]
    run(nbformat.v4.new_notebook(cells=twice, metadata=notebook.metadata), path.name, tmp_path)


ALPHABETS = {
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "emoji": "😀😂🥰🤖🚀🌍🎲🔥👍🎉🧠💡",
    "chinese": "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜",
}
ANOTHER_TEXT = """
import nanogpt_lib.corpus
nanogpt_lib.corpus.load_corpus = lambda *arguments: {text!r}
"""


def lines_of(alphabet: str, n=60_000) -> str:
    """Lines of made-up words, some of them much more frequent than others."""
    dice = random.Random(7)
    words = ["".join(dice.choices(alphabet, k=dice.randint(1, 5))) for _ in range(300)]
    lines = []
    while sum(map(len, lines)) < n:
        chosen = dice.choices(words, weights=range(300, 0, -1), k=dice.randint(3, 9))
        lines.append(" ".join(chosen) + "\n")
    return "".join(lines)


@pytest.mark.soak
@pytest.mark.parametrize("script", ALPHABETS)
@pytest.mark.parametrize("number", ["00", "01", "04", "06", "07"])
def test_it_runs_on_a_text_of_another_script(number, script, tmp_path):
    (path,) = FOLDER.glob(f"{number}_*.ipynb")
    notebook = without_comparing(read(path))
    first = code_cells(notebook)[0]
    first.source += ANOTHER_TEXT.format(text=lines_of(ALPHABETS[script]))
    run(notebook, path.name, tmp_path)


PRESS = """
import signal
from nanogpt_lib import Callback

class Press(Callback):
    def on_step(self, run):
        if run.step == {step}:
            signal.raise_signal(signal.SIGINT)

around.append(Press())
train(run, around)"""
CHECK = """
steps = [point.step for point in run.history]
assert run.stopped == "interrupted" and steps == sorted(set(steps)), steps
assert steps[-1] == run.step == {step} and len(points) == len(set(p.step for p in points))
assert points[-1].sample
"""


@pytest.mark.parametrize("step", [1, 5])
def test_stopped_early_the_first_training_shows_where_it_has_got_to(step, tmp_path):
    path = FOLDER / "00_start_here.ipynb"
    notebook = without_comparing(read(path))
    cells = []
    for cell in code_cells(notebook):
        cells.append(cell)
        if "train(run, around)" in cell.source:
            cell.source = cell.source.replace("train(run, around)", PRESS.format(step=step))
        if cell.source.startswith("points = "):
            cell.source = cell.source + CHECK.format(step=step)
            break
    else:
        raise AssertionError("the cells have other names now")
    run(nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata), path.name, tmp_path)
