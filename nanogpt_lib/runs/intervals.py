"""How exact is a measured loss, and is model A better than model B?

A loss is a mean over one text. On another text by the same author it would come out a little
different. The **bootstrap** says how much: draw blocks of the text at random, with replacement,
and look at how far the means of such draws lie apart (Efron 1979). A block is long, because
neighbouring characters are not independent: a hard scene is hard for a page.

Two models are compared on the same blocks. What makes a block hard is hard for both, so the
difference is known far better than each of the losses. A recipe is more than one model: compare it
over seeds, with `over_seeds`.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogpt_lib.checks import check_evaluation, whole_number
from nanogpt_lib.sampling import dropout_off

# Student's t: 19 of 20 means of n seeds lie within this number of standard errors of the truth.
T_VALUES = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306}


@dataclass(frozen=True)
class Interval:
    """A mean, and the range that holds the true one in 19 of 20 such measurements."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"

    def verdict(self) -> str:
        """In words, for a difference of two costs, A minus B: which one costs more?"""
        if self.low > 0:
            return "A costs more"
        if self.high < 0:
            return "B costs more"
        return "not known: the interval holds 0"


@torch.no_grad()
def surprises(model, ids: Tensor, batch_size: int = 64) -> Tensor:
    """The loss of each token but the first, in nats: integers (N,) -> float (N - 1,).

    The text is cut into windows as in `evaluate`, so the mean is its loss.
    """
    check_evaluation(ids, None, batch_size, model.config)
    T = model.config.block_size
    x, y = ids[:-1], ids[1:]
    n = len(x) // T * T  # tokens in whole windows
    whole = [part[:n].view(-1, T).split(batch_size) for part in (x, y)]  # each (B, T) and a rest
    parts = [*zip(*whole, strict=True)]
    if n < len(x):
        parts.append((x[None, n:], y[None, n:]))
    found = []
    with dropout_off(model):
        for x, y in parts:
            logits, _ = model(x)  # (B, T, V)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), y.flatten(), reduction="none")
            found.append(loss.cpu())
    return torch.cat(found)


def bits_by_block(model, tokenizer, text: str, blocks: int = 100) -> Tensor:
    """Bits a character in each of `blocks` equal parts of a text: float32 (blocks,).

    Characters, not tokens: so models with other tokenizers can be compared. Lengths differ by one
    character at most. The first token has no prediction; its characters do not count.
    """
    blocks = whole_number(blocks, "blocks", 2)
    ids = tokenizer.encode(text, unknown="replace")
    pieces = tokenizer.decode_stream([[i] for i in ids])
    lengths = torch.tensor([len(piece) for _, piece in zip(ids, pieces, strict=False)])
    ends = lengths.cumsum(0)  # (N,): characters up to and with each token
    device = next(model.parameters()).device
    bits = surprises(model, torch.tensor(ids, device=device)).double() / math.log(2)  # (N - 1,)
    block = ((ends[1:] - 1) * blocks // ends[-1]).clamp(max=blocks - 1)  # where each token ends
    total = torch.zeros(blocks, dtype=torch.float64).index_add(0, block, bits)
    characters = torch.zeros(blocks, dtype=torch.float64)
    characters.index_add_(0, block, lengths[1:].double())
    if not characters.all():
        raise ValueError(f"the text is too short for {blocks} blocks: it has {ends[-1]} characters")
    return (total / characters).float()


def interval(values: Tensor, resamples: int = 2000, seed: int = 0) -> Interval:
    """The mean of values (n,) and its 95% interval, by the bootstrap.

    Raises ValueError for fewer than ten values: so few say too little about their own spread.
    """
    values = torch.as_tensor(values).double()
    if values.dim() != 1 or len(values) < 10:
        raise ValueError(f"a bootstrap needs a row of 10 values or more, not {tuple(values.shape)}")
    dice = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(values), (resamples, len(values)), generator=dice)
    means = values[chosen].mean(dim=1)  # (resamples,)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(values.mean().item(), low, high)


def over_seeds(values) -> Interval:
    """The mean over seeds and its 95% interval, by Student's t: from 3 to 9 values.

    For A against B, give the differences of runs with the same seed. Raises ValueError for another
    number of values: with two, the interval is so wide that it says nothing.
    """
    values = torch.as_tensor(values).double()
    n = len(values)
    if not 3 <= n <= max(T_VALUES):
        raise ValueError(f"from 3 to {max(T_VALUES)} seeds are needed, not {n}")
    mean, off = values.mean().item(), T_VALUES[n] * values.std().item() / math.sqrt(n)
    return Interval(mean, mean - off, mean + off)
