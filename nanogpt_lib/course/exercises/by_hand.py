"""A GPT written by hand from nothing but its weights: the solutions of notebook 03's build.

It takes nothing from the library's model, so it is another proof that both are right. The weights
`w` have GPT-2's names, and `at` says which part of the model is meant: "transformer.h.0.mlp". The
shapes: B texts, T tokens, C channels, nh heads of hs = C / nh channels, V symbols.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


def linear(x, w, at):
    return x @ w[f"{at}.weight"].T + w.get(f"{at}.bias", 0)  # some models have no biases


def norm(x, w, at):
    return F.layer_norm(x, x.shape[-1:], w[f"{at}.weight"], w.get(f"{at}.bias"))


def mlp(x, w, at):
    x = linear(x, w, f"{at}.c_fc")  # (B, T, 4C)
    return linear(F.gelu(x), w, f"{at}.c_proj")  # (B, T, C)


def merge_heads(y):
    B, n_head, T, hs = y.shape
    return y.transpose(1, 2).reshape(B, T, n_head * hs)


def self_attention(x, w, at, n_head):
    B, T, C = x.shape
    q, k, v = linear(x, w, f"{at}.c_attn").split(C, dim=2)  # three of (B, T, C)
    q, k, v = (t.view(B, T, n_head, C // n_head).transpose(1, 2) for t in (q, k, v))
    scores = q @ k.transpose(-2, -1) / math.sqrt(C // n_head)  # (B, nh, T, T)
    future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(diagonal=1)
    y = scores.masked_fill(future, -math.inf).softmax(dim=-1) @ v  # (B, nh, T, hs)
    return linear(merge_heads(y), w, f"{at}.c_proj")  # (B, T, C)


def gpt(ids, w, n_layer, n_head):
    symbols, places = w["transformer.wte.weight"], w["transformer.wpe.weight"]
    x = symbols[ids] + places[: ids.size(1)]  # (B, T, C)
    for i in range(n_layer):
        at = f"transformer.h.{i}"
        x = x + self_attention(norm(x, w, f"{at}.ln_1"), w, f"{at}.attn", n_head)
        x = x + mlp(norm(x, w, f"{at}.ln_2"), w, f"{at}.mlp")
    return norm(x, w, "transformer.ln_f") @ symbols.T  # (B, T, V)


class MyGPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, C, bias = config, config.n_embd, config.bias
        blocks = nn.ModuleList()
        for _ in range(config.n_layer):
            c_attn, c_proj = nn.Linear(C, 3 * C, bias=bias), nn.Linear(C, C, bias=bias)
            attn = nn.ModuleDict({"c_attn": c_attn, "c_proj": c_proj})
            c_fc, c_proj = nn.Linear(C, 4 * C, bias=bias), nn.Linear(4 * C, C, bias=bias)
            mlp = nn.ModuleDict({"c_fc": c_fc, "c_proj": c_proj})
            norms = {name: nn.LayerNorm(C, bias=bias) for name in ("ln_1", "ln_2")}
            blocks.append(nn.ModuleDict({**norms, "attn": attn, "mlp": mlp}))
        self.transformer = nn.ModuleDict({"h": blocks, "ln_f": nn.LayerNorm(C, bias=bias)})
        self.transformer["wte"] = nn.Embedding(config.vocab_size, C)
        self.transformer["wpe"] = nn.Embedding(config.block_size, C)

    def forward(self, ids):
        w = dict(self.named_parameters())  # the head is the table of symbols again: tied
        return gpt(ids, w, self.config.n_layer, self.config.n_head)
