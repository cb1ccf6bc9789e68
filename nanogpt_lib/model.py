"""A GPT-2-style decoder in plain PyTorch.

Read it from top to bottom: attention, the small network after it, the block that joins the
two, and the model that stacks the blocks.

Letters in the shape comments: `B` sequences in a batch, `T` tokens in a sequence, `C` = `n_embd`
channels a token, `nh` = `n_head` heads, `hs` = `C / nh` channels a head, `V` = `vocab_size`.

Sources: Vaswani et al. 2017, "Attention Is All You Need"; Radford et al. 2019, "Language Models
are Unsupervised Multitask Learners" (GPT-2). The parameter names are GPT-2's, so you can compare
the weights with any other implementation.
"""

from __future__ import annotations  # KVCache is named before it is defined

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogpt_lib.checks import check_context, check_model


@dataclass
class GPTConfig:
    """The shape of a GPT. The defaults are the workshop's model: 10,770,816 parameters."""

    vocab_size: int = 65  # distinct symbols; Tiny Shakespeare has 65 characters
    block_size: int = 256  # the longest context in tokens; each position has an embedding
    n_layer: int = 6
    n_head: int = 6
    n_embd: int = 384  # a multiple of n_head
    dropout: float = 0.0  # share of activations set to zero in training, against overfitting
    bias: bool = True  # as in GPT-2; without biases the model is a little smaller and no worse

    def __post_init__(self):
        check_model(self)


class CausalSelfAttention(nn.Module):
    """Each token gathers what is relevant to it, from itself and the tokens before it."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.n_head = config.n_head
        self.dropout = config.dropout

    def heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of every head: (B, T, C) -> three of (B, nh, T, hs)."""
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, dim=2)  # three of (B, T, C)
        shape = (B, T, self.n_head, C // self.n_head)
        return tuple(t.view(shape).transpose(1, 2) for t in (q, k, v))

    def forward(self, x, cache: KVCache | None = None):
        B, T, C = x.shape
        q, k, v = self.heads(x)  # each (B, nh, T, hs)
        if cache is not None:
            if len(cache) and T > 1:
                raise ValueError("a cache that holds tokens takes one new token at a time")
            k, v = cache.append(k, v)  # each (B, nh, S, hs), S = past + T
        # softmax(q k^T / sqrt(hs)) v, in one fused kernel. A single new token may look at
        # everything before it, so it needs no mask.
        p = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=T > 1)  # (B, nh, T, hs)
        y = y.transpose(1, 2).reshape(B, T, C)  # the heads side by side again
        return self.resid_dropout(self.c_proj(y))  # (B, T, C)

    def weights(self, x: Tensor) -> Tensor:
        """Which token looks at which: (B, T, C) -> (B, nh, T, T), each row sums to 1.

        The fused kernel computes the same weights inside. Here you can see them.
        """
        q, k, _ = self.heads(x)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (B, nh, T, T)
        future = torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)  # (B, nh, T, T)
        return scores.masked_fill(future, float("-inf")).softmax(dim=-1)


class MLP(nn.Module):
    """Works on what attention gathered, each token by itself."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c_fc(x)  # (B, T, 4C)
        x = F.gelu(x)  # exact; GPT-2 uses a tanh within 0.0005 of it, slower on a CPU
        return self.dropout(self.c_proj(x))  # (B, T, C)


class Block(nn.Module):
    """Attention, then the MLP; each adds its result to the stream `x` (pre-norm residuals)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x, cache: KVCache | None = None):
        x = x + self.attn(self.ln_1(x), cache)  # (B, T, C)
        x = x + self.mlp(self.ln_2(x))  # (B, T, C)
        return x


class Transformer(nn.Module):
    """All parts of a GPT except the last one, under the names that GPT-2 gave them."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)  # what the token is
        self.wpe = nn.Embedding(config.block_size, config.n_embd)  # where the token is
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, bias=config.bias)


class GPT(nn.Module):
    """Token ids in, a score for every possible next token out."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        # The same matrix reads and writes tokens (Press & Wolf 2017, arXiv:1608.05859).
        self.lm_head.weight = self.transformer.wte.weight
        self.apply(self._init_weights)

    def _init_weights(self, module: nn.Module) -> None:
        """GPT-2's initialisation (section 2.3 of the paper): small, and smaller with depth."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, (CausalSelfAttention, MLP)):
            # 2 n_layer results are added to the stream. This scale keeps the size of their sum.
            # `apply` visits children first, so this overrides the 0.02 above.
            std = 0.02 / math.sqrt(2 * self.config.n_layer)
            nn.init.normal_(module.c_proj.weight, mean=0.0, std=std)

    def embed(self, idx: Tensor, start: int = 0) -> Tensor:
        """Ids (B, T) to vectors (B, T, C). The first id is at position `start`."""
        check_context(idx, start, self.config)
        position = torch.arange(start, start + idx.size(1), device=idx.device)  # (T,)
        x = self.transformer.wte(idx) + self.transformer.wpe(position)  # (B, T, C)
        return self.transformer.drop(x)

    def forward(
        self, idx: Tensor, targets: Tensor | None = None, caches: list[KVCache] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Predicts the next token at every position.

        idx: int64 (B, T) with T <= block_size. targets: int64 (B, T), the token that really
        came next at each position. caches: one KVCache a layer, to continue from their end.

        Returns logits (B, T, V), and the loss: the mean cross-entropy in nats a token, a
        scalar, or None without targets. Raises ValueError if the context is too long.
        """
        x = self.embed(idx, start=len(caches[0]) if caches else 0)  # (B, T, C)
        for i, block in enumerate(self.transformer.h):
            x = block(x, caches[i] if caches else None)  # (B, T, C)
        logits = self.lm_head(self.transformer.ln_f(x))  # (B, T, V)
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B*T, V), (B*T,)
        return logits, loss

    def new_caches(self) -> list[KVCache]:
        """Empty caches, one a layer, for `forward`."""
        return [KVCache() for _ in self.transformer.h]

    @torch.no_grad()
    def attention(self, idx: Tensor) -> Tensor:
        """Every layer's attention weights: int64 (B, T) -> float (n_layer, B, nh, T, T).

        After training, call `eval()` on the model first: dropout would blur the result.
        """
        x = self.embed(idx)  # (B, T, C)
        maps = []
        for block in self.transformer.h:
            assert isinstance(block, Block)  # for type checkers: a ModuleList hides its types
            maps.append(block.attn.weights(block.ln_1(x)))  # (B, nh, T, T)
            x = block(x)
        return torch.stack(maps)

    def num_params(self) -> int:
        """The number of learnt parameters. The tied matrix counts once; positions count too."""
        return sum(p.numel() for p in self.parameters())


class KVCache:
    """The keys and values that one layer has computed so far.

    A token sees only its past, so its key and value never change once it is read. If they are
    kept, a new token costs one row of attention instead of the whole square.
    """

    def __init__(self):
        self.k: Tensor | None = None  # (B, nh, tokens read so far, hs)
        self.v: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.k is None else self.k.size(2)

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Adds new keys and values, each (B, nh, T, hs); returns all of them."""
        if self.k is not None and self.v is not None:
            k = torch.cat((self.k, k), dim=2)  # (B, nh, past + T, hs)
            v = torch.cat((self.v, v), dim=2)
        self.k, self.v = k, v
        return k, v
