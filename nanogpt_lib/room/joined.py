"""Whether a class board has been joined, and where a learner's own traces lie.

Apart from `report`, so that `check()` needs neither PyTorch's training loop nor the model.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from nanogpt_lib.machine.paths import runs_dir

CURRENT: list[Any] = []  # the `report.Reporter` of the board that was joined; at most one


def folder() -> Path:
    """Where a learner's own traces lie: `_course` in `runs_dir()`, which `compare` leaves out."""
    return runs_dir() / "_course"


def tell_check(exercise: str, status: str, mistake: str) -> None:
    """Tells the board about a check, if there is a board. Never raises."""
    with suppress(Exception):
        for reporter in CURRENT:
            line = {"type": "check", "exercise": exercise, "status": status, "mistake": mistake}
            reporter.add(reporter.checks, json.dumps(line) + "\n")
