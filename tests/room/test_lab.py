"""`nanogpt lab`: copies without outputs that belong to the learner, and JupyterLab on them."""

import contextlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import nbformat
import pytest

from nanogpt_lib.cli import main
from nanogpt_lib.room import lab

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def a_course(tmp_path, monkeypatch):
    """A checkout with two notebooks that have outputs, and a git that knows the kit's ignores."""
    (tmp_path / "nanogpt_lib").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    (tmp_path / "notebooks").mkdir()
    for name in ("00_start_here", "03_model"):
        publish(tmp_path, name, "Guess: [how](../docs/x.md)?")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def publish(root, name, words):
    """Puts a state of a notebook into the course."""
    output = nbformat.v4.new_output("stream", text="the answer")
    code = nbformat.v4.new_code_cell("f()", outputs=[output], execution_count=1, id="b")
    cells = [nbformat.v4.new_markdown_cell(words, id="a"), code]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / f"{name}.ipynb")


def copy_of(root, name):
    return root / "my_notebooks" / f"{name}.ipynb"


def saved(path, **changes):
    """Saves a copy as JupyterLab does after a cell has been run: other order, other layout."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["cells"][1] |= {"execution_count": 1} | changes
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path.read_bytes()


def test_copies_have_all_but_the_outputs(a_course):
    lab.copy_course(a_course)
    for source in (a_course / "notebooks").iterdir():
        copy = nbformat.read(copy_of(a_course, source.stem), as_version=4)
        original = nbformat.read(source, as_version=4)
        nbformat.validate(copy)
        assert [c.source for c in copy.cells] == [c.source for c in original.cells]
        assert "the answer" not in copy_of(a_course, source.stem).read_text()
        assert "the answer" in source.read_text()  # the course keeps its outputs


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda p: p.stem)
def test_a_copy_of_a_real_notebook_differs_in_outputs_and_counts_only(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    copy = lab.without_outputs(notebook)
    assert lab.state(copy) == lab.state(notebook)
    for old, new in zip(notebook["cells"], copy["cells"], strict=True):
        assert {k for k in old if old[k] != new[k]} <= {"outputs", "execution_count"}
        assert not new.get("outputs") and not new.get("execution_count")


def test_links_to_files_lead_to_the_same_place_from_a_copy(a_course):
    lab.copy_course(a_course)
    there = {
        (path / "../docs/x.md").resolve()
        for path in (a_course / "notebooks", a_course / lab.COPIES)
    }
    assert len(there) == 1


def test_git_sees_nothing_of_the_copies(a_course):
    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ["git", *identity, *words], cwd=a_course, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "The course")
    lab.copy_course(a_course)
    saved(copy_of(a_course, "03_model"))
    (a_course / lab.COPIES / ".ipynb_checkpoints").mkdir()
    assert git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    "change", [{"source": "answer = 42"}, {"outputs": []}], ids=["an answer", "only run"]
)
def test_a_newer_course_never_overwrites_work(a_course, change):
    lab.copy_course(a_course)
    mine = saved(copy_of(a_course, "03_model"), **change)
    for words in ("A newer course.", "The newest."):
        publish(a_course, "03_model", words)
        news = lab.copy_course(a_course)
        assert copy_of(a_course, "03_model").read_bytes() == mine
        assert any("03_model has changed" in line and "--fresh 03_model" in line for line in news)


def test_what_nobody_has_touched_follows_the_course(a_course):
    lab.copy_course(a_course)
    publish(a_course, "03_model", "A newer course.")
    news = lab.copy_course(a_course)
    assert "A newer course." in copy_of(a_course, "03_model").read_text()
    assert not any("03_model" in line for line in news)


def test_the_same_course_again_says_nothing_and_writes_nothing(a_course):
    lab.copy_course(a_course)
    mine = saved(copy_of(a_course, "03_model"))
    assert len(lab.copy_course(a_course)) == 1
    assert copy_of(a_course, "03_model").read_bytes() == mine


def test_a_copy_that_is_no_notebook_any_more_is_left_alone(a_course):
    lab.copy_course(a_course)
    copy_of(a_course, "03_model").write_text("<<<<<<< oh")
    publish(a_course, "03_model", "A newer course.")
    lab.copy_course(a_course)
    assert copy_of(a_course, "03_model").read_text() == "<<<<<<< oh"


@pytest.mark.parametrize("name", ["03", "03_model", "my_notebooks/03_model.ipynb"])
def test_fresh_restores_one_and_keeps_the_old(a_course, capsys, name):
    lab.copy_course(a_course)
    new = copy_of(a_course, "03_model").read_bytes()
    mine = saved(copy_of(a_course, "03_model"), source="answer = 42")
    other = saved(copy_of(a_course, "00_start_here"))
    for number in (1, 2):
        assert main(["lab", "--fresh", name]) == 0
        assert f"03_model.old{number}.ipynb" in capsys.readouterr().out
    assert copy_of(a_course, "03_model").read_bytes() == new
    assert copy_of(a_course, "03_model.old1").read_bytes() == mine
    assert copy_of(a_course, "00_start_here").read_bytes() == other


@pytest.mark.parametrize("name", ["11_more", "0", "", ".ipynb"])
def test_fresh_says_which_notebooks_there_are(a_course, name):
    with pytest.raises(ValueError, match="there are 00_start_here, 03_model"):
        lab.fresh(name)


def test_without_notebooks_it_says_where_the_course_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab, "LIBRARY", tmp_path)  # as from a wheel
    monkeypatch.setattr("nanogpt_lib.machine.paths.LIBRARY", tmp_path)
    assert main(["lab"]) == 2
    assert "the course is at https://github.com/" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_root_is_told_how_to_allow_what_jupyterlab_refuses(a_course, monkeypatch, capsys):
    monkeypatch.chdir(a_course)
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    assert main(["lab"]) == 2
    assert "nanogpt lab -- --allow-root" in capsys.readouterr().err


@pytest.mark.slow
def test_jupyterlab_opens_the_first_copy_with_the_repository_as_root(a_course):
    """The learner's own terminal: `nanogpt` is found, and the library's files can be opened."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": os.defpath, "PYTHONUTF8": "1"}
    environment |= {"JUPYTER_CONFIG_DIR": str(a_course), "JUPYTER_RUNTIME_DIR": str(a_course)}
    options = ("--no-browser", "--port=0", "--allow-root", "--ServerApp.ip=127.0.0.1")
    server = subprocess.Popen(
        [sys.executable, "-m", "nanogpt_lib", "lab", "--", *options],
        cwd=a_course / "notebooks",
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = next(m[0] for line in server.stderr if (m := re.search(r"http://\S+token=\w+", line)))
        assert "/lab/tree/my_notebooks/00_start_here.ipynb?" in url
        base, token = url.partition("lab/tree")[0], url.partition("token=")[2]

        def ask(page, data=None):
            request = urllib.request.Request(f"{base}api/{page}", data)
            request.add_header("Authorization", f"token {token}")
            for _ in range(100):  # it names its address a moment before it listens
                with contextlib.suppress(URLError), urllib.request.urlopen(request) as answer:
                    return json.load(answer)
                time.sleep(0.1)

        names = {item["name"] for item in ask("contents")["content"]}
        assert {"nanogpt_lib", "notebooks", "my_notebooks"} <= names
        ask("terminals", b"{}")
        if sys.platform == "linux":  # what stands in the environment of the new shell
            (shell,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            path = Path(f"/proc/{shell}/environ").read_bytes().split(b"\0PATH=")[1].split(b"\0")[0]
            assert path.decode().startswith(sysconfig.get_path("scripts") + os.pathsep)
    finally:
        server.terminate()
        server.wait(timeout=30)
