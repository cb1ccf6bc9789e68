"""Takes each change out of the fastest recipe, one at a time, and records what that costs.

All runs have the same steps, batches and seeds; they do not have the same time, so a row holds the
processor seconds of its training, too. They train on nine tenths of the text, as the race does, and
their loss is that of the whole validation text. `--seeds` and
`--cases` make a part; several such files are put together by `--join FILE ...`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from nanogpt_lib.beyond.speed.recipes import FOURS, Recipe, fit
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.modern.model import Block, ModernConfig, ModernGPT
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate

FOLDER = "speedrun"


@dataclass(frozen=True)
class Without:
    """The fastest recipe without one thing; `build` where a switch of the model has parts."""

    name: str  # what is taken out
    instead: str  # what stands in its place
    recipe: Recipe
    build: Callable[[ModernConfig], ModernGPT] = ModernGPT


@torch.no_grad()
def small_inside(config: ModernConfig) -> ModernGPT:
    """As ModernGPT with zero_init, but the blocks' first matrices begin as GPT-2's do."""
    model = ModernGPT(config)
    for block in model.transformer.h:
        assert isinstance(block, Block)  # a ModuleList does not tell what it holds
        for matrix in (block.attn.c_attn.weight, block.mlp.c_fc.weight):
            matrix.normal_(0, 0.02)
    return model


@torch.no_grad()
def written_at_once(config: ModernConfig) -> ModernGPT:
    """As ModernGPT with zero_init, but what writes to the stream begins as GPT-2's does."""
    model = ModernGPT(config)
    for block in model.transformer.h:
        assert isinstance(block, Block)
        for matrix in (block.attn.c_proj.weight, block.mlp.c_proj.weight):
            matrix.normal_(0, 0.02 / (2 * config.n_layer) ** 0.5)
    return model


@torch.no_grad()
def random_head(config: ModernConfig) -> ModernGPT:
    """As ModernGPT with zero_init, but the last matrix begins as GPT-2's does."""
    model = ModernGPT(config)
    model.lm_head.weight.normal_(0, 0.02)
    return model


def tied(config: ModernConfig) -> ModernGPT:
    """As ModernGPT with zero_init, but the last matrix is the table of embeddings, as in GPT-2."""
    model = ModernGPT(config)
    model.lm_head.weight = model.transformer.wte.weight
    return model


def no_first_norm(config: ModernConfig) -> ModernGPT:
    """As ModernGPT with zero_init, but without the norm between the embeddings and the blocks."""
    model = ModernGPT(config)
    model.config = replace(config, zero_init=False)  # the start is made; this is for `forward`
    return model


def model_without(**switches) -> Recipe:
    return replace(FOURS, model=replace(FOURS.model, **switches))


def cases() -> list[Without]:
    """The recipe itself, and the recipe without each of its changes."""
    pairs_only = FOURS.model.grams[:1]
    adam = "Adam for the matrices, at the rate"
    return [
        Without("nothing", "the recipe itself", FOURS),
        Without("RoPE", "a learnt vector for each place", model_without(rope=False)),
        Without("QK-norm", "queries and keys as they are", model_without(qk_norm=False)),
        Without("ReLU squared", "GELU", model_without(relu2=False)),
        Without("RMSNorm", "LayerNorm", model_without(rmsnorm=False)),
        Without("Muon, 1e-2", f"{adam} 1e-2", replace(FOURS, muon_lr=None, adam_lr=1e-2)),
        Without("Muon, 2e-2", f"{adam} 2e-2", replace(FOURS, muon_lr=None)),
        Without("Muon, 4e-2", f"{adam} 4e-2", replace(FOURS, muon_lr=None, adam_lr=4e-2)),
        Without("straight line", "half a cosine, to 0", replace(FOURS, linear=False)),
        Without("to nothing", "a line to a tenth of the rate", replace(FOURS, end=0.1)),
        Without(
            "schedule",
            "half a cosine, to a tenth of the rate",
            replace(FOURS, linear=False, end=0.1),
        ),
        Without("short warm-up", "50 steps of warm-up, not 5", replace(FOURS, warmup=50)),
        Without("zero start", "GPT-2's start, tied, no norm", model_without(zero_init=False)),
        Without("zero start, blocks", "GPT-2's start of what writes", FOURS, written_at_once),
        Without("zero start, head", "GPT-2's start of the last matrix", FOURS, random_head),
        Without("zero start, size", "GPT-2's start of the first matrices", FOURS, small_inside),
        Without("zero start, own head", "the last matrix tied to the embeddings", FOURS, tied),
        Without("zero start, norm", "no norm behind the embeddings", FOURS, no_first_norm),
        Without("tables", "symbols only", model_without(grams=())),
        Without("threes and fours", "the table of pairs alone", model_without(grams=pairs_only)),
        Without("attention", "no block: tables alone", model_without(n_layer=0, rope=False)),
    ]


def row_of(case: Without, seed: int, text: str, steps: int) -> dict:
    """Trains a case once: a row of the record."""
    tokenizer = CharTokenizer.train(text)
    train_ids, val_ids = split(torch.tensor(tokenizer.encode(text)))
    recipe = replace(case.recipe, seed=seed, steps=steps)
    recipe = replace(recipe, model=replace(recipe.model, vocab_size=tokenizer.vocab_size))
    if not recipe.model.n_layer:
        recipe = replace(recipe, muon_lr=None)  # Muon would have nothing to do
    began = time.process_time()
    model = fit(recipe, train_ids, build=case.build)
    seconds = time.process_time() - began
    return {
        "without": case.name,
        "instead": case.instead,
        "seed": seed,
        "steps": steps,
        "parameters": model.num_params(),
        "seconds": round(seconds, 3),
        "val_loss": round(evaluate(model, val_ids), 4),
    }


def options(parser) -> None:
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 9)), help="(1 to 8)")
    parser.add_argument("--cases", nargs="+", help="names of what is taken out (all)")
    parser.add_argument("--steps", type=int, default=FOURS.steps, help=f"({FOURS.steps})")
    parser.add_argument("--text", type=Path, help="another text than Tiny Shakespeare")
    parser.add_argument("--file", default="switches.json", help="the record's name")
    parser.add_argument("--join", type=Path, nargs="+", help="records to put together; no training")


def run(args) -> None:
    about = {"command": "python -m experiments switches", "steps": args.steps, "threads": 1}
    if args.join:
        return join(args.out / args.file, args.join)
    text, rows = load_corpus(args.text), []
    row_of(cases()[0], 1, text, 3)  # the first steps of a process are slow
    for seed in args.seeds:
        for case in cases():
            if args.cases and case.name not in args.cases:
                continue
            rows.append(row_of(case, seed, text, args.steps))
            row = rows[-1]
            print(
                f"seed {seed}, without {case.name}: {row['val_loss']}, {row['seconds']:.1f} s",
                flush=True,
            )
            write_record(args.out / args.file, about, rows)  # so far
    return None


def join(path: Path, files: list[Path]) -> None:
    """Puts the rows of several records into one, which says of the machine what the first says."""
    whole = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    rows = [row for one in whole for row in one["rows"]]
    write_record(path, whole[0]["about"], rows)
