"""Rehearses the workshop of 80 minutes on paper: does each part fit its minutes?

    python tools/rehearsal.py          # prints the table
    python tools/rehearsal.py --write  # puts it into docs/INSTRUCTOR.md
    python tools/rehearsal.py --check  # writes nothing; says whether the guide is out of date

Measured: the seconds of each cell (tools/run_notebooks.py keeps them). Counted: the words that are
said, which are the notebook's prose and the guide's "What to say". Estimated: how fast one speaks,
the minutes of the exercises, which stand in their headings, and GUESS, LOOK, ANSWER and ESTIMATES.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from outdated import update
from slides import NOTES, ROOT, WORKSHOP, folded, speaker_notes

CELLS = ROOT / "benchmarks" / "results" / "workshop_cells.json"
WORDS = 130  # a minute, slowly enough for people who listen in a second language
# Minutes: silence for a guess, and a show of hands; a look at the run, and its sample read aloud;
# an exercise's answer, shown and discussed.
GUESS, LOOK, ANSWER = 0.5, 0.75, 1.0
# Minutes of a part besides these.
ESTIMATES = {1: ("until all have a running cell", 6.0), 7: ("playing", 5.0), 8: ("questions", 3.0)}
BEGIN, END = "<!-- made by tools/rehearsal.py --write -->", "<!-- up to here -->"


@dataclass
class Part:
    """A part of the workshop, and what takes time in it. Minutes, if not said otherwise."""

    name: str
    planned: int
    words: int = 0
    seconds: float = 0.0  # of its cells
    exercises: int = 0
    answers: int = 0
    guesses: int = 0
    looks: int = 0

    @property
    def number(self) -> int:
        return int(self.name.split()[0])

    @property
    def estimated(self) -> float:
        more = ESTIMATES.get(self.number, ("", 0.0))[1]
        return GUESS * self.guesses + LOOK * self.looks + ANSWER * self.answers + more

    @property
    def needed(self) -> float:
        return self.words / WORDS + self.seconds / 60 + self.exercises + self.estimated


def parts_of(cells, seconds: dict[str, float], notes: dict[str, str]) -> list[Part]:
    """The parts, from the cells of the notebook, their measured seconds, and what is said."""
    parts: list[Part] = []
    for cell in cells:
        heading = re.match(r"## (.+?) \*\((\d+) minutes\)\*", cell.source)
        if heading:
            said = len(notes.get(heading[1], "").split())
            parts.append(Part(heading[1], int(heading[2]), words=said))
        elif cell.source.startswith("## ") and parts:
            break  # what follows is for afterwards
        if not parts:
            continue
        part = parts[-1]
        if cell.cell_type == "markdown":
            lines = [line for line in folded(cell.source).split("\n") if not line.startswith("|")]
            part.words += sum(len(line.split()) for line in lines)
            part.guesses += cell.source.count("Predict, then run")
            minutes = re.match(r"### Exercise .*\*\((\d+) min", cell.source)
            part.exercises += int(minutes[1]) if minutes else 0
            part.answers += bool(minutes)
        elif cell.source.startswith("background.look_in("):
            part.looks += 1
        elif not cell.source.startswith("background.wait("):  # the training ends before
            part.seconds += seconds.get(cell.id, 0.0)
    return parts


def table(parts: list[Part], about: dict) -> str:
    """The rehearsal as Markdown."""
    rows = [
        "| part | minutes planned | cells, s | words | speaking | exercises "
        "| guesses, looks and so on | needed | left |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for part in parts:
        rows.append(
            f"| {part.name} | {part.planned} | {part.seconds:.0f} | {part.words} "
            f"| {part.words / WORDS:.1f} | {part.exercises} | {part.estimated:.1f} "
            f"| {part.needed:.1f} | {part.planned - part.needed:+.1f} |"
        )
    planned, needed = sum(p.planned for p in parts), sum(p.needed for p in parts)
    rows.append(
        f"| all | {planned} | {sum(p.seconds for p in parts):.0f} | {sum(p.words for p in parts)} "
        f"| {sum(p.words for p in parts) / WORDS:.1f} | {sum(p.exercises for p in parts)} "
        f"| {sum(p.estimated for p in parts):.1f} | {needed:.1f} | {planned - needed:+.1f} |"
    )
    machine = about["machine"]
    more = ", ".join(f"{minutes:g} min {what}" for what, minutes in ESTIMATES.values())
    return "\n".join(rows) + (
        f"\n\nMeasured: the cells, on {about['date']} on {machine['cores']} cores of a processor "
        f"called {machine['processor']}, beside the training. Counted: the words. Estimates, all "
        f"of them: {WORDS} words a minute, the exercises' minutes, {60 * GUESS:.0f} s for a guess, "
        f"{60 * LOOK:.0f} s for a look at the run, {60 * ANSWER:.0f} s for an answer, and {more}. "
        "Nobody has given the talk with a clock yet."
    )


def rehearsal(root: Path = ROOT) -> str:
    notebook = nbformat.read(root / "notebooks" / f"{WORKSHOP}.ipynb", as_version=4)
    about = json.loads(CELLS.read_text(encoding="utf-8"))
    notes = speaker_notes((root / NOTES).read_text(encoding="utf-8"))
    return table(parts_of(notebook.cells, about["seconds"], notes), about)


def main(arguments: list[str], root: Path = ROOT) -> int:
    made = rehearsal(root)
    if not arguments:
        print(made)
        return 0
    guide = (root / NOTES).read_text(encoding="utf-8")
    before, _, rest = guide.partition(BEGIN)
    _, _, after = rest.partition(END)
    new = f"{before}{BEGIN}\n{made}\n{END}{after}"
    check = arguments == ["--check"]
    return update({root / NOTES: new}, root, check, "tools/rehearsal.py --write")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--write"], ["--check"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
