"""Sizes of models and lengths of training that go together.

`workshop` is the talk's model; the smaller ones are for machines without a GPU. They mean the
same as in nanoGPT, so that results can be compared.
"""

import math
import os
import time
from dataclasses import dataclass, replace

import torch

from nanogpt_lib.machine.device import Compute, pick_compute
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs.callbacks import Callback
from nanogpt_lib.training import TrainConfig, start, train


@dataclass(frozen=True)
class Preset:
    """A model's shape, how it is trained, and what for."""

    name: str
    model: GPTConfig  # its vocab_size is replaced by the text's
    train: TrainConfig
    purpose: str
    # For `fit_to_time`; estimates, where nothing else is said.
    enough: int  # steps from which on it ends lower than the next smaller one in the same time
    most: int  # steps after which it has read the text so often that it learns it by heart


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "smoke",
            GPTConfig(block_size=32, n_layer=2, n_head=2, n_embd=32),
            TrainConfig(
                max_steps=30,
                batch_size=8,
                warmup_steps=5,
                eval_interval=10,
                eval_batches=2,
                learning_rate=1e-2,
                min_lr=1e-3,
            ),
            "seconds; shows that everything works, learns next to nothing",
            enough=0,
            most=300,
        ),
        Preset(
            "pocket",
            # nanoGPT's model for CPUs, 804,096 parameters. With three times its learning rate
            # three quarters of its 2,000 steps go further.
            GPTConfig(block_size=64, n_layer=4, n_head=4, n_embd=128, bias=False),
            TrainConfig(
                max_steps=1500,
                batch_size=12,
                # Tried over 2,000 steps: 1e-3 ends at 1.89, 3e-3 at 1.75, 6e-3 at 1.77.
                learning_rate=3e-3,
                min_lr=1e-4,
                eval_batches=4,
            ),
            "a minute or two on a CPU; words",
            enough=0,
            most=15_000,  # here it stands at 1.51 and still learns
        ),
        Preset(
            "laptop",
            GPTConfig(block_size=128, n_layer=6, n_head=6, n_embd=192, bias=False),
            TrainConfig(
                max_steps=4000,
                # From the same tokens many small steps learn more than few large ones.
                batch_size=8,
                learning_rate=3e-3,
                min_lr=3e-4,
                eval_interval=500,
                eval_batches=4,
            ),
            "a quarter of an hour on a laptop's CPU; words, and the first phrases",
            # At 4,000 steps `pocket` is far ahead; whether it is at 8,000 was not measured.
            enough=8000,
            most=16_000,
        ),
        Preset(
            "workshop",
            GPTConfig(block_size=256, n_layer=6, n_head=6, n_embd=384, dropout=0.2),
            TrainConfig(eval_batches=None),  # its whole validation split is only 7 batches
            "the talk's model: minutes on a GPU, hours on a CPU; lines after Shakespeare",
            enough=2000,
            most=50_000,
        ),
    )
}


def get_preset(name: str) -> Preset:
    """A preset by its name. Raises ValueError, and names them all, where there is none.

    The environment variable NANOGPT_PRESET takes the place of any name: so all notebooks can be
    run in seconds (NANOGPT_PRESET=smoke).
    """
    name = os.environ.get("NANOGPT_PRESET") or name
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def with_steps(preset: Preset, steps: int) -> Preset:
    """The preset trained for another number of steps, evaluated about eight times on the way.

    The quick evaluations are cut down until they take less than a tenth of the time: a token
    costs about a third in evaluation of what it costs in training (no backward pass). In a short
    run there are fewer of them, but at least three: so many it takes to judge a curve.
    """
    if steps < 0:
        raise ValueError(f"steps must not be negative: {steps}")
    train = preset.train
    affordable = 0.07 * steps * train.batch_size * 3 / 2 / 64  # batches, from each split
    evaluations = max(3, min(9, int(affordable)))
    interval = max(1, math.ceil(steps / (evaluations - 1)))
    batches = max(1, min(int(affordable / evaluations), train.eval_batches or 20))
    quick = replace(train, max_steps=steps, eval_interval=interval, eval_batches=batches)
    return replace(preset, train=quick)


def seconds_per_step(preset: Preset, compute: Compute, vocab_size: int = 65) -> float:
    """Measures a training step here: one to warm up, then the median of up to five."""
    size = replace(preset.model, vocab_size=vocab_size)
    ids = torch.arange(4 * size.block_size) % vocab_size  # any tokens cost the same
    config = replace(preset.train, max_steps=6, eval_interval=10**9, eval_batches=1, compile=False)
    clock = StepClock(patience=10.0)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        run = start(GPT(size), ids, ids, config, compute)
        train(run, [clock])
    if run.stopped == "interrupted":
        raise KeyboardInterrupt  # there is nothing to save, and no reason to go on
    return clock.median()


class StepClock(Callback):
    """Notes how long each step takes; ends the run once it has lasted `patience` seconds."""

    def __init__(self, patience: float):
        self.patience, self.ends = patience, []

    def on_step(self, run):
        run.loss.item()  # waits for a GPU to finish the step
        self.ends.append(time.perf_counter())
        if len(self.ends) > 1 and self.ends[-1] - self.ends[0] > self.patience:
            run.config.max_steps = run.step

    def median(self) -> float:
        steps = sorted(b - a for a, b in zip(self.ends, self.ends[1:], strict=False))
        return steps[len(steps) // 2]


def cost(preset: Preset) -> int:
    """A step's arithmetic up to a factor: parameters times tokens (Kaplan et al. 2020)."""
    m = preset.model
    return m.n_layer * m.n_embd**2 * preset.train.batch_size * m.block_size


def fit_to_time(
    minutes: float,
    compute: Compute | None = None,
    vocab_size: int = 65,
    spent: float = 0.0,
    name: str | None = None,
) -> Preset:
    """The preset and the number of steps that make the most of so many minutes here.

    The steps fill the time, and the cosine fits the steps; `callbacks.TimeBudget` corrects both
    on the way. spent: seconds of the minutes that are gone already. name: the preset to fit; it
    is chosen by measurement if not given.
    """
    if not 0 < minutes < math.inf:
        raise ValueError(f"minutes must be a number above 0, not {minutes}")
    began = time.perf_counter()
    compute = compute or pick_compute()
    if name:
        fitting = get_preset(name)
        pace, most = seconds_per_step(fitting, compute, vocab_size), math.inf
    else:
        fitting, pace = largest_that_fits(minutes, compute, vocab_size)
        most = fitting.most
    seconds = minutes * 60 - spent - (time.perf_counter() - began)
    seconds = max(0.5 * minutes * 60, 0.95 * seconds)  # the end takes a little, too
    steps = max(1, int(min(0.93 * seconds / pace, most)))  # the evaluations take the rest
    preset = with_steps(fitting, steps)
    return replace(preset, train=replace(preset.train, max_seconds=seconds))


def largest_that_fits(minutes: float, compute: Compute, vocab_size: int) -> tuple[Preset, float]:
    """The largest preset that gets through enough of its steps in time, and a step's seconds.

    It measures a `pocket` step, guesses from it which larger preset would do, and measures that
    one before it believes so.
    """
    fitting = get_preset("pocket")
    pace = seconds_per_step(fitting, compute, vocab_size)
    for name in ("workshop", "laptop"):
        larger = get_preset(name)
        guess = pace * cost(larger) / cost(fitting)
        if larger.enough * guess < minutes * 60 * 1.5:  # worth a measurement
            measured = seconds_per_step(larger, compute, vocab_size)
            if larger.enough * measured < minutes * 60:
                return larger, measured
    return fitting, pace
