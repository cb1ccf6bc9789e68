"""What a loss means: in words, against the ladder of n-grams, and over a whole run."""

import functools
import math
from dataclasses import dataclass, replace

import torch

from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.ngram import ladder
from nanogpt_lib.tokenizer import CharTokenizer


@dataclass(frozen=True)
class Landmark:
    """A loss worth knowing. Samples sound like this from here down to the next one."""

    loss: float  # nats a character
    name: str
    sounds: str


# The losses come from samples of the recorded runs and are rounded: sounds have no sharp edges.
# The first five are rungs of the ladder of Tiny Shakespeare, k = -1 to 3. They describe any text.
VALIDATION = (
    Landmark(4.17, "knows nothing", "random symbols, rare ones as often as common ones"),
    Landmark(3.35, "letter frequencies", 'spaces and common letters at first, then "th" and "ou"'),
    Landmark(2.49, "letter pairs", 'fragments such as "th" and "ou", words of the right length'),
    Landmark(2.05, "syllables", "short words among invented ones, lines of the right length"),
    Landmark(1.78, "words", "many real words and little sense, in a layout that looks right"),
    Landmark(1.60, "phrases", "mostly real words, in phrases that hold and sentences that do not"),
    Landmark(1.50, "Shakespearean", "lines that could be Shakespeare's until one listens"),
)
N_RUNGS = 5
TRAINING = (
    *VALIDATION,
    Landmark(1.20, "recognisable Shakespeare", "his turns of phrase, line after line"),
    Landmark(1.00, "memorising", "whole lines out of the training text"),
)
# The lowest validation losses known for models of about 10 million parameters: nanoGPT's README
# gives 1.4697, repetitions of it 1.46 to 1.48.
FLOOR = 1.46
REMEDY = "Lower the learning rate, and keep gradients clipped."  # for a run that diverged


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


# A fresh network is a little worse than an even guess. Up to 0.1 above the first landmark it
# still knows nothing. At every other landmark, 0.01 above it is close enough.
NEAR_START, NEAR = 0.1, 0.01


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
    rungs: rows of `ngram.ladder` for the text; Tiny Shakespeare's if not given. For any other
    text, only the landmarks at its own rungs are known.
    """
    if split not in ("train", "val"):
        raise ValueError(f'split must be "train" or "val", not {split!r}')
    if not math.isfinite(value):
        return Reading(value, split, "diverged", "noise", "The training has failed.", REMEDY)
    if value < 0:
        raise ValueError(f"a cross-entropy is never negative: {value}")
    rungs = rungs or shakespeare_ladder()
    shakespeare = is_shakespeare(rungs)
    landmarks = (VALIDATION if split == "val" else TRAINING) if shakespeare else own(rungs)
    n = sum(value <= mark.loss + (NEAR if i else NEAR_START) for i, mark in enumerate(landmarks))
    if n:
        name, sounds = landmarks[n - 1].name, landmarks[n - 1].sounds
    else:
        name, sounds = "worse than guessing", "random symbols, drawn with misplaced confidence"
    if n == 0:
        coming = f"An even guess would reach {landmarks[0].loss:.2f}."
    elif n < len(landmarks):
        coming = f"Next: {landmarks[n].name} at {landmarks[n].loss:.2f}."
    elif not shakespeare:
        coming = "From here on the samples tell more than the number."
    elif split == "train":
        coming = "Below this only memory improves: compare the validation loss."
    elif value >= FLOOR:
        coming = f"Models of 10 million parameters end near {FLOOR:.2f}."
    else:
        coming = f"The best known is {FLOOR:.2f}: is validation text being trained on?"
    return Reading(value, split, name, sounds, beaten(value, rungs), coming)


def helpful(rungs) -> list[dict]:
    """The rungs that are lower than all before them. Any longer context only overfits."""
    lower: list[dict] = []
    for rung in rungs:
        if not lower or rung["loss"] < lower[-1]["loss"]:
            lower.append(rung)
    return lower


def is_shakespeare(rungs) -> bool:
    """Whether this is the ladder of Tiny Shakespeare: the first landmarks are its rungs."""
    pairs = list(zip(rungs, VALIDATION[:N_RUNGS], strict=False))
    return len(pairs) == N_RUNGS and all(abs(a["loss"] - b.loss) < 0.02 for a, b in pairs)


def own(rungs) -> list[Landmark]:
    """The landmarks of your own text: at the rungs of its ladder."""
    return [
        replace(VALIDATION[rung["k"] + 1], loss=rung["loss"])
        for rung in helpful(rungs)
        if rung["k"] + 1 < N_RUNGS
    ]


def beaten(value: float, rungs) -> str:
    """A sentence that says which rungs of the ladder a loss has beaten."""
    below = [rung for rung in helpful(rungs) if value < rung["loss"]]
    if not below:
        return "It beats no baseline."
    best = below[-1]
    if all(value < rung["loss"] for rung in rungs):
        return f"It beats every n-gram table (the best: {best['name']}, {best['loss']:.2f})."
    what = f"counting with {best['name']}" if best["k"] > 0 else f"the {best['name']}"
    return f"It beats {what} ({best['loss']:.2f})."


@dataclass(frozen=True)
class Verdict:
    """What a whole run's curve says; print it."""

    status: str  # "too early", "diverged", "learning", "levelled off", "overfitting", "unsettled"
    best_step: int | None
    text: str

    def __str__(self):
        return self.text


def verdict(history) -> Verdict:
    """Judges a curve: still learning, levelled off, or overfitting, and since which step.

    history: evaluations with `step`, `train_loss` and `val_loss`, in order.
    """
    if any(not math.isfinite(x) for p in history for x in (p.train_loss, p.val_loss)):
        first = next(p for p in history if not math.isfinite(p.train_loss + p.val_loss))
        what = f"Diverged by step {first.step:,}: the loss is no finite number any more."
        return Verdict("diverged", None, f"{what} {REMEDY}")
    if len(history) < 3:
        return Verdict("too early", None, "Too early to tell: fewer than three evaluations.")
    best = min(history, key=lambda p: p.val_loss)
    last = history[-1]
    noise = 0.01  # nats; quick estimates of neighbouring evaluations differ by about this much
    where = f"the best validation loss is {best.val_loss:.3f}, at step {best.step:,}"
    if last.val_loss > best.val_loss + noise:
        rise = last.val_loss - best.val_loss
        if last.train_loss < best.train_loss:
            return Verdict(
                "overfitting",
                best.step,
                f"Overfitting since step {best.step:,}: the validation loss was at its best then, "
                f"{best.val_loss:.3f}, and is {rise:.2f} higher now, while the training loss fell.",
            )
        what = f"Unsettled: {where}; it is {rise:.2f} higher now, and the training loss has not "
        return Verdict("unsettled", best.step, f"{what}fallen either. Try a lower learning rate.")
    before = history[-max(3, len(history) // 5)]  # a fifth of the curve, however dense it is
    if before.val_loss - last.val_loss > noise:
        return Verdict("learning", best.step, f"Still learning: {where}; more steps would help.")
    return Verdict("levelled off", best.step, f"Levelled off: {where}.")
