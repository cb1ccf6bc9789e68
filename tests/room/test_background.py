"""Training beside a notebook: real processes, really killed, and copies that bring a run back."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest
import torch

from nanogpt_lib.machine.paths import command_line
from nanogpt_lib.room import background
from nanogpt_lib.room.background import (
    as_recorded,
    finished,
    look_in,
    process_of,
    start_or_resume,
    stop,
    wait,
)
from nanogpt_lib.runs import checkpoint, record, untrusted
from nanogpt_lib.runs.callbacks import copy_run
from nanogpt_lib.runs.presets import get_preset

pytestmark = pytest.mark.slow

KILLER = """\
import os, pathlib, signal

def deadly(source, target, replace=os.replace, left=[{times}]):
    left[0] -= "/".join(pathlib.Path(target).parts[-2:]) == "{name}"
    if not left[0]:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    replace(source, target)

os.replace = deadly
"""
CELL = """\
import sys
from nanogpt_lib.room.background import start_or_resume
print("ready", flush=True)
sys.stdin.read()
start_or_resume("smoke")
"""
COPY = pytest.mark.parametrize("name", ["copy/best.safetensors", "copy/last.safetensors"])


def at_start(folder, code, monkeypatch):
    """Has Python programs that are started from now on run some code first."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def ended(folder):
    process = process_of(folder)
    if process:
        process.wait()


def killed(tmp_path, name, times):
    """The folder of a run killed just before a file gets its name, for the so-manyeth time."""
    with pytest.MonkeyPatch.context() as context:
        at_start(tmp_path / "killer", KILLER.format(name=name, times=times), context)
        folder = start_or_resume("smoke", "copy")
        ended(folder)
    assert record.read(folder).end is None
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder, where runs go too; no GPU, so that weights can be compared bit for bit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOGPT_RUNS", "runs")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield tmp_path
    for folder in tmp_path.glob("**/*-talk"):
        process = process_of(folder)
        if process:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing has disturbed."""
    with pytest.MonkeyPatch.context() as context:
        context.setenv("NANOGPT_RUNS", str(tmp_path_factory.mktemp("whole")))
        context.setenv("CUDA_VISIBLE_DEVICES", "")
        folder = start_or_resume("smoke")
        ended(folder)
    return folder


def assert_same_run(folder, other):
    one, two = (checkpoint.load(each / "last.safetensors") for each in (folder, other))
    for name, weight in one["weights"].items():
        assert torch.equal(weight, two["weights"][name]), name
    losses = [
        [(p.step, p.train_loss, p.val_loss, p.sample) for p in record.read(f).history]
        for f in (folder, other)
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_it_trains_in_a_process_of_its_own_to_the_end(whole, capsys):
    assert process_of(whole) is None
    record = untrusted.read(whole)
    assert (record.stopped, record.steps) == ("finished", 30)
    assert record.command == "nanogpt train --preset smoke"  # names no folder of this machine
    assert (whole / "loss.png").exists()
    look_in(whole)
    said = capsys.readouterr().out
    assert said.startswith("Finished: step 30 of 30.") and "not running" not in said


def test_while_it_is_under_way_starting_again_changes_nothing(capsys):
    folder = start_or_resume("smoke")
    process = process_of(folder)
    if hasattr(os, "getpgid"):  # an interrupted cell interrupts the kernel's group: not this one
        assert os.getpgid(process.pid) != os.getpgid(0)
    assert start_or_resume("smoke") == folder
    assert "It is training already." in capsys.readouterr().out
    assert process_of(folder) == process
    wait(folder)
    assert process_of(folder) is None
    capsys.readouterr()
    start_or_resume("smoke")
    assert capsys.readouterr().out.startswith("It has finished. Step 30 of 30;")
    assert process_of(folder) is None


def test_of_two_kernels_that_start_it_at_once_one_does(tmp_path):
    kernels = [
        subprocess.Popen([sys.executable, "-c", CELL], stdin=PIPE, stdout=PIPE, text=True)
        for _ in range(3)
    ]
    for kernel in kernels:
        assert kernel.stdout.readline() == "ready\n"
    for kernel in kernels:
        kernel.stdin.close()
    said = sorted(kernel.stdout.read().split(".")[0] for kernel in kernels)
    assert said == ["It is training already"] * 2 + ["Started: smoke, in a process of its own"]
    ended(tmp_path / "runs" / "smoke-talk")
    assert [p.step for p in record.read(tmp_path / "runs" / "smoke-talk").history] == [
        0,
        10,
        20,
        30,
    ]


def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path, whole, capsys):
    folder = killed(tmp_path, "smoke-talk/last.safetensors", times=3)
    assert {path.stem for path in folder.glob("*.safetensors")} == {"best", "next", "previous"}
    capsys.readouterr()
    look_in(folder)
    assert "It is not running. Run the cell that starts it" in capsys.readouterr().out
    start_or_resume("smoke", "copy")
    assert capsys.readouterr().out.startswith("It was cut off and goes on. Step ")
    ended(folder)
    assert_same_run(folder, whole)


@COPY
def test_a_run_whose_folder_is_lost_comes_back_from_its_copy(name, tmp_path, whole, capsys):
    shutil.rmtree(killed(tmp_path, name, times=2))  # the copy's record is newer than its weights
    folder = start_or_resume("smoke", "copy")
    said = capsys.readouterr().out
    assert "Brought back from copy." in said and "goes on" in said
    ended(folder)
    assert_same_run(folder, whole)
    assert_same_run(tmp_path / "copy", whole)


def test_where_it_was_killed_before_anything_was_saved_it_starts_anew(whole):
    folder = Path("runs", "smoke-talk")
    first_line = (whole / "run.jsonl").read_text("utf-8").split("\n")[0]
    folder.mkdir(parents=True)
    (folder / "run.jsonl").write_text(first_line + "\n", "utf-8")
    assert start_or_resume("smoke") == folder
    ended(folder)
    assert_same_run(folder, whole)


def test_a_new_run_fills_the_minutes_that_were_asked_for():
    folder = start_or_resume("smoke", minutes=0.2)
    ended(folder)
    kept = record.read(folder)
    assert kept.train_config["max_seconds"] <= 12 and kept.train_config["eval_interval"] == 500
    assert (
        kept.end["stopped"] == "finished" and kept.end["step"] > get_preset("smoke").train.max_steps
    )
    with pytest.raises(ValueError, match="minutes must be"):
        start_or_resume("smoke", fresh=True, minutes=0)


def test_another_process_of_the_same_number_is_not_taken_for_it(tmp_path):
    (tmp_path / "process.json").write_text(f'{{"pid": {os.getpid()}, "created": 1.0}}')
    assert process_of(tmp_path) is None
    (tmp_path / "process.json").write_text("nonsense")
    assert process_of(tmp_path) is None


def test_a_run_that_cannot_go_on_says_why(tmp_path, capsys):
    folder = killed(tmp_path, "copy/last.safetensors", times=2)
    for name in ("last.safetensors", "previous.safetensors"):
        if (folder / name).exists():
            (folder / name).write_bytes(b"damaged")
    start_or_resume("smoke")
    ended(folder)
    look_in(folder)
    assert "nanogpt: " in (said := capsys.readouterr().out) and "is damaged" in said


def test_a_copy_that_fails_does_not_stop_the_training(tmp_path, whole):
    (tmp_path / "full").write_text("a file, where a folder is needed")
    folder = start_or_resume("smoke", "full")
    ended(folder)
    assert "note: no copy in" in (folder / "log.txt").read_text("utf-8")
    assert_same_run(folder, whole)


def test_a_copy_of_another_run_is_never_overwritten(nanogpt, whole, tmp_path):
    copy_run(whole, tmp_path / "copy")
    kept = (tmp_path / "copy" / "last.safetensors").read_bytes()
    quick = ("--steps", "2", "--copy-to", "copy")
    done = nanogpt("train", "--preset", "smoke", *quick, check=False)
    assert done.returncode == 2 and "copy holds a run already" in done.stderr
    nanogpt("train", "--preset", "smoke", "--steps", "2", "--out", "other")
    done = nanogpt("resume", "other", "--more-steps", "2", "--copy-to", "copy", check=False)
    assert done.returncode == 2 and "copy holds another run" in done.stderr
    assert (tmp_path / "copy" / "last.safetensors").read_bytes() == kept


SLOW = """\
import time
from nanogpt_lib import training

