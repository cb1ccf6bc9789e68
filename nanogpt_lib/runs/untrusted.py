"""Checks a stranger's record before it is used.

A record may come from a stranger: thirty people put theirs into a folder. It is data and is never
executed. But it could be damaged, absurd, or made to deceive a terminal or a web page.
`record.read` checks every line of any record, one's own too: its numbers are reasonable and its
steps go forward. Here come a limit of size, and texts without harmful characters.
"""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path

from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.runs import record, schema
from nanogpt_lib.runs.catalogue import find, name_of
from nanogpt_lib.runs.record import Record, RecordError
from nanogpt_lib.training import Evaluation, TrainConfig

LARGEST = 3_000_000  # bytes; a run that writes a sample at each of 5,000 evaluations


@dataclass
class Recorded:
    """The checked content of a record."""

    name: str  # of its run folder or its file
    preset: str
    text: str  # what it was trained on
    measured_on: tuple  # text, number of tokens, of symbols; losses compare if they agree
    copied: float | None  # share of the validation text that is in the training text, too
    n_params: int
    started: str  # date and time, UTC
    processor: str
    command: str
    config: TrainConfig
    rungs: list[dict]  # of `ngram.ladder`
    history: list[Evaluation]  # at least one
    steps: int  # steps done; the last one may have no evaluation
    seconds: float  # duration of the run
    stopped: str | None  # why it ended, as in `training.Run`; None if it was cut off
    characters_per_token: float | None = None  # of the validation text, if it was counted

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the lowest validation loss; None if no loss is a number."""
        finite = [point for point in self.history if math.isfinite(point.val_loss)]
        return min(finite, key=lambda point: point.val_loss, default=None)


def read(run: str | Path | Record) -> Recorded:
    """Reads a record and checks all of it; see `find` for what `run` may be.

    Raises RecordError, which names the file and what is wrong with it.
    """
    if isinstance(run, Record):
        name = str(run.about.get("preset"))
        return checked(record.parse(record.lines_of(run), name), name)
    path = find(run)
    try:
        if not path.is_file():
            raise RecordError("it is not a file")
        if path.stat().st_size > LARGEST:
            raise RecordError(f"it is larger than {LARGEST:,} bytes; no run writes that much")
        return checked(record.read(path), name_of(path))
    except (RecordError, OSError) as error:
        reason = clean(str(error).removeprefix(str(path)).lstrip(":, "), one_line=True)
        raise RecordError(f"{clean(str(path), one_line=True)}: {reason[:300]}") from None


def checked(said: Record, name: str) -> Recorded:
    """The content of a record. Raises RecordError if it cannot be true."""
    about, end = schema.RunLine.model_validate_json(record.as_json(said.about)), said.end or {}
    if not said.history:
        raise RecordError("no evaluation was recorded")
    last = said.history[-1]
    for name_, least in (("step", last.step), ("seconds", last.seconds)):
        if end and end[name_] < least:
            raise RecordError(f"{name_} at the end is below that of the last evaluation")
    known = {f.name for f in fields(TrainConfig)}
    return Recorded(
        name=clean(name, one_line=True),
        preset=clean(about.preset, one_line=True),
        text=clean(about.text.name, one_line=True),
        measured_on=(about.text.sha256, about.text.val_tokens, about.model.vocab_size),
        copied=about.text.copied,
        n_params=about.model.n_params,
        started=clean(about.started, one_line=True),
        processor=clean(about.machine.processor, one_line=True),
        command=clean(about.command or "", one_line=True),
        config=TrainConfig(**{k: v for k, v in said.train_config.items() if k in known}),
        rungs=[vars(rung) | {"name": clean(rung.name, one_line=True)} for rung in about.ladder],
        history=[replace(p, sample=p.sample and clean(p.sample)) for p in said.history],
        steps=end.get("step", last.step),
        seconds=end.get("seconds", last.seconds),
        stopped=end.get("stopped"),
        characters_per_token=per_token(about.text),
    )


def per_token(text: schema.TextData) -> float | None:
    """The characters that a validation token writes on average."""
    if not text.val_characters or not text.val_tokens:
        return None
    return text.val_characters / text.val_tokens


def clean(text: str, one_line: bool = False) -> str:
    """A text that a terminal and a web page can show safely; see `terminal.harmless`.

    one_line: the text becomes one short line, with spaces instead of new lines.
    """
    seen = harmless(text)
    return " ".join(seen.split())[:200] if one_line else seen
