"""From the plain GPT to the fast one, one change at a time: what each change gains in equal time.

Each rung is the recipe of the rung below it with one change. All rungs get the same processor time
on one core, and a schedule that ends with it. They train on nine tenths of the text, as the race
does. The curves are measured on the start of the validation text and choose nothing; the loss at
the end is that of all of it.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nanogpt_lib.beyond.speed.recipes import FOURS, NANOGPT, Recipe, fit
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.modern.model import ModernGPT
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate

FOLDER = "speedrun"
POINTS = 6  # in a curve
PIECE = 8_000  # characters that a point is measured on
PAIR = FOURS.model.grams[:1]


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

    r = climb("batch", "8 windows for 12", replace(NANOGPT, batch_size=8))
    r = climb("warm-up", "10 steps for 100", replace(r, warmup=10))
    r = climb("betas", "Adam's 0.8 and 0.95 for 0.9 and 0.99", replace(r, betas=FOURS.betas))
    r = climb("rate", "4e-3 for 1e-3", replace(r, adam_lr=4e-3))
    r = climb("one layer", "for four", with_model(r, n_layer=1))
    r = climb("narrower", "width 64 for 128", with_model(r, n_embd=64))
    r = climb("two heads", "for four", with_model(r, n_head=2))
    r = climb("higher rate", "1e-2 for 4e-3", replace(r, adam_lr=1e-2))
    r = climb("RMSNorm", "norms that only scale", with_model(r, rmsnorm=True))
    r = climb("RoPE", "positions by turning queries and keys", with_model(r, rope=True))
    r = climb("QK-norm", "queries and keys of one length", with_model(r, qk_norm=True))
    r = climb("ReLU squared", "in the place of GELU", with_model(r, relu2=True))
    r = climb(
        "zero start",
        "what writes to the stream begins at 0, the last matrix too, and is untied",
        with_model(r, zero_init=True),
    )
    r = climb("rate, again", "2e-2 for 1e-2", replace(r, adam_lr=FOURS.adam_lr))
    r = climb("Muon", "for the matrices of the block", replace(r, muon_lr=FOURS.muon_lr))
    r = climb("straight", "the rate falls in a line", replace(r, linear=True))
    r = climb("to nothing", "and not to a tenth", replace(r, end=0.0))
    r = climb("pairs", "a table for the last two characters", with_model(r, grams=PAIR))
    r = climb("fours", "two more, for three and four", with_model(r, grams=FOURS.model.grams))
    r = climb("width 48", "for 64", with_model(r, n_embd=FOURS.model.n_embd))
    r = climb("batch, again", "16 windows for 8", replace(r, batch_size=FOURS.batch_size))
    climb("warm-up, again", "5 steps for 10", replace(r, warmup=FOURS.warmup))
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
    Time for evaluations is not counted. `curve` holds pairs (seconds, loss on PIECE), in nats
    a token.
    """
    tokenizer = CharTokenizer.train(text)
    train_ids, val_ids = split(torch.tensor(tokenizer.encode(text)))
    recipe = with_model(replace(rung.recipe, seed=seed), vocab_size=tokenizer.vocab_size)
    steps = max(POINTS, round(seconds / seconds_a_step(recipe, train_ids, seconds / 4)))
    stops = {round(steps * (i + 1) / POINTS) for i in range(POINTS)}
    curve, paused, began = [], 0.0, time.process_time()

    def watch(step: int, model: ModernGPT) -> None:
        nonlocal paused
        if step in stops:
            now = time.process_time()
            curve.append(
                [round(now - began - paused, 2), round(evaluate(model, val_ids[:PIECE]), 4)]
            )
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
    parser.add_argument("--seeds", type=int, default=3, help="number of runs of each rung (3)")
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
