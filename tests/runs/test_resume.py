"""A run that was stopped in any way and resumed is the run that was never stopped, bit for bit."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import replace

import pytest
import torch
from snapshots import same

from nanogpt_lib.checks import TextError
from nanogpt_lib.cli import main
from nanogpt_lib.machine.device import Compute
from nanogpt_lib.runs import checkpoint, record
from nanogpt_lib.runs.checkpoint import CheckpointError
from nanogpt_lib.runs.presets import get_preset
from nanogpt_lib.runs.record import RecordError
from nanogpt_lib.runs.whole import resume, train_preset
from nanogpt_lib.training import Callback

pytestmark = pytest.mark.slow
SOAK = pytest.mark.soak

CPU = Compute(torch.device("cpu"), torch.float32, "the same everywhere")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and fork of POSIX")


@pytest.fixture(scope="module")
def novel(text, tmp_path_factory):
    """A text of one's own."""
    path = tmp_path_factory.mktemp("text") / "novel.txt"
    path.write_text(text[:20_000], encoding="utf-8", newline="\n")
    return path


def arguments(novel, folder, steps, interval):
    """The command line of a small run with dropout."""
    small = "train --preset smoke --device cpu --dtype float32 --dropout 0.2"
    sizes = f"--steps {steps} --eval-interval {interval}"
    return [*small.split(), *sizes.split(), "--text", str(novel), "--out", str(folder)]


@pytest.fixture(scope="module")
def through(novel, tmp_path_factory):
    """The folder of a run of 60 steps that nothing ever stopped."""
    folder = tmp_path_factory.mktemp("through") / "run"
    assert main(arguments(novel, folder, 60, 15)) == 0
    return folder


@pytest.fixture(scope="module")
def short(novel, tmp_path_factory):
    """The folder of a run of 4 steps that nothing ever stopped."""
    folder = tmp_path_factory.mktemp("short") / "run"
    assert main(arguments(novel, folder, 4, 2)) == 0
    return folder


class StopAt3(Callback):
    def on_step(self, run):
        if run.step == 3:
            signal.raise_signal(signal.SIGINT)  # Ctrl-C


