"""A loss curve drawn with letters, for a terminal, which has no pictures."""

import math
import os
import shutil
import textwrap

from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.milestones import helpful
from nanogpt_lib.room.live import in_words
from nanogpt_lib.training import Callback

CLEAR = "\x1b[H\x1b[J"  # to the upper left corner, and all below it is empty
LEGEND = "o validation   . training   * the best validation   - - what counting reaches"


def text_curve(history, max_steps: int, rungs=(), width: int = 76, height: int = 14) -> list[str]:
    """Both losses over the steps, as lines of text of at most `width` characters.

    history: `training.Evaluation`s. rungs: rows of `ngram.ladder`; those that beat all shorter ones
    are drawn as dashed lines, with their loss at the right end.
    """
    points = [p for p in history if math.isfinite(p.val_loss) and math.isfinite(p.train_loss)]
    if not points:
        return []
    losses = [loss for p in points for loss in (p.train_loss, p.val_loss)]
    levels = [rung["loss"] for rung in helpful(rungs)]
    high, low = max(losses + levels), min(losses)
    high = high if high > low else low + 1
    left, right = 6, 6  # columns for the numbers
    wide = max(1, width - left - right)

    def row(loss: float) -> int:
        return round((high - loss) / (high - low) * (height - 1))

    def column(step: int) -> int:
        return min(wide - 1, round(step / max(1, max_steps) * (wide - 1)))

    cells = [[" "] * wide for _ in range(height)]
    ends = [""] * height
    for level in levels:
        if low <= level:
            cells[row(level)] = list(("- " * wide)[:wide])
            ends[row(level)] = f" {level:.2f}"
    for p in points:
        cells[row(p.train_loss)][column(p.step)] = "."
    for p in points:  # where both meet, validation is the one to see
        cells[row(p.val_loss)][column(p.step)] = "o"
    best = min(points, key=lambda p: p.val_loss)
    cells[row(best.val_loss)][column(best.step)] = "*"
    scale = [high - i / (height - 1) * (high - low) for i in range(height)]
    begins = [f"{loss:5.2f} " if i % 3 == 0 else " " * left for i, loss in enumerate(scale)]
    rows = zip(begins, map("".join, cells), ends, strict=True)
    steps = f"step {points[-1].step:,} of {max_steps:,}"
    return ["".join(parts).rstrip() for parts in rows] + [" " * left + "0" + steps.rjust(wide - 1)]


class InTerminal(Callback):
    """Draws the curve of a run in place: the same lines of the terminal change."""

    def __init__(self, rungs=(), title: str = ""):
        self.rungs, self.title = rungs, title

    def on_start(self, run):
        if os.name == "nt":
            os.system("")  # lets older consoles of Windows obey the codes below

    def on_eval(self, run):
        self.draw(run)

    def on_end(self, run):
        self.draw(run, over=True)

    def draw(self, run, over: bool = False) -> None:
        columns, rows = shutil.get_terminal_size()
        width = min(columns, 100) - 1
        height = max(5, min(14, rows - 12))
        lines = [
            self.title,
            *text_curve(run.history, run.config.max_steps, self.rungs, width, height),
        ]
        lines += [" " * 6 + LEGEND[: width - 6], ""]
        for line in in_words(run, self.rungs, (), over).split("\n"):
            lines += textwrap.wrap(line, width, subsequent_indent="  ") or [""]
        print(CLEAR + "\n".join(harmless(line) for line in lines[: rows - 1]), flush=True)
