"""A GPT with improvements found since GPT-2, one switch for each change.

With every switch off, `ModernGPT` is `model.GPT` without biases, weight for weight.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogpt_lib.checks import check_context


@dataclass(frozen=True)
class ModernConfig:
    """The shape of a ModernGPT, and its switches."""

    vocab_size: int = 65
    block_size: int = 64
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128  # with rope, a multiple of 2 n_head
    mlp_ratio: int = 4  # how much wider the MLP is inside
    rope: bool = False  # positions by rotating queries and keys, instead of learned vectors
    rmsnorm: bool = False  # norms that only scale, and have no weights
    qk_norm: bool = False  # all queries and keys have the same length
    relu2: bool = False  # max(0, x)^2 instead of GELU
    zero_init: bool = False  # layers that write to the stream or the scores start at zero
    grams: tuple[int, ...] = ()  # rows of a table of embeddings for the last 2, 3, ... characters

    def __post_init__(self):
        if self.n_embd % self.n_head or (self.rope and self.n_embd // self.n_head % 2):
            raise ValueError(
                f"n_embd ({self.n_embd}) must be a multiple of n_head ({self.n_head}), and with "
                "rope of twice that: channels are turned in pairs"
            )


def rotations(length: int, size: int) -> Tensor:
    """RoPE's angles as complex numbers of length 1: complex64 (length, size / 2).

    Row t rotates each pair of channels by t times the pair's own angle. The product of a query at
    t and a key at s then depends on position only through t - s (Su et al. 2021, arXiv:2104.09864).
    """
    pace = 10_000.0 ** (-torch.arange(0, size, 2) / size)  # (size / 2,), radians a token
    angles = torch.outer(torch.arange(length), pace)
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Rotates the channel pairs of x (B, T, nh, hs) by `turns` (T, hs / 2), which multiply them."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))  # (B, T, nh, hs / 2)
    return torch.view_as_real(pairs * turns[:, None]).flatten(-2)  # (B, T, nh, hs)


def norm(config: ModernConfig) -> nn.Module:
    """LayerNorm, or RMSNorm without a learned gain (Zhang & Sennrich 2019, arXiv:1910.07467)."""
    if config.rmsnorm:
        return nn.RMSNorm(config.n_embd, elementwise_affine=False)
    return nn.LayerNorm(config.n_embd, bias=False)


class Attention(nn.Module):
    """As in `model`. Two switches, qk_norm and rope, change queries and keys before they meet."""

    def __init__(self, config: ModernConfig):
        super().__init__()
        self.config = config
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x: Tensor, turns: Tensor | None) -> Tensor:
        B, T, C = x.shape
        nh = self.config.n_head
        q, k, v = self.c_attn(x).view(B, T, 3 * nh, C // nh).split(nh, dim=2)  # (B, T, nh, hs)
        if self.config.qk_norm:  # the scores cannot grow out of bounds (Henry et al. 2020)
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        if turns is not None:
            q, k = rotate(q, turns[:T]), rotate(k, turns[:T])
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # each (B, nh, T, hs)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))  # (B, T, C)


class MLP(nn.Module):
    """As in `model`, with a choice of nonlinearity between the two matrices."""

    def __init__(self, config: ModernConfig):
        super().__init__()
        self.relu2 = config.relu2
        self.c_fc = nn.Linear(config.n_embd, config.mlp_ratio * config.n_embd, bias=False)
        self.c_proj = nn.Linear(config.mlp_ratio * config.n_embd, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c_fc(x)
        # ReLU squared is cheap; a search found that it trains faster (So et al. 2021).
        x = F.relu(x).square() if self.relu2 else F.gelu(x)
        return self.c_proj(x)


class Block(nn.Module):
    """Attention, then the MLP. Each adds its output to the stream."""

    def __init__(self, config: ModernConfig):
        super().__init__()
        self.ln_1, self.attn = norm(config), Attention(config)
        self.ln_2, self.mlp = norm(config), MLP(config)

    def forward(self, x: Tensor, turns: Tensor | None) -> Tensor:
        x = x + self.attn(self.ln_1(x), turns)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """All parts except lm_head, as in `model`, and the tables of n-grams."""

    def __init__(self, config: ModernConfig):
        super().__init__()
        C = config.n_embd
        self.wte = nn.Embedding(config.vocab_size, C)
        if not config.rope:
            self.wpe = nn.Embedding(config.block_size, C)
        self.grams = nn.ModuleList(nn.Embedding(rows, C) for rows in config.grams)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = norm(config)


class ModernGPT(nn.Module):
    """A GPT with switches; called as `model.GPT` is: (idx, targets) -> (logits, loss)."""

    def __init__(self, config: ModernConfig):
        super().__init__()
        self.config = config
        C = config.n_embd
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(C, config.vocab_size, bias=False)
        turns = rotations(config.block_size, C // config.n_head) if config.rope else None
        self.register_buffer("turns", turns, persistent=False)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """GPT-2's initialisation. With zero_init, every block at first passes its input on."""
        config = self.config
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                depth = math.sqrt(2 * config.n_layer) if "c_proj" in name else 1
                weight.normal_(0, 0.02 / depth)
        if not config.zero_init:
            self.lm_head.weight = self.transformer.wte.weight  # tied
            return
        self.lm_head.weight.zero_()
        for block in self.transformer.h:
            assert isinstance(block, Block)  # a ModuleList does not tell what it holds
            block.attn.c_proj.weight.zero_()
            block.mlp.c_proj.weight.zero_()
            # A norm comes before these matrices, and orthogonal steps change them. So they
            # may start at their final size: rows of length 1 / 2.
            for matrix in (block.attn.c_attn.weight, block.mlp.c_fc.weight):
                matrix.normal_(0, 0.5 / math.sqrt(config.n_embd))

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        check_context(idx, 0, self.config)
        x = self.transformer.wte(idx)  # (B, T, C)
        if not self.config.rope:
            x = x + self.transformer.wpe.weight[: idx.size(1)]
        tables = zip(self.transformer.grams, self.config.grams, strict=True)
        for (table, rows), gram in zip(tables, self.last_characters(idx), strict=True):
            x = x + table(gram % rows)  # with too few rows, some n-grams share one
        if self.config.zero_init:
            x = F.rms_norm(x, x.shape[-1:])  # or blocks would outweigh small embeddings
        for block in self.transformer.h:
            x = block(x, self.turns)
        logits = self.lm_head(self.transformer.ln_f(x))  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def last_characters(self, idx: Tensor) -> Iterator[Tensor]:
        """A number for the last 2, 3, ... characters at each place, each (B, T) like idx.

        The characters are its digits. Places before the window count as an extra digit, V.
        """
        V, gram = self.config.vocab_size, idx
        for n in range(1, len(self.config.grams) + 1):
            before = F.pad(idx, (n, 0), value=V)[:, :-n]  # (B, T), n characters earlier
            gram = gram + before * (V + 1) ** n
            yield gram

    def num_params(self) -> int:
        return sum(p.numel() for p in self.parameters())
