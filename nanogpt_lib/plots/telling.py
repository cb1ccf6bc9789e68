"""What a picture shows, in a sentence, for people who cannot see it.

A notebook stores the sentence beside the picture, as its text; the site reads it out.
"""

import math

from matplotlib.figure import Figure


class Picture(Figure):
    """A matplotlib figure whose text is the sentence that it brings."""

    def __init__(self, says: str, **settings):
        super().__init__(**settings)
        self.says = " ".join(says.split())  # one line, also if a title has two

    def __repr__(self) -> str:
        return self.says


def rounded(value) -> str:
    """A number as one says it: three digits, or whole thousands."""
    value = float(value)
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"


def few(words, most: int = 12) -> str:
    """Parts of a sentence, the first of them if there are many."""
    words = list(words)
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return ", ".join(words[:most] + more)


def bars_told(names, values) -> str:
    return few(f"{name} {rounded(value)}" for name, value in zip(names, values, strict=True))


def curve_told(name, x, values) -> str:
    """Where a curve begins and ends, and where it is lowest or highest if that is in between."""
    points = [
        (float(value), at)
        for at, value in zip(x, map(float, values), strict=False)
        if math.isfinite(value)
    ]
    if not points:
        return f"{name} has no finite value"
    (first, _), (last, _) = points[0], points[-1]
    says = f"{name} from {rounded(first)} to {rounded(last)}"
    least, most = min(points), max(points)
    if least[0] < min(first, last):
        says += f", lowest at {rounded(least[1])} with {rounded(least[0])}"
    if most[0] > max(first, last):
        says += f", highest at {rounded(most[1])} with {rounded(most[0])}"
    return says


def curves_told(x, named) -> str:
    x = list(x)
    return "; ".join(curve_told(name, x, values) for name, values in named.items())


def largest_told(matrix, rows, columns) -> str:
    """Where a matrix is largest."""
    found = [
        (float(value), i, j)
        for i, row in enumerate(matrix)
        for j, value in enumerate(row)
        if math.isfinite(value)
    ]
    if not found:
        return "no finite value"
    value, i, j = max(found)
    return f"largest in row {rows[i]!r}, column {columns[j]!r}: {rounded(value)}"


def history_told(history) -> str:
    """A loss curve: both losses from the first evaluation to the last, and the best."""
    if not history:
        return "no evaluation yet"
    steps = [point.step for point in history]
    return f"over steps {rounded(steps[0])} to {rounded(steps[-1])}, " + curves_told(
        steps,
        {
            "training loss": [point.train_loss for point in history],
            "validation loss": [point.val_loss for point in history],
        },
    )
