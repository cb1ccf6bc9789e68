"""Intervals: against what theory knows, and that models with other tokenizers are comparable."""

import math

import pytest
import torch

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs.intervals import (
    Interval,
    bits_by_block,
    interval,
    over_seeds,
    surprises,
)
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate


@pytest.mark.parametrize("length", [17, 18, 32, 33, 34, 97, 120])  # a context has 16
def test_the_mean_of_all_surprises_is_the_loss(tiny, length):
    ids = torch.randint(65, (length,), generator=torch.Generator().manual_seed(length))
    found = surprises(tiny, ids, batch_size=2)
    assert found.shape == (length - 1,)
    assert found.mean().item() == pytest.approx(evaluate(tiny, ids), abs=1e-5)


def test_blocks_together_are_the_whole_text(text):
    tokenizer = CharTokenizer.train(text)
    some = text[-5_000:]
    torch.manual_seed(0)
    model = GPT(GPTConfig(tokenizer.vocab_size, 16, n_layer=1, n_head=1, n_embd=8))
    bits = bits_by_block(model, tokenizer, some, blocks=20)
    loss = evaluate(model, torch.tensor(tokenizer.encode(some)))
    assert bits.mean().item() == pytest.approx(loss / math.log(2), abs=1e-3)
    ids = torch.tensor(tokenizer.encode(some))
    own = surprises(model, ids)[249:499].mean() / math.log(2)  # characters 250 to 499: block 1
    assert bits[1].item() == pytest.approx(own.item(), abs=1e-5)


@pytest.mark.parametrize("word", ["plain text, again and again. ", "Zürich — naïve 🙂 "])
def test_a_token_of_many_characters_shares_its_bits_among_them(word):
    some = word * 40
    tokenizer = BPETokenizer.train(some, 260)
    torch.manual_seed(0)
    model = GPT(GPTConfig(tokenizer.vocab_size, 16, n_layer=1, n_head=1, n_embd=8))
    ids = torch.tensor(tokenizer.encode(some))
    bits = bits_by_block(model, tokenizer, some, blocks=10)
    whole = surprises(model, ids).sum().item() / math.log(2)
    assert bits.mean().item() * len(some) == pytest.approx(whole, rel=0.02)


def test_the_interval_is_as_wide_as_theory_has_it():
    values = torch.randn(400, generator=torch.Generator().manual_seed(1)) + 3
    found = interval(values)
    error = values.std().item() / math.sqrt(len(values))
    assert found.mean == pytest.approx(values.mean().item())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_nineteen_of_twenty_intervals_hold_the_truth():
    held, dice = 0, torch.Generator().manual_seed(2)
    for _ in range(200):
        found = interval(torch.randn(60, generator=dice).exp(), resamples=300)
        held += found.low <= math.exp(0.5) <= found.high
    assert 170 <= held <= 198  # skewed values, as losses are: a little fewer than 190


def test_a_paired_difference_is_known_better_than_either():
    dice = torch.Generator().manual_seed(3)
    hard = torch.randn(100, generator=dice)  # what makes a block hard is hard for both
    a = 2.5 + hard + 0.05 * torch.randn(100, generator=dice)
    b = 2.4 + hard + 0.05 * torch.randn(100, generator=dice)
    alone, other, paired = interval(a), interval(b), interval(a - b)
    assert alone.low < other.high  # the two overlap
    assert paired.low > 0.05 and paired.verdict() == "A costs more"


def test_seeds_are_judged_by_students_t():
    found = over_seeds([1.0, 2.0, 3.0])
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2 - 2.484, 2 + 2.484), abs=1e-3)


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0] * 10])
def test_too_few_seeds_or_too_many_are_refused(values):
    with pytest.raises(ValueError, match="from 3 to 9 seeds"):
        over_seeds(values)


def test_too_few_blocks_are_refused(tiny):
    with pytest.raises(ValueError, match="10 values or more"):
        interval(torch.ones(9))
    with pytest.raises(ValueError, match="too short for 40 blocks"):
        bits_by_block(tiny, CharTokenizer("".join(map(chr, range(65)))), "\0" * 30, blocks=40)


def test_a_verdict_says_when_nothing_is_known():
    assert Interval(0.1, 0.05, 0.2).verdict() == "A costs more"
    assert Interval(-0.1, -0.2, -0.05).verdict() == "B costs more"
    assert "not known" in Interval(0.1, -0.05, 0.2).verdict()
