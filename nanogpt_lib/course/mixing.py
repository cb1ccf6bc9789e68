"""Better than the best table: all of them together.

A long context says more, a short one was seen more often. Interpolation need not choose: it asks
the longest table first, and the less this has seen, the more it leaves to the next shorter one.
Source: Witten & Bell 1991, "The Zero-Frequency Problem"; Jurafsky & Martin, "Speech and Language
Processing", 3rd ed. draft, chapter 3.
"""

import torch

from nanogpt_lib.ngram import counts_of, fits, keys


def mixed_loss(train_ids, val_ids, vocab_size: int, k: int) -> float:
    """Mean loss on `val_ids`, in nats a token, of all tables up to `k` tokens of context, mixed.

    train_ids, val_ids: int64 (N,), on the CPU, both longer than k >= 0.
    """
    if not (0 <= k < min(len(train_ids), len(val_ids)) and fits(k, vocab_size)):
        raise ValueError(f"k must be 0 or more, and {k} tokens of context must fit: choose fewer")
    p = torch.full((len(val_ids) + 1,), 1 / vocab_size, dtype=torch.double)  # an even guess
    for n in range(1, k + 2):  # tables of single tokens, of pairs, of threes
        seen, wanted = keys(train_ids, n, vocab_size), keys(val_ids, n, vocab_size)  # (N - n + 1,)
        before = wanted // vocab_size  # the same runs without their last token
        times = counts_of(seen // vocab_size, before)  # how often this context was seen
        kinds = counts_of(seen.unique() // vocab_size, before)  # how many tokens followed it
        longer = (counts_of(seen, wanted) + kinds * p[1:]) / (times + kinds).clamp(min=1)
        p = torch.where(times > 0, longer, p[1:])
    return -p.log().mean().item()
