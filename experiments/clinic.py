"""Makes the records of the curve clinic: runs with one real fault each, and a healthy run."""

from dataclasses import replace
from pathlib import Path

import torch

from experiments.common import Tell, add_names, recorded, text_of
from nanogpt_lib.corpus import load_corpus
from nanogpt_lib.course.clinic import CASES, FOLDER, PROMPT, SAMPLE, SIZE, TRAINING, texts
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.milestones import shakespeare_ladder
from nanogpt_lib.model import GPT
from nanogpt_lib.runs import record
from nanogpt_lib.runs.callbacks import WriteSample
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import Callback, evaluate, new_run


class LookOften(Callback):
    """Evaluates ten times as often up to the usual first evaluation: most changes happen there."""

    def on_start(self, run):
        self.interval = run.config.eval_interval
        run.config.eval_interval = self.interval // 10

    def on_step(self, run):
        if run.step == self.interval:
            run.config.eval_interval = self.interval


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
    run = new_run(GPT(size), train_ids, val_ids, config, pick_compute("cpu", "float32"))
    if case.break_it:
        case.break_it(run)
    first = record.first_line(
        run,
        "clinic",
        f"python -m experiments clinic {name}",
        text_of(run),
        list(shakespeare_ladder()),  # of the whole text: the landmarks of the course
        prompt=PROMPT,
    )

    def diagnosis() -> dict:
        sound = GPT(size)  # the same weights without the fault
        sound.load_state_dict(run.model.state_dict())
        line = {"type": "diagnosis", "illness": case.illness, "fault": case.fault}
        return line | {"honest_loss": evaluate(sound, unseen)}

    sample = WriteSample(tokenizer, PROMPT, SAMPLE)
    path = folder / f"{name}.jsonl"
    return recorded(run, path, first, sample, diagnosis, (LookOften(), *callbacks))


def options(parser) -> None:
    add_names(parser, CASES)
    parser.add_argument("--steps", type=int, help="fewer steps, for a trial")


def run(args) -> None:
    for name in args.names or CASES:
        print(name)
        path = make(name, args.out, args.steps, [Tell(PROMPT)])
        print(f"  {path}, {path.stat().st_size / 1000:.0f} kB")
