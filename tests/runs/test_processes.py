"""Several processes train one model: the same data, the same curve, and nothing lost with one."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.machine import processes
from nanogpt_lib.machine.gradients import OutOfMemory
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs import checkpoint, record
from nanogpt_lib.runs.whole import resume
from nanogpt_lib.training import TrainConfig, new_run, step

STEPS = 12
TRAIN = ["train", "--preset", "smoke", "--device", "cpu", "--dtype", "float32"]
SHORT = [*TRAIN, "--steps", STEPS, "--eval-interval", "4"]

# Rank 1 is killed after five steps, without a word to the others.
KILLED = """
import os, signal, sys
from nanogpt_lib.cli import main
from nanogpt_lib.machine.processes import rank
from nanogpt_lib.runs import whole

class Killed(whole.TimeBudget):
    def on_step(self, run):
        if run.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

if rank() == 1:
    whole.TimeBudget = Killed
main(sys.argv[1:])
"""


def several(n, *command, **more) -> subprocess.Popen:
    """Starts n processes through torchrun, as the documentation says it."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += ["--nproc-per-node", str(n), *map(str, command)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, **pipes, **more)


def history(folder) -> list[tuple]:
    return [(p.step, p.train_loss, p.val_loss) for p in record.read(folder).history]


def alike(one, other) -> bool:
    return len(one) == len(other) and all(
        a == pytest.approx(b, abs=2e-5) for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of the run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    command = [sys.executable, "-m", "nanogpt_lib", *map(str, SHORT), "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def small_run(seed=1, **more):
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=20, block_size=8, n_layer=1, n_head=2, n_embd=16))
    ids = torch.arange(500) % 20
    config = TrainConfig(batch_size=6, seed=seed, eval_interval=100, **more)
    return new_run(model, ids, ids, config)


@pytest.fixture
def as_rank(monkeypatch):
    """A function that makes this process believe that it is one of several."""

    def be(rank, ranks):
        monkeypatch.setenv("MASTER_ADDR", "localhost")
        monkeypatch.setenv("WORLD_SIZE", str(ranks))
        monkeypatch.setenv("RANK", str(rank))

    return be


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
def test_the_processes_batches_together_are_the_batch_of_one_bit_by_bit(as_rank, ranks):
    whole = BatchSampler(torch.arange(500) % 20, 8, 6, seed=1)
    batches = [whole() for _ in range(5)]
    shares = []
    for rank in range(ranks):
        as_rank(rank, ranks)
        run = small_run()
        processes.share(run)
        shares.append([run.sampler() for _ in range(5)])
    for i, (x, y) in enumerate(batches):
        assert torch.cat([share[i][0] for share in shares]).equal(x)
        assert torch.cat([share[i][1] for share in shares]).equal(y)


def test_a_batch_that_cannot_be_shared_is_refused_with_the_way_out(as_rank):
    as_rank(0, 4)
    with pytest.raises(ValueError, match=r"batch_size \(6\) must be a multiple .* \(4\)"):
        processes.share(small_run())


def test_each_process_drops_other_activations(as_rank):
    drawn = []
    for rank in (1, 2):
        as_rank(rank, 3)
        processes.share(small_run())
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] != drawn[1]


