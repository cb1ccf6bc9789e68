"""Who looks at whom: attention weights as maps and as rows of text."""

import math

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nanogpt_lib.plots.style import (
    VALIDATION,
    on,
    plain,
    visible,
)
from nanogpt_lib.plots.telling import Picture, few, rounded


def attention_maps(maps, symbols, titles, title="", size=4.4, label="weight") -> Figure:
    """Who looks at whom: a square for each map. Rows look; columns are looked at.

    maps: each (T, T). symbols: the T characters, written at both edges. titles: a name for each
    map. size: the side of a square in inches; two squares fit side by side. label: what the
    colour means.
    """
    columns = min(2, len(maps))
    rows = math.ceil(len(maps) / columns)
    told = (map_told(name, plain(each), symbols) for name, each in zip(titles, maps, strict=False))
    says = f"{title} Who looks at whom in {''.join(symbols)!r}: {'; '.join(told)}."
    shape = (size * columns, (size + 0.5) * rows)
    figure = Picture(says, figsize=shape, layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    squares = figure.subplots(rows, columns, squeeze=False).flatten()
    names = [visible(symbol) for symbol in symbols]
    small = min(10, 72 * size * 0.75 / len(names))
    for axes, weights, name in zip(squares, maps, titles, strict=False):
        image = axes.imshow(plain(weights), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, fontsize=small)
        axes.set_yticks(range(len(names)), names, fontsize=small)
        axes.tick_params(length=0, pad=1.5)
        axes.xaxis.tick_top()
        axes.set_title(name, loc="left", fontsize=10.5)
    for axes in squares[len(maps) :]:
        axes.set_visible(False)
    figure.colorbar(image, ax=list(squares), shrink=0.6, aspect=30, label=label)
    return figure


def map_told(name, weights, symbols) -> str:
    """What the last token looks at most."""
    last = weights[-1]
    best = max(range(len(last)), key=last.__getitem__)
    return (
        f"{name}, the last looks most at {symbols[best]!r} in place {best}, {rounded(last[best])}"
    )


def attention_rows(symbols, rows, at, title="") -> Figure:
    """What one token looks at: the text once for each head, dark where the head looks.

    symbols: T characters. rows: {name: T weights}. at: the position of the token that looks;
    it gets a frame. Characters after it are left out: they are in its future.
    """
    shown = [visible(symbol) for symbol in symbols[: at + 1]]
    told = []
    for name, row in rows.items():
        best = max(range(at + 1), key=lambda place: float(row[place]))
        told.append(f"{name} most at {symbols[best]!r}, {at - best} back, {rounded(row[best])}")
    size = (9.5, 0.7 + 0.36 * len(rows))
    figure = Picture(f"{title}: {few(told)}.", figsize=size, layout="constrained")
    axes = figure.subplots()
    weights = [[float(w) for w in row[: at + 1]] for row in rows.values()]
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    small = min(11, 480 / len(shown))
    for i, row in enumerate(weights):
        for j, symbol in enumerate(shown):
            colour = on(image, row[j])
            axes.text(j, i, symbol, ha="center", va="center", color=colour, fontsize=small)
    frame = Rectangle((at - 0.5, -0.5), 1, len(rows), fill=False, edgecolor=VALIDATION, linewidth=2)
    axes.add_patch(frame)
    frame.set_clip_on(False)
    axes.set_xticks([])
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, label="weight", aspect=8, pad=0.01)
    return figure
