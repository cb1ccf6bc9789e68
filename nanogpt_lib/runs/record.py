"""The record of a run: JSON lines, enough to draw and replay the run without the model.

The first line describes the run ("type": "run"). Then there is a line for each evaluation
("eval"), for each resumption ("resumed"), for the end of training ("end"), and for the best
checkpoint's loss over the whole validation split ("result").
"""

import json
import math
import reprlib
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.machine.host import machine, versions
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
    def train_config(self) -> dict:
        """How the run was trained. The run may have changed it to fit time or memory."""
        return (self.end or {}).get("train_config") or self.about["train_config"]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def first_line(
    run: Run, preset: str, command: str | None, text: dict, rungs: list[dict], **more
) -> dict:
    """The first line of every record: what is known about the run before the first step.

    command: how the run was started. text: name, sha256, train_tokens and val_tokens. rungs: the
    text's n-gram ladder. more: other entries for the reader.
    """
    return {
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


def write_line(path: Path, line: dict) -> None:
    """Appends a line. JSON has no NaN: a loss that is not a number is written as null."""
    clean = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(clean, ensure_ascii=False) + "\n")


def write_evaluation(path: Path, point: Evaluation) -> None:
    write_line(path, {"type": "eval", **asdict(point)})


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
        raise RecordError(f"{path} cannot be read: {error}") from None
    record = None
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
            kind = data["type"]
            if kind == "run":
                if record is not None:
                    raise ValueError("a second run begins here")
                if data["format"] != FORMAT:
                    raise ValueError(f"format {data['format']}, this version reads {FORMAT}")
                record = Record(data)
            elif record is None:
                raise ValueError("the line that describes the run is missing")
            elif kind == "eval":
                record.history.append(evaluation(data))
            elif kind in ("end", "result"):
                setattr(record, kind, data)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RecordError(
                f"{path}, line {number} is not a line of a run record: {error!r}"
            ) from None
    if record is None:
        raise RecordError(f"{path} is empty, or its first line is missing")
    return record


def whole_lines(path: Path) -> list[str]:
    """The lines of a file, without an incomplete last one, which may end within a character."""
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1].decode().split("\n")[:-1]


def evaluation(line: dict) -> Evaluation:
    """An evaluation from its line. null stands for a loss that was not a number."""
    values = {f.name: line[f.name] for f in fields(Evaluation)}
    for name in ("train_loss", "val_loss"):
        values[name] = math.nan if values[name] is None else values[name]
    for name, value in values.items():
        whole, text = name in ("step", "tokens"), name == "sample"
        kinds = (str, type(None)) if text else (int,) if whole else (int, float)
        if type(value) not in kinds:  # a bool would pass as an int
            raise TypeError(f"{name} cannot be {reprlib.repr(value)}")
    return Evaluation(**values)


def rewind(path: Path, step: int, evaluated: int) -> None:
    """Drops the lines after `step` and an incomplete line: a resumed run will write them again.

    evaluated: the step of the last evaluation that the run knows. Later ones are dropped.
    """
    if not path.exists():
        return
    read(path)  # raises RecordError if a line is malformed
    kept = []
    for line in whole_lines(path):
        data = json.loads(line)
        known = {"run": 0, "eval": evaluated, "resumed": step}.get(data["type"], -1)
        if data.get("step", 0) <= known:
            kept.append(line + "\n")
    with whole_file(path) as file:
        file.write("".join(kept).encode())
