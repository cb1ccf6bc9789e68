"""E. The cost of an evaluation, as a share of the training between two evaluations."""

from statistics import median

import torch

from benchmarks.bench import Table, take_turns, timed
from benchmarks.step import steps, steps_a_turn
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate, measure, new_run, step


def run(args) -> Table:
    text = load_corpus()
    tokenizer = CharTokenizer.train(text)
    train_ids, val_ids = (torch.tensor(tokenizer.encode(part)) for part in split(text))
    rows, figures = [], {}
    for name in [args.preset] if args.preset else ["pocket", "laptop", "workshop"]:
        preset = PRESETS[name]
        compute = pick_compute("cpu", "float32")
        made = new_run(GPT(preset.model), train_ids, val_ids, preset.train, compute)
        step(made)
        works = {
            "step": steps(made, steps_a_turn(preset)),
            "quick": timed(lambda made=made: measure(made)),
            "whole": timed(lambda made=made: evaluate(made.model, val_ids)),
        }
        seconds = take_turns(works, args.rounds)
        shares = {}
        for kind in ("quick", "whole"):
            pairs = zip(seconds[kind], seconds["step"], strict=True)
            shares[kind] = [e / (preset.train.eval_interval * s) for e, s in pairs]
        middle = {k: median(v) for k, v in (seconds | shares).items()}
        rows.append([name, median(seconds["step"])])
        rows[-1] += [f"{100 * middle['quick']:.1f}%", f"{100 * middle['whole']:.1f}%"]
        figures[name] = {"seconds": seconds, "shares": shares}
    return Table(
        "evaluation",
        "E. Evaluating, in percent of the time of the steps between two evaluations",
        "the whole validation split under 10%",
        ["preset", "seconds a step", "as it trains, both splits", "whole validation split"],
        rows,
        ["As it trains: pocket and laptop look at 4 batches of each split, workshop at all 7."],
        figures,
    )
