"""The ladder of baselines, against the figures known for the corpus and a slow, plain counter."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from nanogpt_lib import ngram
from nanogpt_lib.ngram import counts_of, keys, ladder, ngram_loss

TOKENS = st.lists(st.integers(0, 3), min_size=6, max_size=60)


def slow_loss(train, val, vocab_size, k, alpha):
    """What ngram_loss should give: dictionaries and one token after another."""
    grams = Counter(tuple(train[i : i + k + 1]) for i in range(len(train) - k))
    contexts = Counter(tuple(train[i : i + k]) for i in range(len(train) - k))
    total = 0
    for i in range(len(val) - k):
        seen = grams[tuple(val[i : i + k + 1])]
        total -= math.log((seen + alpha) / (contexts[tuple(val[i : i + k])] + alpha * vocab_size))
    return total / (len(val) - k)


def test_the_ladder_of_tiny_shakespeare_has_the_known_rungs(ids):
    rungs = ladder(*ids, vocab_size=65)
    assert [rung["k"] for rung in rungs] == [-1, 0, 1, 2, 3, 4, 5]
    known = [4.174, 3.347, 2.484, 2.046, 1.779, 1.750, 1.979]
    assert [rung["loss"] for rung in rungs] == pytest.approx(known, abs=0.01)
    assert rungs[0]["loss"] == math.log(65)


def test_the_training_split_has_1380_pairs_of_letters(ids, text):
    train_ids, _ = ids
    assert len(torch.unique(keys(train_ids, 2, 65))) == 1380
    train_text = text[: len(train_ids)]
    assert len(set(pairwise(train_text))) == 1380


def test_the_smoothing_is_the_best_for_four_characters(ids):
    losses = {alpha: ngram_loss(*ids, 65, k=4, alpha=alpha) for alpha in (0.01, 0.02, 0.03, 0.04)}
    assert min(losses, key=losses.get) == 0.03
    assert ngram_loss(*ids, 65, k=4) == losses[0.03]


@given(
    train=TOKENS,
    val=TOKENS,
    spread=st.sampled_from([1, 7, 1000]),  # the tokens become 0 to 3, 0 to 21, or 0 to 3,000
    k=st.integers(0, 4),
    alpha=st.floats(1e-6, 10),
)
def test_a_loss_is_what_counting_with_dictionaries_gives(train, val, spread, k, alpha):
    train, val = [t * spread for t in train], [t * spread for t in val]
    vocab_size = 3 * spread + 1
    fast = ngram_loss(torch.tensor(train), torch.tensor(val), vocab_size, k, alpha)
    assert fast == pytest.approx(slow_loss(train, val, vocab_size, k, alpha), abs=1e-9)


@given(train=TOKENS, context=st.lists(st.integers(0, 3), max_size=4))
def test_the_chances_of_all_next_tokens_sum_to_one(train, context):
    k = len(context)
    train = torch.tensor(train)
    losses = [ngram_loss(train, torch.tensor([*context, t]), 4, k) for t in range(4)]
    assert sum(math.exp(-loss) for loss in losses) == pytest.approx(1)


@given(
    ids=st.lists(st.sampled_from([0, 1, 2, 98, 99]), min_size=9, max_size=40),
    k=st.integers(1, 9),
)
def test_runs_have_the_same_key_exactly_when_they_are_the_same(ids, k):
    runs = [tuple(ids[i : i + k]) for i in range(len(ids) - k + 1)]
    numbers = keys(torch.tensor(ids), k, vocab_size=100).tolist()
    assert len(numbers) == len(runs)
    assert len(set(zip(numbers, runs, strict=True))) == len(set(numbers)) == len(set(runs))
    assert min(numbers) >= 0


@given(
    ids=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    wanted=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    k=st.integers(1, 4),
    piece=st.integers(1, 70),
    kind=st.sampled_from([torch.uint8, torch.int16, torch.int32, torch.int64]),
)
def test_counts_are_those_of_a_counter_in_pieces_of_any_size(ids, wanted, k, piece, kind):
    def runs(of):
        return [tuple(of[i : i + k]) for i in range(len(of) - k + 1)]

    assume(len(wanted) >= k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngram, "PIECE", piece)
        asked = keys(torch.tensor(wanted, dtype=kind), k, 4)
        counts = counts_of(asked, torch.tensor(ids, dtype=kind), k, 4)
    assert counts.tolist() == [Counter(runs(ids))[run] for run in runs(wanted)]


@pytest.mark.parametrize("n", range(8))
def test_the_ladder_of_a_short_text_ends_early(n):
    rungs = ladder(torch.arange(20) % 3, torch.arange(n) % 3, vocab_size=3)
    assert [rung["k"] for rung in rungs] == list(range(-1, min(n, 6)))
    assert all(math.isfinite(rung["loss"]) for rung in rungs)


def test_the_ladder_ends_where_runs_no_longer_fit_into_64_bits():
    ids = torch.arange(100) % 4096
    assert ladder(ids, ids, vocab_size=4096, longest=10)[-1]["k"] == 4  # 4096^5 is 2^60
    assert ladder(ids % 2, ids % 2, vocab_size=2, longest=90)[-1]["k"] == 62


def test_the_rungs_are_named_in_words():
    ids = torch.arange(20) % 3
    names = [rung["name"] for rung in ladder(ids, ids, 3, longest=2)]
    assert names == [
        "uniform guess",
        "character frequencies",
        "1 character of context",
        "2 characters of context",
    ]
    names = [rung["name"] for rung in ladder(ids, ids, 3, longest=1, unit="token")]
    assert names == ["uniform guess", "token frequencies", "1 token of context"]


IDS = torch.arange(20) % 3
BAD_CALLS = {
    "a short text": ((IDS, IDS[:2], 3, 2), "2 tokens of context need texts longer than 2 tokens"),
    "no such k": ((IDS, IDS, 3, -1), "k must be 0 or more, not -1"),
    "no smoothing": ((IDS, IDS, 3, 1, 0), "alpha must be above 0, not 0: unseen tokens"),
    "negative smoothing": ((IDS, IDS, 3, 1, -1), "alpha must be above 0, not -1"),
    "too much context": ((IDS, IDS, 65, 11), "11 tokens of context are too many: 12 out of 65"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_table_that_cannot_be_counted_is_refused_with_the_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        ngram_loss(*arguments)
