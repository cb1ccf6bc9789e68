"""Letters as points, and what a table of runs has copied."""

import textwrap
from statistics import median

from matplotlib.figure import Figure

from nanogpt_lib.plots.style import PALETTE, RATE, VALIDATION, ink, plain, visible
from nanogpt_lib.plots.telling import Picture

APART = 17.0  # points between the middles of two letters, so that both can be read
ROUNDS = 200  # of moving apart, at most
KINDS = [ink(colour) for colour in PALETTE[:4]]
OTHER = RATE


def letter_map(points, symbols, groups, title="") -> Figure:
    """Symbols at their places in the plane, each kind in its own colour.

    points: (N, 2) numbers. symbols: N strings. groups: {the name of a kind: its symbols}. Symbols
    that would cover each other are moved apart, and a thin line leads to where each belongs.
    """
    places = plain(points)
    says = "; ".join(
        f"{name} {where([p for p, s in zip(places, symbols, strict=True) if s in members], places)}"
        for name, members in groups.items()
    )
    figure = Picture(f"{title}: {says}.", figsize=(6.2, 6.2), layout="constrained")
    axes = figure.subplots()
    colour_of = {
        symbol: KINDS[i] for i, members in enumerate(groups.values()) for symbol in members
    }
    xs, ys = zip(*places, strict=True)
    axes.set_xlim(*wider(xs))
    axes.set_ylim(*wider(ys))
    figure.draw_without_rendering()  # the layout is settled: from here on places can be turned
    scale = 72 / figure.dpi  # pixels to points
    pixels = axes.transData.transform(places) * scale
    moved = pushed_apart([(float(x), float(y)) for x, y in pixels])
    for (x, y), here, to, symbol in zip(places, pixels, moved, symbols, strict=True):
        colour = colour_of.get(symbol, OTHER)
        away = (to[0] - float(here[0]), to[1] - float(here[1]))
        line = {"arrowstyle": "-", "linewidth": 0.7, "color": colour, "shrinkA": 5, "shrinkB": 0}
        axes.annotate(
            visible(symbol),
            xy=(x, y),
            xytext=away,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=14,
            color=colour,
            arrowprops=line if max(map(abs, away)) > APART / 2 else None,
        )
    for i, name in enumerate(groups):
        axes.plot([], [], "o", color=KINDS[i], label=name)
    axes.legend(loc="best", edgecolor="none")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#dddddd")
    axes.set_title(title, loc="left", fontweight="bold")
    return figure


def where(some, places) -> str:
    """In which part of the picture some of the places lie: by their median."""
    words = []
    for axis, (low, high) in enumerate((("left", "right"), ("bottom", "top"))):
        values = [place[axis] for place in places]
        least, most = min(values), max(values)
        part = (median(place[axis] for place in some) - least) / (most - least or 1.0)
        words.append(low if part < 1 / 3 else high if part > 2 / 3 else "middle")
    across, up = words
    return "in the middle" if across == up == "middle" else f"at the {up} {across}"


def wider(values, part=0.06) -> tuple[float, float]:
    """The range of some numbers, with some room on both sides."""
    low, high = min(values), max(values)
    room = part * (high - low) or 1.0
    return low - room, high + room


def pushed_apart(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places that are closer than APART, moved away from each other in small steps."""
    moved = [[x + 1e-3 * i, y] for i, (x, y) in enumerate(places)]  # no two at the same place
    for _ in range(ROUNDS):
        calm = True
        for i, one in enumerate(moved):
            for other in moved[:i]:
                dx, dy = one[0] - other[0], one[1] - other[1]
                distance = (dx * dx + dy * dy) ** 0.5
                if distance < APART:
                    calm = False
                    push = 0.25 * (APART - distance) / distance
                    one[0], one[1] = one[0] + push * dx, one[1] + push * dy
                    other[0], other[1] = other[0] - push * dx, other[1] - push * dy
        if calm:
            break
    return [(x, y) for x, y in moved]


def copied_texts(samples, title="", most=60, width=40, lines=6) -> Figure:
    """Texts whose characters are coloured where they were copied; a stronger colour, a longer copy.

    samples: {name: (the text, for each of its characters the length of its copy, and the length
    up to which a copy may be chance)}; below each other. Copies up to chance stay white.
    """
    says = [
        f"{name}: {sum(n > chance for n in lengths)} of {len(text)} characters, the longest copy "
        f"{max(lengths, default=0)}"
        for name, (text, lengths, chance) in samples.items()
    ]
    size = (6.4, 0.4 + len(samples) * 0.27 * (lines + 1.3))  # letters that a telephone can show
    figure = Picture(f"{title}. {'; '.join(says)}.", figsize=size, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    rows = figure.subplots(len(samples), 1, squeeze=False)[:, 0]
    for axes, (name, (text, lengths, chance)) in zip(rows, samples.items(), strict=True):
        axes.set(xlim=(0, width), ylim=(lines, 0), xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(name, loc="left", fontsize=11.5)
        for i, row, column in laid_out(text, width, lines):
            strength = min(1.0, max(0.0, (lengths[i] - chance) / max(1, most - chance)))
            if strength:
                box = {"facecolor": VALIDATION, "alpha": 0.15 + 0.4 * strength, "linewidth": 0}
                axes.fill_between([column, column + 1], row, row + 1, **box)
            axes.text(
                column + 0.5,
                row + 0.5,
                visible(text[i]) if text[i] == "\n" else text[i].replace("$", r"\$"),
                ha="center",
                va="center",
                family="monospace",
                fontsize=14.5,
            )
    return figure


def laid_out(text: str, width: int, lines: int):
    """(index, row, column) of each character of a text that is wrapped at this width."""
    begin = 0
    wrapped = textwrap.wrap(
        text, width, drop_whitespace=False, replace_whitespace=False, break_on_hyphens=False
    )
    for row, piece in enumerate(wrapped[:lines]):
        for column in range(len(piece)):
            yield begin + column, row, column
        begin += len(piece)
