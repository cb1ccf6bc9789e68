"""Loss curves: alone, live, side by side, and on the class board."""

import math

from matplotlib.figure import Figure

from nanogpt_lib.milestones import BY_HEART, helpful, read_loss, verdict
from nanogpt_lib.plots.style import (
    BEST,
    PALETTE,
    RATE,
    RUNG,
    TRAIN,
    VALIDATION,
    ink,
    name_ends,
    short,
)
from nanogpt_lib.plots.telling import Picture, bars_told, history_told
from nanogpt_lib.plots.text import draw_sample
from nanogpt_lib.training import Evaluation, TrainConfig, lr_at


def loss_figure(
    history: list[Evaluation],
    config: TrainConfig,
    rungs=(),
    title="",
    batches=(),
    landmarks=False,
) -> Figure:
    """Training and validation loss with the n-gram ladder, and the learning rate below.

    history: the evaluations so far. config: that of the run. rungs: rows of `ngram.ladder`, drawn
    as lines, each named at its right end. batches: pairs (step, loss of its batch), drawn
    smoothed. landmarks: whether to name the landmarks on the curves where they are reached. If the
    run overfits, what lies right of its best step is shaded.
    """
    says = f"{title or 'Loss'}: {history_told(history)}."
    figure = Picture(says, figsize=(9, 5.6), layout="constrained")
    above, below = figure.subplots(2, height_ratios=(5, 1))
    draw_run(above, below, history, config, rungs, batches, landmarks)
    above.set_title(title or "Loss", loc="left", fontweight="bold", parse_math=False)
    return figure


