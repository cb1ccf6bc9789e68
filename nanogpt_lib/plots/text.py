"""Text in pictures: tokens, surprise, copies, and what a model wrote."""

import math
import textwrap

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nanogpt_lib.plots.style import (
    TRAIN,
    VALIDATION,
    ink,
    on,
    visible,
)
from nanogpt_lib.plots.telling import Picture, few, rounded


def token_strip(symbols, ids, title="") -> Figure:
    """A text in boxes, symbol above, id below. symbols: strings. ids: the same number of ids."""
    told = few((f"{s!r} is {int(n)}" for s, n in zip(symbols, ids, strict=True)), most=30)
    size = (max(4, 0.42 * len(ids)), 1.5)
    figure = Picture(f"{title}: {told}.", figsize=size, layout="constrained")
    axes = figure.subplots()
    for i, (symbol, number) in enumerate(zip(symbols, ids, strict=True)):
        axes.add_patch(Rectangle((i, 0), 1, 2, facecolor="#f3efe6", edgecolor="white", linewidth=2))
        axes.text(i + 0.5, 1.35, visible(symbol), ha="center", va="center", fontsize=13)
        axes.text(i + 0.5, 0.5, str(int(number)), ha="center", va="center", color=TRAIN)
    axes.set(xlim=(0, len(ids)), ylim=(0, 2), title=title)
    axes.axis("off")
    return figure


def pieces(rows, title="") -> Figure:
    """A text cut into tokens, each in its own box, for several tokenizers below each other.

    rows: {name: the tokens as strings}; the tokens of each row form the same text.
    """
    length = max(sum(map(len, tokens)) for tokens in rows.values())
    told = "; ".join(f"{name}: {len(cut)}, as {'|'.join(cut)!r}" for name, cut in rows.items())
    size = (1.6 + 0.15 * length, 0.5 + 0.42 * len(rows))
    figure = Picture(f"{title}. {told}.", figsize=size, layout="constrained")
    axes = figure.subplots()
    for row, tokens in enumerate(rows.values()):
        begin = 0
        for token in tokens:
            box = (begin + 0.05, row - 0.38), len(token) - 0.1, 0.76
            axes.add_patch(Rectangle(*box, facecolor="#dbe9f6", edgecolor="#7fa8cf"))
            for i, symbol in enumerate(token):
                axes.text(begin + i + 0.5, row, visible(symbol), ha="center", va="center")
            begin += len(token)
    names = [f"{name}: {len(tokens)}" for name, tokens in rows.items()]
    axes.set_yticks(range(len(rows)), names)
    axes.set(xlim=(0, length), ylim=(len(rows) - 0.5, -0.5), xticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    return figure


def loss_strips(symbols, rows, title="", most=6.0) -> Figure:
    """A text, each character coloured by its loss: a darker colour means a greater surprise.

    symbols: strings. rows: {name: as many losses as symbols}, drawn below each other. most: the
    loss that gets the darkest colour; higher losses get it, too.
    """
    figure = Picture(
        f"{title}: {'; '.join(strip_told(symbols, *row) for row in rows.items())}.",
        figsize=(9.5, 0.9 + 0.45 * len(rows)),
        layout="constrained",
    )
    axes = figure.subplots()
    losses = [[float(value) for value in values] for values in rows.values()]
    image = axes.imshow(losses, cmap="Oranges", vmin=0, vmax=most, aspect="auto")
    for i, row in enumerate(losses):
        for j, symbol in enumerate(symbols):
            colour = on(image, row[j])
            axes.text(j, i, visible(symbol), ha="center", va="center", color=colour, fontsize=11)
    axes.set_xticks([])
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, label="loss (nats)", aspect=6, pad=0.01)
    return figure


def strip_told(symbols, name, losses) -> str:
    """The mean loss of a text, and where it surprised most."""
    symbols, losses = list(symbols), [float(value) for value in losses]
    most = max(range(len(losses)), key=losses.__getitem__)
    mean = rounded(sum(losses) / len(losses))
    return f"{name} {mean} nats on average, most at {symbols[most]!r} with {rounded(losses[most])}"


def sample_cards(points, lines=10, width=39, title="") -> Figure:
    """What a model wrote at some evaluations, on cards side by side; each needs a `sample`."""
    told = (f"step {p.step:,}, loss {p.val_loss:.2f}: {p.sample.strip()[:60]!r}" for p in points)
    size = (10, 0.9 + 0.2 * lines)
    figure = Picture(f"{title} {'; '.join(told)}.", figsize=size, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    for axes, point in zip(figure.subplots(1, len(points), squeeze=False)[0], points, strict=True):
        draw_sample(axes, point, lines, width)
        heading = f"step {point.step:,}, loss {point.val_loss:.2f}"
        axes.set_title(heading, loc="left", fontsize=11, color=ink(VALIDATION))
    return figure


def draw_sample(axes, point, lines: int, width: int) -> None:
    """What a model wrote at an evaluation, wrapped and cut to this number of lines and width."""
    written = point.sample.strip().split("\n")
    wrapped = [textwrap.wrap(line, width, break_on_hyphens=False) or [""] for line in written]
    shown = "\n".join([piece for pieces in wrapped for piece in pieces][:lines])
    style = {"family": "monospace", "fontsize": 9, "linespacing": 1.3, "parse_math": False}
    words = axes.text(0.03, 0.96, shown, transform=axes.transAxes, va="top", **style)
    words.set_in_layout(False)  # otherwise a long line makes the picture beside it narrower
    axes.set_title(f"written at step {point.step:,}", loc="left", fontsize=10.5)
    axes.set(xticks=[], yticks=[], facecolor="#f3efe6")
    axes.spines[:].set_visible(False)


def copies_map(steps, lengths, chance: int, title="", most=60) -> Figure:
    """Where samples copy: one row for each evaluation, one column for each character of its sample.

    lengths: for each step one number for each character of its sample, the length of the copy
    that it belongs to (`copying.copy_lengths`). Lengths up to `chance` are white. The darkest
    colour means `most` characters or more.
    """
    longest = [int(max(map(float, row), default=0)) for row in lengths]
    says = f"{title}: the longest copy has {longest[0]} characters at step {steps[0]:,} and "
    says += f"{longest[-1]} at step {steps[-1]:,}; up to {chance} are chance."
    size = (9.5, 1.2 + 0.16 * len(steps))
    figure = Picture(says, figsize=size, layout="constrained")
    axes = figure.subplots()
    widest = max(map(len, lengths))
    rows = [[*map(float, row), *[math.nan] * (widest - len(row))] for row in lengths]
    image = axes.imshow(rows, cmap="Oranges", vmin=chance, vmax=most, aspect="auto")
    every = max(1, math.ceil(len(steps) / 14))
    axes.set_yticks(range(0, len(steps), every), [f"{step:,}" for step in steps[::every]])
    axes.set(xlabel="character of the sample", ylabel="step")
    axes.set_title(title, loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, label="length of the copy", pad=0.01, extend="both")
    return figure
