"""What all benchmarks share: taking turns, ratios, a table, and a file with the figures.

Machines are noisy and differ. So we compare ratios within one session, from works that take turns,
as medians with their spread.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from statistics import median

from nanogpt_lib.machine.host import machine, versions

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Table:
    """The result of one benchmark: rows to print, and every figure behind them."""

    work: str  # its name on the command line
    title: str
    goal: str
    columns: list[str]
    rows: list[list]
    remarks: list[str] = field(default_factory=list)
    figures: dict = field(default_factory=dict)  # each measurement, in the order of the rounds

    def __str__(self):
        cells = [self.columns, *([show(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([f"\n{self.title}", f"Goal: {self.goal}", "", *lines, *self.remarks])

    def save(self, folder: Path) -> Path:
        """Writes figures, machine and versions as JSON; returns the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.work}.json"
        about = {"date": str(date.today()), "machine": machine(), "versions": versions()}
        path.write_text(json.dumps(asdict(self) | about, indent=1) + "\n", encoding="utf-8")
        return path


def show(cell) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return str(cell)


def take_turns(works: dict, rounds: int) -> dict[str, list[float]]:
    """Calls each work once a round, in a different order each time; returns their results.

    works: names and functions of no arguments that return a number.
    """
    names, results = list(works), {name: [] for name in works}
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(works[name]())
            print(f"  {name}: {results[name][-1]:,.3g}", file=sys.stderr, flush=True)
    return results


def timed(work):
    """A function that does the work and returns the seconds it took."""

    def measure() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return measure


def process(command: list[str], **options):
    """A function that runs a whole process and returns its seconds; fails if the process does."""

    def measure() -> float:
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, **options)
        seconds = time.perf_counter() - began
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        return seconds

    return measure


def ratio(a: list[float], b: list[float]) -> tuple[float, str]:
    """The median of a / b over the rounds, and its spread from lowest to highest."""
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    return median(ratios), f"{min(ratios):.2f} to {max(ratios):.2f}"


def compared(results: dict[str, list[float]], yardstick: str) -> list[list]:
    """One row for each work: its median, its spread, and its ratio to the yardstick."""
    rows = []
    for name, values in results.items():
        spread = f"{min(values):.3g} to {max(values):.3g}"
        middle, around = ratio(values, results[yardstick])
        rows.append([name, median(values), spread, middle, "" if name == yardstick else around])
    return rows
