"""Times and texts in words."""

import math
from typing import Protocol

from nanogpt_lib.training import Evaluation, TrainConfig


class RunLike(Protocol):
    """What words and pictures need from a run: a `training.Run` or the replay of a record."""

    config: TrainConfig
    step: int
    seconds: float
    history: list[Evaluation]
    stopped: str | None


def duration(seconds: float) -> str:
    """45 s, 3 min 20 s, 2 h 05 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def in_bits(loss: float, characters_per_token: float) -> float:
    """A loss in nats a token as bits a character, which compare across tokenizers."""
    return loss / characters_per_token / math.log(2)


def left(run: RunLike) -> str:
    """The time that a run has taken and the time it still needs, in words."""
    done = f"{duration(run.seconds)} done"
    if not run.step or run.step >= run.config.max_steps:
        return done
    remaining = run.seconds / run.step * (run.config.max_steps - run.step)
    return f"{done}, {duration(remaining)} left"


def one_line(text: str, width: int = 90) -> str:
    """The beginning of a text on one line, with a slash for each newline."""
    return text.strip().replace("\n", " / ")[:width]
