"""Which exercises are done: `progress.jsonl`, for the learner alone, and `nanogpt progress`."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.room import joined


def place() -> Path:
    """The file of all checks, one a line."""
    return joined.folder() / "progress.jsonl"


def note(exercise: str, status: str, mistake: str) -> None:
    """Writes a check down, and tells the class board if there is one. Never raises.

    mistake: the message of the known mistake that was found, or "".
    """
    joined.tell_check(exercise, status, mistake)
    with suppress(Exception):  # a full disk is no reason to stop a notebook
        line = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "exercise": exercise,
            "status": status,
            "mistake": mistake,
        }
        place().parent.mkdir(parents=True, exist_ok=True)
        with open(place(), "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read() -> dict[str, str]:
    """The state of each exercise that was ever checked: "Right" once it was right."""
    states: dict[str, str] = {}
    with suppress(OSError):
        for line in place().read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                said = json.loads(line)
                name, status = str(said["exercise"]), str(said["status"])
                if not states.get(name, "").startswith("Right") or status.startswith("Right"):
                    states[name] = status
    return states


def report(homes: dict[str, str]) -> str:
    """What is done, notebook by notebook, and what comes next. homes: {exercise: notebook}."""
    states = read()
    right = {name for name, status in states.items() if status.startswith("Right")}
    lines = []
    for notebook in dict.fromkeys(homes.values()):
        names = [name for name, home in homes.items() if home == notebook]
        done = [name for name in names if name in right]
        rest = [
            f"{name}{' (tried)' if name in states else ''}" for name in names if name not in right
        ]
        open_ = f"   open: {', '.join(rest)}" if done and rest else ""
        lines.append(f"{notebook}  {len(done):>2} of {len(names):>2}{open_}")
    coming = next((name for name in homes if name not in right), None)
    total = sum(name in right for name in homes)
    lines.append(f"{total} of {len(homes)} exercises are done.")
    lines.append(f"Next: {coming}, in notebook {homes[coming]}." if coming else "That was all.")
    if not states:
        lines.append(f"Nothing has been checked yet: check() writes {place()}.")
    return harmless("\n".join(lines))
