"""The curve clinic: training runs with one real fault each, their records, and a healthy run.

`recorded/clinic` holds the records, in the format of `runs.record`. Only the last line of a record
has the diagnosis, and `diagnosis` reads it. `python -m experiments clinic` made the records.

The library itself does not have these faults: each is put into a run from outside.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.machine.paths import RECORDED
from nanogpt_lib.model import GPT, CausalSelfAttention, GPTConfig
from nanogpt_lib.runs.record import Record, read
from nanogpt_lib.training import Run, TrainConfig

FOLDER = RECORDED / "clinic"
PROMPT = "First Citizen:\nBefore we"  # every sample goes on from here
SAMPLE = 200  # characters that a sample adds to it

SIZE = GPTConfig(block_size=64, n_layer=2, n_head=4, n_embd=128, bias=False)
TRAINING = TrainConfig(
    max_steps=800,
    batch_size=8,
    learning_rate=6e-3,
    min_lr=6e-4,
    warmup_steps=50,
    eval_interval=100,
    eval_batches=2,
)


BY_EAR = {"A": 700, "B": 10, "C": 3500, "D": 90}  # steps of the healthy run, in mixed order


def in_mixed_order(history) -> dict[str, str]:
    """{letter: sample} of four moments of the healthy run, for the exercise `by_ear`."""
    sample_at = {point.step: point.sample for point in history}
    return {letter: sample_at[step] for letter, step in BY_EAR.items()}


class Unmasked(CausalSelfAttention):
    """Attention without the causal mask: every token sees the whole window."""

    def forward(self, x, cache=None):
        q, k, v = self.heads(x)  # each (B, nh, T, hs)
        if cache is not None:
            k, v = cache.append(k, v)
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return self.c_proj(y.transpose(1, 2).reshape(x.shape))  # (B, T, C)


class Unshifted(GPT):
    """A GPT whose targets are its inputs: each token is asked for itself."""

    def forward(self, idx, targets=None, caches=None):
        return super().forward(idx, None if targets is None else idx, caches)


def take_the_mask_away(run: Run) -> None:
    # After the run has started, because `training.new_run` would refuse such a model.
    for block in run.model.transformer.h:
        block.attn.__class__ = Unmasked


def forget_to_shift(run: Run) -> None:
    run.model.__class__ = Unshifted


@dataclass(frozen=True)
class Case:
    """A run and what is wrong with it."""

    illness: str
    fault: str  # what was done to it
    size: dict = field(default_factory=dict)  # how its model differs from SIZE
    training: dict = field(default_factory=dict)  # how its training differs from TRAINING
    break_it: Callable[[Run], None] | None = None  # applied to the started run
    train_chars: int | None = None  # characters of the training text to use; None for all
    leaked_chars: int = 0  # the whole measured text, of this length, is also trained on


SMALL = 10_000  # characters; a model soon knows such a small text by heart
LONG = {"max_steps": 2500}
HEALTHY = {"max_steps": 4000}

CASES = {
    "healthy": Case("healthy", "nothing", training=HEALTHY),
    "patient-a": Case(
        "learning rate too high",
        "a learning rate of 0.6 instead of 0.006",
        training={"learning_rate": 0.6, "min_lr": 0.06},
    ),
    "patient-b": Case(
        "targets not shifted", "the targets are the inputs", break_it=forget_to_shift
    ),
    "patient-c": Case(
        "too little text",
        f"only {SMALL:,} characters to train on, read 128 times over",
        training=LONG,
        train_chars=SMALL,
    ),
    "patient-d": Case("no mask", "attention without its causal mask", break_it=take_the_mask_away),
    "patient-e": Case(
        "learning rate too low",
        "a learning rate of 0.00006 instead of 0.006",
        training={"learning_rate": 6e-5, "min_lr": 6e-6},
    ),
    "patient-f": Case(
        "validation leaked",
        "the 3,000 characters that are measured on are among the 10,000 trained on",
        training=LONG,
        train_chars=SMALL - 3_000,
        leaked_chars=3_000,
    ),
    # What helps patient c.
    "with-dropout": Case(
        "overfitting", "dropout of 0.3", {"dropout": 0.3}, training=LONG, train_chars=SMALL
    ),
    "smaller-model": Case(
        "overfitting",
        "one layer of width 48",
        {"n_layer": 1, "n_embd": 48},
        training=LONG,
        train_chars=SMALL,
    ),
    "more-text": Case("overfitting", "four times the text", training=LONG, train_chars=4 * SMALL),
}
PATIENTS = [name for name in CASES if name.startswith("patient-")]
ILLNESSES = sorted(CASES[name].illness for name in PATIENTS)


def recorded(name: str) -> Record:
    """The recorded run of that name, a key of CASES."""
    return read(FOLDER / f"{name}.jsonl")


def diagnosis(name: str) -> dict:
    """The last line of a record: "illness", "fault", and the "honest_loss" of the last weights.

    The honest loss is the true loss of the weights: on text that was not trained on, with the mask
    in place and the targets shifted.
    """
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(lines[-1])


def texts(case: Case, text: str) -> tuple[str, str, str]:
    """The text that a case trains on, the text it is measured on, and text it has never seen."""
    train_text, val_text = split(text)
    some = train_text[: case.train_chars]
    if not case.leaked_chars:
        return some, val_text, val_text
    leaked, unseen = val_text[: case.leaked_chars], val_text[case.leaked_chars :]
    return some + leaked, leaked, unseen


def training_text(name: str) -> str:
    """The text that a case was trained on."""
    return texts(CASES[name], load_corpus())[0]
