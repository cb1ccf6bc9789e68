"""Reinforcement learning with a reward that can be checked: a small GRPO.

The model writes several answers to each problem, and each answer gets a reward. If an answer did
better than the other answers to the same problem, all its tokens become likelier. If it did worse,
they become less likely. This needs no worked examples, only a way to recognise a good answer.

`python -m experiments rl` lets models practise for two rewards, with several seeds, and records
the results.

Sources: Williams 1992, "Simple statistical gradient-following algorithms for connectionist
reinforcement learning" (REINFORCE); Shao et al. 2024, arXiv:2402.03300 (GRPO, section 4.1).
Left out of GRPO: the clipping, since every batch is used for one step only and the ratio of new to
old probabilities is 1; the pull towards the old model (KL); and its mean over each answer before
the mean over answers. Here every token counts the same, so long answers count for more, as in DAPO
(Yu et al. 2025, arXiv:2503.14476, section 3.3). GRPO's own mean makes each token of a long wrong
answer count less, which lets wrong answers grow (Liu et al. 2025, arXiv:2503.20783).
"""

import copy
import math
import random
import warnings
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


@dataclass
class Practised:
    """What one step of practice was made of. The reward alone does not show a collapse."""

    step: int
    reward: float  # the mean over all answers
    length: float  # tokens in an answer, the mean
    ended: float  # share of the answers that came to their END
    entropy: float  # of the next token, nats, the mean over the answers: 0 means nothing is tried
    same: int  # groups whose answers all got the same reward: they teach nothing


def practise(model: GPT, reward, config: RLConfig, watch=None, note=None) -> list[float]:
    """Improves a model in place with a reward; returns the mean reward of every step.

    reward: a function (answer, a, b) -> a number, True or False. watch: called as
    watch(step, model) after every step. note: called as note(Practised(...)) after every step. It
    never uses the problems kept for testing. A practice that collapses ends with the best model so
    far, and a warning says so; see `Keeper`.
    Raises ValueError for a reward that is no finite number, before it changes any weight.
    """
    rng = random.Random(config.seed)
    training = TrainConfig(learning_rate=config.learning_rate, weight_decay=0.0)
    optimizer = make_optimizer(model, training)
    history, keeper, taught = [], Keeper(), 0
    for step in range(1, config.steps + 1):
        asked = [arithmetic.problem(rng, config.filled) for _ in range(config.problems)]
        asked = [p for p in asked for _ in range(config.group)]  # P * G of them, in groups
        written = tries(model, asked, config.temperature, rng.randrange(2**40))
        rewards = rewards_of(reward, written, asked)  # (P * G,)
        keeper.see(rewards.mean().item(), step, model)
        groups = rewards.view(-1, config.group)  # (P, G)
        device = model.lm_head.weight.device
        advantage = advantages(groups).flatten().to(device)  # (P * G,)
        x, y = (part.to(device) for part in batch_of(written, asked))  # (P * G, T) each
        logits, _ = model(x)  # (P * G, T, V)
        policy_loss(logits, y, advantage).backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        history.append(rewards.mean().item())
        same = int((groups == groups[:, :1]).all(dim=1).sum())
        taught += config.problems - same
        if note:
            note(Practised(step, history[-1], *shape_of(written, logits, y), same))
        if watch:
            watch(step, model)
    if not taught:
        warnings.warn(
            f"nothing was learnt: in each of the {config.steps * config.problems} groups all "
            "answers got the same reward. Practice needs problems that are sometimes solved: give "
            "easier ones, more answers a group, or a reward that tells good from better",
            stacklevel=2,
        )
    keeper.end(model)
    return history


def batch_of(written: list[str], asked) -> tuple[torch.Tensor, torch.Tensor]:
    """Problems and the answers to them as x and y, int64 (N, T) each; see `pair_batch`."""
    pairs = [(arithmetic.prompt_of(*p), w) for w, p in zip(written, asked, strict=True)]
    return pair_batch(arithmetic.TOKENIZER, pairs, arithmetic.SIZE.block_size)


