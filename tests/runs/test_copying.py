"""Copies are found exactly: against a search through every run there is, on random texts."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogpt_lib.corpus import split
from nanogpt_lib.runs.copying import Copy, by_chance, copy_lengths, longest_copy

FEW = st.text(alphabet="ab\n", max_size=30)  # few symbols: many copies, many of equal length


def every_copy(sample, text):
    """All runs of the sample that stand in the text, as (start, end): slow, and surely right."""
    n = len(sample)
    runs = [(i, j) for i in range(n) for j in range(i + 1, n + 1)]
    return [
        (i, j) for i, j in runs if any(text.startswith(sample[i:j], k) for k in range(len(text)))
    ]


@given(FEW, FEW)
def test_the_longest_copy_is_the_first_of_the_longest(sample, text):
    copies = every_copy(sample, text)
    found = longest_copy(sample, text)
    assert len(found) == max((j - i for i, j in copies), default=0)
    starts = [i for i, j in copies if j - i == len(found)]
    assert found.start == min(starts, default=0)
    assert found.place == text.index(found.text)
    assert sample[found.start :].startswith(found.text)


@given(FEW, FEW)
def test_each_character_knows_the_longest_copy_around_it(sample, text):
    copies = every_copy(sample, text)
    expected = [
        max((j - i for i, j in copies if i <= at < j), default=0) for at in range(len(sample))
    ]
    assert copy_lengths(sample, text) == expected
    assert max(expected, default=0) == len(longest_copy(sample, text))


@given(FEW, FEW)
def test_what_stands_in_the_text_is_found_whole(before, copied):
    found = longest_copy(copied, before + copied)
    assert found.text == copied


def test_nothing_in_common_and_nothing_at_all():
    assert longest_copy("abc", "xyz") == Copy("", 0, 0)
    assert longest_copy("", "xyz") == longest_copy("abc", "") == Copy("", 0, 0)
    assert copy_lengths("abc", "xbz") == [0, 1, 0]


def test_a_line_is_found_in_the_corpus_and_quickly(text):
    line = "hear me speak.\n\nAll:\nSpeak, speak."
    sample = "zzz hear me spea" + line + "qqq"
    began = time.process_time()
    found = longest_copy(sample * 4, text)
    assert time.process_time() - began < 5
    assert (found.text, found.start) == (line, len("zzz hear me spea"))
    assert text[found.place :].startswith(line)


@pytest.mark.parametrize(
    ("sample", "text"), [("a" * 300, "a" * 10**6), ("ab" * 150, "aab" * 10**5)]
)
def test_monotonous_texts_take_no_longer(sample, text):
    began = time.process_time()
    longest_copy(sample, text)
    assert time.process_time() - began < 5


def test_chance_alone_copies_a_word_or_two(text):
    train_text, val_text = split(text)
    lengths = by_chance(val_text, train_text, samples=40)
    assert lengths == sorted(lengths)
    assert len(lengths) == 40
    assert 14 <= lengths[20] <= 18  # the median of all 557 pieces is 16
    assert lengths[-1] < 32  # the longest of all is 31
    assert by_chance(train_text[:2000], train_text, samples=3) == [200] * 3


def test_a_smaller_text_agrees_less_by_chance(text):
    train_text, val_text = split(text)
    few, many = (by_chance(val_text, train_text[:n], samples=20) for n in (15_000, None))
    assert sum(few) < sum(many)


def test_fewer_pieces_than_asked_for_are_all_taken():
    dice = random.Random(0)
    unseen = "".join(dice.choices("abcdef", k=1050))
    assert len(by_chance(unseen, unseen[::-1], length=100, samples=50)) == 10
    with pytest.raises(ValueError, match="longer text"):
        by_chance("short", "text")
