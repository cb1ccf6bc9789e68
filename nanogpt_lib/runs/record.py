"""The record of a run: JSON lines, enough to draw and replay the run without the model.

The first line describes the run ("type": "run"). Then there is a line for each evaluation
("eval"), for each resumption ("resumed"), for the end of training ("end"), and for the best
checkpoint's loss over the whole validation split ("result").
"""

import codecs
import json
import math
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from nanogpt_lib.machine.files import read_file, sync_folder, whole_file, why
from nanogpt_lib.machine.host import machine, versions
from nanogpt_lib.runs import schema
from nanogpt_lib.training import Evaluation, Run

RECORD = "run.jsonl"
FORMAT = 1


class RecordError(ValueError):
    """A record that cannot be read. The message names the file and the line."""


@dataclass
class Record:
    """A run as it was recorded."""

    about: dict  # the first line: model, training, text, machine, versions, ladder
    history: list[Evaluation] = field(default_factory=list)
    end: dict | None = None  # set when the training has ended
    result: dict | None = None  # set when the best checkpoint has been evaluated

    @property
    def copied(self) -> float | None:
        """The share of the validation text that stands in the training text, too, if known."""
        return self.about["text"].get("copied")

    @property
    def train_config(self) -> dict:
        """How the run was trained. The run may have changed it to fit time or memory."""
        return (self.end or {}).get("train_config") or self.about["train_config"]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def first_line(
    run: Run, preset: str, command: str | None, text: dict, rungs: list[dict], **more
) -> dict:
    """The first line of every record: what is known about the run before the first step.

    command: how the run was started. text: name, sha256, train_tokens, val_tokens and, if it
    was measured, copied. rungs: the text's n-gram ladder. more: other entries for the reader.
    """
    line = {
        "type": "run",
        "format": FORMAT,
        "started": now(),
        "preset": preset,
        "command": command,
        **more,
        "text": text,
        "model": asdict(run.model.config) | {"n_params": run.model.num_params()},
        "train_config": asdict(run.config),
        "compute": str(run.compute),
        "device": run.compute.device.type,
        "dtype": run.compute.precision,
        "machine": machine(),
        "versions": versions(),
        "ladder": rungs,
    }
    return json.loads(as_json(line))  # the same in a checkpoint and after it was read


def as_json(line: dict) -> str:
    """A line of a record. JSON has no NaN: a loss that is not a number is written as null."""
    clean = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()
    }
    text = json.dumps(clean, ensure_ascii=False) + "\n"
    return text.encode(errors="replace").decode()  # a file's name may be no text


def lines_of(record: Record) -> list[str]:
    """The lines of a record that is in memory."""
    points = [{"type": "eval", **asdict(point)} for point in record.history]
    return [as_json(line) for line in (record.about, *points, record.end, record.result) if line]


def write_line(path: Path, line: dict) -> None:
    """Appends a line. When this returns, the line is on the disk, even if the power fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    with open(path, "ab") as file:
        file.write(as_json(line).encode())
        file.flush()
        os.fsync(file.fileno())
    if fresh:
        sync_folder(path.parent)


def read(path: str | Path) -> Record:
    """Reads a record, given its file or its run folder. Raises RecordError if it is malformed.

    If the last line is incomplete, for example because the machine stopped, it is left out.
    """
    path = Path(path)
    path = path / RECORD if path.is_dir() else path
    try:
        lines = whole_lines(path)
    except FileNotFoundError:
        raise RecordError(f"there is no run record {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        said = why(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RecordError(f"{path} cannot be read: {said}") from None
    return parse(lines, str(path))


def parse(lines: list[str], name: str) -> Record:
    """A record from its lines, all of them checked. name: for the message of a RecordError."""
    record = None
    for number, line in enumerate(lines, start=1):
        try:
            parsed, data = schema.line(line), json.loads(line)
            if isinstance(parsed, schema.RunLine):
                if record is not None:
                    raise ValueError("a second run begins here")
                record = Record(data)
            elif record is None:
                raise ValueError("the line that describes the run is missing")
            elif isinstance(parsed, schema.EvalLine):
                record.history.append(in_turn(parsed.evaluation(), record.history))
            elif isinstance(parsed, (schema.EndLine, schema.ResultLine)):
                setattr(record, parsed.type, data)
        except (ValueError, RecursionError) as error:
            said = schema.in_words(error) if isinstance(error, ValidationError) else str(error)
            raise RecordError(
                f"{name}, line {number} is not a line of a run record: {said[:300]}"
            ) from None
    if record is None:
        raise RecordError(f"{name} is empty, or its first line is missing")
    return record


def in_turn(point: Evaluation, history: list[Evaluation]) -> Evaluation:
    """An evaluation. Raises ValueError if it does not come after those in the history."""
    for name in ("step", "tokens", "seconds"):
        if history and getattr(point, name) < getattr(history[-1], name):
            raise ValueError(f"at step {point.step} {name} goes back")
    if history and point.step == history[-1].step:
        raise ValueError(f"step {point.step} is there twice")
    return point


def whole_lines(path: Path) -> list[str]:
    """The lines of a file, without an incomplete last one, which may end within a character."""
    data = read_file(path).removeprefix(codecs.BOM_UTF8)  # some editors put it there
    return data[: data.rfind(b"\n") + 1].decode().split("\n")[:-1]


def rebuild(path: Path, first: dict | None, history: list[Evaluation], step: int) -> None:
    """Writes a record as it was at a checkpoint: a resumed run will write the rest again.

    Everything comes from the checkpoint: the first line, and every evaluation so far. From the old
    record come the lines about earlier resumptions, and the first line if `first` is None. An old
    record that cannot be read is set aside, not lost.
    """
    resumed = []
    try:
        old = read(path)
        first = first or old.about
        for line in map(json.loads, whole_lines(path)):
            if line["type"] == "resumed" and line["step"] <= step:
                resumed.append(line)
    except (RecordError, ValueError, KeyError, TypeError, OSError):
        if first is None:
            raise
        if path.exists():
            os.replace(path, path.with_name(f"{path.name}.damaged"))
            print(f"{path} was damaged. It is written again from the checkpoint.")
    lines = [{"type": "eval", **asdict(point)} for point in history] + resumed
    lines.sort(key=lambda line: line["step"])  # stable: an evaluation before a resumption
    with whole_file(path) as file:
        file.write("".join(map(as_json, [first, *lines])).encode())