def rewards_of(reward, written: list[str], asked) -> torch.Tensor:
    """The reward of each answer as float (N,). Raises ValueError if one is no finite number."""
    found = []
    for answer, problem in zip(written, asked, strict=True):
        given = reward(answer, *problem)
        try:
            value = math.nan if isinstance(given, str) else float(given)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(
                f"the reward function gave {given!r} for the answer {answer!r}; a finite number, "
                "True or False is needed. No weight was changed by it"
            )
        found.append(value)
    return torch.tensor(found)


@torch.no_grad()
def shape_of(written: list[str], logits, targets) -> tuple[float, float, float]:
    """The answers' mean length, the share that ended, and the mean entropy of their tokens."""
    chances = logits[targets != IGNORED].softmax(-1)  # (tokens of all answers, V)
    entropy = torch.special.entr(chances).sum(-1).mean().item()
    n = len(written)
    return sum(map(len, written)) / n, sum(END in w for w in written) / n, entropy


class Keeper:
    """Keeps the best weights of a practice, by the mean reward of WINDOW steps in a row.

    A practice has collapsed if its last WINDOW steps got a reward that is lower than the best by
    more than half of what it had gained, and by more than a third of the range of its rewards.
    """

    WINDOW = 4  # the reward of one step is that of a hundred answers, and jumps

    def __init__(self):
        self.rewards: list[float] = []
        self.best, self.step, self.weights = -math.inf, 0, {}

    def latest(self) -> float:
        last = self.rewards[-self.WINDOW :]  # fewer at the beginning: step 1 is the untouched model
        return sum(last) / len(last)

    def see(self, reward: float, step: int, model: GPT) -> None:
        """Takes note of the reward that a model got, before it changes."""
        self.rewards.append(reward)
        if self.latest() > self.best:
            self.best, self.step = self.latest(), step
            self.weights = copy.deepcopy(model.state_dict())

    def end(self, model: GPT) -> None:
        """Puts the best weights back if the practice has collapsed, and says so."""
        if len(self.rewards) < 2 * self.WINDOW:
            return
        gained = self.best - sum(self.rewards[: self.WINDOW]) / self.WINDOW
        lost = self.best - self.latest()
        if lost > max(gained / 2, (max(self.rewards) - min(self.rewards)) / 3, 1e-6):
            model.load_state_dict(self.weights)
            warnings.warn(
                f"the practice collapsed: the mean reward fell from {self.best:.2f} at step "
                f"{self.step} to {self.latest():.2f} at the end. The model is the one of before "
                f"step {self.step} again. Try a lower learning rate, or fewer steps",
                stacklevel=3,
            )


def tries(model: GPT, asked, temperature: float, seed: int) -> list[str]:
    """One answer to each problem, drawn from the model's own probabilities."""
    return arithmetic.answers(
        model, asked, greedy=False, temperature=temperature, top_k=None, seed=seed
    )


# The experiment of notebook 08.

TUNING_STEPS = 60


def two_ways(seed: int = 1, rows: int = 36, usual: str = "scratchpad"):
    """A `draw` for `finetune.tune`: two of three problems are answered in the usual style.

    usual: "direct" or "scratchpad"; every third problem is answered in the other one. So the model
    knows both ways and must choose, like a model that has read a lot.
    """
    rng = random.Random(seed)
    (other,) = arithmetic.STYLES.keys() - {usual}

    def draw():
        asked = [arithmetic.problem(rng) for _ in range(rows)]
        styles = [arithmetic.STYLES[name] for name in (usual, usual, other)] * rows
        pairs = [
            (arithmetic.prompt_of(*p), style(*p)) for p, style in zip(asked, styles, strict=False)
        ]
        return pair_batch(arithmetic.TOKENIZER, pairs, arithmetic.SIZE.block_size)

    return draw


def undecided(
    adder: GPT, seed: int = 1, steps: int = TUNING_STEPS, usual: str = "scratchpad"
) -> GPT:
    """A copy of a model that adds in steps, tuned on both ways: the start of practice."""
    model = copy.deepcopy(adder)
    config = TrainConfig(steps, learning_rate=5e-4, warmup_steps=10)
    draw, device = two_ways(seed, usual=usual), model.lm_head.weight.device
    tune(model, lambda: tuple(part.to(device) for part in draw()), config)
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
