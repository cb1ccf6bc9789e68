"""Attention's arithmetic, by the way that is fastest where it runs."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_PRODUCTS = 512  # tokens of context up to which the whole table of scores is made


def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """softmax(q k^T / sqrt(hs)) v: each (B, nh, T, hs) -> (B, nh, T, hs).

    causal: each token sees itself and those before it. A single token with the keys of its past
    needs no mask.

    PyTorch's fused kernel never makes the table of scores. In bfloat16 on a processor it takes
    twice as long as the two plain products (docs/PERFORMANCE.md), so short contexts take these.
    """
    B, nh, T, hs = q.shape
    if not causal or q.device.type != "cpu" or q.dtype != torch.bfloat16 or T > MOST_PRODUCTS:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    future = torch.full((T, T), -math.inf, dtype=q.dtype).triu(1)  # is added to the scores
    q, k, v = (t.reshape(B * nh, T, hs) for t in (q, k, v))
    with torch.autocast("cpu", enabled=False):  # it would make the table in float32
        scores = torch.baddbmm(future, q, k.mT, alpha=1 / math.sqrt(hs))  # (B nh, T, T)
        y = scores.softmax(dim=-1) @ v
    return y.view(B, nh, T, hs)
