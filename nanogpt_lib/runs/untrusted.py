"""Checks a stranger's record before it is used.

A record may come from a stranger: thirty people put theirs into a folder. It is data and is never
executed. But it could be damaged, absurd, or made to deceive a terminal or a web page. The result
of `read` has been checked: its numbers are reasonable, its steps go forward, and its texts hold no
harmful characters.
"""

import math
import unicodedata
from dataclasses import dataclass, fields, replace
from pathlib import Path

from nanogpt_lib.runs import record
from nanogpt_lib.runs.catalogue import find, name_of
from nanogpt_lib.runs.record import Record, RecordError
from nanogpt_lib.training import Evaluation, TrainConfig

LARGEST = 3_000_000  # bytes; a run that writes a sample at each of 5,000 evaluations
MOST = 10**7  # steps and seconds; more than any run of this kit takes


@dataclass
class Recorded:
    """The checked content of a record."""

    name: str  # of its run folder or its file
    preset: str
    text: str  # what it was trained on
    measured_on: tuple  # text, number of tokens, of symbols; losses compare if they agree
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
        return checked(run, str(run.about.get("preset")))
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
    about, end = said.about, said.end or {}
    text, model = need(about, "text", dict), need(about, "model", dict)
    history = check_history(said.history)
    last = history[-1]
    known = {f.name for f in fields(TrainConfig)}
    settings = {k: v for k, v in need(said, "train_config", dict).items() if k in known}
    number(settings, "max_steps", at="train_config: ", whole=True)
    for rate in ("learning_rate", "min_lr"):
        number(settings, rate, at="train_config: ", most=1e36)
    try:
        config = TrainConfig(**settings)
    except (TypeError, ValueError) as error:
        raise RecordError(f"train_config: {str(error)[:200]}") from None
    return Recorded(
        name=clean(name, one_line=True),
        preset=clean(need(about, "preset", str), one_line=True),
        text=clean(need(text, "name", str), one_line=True),
        measured_on=(
            need(text, "sha256", str),
            number(text, "val_tokens", most=10**12, whole=True),
            number(model, "vocab_size", whole=True),
        ),
        n_params=number(model, "n_params", most=10**12, whole=True),
        started=clean(need(about, "started", str), one_line=True),
        processor=clean(need(need(about, "machine", dict), "processor", str), one_line=True),
        command=clean(str(about.get("command") or ""), one_line=True),
        config=config,
        rungs=check_rungs(need(about, "ladder", list)),
        history=history,
        steps=number({"step": last.step} | end, "step", least=last.step, whole=True),
        seconds=number({"seconds": last.seconds} | end, "seconds", least=last.seconds),
        stopped=end.get("stopped") if end.get("stopped") in STOPPED else None,
    )


STOPPED = ("finished", "interrupted", "out of time", "diverged")


def check_history(history: list[Evaluation]) -> list[Evaluation]:
    """The evaluations with clean samples. Their numbers must make sense and go forward."""
    if not history:
        raise RecordError("no evaluation was recorded")
    before = None
    for point in history:
        at = f"evaluation at step {point.step}: "
        for name in ("step", "tokens", "seconds", "lr"):
            most = {"tokens": 10**15, "lr": 1e36}.get(name, MOST)
            number(vars(point), name, at=at, most=most)
            if before and name != "lr" and getattr(point, name) < getattr(before, name):
                raise RecordError(f"{at}{name} goes back")
        if before and point.step == before.step:
            raise RecordError(f"{at}the step is there twice")
        for name in ("train_loss", "val_loss"):
            if not math.isnan(getattr(point, name)):  # a run that diverged
                number(vars(point), name, at=at, most=1e36)
        before = point
    return [replace(point, sample=point.sample and clean(point.sample)) for point in history]


def check_rungs(rungs: list) -> list[dict]:
    """The n-gram ladder. It must begin with the uniform guess, and k must go up by one."""
    for k, rung in enumerate(rungs, start=-1):
        if not isinstance(rung, dict) or rung.get("k") != k:
            raise RecordError(f"ladder: the rung of k = {k} is missing")
        number(rung, "loss", at="ladder: ")
    if not rungs:
        raise RecordError("ladder is empty")
    return [rung | {"name": clean(need(rung, "name", str), one_line=True)} for rung in rungs]


def need(data, name: str, kind: type):
    """The entry of a record with this name."""
    value = data.get(name) if isinstance(data, dict) else getattr(data, name, None)
    if not isinstance(value, kind):
        raise RecordError(f"{name} is missing or is not a {kind.__name__}")
    return value


def number(data: dict, name: str, least=0, most=MOST, whole=False, at=""):
    """A number of a record. It must be in a reasonable range, so NaN is refused."""
    value = data.get(name)
    right = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, right) or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise RecordError(f"{at}{name} is not {kind} from {least:,} to {most:,}")
    return value


def clean(text: str, one_line: bool = False) -> str:
    """A text without characters that act instead of being shown.

    A terminal obeys escape sequences, some characters make text run backwards, and half a pair of
    surrogates cannot be written at all. They become \ufffd. New lines and tabs stay. one_line: the
    text becomes one short line, with spaces instead.
    """
    harmful = ("Cc", "Cf", "Cs")  # control, format, surrogate: categories of Unicode
    joiners = "\n\t\u200c\u200d"  # Persian, Hindi and others need the last two
    seen = "".join(
        c if c in joiners or unicodedata.category(c) not in harmful else "\ufffd" for c in text
    )
    return " ".join(seen.split())[:200] if one_line else seen
