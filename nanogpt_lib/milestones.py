"""What a loss means: in words, against the ladder of n-grams, and over a whole run."""

import functools
import math
from dataclasses import dataclass

import torch

from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.ngram import ladder
from nanogpt_lib.tokenizer import CharTokenizer


@dataclass(frozen=True)
class Landmark:
    """A loss worth knowing. The samples sound so from here on down to the next one."""

    loss: float  # nats a character
    name: str
    sounds: str


# What is read off samples of the recorded runs, and rounded: sounds have no sharp edges. The
# first five lie at rungs of the ladder of Tiny Shakespeare.
VALIDATION = (
    Landmark(4.17, "knows nothing", "random symbols, capitals and digits as often as vowels"),
    Landmark(3.35, "letter frequencies", "common letters and spaces in no order"),
    Landmark(2.49, "letter pairs", 'fragments like "th" and "ou", words of the right length'),
    Landmark(2.05, "syllables", "short words among invented ones, lines that look like verse"),
    Landmark(1.78, "words", "speakers in capitals, many real words, little sense"),
    Landmark(1.60, "phrases", "mostly real words; phrases hold together, sentences do not"),
    Landmark(1.50, "Shakespearean", "lines that could be Shakespeare's until one listens"),
)
TRAINING = (
    *VALIDATION,
    Landmark(1.20, "recognisable Shakespeare", "his turns of phrase, line after line"),
    Landmark(1.00, "memorising", "whole lines out of the training text"),
)
# The lowest validation losses known for models of about 10 million parameters: nanoGPT's README
# gives 1.4697, repetitions of it 1.46 to 1.48.
FLOOR = 1.46


@dataclass(frozen=True)
class Reading:
    """A loss in words; print it."""

    value: float  # nats a token
    split: str  # "train" or "val"
    landmark: str
    sounds: str
    beats: str  # the best n-gram baseline that it beats
    next: str  # what comes next on the way down

    def __str__(self):
        on = "the training text" if self.split == "train" else "the validation text"
        return (
            f"{self.value:.2f} on {on}: {self.landmark}. It would sound like {self.sounds}. "
            f"{self.beats} {self.next}"
        )


@functools.cache
def shakespeare_ladder() -> tuple[dict, ...]:
    """The ladder of Tiny Shakespeare, counted once."""
    text = load_corpus()
    tokenizer = CharTokenizer.train(text)
    train_ids, val_ids = split(torch.tensor(tokenizer.encode(text)))
    return tuple(ladder(train_ids, val_ids, tokenizer.vocab_size))


def read_loss(value: float, split: str, rungs=None) -> Reading:
    """Turns a loss into words.

    value: nats a character. split: "train" or "val"; the same number means different things.
    rungs: rows of `ngram.ladder` of the text at hand; Tiny Shakespeare's if not given.
    """
    if split not in ("train", "val"):
        raise ValueError(f'split must be "train" or "val", not {split!r}')
    if not math.isfinite(value):
        return Reading(
            value,
            split,
            "diverged",
            "noise",
            "The training has failed.",
            "Lower the learning rate, and clip gradients.",
        )
    if value < 0:
        raise ValueError(f"a cross-entropy is never negative: {value}")
    rungs = shakespeare_ladder() if rungs is None else rungs
    landmarks = VALIDATION if split == "val" else TRAINING
    near = 0.01  # at a landmark counts as having reached it
    reached = [mark for mark in landmarks if value <= mark.loss + near]
    ahead = [mark for mark in landmarks if value > mark.loss + near]
    if reached:
        name, sounds = reached[-1].name, reached[-1].sounds
    else:
        name, sounds = "worse than guessing", "random symbols, and surprised by what is common"
    if ahead:
        coming = f"Next: {ahead[0].name} at {ahead[0].loss:.2f}."
    elif split == "train":
        coming = "Below this only memory improves: compare the validation loss."
    elif value >= FLOOR:
        coming = f"Models of this size end near {FLOOR:.2f}."
    else:
        coming = f"Models of this size end near {FLOOR:.2f}: is validation text being trained on?"
    return Reading(value, split, name, sounds, beaten(value, rungs), coming)


def beaten(value: float, rungs) -> str:
    """Which rungs of the ladder a loss has left behind, as a sentence."""
    below = [rung for rung in rungs if value < rung["loss"]]
    best = min(below, key=lambda rung: rung["loss"], default=None)
    if best is None:
        return "It beats no baseline."
    if len(below) == len(rungs):
        return f"It beats every n-gram table (the best: {best['name']}, {best['loss']:.2f})."
    return f"It beats: {best['name']} ({best['loss']:.2f})."


@dataclass(frozen=True)
class Verdict:
    """What a whole run's curve says; print it."""

    status: str  # "too early", "diverged", "learning", "levelled off", "overfitting", "unsettled"
    best_step: int | None
    text: str

    def __str__(self):
        return self.text


def verdict(history) -> Verdict:
    """Judges a curve: still learning, levelled off, or overfitting since which step.

    history: evaluations with `step`, `train_loss` and `val_loss`, in order.
    """
    if any(not math.isfinite(x) for p in history for x in (p.train_loss, p.val_loss)):
        first = next(p for p in history if not math.isfinite(p.train_loss + p.val_loss))
        return Verdict(
            "diverged",
            None,
            f"Diverged by step {first.step:,}: the loss is no number "
            "any more. Lower the learning rate, and clip gradients.",
        )
    if len(history) < 3:
        return Verdict("too early", None, "Too early to tell: fewer than three evaluations.")
    best = min(history, key=lambda p: p.val_loss)
    last = history[-1]
    noise = 0.01  # nats; quick estimates of neighbouring evaluations differ by about this much
    where = f"best validation loss {best.val_loss:.3f} at step {best.step:,}"
    if last.val_loss > best.val_loss + noise:
        rise = last.val_loss - best.val_loss
        if last.train_loss < best.train_loss:
            return Verdict(
                "overfitting",
                best.step,
                f"Overfitting since step {best.step:,}: {where}"
                f", now {rise:.2f} higher while the training loss went on falling.",
            )
        return Verdict(
            "unsettled",
            best.step,
            f"Unsettled: {where}, now {rise:.2f} higher, and "
            "the training loss is higher too. A lower learning rate may help.",
        )
    before = history[-3]
    if before.val_loss - last.val_loss > noise:
        return Verdict("learning", best.step, f"Still learning: {where}; more steps would help.")
    return Verdict("levelled off", best.step, f"Levelled off: {where}.")
