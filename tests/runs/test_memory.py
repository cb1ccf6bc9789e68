"""Little memory, for real: the limits that a system puts on a program."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from nanogpt_lib.machine import host
from nanogpt_lib.runs.memory import MIB, fitting, needed, sentence
from nanogpt_lib.runs.presets import PRESETS

PROGRAM = """
import resource, sys
from dataclasses import replace
import psutil, torch
from nanogpt_lib import generate, get_preset, load_model, pick_compute, train_preset, with_steps
from nanogpt_lib.machine.host import free_memory

torch.set_num_threads(1)
spare, preset, changes = int(sys.argv[1]) * 2**20, with_steps(get_preset(sys.argv[2]), 1), {}
train_preset(with_steps(get_preset("smoke"), 1), "own.txt", compute=pick_compute("cpu", "float32"))
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + spare,) * 2)
assert free_memory() <= spare
if sys.argv[3:]:
    changes = {"batch_size": int(sys.argv[3]), "grad_accum": 1}
preset = replace(preset, train=replace(preset.train, **changes))
try:
    done = train_preset(preset, "own.txt", compute=pick_compute("cpu", "float32"))
    print("trained in", done.run.config.grad_accum, "parts", done.whole_val_loss)
except RuntimeError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def limited(tmp_path, text):
    """Trains a preset with so many MiB to spare, on a batch of this size; what is printed."""
    pytest.importorskip("resource", reason="limits, as POSIX has them")
    if sys.platform != "linux":
        pytest.skip("only Linux holds a program to this limit")
    (tmp_path / "own.txt").write_text(text[:5000], encoding="utf-8")

    def run(*args):
        command = [sys.executable, "-c", PROGRAM, *map(str, args)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
        return done.stdout

    return run


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_computed_in_parts(limited):
    said = limited(150, "pocket", 192)
    parts = re.search(r"trained in (\d+) parts \d", said)
    assert "Not enough memory: computing each batch in 2 parts from now" in said
    assert parts and int(parts[1]) > 1


@pytest.mark.slow
def test_a_model_that_does_not_fit_is_told_what_is_missing_and_what_fits(limited, tmp_path):
    said = limited(140, "workshop", 1)
    assert re.search(
        r"OutOfMemory not enough memory: this model needs about \d+ MiB, even with one sequence at "
        r"a time, and 1\d\d MiB were free: about \d+ MiB are missing\. What fits: smoke, pocket",
        said,
    )


USE = """
import resource, sys
import psutil, torch
from nanogpt_lib import evaluate, generate, load_corpus, load_model, split

torch.set_num_threads(1)
model, tokenizer, _ = load_model("talk")
ids = split(torch.tensor(tokenizer.encode(load_corpus())))[1][:17_000]
generate(model, tokenizer, "ROMEO:", 1)
if sys.argv[1:]:
    most = psutil.Process().memory_info().data + int(sys.argv[1]) * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
print(evaluate(model, ids, None, batch_size=64))
print(generate(model, tokenizer, ["ROMEO:"] * 200, 12, seed=1))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a program to this limit")
def test_evaluation_and_sampling_give_the_same_with_little_memory(text):
    whole, little = (
        subprocess.run([sys.executable, "-c", USE, *spare], capture_output=True, text=True)
        for spare in ([], ["30"])
    )
    assert whole.returncode == little.returncode == 0, little.stderr[-3000:]
    loss, written = whole.stdout.splitlines()
    less, again = little.stdout.splitlines()
    assert float(less) == pytest.approx(float(loss), abs=1e-5) and again == written


def test_every_preset_that_is_said_to_fit_does():
    sizes = [needed(preset.model) for preset in PRESETS.values()]
    assert sizes == sorted(sizes)  # so that the names come with the smallest first
    for name, size in zip(PRESETS, sizes, strict=True):
        assert fitting(size)[-1] == name and name not in fitting(size - 1)
    assert fitting(0) == [] and "No preset fits" in sentence(PRESETS["smoke"].model, 0)
    model = PRESETS["workshop"].model
    told = sentence(model, needed(model) - 7 * MIB)
    assert "about 7 MiB are missing. What fits: smoke, pocket, laptop (on the" in told
    assert "something else took the rest" in sentence(model, needed(model))
    assert needed(replace(model, n_layer=12)) > 1.8 * needed(model)


def test_a_container_s_limit_counts(tmp_path, monkeypatch):
    free = host.free_memory()
    (tmp_path / "max").write_text("500000\n")
    (tmp_path / "used").write_text("200000\n")
    monkeypatch.setattr(host, "CONTAINERS", [(str(tmp_path), "max", "used")])
    assert host.free_memory() == 300_000 < free
    (tmp_path / "max").write_text("max\n")  # no limit
    assert host.free_memory() > 300_000
