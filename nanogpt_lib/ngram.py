"""The ladder: the losses that counting alone achieves. They show what a loss means.

An n-gram model predicts the next token from the `k` tokens before it: it counts what followed
them in the training text. Its loss is a landmark: a network at 2.48 nats has learnt about as
much as a table of which letter follows which (k = 1).
Source: Jurafsky & Martin, "Speech and Language Processing", 3rd ed. draft, chapter 3.
"""

import math

import torch

from nanogpt_lib.checks import check_counting, check_ngram

# Lidstone's add-alpha smoothing: what was never seen still gets a little probability. With 0.03,
# four characters of context do best on Tiny Shakespeare (1.750; 1.752 at 0.04, 1.770 at 0.01).
# For every step of the ladder, 0.03 gives a loss within 0.01 of that step's best alpha.
ALPHA = 0.03


def keys(ids, k: int, vocab_size: int):
    """Every run of k >= 1 tokens as one number: int64 (N,) -> int64 (N - k + 1,)."""
    numbers = torch.zeros_like(ids[k - 1 :])
    for i in range(k):  # as you read a number from left to right: times the base, plus the digit
        numbers = numbers * vocab_size + ids[i : len(ids) - k + 1 + i]
    return numbers


def counts_of(seen, wanted):
    """How often each of `wanted` occurs in `seen`: int64 (N,) and (M,) -> float64 (M,)."""
    values, counts = torch.unique(seen, return_counts=True)
    place = torch.searchsorted(values, wanted).clamp(max=len(values) - 1)
    return torch.where(values[place] == wanted, counts[place], 0).double()


def fits(k: int, vocab_size: int) -> bool:
    """Whether every run of k + 1 tokens gets its own number below 2**63."""
    return vocab_size ** (k + 1) <= 2**63


def ngram_loss(train_ids, val_ids, vocab_size: int, k: int, alpha: float = ALPHA) -> float:
    """Mean loss on `val_ids`, in nats a token, of the table for `k` tokens of context.

    train_ids, val_ids: int64 (N,), on the CPU, both longer than k >= 0. alpha: above 0.
    """
    check_ngram(train_ids, val_ids, vocab_size, k, alpha)
    if not fits(k, vocab_size):
        raise ValueError(
            f"{k} tokens of context are too many: {k + 1} out of {vocab_size} symbols no longer "
            "fit into a number of 64 bits"
        )
    grams = counts_of(keys(train_ids, k + 1, vocab_size), keys(val_ids, k + 1, vocab_size))
    if k == 0:
        contexts = len(train_ids)
    else:  # no token follows the last one
        before_train, before_val = train_ids[:-1], val_ids[:-1]
        contexts = counts_of(keys(before_train, k, vocab_size), keys(before_val, k, vocab_size))
    probability = (grams + alpha) / (contexts + alpha * vocab_size)  # (N - k,)
    return -probability.log().mean().item()


def ladder(train_ids, val_ids, vocab_size: int, longest: int = 5, unit="character") -> list[dict]:
    """The baselines, from knowing nothing to `longest` tokens of context.

    Returns rows {"k", "name", "loss"}, losses in nats a token on `val_ids`. k is -1 for the
    uniform guess and 0 for plain frequencies. unit: what the names call a token. The ladder
    ends early if a text is too short or the runs no longer fit into 64 bits.
    """
    check_counting(train_ids, val_ids, vocab_size, longest)
    rows = [{"k": -1, "name": "uniform guess", "loss": math.log(vocab_size)}]
    for k in range(longest + 1):
        if k >= min(len(train_ids), len(val_ids)) or not fits(k, vocab_size):
            break
        name = f"{unit} frequencies" if k == 0 else f"{k} {unit}{'s' * (k > 1)} of context"
        loss = ngram_loss(train_ids, val_ids, vocab_size, k)
        rows.append({"k": k, "name": name, "loss": loss})
    return rows
