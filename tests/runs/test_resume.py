"""A run that was stopped in any way and resumed is the run that was never stopped, bit for bit."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from snapshots import same

from nanogpt_lib.checks import TextError
from nanogpt_lib.cli import main
from nanogpt_lib.machine import lock
from nanogpt_lib.machine.device import Compute
from nanogpt_lib.machine.lock import FolderInUse
from nanogpt_lib.room.background import finished
from nanogpt_lib.runs import checkpoint, record
from nanogpt_lib.runs.checkpoint import CheckpointError
from nanogpt_lib.runs.presets import get_preset
from nanogpt_lib.runs.whole import resume, train_preset
from nanogpt_lib.training import Callback

pytestmark = pytest.mark.slow
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
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
    """The folder of the short run, interrupted after 3 steps; the last checkpoint is newer."""
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
    for name in ("last.safetensors", "best.safetensors"):
        one, two = checkpoint.load(folder / name), checkpoint.load(through / name)
        for part in one.keys() - {"seconds", "history", "about"}:
            assert same(one[part], two[part]), f"{part} of {name} differs"
        for run in (one["about"].pop("run"), two["about"].pop("run")):
            assert run["preset"] == "smoke" and run["text"]["name"] == "novel.txt"
        assert one["about"] == two["about"]
    one, two = record.read(folder), record.read(through)
    histories = [[replace(point, seconds=0) for point in r.history] for r in (one, two)]
    assert histories[0] == histories[1]  # steps, losses and samples, none twice, none missing
    assert one.end["stopped"] == two.end["stopped"] == "finished"
    assert one.result["whole_val_loss"] == two.result["whole_val_loss"]
    wanted = {
        "run.jsonl",
        "last.safetensors",
        "previous.safetensors",
        "best.safetensors",
        "loss.png",
    }
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
        assert end["stopped"] == "interrupted" and 15 <= end["step"] < 60
        assert checkpoint.load(folder / "last.safetensors")["step"] == end["step"]

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
    if any((folder / name).exists() for name in ("last.safetensors", "previous.safetensors")):
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


# --- power failure: only what was synchronised is still there ---


class Disk:
    """What a folder holds after a power failure, at each moment of a run.

    Contents count as they were at the last fsync of the file. Names count as they were at the last
    fsync of the folder (`strict`), or as they are now (`eager`): file systems differ in this, and a
    new name may reach the disk before the contents do.
    """

    def __init__(self, folder, monkeypatch):
        self.folder, self.contents, self.synced, self.states = folder, {}, {}, []
        fsync, rename = os.fsync, os.replace

        def watched_fsync(place):
            fsync(place)
            seen = os.fstat(place)
            if stat.S_ISDIR(seen.st_mode):
                if os.path.samestat(seen, os.stat(folder)):
                    self.synced = self.names()
            else:
                path = os.readlink(f"/proc/self/fd/{place}")
                self.contents[seen.st_ino] = Path(path).read_bytes()
            self.look()

        def watched_rename(old, new):
            rename(old, new)
            self.look()

        monkeypatch.setattr(os, "fsync", watched_fsync)
        monkeypatch.setattr(os, "replace", watched_rename)

    def names(self):
        return {entry.name: entry.inode() for entry in os.scandir(self.folder)}

    def look(self):
        for names in (self.synced, self.names()):
            state = {name: self.contents.get(inode, b"") for name, inode in names.items()}
            if state not in self.states:
                self.states.append(state)


@pytest.fixture(scope="module")
def after_power_failures(novel, short, tmp_path_factory):
    folder = tmp_path_factory.mktemp("power") / "run"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as context:
        disk = Disk(folder, context)
        assert main(arguments(novel, folder, 4, 2)) == 0
    assert_same_run(folder, short)
    return disk.states


@LINUX
@pytest.mark.parametrize(
    "moment", [5, 11, *(pytest.param(i, marks=SOAK) for i in range(18) if i not in (5, 11))]
)
def test_a_power_failure_loses_neither_the_run_nor_its_record(
    after_power_failures, novel, short, tmp_path, moment, capsys
):
    for number, state in enumerate(after_power_failures[moment::18]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, data in state.items():
            (folder / name).write_bytes(data)
        begin_or_resume(novel, folder)
        assert_same_run(folder, short)


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
    data = (stopped / "last.safetensors").read_bytes()
    (stopped / "last.safetensors").write_bytes(data[: len(data) // 2])
    resume(stopped, "cpu")
    assert "last.safetensors is damaged" in capsys.readouterr().out
    assert_same_run(stopped, short)


def test_with_both_checkpoints_damaged_nothing_is_trained(stopped):
    for name in ("last.safetensors", "previous.safetensors"):
        (stopped / name).write_bytes(b"")
    record = (stopped / "run.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="Start a new run"):
        resume(stopped)
    assert (stopped / "run.jsonl").read_bytes() == record


def test_a_lost_best_checkpoint_is_replaced_by_the_next_best_thing(stopped, capsys):
    (stopped / "best.safetensors").write_bytes(b"")
    assert resume(stopped, "cpu").whole_val_loss > 0
    assert checkpoint.load(stopped / "best.safetensors")["step"] == 4


def test_a_run_from_a_gpu_goes_on_here(stopped):
    data = checkpoint.load(stopped / "last.safetensors")
    data["random"] |= {f"cuda{i}": data["random"]["cpu"].clone() for i in range(8)}
    elsewhere = {"device": "cuda", "dtype": "bfloat16"}
    checkpoint.save(data | elsewhere, stopped / "last.safetensors")
    run = resume(stopped, "cpu").run
    assert run.stopped == "finished" and run.compute.device.type == "cpu"


def test_the_precision_of_the_run_is_kept_on_its_own_device(stopped):
    data = checkpoint.load(stopped / "last.safetensors")
    checkpoint.save(data | {"dtype": "bfloat16"}, stopped / "last.safetensors")
    assert resume(stopped, "cpu").run.compute.dtype == torch.bfloat16


def test_a_text_that_has_moved_can_be_named(stopped, short, novel, tmp_path):
    moved = shutil.copy(novel, tmp_path / "moved.txt")
    about = checkpoint.load(stopped / "last.safetensors")["about"]
    change = {"about": about | {"text": str(tmp_path / "gone.txt")}}
    checkpoint.save(
        checkpoint.load(stopped / "last.safetensors") | change, stopped / "last.safetensors"
    )
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


@pytest.mark.parametrize("damage", ["lost", "empty", "its first line only", "a malformed line"])
def test_a_record_that_is_lost_or_damaged_is_written_again(stopped, short, damage, capsys):
    # As a power failure leaves it: what was written last, or all of it, is gone.
    path = stopped / "run.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if damage == "lost":
        path.unlink()
    else:
        kept = {"empty": [], "its first line only": lines[:1]}
        bad = [lines[0], "{oops\n", *lines[2:]]
        path.write_text("".join(kept.get(damage, bad)), encoding="utf-8")
    resume(stopped, "cpu")
    aside = stopped / "run.jsonl.damaged"
    if damage in ("empty", "a malformed line"):
        assert "run.jsonl was damaged. It is written again" in capsys.readouterr().out
        aside.unlink()
    assert_same_run(stopped, short)


def test_a_finished_run_can_be_given_more_steps(short, tmp_path):
    folder = shutil.copytree(short, tmp_path / "run")
    assert main(["resume", str(folder), "--more-steps", "2"]) == 0
    kept = record.read(folder)
    assert [point.step for point in kept.history] == [0, 2, 4, 6]
    assert kept.end["train_config"]["max_steps"] == 6


def test_a_run_whose_time_is_over_can_be_given_more_steps(stopped):
    data = checkpoint.load(stopped / "last.safetensors")
    over = {"train_config": data["train_config"] | {"max_seconds": 0.001}}
    checkpoint.save(data | over, stopped / "last.safetensors")
    assert resume(stopped, "cpu", more_steps=2).run.step == 6


def test_fewer_than_no_more_steps_are_refused(stopped):
    with pytest.raises(ValueError, match="more_steps must be a whole number from 0 up, not -1"):
        resume(stopped, more_steps=-1)


def test_a_folder_with_a_run_is_never_overwritten(stopped):
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}
    with pytest.raises(FileExistsError, match="holds a run already: resume it, or name another"):
        train_preset(get_preset("smoke"), folder=stopped, compute=CPU)
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before


# --- two programs, one folder ---


@POSIX
def test_a_folder_in_which_another_program_trains_is_refused_and_left_alone(novel, tmp_path):
    folder = tmp_path / "run"
    process = nanogpt(*arguments(novel, folder, 100_000, 5))
    try:
        wait_for_evaluations(process, folder, 2)
        half = folder / f"next.safetensors.{process.pid}.part"  # it may be writing at any time
        half.touch()
        with pytest.raises(FolderInUse, match=f"run is in use: process {process.pid} trains there"):
            resume(folder, "cpu")
        with pytest.raises(FileExistsError, match="holds a run already"):
            train_preset(get_preset("smoke"), folder=folder, compute=CPU)
        assert process.poll() is None  # it goes on
        wait_for_evaluations(process, folder, 4)
    finally:
        process.kill()
        process.communicate()
    steps = [point.step for point in record.read(folder).history]
    assert steps == sorted(set(steps))
    assert lock.process_of(folder) is None  # what a killed process left is out of date


@POSIX
def test_of_two_programs_that_come_at_once_one_is_refused(tmp_path):
    def take(ready, results):
        ready.wait()
        try:
            lock.claim(tmp_path / "run")
            results.put("mine")
            time.sleep(2)
        except FolderInUse:
            results.put("refused")

    fork = multiprocessing.get_context("fork")
    ready, results = fork.Event(), fork.Queue()
    children = [fork.Process(target=take, args=(ready, results)) for _ in range(4)]
    for child in children:
        child.start()
    ready.set()
    assert sorted(results.get(timeout=60) for _ in children) == ["mine", *["refused"] * 3]
    for child in children:
        child.join()


def test_a_number_that_another_program_has_now_is_no_lock(tmp_path):
    noted = {"pid": os.getppid(), "created": 1.0}  # a live process, but not that one
    (tmp_path / "process.json").write_text(json.dumps(noted))
    lock.claim(tmp_path)
    assert lock.process_of(tmp_path).pid == os.getpid()
    lock.release(tmp_path)
    assert not (tmp_path / "process.json").exists()


# --- what a run can continue from ---


def test_weights_alone_are_no_run_to_continue(stopped, short, capsys):
    shutil.copy(stopped / "best.safetensors", stopped / "last.safetensors")
    resume(stopped, "cpu")
    assert "weights to write with, and nothing to continue" in capsys.readouterr().out
    assert_same_run(stopped, short)  # from the previous one


def test_a_run_of_a_notebook_says_how_it_can_go_on(stopped):
    data = checkpoint.load(stopped / "last.safetensors")
    checkpoint.save(data | {"about": {}}, stopped / "last.safetensors")
    with pytest.raises(CheckpointError, match=r"a notebook saved it\. Continue it there"):
        resume(stopped, "cpu")


def test_it_goes_on_in_as_many_threads_as_it_began(stopped, capsys):
    data = checkpoint.load(stopped / "last.safetensors")
    before = torch.get_num_threads()
    assert data["threads"] == before
    try:
        checkpoint.save(data | {"threads": before + 1}, stopped / "last.safetensors")
        resume(stopped, "cpu")
        wanted = before + 1 if before < os.cpu_count() else before
        assert torch.get_num_threads() == wanted
        assert wanted > before or "its last digits may differ" in capsys.readouterr().err
    finally:
        torch.set_num_threads(before)


def test_a_checkpoint_that_is_handed_on_names_no_folder(short, novel):
    for name, knows in (("best.safetensors", False), ("last.safetensors", True)):
        data = (short / name).read_bytes()
        assert (str(novel.parent).encode() in data) == knows
        assert b"novel.txt" in data


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text, as Linux has them")
def test_a_text_whose_name_is_no_utf8_can_be_trained_on_and_resumed(novel, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    shutil.copy(novel, odd)
    folder = tmp_path / "run"
    assert main(arguments(odd, folder, 4, 2)) == 0
    assert record.read(folder).about["text"]["name"] == "caf\ufffd.txt"
    assert resume(folder, "cpu", more_steps=1).run.step == 5


# --- ends that are no ends ---


def test_a_run_killed_before_it_was_judged_is_judged_when_resumed(short, tmp_path):
    folder = shutil.copytree(short, tmp_path / "run")
    path = folder / "run.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")  # "end" is there, "result" is not
    assert not finished(folder)
    resume(folder, "cpu")
    assert finished(folder) and record.read(folder).result["whole_val_loss"] > 0


def test_a_run_killed_before_its_first_checkpoint_is_begun_anew(short, novel, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    first = (short / "run.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[0]
    (folder / "run.jsonl").write_text(first, encoding="utf-8")
    (folder / "next.safetensors.999999999.part").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="Start a new run"):
        resume(folder)
    assert main(arguments(novel, folder, 4, 2)) == 0
    assert_same_run(folder, short)


@POSIX
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_saves_and_then_ends_as_its_sender_expects(novel, short, tmp_path, name):
    folder, number = tmp_path / "run", getattr(signal, name)

    class SendAt3(Callback):
        def on_step(self, run):
            if run.step == 3:
                signal.raise_signal(number)

    def work():
        preset = get_preset("smoke")
        settings = replace(preset.train, max_steps=4, eval_interval=2, eval_batches=1)
        preset = replace(preset, model=replace(preset.model, dropout=0.2), train=settings)
        train_preset(preset, str(novel), folder, CPU, callbacks=[SendAt3()])

    assert exit_code(in_a_copy(work)) == -number
    assert checkpoint.load(folder / "last.safetensors")["step"] == 3
    assert record.read(folder).end["stopped"] == "interrupted"
    resume(folder, "cpu")
    assert_same_run(folder, short)


@POSIX
def test_the_second_signal_ends_at_once_and_says_that_the_run_is_safe(novel, tmp_path):
    # A program that is stopped twice within a step.
    folder = tmp_path / "run"
    twice = (
        "import signal, sys\n"
        "from nanogpt_lib import training\n"
        "from nanogpt_lib.cli import main\n"
        "real = training.step\n"
        "def step(run):\n"
        "    if run.step == 3:\n"
        "        for _ in range(2): signal.raise_signal(signal.SIGINT)\n"
        "    real(run)\n"
        "training.step = step\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", twice, *arguments(novel, folder, 4, 2)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 130 and "Traceback" not in done.stderr
    assert f"What was saved is safe: nanogpt resume {folder}" in done.stdout
    assert checkpoint.load(folder / "last.safetensors")["step"] == 2


# --- folders ---


class LoseTheFolder(Callback):
    def __init__(self, folder):
        self.folder = folder

    def on_step(self, run):
        if run.step == 3:
            shutil.rmtree(self.folder)


def test_a_folder_that_is_deleted_during_the_run_is_whole_again_at_its_end(novel, tmp_path):
    preset = get_preset("smoke")
    preset = replace(preset, train=replace(preset.train, max_steps=6, eval_interval=2))
    folder = tmp_path / "run"
    outcome = train_preset(preset, str(novel), folder, CPU, callbacks=[LoseTheFolder(folder)])
    assert outcome.run.stopped == "finished"
    assert [point.step for point in record.read(folder).history] == [0, 2, 4, 6]
    assert resume(folder, "cpu", more_steps=1).run.step == 7


def test_no_half_made_folder_is_left_by_a_run_that_never_saved(novel, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "to_bytes", full)
    with pytest.raises(CheckpointError, match=r"No space left on device \(free some space\)"):
        train_preset(get_preset("smoke"), str(novel), tmp_path / "runs" / "run", CPU)
    assert not (tmp_path / "runs" / "run").exists()


@POSIX
def test_a_link_to_nowhere_and_a_file_in_the_way_are_named(novel, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at all")
    (tmp_path / "file").write_text("in the way")
    for out in ("link", "file", "file/run"):
        with pytest.raises(OSError, match="cannot be made: a file or a broken link is in the way"):
            train_preset(get_preset("smoke"), str(novel), tmp_path / out, CPU)


# --- another program holds a file for a moment, as a virus scanner on Windows does ---


@pytest.mark.parametrize("times, comes_through", [(3, True), (10**6, False)])
def test_a_renaming_that_fails_is_tried_again_for_a_while(
    novel, tmp_path, monkeypatch, times, comes_through
):
    left, rename = [times], os.replace

    def held(old, new):
        if left[0] and str(new).endswith("best.safetensors"):
            left[0] -= 1
            raise PermissionError(13, "Access is denied")
        rename(old, new)

    monkeypatch.setattr("os.replace", held)
    monkeypatch.setattr("nanogpt_lib.machine.files.PATIENCE", 0.5)
    if comes_through:
        assert main(arguments(novel, tmp_path / "run", 2, 2)) == 0 and left == [0]
    else:
        with pytest.raises(CheckpointError, match=r"best\.safetensors .*: Access is denied"):
            train_preset(get_preset("smoke"), str(novel), tmp_path / "run", CPU)
