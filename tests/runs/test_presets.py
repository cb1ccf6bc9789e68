"""Presets, and another number of steps."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanogpt_lib.machine.device import Compute
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.pace import cost
from nanogpt_lib.runs.presets import PRESETS, get_preset, with_steps
from nanogpt_lib.training import START

CPU = Compute(torch.device("cpu"), torch.float32, "the same everywhere")
NAMES = st.sampled_from(sorted(PRESETS))
TRAIN_TOKENS, VAL_TOKENS = 1_003_854, 111_540  # Tiny Shakespeare's splits


# --- the presets ---


def test_workshop_is_the_talk_s_model():
    preset = get_preset("workshop")
    m, t = preset.model, preset.train
    assert (m.block_size, m.n_layer, m.n_head, m.n_embd, m.bias) == (256, 6, 6, 384, True)
    assert (t.max_steps, t.batch_size, t.warmup_steps, t.grad_clip) == (5000, 64, 100, 1.0)
    assert (t.learning_rate, t.min_lr, m.dropout) == (1e-3, 1e-4, 0.2)
    assert GPT(m).num_params() == 10_770_816
    assert GPT(replace(m, bias=False)).num_params() == 10_745_088


def test_pocket_has_the_shape_of_nanogpt_s_preset_for_cpus():
    m, t = get_preset("pocket").model, get_preset("pocket").train
    assert (m.block_size, m.n_layer, m.n_head, m.n_embd) == (64, 4, 4, 128)
    assert t.batch_size == 12
    assert GPT(replace(m, bias=False)).num_params() == 804_096  # as nanoGPT counts it


def test_larger_presets_cost_more_and_each_says_what_it_is_for():
    sizes = [cost(PRESETS[name]) for name in ("smoke", "pocket", "laptop", "workshop")]
    assert sizes == sorted(sizes) and len(set(sizes)) == len(PRESETS)
    assert all(preset.purpose and preset.name == name for name, preset in PRESETS.items())


def test_one_variable_makes_every_preset_another(monkeypatch):
    monkeypatch.setenv("NANOGPT_PRESET", "smoke")
    assert get_preset("workshop").name == "smoke"
    monkeypatch.setenv("NANOGPT_PRESET", "")
    assert get_preset("workshop").name == "workshop"


def test_a_preset_that_does_not_exist_is_named_beside_those_that_do(monkeypatch):
    with pytest.raises(ValueError, match="no preset 'huge'; there are smoke, pocket, laptop, work"):
        get_preset("huge")
    monkeypatch.setenv("NANOGPT_PRESET", "nope")
    with pytest.raises(ValueError, match="no preset 'nope'"):
        get_preset("pocket")


# --- another number of steps ---


def evaluation_share(preset):
    """The part of a run's arithmetic that its evaluations take, and how many they are.

    Without the backward pass a token costs a third.
    """
    t, T = preset.train, preset.model.block_size
    steps = {*START, *range(0, t.max_steps, t.eval_interval)}
    evaluations = 1 + sum(step < t.max_steps for step in steps)
    sequences = 0
    for tokens in (TRAIN_TOKENS, VAL_TOKENS):
        windows = tokens // T
        n = t.eval_batches or math.ceil(VAL_TOKENS / T / 64)
        sequences += evaluations * min(windows, n * 64)
    cost = sequences / 3
    return cost / (cost + t.max_steps * t.batch_size), evaluations


@pytest.mark.parametrize("name", ["pocket", "laptop", "workshop"])
def test_a_preset_s_own_evaluations_take_less_than_a_tenth(name):
    assert evaluation_share(PRESETS[name])[0] < 0.1


@settings(deadline=None, max_examples=500)
@given(NAMES, st.integers(1, 30_000))
def test_for_any_steps_evaluations_take_less_than_a_tenth_or_are_as_few_as_can_be(name, steps):
    preset = with_steps(PRESETS[name], steps)
    share, evaluations = evaluation_share(preset)
    assert preset.train.max_steps == steps
    first = sum(step < steps for step in START)
    assert evaluations <= first + 8
    assert share < 0.1 or (evaluations <= max(3, first + 1) and preset.train.eval_batches == 1)
    assert evaluations >= min(3, steps + 1)  # so many it takes to judge a curve


@given(NAMES, st.integers(1, 30_000))
def test_nothing_but_steps_and_evaluations_changes(name, steps):
    preset, before = with_steps(PRESETS[name], steps), PRESETS[name]
    same = {k: getattr(before.train, k) for k in ("max_steps", "eval_interval", "eval_batches")}
    assert replace(preset, train=replace(preset.train, **same)) == before


def test_on_a_slow_machine_only_the_start_and_the_end_are_evaluated():
    """A minute for a machine whose `pocket` step takes a third of a second: 180 steps."""
    few = with_steps(PRESETS["pocket"], 180).train
    assert (few.eval_interval, few.eval_batches) == (180, 1)
    more = with_steps(PRESETS["pocket"], 18_000).train
    assert (more.eval_interval, more.eval_batches) == (2250, 4)


def test_no_steps_are_few_and_fewer_are_refused():
    assert with_steps(PRESETS["smoke"], 0).train.max_steps == 0
    with pytest.raises(ValueError, match="steps must be a whole number from 0 up, not -1"):
        with_steps(PRESETS["smoke"], -1)