def slow(*args, lr_at=training.lr_at):
    time.sleep(0.05)
    return lr_at(*args)

training.lr_at = slow
"""


def test_a_rehearsal_is_moved_aside_and_every_kept_run_is_named(whole, capsys, monkeypatch):
    copy, runs = Path("my drive", "smoke"), Path("runs")
    shutil.copytree(whole, runs / "smoke-talk")
    shutil.copytree(whole, runs / "workshop-talk")  # of another day, with a GPU
    copy_run(whole, copy)
    copy_run(whole, Path("my drive", "workshop"))
    monkeypatch.setattr(background, "launch", lambda *args: None)  # what is told is tested here
    start_or_resume("smoke", copy)
    said = capsys.readouterr().out
    assert said.startswith("It has finished. Step 30 of 30;") and "fresh=True" in said
    for path in (runs / "workshop-talk", Path("my drive", "workshop")):
        assert f"Also kept: {path}. Step 30 of 30;" in said
        assert f"`{command_line('nanogpt', 'resume', path)}` goes on with it" in said
    start_or_resume("smoke", copy, fresh=True)
    said = capsys.readouterr().out
    assert "kept in runs/smoke-talk-old." in said.replace("\\", "/") and "Started: smoke" in said
    assert finished(runs / "smoke-talk-old")
    assert (Path("my drive") / "smoke-old" / "last.safetensors").exists() and not copy.exists()


def test_a_drive_that_went_away_is_a_note_and_not_a_traceback(capsys, monkeypatch):
    exists = Path.exists

    def gone(self, **kwargs):
        if "drive" in self.parts:
            raise OSError(107, "Transport endpoint is not connected", str(self))
        return exists(self, **kwargs)

    monkeypatch.setattr(Path, "exists", gone)
    monkeypatch.setattr(background, "launch", lambda *args: None)
    start_or_resume("smoke", Path("drive", "gpt", "smoke"))
    said = capsys.readouterr().out
    assert "cannot be read: Transport endpoint is not connected (the drive went away" in said
    assert "Started: smoke" in said


@pytest.mark.skipif(sys.platform == "win32", reason="there a stopped run loses its latest steps")
def test_a_run_that_is_stopped_saves_its_step_and_can_go_on(tmp_path, whole, monkeypatch, capsys):
    with monkeypatch.context() as context:
        at_start(tmp_path / "slow", SLOW, context)
        folder = start_or_resume("smoke")
    while as_recorded(folder) is None:
        assert process_of(folder)
        time.sleep(0.01)
    stop(folder)
    assert "Stopped. Step " in capsys.readouterr().out
    assert record.read(folder).end["stopped"] == "interrupted"
    start_or_resume("smoke")
    ended(folder)
    assert_same_run(folder, whole)
