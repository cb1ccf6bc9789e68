"""The same model and tokens on clean and on spoilt text: what handling of data is worth.

The model is `pocket`, with its number of steps. Only the training text is spoilt; the validation
text is the clean one. A row has the loss on all of it, and a sample.
"""

import random
from dataclasses import replace

import torch

from experiments.common import add_seeds, said
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.sampling import generate
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate, new_run, train

FOLDER = "post_training"
PAGE = 30  # lines
NOISE = 0.02  # of all characters


def doubled(text: str, share: float, rng: random.Random) -> str:
    """A share of the lines, each followed by itself."""
    lines = text.splitlines(keepends=True)
    return "".join(line * (1 + (rng.random() < share)) for line in lines)


def scanned(text: str, rng: random.Random) -> str:
    """A header on each page, and some characters that were misread."""
    letters, lines = sorted(set(text) - {"\n"}), text.splitlines(keepends=True)
    pages = [lines[i : i + PAGE] for i in range(0, len(lines), PAGE)]
    headers = ["\nTHE TRAGEDY    PAGE " + "".join(rng.choices("XIV", k=4)) + "\n\n" for _ in pages]
    joined = "".join(h + "".join(page) for h, page in zip(headers, pages, strict=True))
    return "".join(rng.choice(letters) if c != "\n" and rng.random() < NOISE else c for c in joined)


def shuffled(text: str, rng: random.Random) -> str:
    """The same lines in a random order."""
    lines = text.splitlines(keepends=True)
    rng.shuffle(lines)
    return "".join(lines)


CASES = {
    "clean": lambda text, rng: text,
    "a tenth of the lines doubled": lambda text, rng: doubled(text, 0.1, rng),
    "a third of the lines doubled": lambda text, rng: doubled(text, 1 / 3, rng),
    "page headers and line noise": scanned,
    "lines shuffled": shuffled,
}


def row_of(case: str, seed: int, steps: int | None = None, device: str = "cpu") -> dict:
    text, preset = load_corpus(), PRESETS["pocket"]
    train_text, val_text = split(text)
    spoilt = CASES[case](train_text, random.Random(seed))
    tokenizer = CharTokenizer.train(text)
    train_ids, val_ids = (torch.tensor(tokenizer.encode(t)) for t in (spoilt, val_text))
    config = replace(preset.train, max_steps=steps or preset.train.max_steps, seed=seed)
    torch.manual_seed(seed)
    run = new_run(GPT(preset.model), train_ids, val_ids, config, pick_compute(device, "float32"))
    train(run)
    return {
        "case": case,
        "seed": seed,
        "steps": run.step,
        "tokens": run.tokens,
        "train_characters": len(spoilt),
        "whole_val_loss": evaluate(run.model, run.val_ids),
        "sample": generate(run.model, tokenizer, "\n", 300, seed=1),
    }


def options(parser) -> None:
    add_seeds(parser)
    parser.add_argument("--steps", type=int, default=PRESETS["pocket"].train.max_steps)


def run(args) -> None:
    rows = []
    for seed in args.seeds:
        for case in CASES:
            rows.append(row_of(case, seed, args.steps, args.device))
            print(f"{case}, seed {seed}: {rows[-1]['whole_val_loss']:.3f}", flush=True)
            write_record(args.out / "handling.json", said(args, "steps"), rows)  # so far