@pytest.fixture(scope="module")
def stopped_once(novel, tmp_path_factory):
    """The folder of the short run, interrupted after 3 steps; last.pt is newer than previous.pt."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    preset = get_preset("smoke")
    settings = replace(preset.train, max_steps=4, eval_interval=2, eval_batches=1)
    preset = replace(preset, model=replace(preset.model, dropout=0.2), train=settings)
    result = train_preset(preset, str(novel), folder, CPU, callbacks=[StopAt3()])
    assert result.run.stopped == "interrupted" and result.whole_val_loss is None
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    """A copy of it to go on with."""
    return shutil.copytree(stopped_once, tmp_path / "stopped")


def assert_same_run(folder, through):
    """The same weights, optimiser, dice and record; only the clock may differ."""
    for name in ("last.pt", "best.pt"):
        one, two = checkpoint.load(folder / name), checkpoint.load(through / name)
        for part in one.keys() - {"seconds", "history"}:
            assert same(one[part], two[part]), f"{part} of {name} differs"
    one, two = record.read(folder), record.read(through)
    histories = [[replace(point, seconds=0) for point in r.history] for r in (one, two)]
    assert histories[0] == histories[1]  # steps, losses and samples, none twice, none missing
    assert one.end["stopped"] == two.end["stopped"] == "finished"
    assert one.result["whole_val_loss"] == two.result["whole_val_loss"]
    wanted = {"run.jsonl", "last.pt", "previous.pt", "best.pt", "loss.png"}
    assert {path.name for path in folder.iterdir()} == wanted  # and nothing half written


# --- the real command line, killed and interrupted ---


def nanogpt(*args):
    """The real command line, started and left alone."""
    command = [sys.executable, "-m", "nanogpt_lib", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for_evaluations(process, folder, wanted):
    """Waits until the record of a running program holds so many evaluations."""
    record = folder / "run.jsonl"
    while not record.exists() or record.read_text("utf-8").count('"type": "eval"') < wanted:
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(0.005)


def test_a_run_killed_once_and_interrupted_once_ends_as_if_it_had_not_been(
    novel, through, tmp_path
):
    folder = tmp_path / "run"
    process = nanogpt(*arguments(novel, folder, 60, 15))
    wait_for_evaluations(process, folder, 2)
    process.kill()  # SIGKILL: no handler, no farewell
    process.communicate()
    assert record.read(folder).end is None

    process = nanogpt("resume", folder)
    wait_for_evaluations(process, folder, 3)
    if sys.platform == "win32":  # where a program cannot send Ctrl-C to one other
        process.kill()
        process.communicate()
    else:
        process.send_signal(signal.SIGINT)
        output = process.communicate()[0].decode()
        assert process.returncode == 0 and "Traceback" not in output
        assert "Stopping after this step" in output
        assert f"nanogpt resume {folder}    goes on where it stopped" in output
        end = record.read(folder).end
        assert end["stopped"] == "interrupted" and 30 <= end["step"] < 60
        assert checkpoint.load(folder / "last.pt")["step"] == end["step"]

    assert main(["resume", str(folder)]) == 0
    assert_same_run(folder, through)


# --- many kills: a copy of this process is a program that need not start ---


def in_a_copy(work):
    """Runs `work` in a copy of this process (fork); returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def exit_code(child):
    """0 where a copy came to its end, -9 where SIGKILL ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def begin_or_resume(novel, folder):
    """What a user does: resumes, or starts anew where the run was killed before it could save."""
    if any((folder / name).exists() for name in ("last.pt", "previous.pt")):
        resume(folder, "cpu")
    else:
        shutil.rmtree(folder, ignore_errors=True)
        assert main(arguments(novel, folder, 4, 2)) == 0


def die_at_disk_operation(number):
    """From now on this process kills itself as it is about to touch the disk once too often."""
    left = [number]

    def deadly(operation):
        def run(*args):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args)

        return run

    os.fsync, os.replace = deadly(os.fsync), deadly(os.replace)


@POSIX
def test_a_run_killed_at_its_1st_2nd_3rd_disk_operation_comes_through(novel, short, tmp_path):
    # Each resumption gets one write, flush or renaming further than the one before it; between
    # two operations lies every state in which the files of a run can be left.
    def work():
        die_at_disk_operation(number)
        begin_or_resume(novel, tmp_path / "run")

    number, code = 0, None
    while code != 0:
        number += 1
        code = exit_code(in_a_copy(work))
        assert code in (0, -signal.SIGKILL)
    assert number > 8
    assert_same_run(tmp_path / "run", short)


@POSIX
@pytest.mark.parametrize("chain", [0, *(pytest.param(i, marks=SOAK) for i in range(1, 25))])
def test_a_run_killed_at_random_moments_comes_through(novel, short, tmp_path, chain):
    kills, code = 0, None
    while code != 0:
        child = in_a_copy(lambda: begin_or_resume(novel, tmp_path / "run"))
        if kills < 6:
            time.sleep(random.uniform(0, 1.0))
            os.kill(child, signal.SIGKILL)
        code = exit_code(child)
        kills += code != 0
        assert code in (0, -signal.SIGKILL)
    assert_same_run(tmp_path / "run", short)


# --- resuming in all circumstances ---


def test_resuming_continues_exactly_and_is_noted_in_the_record(stopped, short):
    result = resume(stopped, "cpu")
    assert result.run.stopped == "finished" and result.folder == stopped
    assert_same_run(stopped, short)
    lines = (stopped / "run.jsonl").read_text(encoding="utf-8").splitlines()
    kinds = [(line["type"], line.get("step")) for line in map(json.loads, lines)]
    evaluations = [("eval", 0), ("eval", 2), ("resumed", 3), ("eval", 4)]
    assert kinds == [("run", None), *evaluations, ("end", 4), ("result", 4)]


def test_with_a_damaged_checkpoint_it_goes_on_from_the_previous_one(stopped, short, capsys):
    data = (stopped / "last.pt").read_bytes()
    (stopped / "last.pt").write_bytes(data[: len(data) // 2])
    resume(stopped, "cpu")
    assert "last.pt is damaged" in capsys.readouterr().out
    assert_same_run(stopped, short)


def test_with_both_checkpoints_damaged_nothing_is_trained(stopped):
    for name in ("last.pt", "previous.pt"):
        (stopped / name).write_bytes(b"")
    record = (stopped / "run.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="Start a new run"):
        resume(stopped)
    assert (stopped / "run.jsonl").read_bytes() == record


def test_a_lost_best_checkpoint_is_replaced_by_the_next_best_thing(stopped, capsys):
    (stopped / "best.pt").write_bytes(b"")
    assert resume(stopped, "cpu").whole_val_loss > 0
    assert checkpoint.load(stopped / "best.pt")["step"] == 4


def test_a_run_from_a_gpu_goes_on_here(stopped):
    data = checkpoint.load(stopped / "last.pt")
    elsewhere = {"device": "cuda", "dtype": "bfloat16", "cuda_rng": [data["cpu_rng"]] * 8}
    torch.save(data | elsewhere, stopped / "last.pt")
    run = resume(stopped, "cpu").run
    assert run.stopped == "finished" and run.compute.device.type == "cpu"


def test_the_precision_of_the_run_is_kept_on_its_own_device(stopped):
    data = checkpoint.load(stopped / "last.pt")
    torch.save(data | {"dtype": "bfloat16"}, stopped / "last.pt")
    assert resume(stopped, "cpu").run.compute.dtype == torch.bfloat16


def test_a_text_that_has_moved_can_be_named(stopped, short, novel, tmp_path):
    moved = shutil.copy(novel, tmp_path / "moved.txt")
    about = checkpoint.load(stopped / "last.pt")["about"]
    change = {"about": about | {"text": str(tmp_path / "gone.txt")}}
    torch.save(checkpoint.load(stopped / "last.pt") | change, stopped / "last.pt")
    with pytest.raises(TextError, match=r"gone\.txt, this run's text, is not there: .* --text"):
        resume(stopped, "cpu")
    resume(stopped, "cpu", text=str(moved))
    assert record.read(stopped).result == record.read(short).result | {
        "peak_memory_gib": record.read(stopped).result["peak_memory_gib"]
    }


@pytest.mark.parametrize("other", ["another text. " * 500, "Ganz ähnlich, größer! " * 500])
def test_another_text_is_refused(stopped, tmp_path, other):
    (tmp_path / "other.txt").write_text(other, encoding="utf-8")
    record = (stopped / "run.jsonl").read_bytes()
    with pytest.raises(TextError, match=r"other\.txt is not the text that this run began with"):
        resume(stopped, "cpu", text=str(tmp_path / "other.txt"))
    assert (stopped / "run.jsonl").read_bytes() == record


def test_a_record_that_is_lost_or_damaged_is_named_before_hours_of_training(stopped):
    record = stopped / "run.jsonl"
    lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
    record.write_text("".join([lines[0], "{oops\n", *lines[2:]]), encoding="utf-8")
    with pytest.raises(RecordError, match=r"run\.jsonl, line 2 is not a line of a run record"):
        resume(stopped, "cpu")
    record.unlink()
    with pytest.raises(RecordError, match=r"there is no run record .*run\.jsonl"):
        resume(stopped, "cpu")
    assert checkpoint.load(stopped / "last.pt")["step"] == 3  # nothing was trained


def test_a_finished_run_can_be_given_more_steps(short, tmp_path):
    folder = shutil.copytree(short, tmp_path / "run")
    assert main(["resume", str(folder), "--more-steps", "2"]) == 0
    kept = record.read(folder)
    assert [point.step for point in kept.history] == [0, 2, 4, 6]
    assert kept.end["train_config"]["max_steps"] == 6


def test_a_run_whose_time_is_over_can_be_given_more_steps(stopped):
    data = checkpoint.load(stopped / "last.pt")
    over = {"train_config": data["train_config"] | {"max_seconds": 0.001}}
    torch.save(data | over, stopped / "last.pt")
    assert resume(stopped, "cpu", more_steps=2).run.step == 6


def test_fewer_than_no_more_steps_are_refused(stopped):
    with pytest.raises(ValueError, match="more_steps must not be negative: -1"):
        resume(stopped, more_steps=-1)


def test_a_folder_with_a_run_is_never_overwritten(stopped):
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}
    with pytest.raises(FileExistsError, match="holds a run already: resume it, or name another"):
        train_preset(get_preset("smoke"), folder=stopped, compute=CPU)
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before
