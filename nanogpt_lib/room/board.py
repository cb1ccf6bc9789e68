"""Many runs side by side: one picture, one table, the best run first.

Put the records of the whole class into one folder to get the class board. To hand in a run, copy
`run.jsonl` out of its folder and give it your name: `alice.jsonl`. Or paste the one line that
`hand_in` makes into the class's chat; `compare("board.txt")` reads a file of such lines.
"""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from nanogpt_lib import plots
from nanogpt_lib.checks import MOST_COPIED, one_of
from nanogpt_lib.machine.paths import runs_dir
from nanogpt_lib.milestones import FLOOR, is_shakespeare, read_loss
from nanogpt_lib.room.display import png, png_bytes, show
from nanogpt_lib.runs import catalogue, record, untrusted
from nanogpt_lib.runs.handin import handed_in
from nanogpt_lib.runs.record import RecordError
from nanogpt_lib.runs.untrusted import Recorded
from nanogpt_lib.runs.wording import duration, in_bits

# What runs are compared by: the name in an `Evaluation`, and the name on the axis.
BY = {
    "tokens": ("tokens", "tokens trained on"),
    "steps": ("step", "steps"),
    "seconds": ("seconds", "seconds of training"),
}
TOO_LOW = FLOOR - 0.06  # no model of this kit's sizes gets this low without a leak
HEADINGS = ("", "run", "best validation", "at step", "after", "tokens/s", "parameters", "reached")
WORDS = (1, 7)  # columns that are aligned left; numbers are aligned right


@dataclass
class Row:
    """A run in the table."""

    rank: int | None  # None if the loss cannot be compared: see `why_not`
    name: str
    loss: float | None  # the lowest validation loss, nats a token
    step: int | None  # at which it was reached
    seconds: float | None  # how long it took to get there
    tokens_per_second: float | None  # over the whole run, evaluations included
    n_params: int
    reached: str  # the landmark, or why there is no rank
    recorded: Recorded

    @property
    def cells(self) -> list[str]:
        """The cells of its row in the table."""
        formats = ("{}", "{}", "{:.3f}", "{:,}", "", "{:,.0f}", "{:,}", "{}")
        values = (self.rank, self.name, self.loss, self.step, None, self.tokens_per_second)
        cells = [
            "" if value is None else shape.format(value)
            for shape, value in zip(formats, (*values, self.n_params, self.reached), strict=True)
        ]
        cells[4] = "" if self.seconds is None else duration(self.seconds)
        return cells


