"""The branch that Colab's badges open, written for real, and pushed to a bare repository."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from colab_like import HOME, git

from nanogpt_lib.room.lab import without_outputs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))  # as when Python runs a file in there
TOOL = runpy.run_path(str(ROOT / "tools" / "blank_branch.py"))
ME = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
BLANK = HOME.blank


@pytest.fixture
def blank_branch(tmp_path):
    """(a repository with two notebooks of the course, a bare one of the same)"""
    course, bare = tmp_path / "course", tmp_path / "bare.git"
    course.mkdir()
    shutil.copy(ROOT / "pyproject.toml", course)
    (course / "notebooks").mkdir()
    for name in ("00_start_here.ipynb", "03_model.ipynb"):
        shutil.copy(ROOT / "notebooks" / name, course / "notebooks")
    git(course, "init", "--quiet", "--initial-branch", HOME.branch)
    git(course, "add", "--all")
    git(course, *ME, "commit", "--quiet", "--message", "The course")
    git(tmp_path, "clone", "--quiet", "--bare", course, bare)
    git(course, "remote", "add", "origin", bare)
    return course, bare


def write(course, *words):
    return TOOL["main"](list(words), course)


def shown(repository, name):
    return git(repository, "show", f"{BLANK}:{name}")


def test_it_holds_the_same_files_and_the_same_notebooks_without_outputs(blank_branch):
    course, bare = blank_branch
    before = git(course, "status", "--porcelain", "--branch")
    assert write(course, "--push", "origin") == 0
    assert git(course, "status", "--porcelain", "--branch") == before
    changed = git(bare, "diff", "--name-only", HOME.branch, BLANK).split()
    names = [p.relative_to(course).as_posix() for p in sorted(course.glob("notebooks/*.ipynb"))]
    assert changed == names
    for name in names:
        original = json.loads((course / name).read_text(encoding="utf-8"))
        assert json.loads(shown(bare, name)) == without_outputs(original) != original


def test_what_a_badge_opens_is_there(blank_branch):
    course, bare = blank_branch
    assert write(course, "--push", "origin") == 0
    for path in course.glob("notebooks/*.ipynb"):
        link = f"/blob/{BLANK}/notebooks/{path.name}"
        assert link in path.read_text(encoding="utf-8")
        assert '"outputs": []' in shown(bare, f"notebooks/{path.name}")


def test_a_change_adds_a_commit_and_the_same_course_adds_none(blank_branch):
    course, bare = blank_branch
    count = ("rev-list", "--count", BLANK)
    for times in (1, 1, 2):
        if times == 2:
            git(course, *ME, "commit", "--quiet", "--allow-empty", "--message", "No new file")
            write(course, "--push", "origin")
            assert git(bare, *count).strip() == "1"
            (course / "new.txt").write_text("new")
            git(course, "add", ".")
            git(course, *ME, "commit", "--quiet", "--message", "A new file")
        assert write(course, "--push", "origin") == 0
        assert git(bare, *count).strip() == str(times)


def test_a_fresh_clone_goes_on_from_what_was_pushed(blank_branch, tmp_path):
    course, bare = blank_branch
    write(course, "--push", "origin")
    git(course, *ME, "push", "--quiet", "origin", HOME.branch)
    git(tmp_path, "clone", "--quiet", bare, "elsewhere")
    clone = tmp_path / "elsewhere"
    (clone / "new.txt").write_text("new")
    git(clone, "add", ".")
    git(clone, *ME, "commit", "--quiet", "--message", "A new file")
    assert write(clone, "--push", "origin") == 0
    assert git(bare, "rev-list", "--count", BLANK).strip() == "2"


def test_a_pinned_tag_has_a_branch_of_its_own(blank_branch, capsys):
    course, _ = blank_branch
    project = course / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace(HOME.url, f"{HOME.url}/tree/spring-2027"), encoding="utf-8")
    assert write(course) == 1
    assert "no branch or tag spring-2027" in capsys.readouterr().err
    git(course, "tag", "spring-2027")
    assert write(course) == 0
    assert git(course, "rev-parse", "spring-2027-blank")


def test_a_remote_that_is_not_there_is_named(blank_branch, capsys):
    course, _ = blank_branch
    assert write(course, "--push", "nowhere") == 1
    assert "nowhere" in capsys.readouterr().err


def test_it_runs_as_a_workflow_runs_it():
    done = subprocess.run(
        [sys.executable, "tools/blank_branch.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    workflow = (ROOT / ".github" / "workflows" / "blank.yml").read_text(encoding="utf-8")
    assert "python tools/blank_branch.py --push origin" in workflow
