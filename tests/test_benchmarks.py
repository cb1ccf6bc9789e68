"""The benchmarks run, take turns, and keep every figure. What they measure is not tested here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bench, growth, limit, memory, step
from benchmarks.peers import NanoGPT
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.training import new_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def benchmarks(*words, code=0):
    command = [sys.executable, "-m", "benchmarks", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def test_works_take_turns_in_another_order_each_round():
    order = []
    works = {name: lambda name=name: order.append(name) or len(order) for name in "abc"}
    results = bench.take_turns(works, 3)
    assert "".join(order) == "abcbcacab"
    assert results == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_a_ratio_pairs_what_was_measured_in_the_same_round():
    # The machine was half as fast in the second round: the ratio does not notice.
    assert bench.ratio([1.0, 2.0, 1.0], [2.0, 4.0, 2.5]) == (0.5, "0.40 to 0.50")


def test_a_process_that_fails_ends_the_benchmark_and_shows_its_error():
    with pytest.raises(SystemExit, match="no good"):
        bench.process([sys.executable, "-c", "raise ValueError('no good')"])()


def test_short_runs_print_a_table_and_keep_every_figure(tmp_path):
    options = ("--preset", "smoke", "--steps", 20, "--rounds", 2, "--out", tmp_path)
    done = benchmarks("limit", "step", "tried", "sampling", "evaluation", "memory", *options)
    for word in ("limit", "step_smoke", "tried_smoke", "sampling", "evaluation", "memory"):
        kept = json.loads((tmp_path / f"{word}.json").read_text())
        assert kept["title"] in done.stdout
        assert kept["machine"]["cores"] >= 1
        assert kept["versions"]["torch"]
    times = json.loads((tmp_path / "step_smoke.json").read_text())["figures"]["seconds"]
    assert all(len(values) == 2 and min(values) > 0 for values in times.values())

    parts = json.loads((tmp_path / "limit.json").read_text())["figures"]["profile"]
    assert min(parts[kind] for kind in limit.KINDS.values()) > 0  # every kind was met


def test_the_load_test_counts_every_request_once(tmp_path):
    benchmarks("serve", "--steps", 32, "--out", tmp_path)
    kept = json.loads((tmp_path / "serve.json").read_text())
    assert [row[1] + row[2] for row in kept["rows"]] == [32] * 4  # answered or refused, not lost
    assert [row[2] for row in kept["rows"][:3]] == [0, 0, 0]  # there was room
    assert kept["figures"]["left"] == 10


def test_the_gpu_benchmark_computes_on_a_cpu_when_told_to(tmp_path):
    options = ("--device", "cpu", "--preset", "smoke", "--rounds", 1, "--out", tmp_path)
    assert "tokens/s" in benchmarks("gpu", *options).stdout


def test_a_peer_that_is_not_there_is_named(tmp_path):
    done = benchmarks("step", "--nanogpt", tmp_path, code=1)
    assert "holds no train.py" in done.stderr
    assert "nanoGPT" in benchmarks("whole_run").stderr  # and goes on without it
    assert "there is no speed" in benchmarks("speed", code=2).stderr


def test_a_peers_model_is_called_with_our_shape(tmp_path):
    (tmp_path / "train.py").write_text("")
    (tmp_path / "model.py").write_text(
        "from dataclasses import make_dataclass\n"
        "names = 'vocab_size block_size n_layer n_head n_embd dropout bias'.split()\n"
        "GPTConfig = make_dataclass('GPTConfig', names)\n"
        "GPT = lambda config: vars(config)\n"
    )
    size = GPTConfig(n_layer=2, n_embd=64, n_head=2, dropout=0.1)
    assert NanoGPT(tmp_path).model(size) == vars(size)


def test_the_arithmetic_counts_what_pytorch_counts():
    shape = {"n_embd": 64, "n_layer": 3, "block_size": 32, "batch": 2}
    model = GPT(GPTConfig(n_embd=64, n_layer=3, block_size=32, n_head=1))
    x = torch.randint(65, (2, 32))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(x, x)[1].backward()
    assert sum(growth.arithmetic(**shape)) == pytest.approx(counter.get_total_flops(), rel=1e-3)


def test_a_measured_step_is_a_real_step():
    ids, preset = torch.randint(65, (1000,)), PRESETS["smoke"]
    run = new_run(GPT(preset.model), ids, ids, preset.train, pick_compute("cpu", "float32"))
    before = {name: p.clone() for name, p in run.model.named_parameters()}
    assert step.steps(run, 2)() > 0
    assert all(not p.equal(before[name]) for name, p in run.model.named_parameters())
    assert all(state["step"] == 2 for state in run.optimizer.state.values())
    assert "train(new_run(" in memory.STEPS
