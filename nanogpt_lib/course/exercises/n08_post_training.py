"""Exercises of notebook 08: post-training."""

import torch

from nanogpt_lib.beyond import arithmetic, finetune, lora, rl
from nanogpt_lib.course.exercises.base import exercise, question
from nanogpt_lib.course.exercises.comparing import as_tensor

PAIR = torch.tensor([5, 3, 8, 1, 7, 2, 9])  # (T + 1,)
OTHER = torch.tensor([4, 4, 6, 0, 2])
REWARDS = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])  # (2 problems, 4 answers)
EQUALS = torch.tensor([[1.0, 1.0, 1.0], [0.5, 0.0, 1.0]])  # the first group is of one mind


@exercise(
    question="The targets of a pair, with its prompt left out of the loss: (T + 1,) -> (T,).",
    minutes=6,
    level=2,
    inputs=[(PAIR, 3), (OTHER, 2)],
    hints=[
        "First the targets as in every training: each token's target is the token after it.",
        "y = ids[1:].clone(). The first answer token stands at ids[prompt_length]: where in y?",
        "Everything before that place is part of the prompt: y[: prompt_length - 1] = -100.",
    ],
    library=finetune.pair_batch,
    praise="the last token of the prompt predicts the first of the answer, so that one counts.",
)
def answer_targets(ids, prompt_length):
    y = ids[1:].clone()
    y[: prompt_length - 1] = -100
    return y


@answer_targets.mistake(
    "one target too many is left out: the last token of the prompt predicts the first token of "
    "the answer, and that is to be learnt. Leave out prompt_length - 1."
)
def mask_one_too_many(ids, prompt_length):
    y = ids[1:].clone()
    y[:prompt_length] = -100
    return y


@answer_targets.mistake(
    "the prompt is left out, but the targets are the tokens themselves: shift them by one, "
    "y = ids[1:]."
)
def mask_without_shift(ids, prompt_length):
    y = ids[:-1].clone()
    y[: prompt_length - 1] = -100
    return y


@answer_targets.mistake(
    "nothing is left out: the model would be trained to write requests, too. Set the targets "
    "inside the prompt to -100."
)
def mask_forgotten(ids, prompt_length):
    return ids[1:].clone()


@answer_targets.mistake(
    "it is the answer that is left out: y[: prompt_length - 1] is the prompt's part."
)
def mask_of_the_answer(ids, prompt_length):
    y = ids[1:].clone()
    y[prompt_length - 1 :] = -100
    return y


@answer_targets.mistake(
    "0 is a token like any other, and would be learnt. -100 is the value that F.cross_entropy "
    "leaves out."
)
def mask_with_zeros(ids, prompt_length):
    y = ids[1:].clone()
    y[: prompt_length - 1] = 0
    return y


fewer_problems = question(
    "fewer_problems",
    question="With equal tokens, how many times as many problems does the direct model see?",
    minutes=2,
    level=1,
    answer=3.5,
    hints=[
        "Tokens read are those of prompt and answer, less the last one, which is a target only.",
        "direct: 12 + 7 - 1; scratchpad: 12 + 52 - 1. Divide.",
    ],
    working="(12 + 52 - 1) / (12 + 7 - 1)",
    praise="so the scratchpad has to make up for seeing so many fewer problems.",
    mistakes={
        1: "that would be so if their answers were equally long.",
        52 / 7: "the prompts are read, too: both have 12 tokens of them.",
        18 / 63: "the other way round: the shorter the answers, the more of them.",
        64 / 19: "nearly: the last token of an answer is a target and is not read.",
    },
)


@exercise(
    question="The carry into each column when a and b are added, from the units up: a list.",
    minutes=6,
    level=2,
    inputs=[(48, 37, 3), (295, 708, 4), (15, 22, 2), (64, 46, 3)],
    hints=[
        "a // 10**i % 10 is the digit of column i; column 0 holds the units.",
        "Nothing is carried into the units. From column to column: carry = (x + y + carry) // 10.",
    ],
    library=arithmetic.scratchpad,
    praise="each depends on the one before: written out, every carry is one small step.",
)
def carries(a, b, columns):
    written, carry = [], 0
    for i in range(columns):
        written.append(carry)
        x, y = a // 10**i % 10, b // 10**i % 10
        carry = (x + y + carry) // 10
    return written


@carries.mistake(
    "those are the carries out of the columns: note the carry before the column is added."
)
def carries_out(a, b, columns):
    return [*carries.answer(a, b, columns + 1)][1:]


@carries.mistake("they begin with the largest column: the units come first.")
def carries_from_the_left(a, b, columns):
    return carries.answer(a, b, columns)[::-1]


