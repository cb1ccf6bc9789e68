"""The whole course with Colab's own versions: `make test-colab`, not part of `make test`.

Every notebook is opened as from its badge: only the notebook is there, in an empty folder, and its
first cell fetches the rest.
"""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from colab_like import HOME, ROOT, cloning_from, execute, first_on_path, publish, said, setup_cell

from nanogpt_lib.machine.paths import data_dir

PYTHON = Path(os.environ["COLAB_PYTHON"]).absolute()  # set by `make test-colab`
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
OURS = {"pooch"}  # what the set-up adds to Colab's packages


@pytest.fixture(scope="module")
def course_env(tmp_path_factory):
    published = publish(tmp_path_factory.mktemp("published"))
    return {
        **first_on_path(PYTHON),
        **cloning_from(published),
        "NANOGPT_PRESET": "smoke",
        "OMP_NUM_THREADS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger writes to stderr
    }


@pytest.fixture
def course_work(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def versions() -> dict:
    pip = [PYTHON, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]
    done = subprocess.run(pip, capture_output=True, text=True, check=True)
    return dict(line.split("==") for line in done.stdout.split())


def test_the_set_up_gets_all_that_is_missing_and_changes_no_version(course_work, course_env):
    subprocess.run([PYTHON, "-m", "pip", "uninstall", "-q", "-y", *OURS], check=True)
    before = versions()
    wanted = {"ipywidgets": "7.7.1", "ipython": "7.34.0", "ipykernel": "6.17.1", "numpy": "2.1.3"}
    assert before.items() >= wanted.items() and "torch" in before
    notebook = setup_cell(times=2)
    execute(notebook, course_work, PYTHON, **course_env)
    after = versions()
    assert after.keys() - before.keys() == OURS
    assert after.items() >= before.items()
    first, second = map(said, notebook.cells)
    sys.stdout.write(first)
    assert "Installing pooch" in first and "Installing" not in second
    assert (course_work / HOME.name / "data" / "tinyshakespeare.txt").exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_its_badge(path, course_work, course_env):
    notebook = nbformat.read(path, as_version=4)
    execute(notebook, course_work, PYTHON, **course_env, NANOGPT_DATA=str(data_dir().resolve()))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "Computing on " in said(code[0])
    for cell in code:
        for output in cell.outputs:
            assert output.get("name") != "stderr", (cell.source, output.text)
    assert [path.name for path in course_work.iterdir()] == [HOME.name], (
        "the notebook left files behind"
    )
