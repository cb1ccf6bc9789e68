"""A recipe trained, measured and timed from the start of the process.

python -m nanogpt_lib.beyond.speed            # the fastest recipe
python -m nanogpt_lib.beyond.speed NAME       # another of RECIPES
"""

import argparse
import os
import time
from dataclasses import dataclass, replace

import psutil
import torch

from nanogpt_lib.beyond.speed.recipes import GOAL, MOST_PARAMS, RECIPES, TOP, Recipe, fit
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.modern.model import ModernGPT
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate


@torch.no_grad()
def uses_its_context(model: ModernGPT) -> bool:
    """Whether the first token of a full context changes the prediction after the last one.

    A model that looks back only a few characters is a table of n-grams in disguise.
    """
    V, T = model.config.vocab_size, model.config.block_size
    idx = (7 * torch.arange(T) % V).repeat(2, 1)  # (2, T), any text
    idx[1, 0] = (idx[1, 0] + 1) % V
    one, other = model(idx)[0][:, -1]  # (V,), (V,)
    return not torch.equal(one, other)


@dataclass
class Finish:
    """The result of a recipe."""

    model: ModernGPT
    tokenizer: CharTokenizer
    steps: int
    tokens: int  # trained on, counted again each time they are repeated
    val_loss: float  # nats a token, over the whole validation text, windows of block_size


def run(recipe: Recipe, text: str) -> Finish:
    """Trains a recipe on a text's first nine tenths and measures it on the last tenth."""
    tokenizer = CharTokenizer.train(text)
    train_ids, val_ids = split(torch.tensor(tokenizer.encode(text)))
    recipe = replace(recipe, model=replace(recipe.model, vocab_size=tokenizer.vocab_size))
    model = fit(recipe, train_ids)
    tokens = recipe.steps * recipe.batch_size * recipe.model.block_size
    return Finish(model, tokenizer, recipe.steps, tokens, evaluate(model, val_ids))


def main(argv=None) -> None:
    began = psutil.Process().create_time()  # Python's own start and PyTorch's import count
    parser = argparse.ArgumentParser(
        prog="python -m nanogpt_lib.beyond.speed",
        description="Trains a recipe and times it from the start of the process.",
    )
    parser.add_argument("recipe", nargs="?", default=TOP, choices=list(RECIPES))
    parser.add_argument("--seed", type=int, help="another seed than the recipe's")
    args = parser.parse_args(argv)
    recipe = RECIPES[args.recipe]
    if args.seed is not None:
        recipe = replace(recipe, seed=args.seed)
    # A model this small gains little from a second core, and is slower with more.
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    torch.set_flush_denormal(True)  # numbers below 1e-38 take a processor ten times as long
    text = load_corpus()
    ready = time.time() - began
    result = run(recipe, text)
    took = time.time() - began
    n_params = result.model.num_params()
    print(f"{args.recipe}: {recipe.about}")
    print(f"{n_params:,} parameters, {result.steps:,} steps, {result.tokens:,} tokens")
    print(f"validation loss {result.val_loss:.4f} on the whole validation text")
    print(f"{took:.1f} s since the process began, {ready:.1f} s of them before the training")
    if not uses_its_context(result.model):
        print("It does not use its whole context, so it is no GPT and has a table of its own.")
    if n_params > MOST_PARAMS:
        print(f"It cannot enter the leaderboard: {MOST_PARAMS:,} parameters are the most.")
    elif result.val_loss > GOAL:
        print(f"It did not reach the goal of {GOAL}.")
    else:
        print(f"It reached the goal of {GOAL}.")
