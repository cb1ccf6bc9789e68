"""The curve clinic: training runs with one real fault each, their records, and a healthy run.

`nanogpt_lib/recorded/clinic` holds the records, in the format of `runlog`; what ails a patient stands only in
its last line, which `diagnosis` reads. `python -m nanogpt_lib.course.clinic` makes them all anew, in
about 20 minutes on one core; with names behind it, only those.

Nothing in the library is broken for it: each fault is put into a run from outside.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from nanogpt_lib.corpus import fingerprint, load_corpus, split
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.machine.host import machine, versions
from nanogpt_lib.machine.paths import RECORDED
from nanogpt_lib.milestones import shakespeare_ladder
from nanogpt_lib.model import GPT, CausalSelfAttention, GPTConfig
from nanogpt_lib.runs import record as runlog
from nanogpt_lib.runs.callbacks import Callback, Record, WriteSample
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import Run, TrainConfig, evaluate, start, train

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


class LookOften(Callback):
    """Evaluates ten times as often up to the usual first evaluation: most happens there."""

    def on_start(self, run):
        self.interval = run.config.eval_interval
        run.config.eval_interval = self.interval // 10

    def on_step(self, run):
        if run.step == self.interval:
            run.config.eval_interval = self.interval


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
    # Done once the run has started: `training.start` notices such a model and refuses it.
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
    train_chars: int | None = None  # only so much of the training text
    leaked_chars: int = 0  # so much validation text, all that is measured on, is trained on, too


SMALL = 10_000  # characters; a small part of the training text is soon known by heart
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
        "no dropout",
        f"no dropout, although there are only {SMALL:,} characters to train on",
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


def load(name: str) -> runlog.Record:
    """The recorded run of that name, a key of CASES."""
    return runlog.read(FOLDER / f"{name}.jsonl")


def diagnosis(name: str) -> dict:
    """The last line of a record: "illness", "fault", and the "honest_loss" of the last weights.

    The honest loss is what the weights are worth: on text they were not trained on, with the mask
    in place and the targets shifted.
    """
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(lines[-1])


def texts(case: Case, text: str) -> tuple[str, str, str]:
    """What a case trains on, what it is measured on, and what it has really never seen."""
    train_text, val_text = split(text)
    some = train_text[: case.train_chars]
    if not case.leaked_chars:
        return some, val_text, val_text
    leaked, unseen = val_text[: case.leaked_chars], val_text[case.leaked_chars :]
    return some + leaked, leaked, unseen


def training_text(name: str) -> str:
    """The text that a case was trained on."""
    return texts(CASES[name], load_corpus())[0]


def make(name: str, folder: Path = FOLDER, steps: int | None = None, callbacks=()) -> Path:
    """Trains a case and records it in `folder`; returns the record's path.

    steps: fewer than the case has, for a trial.
    """
    case = CASES[name]
    text = load_corpus()
    tokenizer = CharTokenizer.train(text)
    ids = (torch.tensor(tokenizer.encode(part)) for part in texts(case, text))
    train_ids, val_ids, unseen = ids
    size, config = replace(SIZE, **case.size), replace(TRAINING, **case.training)
    config.max_steps = steps or config.max_steps
    torch.manual_seed(config.seed)
    compute = pick_compute("cpu", "float32")
    run = start(GPT(size), train_ids, val_ids, config, compute)
    if case.break_it:
        case.break_it(run)
    path = folder / f"{name}.jsonl"
    partial = path.with_suffix(".part")
    partial.unlink(missing_ok=True)
    first_line = {
        "type": "run",
        "format": runlog.FORMAT,
        "started": runlog.now(),
        "preset": "clinic",
        "command": f"python -m nanogpt_lib.course.clinic {name}",
        "prompt": PROMPT,
        "text": {
            "name": "Tiny Shakespeare",
            "sha256": fingerprint(text),
            "train_tokens": len(train_ids),
            "val_tokens": len(val_ids),
        },
        "model": asdict(size) | {"n_params": run.model.num_params()},
        "train_config": asdict(config),
        "compute": str(compute),
        "machine": machine(),
        "versions": versions(),
        "ladder": list(shakespeare_ladder()),  # of the whole text: the landmarks of the course
    }
    runlog.write_line(partial, first_line)
    train(run, (LookOften(), WriteSample(tokenizer, PROMPT, SAMPLE), Record(partial), *callbacks))
    sound = GPT(size)  # the same weights, and nothing broken
    sound.load_state_dict(run.model.state_dict())
    last_line = {"type": "diagnosis", "illness": case.illness, "fault": case.fault}
    last_line["honest_loss"] = evaluate(sound, unseen)
    runlog.write_line(partial, last_line)
    os.replace(partial, path)
    return path


class Tell(Callback):
    """A line for each evaluation."""

    def on_eval(self, run):
        p = run.history[-1]
        start = repr(p.sample[len(PROMPT) :][:50])
        print(f"  step {p.step:>5,}  train {p.train_loss:.3f}  val {p.val_loss:.3f}  {start}")


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m nanogpt_lib.course.clinic",
        description="Makes the records of the clinic anew.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES) + " (all)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    parser.add_argument("--steps", type=int, help="fewer steps, for a trial")
    args = parser.parse_args(argv)
    for name in args.names:
        if name not in CASES:
            parser.error(f"there is no case {name!r}; there are {', '.join(CASES)}")
    for name in args.names or CASES:
        print(name)
        path = make(name, args.folder, args.steps, [Tell()])
        print(f"  {path}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    torch.set_num_threads(1)  # so small a model gains little from more
    # Gradients of a loss of 0.001 lie below 1e-38; processors take ten times as long for those.
    torch.set_flush_denormal(True)
    main()
