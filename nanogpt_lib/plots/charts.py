"""Bars, lines, dots, histograms and heat maps."""

import math
from functools import partial

from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from nanogpt_lib.plots.style import (
    BEST,
    PALETTE,
    RATE,
    RUNG,
    TRAIN,
    VALIDATION,
    ink,
    name_ends,
    on,
    plain,
    visible,
)
from nanogpt_lib.plots.telling import Picture, bars_told, curves_told, few, largest_told, rounded


def bars(names, values, title="", xlabel="", highlight=()) -> Figure:
    """Horizontal bars, the first on top, each with its value; highlight: names to emphasise."""
    says = f"{title}, {xlabel}: {bars_told(names, values)}."
    figure = Picture(says, figsize=(8, 0.6 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    colours = [VALIDATION if name in highlight else TRAIN for name in names]
    labels = [visible(str(name)) for name in names]
    places = range(len(names))
    drawn = axes.barh(places, [float(v) for v in values], color=colours)
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=9)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    return figure


def bars_beside(groups, title="", xlabel="") -> Figure:
    """Groups of horizontal bars side by side on one scale; a value of 0 is marked as cut.

    groups: {heading: (names, values)}; a group has the same number of names and values.
    """
    most = max(len(names) for names, _ in groups.values())
    says = "; ".join(f"{heading}: {bars_told(*group)}" for heading, group in groups.items())
    size = (9.5, 1.1 + 0.27 * most)
    figure = Picture(f"{title}, {xlabel}. {says}.", figsize=size, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    figure.supxlabel(xlabel, fontsize=10)
    columns = figure.subplots(1, len(groups), sharex=True, squeeze=False)[0]
    for axes, (heading, (names, values)) in zip(columns, groups.items(), strict=True):
        values = [float(value) for value in values]
        places = range(len(names))
        axes.barh(places, values, color=TRAIN)
        for place, value in enumerate(values):
            words = f" {value:.3g}" if value else " cut"
            colour = "black" if value else ink(VALIDATION)
            axes.text(value, place, words, va="center", fontsize=8.5, color=colour)
        axes.set_yticks(places, [visible(str(name)) for name in names])
        axes.set_ylim(most - 0.4, -0.6)  # the first on top; rows have the same height in all groups
        axes.set_title(heading.replace("$", r"\$"), fontsize=10.5, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    highest = max(float(value) for _, values in groups.values() for value in values)
    columns[0].set_xlim(0, 1.22 * highest)  # room for the numbers
    return figure


def lines(
    x, named, title="", xlabel="", ylabel="", log="", ylim=None, levels=None, size=(9, 4.2)
) -> Figure:
    """Curves over the same x, each named at its right end.

    x: numbers. named: {name: as many numbers as x, or fewer if a curve ends early}. log: the
    axes with a logarithmic scale, for example "x" or "xy". levels: {name: value}, drawn as thin
    horizontal lines.
    """
    x = [float(value) for value in x]
    says = f"{title}, {ylabel} over {xlabel}: {curves_told(x, named)}."
    figure = Picture(says, figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, title="")
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    for axis in [{"x": axes.xaxis, "y": axes.yaxis}[letter] for letter in log]:
        axis.set_major_formatter("{x:g}")  # 0.01 rather than 10 to the -2
        axis.set_minor_formatter(partial(between_decades, axis))
    ends = []
    for i, (name, values) in enumerate(named.items()):
        values, colour = [float(value) for value in values], PALETTE[i % len(PALETTE)]
        dashes = "solid" if i < 4 else (0, (5, 2))  # curves differ not only in colour
        axes.plot(x[: len(values)], values, color=colour, linewidth=1.8, linestyle=dashes)
        last = next((v for v in reversed(values) if math.isfinite(v)), math.nan)
        ends.append((last, name, colour))
    for name, value in (levels or {}).items():
        axes.axhline(value, color=RUNG, linewidth=1, linestyle=(0, (4, 4)), zorder=0)
        ends.append((value, name, "#555555"))
    if ylim:
        axes.set_ylim(ylim)
    axes.margins(x=0)
    name_ends(axes, ends)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def between_decades(axis, value, _) -> str:
    """A label on a logarithmic axis for 2 and 5 of a decade, where few decades are shown."""
    low, high = axis.get_view_interval()
    return f"{value:g}" if f"{value:e}"[0] in "25" and high < 20 * low else ""


def histograms(named, title="", xlabel="", bins=60) -> Figure:
    """How numbers are distributed: one histogram for each name, below each other on one scale.

    named: {name: numbers}; the name is written into its histogram. bins: of each histogram, over
    its own range, so that a narrow one has a shape, too.
    """
    samples = [[float(v) for v in values] for values in named.values()]
    ranges = [f"from {rounded(min(values))} to {rounded(max(values))}" for values in samples]
    says = few(f"{name} {within}" for name, within in zip(named, ranges, strict=True))
    size = (9, 0.7 + 1.1 * len(named))
    figure = Picture(f"{title}, {xlabel}: {says}.", figsize=size, layout="constrained")
    rows = figure.subplots(len(named), 1, sharex=True, squeeze=False)[:, 0]
    for i, (axes, name, values) in enumerate(zip(rows, named, samples, strict=True)):
        axes.hist(values, bins=bins, color=PALETTE[i % len(PALETTE)])
        axes.text(0.99, 0.85, name, transform=axes.transAxes, ha="right", va="top")
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    rows[0].set_title(title, loc="left", fontweight="bold")
    rows[-1].set_xlabel(xlabel)
    return figure


def dots(names, values, title="", xlabel="", highlight=(), levels=None) -> Figure:
    """Values as dots on an axis that is cut, for small differences; bars would begin at 0.

    names, values: the first on top. highlight: names to emphasise. levels: {name: value}, drawn as
    thin lines if they are near.
    """
    values = [float(value) for value in values]
    room = 0.25 * (max(values) - min(values)) or 1.0
    low, high = min(values) - room, max(values) + room
    near = {name: value for name, value in (levels or {}).items() if low <= value <= high}
    says = f"{title}, {xlabel}: {bars_told(names, values)}."
    figure = Picture(says, figsize=(8, 1.0 + 0.3 * len(values)), layout="constrained")
    axes = figure.subplots()
    for name, value in near.items():
        axes.axvline(value, color=RUNG, linewidth=1, linestyle=(0, (4, 4)), zorder=0)
        axes.annotate(
            f"{name} {value:.3g}",
            xy=(value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=RATE,
        )
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        colour = VALIDATION if name in highlight else TRAIN
        axes.plot(value, place, "o", color=colour, markersize=8)
        axes.annotate(
            f"{value:.3f}",
            xy=(value, place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
        )
    axes.set_yticks(range(len(values)), [visible(str(name)) for name in names])
    axes.set(xlim=(low, high), ylim=(len(values) - 0.5, -0.5), xlabel=f"{xlabel} (cut axis)")
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontweight="bold", pad=18 if near else None)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def heatmap(
    matrix, rows, columns, title="", row_label="", column_label="", size=6.5, power=1.0, cells=None
) -> Figure:
    """A matrix as colours, dark for large; rows and columns: the labels at its edges.

    power: 0.5 colours by the square root, which shows small values beside large ones. cells: a
    matrix of short texts to write into the cells.
    """
    rows, columns = list(rows), list(columns)  # also of a dictionary
    says = f"{title}: {len(rows)} rows and {len(columns)} columns, "
    says += f"{largest_told(plain(matrix), rows, columns)}."
    shape = (size, size * len(rows) / len(columns) + 0.6)
    figure = Picture(says, figsize=shape, layout="constrained")
    axes = figure.subplots()
    colours = PowerNorm(power, vmin=min(0.0, *(min(row) for row in plain(matrix))))
    image = axes.imshow(plain(matrix), cmap="Blues", norm=colours, aspect="auto")
    for i, row in enumerate(cells or []):
        for j, words in enumerate(row):
            style: dict = {"ha": "center", "va": "center", "fontsize": 5.5}
            axes.text(j, i, words, color=on(image, float(matrix[i][j])), **style)
    small = 10 if max(len(rows), len(columns)) <= 30 else 6
    axes.set_xticks(range(len(columns)), [visible(s) for s in columns], fontsize=small)
    axes.set_yticks(range(len(rows)), [visible(s) for s in rows], fontsize=small)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(column_label)
    axes.set_ylabel(row_label)
    axes.set_title(title, loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, shrink=0.7)
    return figure


def estimates(groups, truth: float, title="", xlabel="", label="whole text") -> Figure:
    """How far estimates scatter around a value: one row of dots for each group.

    groups: {name: estimates}, the first on top. truth: drawn as a line through all rows,
    called `label`.
    """
    ranges = (
        f"{name} from {rounded(min(values))} to {rounded(max(values))}"
        for name, values in groups.items()
    )
    says = f"{title}, {xlabel}: {few(ranges)}; {label} {truth:.3f}."
    figure = Picture(says, figsize=(9, 0.9 + 0.55 * len(groups)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(truth, color=BEST, linewidth=2, label=f"{label}: {truth:.3f}")
    for row, values in enumerate(groups.values()):
        axes.plot(values, [row] * len(values), "o", color=VALIDATION, alpha=0.45, markersize=7)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlabel(xlabel)
    axes.set_title(title, loc="left", fontweight="bold")
    figure.legend(loc="outside lower right", edgecolor="none")  # no dot is below it
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def panels(x, groups, title="", xlabel="") -> Figure:
    """Curves in one panel for each heading, side by side over the same x, each on its own scale.

    groups: {heading: {name: values}}. The same names have the same colours; a legend names them.
    """
    told = (f"{heading}: {curves_told(x, named)}" for heading, named in groups.items())
    says = f"{title}, over {xlabel}. {'. '.join(told)}."
    figure = Picture(says, figsize=(10, 2.9), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    figure.supxlabel(xlabel, fontsize=10)
    columns = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (heading, named) in zip(columns, groups.items(), strict=True):
        for (name, values), colour in zip(named.items(), PALETTE, strict=False):
            axes.plot(x, values, color=colour, label=visible(str(name)), linewidth=1.3)
        axes.set_title(visible(heading), fontsize=10.5, loc="left")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = columns[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=9, frameon=False)
    return figure
