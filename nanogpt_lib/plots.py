"""Pictures: the loss curve, alone, live, and beside the ladder.

Every function returns a matplotlib Figure and shows nothing by itself; `summary` says in a line
of text what a curve shows, for those who cannot see it.
"""

import math

from matplotlib.figure import Figure

from nanogpt_lib.milestones import verdict
from nanogpt_lib.training import Evaluation, TrainConfig, lr_at

# Distinguishable with any kind of colour vision (Okabe & Ito 2008).
TRAIN, VALIDATION, BEST, RATE, RUNG = "#0072B2", "#D55E00", "#009E73", "#555555", "#8a8a8a"


def loss_figure(history: list[Evaluation], config: TrainConfig, rungs=(), title="") -> Figure:
    """Training and validation loss over the n-gram ladder, the learning rate below.

    history: the evaluations so far. config: how the run is trained. rungs: rows of
    `ngram.ladder`, drawn as lines, each named at its right end.
    """
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(5, 1))
    draw_rungs(above, rungs)
    draw_losses(above, history)
    above.set_ylabel("loss (nats a token)")
    above.set_title(title or "Loss", loc="left", fontweight="bold")
    steps = range(0, config.max_steps + 1, max(1, config.max_steps // 400))
    below.plot(steps, [lr_at(step, config) for step in steps], color=RATE, linewidth=1.5)
    below.set_ylabel("learning\nrate")
    below.ticklabel_format(axis="y", scilimits=(0, 0))
    below.set_ylim(0, config.learning_rate * 1.15)
    below.set_xlabel("step")
    below.set_xlim(0, max(1, config.max_steps))
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_rungs(axes, rungs) -> None:
    """The ladder as thin lines; a rung's name stands at its end, clear of its neighbours."""
    lowest_label = math.inf
    for rung in sorted(rungs, key=lambda rung: -rung["loss"]):
        axes.axhline(rung["loss"], color=RUNG, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
        height = min(rung["loss"], lowest_label - 0.14)
        lowest_label = height
        axes.annotate(
            f"{rung['loss']:.2f}: {rung['name']}",
            xy=(1, height),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color="#555555",
        )


def draw_losses(axes, history) -> None:
    """Both curves, and the best validation loss marked."""
    steps = [point.step for point in history]
    style = {"marker": "o", "markersize": 3.5, "linewidth": 1.8}
    axes.plot(steps, [p.train_loss for p in history], color=TRAIN, label="training", **style)
    axes.plot(steps, [p.val_loss for p in history], color=VALIDATION, label="validation", **style)
    finite = [point for point in history if math.isfinite(point.val_loss)]
    if finite:
        best = min(finite, key=lambda point: point.val_loss)
        axes.axvline(best.step, color=BEST, linewidth=1, linestyle=":")
        axes.plot(
            [best.step],
            [best.val_loss],
            marker="*",
            markersize=13,
            color=BEST,
            linestyle="",
            clip_on=False,  # whole, also at the edge
            label=f"best validation: {best.val_loss:.3f} at step {best.step:,}",
        )
    axes.legend(loc="upper right", edgecolor="none", framealpha=1.0)  # over the dashed lines


def summary(history: list[Evaluation]) -> str:
    """What a curve shows, in a line."""
    if not history:
        return "No evaluation yet."
    last = history[-1]
    return (
        f"Step {last.step:,}: training loss {last.train_loss:.3f}, validation loss "
        f"{last.val_loss:.3f}. {verdict(history)}"
    )
