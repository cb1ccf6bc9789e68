"""Writes the table in nanogpt_lib/recorded/README.md again, from the records themselves.

It takes no arguments. Run it after you add, remove or change a record.
"""

import sys
from pathlib import Path

from nanogpt_lib.machine.paths import RECORDED
from nanogpt_lib.runs import catalogue, untrusted
from nanogpt_lib.runs.wording import duration

README = RECORDED / "README.md"
BEGIN, END = "<!-- table: tools/describe_runs.py -->", "<!-- end of table -->"
HEADINGS = (
    "record",
    "parameters",
    "steps",
    "best validation loss",
    "at step",
    "took",
    "on",
    "recorded",
    "command",
)


def table() -> str:
    """A row for each recorded run."""
    rows = [HEADINGS, ["---"] * len(HEADINGS)]
    for name, path in catalogue.shipped().items():
        run = untrusted.read(path)
        rows.append(
            (
                f"[{name}]({path.relative_to(RECORDED).as_posix()})",
                f"{run.n_params:,}",
                f"{run.steps:,}",
                f"{run.best.val_loss:.3f}",
                f"{run.best.step:,}",
                duration(run.seconds),
                run.processor,
                run.started[:10],
                f"`{run.command}`",
            )
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def with_table(readme: str) -> str:
    """The README with a table of the records as they are now."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(path: Path = README) -> int:
    readme = path.read_text(encoding="utf-8")
    path.write_text(with_table(readme), encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(catalogue.shipped())} records")
    return 0


if __name__ == "__main__":
    sys.exit(main())
