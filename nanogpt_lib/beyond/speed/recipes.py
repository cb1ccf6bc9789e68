"""Recipes of the speedrun. Each has a model, its optimisers and its schedule.

How fast can a small GPT match what nanoGPT reaches in three minutes? docs/LEADERBOARD.md holds the
results and the rules. A recipe sees only the training text: `fit` gets nothing else.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.modern.model import ModernConfig, ModernGPT
from nanogpt_lib.modern.optimisers import Adam, Muon

GOAL = 1.898  # the loss of nanoGPT's CPU preset on the whole validation split, context 64
MOST_PARAMS = 804_096  # the number of its parameters


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained: an entry of the leaderboard."""

    about: str  # in a few words
    model: ModernConfig
    steps: int
    batch_size: int = 8  # windows a step
    adam_lr: float = 1e-2
    muon_lr: float | None = None  # for the matrices of the blocks; None leaves them to Adam
    betas: tuple[float, float] = (0.8, 0.95)  # Adam's
    warmup: int = 5  # steps
    linear: bool = False  # the rate falls in a straight line instead of half a cosine
    end: float = 0.0  # the share of the rate that is left at the last step
    seed: int = 1


NANOGPT = Recipe(
    "nanoGPT's preset for CPUs: the work that everything is compared with",
    ModernConfig(),
    steps=2000,
    batch_size=12,
    adam_lr=1e-3,
    betas=(0.9, 0.99),
    warmup=100,
    end=0.1,
)
SMALL = ModernConfig(n_layer=1, n_head=2, n_embd=64)
MODERN = replace(SMALL, rope=True, rmsnorm=True, qk_norm=True, relu2=True, zero_init=True)
PAIRS = Recipe(
    "one modern layer that reads two characters at a time, Muon",
    replace(MODERN, grams=(66 * 66,)),
    steps=260,
    batch_size=16,
    adam_lr=2e-2,
    muon_lr=4e-2,
    linear=True,
)
FOURS = replace(
    PAIRS,
    about="the same a little narrower, reading three and four characters at a time as well",
    model=replace(MODERN, n_embd=48, grams=(66 * 66, 5003, 5003)),
    steps=100,  # chosen so that seeds 1, 2 and 3 all reach the goal
)
BLIND = replace(
    FOURS,
    about="no attention at all: it sees its last four characters, and nothing before them",
    model=replace(FOURS.model, n_layer=0),
    steps=120,
    muon_lr=None,
    adam_lr=3e-2,
)
LOWEST = replace(
    PAIRS,
    about="not the soonest, the lowest: nanoGPT's size and tokens, modern throughout, no tables",
    model=replace(MODERN, n_layer=4, n_head=4, n_embd=128),
    steps=1500,
    adam_lr=1.5e-2,
    muon_lr=3e-2,
)
LAPTOP = replace(
    LOWEST,
    about="the same at the size of the preset `laptop`: too large for the leaderboard",
    model=replace(MODERN, block_size=128, n_layer=6, n_head=6, n_embd=192),
    steps=1000,
    batch_size=32,
    adam_lr=1e-2,
    muon_lr=2e-2,
)
RECIPES = {
    "nanogpt": NANOGPT,
    "pairs": PAIRS,
    "fours": FOURS,
    "blind": BLIND,
    "lowest": LOWEST,
    "laptop": LAPTOP,
}
TOP = "fours"  # the fastest that is a GPT; `blind` has its own table


def height(step: int, recipe: Recipe) -> float:
    """The share of the learning rate at a step: a short climb, then down to `recipe.end`."""
    done = step / recipe.steps
    fall = 1 - done if recipe.linear else (1 + math.cos(math.pi * done)) / 2
    return min(1, (step + 1) / recipe.warmup) * (recipe.end + (1 - recipe.end) * fall)


def optimisers(model: ModernGPT, recipe: Recipe) -> list[tuple]:
    """Each with its learning rate: Muon for the blocks' matrices, Adam for everything else.

    Each row of an embedding belongs to one character, so there is nothing to make orthogonal.
    """
    if recipe.muon_lr is None:
        return [(Adam(model.parameters(), *recipe.betas), recipe.adam_lr)]
    matrices = [p for p in model.transformer.h.parameters() if p.dim() == 2]
    taken = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in taken]
    return [(Muon(matrices), recipe.muon_lr), (Adam(rest, *recipe.betas), recipe.adam_lr)]


def fit(
    recipe: Recipe,
    train_ids,
    watch: Callable[[int, ModernGPT], None] | None = None,
    build: Callable[[ModernConfig], ModernGPT] = ModernGPT,
):
    """Trains a recipe's model from scratch on train_ids, int64 (N,); returns the ModernGPT.

    watch: called with the steps done and the model, before the first step and after each.
    build: makes the model; another one than ModernGPT takes a switch of it apart.
    """
    torch.manual_seed(recipe.seed)
    model = build(recipe.model)
    sampler = BatchSampler(train_ids, recipe.model.block_size, recipe.batch_size, recipe.seed)
    both = optimisers(model, recipe)
    for step in range(recipe.steps):
        if watch:
            watch(step, model)
        x, y = sampler()  # each (B, T)
        _, loss = model(x, y)
        loss.backward()
        for optimiser, lr in both:
            optimiser.step(lr * height(step, recipe))
        model.zero_grad(set_to_none=True)
    if watch:
        watch(recipe.steps, model)
    return model
