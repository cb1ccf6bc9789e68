"""The course: every notebook runs, untouched and solved, and is committed as a reader needs it.

Runs are made by nbval with the `smoke` preset, each in an empty folder, so that a notebook which
writes files is found out. All other tests look at the files as they are committed.
"""

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest

from nanogpt_lib.course import exercises as ex
from nanogpt_lib.course.exercises.base import Exercise
from nanogpt_lib.course.exercises.calling import source_of
from nanogpt_lib.room.background import process_of

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
COURSE = [
    "00_start_here",
    "01_tokenizer",
    "02_attention",
    "03_model",
    "04_training",
    "05_loss_curves",
    "06_sampling",
    "07_subwords",
    "08_post_training",
    "09_modalities",
    "10_speedrun",
    "11_ship_it",
    "12_beyond_one_machine",
]
WORKSHOP = "colab_workshop"  # all of it in one, with exercises of the others
NUMBERED = [path for path in PATHS if path.stem in COURSE]
LEVELS = {1: "to warm up", 2: "to think", 3: "to chew on"}


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return read(path)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def exercise_cells(notebook) -> list:
    return [cell for cell in code_cells(notebook) if "exercise" in cell.metadata]


def tags(cell) -> list:
    return cell.metadata.get("tags", [])


def printed(cell) -> str:
    """What a cell printed; for a cell of text, nothing."""
    return "".join(o.text for o in cell.get("outputs", []) if o.output_type == "stream")


def texts(notebook):
    """All that a reader can read: sources and outputs, pictures left out."""
    for cell in notebook.cells:
        yield cell.source
        yield from cell.get("attachments", {})
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            yield from output.get("traceback", [])
            for kind, data in output.get("data", {}).items():
                if not kind.startswith("image/") or kind == "image/svg+xml":
                    yield re.sub(r"base64,[\w+/=\s]+", "", str(data))


