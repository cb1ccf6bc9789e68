"""The curve in a terminal: every letter stands where its loss is, and the screen holds it all."""

import io
import math
import os
import re
import sys

import pytest

from nanogpt_lib.room.in_text import CLEAR, text_curve
from nanogpt_lib.room.replay import replay
from nanogpt_lib.runs import untrusted
from nanogpt_lib.training import Evaluation

RUNGS = [{"k": 0, "name": "frequencies", "loss": 3.35}, {"k": 1, "name": "pairs", "loss": 2.49}]


def point(step, train_loss, val_loss):
    return Evaluation(step, step, step, 0.1, train_loss, val_loss)


HISTORY = [point(0, 4.2, 4.2), point(50, 2.0, 2.2), point(100, 1.0, 3.0)]


def test_each_loss_stands_at_its_height_and_step():
    lines = text_curve(HISTORY, 100, RUNGS, width=62, height=33)
    rows = [line[6:56].ljust(50) for line in lines[:-1]]
    place = {(r, c): ch for r, row in enumerate(rows) for c, ch in enumerate(row) if ch in "o.*"}
    heights = {round((4.2 - loss) / 3.2 * 32): loss for loss in (4.2, 2.0, 2.2, 1.0, 3.0)}
    assert place == {
        (0, 0): "o",
        (row_of(heights, 2.0), 24): ".",
        (row_of(heights, 2.2), 24): "*",
        (row_of(heights, 1.0), 49): ".",
        (row_of(heights, 3.0), 49): "o",
    }
    assert [line[-4:] for line in lines if line.endswith((" 3.35", " 2.49"))] == ["3.35", "2.49"]
    assert lines[-1].endswith("step 100 of 100")


def row_of(heights, loss):
    return next(row for row, value in heights.items() if value == loss)


@pytest.mark.parametrize(
    "history", [[], [point(0, 4, 4)], [point(0, math.nan, math.nan)], [point(0, 0, 0)] * 2]
)
def test_odd_histories_are_drawn_too(history):
    lines = text_curve(history, 0, RUNGS)
    assert all(len(line) <= 76 for line in lines)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 60), (40, 20)])
def test_a_terminal_shows_the_curve_in_place_and_then_the_table(columns, rows, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, rows)))
    monkeypatch.setenv("NANOGPT_PRESET", "smoke")  # in a second
    replay("healthy")
    _, *screens = sys.stdout.getvalue().split(CLEAR)
    assert len(screens) == len(untrusted.read("healthy").history) + 1  # and the end
    for screen in screens[:-1]:
        lines = screen.rstrip("\n").split("\n")
        assert len(lines) < rows and max(map(len, lines)) < columns
        assert "*" in screen and "Training: step" in screen
    assert re.search(r"\n +step  split", screens[-1])  # the table comes below the last picture