def draw_run(above, below, history, config, rungs=(), batches=(), landmarks=False) -> None:
    """The losses of a run in the axes `above`, its learning rate in those `below`."""
    above.sharex(below)
    above.tick_params(labelbottom=False)
    draw_rungs(above, rungs)
    draw_batches(above, batches, config.max_steps)
    draw_losses(above, history)
    shade_by_heart(above, history)
    above.set_xlim(0, max(1, config.max_steps))
    if landmarks:
        draw_landmarks(above, history, rungs)
    label_rungs(above, rungs)
    above.set_ylabel("loss (nats a token)")
    steps = range(0, config.max_steps + 1, max(1, config.max_steps // 400))
    below.plot(steps, [lr_at(step, config) for step in steps], color=RATE, linewidth=1.5)
    below.set_ylabel("learning\nrate")
    below.ticklabel_format(axis="y", scilimits=(0, 0))
    below.set_ylim(0, config.learning_rate * 1.15)
    below.set_xlabel("step")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)


def draw_rungs(axes, rungs) -> None:
    """The ladder as thin lines."""
    for rung in rungs:
        axes.axhline(rung["loss"], color=RUNG, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)


def label_rungs(axes, rungs) -> None:
    """The names of the rungs at the ends of their lines. Set the axes' limits before."""
    name = "{loss:.2f}: {name}"
    ends = [(r["loss"], name.format(**r).replace("$", r"\$"), "#555555") for r in rungs]
    name_ends(axes, ends, fontsize=8.5)


def draw_batches(axes, batches, max_steps: int) -> None:
    """The losses of the batches, as means over neighbouring steps: a single one is noisy."""
    if not batches:
        return
    width = max(1, math.ceil(max_steps / 150))  # steps in a mean
    groups: dict[int, list[float]] = {}
    for step, loss in batches:
        groups.setdefault((step - 1) // width, []).append(loss)
    middles = [(group + 0.5) * width for group in groups]
    means = [sum(losses) / len(losses) for losses in groups.values()]
    axes.plot(middles, means, color=TRAIN, alpha=0.4, linewidth=1.2, label="training batches")


def arrivals(history, split: str, rungs=()) -> dict[str, Evaluation]:
    """The landmarks that a loss reaches, each with the first evaluation under it, in order.

    split: "train" or "val". A loss that rises again reaches nothing: what a model has learnt to
    write it still writes when it overfits.
    """
    found: dict[str, Evaluation] = {}
    lowest = math.inf
    for point in history:
        loss = point.train_loss if split == "train" else point.val_loss
        if loss < lowest:
            lowest = loss
            found.setdefault(read_loss(loss, split, rungs).landmark, point)
    return found


def draw_landmarks(axes, history, rungs=()) -> None:
    """The landmarks of the validation loss above its curve; below the other, those it alone has."""
    axes.margins(y=0.1)  # room for the first name
    bottom, top = axes.get_ylim()
    reached = arrivals(history, "val", rungs)
    lower = math.inf  # the height of the name above, less the height of a line
    for name, point in reached.items():
        height = min(point.val_loss + 0.04 * (top - bottom), lower)
        lower = height - 0.045 * (top - bottom)
        name_point(axes, name, (point.step, height), (5, 0), VALIDATION)
    under = math.inf  # the same for the names below
    for name, point in arrivals(history, "train", rungs).items():
        if name in BY_HEART:
            wide = axes.get_position().width * axes.figure.get_figwidth()  # inches, about
            room = 0.072 * len(name) / wide * axes.get_xlim()[1]  # a letter has 0.072 inches
            end = max(point.step, room)
            below = min(p.train_loss for p in history if p.step <= end)  # the curve, above the name
            height = min(below - 0.05 * (top - bottom), under)
            under = height - 0.055 * (top - bottom)
            name_point(axes, name, (end, height), (-3, 0), TRAIN)
    axes.set_ylim(min(bottom, under), top)


def name_point(axes, name: str, place, offset, colour) -> None:
    axes.annotate(
        name,
        xy=place,
        xytext=offset,
        textcoords="offset points",
        ha="left" if offset[0] > 0 else "right",
        va="center",
        fontsize=9.5,
        color=ink(colour),
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8},
    )


def shade_by_heart(axes, history) -> None:
    """Shades what lies right of the best step of a run that overfits."""
    judged = verdict(history)
    if judged.status != "overfitting":
        return
    axes.axvspan(judged.best_step, history[-1].step, color=BEST, alpha=0.08, linewidth=0, zorder=0)
    axes.annotate(
        "learning by heart",
        xy=(judged.best_step, 0.48),  # upright, above the curves and below the legend
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        rotation=90,
        fontsize=9.5,
        color=ink(BEST),
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
            clip_on=False,  # the whole star, also at the edge
            label=f"best validation: {best.val_loss:.3f} at step {best.step:,}",
        )
    axes.legend(loc="upper right", edgecolor="none", framealpha=1.0)  # over the dashed lines


def summary(history: list[Evaluation], copied: float | None = None) -> str:
    """What a curve shows, in one line. copied: as for `milestones.verdict`."""
    if not history:
        return "No evaluation yet."
    last = history[-1]
    return (
        f"Step {last.step:,}: training loss {last.train_loss:.3f}, validation loss "
        f"{last.val_loss:.3f}. {verdict(history, copied)}"
    )


def curve_and_sample(history, rungs=(), title="", lines=11, width=40, highest=4.8) -> Figure:
    """A curve with the ladder, and beside it what the model wrote at its last evaluation.

    highest: the end of the loss axis; use the same value in all pictures that you compare. Points
    above it are drawn at the edge as triangles.
    """
    sample = (history[-1].sample or "").strip()[:60]
    says = f"{title}: {history_told(history)}. At the end it writes {sample!r}."
    figure = Picture(says, figsize=(10, 3.9))
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.13, top=0.82, wspace=0.6)
    draw_rungs(left, rungs)
    draw_losses(left, history)
    for losses, colour in (("train_loss", TRAIN), ("val_loss", VALIDATION)):
        above = [p.step for p in history if getattr(p, losses) > highest]
        left.plot(above, [highest] * len(above), "^", color=colour, clip_on=False)
    left.set(xlabel="step", ylabel="loss (nats a token)", ylim=(0, highest))
    left.set_xlim(0, history[-1].step * 1.02 or 1)
    label_rungs(left, rungs)
    left.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3, frameon=False, fontsize=9)
    left.spines[["top", "right"]].set_visible(False)
    draw_sample(right, history[-1], lines, width)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def curves_beside(histories, rungs=(), title="", columns=2, highest=4.8) -> Figure:
    """Curves of several runs on one scale, with the ladder; histories: {name: evaluations}."""
    rows = math.ceil(len(histories) / columns)
    told = "; ".join(f"{name}: {history_told(history)}" for name, history in histories.items())
    size = (10, 0.8 + 2.5 * rows)
    figure = Picture(f"{title}. {told}.", figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for axes, (name, history) in zip(grid, histories.items(), strict=False):
        for rung in rungs:
            axes.axhline(rung["loss"], color=RUNG, linewidth=0.6, linestyle=(0, (4, 4)), zorder=0)
        draw_losses(axes, history)
        handles, labels = axes.get_legend_handles_labels()
        axes.get_legend().remove()  # one legend for all, added below
        axes.set_title(f"{name} ({labels[-1]})", loc="left", fontsize=10.5)
        axes.set_ylim(0, highest)
        axes.spines[["top", "right"]].set_visible(False)
        axes.label_outer()
    figure.supxlabel("step", fontsize=10)
    figure.supylabel("loss (nats a token)", fontsize=10)
    figure.legend(handles[:2], labels[:2], loc="outside upper right", ncols=2, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def board(curves, ranked, xlabel="", rungs=(), title="", stand_out=6) -> Figure:
    """Validation losses of many runs: the best few have colours and names, all others are grey.

    curves: {name: (x, losses)}. ranked: names of the runs that can be compared, the best first;
    other runs are dotted. rungs: rows of `ngram.ladder`, drawn as lines.
    """
    lows = [
        min((v for v in curves[name][1] if math.isfinite(v)), default=math.nan) for name in ranked
    ]
    says = f"{title}: the best validation losses are {bars_told(ranked, lows)}."
    figure = Picture(says, figsize=(10, 5.6), layout="constrained")
    axes = figure.subplots()
    ends, few = [], ranked[:stand_out]
    for name, (x, losses) in curves.items():
        if name not in few:
            dashes = "solid" if name in ranked else (0, (1, 2))
            axes.plot(x, losses, color="#b5b5b5", linewidth=1, linestyle=dashes, zorder=1)
    for i, name in reversed(list(enumerate(few))):  # the best on top of all
        x, losses = curves[name]
        colour, best = PALETTE[i], min(v for v in losses if math.isfinite(v))
        axes.plot(x, losses, color=colour, linewidth=3 if i == 0 else 2, zorder=3)
        place = x[losses.index(best)]
        axes.plot(place, best, "o", color=colour, markersize=13, clip_on=False, zorder=4)
        number = {"ha": "center", "va": "center_baseline", "fontsize": 8, "fontweight": "bold"}
        axes.text(place, best, str(i + 1), number, color="white", zorder=5)
        ends.append((best, f"{i + 1}. {short(name)}  {best:.3f}", colour))
    # From below the best loss to above what nine of ten runs reach: there runs differ.
    lowest = [min((v for v in curves[name][1] if math.isfinite(v)), default=4) for name in ranked]
    low, high = min(lowest, default=0), sorted(lowest or [4])[int(0.9 * (len(lowest) - 0.5))]
    axes.set_ylim(low - 0.1 * (high - low) - 0.02, high + 0.4 * (high - low) + 0.2)
    axes.margins(x=0)
    axes.set_xlim(left=0)
    name_rungs(axes, rungs)
    name_ends(axes, ends)
    axes.set(xlabel=xlabel, ylabel="validation loss (nats a token)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(title, loc="left", fontweight="bold", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def name_rungs(axes, rungs) -> None:
    """The helpful rungs of the ladder, as thin lines with a name above their right end."""
    bottom, top = axes.get_ylim()
    named = math.inf
    for rung in helpful(rungs):
        if named - rung["loss"] < 0.04 * (top - bottom):  # too close to the name above it
            continue
        named = rung["loss"]
        axes.axhline(rung["loss"], color=RUNG, linewidth=0.6, linestyle=(0, (4, 4)), zorder=0)
        axes.annotate(
            rung["name"],
            xy=(1, rung["loss"]),
            xycoords=("axes fraction", "data"),
            xytext=(-3, 1.5),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color=ink(RUNG),
            parse_math=False,
            zorder=0,
            annotation_clip=True,
        )
