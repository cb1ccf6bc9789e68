"""The package: built from this checkout, installed where there is no checkout, and used there.

It is built in a copy, so that nothing left in a `build` folder here gets into it, and in the way
of a release: first the source package, then the wheel out of that.
"""

import email
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from colab_like import HOME, ROOT, copy_files

import nanogpt_lib
from nanogpt_lib.machine.paths import data_dir

pytestmark = pytest.mark.slow

IN_PYTHON = """
import nanogpt_lib
print(nanogpt_lib.__file__)
for name in nanogpt_lib.__all__:
    getattr(nanogpt_lib, name)

from nanogpt_lib import clinic
assert clinic.recorded("healthy").history
assert clinic.diagnosis("patient-a")["illness"]

from nanogpt_lib import exercises as ex
for exercise in ex.ALL.values():
    exercise.check()
    exercise.hint()
    exercise.solution()
print(len(ex.ALL))
"""


def run(*command, **kwargs) -> str:
    """Runs a program that has to succeed; returns what it printed."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, encoding="utf-8", **kwargs
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """(names of this repository's files, the source package, the wheel)"""
    copy, dist = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    names = copy_files(copy)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, copy)
    (source,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    return names, source, wheel


@pytest.fixture(scope="module")
def held(packages):
    """The names of the files in the wheel."""
    with zipfile.ZipFile(packages[2]) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def about(packages, held):
    """The metadata of the wheel; its payload is the long description."""
    (name,) = (name for name in held if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(packages[2]) as archive:
        return email.message_from_string(archive.read(name).decode())


@pytest.fixture(scope="module")
def installed(packages, tmp_path_factory):
    """Where a new environment has its programs and its packages: (Path, Path).

    The wheel is in it, and all that the wheel depends on; this checkout is not.
    """
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", home)
    base = {"base": str(home), "platbase": str(home)}
    programs, there = (
        Path(sysconfig.get_path(kind, "venv", base)) for kind in ("scripts", "purelib")
    )
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet"]
    run(*pip, "--no-index", "--no-deps", packages[2])
    # Only now, so that pip sees no other installation. Python searches a folder that a .pth file
    # names, but reads no .pth file in there, so an editable installation of this checkout is none.
    here = sysconfig.get_path("purelib")
    (there / "dependencies.pth").write_text(f"{here}\n", encoding="utf-8")
    return programs, there


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """How to run a program in one folder, empty at first, that knows of no checkout."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("NANOGPT_")}
    env.pop("PYTHONPATH", None)
    env |= {"NANOGPT_DATA": str(data_dir().resolve()), "PYTHONUTF8": "1"}
    return {"cwd": tmp_path_factory.mktemp("elsewhere"), "env": env}


@pytest.fixture
def brought(installed, outside):
    """Runs the command that the wheel has brought; returns what it printed."""
    return lambda *args: run(installed[0] / "nanogpt", *args, **outside)


# What is in it


def test_the_wheel_holds_the_library_with_its_data_and_nothing_else(packages, held):
    library = {name for name in packages[0] if name.startswith("nanogpt_lib/")}
    assert {name for name in held if ".dist-info/" not in name} == library
    data = {"nanogpt_lib/recorded/pocket.safetensors", "nanogpt_lib/shakespeare/errata.json"}
    assert data < held


def test_a_package_index_would_take_both(packages):
    told = run(sys.executable, "-m", "twine", "check", "--strict", *packages[1:])
    assert told.count("PASSED") == 2, told


def test_it_says_who_may_use_it_and_on_which_python(about):
    assert about["License-Expression"] == "MIT" and about["License-File"] == "LICENSE"
    assert about["Requires-Python"] == ">=3.11"
    assert about.get_all("Project-URL") == [f"Repository, {HOME.url}"]


def test_the_long_description_is_the_readme_with_links_that_work_elsewhere(about):
    assert about["Description-Content-Type"] == "text/markdown"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = r"(!?)\[[^\]]*\]\(([^)\s]+)\)"
    there = re.findall(links, about.get_payload())
    assert len(there) == len(re.findall(links, readme)) > 20
    for picture, link in there:
        assert link.startswith("https://"), link
        found = re.fullmatch(rf"{HOME.url}/(blob|raw)/{HOME.branch}/(.*)", link)
        if found:
            assert (found[1] == "raw") == bool(picture) and (ROOT / found[2]).is_file(), link
    assert sum(bool(picture) for picture, _ in there) >= 1  # the replay


# How it works where there is nothing else


def test_python_finds_every_name_the_clinic_and_every_exercise(installed, outside):
    programs, there = installed
    printed = run(programs / "python", "-c", IN_PYTHON, **outside).splitlines()
    assert Path(printed[0]) == there / "nanogpt_lib" / "__init__.py"
    assert int(printed[-1]) > 50
    assert sum(line.startswith("Not attempted") for line in printed) == int(printed[-1])


def test_the_command_tells_its_version_and_without_a_word_its_help(brought):
    assert brought("--version") == f"nanogpt {nanogpt_lib.__version__}\n"
    assert brought() == brought("--help")
    assert "first steps:" in brought()


def test_the_recorded_runs_are_there_to_see(brought):
    assert {"pocket", "healthy", "patient-a"} < {
        line.split()[0] for line in brought("replay", "--list").splitlines()
    }
    assert "1,500" in brought("replay", "pocket", "--seconds", "1", "--linger", "0")


def test_the_shipped_model_writes_and_can_be_exported(brought, outside):
    assert len(brought("sample", "pocket", "-n", "20", "--seed", "1")) == 20 + len("\n")
    brought("export", "pocket", "--to", "exported")
    assert (outside["cwd"] / "exported" / "model.safetensors").is_file()


def test_recorded_runs_are_compared(brought, outside):
    table = brought("compare", "pocket", "healthy", "--out", "recorded.png")
    assert "pocket" in table and "healthy" in table
    assert (outside["cwd"] / "recorded.png").is_file()


def test_a_training_goes_to_the_current_folder_and_what_it_advises_is_there(brought, outside):
    folder = outside["cwd"]
    printed = brought("train", "--preset", "smoke")
    assert (folder / "runs" / "smoke" / "run.jsonl").is_file()
    assert not (folder / "data").exists()
    assert "smoke" in brought("compare")
    assert "make " not in printed
    assert f"the course is at {HOME.url}" in printed.replace(f"/tree/{HOME.branch}", "")


def test_the_lab_says_where_the_notebooks_are(installed, outside):
    command = [installed[0] / "nanogpt", "lab"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", **outside)
    assert done.returncode == 2
    assert f"the course is at {HOME.url}" in done.stderr
