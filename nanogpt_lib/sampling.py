"""From scores to text: choosing one token after another."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from nanogpt_lib.checks import check_prompt, check_sampling, check_scores, check_span, check_writing
from nanogpt_lib.machine.gradients import in_halves

TOP_K = 40  # the workshop's default, as is the temperature of 0.7: lively, rarely nonsense


def generate(
    model,
    tokenizer,
    prompt: str | list[str] = "",
    max_new_tokens: int = 500,
    *,
    temperature: float = 0.7,
    top_k: int | None = TOP_K,
    top_p: float | None = None,
    greedy: bool = False,
    seed: int | None = None,
    unknown: str = "error",
    use_cache: bool = True,
):
    """The prompt and what the model writes after it.

    prompt: a text, or a list of texts to continue side by side. The other settings are those of
    `stream`. Returns a text, or a list of them. With a seed, text number i of a list is the text
    that prompt number i gives alone with seed + i.
    """
    prompts = list(prompt) if isinstance(prompt, (list, tuple)) else [prompt]
    if not prompts:
        return []
    temperature = 0 if greedy else temperature
    rows = begin(
        model, tokenizer, prompts, max_new_tokens, temperature, top_k, top_p, seed, unknown
    )

    def side_by_side(some: range) -> list[list[int]]:
        first = None if seed is None else seed + some.start
        settings = (max_new_tokens, temperature, top_k, top_p, first, use_cache)
        new: list[list[int]] = [[] for _ in some]
        with dropout_off(model):
            for column in continuations(model, rows[some.start : some.stop], *settings):
                for tokens, token in zip(new, column, strict=True):
                    if token is not None:
                        tokens.append(token)
        return new

    new = in_halves(side_by_side, range(len(rows)))
    texts = [text + tokenizer.decode(tokens) for text, tokens in zip(prompts, new, strict=True)]
    return texts if isinstance(prompt, (list, tuple)) else texts[0]


def stream(
    model,
    tokenizer,
    prompt: str = "",
    max_new_tokens: int = 500,
    *,
    temperature: float = 0.7,
    top_k: int | None = TOP_K,
    top_p: float | None = None,
    greedy: bool = False,
    seed: int | None = None,
    unknown: str = "error",
    use_cache: bool = True,
) -> Iterator[str]:
    """Yields what the model writes after the prompt, each token as soon as it is drawn.

    A character of several tokens comes when it is whole.

    temperature: scores are divided by it. Below 1 is bolder, above 1 wilder, 0 is greedy.
    top_k: only the k likeliest tokens are in the draw; None means all.
    top_p: only the likeliest tokens that together have this probability are in the draw
        (nucleus sampling, Holtzman et al. 2019, arXiv:1904.09751).
    greedy: always take the likeliest token. Nothing is random, so the seed has no effect.
    seed: the same seed and settings give the same text.
    unknown: what to do with characters of the prompt that the model does not know; see
        `CharTokenizer.encode`.
    use_cache: keep keys and values and do not compute them again. The text is the same.

    An empty prompt starts from a newline. If the text no longer fits the context, the oldest
    quarter of the context is forgotten. Raises ValueError for settings that make no sense.
    """
    temperature = 0 if greedy else temperature
    rows = begin(
        model, tokenizer, [prompt], max_new_tokens, temperature, top_k, top_p, seed, unknown
    )
    columns = continuations(model, rows, max_new_tokens, temperature, top_k, top_p, seed, use_cache)
    return tokenizer.decode_stream(columns)


def probabilities(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Scores to the probabilities of the draw: float (..., V) -> (..., V), rows sum to 1.

    In this order: temperature, top-k, top-p. Temperature 0 keeps only the likeliest token.
    """
    temperature, top_k, top_p = check_sampling(temperature, top_k, top_p)
    logits = logits.float()
    check_scores(bool(torch.isfinite(logits).all()))
    if temperature == 0:
        top_k, temperature = 1, 1.0
    temperature = min(max(temperature, 1e-30), 1e30)  # float32 can hold little more
    logits, order = logits.sort(dim=-1, descending=True, stable=True)  # ties: the first leads
    logits = (logits - logits[..., :1]) / temperature  # the largest is 0: no overflow
    if top_k is not None and top_k < logits.size(-1):
        logits[..., top_k:] = -math.inf
    chance = logits.softmax(-1)
    if top_p is not None and top_p < 1:
        before = chance.cumsum(-1) - chance  # the probability of all likelier tokens
        out = before >= top_p
        out[..., 0] = False  # the likeliest always stays
        chance = chance.masked_fill(out, 0.0)
        chance = chance / chance.sum(-1, keepdim=True)
    return torch.zeros_like(chance).scatter(-1, order, chance)  # each back at its token's place


