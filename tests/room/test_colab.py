"""Google Colab: what the notebooks carry for it, and what happens when one is opened there.

Everything runs for real, but for Colab itself: see `colab_like`. `make test-colab` runs the whole
course with Colab's own versions.
"""

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from colab_like import (
    HOME,
    ROOT,
    TOOL,
    cloning_from,
    execute,
    first_on_path,
    publish,
    said,
    setup_cell,
)
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nanogpt_lib.machine.device import Compute
from nanogpt_lib.machine.paths import data_dir
from nanogpt_lib.room import colab

pytestmark = pytest.mark.slow

NOBODY = "http://127.0.0.1:9"  # nothing listens there: every connection is refused at once
on_unix = pytest.mark.skipif(sys.platform == "win32", reason="Colab's machines run Linux")


# What the notebooks carry


@pytest.fixture
def course(tmp_path):
    """A small course, with a notebook that was run once."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "README.md").write_text("# Kit\n\n    git clone X train-a-gpt\n", encoding="utf-8")
    publish_at(tmp_path, "https://github.com/ada/kit")
    picture = new_output("display_data", {"image/png": "iVBORw0KGgo="})
    cells = [
        new_markdown_cell("# 01 · One\n\nWords.\n\n| **Time** | 5 minutes"),
        new_code_cell("import this", metadata={"tags": ["setup"]}, execution_count=1),
        new_code_cell("print( 'é' ) ", execution_count=2, outputs=[picture]),
    ]
    for place in ("01_one.ipynb", "02_two.ipynb"):
        nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / place)
    return tmp_path


def publish_at(course: Path, url: str) -> None:
    project = f'[project.urls]\nRepository = "{url}"\n[project]\nname = "kit"\n'
    (course / "pyproject.toml").write_text(project, encoding="utf-8")


def cells_of(course, place="01_one.ipynb"):
    return nbformat.read(course / "notebooks" / place, as_version=4).cells


def test_all_that_is_committed_is_up_to_date(capsys):
    assert TOOL["main"](check=True) == 0, capsys.readouterr().out


def test_a_notebook_gets_badge_set_up_and_the_wish_for_a_t4(course):
    assert TOOL["main"](course) == 0
    notebook = nbformat.read(course / "notebooks" / "01_one.ipynb", as_version=4)
    title, badges, rest = notebook.cells[0].source.split("\n\n", 2)
    badge, _, kaggle = badges.partition(" [![Open in Kaggle](")
    source = "https://github.com/ada/kit/blob/main-blank/notebooks/01_one.ipynb"
    assert kaggle.endswith(f"](https://kaggle.com/kernels/welcome?src={source})")
    assert (title, rest) == ("# 01 · One", "Words.\n\n| **Time** | 5 minutes")
    page = "colab.research.google.com/github/ada/kit/blob/main-blank/notebooks/01_one.ipynb"
    assert badge.startswith("[![Open in Colab](https://") and badge.endswith(f"](https://{page})")
    assert 'git clone -q --depth 1 --branch main https://github.com/ada/kit "{course}"\n' in (
        notebook.cells[1].source
    )
    assert notebook.metadata.accelerator == "GPU"
    assert notebook.metadata.colab.gpuType == "T4"


def test_everything_else_in_a_notebook_stays_as_it_is(course):
    before = cells_of(course)
    TOOL["main"](course)
    after = cells_of(course)
    assert after[2] == before[2]
    assert [cell.get("execution_count") for cell in after] == [None, 1, 2]
    assert [cell.id for cell in after] == [cell.id for cell in before]
    assert after[1].metadata == before[1].metadata


def test_writing_twice_is_writing_once(course, capsys):
    TOOL["main"](course)
    once = (course / "notebooks" / "01_one.ipynb").read_bytes()
    capsys.readouterr()
    assert TOOL["main"](course) == 0
    assert (course / "notebooks" / "01_one.ipynb").read_bytes() == once
    assert capsys.readouterr().out == ""


def test_a_new_home_is_written_everywhere(course):
    TOOL["main"](course)
    publish_at(course, "https://github.com/grace/gpt-kit/tree/spring-2027")
    badge = TOOL["Home"]("ada", "kit", "main").badge("01_one.ipynb")
    with open(course / "README.md", "a", encoding="utf-8") as readme:
        readme.write(badge)
    assert TOOL["main"](course) == 0
    texts = [
        p.read_text(encoding="utf-8") for p in (*course.rglob("*.ipynb"), course / "README.md")
    ]
    assert len(texts) == 3
    for text in texts:
        assert "ada/kit" not in text
        assert "grace/gpt-kit/blob/spring-2027-blank/notebooks/" in text
        assert "--branch spring-2027 https://github.com/grace/gpt-kit" in text
    assert 'else "gpt-kit")' in cells_of(course, "02_two.ipynb")[1].source


def test_checking_names_what_is_out_of_date_and_writes_nothing(course, capsys):
    before = (course / "notebooks" / "01_one.ipynb").read_bytes()
    assert TOOL["main"](course, check=True) == 1
    assert "notebooks/01_one.ipynb: is out of date: make badges" in capsys.readouterr().out
    assert (course / "notebooks" / "01_one.ipynb").read_bytes() == before


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("pyproject.toml", "github.com", "gitlab.com", "OWNER/NAME"),
        ("notebooks/01_one.ipynb", "# 01", "01", "01_one.ipynb: the first cell must begin with"),
        ("notebooks/01_one.ipynb", "setup", "start", 'must carry the tag "setup"'),
        ("README.md", "git clone X", "git pull", "README.md: one line must read"),
    ],
)
def test_a_file_that_does_not_fit_is_named_and_nothing_is_written(
    course, capsys, file, old, new, words
):
    path = course / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    before = {p: p.read_bytes() for p in course.rglob("*") if p.is_file()}
    assert TOOL["main"](course) == 1
    assert words in capsys.readouterr().out
    assert {p: p.read_bytes() for p in before} == before


# A notebook opened in Colab


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture
def python(tmp_path):
    """A Python like Colab's: all that the library needs but pooch, and not the library."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    (there,) = (tmp_path / "v").glob("lib/python*/site-packages")
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(site.getsitepackages()[0]).iterdir():
        if not path.name.lower().startswith(("pooch", "nanogpt", "__editable__")):
            (packages / path.name).symlink_to(path)
    (there / "packages.pth").write_text(f"{packages}\n", encoding="utf-8")
    return tmp_path / "v" / "bin" / "python"


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """A folder with what is missing there; skipped without a network, but not in CI."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "pooch"]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"the package index cannot be reached: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def env(python, published, wheels, text):
    """Colab's environment, with the text at hand and a package index that has pooch only."""
    index = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    data = {"NANOGPT_DATA": str(data_dir().resolve()), "OMP_NUM_THREADS": "1"}
    return {**first_on_path(python), **cloning_from(published), **index, **data}


