"""What the checks take and what they name: one table of right styles, one of wrong ones."""

import itertools
import json
import math
import re
import sys
import threading
import time
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from tokenizers import pre_tokenizers
from torch import nn

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.course import exercises as ex
from nanogpt_lib.course.exercises import by_hand, patience
from nanogpt_lib.course.exercises.showing import example
from nanogpt_lib.model import GPT


def then(exercise, change):
    """The right answer, with its result changed."""
    return lambda *arguments: change(exercise.answer(*arguments))


def on_half(exercise, dtype):
    """The right answer, worked out in half precision."""

    def answer(*arguments):
        halves = [
            a.to(dtype) if torch.is_tensor(a) and a.is_floating_point() else a for a in arguments
        ]
        return exercise.answer(*halves)

    return answer


def bigrams_of_floats(ids, vocab_size):
    counts = torch.zeros(vocab_size, vocab_size)
    for first, second in itertools.pairwise(ids.tolist()):
        counts[first, second] += 1
    return counts


def head_with_where(x, W_q, W_k, W_v):
    q, k, v = x @ W_q, x @ W_k, x @ W_v
    scores = q @ k.T * q.shape[1] ** -0.5
    scores[torch.ones(len(x), len(x)).tril() == 0] = float("-inf")
    return torch.exp(scores) / torch.exp(scores).sum(1, keepdim=True) @ v


def top_k_by_sorting(logits, k):
    order = logits.argsort(dim=-1, descending=True, stable=True)[:, :k]
    kept = torch.zeros_like(logits).scatter(-1, order, logits.exp().gather(-1, order))
    return kept / kept.sum(dim=-1, keepdim=True)


def top_k_with_the_last_of_equals(logits, k):
    order = logits.flip(-1).argsort(dim=-1, descending=True, stable=True)[:, :k]
    cut = torch.full_like(logits, -math.inf).scatter(-1, logits.size(-1) - 1 - order, 0.0)
    return (logits + cut).softmax(dim=-1)


def norm_by_std(x, gain, bias):
    size = torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5)
    return gain * ((x - x.mean(-1, keepdim=True)) / size) + bias


def runs_in_a_loop(text, k):
    found = {}
    for i in range(k, len(text)):
        run = text[i - k : i + 1]
        found[run] = found.get(run, 0) + 1
    return found


def one_hot_with_scatter(ids, V):
    return torch.zeros(len(ids), V).scatter(1, ids[:, None], 1.0)


def one_hot_by_lists(ids, V):
    return [[int(column == i) for column in range(V)] for i in ids.tolist()]


def gain_by_numpy(a, b, chosen):
    means = (a.numpy() - b.numpy())[chosen.numpy()].mean(axis=1)
    return np.percentile(means, [2.5, 97.5])


