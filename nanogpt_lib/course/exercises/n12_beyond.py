"""Exercises of notebook 12: sharing a batch, adding up gradients in a ring, fitting a law."""

import math

from nanogpt_lib.beyond import scale
from nanogpt_lib.course.exercises.base import exercise


@exercise(
    question="The rows of a batch that process `rank` of `ranks` computes: (first, one past last).",
    minutes=4,
    level=1,
    inputs=[(12, 0, 2), (12, 1, 2), (64, 5, 8)],
    hints=[
        "Each process has the same number of rows: batch_size // ranks.",
        "Process 0 begins at row 0, process 1 where process 0 has ended.",
        "rows = batch_size // ranks; the answer is rank * rows and (rank + 1) * rows.",
    ],
    praise="all processes together have each row once, and none of them had to ask another.",
)
def rows_of(batch_size, rank, ranks):
    rows = batch_size // ranks
    return rank * rows, (rank + 1) * rows


@rows_of.mistake("the second number is one past the last row, as in a slice: (rank + 1) * rows.")
def rows_of_inclusive(batch_size, rank, ranks):
    rows = batch_size // ranks
    return rank * rows, (rank + 1) * rows - 1


@rows_of.mistake("ranks count from 0: process 0 begins at row 0, so it is rank * rows.")
def rows_of_from_one(batch_size, rank, ranks):
    rows = batch_size // ranks
    return (rank - 1) * rows, rank * rows


@rows_of.mistake("the second number is how many rows there are; wanted is where they end.")
def rows_of_length(batch_size, rank, ranks):
    rows = batch_size // ranks
    return rank * rows, rows


@exercise(
    question="Seconds to add up n_bytes of gradients among n processes in a ring.",
    minutes=6,
    level=2,
    inputs=[(2, 4e6, 1e9), (8, 5e8, 4.5e11), (64, 4e9, 5e10)],
    hints=[
        "Cut the numbers into n parts. In each round a process sends one part: n_bytes / n bytes.",
        "n - 1 rounds to add everything up, and n - 1 more to tell everybody the sums.",
        "2 * (n - 1) rounds, each n_bytes / n / bandwidth seconds.",
    ],
    library=scale.ring_seconds,
    praise="for many processes it is 2 * n_bytes / bandwidth, however many there are.",
)
def ring_time(n, n_bytes, bandwidth):
    return 2 * (n - 1) * n_bytes / n / bandwidth


@ring_time.mistake("once round adds everything up; once more round tells all the sums: twice that.")
def ring_time_once(n, n_bytes, bandwidth):
    return (n - 1) * n_bytes / n / bandwidth


@ring_time.mistake("in one round only a part travels, n_bytes / n, not all of it.")
def ring_time_whole(n, n_bytes, bandwidth):
    return 2 * (n - 1) * n_bytes / bandwidth


@ring_time.mistake("the last part is home after n - 1 rounds, not n: it need not come back.")
def ring_time_full_circle(n, n_bytes, bandwidth):
    return 2 * n_bytes / bandwidth


@ring_time.mistake("that is bytes a process sends. Divide by the bandwidth to get seconds.")
def ring_time_bytes(n, n_bytes, bandwidth):
    return 2 * (n - 1) * n_bytes / n


@exercise(
    question="The a and b with which a * x ** -b fits y best: a straight line through logarithms.",
    minutes=10,
    level=2,
    inputs=[([1.0, 10.0, 100.0], [3.0, 1.5, 0.75]), ([2.0, 4.0, 8.0, 16.0], [5.0, 4.0, 3.5, 3.0])],
    hints=[
        "log y = log a - b * log x: a straight line in u = log x and v = log y.",
        "Its slope is the sum of (u - mean u)(v - mean v) over the sum of (u - mean u) ** 2.",
        "b is minus the slope, and a is math.exp(mean v - slope * mean u).",
    ],
    library=scale.power_law,
    praise="np.polyfit(log x, log y, 1) finds the same line.",
)
def fitted(x, y):
    u, v = [math.log(value) for value in x], [math.log(value) for value in y]
    mean_u, mean_v = sum(u) / len(u), sum(v) / len(v)
    up = sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v, strict=True))
    slope = up / sum((a - mean_u) ** 2 for a in u)
    return math.exp(mean_v - slope * mean_u), -slope


@fitted.mistake("the line falls, so its slope is negative; b is minus the slope.")
def fitted_with_the_sign(x, y):
    a, b = fitted.answer(x, y)
    return a, -b


@fitted.mistake("where the line begins is log a. Take math.exp of it.")
def fitted_log_a(x, y):
    a, b = fitted.answer(x, y)
    return math.log(a), b


@fitted.mistake("a and b have changed places: first a, then b.")
def fitted_swapped(x, y):
    a, b = fitted.answer(x, y)
    return b, a


@fitted.mistake("logarithms to base 10 need 10 ** at the end; math.exp undoes math.log.")
def fitted_base_ten(x, y):
    a, b = fitted.answer(x, y)
    return math.exp(math.log10(a)), b
