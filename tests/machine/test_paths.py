"""Where text, runs and recorded runs lie: one answer, wherever one asks."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogpt_lib.machine import paths

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("NANOGPT_RUNS", "NANOGPT_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("folder", ["", "notebooks", "docs/images", "nanogpt_lib/runs"])
def test_from_anywhere_in_the_checkout_runs_lie_in_its_runs(folder, monkeypatch):
    monkeypatch.chdir(ROOT / folder)
    assert paths.runs_dir().resolve() == ROOT / "runs"
    assert paths.data_dir() == ROOT / "data"


def test_in_another_folder_runs_lie_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.runs_dir() == Path("runs")
    assert paths.data_dir() == ROOT / "data"  # the library's own checkout has the text


def test_in_another_checkout_runs_lie_in_that_one(tmp_path, monkeypatch):
    (tmp_path / "nanogpt_lib").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert paths.runs_dir().resolve() == (tmp_path / "runs").resolve()


def test_a_variable_comes_first_and_may_name_the_home_folder(tmp_path, monkeypatch):
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    monkeypatch.setenv("NANOGPT_RUNS", "~/mine")
    monkeypatch.setenv("NANOGPT_DATA", "~/texts")
    assert paths.runs_dir() == tmp_path / "mine"
    assert paths.data_dir() == tmp_path / "texts"


def test_the_recorded_runs_are_the_library_s_own():
    assert (paths.RECORDED / "pocket.safetensors").is_file()
    assert paths.RECORDED.parent == paths.LIBRARY


def test_make_is_advised_where_there_is_a_makefile_only(tmp_path, monkeypatch):
    monkeypatch.setattr(paths.shutil, "which", lambda program: program)
    for folder, command in (("", "make lab"), ("notebooks", "make -C .. lab")):
        monkeypatch.chdir(ROOT / folder)
        assert paths.advice("lab", "nanogpt lab") == command
    monkeypatch.setattr(paths.shutil, "which", lambda program: None)
    assert paths.advice("lab", "nanogpt lab") == "nanogpt lab"
    monkeypatch.chdir(tmp_path)
    assert paths.advice("lab", "nanogpt lab") == "nanogpt lab"


def test_the_way_to_the_course_leads_to_the_notebooks(tmp_path, monkeypatch):
    def not_installed(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(paths.shutil, "which", lambda program: None)
    monkeypatch.chdir(tmp_path)  # the library's own checkout has them
    assert paths.way_to_the_course() == "nanogpt lab    opens the course"
    monkeypatch.setattr(paths, "LIBRARY", tmp_path / "nanogpt_lib")  # as from a wheel
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert paths.way_to_the_course() == f"the course is at {project['urls']['Repository']}"
    monkeypatch.setattr("importlib.metadata.metadata", not_installed)
    assert paths.way_to_the_course() == "the course is at its repository"


@pytest.mark.slow
def test_what_a_notebook_trained_is_found_by_the_command_line(tmp_path):
    """A checkout of its own: a notebook in notebooks/ trains, the command line stands above."""
    for name in ("nanogpt_lib", "notebooks"):
        (tmp_path / name).mkdir()
    (tmp_path / "pyproject.toml").touch()
    trains = (
        "from nanogpt_lib import get_preset, train_preset\n"
        "train_preset(get_preset('smoke'), text='../play.txt')"
    )
    (tmp_path / "play.txt").write_text("To be, or not to be: that is the question.\n" * 40)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    notebook = [sys.executable, "-c", trains]
    subprocess.run(notebook, cwd=tmp_path / "notebooks", env=env, check=True, capture_output=True)
    command = [sys.executable, "-P", "-m", "nanogpt_lib", "compare"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "smoke" in done.stdout
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["smoke"]


# --- commands to paste ---

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(NAMES)
def test_a_command_can_be_pasted_whatever_its_path_holds(name):
    line = paths.command_line("nanogpt", "sample", Path(name), "--temperature", 0.9, windows=False)
    words = shlex.split(line)
    assert [*words[:2], *words[3:]] == ["nanogpt", "sample", "--temperature", "0.9"]
    assert Path(words[2]) == Path(name) and words[2][0] != "-"


def test_where_nanogpt_is_on_no_path_it_is_named_with_its_place(monkeypatch, tmp_path):
    assert paths.program() == "nanogpt"
    beside = shutil.which("nanogpt")
    monkeypatch.setenv("PATH", str(tmp_path))  # as after `make train`
    monkeypatch.chdir(tmp_path)
    assert paths.program() == Path(beside)
    monkeypatch.chdir(Path(beside).parents[1])
    assert paths.program() == Path(beside).relative_to(Path(beside).parents[1])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))  # not installed, as in Colab
    assert paths.program() == "nanogpt"


@pytest.mark.skipif(os.name == "nt", reason="the shell of POSIX")
@pytest.mark.parametrize(
    "name", ["mein Lauf ä", "it's", "$HOME", "a&b;c|d>e", "-n", "~", "a\nb", '"']
)
def test_a_real_shell_reads_such_a_command_as_it_is_meant(name):
    line = paths.command_line(sys.executable, "-c", "import sys; print(sys.argv[1:])", Path(name))
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, encoding="utf-8")
    assert done.stdout == f"{['./-n' if name == '-n' else name]}\n"


def as_windows_splits(line):
    """The words of a command line, by the rules of Microsoft's C runtime, written out again."""
    words, word, quoted, i = [], None, False, 0
    while i < len(line):
        slashes = len(re.match(r"\\*", line[i:])[0])
        after = line[i + slashes : i + slashes + 1]
        if slashes:
            word = (word or "") + "\\" * (slashes // 2 if after == '"' else slashes)
            i += slashes
            if after == '"' and slashes % 2:
                word, i = word + '"', i + 1
        elif after == '"':
            word, quoted, i = word or "", not quoted, i + 1
        elif after in " \t" and not quoted:
            words, word, i = [*words, *([] if word is None else [word])], None, i + 1
        else:
            word, i = (word or "") + after, i + 1
    return [*words, *([] if word is None else [word])]


@given(st.lists(st.text(st.sampled_from('ab \\"&^%ä-;'), max_size=8)))
def test_windows_too_reads_such_a_command_as_it_is_meant(words):
    line = paths.command_line("nanogpt", *words, windows=True)
    assert as_windows_splits(line) == ["nanogpt", *words]
    outside = "".join(line.split('"')[::2])  # cmd acts on these marks outside of quotes
    assert any('"' in word for word in words) or not set(outside) & set("&^;")


def test_the_way_to_the_course_can_be_pasted_too(tmp_path, monkeypatch):
    root = tmp_path / "my course"
    for folder in ("nanogpt_lib", "notebooks", "inside"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root / "notebooks")
    line = paths.way_to_the_course().split("    ")[0]
    assert line == "nanogpt lab"
    (root / "Makefile").touch()
    outside = tmp_path / "-odd"
    root.rename(outside)
    monkeypatch.chdir(outside / "inside")
    monkeypatch.setattr(paths.shutil, "which", lambda name: name)
    assert paths.advice("lab", "") == "make -C .. lab"