@dataclass
class Comparison:
    """The result of `compare`. A notebook shows picture and table; `print` shows the table."""

    rows: list[Row]  # the best first; those without a rank come last
    skipped: list[str]  # which records could not be read, and why
    by: str

    @cached_property
    def figure(self) -> Figure:
        """All validation losses on one plot."""
        attribute, label = BY[self.by]
        curves = {}
        for row in self.rows:
            history = row.recorded.history
            x = [getattr(point, attribute) for point in history]
            curves[row.name] = (x, [point.val_loss for point in history])
        ranked = [row.name for row in self.rows if row.rank]
        first = self.rows[0].recorded
        title = f"{len(curves)} runs on {first.text}: the lower the better"
        return plots.board(curves, ranked, label, first.rungs, title)

    def save(self, path: str | Path) -> None:
        """Writes the picture as PNG."""
        Path(path).write_bytes(png_bytes(self.figure, dpi=150))

    @property
    def notes(self) -> list[str]:
        """The remarks below the table."""
        notes = [f"Skipped: {reason}" for reason in self.skipped]
        if any("bits a character" in row.reached for row in self.rows):
            best = self.rows[0].recorded
            if best.best and best.characters_per_token:
                bits = in_bits(best.best.val_loss, best.characters_per_token)
                notes.insert(0, f"{self.rows[0].name} has {bits:.3f} bits a character.")
        if any(row.rank is None for row in self.rows):
            notes.insert(0, "Without a rank, and dotted in the picture: not comparable.")
        return notes

    def __str__(self):
        table = [HEADINGS, *(row.cells for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for cells in table:
            padded = (
                cell.ljust(width) if i in WORDS else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            lines.append("  ".join(padded).rstrip())
        return "\n".join([*lines, *self.notes])

    @property
    def summary(self) -> str:
        """What the picture shows, in one line."""
        best = self.rows[0]
        if best.rank is None:
            return f"{len(self.rows)} runs by {self.by}, none of which can be ranked."
        return (
            f"{len(self.rows)} runs by {self.by}. The best: {best.name}, validation loss "
            f"{best.loss:.3f} at step {best.step:,} ({best.reached})."
        )

    def html(self) -> str:
        """The table as HTML for a notebook. All text from records is escaped."""

        def line(cells, tag):
            sides = ("left" if i in WORDS else "right" for i in range(len(HEADINGS)))
            return "".join(
                f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>'
                for cell, side in zip(cells, sides, strict=True)
            )

        rows = "".join(f"<tr>{line(row.cells, 'td')}</tr>" for row in self.rows)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        head = f"<thead><tr>{line(HEADINGS, 'th')}</tr></thead>"
        return f"<table>{head}<tbody>{rows}</tbody></table>{notes}"

    def _ipython_display_(self) -> None:
        # Two outputs: of a single output, front ends show only the richest format.
        picture = {"image/png": png(self.figure), "text/plain": self.summary}
        show(None, picture, {"image/png": {"alt": self.summary}})
        show(None, {"text/html": self.html(), "text/plain": str(self)})


def compare(*runs: str | Path, by: str = "tokens") -> Comparison:
    """Puts many runs on one plot and in one table, the lowest validation loss first.

    runs: run folders, record files, names of recorded runs, folders that contain any of these at
    any depth, or a text file of lines that `hand_in` makes. If you give no runs, everything in
    `runs_dir()` is compared. A run gets the name of its folder, of its file, or in its line. by:
    the horizontal axis, "tokens", "steps" or "seconds".

    A record that cannot be read is skipped, and the table says so. Runs on a different text than
    most are shown, but have no rank. Raises record.RecordError if no record is left.
    """
    one_of(by, "by", *BY)
    read, skipped, pasted = {}, [], []
    for path in catalogue.find_all(runs or [runs_dir()]):
        if path.suffix.lower() == ".txt" and (told := handed_in(path)):
            pasted += told
            continue
        try:
            read[path] = untrusted.read(path)
        except RecordError as error:
            skipped.append(str(error))
    skipped += [str(each) for _, each in pasted if isinstance(each, RecordError)]
    lines = [(name, each) for name, each in pasted if isinstance(each, Recorded)]
    if not read and not lines:
        reasons = "".join(f"\n  {reason}" for reason in skipped)
        raise RecordError(f"there is no run record to compare{reasons or ': nothing was found'}")
    names = [*tell_apart(list(read)), *(name for name, _ in lines)]
    found = [*read.values(), *(recorded for _, recorded in lines)]
    for name, recorded in zip(numbered(names), found, strict=True):
        recorded.name = name
    return Comparison(ranking(found), skipped, by)


def ranking(runs: list[Recorded]) -> list[Row]:
    """The runs as rows, the best first; runs without a comparable loss come last."""
    honest = [run for run in runs if not is_copied(run)] or runs
    usual = Counter(run.measured_on for run in honest).most_common(1)[0][0]

    def place(run):
        return why_not(run, usual) is not None, run.best.val_loss if run.best else math.inf

    rows = []
    for rank, run in enumerate(sorted(runs, key=place), start=1):
        reason, best, last = why_not(run, usual), run.best, run.history[-1]
        landmark = read_loss(best.val_loss, "val", run.rungs).landmark if best else ""
        rows.append(
            Row(
                rank=None if reason else rank,
                name=run.name,
                loss=best.val_loss if best else None,
                step=best.step if best else None,
                seconds=best.seconds if best else None,
                tokens_per_second=last.tokens / last.seconds if last.seconds else None,
                n_params=run.n_params,
                reached=reason or landmark,
                recorded=run,
            )
        )
    return rows


def is_copied(run: Recorded) -> bool:
    """Whether much of a run's validation text stands in its training text, too."""
    return run.copied is not None and run.copied >= MOST_COPIED


def why_not(run: Recorded, usual: tuple) -> str | None:
    """Why a run cannot be ranked among runs measured on `usual`; None if it can."""
    if run.best is None:
        return "diverged"
    reasons = (f"another text: {run.text}", "another part of the text", "other symbols")
    for this, other, reason in zip(run.measured_on, usual, reasons, strict=True):
        if this != other and run.measured_on[0] == usual[0] and run.characters_per_token:
            bits = in_bits(run.best.val_loss, run.characters_per_token)
            return f"other tokens: {bits:.3f} bits a character"
        if this != other:
            return reason
    if is_copied(run):
        return f"{run.copied:.0%} of the validation text is in the training text, too"
    if run.best.val_loss < TOO_LOW and is_shakespeare(run.rungs):
        return "too low to be true: does it see the answers?"
    return None


def tell_apart(paths: list[Path]) -> list[str]:
    """A name for each record: its folder or file, with parent folders if two are the same."""
    names = {path: catalogue.name_of(path) for path in paths}
    folders = {
        path: path.absolute().parents[1 if path.name == record.RECORD else 0] for path in paths
    }
    while True:
        alike = {name for name, count in Counter(names.values()).items() if count > 1}
        longer = [p for p in paths if names[p] in alike and folders[p].name]
        if not longer:
            break
        for path in longer:
            names[path] = f"{folders[path].name}/{names[path]}"
            folders[path] = folders[path].parent
    clean = [untrusted.clean(name, one_line=True) for name in names.values()]
    return numbered(clean)  # alice.jsonl beside alice/run.jsonl


def numbered(names: list[str]) -> list[str]:
    """The names; one that was there before gets a number."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