@carries.mistake(
    "a carry that causes another is lost: 9 + 0 with a carry of 1 carries, too. Add the carry "
    "before you divide by 10."
)
def carries_not_carried_on(a, b, columns):
    written = [0]
    for i in range(columns - 1):
        written.append((a // 10**i % 10 + b // 10**i % 10) // 10)
    return written


@carries.mistake(
    "a column that sums to exactly 10 carries as well: (x + y + carry) // 10, or >= 10."
)
def carries_above_ten(a, b, columns):
    written, carry = [], 0
    for i in range(columns):
        written.append(carry)
        carry = int(a // 10**i % 10 + b // 10**i % 10 + carry > 10)
    return written


@carries.mistake("those are the digits of the sum: the carry is what is left for the next column.")
def carries_digits(a, b, columns):
    return [(a + b) // 10**i % 10 for i in range(columns)]


def nearly(given, right) -> bool:
    """Within 1e-3: where exactly the 1e-4 is added makes less of a difference than that."""
    seen = as_tensor(given)
    if seen is None or seen.is_complex():
        return False
    return torch.allclose(seen.double(), right.double(), atol=1e-3, equal_nan=True)


@exercise(
    question="How much better each answer did than its group: rewards (P, G) -> (P, G).",
    minutes=8,
    level=2,
    inputs=[(REWARDS,), (EQUALS,)],
    hints=[
        "A row is a group: the answers to one problem. Subtract its mean.",
        "Then divide by the row's standard deviation, rewards.std(dim=1, keepdim=True).",
        "Where all rewards of a row are equal that would be 0 / 0: add a little, 1e-4, below.",
    ],
    library=rl.advantages,
    same=nearly,
    used=True,
    praise="a hard problem's one right answer now counts for more than an easy problem's many.",
)
def group_advantages(rewards):
    above = rewards - rewards.mean(dim=1, keepdim=True)
    return above / (rewards.std(dim=1, keepdim=True) + 1e-4)


@group_advantages.mistake(
    "there are NaNs: in a group of equals the deviation is 0, and 0 / 0 is no number. Add 1e-4 to "
    "it."
)
def advantages_of_equals(rewards):
    above = rewards - rewards.mean(dim=1, keepdim=True)
    return above / rewards.std(dim=1, keepdim=True)


@group_advantages.mistake(
    "one mean is used for all problems, so an answer is praised for an easy problem. Each row "
    "has its own, dim=1."
)
def advantages_over_all(rewards):
    return (rewards - rewards.mean()) / (rewards.std() + 1e-4)


@group_advantages.mistake(
    "it compares the answers in a column, which belong to different problems: dim=1."
)
def advantages_wrong_axis(rewards):
    above = rewards - rewards.mean(dim=0, keepdim=True)
    return above / (rewards.std(dim=0, keepdim=True) + 1e-4)


@group_advantages.mistake("the mean is off, but the rows are not divided by their deviation.")
def advantages_without_scale(rewards):
    return rewards - rewards.mean(dim=1, keepdim=True)


@group_advantages.mistake(
    "no mean is subtracted: then every answer that got anything is praised, and none is blamed."
)
def advantages_without_baseline(rewards):
    return rewards / (rewards.std(dim=1, keepdim=True) + 1e-4)


@group_advantages.mistake(
    "the deviation divides by G here, torch's std(dim=1) by G - 1: leave out unbiased=False or "
    "correction=0. Both are in use; with few answers they differ."
)
def advantages_of_all(rewards):
    above = rewards - rewards.mean(dim=1, keepdim=True)
    return above / (rewards.std(dim=1, keepdim=True, correction=0) + 1e-4)


@group_advantages.mistake("that is divided by the variance: take its root, .std().")
def advantages_by_variance(rewards):
    above = rewards - rewards.mean(dim=1, keepdim=True)
    return above / (rewards.var(dim=1, keepdim=True) + 1e-4)


_dice = torch.Generator().manual_seed(1)
TOKENS = torch.randn(3, 4, generator=_dice)  # (T, in)
W = torch.randn(2, 4, generator=_dice)  # (out, in)
THIN = torch.randn(2, 4, generator=_dice), torch.randn(2, 2, generator=_dice)  # rank 2
ONE = torch.randn(1, 4, generator=_dice), torch.randn(2, 1, generator=_dice)  # rank 1


@exercise(
    question="A layer with LoRA: x (T, in), W (out, in), A (r, in), B (out, r) -> (T, out).",
    minutes=8,
    level=2,
    inputs=[(TOKENS, W, *THIN, 2.0), (TOKENS, W, *ONE, 2.0), (TOKENS[:1], W, *THIN, 16.0)],
    hints=[
        "The old layer is x @ W.T, (T, out). It stays as it is.",
        "The change goes through the narrow place: x @ A.T is (T, r), then @ B.T, (T, out).",
        "It is scaled by alpha / r, with r = A.shape[0], so that the rate need not change with r.",
    ],
    library=lora.LoRA,
    praise="B begins as zeros, so at first nothing changes; then only A and B learn.",
)
def lora_layer(x, W, A, B, alpha):
    return x @ W.T + alpha / A.shape[0] * (x @ A.T @ B.T)


@lora_layer.mistake("the change is not scaled: multiply it by alpha / r, r = A.shape[0].")
def lora_without_scale(x, W, A, B, alpha):
    return x @ W.T + x @ A.T @ B.T


@lora_layer.mistake(
    "it is scaled by alpha alone: divide by r = A.shape[0], or a higher rank would mean longer "
    "steps."
)
def lora_scaled_by_alpha(x, W, A, B, alpha):
    return x @ W.T + alpha * (x @ A.T @ B.T)


@lora_layer.mistake(
    "the old layer is scaled, too: alpha / r belongs to the change alone, or the model would "
    "change before it has learnt."
)
def lora_all_scaled(x, W, A, B, alpha):
    return alpha / A.shape[0] * (x @ W.T + x @ A.T @ B.T)


@lora_layer.mistake("the old layer is missing: LoRA adds to what the layer did before, x @ W.T.")
def lora_alone(x, W, A, B, alpha):
    return alpha / A.shape[0] * (x @ A.T @ B.T)


@lora_layer.mistake("that is the layer without its change: add alpha / r * (x @ A.T @ B.T).")
def lora_forgotten(x, W, A, B, alpha):
    return x @ W.T


@lora_layer.mistake("it is divided by the width of the layer: r is the rank, A.shape[0].")
def lora_divided_by_width(x, W, A, B, alpha):
    return x @ W.T + alpha / A.shape[1] * (x @ A.T @ B.T)
