"""The course's exercises: `from nanogpt_lib import exercises as ex`, then `ex.NAME.check(...)`."""

from nanogpt_lib.course.exercises import (
    n00_start,
    n01_tokenizer,
    n02_attention,
    n03_model,
    n04_training,
    n05_loss_curves,
    n06_sampling,
    n07_subwords,
    n08_post_training,
    n09_modalities,
    n10_speedrun,
)
from nanogpt_lib.course.exercises.base import Exercise

NOTEBOOKS = {
    "00": n00_start,
    "01": n01_tokenizer,
    "02": n02_attention,
    "03": n03_model,
    "04": n04_training,
    "05": n05_loss_curves,
    "06": n06_sampling,
    "07": n07_subwords,
    "08": n08_post_training,
    "09": n09_modalities,
    "10": n10_speedrun,
}

ALL = {
    thing.name: thing
    for module in NOTEBOOKS.values()
    for thing in vars(module).values()
    if isinstance(thing, Exercise)
}
globals().update(ALL)
__all__ = sorted(ALL)
