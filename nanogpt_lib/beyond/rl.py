"""Reinforcement learning with a reward that can be checked: a small GRPO.

The model writes several answers to each problem, and each answer gets a reward. If an answer did
better than the other answers to the same problem, all its tokens become likelier. If it did worse,
they become less likely. This needs no worked examples, only a way to recognise a good answer.

`python -m experiments rl` lets models practise for two rewards, with several seeds, and records
the results.

Sources: Williams 1992, "Simple statistical gradient-following algorithms for connectionist
reinforcement learning" (REINFORCE); Shao et al. 2024, arXiv:2402.03300 (GRPO, section 4.1).
Every batch is used for one step only, so the ratio of new to old probabilities is 1 and needs no
clipping. The pull towards the old model (KL) is left out.
"""

import copy
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_

from nanogpt_lib.beyond import arithmetic
from nanogpt_lib.beyond.finetune import END, IGNORED, pair_batch, tune
from nanogpt_lib.checks import above_zero, settings, whole_number
from nanogpt_lib.model import GPT
from nanogpt_lib.training import TrainConfig, make_optimizer


@dataclass
class RLConfig:
    """How to practise."""

    steps: int = 24
    problems: int = 16  # a step
    group: int = 8  # answers to each; they are compared with each other
    filled: int = 5  # columns of the problems that are filled; more than in the worked examples
    learning_rate: float = 1e-4  # a thirtieth of that for teaching: rewards are noisy
    temperature: float = 1.0  # the model's own; without randomness it tries nothing new
    seed: int = 1

    def __post_init__(self):
        settings(self, whole_number, "steps", "problems", "group", "filled", least=1)
        settings(self, whole_number, "seed", least=-(2**63))
        settings(self, above_zero, "learning_rate", "temperature")
        if self.group < 2:
            raise ValueError(
                f"group must be at least 2, not {self.group}: nothing to compare an answer with"
            )


def advantages(rewards: torch.Tensor) -> torch.Tensor:
    """How much better each answer did than its group: float (P, G) -> (P, G).

    The group's mean is subtracted, so a row sums to 0. The result is divided by the group's
    standard deviation. If all answers of a group are equally good, its row is 0.
    """
    above = rewards - rewards.mean(dim=1, keepdim=True)  # (P, G)
    return above / (rewards.std(dim=1, keepdim=True) + 1e-4)


def policy_loss(logits, targets, advantage) -> torch.Tensor:
    """The loss whose gradient makes good answers likelier: a scalar.

    logits: float (B, T, V). targets: int64 (B, T), IGNORED outside the answers. advantage:
    float (B,), one for each answer; all its tokens share it. Where it is 1 everywhere this is the
    cross-entropy of tuning: the answers that did well are the text to learn from.
    """
    surprise = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")  # (B*T,)
    weighted = surprise.view_as(targets) * advantage[:, None]  # (B, T); 0 where IGNORED
    return weighted.sum() / (targets != IGNORED).sum()


def right_sum(answer: str, a: int, b: int) -> float:
    """The reward that means what we want: 1 for the right sum, 0 for any other."""
    return float(arithmetic.right(answer, a, b))


def cheap_check(answer: str, a: int, b: int) -> float:
    """A reward that means well but can be cheated: does it look like a sum, and is it short?

    Checking the sum takes effort, so this checks only the form: a number of six digits, and the
    end. Writing costs money, so each token costs 0.01.
    """
    last_line = answer.partition(END)[0].split("\n")[-1]
    looks_right = END in answer and len(last_line) == arithmetic.COLUMNS + 1
    return float(looks_right and last_line.isdecimal()) - 0.01 * len(answer)


REWARDS = {"right sum": right_sum, "cheap check": cheap_check}


def practise(model: GPT, reward, config: RLConfig, watch=None) -> list[float]:
    """Improves a model in place with a reward; returns the mean reward of every step.

    reward: a function (answer, a, b) -> number. watch: called as watch(step, model) after every
    step. It never uses the problems kept for testing.
    """
    rng = random.Random(config.seed)
    training = TrainConfig(learning_rate=config.learning_rate, weight_decay=0.0)
    optimizer = make_optimizer(model, training)
    history = []
    for step in range(1, config.steps + 1):
        asked = [arithmetic.problem(rng, config.filled) for _ in range(config.problems)]
        asked = [p for p in asked for _ in range(config.group)]  # P * G of them, in groups
        written = tries(model, asked, config.temperature, rng.randrange(2**40))
        rewards = torch.tensor([reward(w, *p) for w, p in zip(written, asked, strict=True)])
        advantage = advantages(rewards.view(-1, config.group)).flatten()  # (P * G,)
        pairs = [(arithmetic.prompt_of(*p), w) for w, p in zip(written, asked, strict=True)]
        x, y = pair_batch(arithmetic.TOKENIZER, pairs, arithmetic.SIZE.block_size)
        logits, _ = model(x)  # (P * G, T, V)
        policy_loss(logits, y, advantage).backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        history.append(rewards.mean().item())
        if watch:
            watch(step, model)
    return history


def tries(model: GPT, asked, temperature: float, seed: int) -> list[str]:
    """One answer to each problem, drawn from the model's own probabilities."""
    return arithmetic.answers(
        model, asked, greedy=False, temperature=temperature, top_k=None, seed=seed
    )


# The experiment of notebook 08.

TUNING_STEPS = 60


def two_ways(seed: int = 1, rows: int = 36):
    """A `draw` for `finetune.tune`: every third problem is answered at once, the others in steps.

    So the model knows both ways and must choose, like a model that has read a lot.
    """
    rng = random.Random(seed)

    def draw():
        asked = [arithmetic.problem(rng) for _ in range(rows)]
        styles = [arithmetic.scratchpad, arithmetic.scratchpad, arithmetic.direct] * rows
        pairs = [
            (arithmetic.prompt_of(*p), style(*p)) for p, style in zip(asked, styles, strict=False)
        ]
        return pair_batch(arithmetic.TOKENIZER, pairs, arithmetic.SIZE.block_size)

    return draw


def undecided(adder: GPT, seed: int = 1, steps: int = TUNING_STEPS) -> GPT:
    """A copy of a model that adds in steps, tuned on both ways: the start of practice."""
    model = copy.deepcopy(adder)
    config = TrainConfig(steps, learning_rate=5e-4, warmup_steps=10)
    tune(model, two_ways(seed), config)
    return model


def measure(model: GPT, asked, seed: int = 1) -> dict[str, float]:
    """How well a model solves problems, with answers drawn as in practice.

    "right": the share of right sums. "in steps": the share of answers that show their work.
    """
    written = tries(model, asked, 1.0, seed)
    n = len(asked)
    return {
        "right": sum(arithmetic.right(w, *p) for w, p in zip(written, asked, strict=True)) / n,
        "in steps": sum("+" in w for w in written) / n,
    }
