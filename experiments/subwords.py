"""Trains models with different vocabularies and equal computation, and records them."""

from dataclasses import replace
from pathlib import Path

from experiments.common import Tell, add_names, recorded, text_of
from nanogpt_lib.beyond.subwords import FOLDER, SETTINGS, KeepBest, prepare, result
from nanogpt_lib.ngram import ladder
from nanogpt_lib.runs import record
from nanogpt_lib.runs.callbacks import WriteSample


def make(name: str, folder: Path = FOLDER, flops: float | None = None, callbacks=()) -> Path:
    """Trains one of SETTINGS and records it in `folder`; returns the record's path.

    flops: fewer than in the setting, for a trial.
    """
    setting = SETTINGS[name] if flops is None else replace(SETTINGS[name], flops=flops)
    trial = prepare(setting)
    run = trial.run
    rungs = ladder(run.train_ids, run.val_ids, trial.tokenizer.vocab_size, 1, "token")
    first = record.first_line(
        run, "subwords", f"python -m experiments subwords {name}", text_of(run), rungs
    )
    path = folder / f"{name}.jsonl"
    # KeepBest first: at the end it restores the best weights, which `result` then measures.
    callbacks = (KeepBest(), *callbacks)
    return recorded(
        run, path, first, WriteSample(trial.tokenizer), lambda: result(trial), callbacks
    )


def options(parser) -> None:
    add_names(parser, SETTINGS)
    parser.add_argument("--flops", type=float, help="fewer of them, for a trial")


def run(args) -> None:
    for name in args.names or SETTINGS:
        print(name, flush=True)
        path = make(name, args.out, args.flops, [Tell()])
        made = record.read(path).result
        print(f"  {made['bits']:.3f} bits a character, text read {made['times_read']:.1f} times")