def stream_with_a_filter(lines):
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: {")]
    return "".join(json.loads(event)["choices"][0]["text"] for event in events)


def pair_by_counter(ids):
    count = Counter(itertools.pairwise(ids))
    most = max(count.values())
    return min(pair for pair in count if count[pair] == most)


def encode_by_rank(ids, merges):
    rank = {pair: n for n, pair in enumerate(merges)}
    ids = list(ids)
    while True:
        known = [(rank[p], i) for i, p in enumerate(itertools.pairwise(ids)) if p in rank]
        if not known:
            return ids
        n, i = min(known)
        ids[i : i + 2] = [256 + n]


def pieces_by_unicode(text):
    rule = r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?[^\s\w]+| ?_+|\s+(?!\S)|\s+"
    return [found.group() for found in re.compile(rule).finditer(text)]


def carries_by_divmod(a, b, columns):
    found, carry = [], 0
    for _ in range(columns):
        found.append(carry)
        (a, x), (b, y) = divmod(a, 10), divmod(b, 10)
        carry = (x + y + carry) // 10
    return found


def caption_loss_by_hand(logits, targets, n_pieces):
    chosen = logits[:, n_pieces:].log_softmax(-1)[targets >= 0]
    return -chosen.gather(1, targets[targets >= 0][:, None]).mean()


RIGHT = {
    "runs in a dictionary": (ex.count_runs, runs_in_a_loop),
    "runs by zip": (
        ex.count_runs,
        lambda t, k: Counter(map("".join, zip(*(t[i:] for i in range(k + 1)), strict=False))),
    ),
    "one-hot by PyTorch": (ex.one_hot, F.one_hot),
    "one-hot by comparing": (ex.one_hot, lambda ids, V: ids[:, None] == torch.arange(V)),
    "one-hot by scatter": (ex.one_hot, one_hot_with_scatter),
    "one-hot as lists": (ex.one_hot, one_hot_by_lists),
    "one-hot as an array": (ex.one_hot, lambda ids, V: np.eye(V)[ids.numpy()]),
    "choices as a tensor": (ex.choices, lambda loss: torch.tensor(loss).exp()),
    "choices as an array of one": (ex.choices, lambda loss: np.array([math.exp(loss)])),
    "choices as a Decimal": (ex.choices, lambda loss: Decimal(loss).exp()),
    "choices by NumPy": (ex.choices, np.exp),
    "even_guess_loss by a built-in": (ex.even_guess_loss, math.log),
    "encode as an array": (ex.encode, then(ex.encode, np.array)),
    "encode as a tensor": (ex.encode, then(ex.encode, torch.tensor)),
    "encode as a tuple": (ex.encode, then(ex.encode, tuple)),
    "encode as tensors in a list": (
        ex.encode,
        then(ex.encode, lambda ids: list(torch.tensor(ids))),
    ),
    "counts as floats": (ex.bigram_counts, bigrams_of_floats),
    "counts as lists": (ex.bigram_counts, then(ex.bigram_counts, torch.Tensor.tolist)),
    "counts as an array": (ex.bigram_counts, then(ex.bigram_counts, torch.Tensor.numpy)),
    "a stacked pair": (ex.context_and_targets, then(ex.context_and_targets, torch.stack)),
    "a pair of arrays": (ex.context_and_targets, then(ex.context_and_targets, np.stack)),
    "a pair as a list": (ex.context_and_targets, then(ex.context_and_targets, list)),
    "w, m, v stacked": (ex.adamw_step, then(ex.adamw_step, torch.stack)),
    "the loss as an array of one": (
        ex.loss_by_hand,
        then(ex.loss_by_hand, lambda loss: np.array([loss.item()])),
    ),
    "the loss as a number": (ex.loss_by_hand, then(ex.loss_by_hand, float)),
    "a head in bfloat16": (ex.attention_head, on_half(ex.attention_head, torch.bfloat16)),
    "a head in float16": (ex.attention_head, on_half(ex.attention_head, torch.float16)),
    "a head with a gradient": (
        ex.attention_head,
        then(ex.attention_head, lambda y: y.requires_grad_()),
    ),
    "a head with other words": (ex.attention_head, head_with_where),
    "a norm in bfloat16": (ex.layer_norm, on_half(ex.layer_norm, torch.bfloat16)),
    "a norm by its variance": (ex.layer_norm, norm_by_std),
    "a mean in double precision": (ex.causal_mean, then(ex.causal_mean, torch.Tensor.double)),
    "bits by 0.693": (ex.bits_per_character, lambda loss, n: loss / 0.693 / n),
    "bits by 1.4427": (ex.bits_per_character, lambda loss, n: 1.4427 * loss / n),
    "the factor as a tensor": (ex.clip_factor, then(ex.clip_factor, torch.tensor)),
    "top-k by sorting": (ex.top_k_chances, top_k_by_sorting),
    "top-k, another of the equals": (ex.top_k_chances, top_k_with_the_last_of_equals),
    "advantages as an array": (
        ex.group_advantages,
        then(ex.group_advantages, torch.Tensor.numpy),
    ),
    "advantages in double precision": (
        ex.group_advantages,
        lambda r: ex.group_advantages.answer(r.double()),
    ),
    "advantages as lists": (ex.group_advantages, then(ex.group_advantages, torch.Tensor.tolist)),
    "advantages with 1e-8": (
        ex.group_advantages,
        lambda r: (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-8),
    ),
    "bits of a token by 0.693": (ex.bits_a_character, lambda loss, n, m: loss * n / m / 0.693),
    "bits of a token by log2": (
        ex.bits_a_character,
        lambda loss, n, m: n / m * math.log2(math.exp(loss)),
    ),
    "the pair by a Counter": (ex.most_frequent_pair, pair_by_counter),
    "the pair as a list": (ex.most_frequent_pair, then(ex.most_frequent_pair, list)),
    "merges as a tensor": (ex.bpe_encode, then(ex.bpe_encode, torch.tensor)),
    "merges by rank, one at a time": (ex.bpe_encode, encode_by_rank),
    "pieces as a tuple": (ex.gpt2_pieces, then(ex.gpt2_pieces, tuple)),
    "pieces by a compiled rule": (ex.gpt2_pieces, pieces_by_unicode),
    "a chat as a tensor": (ex.chat_ids, then(ex.chat_ids, torch.tensor)),
    "carries by divmod": (ex.carries, carries_by_divmod),
    "lora merged": (ex.lora_layer, lambda x, W, A, B, a: x @ (W + a / len(A) * B @ A).T),
    "lora by linear": (
        ex.lora_layer,
        lambda x, W, A, B, a: F.linear(x, W) + a / len(A) * F.linear(F.linear(x, A), B),
    ),
    "the caption's loss by hand": (ex.caption_loss, caption_loss_by_hand),
    "a value as a Decimal": (ex.initial_loss, Decimal("10.82")),
    "a value as an array of one": (ex.initial_loss, np.log([50257])),
    "a value as a fraction": (ex.tokens_per_step, Fraction(768)),
    "an interval as a tuple": (
        ex.bootstrap_interval,
        then(ex.bootstrap_interval, lambda ends: tuple(ends.tolist())),
    ),
    "an interval by NumPy": (ex.gain_interval, gain_by_numpy),
    "whole numbers as floats": (
        ex.to_int8,
        then(ex.to_int8, lambda pair: (pair[0] * 1.0, pair[1])),
    ),
    "a stream with a filter": (ex.read_stream, stream_with_a_filter),
    "bits as a fraction": (ex.bits_a_weight, Fraction(9, 2)),
    "a value in a list": (ex.tokens_per_step, [768]),
    "a value in a tensor": (ex.tokens_per_step, torch.tensor([768])),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_in_any_style(name):
    exercise, answer = RIGHT[name]
    assert exercise.judge(answer) == ("Right", exercise.praise)


def block(first, second):
    """A block whose parts read these: "1" or "2" is a norm, "" the stream as it is."""

    def answer(x, ln_1, attn, ln_2, mlp):
        norms = {"1": ln_1, "2": ln_2, "": lambda x: x}
        x = x + attn(norms[first](x))
        return x + mlp(norms[second](x))

    return answer


def future(scores):
    return torch.ones_like(scores, dtype=torch.bool).triu(1)


def head(weigh):
    """A head that makes its weights of the scores (not scaled) and of d in this way."""

    def answer(x, W_q, W_k, W_v):
        return weigh(x @ W_q @ (x @ W_k).T, W_q.size(1)) @ (x @ W_v)

    return answer


def masked(scores):
    return scores.masked_fill(future(scores), -math.inf)


def thrown_away(logits, k):
    logits.masked_fill(logits < logits.topk(k).values[:, -1:], -math.inf)
    return logits.softmax(-1)


def top_p_thrown_away(chances, p):
    ordered, order = chances.sort(dim=-1, descending=True)
    ordered.masked_fill(ordered.cumsum(-1) - ordered >= p, 0.0)
    kept = torch.zeros_like(chances).scatter(-1, order, ordered)
    return kept / kept.sum(dim=-1, keepdim=True)


def without_crossing(chances, p):
    ordered, order = chances.sort(dim=-1, descending=True)
    ordered = ordered * (ordered.cumsum(-1) <= p)
    kept = torch.zeros_like(chances).scatter(-1, order, ordered)
    return kept / (kept.sum(dim=-1, keepdim=True) + 1e-12)


def norm_as(join):
    """A layer norm whose end is another one."""
    return lambda x, gain, bias: join(F.layer_norm(x, x.shape[-1:]), gain, bias)


def too_far(ids, vocab_size):
    counts = torch.zeros(vocab_size, vocab_size)
    for i in range(len(ids)):
        counts[ids[i], ids[i + 1]] += 1
    return counts


def rate_with(curve, begin=lambda step, warmup: (step + 1) / warmup):
    def answer(step, max_steps, warmup, high, low):
        if step < warmup:
            return high * begin(step, warmup)
        c = math.cos(math.pi * (step - warmup) / (max_steps - warmup))
        return low + (high - low) * curve(c)

    return answer


def half(c):
    return 0.5 * (1 + c)


def clip_below_one(gradients, max_norm):
    length = torch.cat([g.flatten() for g in gradients]).norm()
    return 1.0 if length < 1 else min(1.0, (max_norm / length).item())


def less(exercise, off):
    return lambda config: exercise.answer(config) - off(config)


def one_hot_in_columns(ids, V):
    rows = torch.zeros(len(ids), V)
    rows[:, ids] = 1
    return rows


def all_blanks_in_one(text):
    words = r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+"
    return re.findall(rf"{words}|\s+", text)


def frames_by_hanning(sound, window, hop):
    frames = sound.unfold(0, window, hop) * torch.from_numpy(np.hanning(window)).float()
    return torch.fft.rfft(frames).abs().square().clamp(min=1e-12).log10()


def without_zeros(ids, pair, new):
    merged, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            merged.append(new)
            i += 2
        else:
            merged += [ids[i]] if ids[i] else []
            i += 1
    return merged


def leftmost_first(ids, merges):
    ids, i = list(ids), 0
    while i + 1 < len(ids):
        if (ids[i], ids[i + 1]) in merges:
            ids[i : i + 2] = [256 + merges.index((ids[i], ids[i + 1]))]
            i = -1
        i += 1
    return ids


def marks_by_replacing(turns, marks):
    ids = list("".join(f"<{who}>{words}<end>" for who, words in turns).encode())
    for name, mark in marks.items():
        spelled = list(f"<{name}>".encode())
        for i in reversed(range(len(ids))):
            if ids[i : i + len(spelled)] == spelled:
                ids[i : i + len(spelled)] = [mark]
    return ids


def carries_of_more_than_ten(a, b, columns):
    found, carry = [], 0
    for i in range(columns):
        found.append(carry)
        carry = 1 if a // 10**i % 10 + b // 10**i % 10 + carry > 10 else 0
    return found


def lean_of_plain_ink(image):
    H, W = image.shape
    y, x = -torch.arange(H).float().view(H, 1), torch.arange(W).float().view(1, W)
    y, x = y - (image * y).sum(), x - (image * x).sum()
    return (image * x * y).sum() / (image * y * y).sum()


WRONG = {
    "one scale for a matrix": (
        ex.to_int8,
        lambda w: ((w * 127 / w.abs().max()).round().to(torch.int8), w.abs().max() / 127),
        "all rows have one scale",
    ),
    "runs of k": (
        ex.count_runs,
        lambda t, k: Counter(t[i : i + k] for i in range(len(t) - k)),
        "make k + 1",
    ),
    "runs cut short": (
        ex.count_runs,
        lambda t, k: Counter(t[i : i + k + 1] for i in range(len(t))),
        "a slice stops where the text does",
    ),
    "runs as tuples": (
        ex.count_runs,
        lambda t, k: Counter(zip(*(t[i:] for i in range(k + 1)), strict=False)),
        "keys are tuples",
    ),
    "runs in a list": (
        ex.count_runs,
        lambda t, k: [t[i : i + k + 1] for i in range(len(t) - k)],
        "not how often",
    ),
    "runs with str.count": (
        ex.count_runs,
        lambda t, k: {r: t.count(r) for r in ex.count_runs.answer(t, k)},
        "do not overlap",
    ),
    "one-hot in columns": (ex.one_hot, one_hot_in_columns, "sets whole columns"),
    "one-hot of the wrong length": (ex.one_hot, lambda ids, V: torch.eye(V), "pick the rows"),
    "one-hot counted": (
        ex.one_hot,
        lambda ids, V: torch.bincount(ids, minlength=V),
        "their order is lost",
    ),
    "norms swapped": (ex.block_forward, block("2", "1"), "two norms are swapped"),
    "first norm twice": (ex.block_forward, block("1", "1"), "first norm is used twice"),
    "second norm twice": (ex.block_forward, block("2", "2"), "second norm is used twice"),
    "no first norm": (ex.block_forward, block("", "2"), "attn should read ln_1(x)"),
    "no second norm": (ex.block_forward, block("1", ""), "mlp should read ln_2(x)"),
    "a stripped text": (ex.symbols_of, lambda t: "".join(sorted(set(t.strip()))), ".strip()"),
    "a set": (ex.symbols_of, lambda t: "".join(set(t)), "not sorted"),
    "a list of a set": (ex.symbols_of, lambda t: list(set(t)), "join it"),
    "ids as floats": (ex.encode, lambda t, s: [float(s.index(c)) for c in t], "decimal point"),
    "ids as a float array": (
        ex.encode,
        lambda t, s: np.array([float(s.index(c)) for c in t]),
        "decimal point",
    ),
    "ids one at a time": (ex.encode, lambda t, s: map(s.index, t), "put list(...) around it"),
    "choices as text": (ex.choices, lambda loss: f"{math.exp(loss):.2f}", "without str()"),
    "a loop too far": (ex.bigram_counts, too_far, "range(len(ids) - 1)"),
    "a mask after the softmax": (
        ex.attention_head,
        head(lambda s, d: (s / d**0.5).softmax(-1).tril()),
        "mask comes after the softmax",
    ),
    "zeros before the softmax": (
        ex.attention_head,
        head(lambda s, d: (s / d**0.5).tril().softmax(-1)),
        "0 is an ordinary score",
    ),
    "no softmax": (ex.attention_head, head(lambda s, d: (s / d**0.5).tril()), "softmax is missing"),
    "the scale after the softmax": (
        ex.attention_head,
        head(lambda s, d: masked(s).softmax(-1) / d**0.5),
        "scale comes after the softmax",
    ),
    "divided by d": (
        ex.attention_head,
        head(lambda s, d: masked(s / d).softmax(-1)),
        "not by its square root",
    ),
    "weights turned": (
        ex.attention_head,
        head(lambda s, d: masked(s / d**0.5).softmax(-1).T),
        "weights.T @ v",
    ),
    "tril inverted in a head": (
        ex.attention_head,
        head(lambda s, d: (s / d**0.5).masked_fill(~future(s), -math.inf).softmax(-1)),
        "upside down",
    ),
    "tril inverted": (
        ex.causal_weights,
        lambda s: s.masked_fill(~future(s), -math.inf).softmax(-1),
        "upside down",
    ),
    "gain and bias swapped": (ex.layer_norm, norm_as(lambda x, g, b: x * b + g), "swapped"),
    "bias before gain": (ex.layer_norm, norm_as(lambda x, g, b: (x + b) * g), "before the gain"),
    "norms of the blocks half": (
        ex.count_params,
        less(ex.count_params, lambda c: c.n_layer * 2 * c.n_embd),
        "4,608 short = 6 x 2C",
    ),
    "no last norm": (
        ex.count_params,
        less(ex.count_params, lambda c: 2 * c.n_embd),
        "768 short = 2C: the last norm",
    ),
    "c_attn twice": (
        ex.count_params,
        less(ex.count_params, lambda c: -c.n_layer * (3 * c.n_embd**2 + 3 * c.n_embd)),
        "too many = 6 x (3C * C + 3C): c_attn",
    ),
    "a high of one": (
        ex.rate_at,
        lambda step, n, warmup, high, low: ex.rate_at.answer(step, n, warmup, 1.0, low),
        "`high` is not used",
    ),
    "hard-wired": (
        ex.rate_at,
        lambda step, *others: ex.rate_at.answer(step, 100, 10, 1.0, 0.1),
        "looks at `step` alone",
    ),
    "warmup + 1": (
        ex.rate_at,
        rate_with(half, lambda step, warmup: (step + 1) / (warmup + 1)),
        "divides by warmup + 1",
    ),
    "no 1 +": (ex.rate_at, rate_with(lambda c: 0.5 * c), "`1 +` is missing"),
    "no 0.5 *": (ex.rate_at, rate_with(lambda c: 1 + c), "`0.5 *` is missing"),
    "1 - cos": (ex.rate_at, rate_with(lambda c: 0.5 * (1 - c)), "the curve goes up"),
    "lr * gradient": (ex.sgd_step, lambda w, g, lr: lr * g, "the step alone"),
    "no clip below 1": (ex.clip_factor, clip_below_one, "The limit is max_norm"),
    "top-k thrown away": (ex.top_k_chances, thrown_away, "is its result kept"),
    "top-k with ties": (
        ex.top_k_chances,
        lambda z, k: z.masked_fill(z < z.topk(k).values[:, -1:], -math.inf).softmax(-1),
        "more than k",
    ),
    "top-p thrown away": (ex.top_p_chances, top_p_thrown_away, "is its result kept"),
    "top-p without the crossing one": (ex.top_p_chances, without_crossing, "crosses p is cut"),
    "on meta": (ex.causal_mean, then(ex.causal_mean, lambda y: y.to("meta")), "device 'meta'"),
    "no last pair": (
        ex.most_frequent_pair,
        lambda ids: pair_by_counter(ids[:-1]),
        "range(len(ids) - 1)",
    ),
    "the last of equals": (
        ex.most_frequent_pair,
        lambda ids: sorted(Counter(itertools.pairwise(ids)).items(), key=lambda c: c[1])[-1][0],
        "takes the one that comes last",
    ),
    "a zero taken for nothing": (ex.merge_pair, without_zeros, "`if ids[i]` takes it"),
    "the leftmost pair": (
        ex.bpe_encode,
        leftmost_first,
        "take the merge that was learnt first",
    ),
    "all blanks in one": (ex.gpt2_pieces, all_blanks_in_one, "takes the space of the next word"),
    "split": (ex.gpt2_pieces, str.split, "the spaces are gone"),
    "marks typed": (ex.chat_ids, marks_by_replacing, "somebody who types <end> ends the turn"),
    "a carry of 10": (ex.carries, carries_of_more_than_ten, "exactly 10 carries as well"),
    "over G": (
        ex.group_advantages,
        lambda r: (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True, correction=0) + 1e-4),
        "divides by G here",
    ),
    "a symmetric window": (ex.log_frames, frames_by_hanning, "window is symmetric"),
    "a mean over masked places": (
        ex.caption_loss,
        lambda z, y, n: F.cross_entropy(
            z[:, n:].flatten(0, 1), y.flatten(), reduction="none"
        ).mean(),
        "also those that are left out",
    ),
    "a lean without shares": (ex.lean_of, lean_of_plain_ink, "not made to shares"),
    "a value as text": (ex.initial_loss, "10.82", "write the number without quotes"),
    "a value with commas in text": (ex.embedding_cost, "19,298,688", "answer = 19298688"),
    "a value with commas": (ex.embedding_cost, (19, 298, 688), "answer = 19_298_688"),
    "a value of true": (ex.greedy_texts, True, "a number is expected, not a bool"),
    "an exit": (ex.choices, lambda loss: exit(1), "it raised SystemExit"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_and_named(name):
    exercise, answer, words = WRONG[name]
    status, message = exercise.judge(answer)
    assert status == "Not yet"
    assert words in message


def norm_by_module(x, gain, bias):
    module = nn.LayerNorm(x.size(-1))
    module.weight.data, module.bias.data = gain, bias
    return module(x)


def thirds(x, w, at, n_head):
    """Queries, keys and values, each (B, n_head, T, hs)."""
    made = by_hand.linear(x, w, f"{at}.c_attn").unflatten(-1, (3, n_head, -1))
    return made.permute(2, 0, 3, 1, 4)


BY_PYTORCH = {
    "F.layer_norm": (ex.layer_norm, lambda x, g, b: F.layer_norm(x, x.shape[-1:], g, b)),
    "nn.LayerNorm": (ex.layer_norm, norm_by_module),
    "a GPT": (ex.count_params, lambda c: sum(p.numel() for p in GPT(c).parameters())),
    "num_params": (ex.count_params, lambda c: GPT(c).num_params()),
    "fused attention": (
        ex.attention_head,
        lambda x, q, k, v: F.scaled_dot_product_attention(
            (x @ q)[None], (x @ k)[None], (x @ v)[None], is_causal=True
        )[0],
    ),
    "fused attention of all heads": (
        ex.self_attention,
        lambda x, w, at, n: by_hand.linear(
            by_hand.merge_heads(
                F.scaled_dot_product_attention(*thirds(x, w, at, n), is_causal=True)
            ),
            w,
            f"{at}.c_proj",
        ),
    ),
    "cross_entropy": (
        ex.loss_by_hand,
        lambda z, y: F.cross_entropy(z.flatten(0, 1), y.flatten()),
    ),
}


@pytest.mark.parametrize("name", BY_PYTORCH)
def test_right_but_not_by_hand(name):
    exercise, answer = BY_PYTORCH[name]
    assert exercise.judge(answer)[0] == "Right; now by hand"


def test_what_a_right_answer_prints_is_printed_once_for_each_input(capsys):
    def layer_norm(x, gain, bias):
        print("here")
        return ex.layer_norm.answer(x, gain, bias)

    ex.layer_norm.check(layer_norm)
    assert capsys.readouterr().out.count("here") == len(ex.layer_norm.inputs)


@pytest.mark.parametrize("exercise", [e for e in ex.ALL.values() if callable(e.answer)])
def test_a_result_without_numbers_is_told_so_and_raises_nothing(exercise, capsys):
    exercise.check(lambda *arguments: torch.zeros(3, device="meta"))
    exercise.check(lambda *arguments: [torch.zeros(3, device="meta")])
    told = capsys.readouterr().out
    assert told.startswith("Not yet: it is on the device 'meta'")
    assert "cannot be read" not in told


def raising(error):
    def answer(*arguments):
        raise error

    return answer


class Evil:
    def __repr__(self):
        raise RuntimeError

    __eq__ = __len__ = __iter__ = __repr__


ODD = [
    *map(raising, (GeneratorExit(), SystemExit(3), StopIteration())),
    *(
        lambda *arguments, odd=odd: odd
        for odd in (Evil(), torch.zeros(2, 2).to_sparse(), torch.zeros(3) * 1j, 10**400, range(5))
    ),
]


@pytest.mark.parametrize("exercise", [e for e in ex.ALL.values() if callable(e.answer)])
def test_nothing_is_raised_whatever_the_answer_does(exercise, capsys):
    for answer in ODD:
        exercise.check(answer)
        assert capsys.readouterr().out.startswith("Not yet: ")


# Ending


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(patience, "SECONDS", 0.3)


def merge_without_going_on(ids, pair, new):
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
    return merged


def swallowing(ids, pair, new):
    while True:
        try:  # noqa: SIM105
            len(ids)
        except Exception:
            pass


def swallowing_all(ids, pair, new):
    while True:
        try:  # noqa: SIM105
            len(ids)
        except:  # noqa: E722
            pass


def sleeping(ids, pair, new):
    time.sleep(60)


def of_a_generator(ids, pair, new):
    return sum(1 for _ in itertools.count())


ENDLESS = [merge_without_going_on, swallowing, swallowing_all, sleeping, of_a_generator]


@pytest.mark.parametrize("answer", ENDLESS)
def test_what_never_ends_is_ended(answer, impatient):
    began = time.monotonic()
    status, message = ex.merge_pair.judge(answer)
    assert time.monotonic() - began < 20
    assert status == "Not yet"
    assert message.startswith("it did not end; it was stopped after")
    assert "does the loop's variable grow in every branch?" in message


def test_it_is_ended_in_any_thread(impatient):
    told = []
    thread = threading.Thread(
        target=lambda: told.append(ex.merge_pair.judge(merge_without_going_on)[1])
    )
    thread.start()
    thread.join(20)
    assert told[0].startswith("it did not end")


def test_what_eats_memory_is_ended_long_before_its_time(monkeypatch):
    monkeypatch.setattr(patience, "MEGABYTES", 50)

    def answer(ids, pair, new):
        merged = []
        while True:
            merged.append(1_000_000 * b"x")
            time.sleep(0.002)  # half a gigabyte a second

    began = time.monotonic()
    assert "over 50 MB of memory" in ex.merge_pair.judge(answer)[1]
    assert time.monotonic() - began < 9


def test_what_prints_for_ever_is_ended_before_it_fills_the_page(capsys):
    def answer(ids, pair, new):
        while True:
            print(ids)

    ex.merge_pair.check(answer)
    told = capsys.readouterr().out
    assert "it printed over 100,000 characters" in told
    assert len(told) < 110_000


def test_the_stop_button_gives_the_same_sentence(capsys):
    def answer(ids, pair, new):
        raise KeyboardInterrupt

    ex.merge_pair.check(answer)
    told = capsys.readouterr().out
    assert told.startswith("Not yet: it did not end; you stopped it")
    assert "grow in every branch?" in told


def test_nothing_arrives_after_the_end(impatient):
    for _ in range(5):
        ex.merge_pair.judge(merge_without_going_on)
        time.sleep(0.3)  # a late one would be raised here


def test_with_a_tracer_such_as_a_debugger_s_it_ends_and_python_goes_on(impatient):
    def tracer(frame, event, argument):
        return tracer

    before = sys.gettrace()
    threading.settrace(tracer)  # of the threads that begin from here on
    sys.settrace(tracer)
    try:
        for answer in (merge_without_going_on, swallowing_all, sleeping, lambda *_: [0]):
            assert ex.merge_pair.judge(answer)[0] == "Not yet"
            assert [len(str(i)) for i in range(3)] == [1, 1, 1]
    finally:
        sys.settrace(before)
        threading.settrace(before)


# Showing


def test_the_call_that_failed_is_shown_where_it_is_small(capsys):
    ex.bigram_counts.check(lambda ids, V: torch.zeros(V, V, dtype=torch.long))
    assert (
        "    bigram_counts(tensor([0, 1, 2, 1]), 3)\n"
        "        gave     tensor([[0, 0, 0], [0, 0, 0], [0, 0, 0]])\n"
        "        expected tensor([[0, 1, 0], [0, 0, 1], [0, 1, 0]])\n"
    ) in capsys.readouterr().out
    ex.choices.check(lambda loss: 2.0**loss)
    assert "choices(4.174) gave 18.06, expected 65\n" in capsys.readouterr().out
    ex.count_params.check(lambda config: 1)
    assert "count_params(GPTConfig()) gave 1, expected 10770816\n" in capsys.readouterr().out
    ex.count_runs.check(lambda text, k: {})
    assert "count_runs('banana', 1) gave {}, expected Counter({'an': 2, 'na': 2, 'ba': 1})\n" in (
        capsys.readouterr().out
    )
    ex.rate_at.check(lambda step, *others: 1 / 0)
    assert "    rate_at(0, 100, 10, 1, 0.1): expected 0.1\n" in capsys.readouterr().out


def test_what_is_large_is_not_shown():
    assert not example("f", (torch.zeros(50),), 1, 2)
    assert not example("f", (print,), 1, 2)
    assert not example("f", (1,), "x" * 200, 2)


@pytest.mark.parametrize("name", ["temperature_softmax", "top_k_chances"])
def test_a_solution_does_not_give_away_the_next_exercise(name, capsys):
    ex.ALL[name].solution()
    assert "top_p" not in capsys.readouterr().out


# Handing back


def test_the_learner_s_function_is_handed_back_if_it_is_right(capsys):
    def encode(text, symbols):
        return np.array([symbols.index(c) for c in text])

    handed = ex.encode.check(encode)
    assert "The next cells use your encode." in capsys.readouterr().out
    assert handed.function is encode
    assert handed("cab", "abc") == [2, 0, 1]  # in the form that the next cells expect
    assert type(handed("cab", "abc")[0]) is int


def test_else_it_is_the_library_s(capsys):
    for answer in (lambda text, symbols: ..., lambda text, symbols: [1], None):
        handed = ex.encode.check(answer)
        assert "The next cells use the library's encode." in capsys.readouterr().out
        assert handed("cab", "abc") == [2, 0, 1]
        ex.encode.check(handed)  # the cell is run again: still the learner's answer that counts
        assert not capsys.readouterr().out.startswith("Right")


def test_a_handed_function_keeps_its_gradient():
    x = torch.randn(4, 3, requires_grad=True)
    matrices = [torch.randn(3, 2) for _ in range(3)]
    ex.attention_head.check(ex.attention_head.answer)(x, *matrices).sum().backward()
    assert x.grad.abs().sum() > 0


def test_a_check_as_the_last_line_of_a_cell_shows_nothing_more(capsys):
    from IPython.core.interactiveshell import InteractiveShell

    handed = ex.choices.check(math.exp)
    assert repr(handed) == ""
    formatted = InteractiveShell.instance().display_formatter.format(handed)
    assert formatted == ({}, {})


# In a kernel

BEFORE = """
import math, time
from nanogpt_lib import exercises as ex
from nanogpt_lib.course.exercises import by_hand, patience
patience.SECONDS = 0.5

def stuck(ids, pair, new):
    while True:
        ids = list(ids)

def asleep(ids, pair, new):
    time.sleep(100)
"""
PRESS_STOP = """
import os, signal, threading
patience.SECONDS = 100
threading.Timer(2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_in_a_kernel_it_shows_a_line_ends_a_loop_and_heeds_the_stop_button():
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(source)
            for source in (
                BEFORE,
                "ex.choices.check(math.exp)",
                "ex.merge_pair.check(stuck)",
                "ex.merge_pair.check(asleep)",
                PRESS_STOP + "ex.merge_pair.check(stuck)",
                "print(6 * 7)",
            )
        ]
    )
    NotebookClient(notebook, timeout=60).execute()
    said = []
    for cell in notebook.cells[1:]:
        (output,) = cell.outputs  # and no function object after it
        said.append(output.text)
    assert said[0].startswith("Right: its name is perplexity")
    assert "it did not end; it was stopped after 0 seconds (in: " in said[1]
    assert "it did not end; it was stopped" in said[2]
    assert "it did not end; you stopped it" in said[3]
    assert said[4] == "42\n"


# Against another implementation


@given(st.text("aZé'slt \t\n19_.?<"))
def test_the_pieces_of_the_exercise_are_those_of_gpt2(text):
    theirs = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    assert ex.gpt2_pieces.answer(text) == [text[a:b] for _, (a, b) in theirs]


@given(st.text("abcdé", max_size=30))
def test_encode_and_decode_of_the_exercises_are_the_library_s(text):
    tokenizer = BPETokenizer.train("abc abcd bcd cd dé ab abc é é é", 280)
    ids = ex.bpe_encode.answer(list(text.encode()), tokenizer.merges)
    assert ids == tokenizer.encode(text)
    assert ex.bpe_decode.answer(ids, tokenizer.merges) == text
