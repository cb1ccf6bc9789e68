"""The pictures: whatever a run was like, its curve shows it."""

import io
import math
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from nanogpt_lib.plots.curves import arrivals, loss_figure, summary
from nanogpt_lib.plots.live import live_figure
from nanogpt_lib.plots.style import RUNG, apart
from nanogpt_lib.runs import catalogue, untrusted
from nanogpt_lib.training import Evaluation, TrainConfig, lr_at

CONFIG = TrainConfig(max_steps=40, warmup_steps=5)
RUNGS = [
    {"k": -1, "name": "uniform guess", "loss": 4.17},
    {"k": 0, "name": "character frequencies", "loss": 3.35},
    {"k": 3, "name": "3 characters of context", "loss": 1.78},
    {"k": 4, "name": "4 characters of context", "loss": 1.75},
]


def point(step, train_loss, val_loss):
    return Evaluation(step, step * 10, step * 0.1, 1e-3, train_loss, val_loss)


HISTORY = [point(0, 4.2, 4.2), point(10, 2.5, 2.6), point(20, 1.9, 2.1), point(30, 1.5, 2.3)]


def labelled(axes, name):
    """The line whose label in the legend begins so."""
    return next(line for line in axes.lines if str(line.get_label()).startswith(name))


def test_both_losses_are_drawn_where_they_were():
    above, _ = loss_figure(HISTORY, CONFIG).axes
    for name, loss in (("training", "train_loss"), ("validation", "val_loss")):
        line = labelled(above, name)
        assert list(line.get_xdata()) == [0, 10, 20, 30]
        assert list(line.get_ydata()) == [getattr(p, loss) for p in HISTORY]
    names = [text.get_text() for text in above.get_legend().get_texts()]
    assert names == ["training", "validation", "best validation: 2.100 at step 20"]


def test_the_best_validation_loss_is_marked_at_its_place():
    above, _ = loss_figure(HISTORY, CONFIG).axes
    mark = labelled(above, "best")
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([20], [2.1])


def test_the_ladder_is_drawn_and_its_names_do_not_overlap():
    figure = loss_figure(HISTORY, CONFIG, RUNGS, "smoke on a text")
    above = figure.axes[0]
    heights = [line.get_ydata()[0] for line in above.lines if line.get_color() == RUNG]
    assert sorted(heights) == sorted(rung["loss"] for rung in RUNGS)
    names = [text for text in above.texts if "characters of context" in text.get_text()]
    figure.canvas.draw()
    one, two = (name.get_window_extent() for name in names)
    assert not one.overlaps(two)
    assert above.get_title(loc="left") == "smoke on a text"


@pytest.mark.parametrize("span", [0.04, 3, 400])
def test_the_names_of_the_rungs_stay_beside_their_lines_and_apart(span):
    """An alphabet of two symbols has rungs within 0.04 nats; a run that diverged spans hundreds."""
    rungs = [{"name": f"{k} letters", "loss": 0.65 + k * span / 9, "k": k} for k in range(6)]
    history = [point(0, 0.65 + span, 0.65 + span), point(30, 0.65, 0.65)]
    figure = loss_figure(history, CONFIG, rungs)
    figure.canvas.draw()
    above = figure.axes[0]
    frame = above.get_window_extent()
    names = [text for text in above.texts if text.get_text().endswith(" letters")]
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.y0)
    assert len(boxes) == 6
    for box in boxes:
        assert frame.y0 - 10 < (box.y0 + box.y1) / 2 < frame.y1 + 10
    for lower, upper in pairwise(boxes):
        assert not lower.overlaps(upper)
    if span == 3:  # here nothing needs to move
        for text, rung in zip(names, rungs, strict=True):
            assert above.transData.inverted().transform(above.transAxes.transform(text.xy))[
                1
            ] == pytest.approx(rung["loss"], abs=1e-3)


@given(st.lists(st.floats(-1, 2), max_size=12), st.floats(0.01, 0.2))
def test_names_move_apart_and_no_further_than_they_need(heights, gap):
    heights = sorted(heights)
    moved = apart(heights, gap, top=1.0)
    assert all(b - a > gap - 1e-9 for a, b in pairwise(moved))
    if moved and gap * (len(moved) - 1) <= 1:
        assert moved[0] > -1e-9 and moved[-1] < 1 + 1e-9
    already = all(b - a >= gap for a, b in pairwise(heights))
    if already and all(0 <= height <= 1 - gap * len(heights) for height in heights):
        assert moved == pytest.approx(heights)