def shows_picture(cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


# Running


def stub_in(cell, exercise):
    """What a learner is to replace in an exercise's cell: `def NAME...` or `answer = ...`."""

    def is_it(node):
        if callable(exercise.answer):
            kinds = (ast.FunctionDef, ast.ClassDef)
            return isinstance(node, kinds) and node.name == exercise.name
        return isinstance(node, ast.Assign) and node.targets[0].id == "answer"

    (stub,) = [node for node in ast.parse(cell.source).body if is_it(node)]
    return stub


def solve(cell) -> None:
    """Puts the solution in the place of an exercise's stub; the check stays."""
    exercise = ex.ALL[cell.metadata["exercise"]]
    stub = stub_in(cell, exercise)
    solution = source_of(exercise.answer)
    if not callable(exercise.answer):
        solution = f"answer = {solution}"
    lines = cell.source.split("\n")
    lines[stub.lineno - 1 : stub.end_lineno] = solution.split("\n")
    cell.source = "\n".join(lines)


def run(notebook, name: str, tmp_path: Path, **env) -> None:
    """Runs a notebook as nbval does, and asserts that each of its cells passes.

    Cells that carry `nbval-check-output` are compared with what is stored.
    """
    work, report = tmp_path / "work", tmp_path / "report.xml"
    work.mkdir()
    nbformat.write(notebook, work / name)
    options = (
        "--nbval-lax --nbval-current-env --nbval-cell-timeout=300 --color=no -p no:cacheprovider"
    )
    command = [sys.executable, "-m", "pytest", *options.split(), f"--junitxml={report}", name]
    env = {
        **os.environ,
        "NANOGPT_PRESET": "smoke",
        "OMP_NUM_THREADS": "1",
        "IPYTHONDIR": str(tmp_path / "ipython"),  # a history of its own: runs share nothing
        "NANOGPT_RUNS": str(tmp_path / "runs"),
        **env,
    }
    done = subprocess.run(
        command, cwd=work, env=env, capture_output=True, text=True, encoding="utf-8", timeout=1500
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    counts = ElementTree.parse(report).find("testsuite").attrib
    found = {key: int(counts[key]) for key in ("tests", "errors", "failures", "skipped")}
    n = len(code_cells(notebook))
    assert found == {"tests": n, "errors": 0, "failures": 0, "skipped": 0}
    assert [p.name for p in work.iterdir()] == [name], "the notebook left files behind"
    assert not any(map(process_of, tmp_path.glob("runs/*"))), "the notebook left a process behind"


def with_solutions(notebook):
    """The notebook with each exercise twice: solved, where only a pass will do, then as it is.

    So one kernel shows both, and what comes after an exercise finds it unattempted, as a learner
    does who goes on. A cell that is added has no stored output to be compared with.
    """
    cells = []
    for cell in notebook.cells:
        if "exercise" in cell.metadata:
            solved = nbformat.v4.new_code_cell(cell.source, metadata={**cell.metadata, "tags": []})
            solve(solved)
            before = "import os\nos.environ['NANOGPT_STRICT'] = '1'\n"
            solved.source = before + solved.source + "\ndel os.environ['NANOGPT_STRICT']"
            cells.append(solved)
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)


@pytest.mark.slow
def test_it_runs_untouched_and_with_every_exercise_solved(path, notebook, tmp_path):
    run(with_solutions(notebook), path.name, tmp_path)


@pytest.mark.slow
def test_a_solution_that_does_not_pass_would_be_found(tmp_path):
    path = FOLDER / "00_start_here.ipynb"
    notebook = read(path)
    cells = [code_cells(notebook)[0]]
    cells += [c for c in code_cells(notebook) if "import exercises" in c.source]
    cell = with_solutions(notebook).cells[
        [("STRICT" in c.source) for c in with_solutions(notebook).cells].index(True)
    ]
    cell.source = re.sub(r"answer = .*", "answer = 7e7", cell.source)
    broken = nbformat.v4.new_notebook(cells=[*cells, cell], metadata=notebook.metadata)
    with pytest.raises(AssertionError, match="CheckFailed"):
        run(broken, path.name, tmp_path)


# What is committed


def test_the_notebooks_are_those_of_the_course_in_its_order():
    assert [path.stem for path in PATHS] == [*COURSE, WORKSHOP]


def test_it_is_a_valid_notebook_for_any_python(path, notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for widgets in notebook.metadata.get("widgets", {}).values():  # GitHub shows nothing else
        assert "state" in widgets
    assert path.stat().st_size < 1_000_000


def test_it_was_run_once_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_nothing_went_wrong_in_it(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source
    for text in texts(notebook):
        assert not re.search(r"\w*Warning\b|Traceback", text), text[:500]


def test_it_names_no_place_of_the_machine_it_was_run_on(notebook):
    place = r"(?<![\w.])/(home|root|work|tmp|Users|mnt|media|opt|usr|var|private|content)/"
    host = r"pypi\.org|pythonhosted|localhost|127\.0\.0\.1"
    for text in texts(notebook):
        found = re.search(rf"{place}|\b[A-Z]:\\+\w|\bsite-packages\b|{host}", text)
        assert not found, (found[0], text[:500])


def test_no_cell_is_left_out_of_the_tests(notebook):
    for cell in notebook.cells:
        assert set(tags(cell)) <= {"setup", "nbval-check-output"}, tags(cell)
        assert not re.search(r"NBVAL_|PYTEST_VALIDATE_", cell.source), cell.source


def test_what_is_compared_can_be_compared(notebook):
    for cell in notebook.cells:
        if "nbval-check-output" in tags(cell):
            assert cell.outputs, cell.source  # else any output would do
            assert not shows_picture(cell), cell.source


@pytest.mark.parametrize("name", ["01_tokenizer", "02_attention", "03_model"])
def test_enough_is_compared(name):
    compared = [c for c in read(FOLDER / f"{name}.ipynb").cells if "nbval-check-output" in tags(c)]
    assert len(compared) >= 5


def test_all_notebooks_are_set_up_alike(notebook):
    first = code_cells(notebook)[0]
    assert tags(first) == ["setup"]
    assert first.source == code_cells(read(PATHS[0]))[0].source


def test_a_cell_fits_on_a_screen(notebook):
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.split("\n") if line.strip()]
        assert len(lines) < 16, cell.source
        assert max(map(len, lines), default=0) <= 100, cell.source


def test_a_line_says_what_each_picture_shows(notebook):
    followers = [*notebook.cells[1:], nbformat.from_dict({})]
    for cell, follower in zip(notebook.cells, followers, strict=True):
        if shows_picture(cell):
            assert printed(cell).strip() or printed(follower).strip(), cell.source


def test_it_opens_and_closes_as_all_do(path, notebook):
    opening = notebook.cells[0].source
    numbered = path.stem in COURSE
    assert opening.startswith(f"# {path.stem[:2] if numbered else 'The workshop'} · ")
    for row in ("You will do", "You will learn", "You need", "Time"):
        assert f"\n| **{row}** | " in opening
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    closing = words[words.index("\n## Did it stick?\n") :]
    assert closing.count("<details><summary>") >= 3
    assert "\n## On your own\n" in closing
    later = COURSE[COURSE.index(path.stem) + 1 :] if numbered else COURSE
    assert not later or f"\nNext: [`{later[0]}`]({later[0]}.ipynb)" in closing


def test_folds_are_closed(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert cell.source.count("<details>") == cell.source.count("</details>"), cell.source


def test_the_start_page_lists_all_notebooks_with_their_minutes():
    words = "\n".join(cell.source for cell in read(PATHS[0]).cells)
    listed = re.findall(r"^\| \[`(\w+)`\]\(\S+\) \|.*\| (\d+) \|$", words, flags=re.MULTILINE)
    told = {}
    for path in NUMBERED[1:]:
        time = re.search(r"\| \*\*Time\*\* \| (\d+) minutes", read(path).cells[0].source)
        told[path.stem] = time and time[1]
    assert told.items() <= dict(listed).items()
    assert [name for name, _ in listed] == COURSE[1:]


def test_the_minutes_of_the_workshops_parts_are_its_eighty():
    notebook = read(FOLDER / f"{WORKSHOP}.ipynb")
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    parts = re.findall(r"^## \d · .+ \*\((\d+) minutes\)\*$", words, flags=re.MULTILINE)
    assert sum(map(int, parts)) == 80
    assert "| **Time** | 80 minutes;" in notebook.cells[0].source


# Exercises


def test_there_are_enough_exercises(notebook):
    assert len(exercise_cells(notebook)) >= 3


def test_each_exercise_stands_in_one_notebook_of_the_course_its_own():
    stands_in = [
        (c.metadata["exercise"], p.stem[:2]) for p in NUMBERED for c in exercise_cells(read(p))
    ]
    belongs_to = [
        (thing.name, home[1:3])
        for home, module in ex.MODULES.items()
        if any(path.stem.startswith(home[1:3]) for path in NUMBERED)
        for thing in vars(module).values()
        if isinstance(thing, Exercise)
    ]
    assert sorted(stands_in) == sorted(belongs_to)
    assert len(stands_in) >= 20
    assert len(dict(stands_in)) == len(stands_in)  # no name is there twice


def test_the_workshop_takes_its_exercises_from_the_course():
    taken = [c.metadata["exercise"] for c in exercise_cells(read(FOLDER / f"{WORKSHOP}.ipynb"))]
    assert 4 <= len(taken) <= 6
    known = [c.metadata["exercise"] for p in NUMBERED for c in exercise_cells(read(p))]
    assert [name for name in known if name in taken] == taken  # in the same order


def test_exercises_are_unsolved_and_never_block(notebook):
    for cell in exercise_cells(notebook):
        name = cell.metadata["exercise"]
        assert re.search(rf"^({name} = )?ex\.{name}\.check\(", cell.source, re.M)
        assert printed(cell).startswith("Not attempted yet: "), name


def test_what_a_check_is_stored_to_have_said_is_what_it_says(notebook, capsys):
    for cell in exercise_cells(notebook):
        exercise = ex.ALL[cell.metadata["exercise"]]
        exercise.check((lambda *arguments: ...) if callable(exercise.answer) else ...)
        assert printed(cell) == capsys.readouterr().out


def test_the_learner_s_code_is_what_runs_further_down(notebook):
    cells = code_cells(notebook)
    for i, cell in enumerate(cells):
        name = cell.metadata.get("exercise")
        if name and ex.ALL[name].used:
            assert f"\n{name} = ex.{name}.check({name})" in cell.source
            later = "\n".join(cell.source for cell in cells[i + 1 :])
            assert re.search(rf"(?<![\w.]){name}\(", later), name


def arguments(node) -> list[str]:
    """What a function takes, or what each method of a class does."""
    functions = node.body if isinstance(node, ast.ClassDef) else [node]
    return [f"{f.name}({ast.unparse(f.args)})" for f in functions]


def test_stub_and_solution_take_the_same_arguments(notebook):
    for cell in exercise_cells(notebook):
        exercise = ex.ALL[cell.metadata["exercise"]]
        stub = stub_in(cell, exercise)
        if callable(exercise.answer):
            solution = ast.parse(source_of(exercise.answer)).body[0]
            assert arguments(stub) == arguments(solution), exercise.name
        else:
            assert ast.unparse(stub) == "answer = ...", exercise.name


def test_an_exercise_is_announced_with_its_minutes_and_level(notebook):
    number = 0
    words = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            words = cell.source
        elif "exercise" in cell.metadata:
            number += 1
            exercise = ex.ALL[cell.metadata["exercise"]]
            effort = f"*({exercise.minutes} min, {LEVELS[exercise.level]})*"
            heading = re.search(rf"### Exercise {number} · .+", words)
            assert heading and heading[0].endswith(effort), (exercise.name, words)


WORDS = {"02_attention": ("embedding", "logits", "autoregressive")}
WORDS["03_model"] = ("activations", "residual stream", "logit lens")


def test_a_standard_word_is_introduced_once_in_bold():
    for name, wanted in WORDS.items():
        cells = read(FOLDER / f"{name}.ipynb").cells
        words = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for word in wanted:
            assert words.count(f"**{word}**") == 1, (name, word)
