"""Colours, and how letters and names are written into a picture."""

import math
import warnings

from matplotlib.colors import to_hex, to_rgb

# Distinguishable with any kind of colour vision (Okabe & Ito 2008).
TRAIN, VALIDATION, BEST, RATE, RUNG = "#0072B2", "#D55E00", "#009E73", "#555555", "#8a8a8a"
# Eight colours that differ for any kind of colour vision (Okabe & Ito 2008).
PALETTE = (TRAIN, VALIDATION, BEST, "#CC79A7", "#000000", "#56B4E9", "#E69F00", RATE)
ARROW = {"arrowstyle": "->", "linewidth": 1.5}


def luminance(colour) -> float:
    """How bright a colour is, 0 to 1 (WCAG 2.2, "relative luminance")."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return sum(part * share for part, share in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one, other="white") -> float:
    """How well one colour can be read on another, 1 to 21; text needs 4.5 (WCAG 2.2, 1.4.3)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink(colour) -> str:
    """A colour for text on white: the same one, darkened until it can be read."""
    red, green, blue = to_rgb(colour)
    shades = ((red * part, green * part, blue * part) for part in (1 - i / 50 for i in range(51)))
    return to_hex(next(shade for shade in shades if contrast(shade) >= 4.5))


def on(image, value) -> str:
    """Black or white, whichever can be read better on the colour that an image has for a value."""
    ground = image.cmap(image.norm(value))[:3]
    return max("black", "white", key=lambda colour: contrast(colour, ground))


def accept_boxes() -> None:
    """A letter that the font lacks is drawn as a box, without a note for each of them."""
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from", category=UserWarning)


accept_boxes()  # also for the pictures that a notebook draws itself


def visible(symbol: str) -> str:
    """A character in a form that is visible in a picture: newline and space become signs."""
    shown = symbol.replace("\n", "\u21b5")
    shown = "\u2423" if shown == " " else shown
    return shown.replace("$", r"\$")  # matplotlib would take a dollar for mathematics


def plain(matrix) -> list[list[float]]:
    """Rows of numbers from a tensor or anything similar: matplotlib expects NumPy otherwise."""
    return [[float(value) for value in row] for row in matrix]


def short(name: str, most=26) -> str:
    """A name for a picture: not too long, and without mathematics."""
    return (name if len(name) <= most else name[: most - 1] + "\u2026").replace("$", r"\$")


def apart(heights, gap: float, top: float) -> list[float]:
    """Heights in ascending order, moved as little as possible: at least a gap apart, in [0, top].

    Where names would touch, they move away from their common middle (isotonic regression: pool the
    neighbours that are out of order; Robertson et al. 1988, section 1.2).
    """
    pools: list[list[float]] = []  # the height of each pool, less the gaps below it; its size
    for i, height in enumerate(heights):
        pools.append([height - i * gap, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (low, n), (high, m) = pools[-2:]
            pools[-2:] = [[(low * n + high * m) / (n + m), n + m]]
    moved = [height for height, n in pools for _ in range(int(n))]
    highest = max(0.0, top - gap * (len(moved) - 1))
    return [min(max(height, 0), highest) + i * gap for i, height in enumerate(moved)]


def name_ends(axes, ends, fontsize=9.5) -> None:
    """Names at the right edge at the given heights, moved apart if they would overlap.

    ends: (height, name, colour). A height outside the picture moves to its edge. Set the axes'
    limits before.
    """
    bottom, top = axes.get_ylim()
    scale = axes.transScale + axes.transLimits  # data to 0..1
    places = []
    for height, name, colour in ends:
        height = min(max(height, bottom), top) if math.isfinite(height) else top
        places.append((float(scale.transform((axes.get_xlim()[0], height))[1]), name, colour))
    places.sort(key=lambda place: place[0])
    line = 0.027 * fontsize / axes.figure.get_figheight()  # the height of a line of text
    heights = apart([place[0] for place in places], line, top=1)
    for height, (_, name, colour) in zip(heights, places, strict=True):
        axes.annotate(
            name,
            xy=(1, height),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=fontsize,
            color=ink(colour),
        )
