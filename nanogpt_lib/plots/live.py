"""The curve of a run and, beside it, what the model writes: one picture that fits one screen."""

import textwrap

from matplotlib.figure import Figure

from nanogpt_lib.milestones import BY_HEART
from nanogpt_lib.plots.curves import arrivals, draw_run
from nanogpt_lib.plots.style import TRAIN, VALIDATION, ink
from nanogpt_lib.plots.telling import Picture, history_told
from nanogpt_lib.training import Evaluation, TrainConfig

LINES, COLUMNS = 5, 46  # of the newest sample; a line is as wide as the picture allows
SIZE = (10.8, 5.2)  # inches: as high as a screen of 720 pixels at a zoom of 150% has room for


def live_figure(
    history: list[Evaluation], config: TrainConfig, rungs=(), title="", batches=()
) -> Figure:
    """The curve with its landmarks on the left, on the right what was written.

    On top stands the newest sample, below it the first sample of each landmark, which stays.
    Arguments: as for `loss_figure`.
    """
    firsts = first_samples(history, rungs)
    told = "; ".join(f"{name} at step {p.step:,}" for _, _, name, p in firsts)
    says = f"{title or 'Loss'}: {history_told(history)}. Landmarks: {told or 'none yet'}."
    figure = Picture(says, figsize=SIZE, layout="constrained")
    axes = figure.subplot_mosaic("LW;RW", width_ratios=(1.15, 1), height_ratios=(5, 1))
    draw_run(axes["L"], axes["R"], history, config, rungs, batches, landmarks=True)
    draw_words(axes["W"], history, firsts)
    heading = {"x": 0.01, "ha": "left", "fontsize": 12, "fontweight": "bold"}
    figure.suptitle(title or "Loss", parse_math=False, **heading)
    return figure


def first_samples(history, rungs=()) -> list[tuple[float, str, str, Evaluation]]:
    """The landmarks reached, in order: the loss, a colour, the name, and the first evaluation.

    Of the training loss only those that no unseen text reaches.
    """
    found = []
    for name, point in arrivals(history, "val", rungs).items():
        found.append((point.val_loss, VALIDATION, name, point))
    for name, point in arrivals(history, "train", rungs).items():
        if name in BY_HEART:
            found.append((point.train_loss, TRAIN, f"{name}, training", point))
    return sorted(found, key=lambda row: row[3].step)


def draw_words(axes, history, firsts) -> None:
    """The newest sample, and the first line or two of each landmark's first one."""
    lines = []  # (text, colour, whether it is a heading)
    written = [point for point in history if point.sample]
    if written:
        lines.append((f"Step {written[-1].step:,} writes", "black", True))
        rows = [textwrap.wrap(row, COLUMNS) for row in written[-1].sample.strip().split("\n")]
        newest = [piece for pieces in rows for piece in pieces][:LINES]
        lines += [(piece, "black", False) for piece in newest + [""] * (LINES - len(newest))]
        lines.append(("The first sample of each landmark", "black", True))
    for loss, colour, name, point in firsts:
        lines.append((f"{point.step:,} · {loss:.2f} · {name}", ink(colour), False))
        if point.sample:
            sample = " ".join(point.sample.split())
            lines.append((f"  {sample[: COLUMNS - 2]}", "black", False))
    style = {"family": "monospace", "fontsize": 9, "va": "top", "parse_math": False}
    for number, (text, colour, heading) in enumerate(lines):
        place = {"x": 0.02, "y": 0.985 - number / 30, "transform": axes.transAxes}
        weight = "bold" if heading else "normal"
        drawn = axes.text(s=text, color=colour, fontweight=weight, **place, **style)
        drawn.set_in_layout(False)  # a long line must not make the curve narrower
    axes.set(xticks=[], yticks=[], facecolor="#f3efe6")
    axes.spines[:].set_visible(False)
