"""Fits a preset to your minutes: it measures a step and computes how many fill the time."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from nanogpt_lib.checks import above_zero, number, whole_number
from nanogpt_lib.machine.device import Compute
from nanogpt_lib.runs import families
from nanogpt_lib.runs.presets import Preset, get_preset, with_steps
from nanogpt_lib.training import Callback, new_run, train

VAL_TOKENS = 111_540  # Tiny Shakespeare's validation split
CLOSING = 4.0  # seconds for the curve, two samples and the last checkpoint, `pocket` on two cores
# The presets that a time is filled with, by recipe: the smallest first.
RECIPES = {"plain": ("pocket", "laptop", "workshop"), "modern": ("modern-3", "modern-15")}
ComputeFor = Callable[[int], Compute]  # from a model's width to where it computes, and how


def seconds_per_step(preset: Preset, compute: Compute | None = None, vocab_size: int = 65) -> float:
    """Measures a training step here: the median of five steps, after one to warm up.

    On a slow machine it is the median of three. So one disturbed step of three, or two of five,
    do not change the result much. compute: chosen by the preset's width if not given.
    """
    size = replace(preset.model, vocab_size=vocab_size)
    ids = torch.arange(4 * size.block_size) % vocab_size  # any tokens cost the same
    config = replace(preset.train, max_steps=6, eval_interval=10**9, eval_batches=1, compile=False)
    clock = StepClock(patience=10.0)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        model = families.of(size).model(size)
        run = train(new_run(model, ids, ids, config, compute), [clock])
    if run.stopped == "interrupted":
        raise KeyboardInterrupt  # there is nothing to save
    return clock.median()


class StepClock(Callback):
    """Records how long each step takes. After `patience` seconds three steps are enough."""

    def __init__(self, patience: float):
        self.patience = patience
        self.ends: list[float] = []

    def on_step(self, run):
        run.loss.item()  # waits for a GPU to finish the step
        self.ends.append(time.perf_counter())
        if len(self.ends) > 3 and self.ends[-1] - self.ends[0] > self.patience:
            run.config.max_steps = run.step

    def median(self) -> float:
        return statistics.median(b - a for a, b in zip(self.ends, self.ends[1:], strict=False))


def cost(preset: Preset) -> int:
    """The arithmetic of a step, up to a factor: parameters times tokens (Kaplan et al. 2020)."""
    m = preset.model
    return m.n_layer * m.n_embd**2 * preset.train.batch_size * m.block_size


def fit_to_time(
    minutes: float,
    compute_for: ComputeFor | None = None,
    vocab_size: int = 65,
    val_tokens: int = VAL_TOKENS,
    spent: float = 0.0,
    name: str | None = None,
    recipe: str = "plain",
) -> Preset:
    """The preset and the number of steps that make the best use of these minutes here.

    It measures a step and prints the result. It fills the time with steps, evaluations, and the
    ending: the whole validation split, the curve and the samples. `TimeBudget` corrects steps and
    cosine during the run.

    compute_for: from a model's width to its Compute; `pick_compute` if not given. val_tokens:
    number of validation tokens of the text. spent: seconds that are already used. name: the
    preset to fit; chosen by measurement if not given. recipe: "plain" or "modern", from whose
    presets it chooses.
    """
    minutes, spent = above_zero(minutes, "minutes"), number(spent, "spent")
    vocab_size = whole_number(vocab_size, "vocab_size", 1)
    val_tokens = whole_number(val_tokens, "val_tokens")
    began = time.perf_counter()
    measure = partial(say_pace, compute_for=compute_for, vocab_size=vocab_size)
    if name:
        fitting, most = get_preset(name), math.inf
        pace = measure(fitting)
    else:
        fitting, pace = largest_that_fits(minutes, measure, val_tokens, RECIPES[recipe])
        most = fitting.most
    whole = 60 * minutes
    gone = min(max(0.0, spent), whole) + time.perf_counter() - began
    seconds = max(0.5 * whole, whole - gone - ending(fitting, pace, val_tokens))
    steps = max(1, int(min(0.93 * seconds / pace, most)))  # quick evaluations take the rest
    preset = with_steps(fitting, steps)
    return replace(preset, train=replace(preset.train, max_seconds=seconds))


def ending(preset: Preset, pace: float, val_tokens: int) -> float:
    """Seconds from the last step to the end. In evaluation a token costs a third of training."""
    return CLOSING + pace * val_tokens / (3 * preset.train.batch_size * preset.model.block_size)


def say_pace(preset: Preset, compute_for: ComputeFor | None, vocab_size: int) -> float:
    """Measures a step of a preset and prints its time."""
    compute = compute_for(preset.model.n_embd) if compute_for else None
    pace = seconds_per_step(preset, compute, vocab_size)
    print(f"Measured here: a `{preset.name}` step takes {1000 * pace:,.0f} ms.", flush=True)
    return pace


def largest_that_fits(
    minutes: float, measure: Callable, val_tokens: int, names: tuple[str, ...] = RECIPES["plain"]
) -> tuple[Preset, float]:
    """The largest preset that can do enough of its steps in time, and the seconds of a step.

    names: of the presets, the smallest first. It measures a step of the smallest and estimates
    from it which larger preset would fit. It measures that preset, too, before it chooses it. A
    context that is longer than the validation text does not come into question.
    """
    fitting = get_preset(names[0])
    pace = measure(fitting)
    for name in reversed(names[1:]):
        larger = get_preset(name)
        guess = pace * cost(larger) / cost(fitting)
        fits = larger.model.block_size < val_tokens
        if fits and larger.enough * guess < minutes * 60 * 1.5:  # worth a measurement
            measured = measure(larger)
            if larger.enough * measured < minutes * 60:
                return larger, measured
    return fitting, pace
