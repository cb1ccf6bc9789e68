"""What often goes wrong in a block: attention, the MLP and the plus signs, each with a sentence.

Every slip is a part that works, done otherwise in one place. The checks of notebook 03's build
calculate what it would give, and look whether the learner's model has got just that.
"""

import math
from functools import partial

import torch
import torch.nn.functional as F

from nanogpt_lib.course.exercises.by_hand import merge_heads, mlp, norm, self_attention


def matrix(x, w, at, bias=True, turned=False):
    """A linear layer, with its bias forgotten or its matrix turned on its side."""
    weight = w[f"{at}.weight"]
    x = x @ (weight if turned else weight.T)
    return x + w.get(f"{at}.bias", 0) if bias else x


def cut(x, w, at, n_head, order=(0, 1, 2), how="", bias=True):
    """Queries, keys and values (B, nh, T, hs), from `c_attn`, in some order and way."""
    B, T, C = x.shape
    made = matrix(x, w, f"{at}.c_attn", bias)  # (B, T, 3C)
    if how == "a head at a time":
        three = made.view(B, T, n_head, 3, -1).permute(3, 0, 2, 1, 4)
    elif how == "straight":
        three = made.view(B, T, 3, C).permute(2, 0, 1, 3).reshape(3, B, n_head, T, -1)
    elif how == "interleaved":
        three = made.view(B, T, 3, -1, n_head).permute(2, 0, 4, 1, 3)
    else:
        three = made.view(B, T, 3, n_head, -1).permute(2, 0, 3, 1, 4)
    return [three[i] for i in order]


def weigh(scores, mask="first", dim=-1):
    """Scores (B, nh, T, T) to weights, with the mask in its place, later, or nowhere."""
    future = torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)
    if mask == "upside down":
        future = future.transpose(-2, -1)
    if mask == "itself":
        future = torch.ones_like(scores, dtype=torch.bool).triu()
    if mask == "zeros":
        return scores.masked_fill(future, 0.0).softmax(dim=dim)
    if mask == "later":
        return scores.softmax(dim=dim).masked_fill(future, 0.0)
    if mask:
        scores = scores.masked_fill(future, -math.inf)
    return scores.softmax(dim=dim)


def attention_like(
    x, w, at, n_head, scale="hs", mask="first", dim=-1, merge=merge_heads, last=matrix, **cutting
):
    """`self_attention` with something done otherwise."""
    q, k, v = cut(x, w, at, n_head, **cutting)
    hs = q.size(-1)
    by = {"hs": math.sqrt(hs), "C": math.sqrt(x.size(-1)), "d": hs, "": 1, "up": hs**-0.5}[scale]
    y = merge(weigh(q @ k.transpose(-2, -1) / by, mask, dim) @ v)
    return last(y, w, f"{at}.c_proj")


def merge_straight(y):
    B, n_head, T, hs = y.shape
    return y.reshape(B, T, n_head * hs)


def merge_interleaved(y):
    return y.permute(0, 2, 3, 1).flatten(2)


def nothing(x, w, at):
    return x


STRAIGHT = (
    "the heads are merged without a transpose: reshape alone mixes tokens and heads. First bring "
    "the tokens to the front again, y.transpose(1, 2), then (B, T, C)."
)
INTERLEAVED = (
    "the channels of the heads are interleaved. The heads stand side by side: all channels of head "
    "0, then all of head 1."
)
ATTENTION: dict[str, dict] = {
    "the mask is missing: tokens look at what comes after them.": {"mask": ""},
    "the scale is missing: divide the scores by the square root of hs.": {"scale": ""},
    "neither scale nor mask: divide the scores by the square root of hs, and mask the future.": {
        "scale": "",
        "mask": "",
    },
    "it scales by the square root of C. A head's vectors have hs = C / n_head numbers: take the "
    "square root of that.": {"scale": "C"},
    "it divides by hs, not by its square root.": {"scale": "d"},
    "it multiplies by the square root of hs where it should divide.": {"scale": "up"},
    "the mask comes after the softmax: the rows no longer sum to 1. Mask the scores.": {
        "mask": "later"
    },
    "the masked scores are 0, which is an ordinary score: only -math.inf gives no weight.": {
        "mask": "zeros"
    },
    "the mask is upside down: it hides the past and shows the future.": {"mask": "upside down"},
    "the mask covers the diagonal, too (NaN): a token may look at itself, triu(diagonal=1).": {
        "mask": "itself"
    },
    "the softmax goes over the wrong axis: the row of each token that looks sums to 1, dim=-1.": {
        "dim": -2
    },
    STRAIGHT: {"merge": merge_straight},
    INTERLEAVED: {"merge": merge_interleaved},
    "the heads are cut by a view straight to (B, n_head, T, hs), which cuts tokens apart. First "
    "(B, T, n_head, hs), then transpose(1, 2).": {"how": "straight"},
    "each head takes every n_head-th channel: cut the last axis as (n_head, hs), not the other way "
    "round.": {"how": "interleaved"},
    "c_attn holds all queries, then all keys, then all values; it was cut as if each head had its "
    "own three together. Split into three first, then into heads.": {"how": "a head at a time"},
    "`c_proj` is missing: at the end it mixes what the heads have found.": {"last": nothing},
    "the matrix of `c_proj` is turned on its side. It is square, so no error says so: "
    "x @ weight.T.": {"last": partial(matrix, turned=True)},
    "the bias of `c_attn` is not added.": {"bias": False},
    "the bias of `c_proj` is not added.": {"last": partial(matrix, bias=False)},
    "the biases are not added, neither of `c_attn` nor of `c_proj`.": {
        "bias": False,
        "last": partial(matrix, bias=False),
    },
}
for order in ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
    taken = ", ".join("qkv"[order.index(i)] for i in range(3))  # what each third is called
    ATTENTION[f"c_attn holds q, k, v in this order; here its thirds are taken as {taken}."] = {
        "order": order
    }


