"""A GPT with improvements found since GPT-2, one switch for each change.

Read it beside `model.py`: the parts and their names are the same, and "differs:" marks each place
where a switch changes something. With every switch off, `ModernGPT` is `model.GPT` without biases,
weight for weight.
"""

from __future__ import annotations  # Cache is named before it is defined

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogpt_lib.checks import check_context
from nanogpt_lib.machine.attention import attend
from nanogpt_lib.machine.dropout import Dropout
from nanogpt_lib.model import KVCache
from nanogpt_lib.modern.optimisers import MuonAdam


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
    dropout: float = 0.0  # share of activations set to zero in training; never in attention

    def __post_init__(self):
        object.__setattr__(self, "grams", tuple(self.grams))  # a file gives a list
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
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))  # (B, T, nh, hs / 2)
    return torch.view_as_real(pairs * turns[:, None]).flatten(-2).type_as(x)  # (B, T, nh, hs)


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
        self.resid_dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, turns: Tensor | None, cache: Cache | None = None) -> Tensor:
        B, T, C = x.shape
        nh = self.config.n_head
        q, k, v = self.c_attn(x).view(B, T, 3 * nh, C // nh).split(nh, dim=2)  # (B, T, nh, hs)
        # differs: the scores cannot grow out of bounds (Henry et al. 2020, arXiv:2010.04245)
        if self.config.qk_norm:
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        if turns is not None:  # differs: positions are angles
            q, k = rotate(q, turns), rotate(k, turns)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # each (B, nh, T, hs)
        if cache is not None:
            k, v = cache.append(k, v)  # each (B, nh, S, hs), S = past + T
        y = attend(q, k, v, causal=T > 1)  # differs: no dropout in here
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)))  # (B, T, C)


class MLP(nn.Module):
    """As in `model`, with a choice of nonlinearity between the two matrices."""

    def __init__(self, config: ModernConfig):
        super().__init__()
        self.relu2 = config.relu2
        self.c_fc = nn.Linear(config.n_embd, config.mlp_ratio * config.n_embd, bias=False)
        self.c_proj = nn.Linear(config.mlp_ratio * config.n_embd, config.n_embd, bias=False)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c_fc(x)
        # differs: a search found that ReLU squared trains faster (So et al. 2021, arXiv:2109.08668)
        x = F.relu(x).square() if self.relu2 else F.gelu(x)
        return self.dropout(self.c_proj(x))


class Block(nn.Module):
    """Attention, then the MLP. Each adds its output to the stream."""

    def __init__(self, config: ModernConfig):
        super().__init__()
        self.ln_1, self.attn = norm(config), Attention(config)
        self.ln_2, self.mlp = norm(config), MLP(config)

    def forward(self, x: Tensor, turns: Tensor | None, cache: Cache | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), turns, cache)
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
        self.drop = Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = norm(config)


class ModernGPT(nn.Module):
    """A GPT with switches; called as `model.GPT` is: (idx, targets) -> (logits, loss)."""

    turns: Tensor | None  # (block_size, hs / 2), RoPE's angles

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

    def forward(
        self, idx: Tensor, targets: Tensor | None = None, caches: list[Cache] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Predicts the next token at every position, as `model.GPT.forward` does."""
        start, T = len(caches[0]) if caches else 0, idx.size(1)
        check_context(idx, start, self.config)
        x = self.transformer.wte(idx)  # (B, T, C)
        if not self.config.rope:
            x = x + self.transformer.wpe.weight[start : start + T]
        # differs: tables tell what the last two, three, ... characters were
        read = caches[0].read(idx) if caches else idx  # (B, start + T)
        tables = zip(self.transformer.grams, self.config.grams, strict=True)
        for (table, rows), gram in zip(tables, self.last_characters(read), strict=True):
            x = x + table(gram[:, start:] % rows)  # with too few rows, some n-grams share one
        if self.config.zero_init:
            x = F.rms_norm(x, x.shape[-1:])  # or blocks would outweigh small embeddings
        x = self.transformer.drop(x)
        turns = self.turns[start : start + T] if self.turns is not None else None
        for i, block in enumerate(self.transformer.h):
            x = block(x, turns, caches[i] if caches else None)
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

    def new_caches(self) -> list[Cache]:
        """Empty caches for `forward`, one a layer; one for what was read if there is no layer."""
        return [Cache() for _ in range(max(1, self.config.n_layer))]

    def make_optimizer(self, config) -> MuonAdam:
        """Muon for the blocks' matrices, Adam for the rest; config: a `training.TrainConfig`.

        Each row of an embedding belongs to one character, so there is nothing to make orthogonal.
        """
        matrices = [p for p in self.transformer.h.parameters() if p.dim() == 2]
        taken = {id(p) for p in matrices}
        others = [p for p in self.parameters() if id(p) not in taken]
        return MuonAdam(matrices, others, config)

    def num_params(self) -> int:
        return sum(p.numel() for p in self.parameters())


class Cache(KVCache):
    """A layer's keys and values, and the ids that were read: the tables need the last of them."""

    def __init__(self):
        super().__init__()
        self.ids: Tensor | None = None  # (B, tokens read so far)

    def __len__(self) -> int:
        return 0 if self.ids is None else self.ids.size(1)

    def read(self, idx: Tensor) -> Tensor:
        """Adds new ids (B, T); returns all of them."""
        self.ids = idx if self.ids is None else torch.cat((self.ids, idx), dim=1)
        return self.ids
