"""How a run is fitted to the time there is: what is measured, planned, and corrected on the way."""

import math
import signal
from types import SimpleNamespace

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from nanogpt_lib import training
from nanogpt_lib.machine.device import Compute
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs import pace
from nanogpt_lib.runs.callbacks import TimeBudget
from nanogpt_lib.runs.pace import fit_to_time, seconds_per_step
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.training import START, Callback, TrainConfig, lr_at, new_run, train

CPU = Compute(torch.device("cpu"), torch.float32, "the same everywhere")
TRAIN_TOKENS, VAL_TOKENS = 1_003_854, 111_540  # Tiny Shakespeare's splits


def on_cpu(width: int) -> Compute:
    return CPU


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


# --- a number of minutes ---


def planned(minutes, speed, spent=0.0):
    """What is planned on a machine of that speed (arithmetic a second), and a step's seconds."""

    def seconds(preset, compute=None, vocab_size=65):
        return pace.cost(preset) / speed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "seconds_per_step", seconds)
        preset = fit_to_time(minutes, on_cpu, spent=spent)
    return preset, seconds(preset)


speeds = st.floats(7, 13).map(lambda exponent: 10**exponent)  # from a small board to a large GPU


@settings(deadline=None)
@given(st.floats(0.1, 120), speeds)
def test_the_plan_fits_the_time_on_any_machine(minutes, speed):
    preset, seconds = planned(minutes, speed)
    t = preset.train
    assert t.max_steps >= 1 and 0 < t.max_seconds <= minutes * 60
    # At least half of the time is for training, 0.93 of that for steps; the rest is evaluation.
    assert 0.46 * preset.enough <= t.max_steps + 1 and t.max_steps <= preset.most
    share, _ = evaluation_share(preset)
    assume(share < 0.1)  # the shortest runs are left to TimeBudget
    assert t.max_steps == 1 or t.max_steps * seconds / (1 - share) <= minutes * 60


@settings(deadline=None)
@given(st.floats(0.1, 60), st.floats(1, 10), speeds)
def test_more_time_never_means_a_smaller_preset(minutes, factor, speed):
    less, _ = planned(minutes, speed)
    more, _ = planned(minutes * factor, speed)
    order = list(PRESETS)
    assert order.index(more.name) >= order.index(less.name)
    if more.name == less.name:
        assert more.train.max_steps >= less.train.max_steps


def test_slow_machines_get_small_presets_and_fast_ones_large():
    workshop = pace.cost(PRESETS["workshop"])
    assert planned(8, speed=workshop / 9)[0].name == "pocket"  # 9 s a step of workshop
    assert planned(8, speed=workshop / 0.5)[0].name == "laptop"
    preset, _ = planned(8, speed=workshop / 0.02)  # a good GPU
    assert preset.name == "workshop" and preset.train.max_steps > 5000
    endless, _ = planned(600, speed=workshop / 0.02)  # it has long learnt what it can
    assert endless.train.max_steps == PRESETS["workshop"].most


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_that_is_named_is_the_one_that_is_fitted(name, monkeypatch):
    monkeypatch.setattr(pace, "seconds_per_step", lambda preset, *args: 0.01)
    preset = fit_to_time(60, on_cpu, name=name)
    assert (preset.name, preset.model) == (name, PRESETS[name].model)
    assert 0.8 * 360_000 < preset.train.max_steps < 360_000  # however much more than it needs


def test_time_that_is_gone_already_is_taken_off():
    whole, rest = planned(10, speed=1e8)[0], planned(10, speed=1e8, spent=120)[0]
    assert rest.train.max_seconds == pytest.approx(whole.train.max_seconds - 120, abs=1)
    assert rest.train.max_steps < whole.train.max_steps


@settings(deadline=None)
@given(st.floats(-1e12, 1e12))
@example(-1e9)  # a computer that was put to sleep, or whose clock was set
def test_a_clock_that_jumped_breaks_no_plan(spent):
    usual, jumped = planned(10, speed=1e8)[0], planned(10, speed=1e8, spent=spent)[0]
    assert 1 <= jumped.train.max_steps <= usual.train.max_steps + 1  # the plan's own time passes
    assert 300 <= jumped.train.max_seconds <= 600


def test_the_ending_has_its_share_of_the_time():
    slow, _ = planned(10, speed=1e7)
    whole_split = pace.cost(PRESETS[slow.name]) / 1e7 * VAL_TOKENS
    whole_split /= 3 * slow.train.batch_size * slow.model.block_size
    assert slow.train.max_seconds < 600 - whole_split