def begin(
    model, tokenizer, prompts, max_new_tokens, temperature, top_k, top_p, seed, unknown
) -> list[list[int]]:
    """The prompts' ids. It checks everything, so errors come before the first token."""
    check_sampling(temperature, top_k, top_p)
    check_writing(max_new_tokens, seed, top_k, model.config.vocab_size, usual=TOP_K)
    return [*map(partial(encode_prompt, model, tokenizer, unknown=unknown), prompts)]


def encode_prompt(model, tokenizer, text: str, unknown: str) -> list[int]:
    """A prompt's ids, never empty. It warns about tokens that the model will not see."""
    check_prompt(text, tokenizer.vocab_size, model.config.vocab_size)
    block_size = model.config.block_size
    ids = tokenizer.encode(text, unknown=unknown)
    if not ids:  # the model has to read something: the start of a line
        ids = tokenizer.encode("\n", unknown="replace")
    start = window_start(len(ids), block_size)
    if start:
        warnings.warn(
            f"the prompt has {len(ids):,} tokens and the context {block_size}: the model sees only "
            f"the last {len(ids) - start}",
            stacklevel=4,  # the line that called `generate` or `stream`
        )
    return ids


def window_start(length: int, block_size: int) -> int:
    """Where the context begins when `length` tokens have been read.

    When the context is full, its oldest quarter is forgotten at once. Sliding by one token would
    move every token to another position, so the whole cache would be wrong each time.
    """
    check_span(length, block_size)
    hop = max(1, block_size // 4)
    return math.ceil(max(0, length - block_size) / hop) * hop


def continuations(
    model, rows: list[list[int]], max_new_tokens, temperature, top_k, top_p, seed, use_cache
) -> Iterator[list[int | None]]:
    """Continues rows of ids side by side; yields one column of new tokens at a time.

    Rows may differ in length. A row whose prompt has not ended takes its own next token, and its
    place in the column is None. The other rows draw a token. settings: see `stream`.
    """
    generators = [torch.Generator() for _ in rows]  # one a row, so no row depends on another
    for i, generator in enumerate(generators):
        generator.seed() if seed is None else generator.manual_seed(int(seed) + i)

    block_size = model.config.block_size
    length = min(len(row) for row in rows)
    text = torch.tensor([row[:length] for row in rows])  # (B, length), on the CPU
    end = max(len(row) for row in rows) + max_new_tokens
    caches, start, read = None, -1, 0  # the caches hold `read` tokens from `start` on
    while length < end:
        if start != window_start(length, block_size):  # at first, and when it hops
            start, read = window_start(length, block_size), 0
            caches = model.new_caches() if use_cache else None
        window = text[:, start + read :]  # (B, T): tokens not yet in the caches
        chance = probabilities(next_scores(model, window, caches), temperature, top_k, top_p)
        read = length - start if use_cache else 0
        drawn: list[int | None] = []  # None: the prompt goes on, or the row is done
        for row, p, generator in zip(rows, chance, generators, strict=True):
            writes = len(row) <= length < len(row) + max_new_tokens
            drawn.append(int(torch.multinomial(p, 1, generator=generator)) if writes else None)
        pairs = zip(rows, drawn, strict=True)  # a finished row is filled with 0
        column = [row[length] if length < len(row) else token or 0 for row, token in pairs]
        text = torch.cat((text, torch.tensor(column)[:, None]), dim=1)  # (B, length + 1)
        length += 1
        yield drawn


@torch.no_grad()
def next_scores(model, window: Tensor, caches) -> Tensor:
    """The scores of the token after each row: int64 (B, T) -> float (B, V), on the CPU."""
    with dropout_off(model):
        logits, _ = model(window.to(model.lm_head.weight.device), caches=caches)  # (B, T, V)
    return logits[:, -1].cpu()


@contextmanager
def dropout_off(model):
    """Puts the model in evaluation mode inside the block, and back to its mode afterwards.

    A stream does this for each token: if you leave the stream halfway, the model is unchanged.
    """
    was_training = model.training
    if was_training:
        model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()