def mlp_like(x, w, at, bend=F.gelu, fc_bias=True, proj_bias=True, end=lambda x: x):
    """`mlp` with something done otherwise."""
    x = bend(matrix(x, w, f"{at}.c_fc", bias=fc_bias))
    return end(matrix(x, w, f"{at}.c_proj", bias=proj_bias))


MLP: dict[str, dict] = {
    "the bend is missing: two layers without one are a single layer. F.gelu goes between them.": {
        "bend": lambda x: x
    },
    "the bend is ReLU; this model was trained with GELU: F.gelu.": {"bend": F.relu},
    "the bend is GELU by its tanh formula, as in GPT-2, which is off by up to 0.0005. This model "
    "was trained with the exact one: F.gelu(x), without approximate.": {
        "bend": partial(F.gelu, approximate="tanh")
    },
    "the bend is SiLU; this model was trained with GELU: F.gelu.": {"bend": F.silu},
    "the bend is tanh; this model was trained with GELU: F.gelu.": {"bend": torch.tanh},
    "a bend follows `c_proj` as well: there is one alone, between the two layers.": {"end": F.gelu},
    "the bias of `c_fc` is not added.": {"fc_bias": False},
    "the bias of `c_proj` is not added.": {"proj_bias": False},
    "the biases are not added, neither of `c_fc` nor of `c_proj`.": {
        "fc_bias": False,
        "proj_bias": False,
    },
}


def joined(x, f, ln, w, n, n_layer):
    """What a part gives that is put together with the stream in another way: (result, sentence).

    f(x, i): the part of block i; ln: its norm, "ln_1" or "ln_2"; n: the block. A result that comes
    up on the way to others stands behind them.
    """

    def normed(x, i=n, ln=ln):
        return norm(x, w, f"transformer.h.{i}.{ln}")

    other = "ln_2" if ln == "ln_1" else "ln_1"
    yield (
        normed(x + f(x, n)),
        "the norm comes after the plus (post-norm). GPT-2 norms what a part "
        f"reads, not the stream: x + part({ln}(x)).",
    )
    yield (
        x + normed(f(x, n)),
        f"`{ln}` norms what the part gives. It should norm what the part reads: x + part({ln}(x)).",
    )
    yield x + f(normed(x, ln=other), n), f"the norms are swapped: it reads `{other}`, not `{ln}`."
    yield (
        normed(x) + f(normed(x), n),
        "it is added to the normed stream. Only what the part reads is normed, the stream itself "
        "is not.",
    )
    yield (
        x + f(F.layer_norm(x, x.shape[-1:]), n),
        f"`{ln}` has learnt a gain and a bias, which are not used.",
    )
    for i in range(n_layer):
        if i != n:
            wrong = f"it uses the weights of block {i}: each block has weights of its own."
            yield x + f(normed(x, i), i), wrong
            yield x + f(normed(x, i), n), f"the norm is block {i}'s; each block has its own."
    yield x + f(x, n), f"`{ln}` is missing: the part reads the stream as it is."
    yield (
        f(normed(x), n),
        "the residual is missing: what the part gives is added to the stream, x = x + ..., and "
        "does not take its place.",
    )


def in_attention(x, w, n, n_layer, n_head):
    """The streams after block n's attention that slips give, with a sentence for each."""
    at = f"transformer.h.{n}"
    normed = norm(x, w, f"{at}.ln_1")
    for words, change in ATTENTION.items():
        yield x + attention_like(normed, w, f"{at}.attn", n_head, **change), words
    after = x + mlp(norm(x, w, f"{at}.ln_2"), w, f"{at}.mlp")
    yield after, "it is not there: the MLP comes first, or attention is left out."

    def part(x, i):
        return self_attention(x, w, f"transformer.h.{i}.attn", n_head)

    yield from joined(x, part, "ln_1", w, n, n_layer)


def in_mlp(x, before, w, n, n_layer):
    """The streams after block n's MLP that slips give; before: the stream before its attention."""
    at = f"transformer.h.{n}"
    normed = norm(x, w, f"{at}.ln_2")
    for words, change in MLP.items():
        yield x + mlp_like(normed, w, f"{at}.mlp", **change), words

    def part(x, i):
        return mlp(x, w, f"transformer.h.{i}.mlp")

    yield (
        x + part(norm(before, w, f"{at}.ln_2"), n),
        "the MLP reads the stream as it was before attention. It should read what attention has "
        "added to.",
    )
    yield (
        before + part(normed, n),
        "what attention has added is lost: the MLP's result is added to the stream as it was "
        "before.",
    )
    yield from joined(x, part, "ln_2", w, n, n_layer)