def test_it_says_what_it_measured(capsys):
    planned(10, speed=pace.cost(PRESETS["pocket"]) / 0.083)
    assert "Measured here: a `pocket` step takes 83 ms." in capsys.readouterr().out


@pytest.mark.parametrize("minutes", [0, -1, math.nan, math.inf])
def test_minutes_that_make_no_sense_are_refused(minutes):
    with pytest.raises(ValueError, match=f"minutes must be a number above 0, not {minutes}"):
        fit_to_time(minutes, on_cpu)


# --- measuring a step ---


def test_measuring_leaves_the_dice_alone():
    before = torch.get_rng_state()
    assert seconds_per_step(PRESETS["smoke"], CPU) > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_a_slow_machine_is_not_kept_busy_for_long(ids):
    clock = pace.StepClock(patience=0.0)
    run = new_run(
        GPT(GPTConfig(n_layer=1, n_head=1, n_embd=8)), *ids, TrainConfig(max_steps=6), CPU
    )
    run.config.eval_batches = 1
    train(run, [clock])
    assert run.step == 4 and clock.median() > 0  # the first step warms up, three are measured


@pytest.mark.parametrize("slow", range(5))
def test_a_disturbed_step_decides_nothing(slow, monkeypatch):
    """One of the five steps takes a hundred times as long, as where something else ran."""
    now, steps = [0.0], iter(10.0 if i == slow + 1 else 0.1 for i in range(6))

    def perf_counter():
        now[0] += next(steps, 0.0)
        return now[0]

    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=perf_counter))
    assert seconds_per_step(PRESETS["smoke"], CPU) == pytest.approx(0.1)


def test_ctrl_c_while_measuring_ends_the_program_and_not_just_the_measurement(monkeypatch):
    class InterruptedClock(pace.StepClock):
        def on_step(self, run):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pace, "StepClock", InterruptedClock)
    with pytest.raises(KeyboardInterrupt):
        seconds_per_step(PRESETS["smoke"], CPU)


# --- the budget during a run ---


class Clock(Callback):
    """A clock that goes on by as many seconds at each step as the machine takes."""

    def __init__(self, pace):
        self.pace, self.now = pace, 0.0

    def perf_counter(self):
        return self.now

    def on_step(self, run):
        self.now += self.pace(self.now)


def run_with_clock(ids, monkeypatch, pace, budget=40.0, max_steps=1000):
    clock = Clock(pace)
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    model = GPT(GPTConfig(vocab_size=65, block_size=4, n_layer=1, n_head=1, n_embd=4))
    config = TrainConfig(
        max_steps=max_steps, batch_size=1, eval_interval=10**6, max_seconds=budget, eval_batches=1
    )
    return train(new_run(model, ids[0][:1000], ids[1][:100], config, CPU), [clock, TimeBudget()])


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0, 5.0])
def test_a_machine_that_changes_its_speed_half_way_ends_in_time_at_the_lowest_rate(
    ids, monkeypatch, factor
):
    def pace(now):
        return 0.25 if now < 20 else 0.25 * factor

    run = run_with_clock(ids, monkeypatch, pace)
    assert 36 <= run.seconds <= 40 + 0.25 * factor  # the time is used, and over by a step at most
    assert run.lr < 1.2 * run.config.min_lr
    assert lr_at(run.step, run.config) == pytest.approx(run.config.min_lr, rel=0.1)


def test_a_slow_first_step_does_not_shorten_the_run(ids, monkeypatch):
    run = run_with_clock(ids, monkeypatch, lambda now: 0.2 if now else 10.0)
    assert run.step > 130  # 30 seconds are left for steps of 0.2


def test_the_budget_never_asks_for_more_steps_than_were_wanted(ids, monkeypatch):
    run = run_with_clock(ids, monkeypatch, lambda now: 0.001, max_steps=50)
    assert run.stopped == "finished" and run.step == 50


def test_without_a_time_limit_the_budget_changes_nothing(ids, monkeypatch):
    run = run_with_clock(ids, monkeypatch, lambda now: 100.0, budget=None, max_steps=10)
    assert run.stopped == "finished" and run.step == run.config.max_steps == 10


def test_a_machine_that_stands_still_is_stopped_by_the_clock(ids, monkeypatch):
    run = run_with_clock(ids, monkeypatch, lambda now: 30.0)
    assert run.stopped == "out of time" and run.step == 2