def test_the_learning_rate_is_drawn_below():
    _, below = loss_figure(HISTORY, CONFIG).axes
    (line,) = below.lines
    for step, rate in zip(line.get_xdata(), line.get_ydata(), strict=True):
        assert rate == lr_at(step, CONFIG)
    assert list(line.get_xdata()) == list(range(41))


def picture(figure):
    """The pixels of a figure, values from 0 to 1."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    file.seek(0)
    return imread(file)[:, :, :3]


def test_the_picture_is_not_blank_and_shows_the_history():
    empty, full = (picture(loss_figure(h, CONFIG, RUNGS)) for h in ([], HISTORY))
    assert full.shape == empty.shape and full.min() < 0.5
    assert np.abs(full - empty).max() > 0.5  # the curves are what differs


@pytest.mark.parametrize(
    "history",
    [
        [],
        [point(0, 4.2, 4.2)],
        [point(0, math.nan, math.nan)],
        [point(0, 4.2, 4.2), point(10, math.nan, math.nan)],
        [point(0, 4.2, 4.2), point(10, 4.2, 1e30)],
        [point(0, 0.0, 0.0), point(50, 0.0, 0.0)],  # beyond the last step that was planned
    ],
)
def test_odd_histories_are_drawn_too(history):
    assert picture(loss_figure(history, CONFIG, RUNGS)).min() < 0.5
    assert picture(loss_figure(history, replace(CONFIG, max_steps=0))).min() < 0.5


losses = st.floats(0, 10) | st.just(math.nan)


@settings(deadline=None)
@given(st.lists(st.tuples(losses, losses), max_size=6))
def test_the_summary_names_the_last_step_and_its_losses(values):
    history = [point(1000 * i, *pair) for i, pair in enumerate(values)]
    said = summary(history)
    if not history:
        assert said == "No evaluation yet."
    else:
        last = history[-1]
        assert said.startswith(f"Step {last.step:,}: training loss {last.train_loss:.3f}, ")
        assert f"validation loss {last.val_loss:.3f}. " in said
    assert "\n" not in said


def test_the_summary_says_how_a_run_went():
    assert "Overfitting since step 20" in summary(HISTORY)
    assert "Diverged" in summary([point(0, 4.2, 4.2), point(10, math.nan, math.nan)])


def test_a_landmark_is_reached_once_and_a_rising_loss_reaches_none():
    talk = untrusted.read("talk").history
    losses = [point.val_loss for point in arrivals(talk, "val").values()]
    assert losses == sorted(losses, reverse=True)  # at step 2,100 it is back at 2.77
    assert list(arrivals(talk, "train"))[-3:] == [
        "recognisable Shakespeare",
        "memorising",
        "reciting",
    ]


def test_what_lies_right_of_the_best_step_is_shaded_if_the_run_overfits():
    for name, shaded in (("talk", True), ("healthy", False)):
        run = untrusted.read(name)
        axes = loss_figure(run.history, run.config, run.rungs, landmarks=True).axes[0]
        words = [text.get_text() for text in axes.texts]
        assert ("learning by heart" in words) == shaded
        assert ("reciting" in words) == shaded


@pytest.mark.parametrize("run", ["talk", "talk-dropout", "pocket"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 1.0])
def test_no_name_of_a_landmark_covers_another(run, share):
    recorded = untrusted.read(catalogue.find(run))
    history = recorded.history[: max(2, round(share * len(recorded.history)))]
    figure = live_figure(history, recorded.config, recorded.rungs)
    figure.draw_without_rendering()
    above = figure.axes[0]
    names = [text for text in above.texts if text.get_text()]
    own = [text for text in names if text.get_position() != (0, 0) and text.get_fontsize() == 9.5]
    boxes = {text.get_text(): text.get_window_extent() for text in own}
    assert len(boxes) > 3
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across < 2 or down < 2, (one, other)  # pixels
