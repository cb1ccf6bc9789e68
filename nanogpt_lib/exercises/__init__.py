"""The course's exercises: `from nanogpt_lib import exercises as ex`, then `ex.NAME.check(...)`."""

from nanogpt_lib.exercises import (
    n00_start,
    n01_tokenizer,
    n02_attention,
    n03_model,
    n04_training,
    n05_loss_curves,
    n06_sampling,
)
from nanogpt_lib.exercises.base import Exercise

NOTEBOOKS = {
    "00": n00_start,
    "01": n01_tokenizer,
    "02": n02_attention,
    "03": n03_model,
    "04": n04_training,
    "05": n05_loss_curves,
    "06": n06_sampling,
}

ALL = {
    thing.name: thing
    for module in NOTEBOOKS.values()
    for thing in vars(module).values()
    if isinstance(thing, Exercise)
}
globals().update(ALL)
__all__ = sorted(ALL)
