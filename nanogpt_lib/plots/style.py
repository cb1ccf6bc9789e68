"""Colours, and how letters and names are written into a picture."""

import math
from itertools import pairwise

# Distinguishable with any kind of colour vision (Okabe & Ito 2008).
TRAIN, VALIDATION, BEST, RATE, RUNG = "#0072B2", "#D55E00", "#009E73", "#555555", "#8a8a8a"
# Eight colours that differ for any kind of colour vision (Okabe & Ito 2008).
PALETTE = (TRAIN, VALIDATION, BEST, "#CC79A7", "#000000", "#56B4E9", "#E69F00", RATE)
ARROW = {"arrowstyle": "->", "linewidth": 1.5}


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


def name_ends(axes, ends) -> None:
    """Names at the right edge at the given heights, moved apart if they would overlap.

    ends: (height, name, colour). A height outside the picture moves to its edge.
    """
    bottom, top = axes.get_ylim()
    scale = axes.transScale + axes.transLimits  # data to 0..1
    places = []
    for height, name, colour in ends:
        height = min(max(height, bottom), top) if math.isfinite(height) else top
        places.append([float(scale.transform((axes.get_xlim()[0], height))[1]), name, colour])
    places.sort(key=lambda place: place[0])
    gap = 0.3 / axes.figure.get_figheight()  # a line of text
    for below, above in pairwise(places):
        above[0] = max(above[0], below[0] + gap)
    for height, name, colour in places:
        axes.annotate(
            name,
            xy=(1, height),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            color=colour,
        )