def test_alone_nothing_changes(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")  # some other program's variable
    run = small_run()
    before = dict(vars(run))
    with processes.together(run):
        assert vars(run) == before
    assert (processes.rank(), processes.ranks()) == (0, 1)


def test_when_memory_runs_out_in_one_of_several_the_step_is_not_repeated(as_rank, monkeypatch):
    from nanogpt_lib.machine.gradients import until_it_fits

    as_rank(0, 2)
    run = small_run(grad_accum=1)
    run.agree = processes.Agreement(run)

    def full(run):
        raise MemoryError

    with pytest.raises(OutOfMemory):
        until_it_fits(full, run)


def test_a_step_that_another_process_broke_off_is_undone(as_rank, capsys):
    from nanogpt_lib.machine.gradients import until_it_fits

    as_rank(0, 2)
    run = small_run(grad_accum=1)
    run.agree = processes.Agreement(run)
    before = run.sampler.generator.get_state()

    def lost(*batch):
        raise RuntimeError("[enforce fail] gloo: Connection closed by peer [127.0.0.1]")

    run.forward = lost
    until_it_fits(step, run)
    assert run.step == 0 and run.sampler.generator.get_state().equal(before)
    assert run.agree(1.0, False) == (1.0, True)  # the loop ends, and saves
    assert "Another process of this run has ended. Saving step 0" in capsys.readouterr().err
    run.forward = lambda *batch: 1 / 0  # any other mistake is a mistake
    with pytest.raises(ZeroDivisionError):
        until_it_fits(step, run)


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one_and_any_number_resumes_it(alone, tmp_path):
    folder = tmp_path / "run"
    running = several(2, "-m", "nanogpt_lib", *SHORT, "--out", folder)
    said, errors = running.communicate()
    assert running.returncode == 0, errors
    assert said.count("Finished after 12 steps") == 1  # one of them speaks
    assert history(folder) != [] and alike(history(folder), history(alone))
    assert record.read(folder).about["processes"] == 2
    # One process that computes the same two halves adds up the same numbers in the same order.
    halves = tmp_path / "halves"
    command = [sys.executable, "-m", "nanogpt_lib", *map(str, SHORT), "--grad-accum", "2"]
    subprocess.run([*command, "--out", str(halves)], check=True, capture_output=True)
    assert history(folder) == history(halves)
    one = resume(alone, more_steps=3).run
    other = several(4, "-m", "nanogpt_lib", "resume", folder, "--more-steps", 3)
    errors = other.communicate()[1]
    assert other.returncode == 0, errors
    assert one.step == 15 and alike(history(folder), history(alone))
    ours, theirs = (checkpoint.load(f / checkpoint.LAST)["weights"] for f in (alone, folder))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)


@pytest.mark.slow
def test_when_one_process_is_killed_the_other_saves_and_says_so(alone, tmp_path):
    script, folder = tmp_path / "killed.py", tmp_path / "run"
    script.write_text(KILLED, encoding="utf-8")
    running = several(2, script, *SHORT, "--out", folder)
    errors = running.communicate(timeout=120)[1]
    assert running.returncode != 0
    assert "Another process of this run has ended. Saving step 5, and ending" in errors
    kept = record.read(folder)
    assert kept.end["stopped"] == "interrupted" and kept.end["step"] == 5
    resume(folder)
    assert [point[0] for point in history(folder)] == [0, 4, 8, 10, STEPS]
    assert alike(history(folder), history(alone)[:5])


@pytest.mark.slow
def test_ctrl_c_ends_all_of_them_after_the_same_step(tmp_path):
    folder = tmp_path / "run"
    command = [*TRAIN, "--steps", "100000", "--eval-interval", "100000", "--out", folder]
    running = several(2, "-m", "nanogpt_lib", *command, start_new_session=True)
    while running.poll() is None and not (folder / checkpoint.LAST).exists():
        time.sleep(0.05)
    time.sleep(0.5)
    ranks = psutil.Process(running.pid).children(recursive=True)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does it
    said, errors = running.communicate(timeout=120)
    kept = record.read(folder)
    assert kept.end and kept.end["stopped"] == "interrupted", errors
    assert checkpoint.load_last(folder)["step"] == kept.end["step"] > 0
    assert "Interrupted after" in said
    assert not [rank for rank in ranks if rank.is_running()]


def test_minutes_are_for_one_process(as_rank, capsys):
    from nanogpt_lib.cli import main

    as_rank(0, 2)
    assert main(["train", "--minutes", "1"]) == 2
    assert "--minutes is for one process" in capsys.readouterr().err


def test_the_record_of_one_process_has_no_number_of_them(alone):
    assert "processes" not in json.loads((alone / "run.jsonl").read_text().splitlines()[0])
