"""From the plain GPT to the fast one, one change at a time: what each change gains in equal time.

Each rung is the recipe of the rung below it with one change. All rungs get the same processor time
on one core, and a schedule that ends with it. The curves are measured on a piece that is cut off
the end of the training text. The validation text is used only once, at the end.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nanogpt_lib.beyond.speed.recipes import FOURS, NANOGPT, PAIRS, Recipe, fit
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.modern.model import ModernGPT
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate

FOLDER = "speedrun"
POINTS = 6  # in a curve
PIECE = 8_000  # characters that a point is measured on


@dataclass(frozen=True)
class Rung:
    """A recipe, and in a few words how it differs from the rung below."""

    name: str
    change: str
    recipe: Recipe


def with_model(recipe: Recipe, **switches) -> Recipe:
    """The recipe with some switches of its model changed."""
    return replace(recipe, model=replace(recipe.model, **switches))


def rungs() -> list[Rung]:
    """The ladder, from the bottom up."""
    ladder = [Rung("nanoGPT's", "four layers, width 128, Adam, cosine", NANOGPT)]

    def climb(name, change, recipe):
        ladder.append(Rung(name, change, recipe))
        return recipe

    r = replace(NANOGPT, adam_lr=4e-3, batch_size=8, warmup=10, betas=(0.8, 0.95))
    r = climb("rate and batch", "rate 4e-3 for 1e-3, 8 windows for 12, 10 steps of warm-up", r)
    r = with_model(r, n_layer=1, n_head=2, n_embd=64)
    r = climb("smaller", "one layer, width 64, and the rate 1e-2", replace(r, adam_lr=1e-2))
    r = climb("RMSNorm", "norms that only scale", with_model(r, rmsnorm=True))
    r = climb("RoPE", "positions by turning queries and keys", with_model(r, rope=True))
    r = climb("QK-norm", "queries and keys of one length", with_model(r, qk_norm=True))
    r = climb("ReLU squared", "in the place of GELU", with_model(r, relu2=True))
    r = climb("zero start", "what writes to the stream begins at 0", with_model(r, zero_init=True))
    r = replace(r, muon_lr=PAIRS.muon_lr, adam_lr=PAIRS.adam_lr)
    r = climb("Muon", "for the matrices; Adam, at 2e-2, for the rest", r)
    r = replace(r, linear=True, end=0.0)
    r = climb("straight to 0", "the rate falls in a line, and to nothing", r)
    r = climb("pairs", "a table for the last two characters", with_model(r, grams=(66 * 66,)))
    narrow = {"n_embd": FOURS.model.n_embd, "grams": FOURS.model.grams}
    climb("fours", "and for three and four; width 48 makes room", with_model(r, **narrow))
    return ladder


def seconds_a_step(recipe: Recipe, train_ids, seconds: float = 2.0) -> float:
    """Processor seconds that a step takes, measured over about `seconds` processor seconds."""

    def pace(steps: int) -> float:
        times = []
        fit(replace(recipe, steps=steps), train_ids, lambda *_: times.append(time.process_time()))
        return (times[-1] - times[3]) / (steps - 3)  # the first three warm up

    return pace(max(10, round(seconds / pace(10))))


def measure(rung: Rung, text: str, seconds: float, seed: int) -> dict:
    """Trains a rung for about `seconds` processor seconds: its row of the record.

    A measurement before the training, which takes a quarter as long, sets the number of steps.
    Time for evaluations is not counted. `curve` holds pairs (seconds, loss on the piece), in nats
    a token.
    """
    tokenizer = CharTokenizer.train(text)
    train_ids, val_ids = split(torch.tensor(tokenizer.encode(text)))
    train_ids, piece = split(train_ids)  # a tenth of the training text, which is not trained on
    recipe = with_model(replace(rung.recipe, seed=seed), vocab_size=tokenizer.vocab_size)
    steps = max(POINTS, round(seconds / seconds_a_step(recipe, train_ids, seconds / 4)))
    stops = {round(steps * (i + 1) / POINTS) for i in range(POINTS)}
    curve, paused, began = [], 0.0, time.process_time()

    def watch(step: int, model: ModernGPT) -> None:
        nonlocal paused
        if step in stops:
            now = time.process_time()
            curve.append([round(now - began - paused, 2), round(evaluate(model, piece[:PIECE]), 4)])
            paused += time.process_time() - now

    model = fit(replace(recipe, steps=steps), train_ids, watch)
    return {
        "name": rung.name,
        "change": rung.change,
        "seed": seed,
        "parameters": model.num_params(),
        "steps": steps,
        "curve": curve,
        "val_loss": round(evaluate(model, val_ids), 4),
    }


def options(parser) -> None:
    parser.add_argument("--seconds", type=float, default=8.0, help="processor time of a run (8)")
    parser.add_argument("--seeds", type=int, default=2, help="number of runs of each rung (2)")
    parser.add_argument("--text", type=Path, help="another text than Tiny Shakespeare")


def run(args) -> None:
    text = load_corpus(args.text)
    about = {"seconds": args.seconds, "seeds": args.seeds, "threads": 1}
    rows = []
    for seed in range(1, args.seeds + 1):
        for rung in rungs():
            rows.append(measure(rung, text, args.seconds, seed))
            row = rows[-1]
            print(f"{rung.name}, seed {seed}: {row['steps']} steps, {row['val_loss']}", flush=True)
            write_record(args.out / "ladder.json", about, rows)  # nothing is lost
