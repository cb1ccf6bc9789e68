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
PIECE = 2**22  # tokens counted together: as numbers, a long text takes 8 bytes a token


def keys(ids, k: int, vocab_size: int):
    """Every run of k >= 1 tokens as one number: integers (N,) -> int64 (N - k + 1,)."""
    numbers = torch.zeros_like(ids[k - 1 :], dtype=torch.int64)
    for i in range(k):  # as you read a number from left to right: times the base, plus the digit
        numbers *= vocab_size
        numbers += ids[i : len(ids) - k + 1 + i]
    return numbers


def counts_of(wanted, ids, k: int, vocab_size: int):
    """How often each of these runs of k >= 1 tokens occurs in a text.

    wanted: int64 (M,), the runs' `keys`. ids: integers (N,). Returns float64 (M,).
    """
    runs, place = wanted.unique(return_inverse=True)  # in order
    counts = torch.zeros_like(runs)
    for start in range(0, len(ids) - k + 1, PIECE):
        seen = keys(ids[start : start + PIECE + k - 1], k, vocab_size)
        seen.numpy().sort()  # in place, and ten times as fast as PyTorch
        counts += torch.searchsorted(seen, runs, right=True) - torch.searchsorted(seen, runs)
    return counts[place].double()


def fits(k: int, vocab_size: int) -> bool:
    """Whether every run of k + 1 tokens gets its own number below 2**63."""
    return vocab_size ** (k + 1) <= 2**63


def ngram_loss(train_ids, val_ids, vocab_size: int, k: int, alpha: float = ALPHA) -> float:
    """Mean loss on `val_ids`, in nats a token, of the table for `k` tokens of context.

    train_ids, val_ids: integers (N,), on the CPU, both longer than k >= 0. alpha: above 0.
    """
    check_ngram(train_ids, val_ids, vocab_size, k, alpha, fits)
    grams = counts_of(keys(val_ids, k + 1, vocab_size), train_ids, k + 1, vocab_size)
    contexts = len(train_ids)
    if k:  # no token follows the last one
        contexts = counts_of(keys(val_ids[:-1], k, vocab_size), train_ids[:-1], k, vocab_size)
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