def packages_in(python: Path) -> set:
    done = subprocess.run(
        [python, "-m", "pip", "freeze", "--all"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split("\n"))


@on_unix
def test_in_colab_the_set_up_cell_fetches_the_course_and_says_what_to_expect(work, python, env):
    then = (
        f"%cd {HOME.name}\nimport nanogpt_lib.model\n"  # moving about must not lose the library
        "print(nanogpt_lib.__file__, nanogpt_lib.model.__file__, sys.path[0], sep='\\n')"
    )
    before = packages_in(python)
    notebook = setup_cell(times=2, then=then)
    execute(notebook, work, python, **env)
    first, second, last = notebook.cells
    assert "Installing pooch ..." in said(first)
    for cell in (first, second):
        assert "Tiny Shakespeare, 1,115,394 characters" in said(cell)
        assert "Computing on " in said(cell)
        assert "Expected: a `" in said(cell)
    assert "Installing" not in said(second) and "fatal" not in said(second)
    clone = work / HOME.name
    library = clone / "nanogpt_lib"
    places = [f"{library}/__init__.py", f"{library}/model.py", str(clone)]
    assert said(last).split("\n")[-4:-1] == places
    (new,) = packages_in(python) - before
    assert new.startswith("pooch==")
    assert not before - packages_in(python)
    assert [path.name for path in work.iterdir()] == [HOME.name]


@on_unix
def test_in_colab_without_a_network_the_set_up_cell_says_so_and_stops(work, python, env):
    notebook = setup_cell()
    with pytest.raises(CellExecutionError, match="has no nanogpt_lib: see above"):
        execute(notebook, work, python, **{**env, **cloning_from(NOBODY)})
    assert f"unable to access '{NOBODY}" in said(notebook.cells[0])
    assert list(work.iterdir()) == []  # so that running it again starts anew


def test_outside_colab_the_set_up_cell_only_imports(work):
    waiting = "print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"
    notebook = setup_cell(then=f"{waiting}\nprint(os.listdir(), kernel.__file__)")
    execute(notebook, work, Path(sys.executable), colab=False)
    assert notebook.cells[0].outputs == []
    # PyTorch, which the next cell imports, will find how its threads are to wait.
    assert said(notebook.cells[1]).startswith("PASSIVE False\n[] ")


@on_unix
def test_on_any_other_server_with_pytorch_the_course_is_fetched_as_well(work, python, env):
    there = "import nanogpt_lib\nprint(nanogpt_lib.__file__)"
    notebook = setup_cell(then=there)
    execute(notebook, work, python, colab=False, **env)
    assert "Tiny Shakespeare, 1,115,394 characters" in said(notebook.cells[0])
    assert said(notebook.cells[1]) == f"{work / HOME.name}/nanogpt_lib/__init__.py\n"


@on_unix
def test_a_kernel_without_pytorch_clones_nothing_and_is_named_with_the_way_out(work, python, env):
    (there,) = python.parent.parent.glob("lib/python*/site-packages")
    packages = Path((there / "packages.pth").read_text(encoding="utf-8").strip())
    (packages / "torch").unlink()
    notebook = setup_cell()
    with pytest.raises(
        CellExecutionError, match=r"has no nanogpt_lib: .* choose .venv's kernel"
    ) as no:
        execute(notebook, work, python, colab=False, **env)
    assert str(python) in str(no.value) and list(work.iterdir()) == []


@on_unix
def test_in_a_checkout_a_kernel_without_the_library_takes_what_is_there(work, python, env):
    shutil.copytree(ROOT / "nanogpt_lib", work / "nanogpt_lib")
    shutil.copy(ROOT / "colab_setup.sh", work)
    (work / "pyproject.toml").touch()
    (work / "notebooks").mkdir()
    notebook = setup_cell(then="import nanogpt_lib\nprint(nanogpt_lib.__file__)")
    execute(notebook, work / "notebooks", python, colab=False, **env)
    assert said(notebook.cells[1]) == f"{work}/nanogpt_lib/__init__.py\n"
    assert list((work / "notebooks").iterdir()) == []


@on_unix
def test_the_set_up_cell_again_clones_nothing_and_says_when_to_restart(work, python, env):
    changed = work / HOME.name / "nanogpt_lib" / "corpus.py"
    moved = f"%cd {HOME.name}\n"
    pulled = f"import pathlib\npathlib.Path({str(changed)!r}).touch()\n"
    notebook = setup_cell(times=3)
    first, second, third = notebook.cells
    second.source, third.source = moved + second.source, pulled + third.source
    execute(notebook, work, python, **env)
    assert [path.name for path in work.iterdir()] == [HOME.name]
    assert not (work / HOME.name / HOME.name).exists()
    newer = "The course on disk is newer than the one in this kernel. Restart the kernel"
    assert [newer in said(cell) for cell in (first, second, third)] == [False, False, True]


LINES = (
    "!nanogpt sample pocket -n 20 --greedy",
    "!python3 -m nanogpt_lib sample pocket -n 20 --greedy",
    "from nanogpt_lib import cli\nassert cli.main('sample pocket -n 20 --greedy'.split()) == 0",
)


def in_cells(*codes: str):
    notebook = setup_cell()
    notebook.cells += [nbformat.v4.new_code_cell(code) for code in codes]
    return notebook


def assert_all_wrote_the_same(cells):
    note, *written = said(cells[0]).split()
    assert note == "note:" and len(" ".join(written)) > 50
    for cell in cells[1:]:
        assert sorted(said(cell).split()) == sorted([note, *written])  # stderr may come later


@on_unix
def test_in_colab_the_lines_for_a_terminal_work_with_an_exclamation_mark(work, python, env):
    notebook = in_cells("%cd /", *LINES)
    execute(notebook, work, python, **env)
    assert_all_wrote_the_same(notebook.cells[2:])


def test_outside_colab_they_work_too_whatever_the_path_was(work, tmp_path):
    notebook = in_cells(*LINES)
    bare = {"PATH": os.defpath if os.name != "nt" else os.environ["PATH"]}
    execute(notebook, work, Path(sys.executable), colab=False, **bare)
    assert_all_wrote_the_same(notebook.cells[1:])


# The script


@pytest.fixture
def set_up(work, env):
    """Runs the script out of a copy of this folder's; returns the finished process."""
    shutil.copy(ROOT / "colab_setup.sh", work)
    (work / "pyproject.toml").touch()
    shutil.copytree(ROOT / "nanogpt_lib", work / "nanogpt_lib")

    def run(**more):
        return subprocess.run(
            ["bash", "colab_setup.sh"],
            cwd=work,
            env={**os.environ, **env, **more},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )

    return run


NO_INDEX = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": NOBODY}


@on_unix
def test_without_a_network_the_script_names_what_could_not_be_installed(set_up, python):
    before = packages_in(python)
    done = set_up(**NO_INDEX)
    assert done.returncode == 1
    assert "pip could not install pooch. If there is no network" in done.stdout
    assert packages_in(python) == before


@on_unix
def test_where_the_text_cannot_be_had_the_script_says_how_to_bring_it(set_up, work, wheels, python):
    (pooch,) = wheels.iterdir()
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", pooch], check=True)
    nowhere = {"NANOGPT_CORPUS_URL": f"{NOBODY}/x", "NANOGPT_DATA": str(work / "data")}
    done = set_up(**NO_INDEX, **nowhere)
    assert done.returncode == 1
    assert "Tiny Shakespeare could not be fetched" in done.stdout
    assert "By hand: " in done.stdout
    assert "Traceback" not in done.stderr


@on_unix
def test_a_python_that_is_not_colab_s_is_left_alone(set_up, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    done = set_up(**first_on_path(tmp_path / "bare" / "bin" / "python"))
    assert done.returncode == 1
    assert done.stdout == (
        "There is no torch numpy matplotlib here, so this is no notebook server with PyTorch: "
        "set up with `make setup` instead.\n"
    )


# What it says. Which device gets which precision is tested in test_device.py.


@pytest.fixture
def on(monkeypatch, text):
    """Has the set-up find a device; no such device is needed, for the steps are not run."""

    def run(device: str, dtype: torch.dtype):
        compute = Compute(torch.device(device), dtype, "the reason")
        monkeypatch.setattr(colab, "pick_compute", lambda *_, **width: compute)
        monkeypatch.setattr(colab, "seconds_per_step", lambda preset, _: 0.12)
        assert colab.main() == 0

    return run


def test_on_a_t4_it_tells_of_float16_and_of_the_workshop_s_time(on, capsys):
    on("cuda", torch.float16)
    out = capsys.readouterr().out
    assert "Computing on cuda, float16: the reason\n" in out
    assert "the loss is scaled up" in out
    assert "a `workshop` step takes 120 ms here, so its 5,000 steps take about 11 min 00 s" in out
    assert "No GPU" not in out


def test_on_a_newer_gpu_nothing_is_said_of_scaling(on, capsys):
    on("cuda", torch.bfloat16)
    assert "scaled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variable", "way"),
    [
        ("COLAB_RELEASE_TAG", "Runtime > Change runtime type > T4 GPU, then run all"),
        ("KAGGLE_KERNEL_RUN_TYPE", "Settings > Accelerator > GPU T4 x2, then run all"),
        ("NOBODY_KNOWS", "choose a machine with a GPU in this server's settings, then run all"),
    ],
)
def test_without_a_gpu_it_says_where_to_click_and_what_goes_on(
    on, capsys, monkeypatch, variable, way
):
    monkeypatch.setenv(variable, "1")
    on("cpu", torch.float32)
    out = capsys.readouterr().out
    assert way in out
    assert "a `pocket` step takes 120 ms here, so its 1,500 steps take about 3 min 18 s" in out
