"""Text to numbers and back."""

import json

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from nanogpt_lib.tokenizer import MAX_SYMBOLS, UNKNOWN, CharTokenizer

ALPHABET = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ANY_TEXT = st.text(min_size=1)


def test_tiny_shakespeare_has_these_65_symbols(tokenizer):
    assert tokenizer.symbols == ALPHABET
    assert tokenizer.vocab_size == 65
    assert tokenizer.encode("\n !z") == [0, 1, 2, 64]


def test_the_whole_corpus_survives_the_round_trip(text, tokenizer):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=st.text(ALPHABET))
def test_any_text_of_the_alphabet_survives_the_round_trip(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(text)


@given(text=ANY_TEXT)
@example("naïve 日本 🙂\u202e\0")
def test_any_text_at_all_survives_the_round_trip_through_its_own_tokenizer(text):
    tokenizer = CharTokenizer.train(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert set(ids) == set(range(tokenizer.vocab_size))  # no symbol is idle
    assert tokenizer.symbols == "".join(sorted(set(text)))


@given(text=st.text(ALPHABET))
def test_tensors_decode_like_lists(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(torch.tensor(ids, dtype=torch.int64)) == text
    assert tokenizer.decode(torch.tensor(ids, dtype=torch.uint8)) == text


@pytest.mark.parametrize("wrong", [-1, 65, 10**9])
def test_an_id_beyond_the_end_is_named(tokenizer, wrong):
    with pytest.raises(ValueError, match=f"no symbol has the id {wrong}: ids go from 0 to 64"):
        tokenizer.decode([0, wrong, 1])


def test_unknown_characters_are_named_with_the_way_out(tokenizer):
    with pytest.raises(ValueError, match="never seen") as caught:
        tokenizer.encode("Götter & 4 ewig")
    message = str(caught.value)
    assert "'4' (U+0034), 'ö' (U+00F6). Use its 65 symbols" in message
    assert 'unknown="drop" or unknown="replace"' in message
    assert "--unknown drop" in message


def test_of_many_unknown_characters_ten_are_named(tokenizer):
    with pytest.raises(ValueError, match=r"'й' \(U\+0439\) and 22 more") as caught:
        tokenizer.encode("абвгдежзийклмнопрстуфхцчшщъыьэюя")
    assert str(caught.value).count("U+") == 10


@given(text=st.text())
def test_dropping_leaves_out_exactly_the_unknown_characters(tokenizer, text):
    kept = "".join(c for c in text if c in ALPHABET)
    assert tokenizer.decode(tokenizer.encode(text, unknown="drop")) == kept


@given(text=st.text())
def test_replacing_puts_a_space_for_each_unknown_character(tokenizer, text):
    replaced = "".join(c if c in ALPHABET else " " for c in text)
    assert tokenizer.decode(tokenizer.encode(text, unknown="replace")) == replaced


def test_replacing_puts_symbol_0_where_there_is_no_space():
    tokenizer = CharTokenizer("xyz")
    assert tokenizer.decode(tokenizer.encode("zoy", unknown="replace")) == "zxy"


@pytest.mark.parametrize("unknown", ["ignore", None, "Drop"])
def test_another_way_with_unknown_characters_is_refused(tokenizer, unknown):
    with pytest.raises(ValueError, match='must be "error", "drop" or "replace", not'):
        tokenizer.encode("a", unknown=unknown)


@given(text=ANY_TEXT, cap=st.integers(2, 20))
def test_a_cap_keeps_the_most_frequent_symbols_and_reads_the_rest_as_unknown(text, cap):
    tokenizer = CharTokenizer.train(text, max_symbols=cap)
    assert tokenizer.vocab_size == min(cap, len(set(text)))
    kept = set(tokenizer.symbols)
    read = tokenizer.decode(tokenizer.encode(text))  # never raises on its own text
    assert read == "".join(c if c in kept else UNKNOWN for c in text)
    lost = [text.count(c) for c in set(text) - kept]
    assert all(text.count(c) >= max(lost, default=0) for c in kept - {UNKNOWN})


def test_a_capped_tokenizer_also_reads_what_its_text_never_held():
    tokenizer = CharTokenizer.train("aaabbc", max_symbols=2)
    assert tokenizer.symbols == "a" + UNKNOWN
    assert tokenizer.encode("abz") == [0, 1, 1]
    assert tokenizer.encode("abz", unknown="replace") == [0, 1, 1]
    assert tokenizer.encode("abz", unknown="drop") == [0]


def test_too_many_distinct_characters_are_refused_with_the_cap_as_remedy():
    most = "".join(map(chr, range(0x4E00, 0x4E00 + MAX_SYMBOLS)))
    assert CharTokenizer.train(most).vocab_size == MAX_SYMBOLS
    with pytest.raises(ValueError, match=r"4,097 distinct .* --max-symbols 1000\)"):
        CharTokenizer.train(most + "a")
    assert CharTokenizer.train(most + "a", max_symbols=1000).vocab_size == 1000
    assert CharTokenizer.train(most + "a", max_symbols=10_000).vocab_size == MAX_SYMBOLS + 1


@pytest.mark.parametrize("cap", [1, 0, -5])
def test_a_cap_without_room_is_refused(cap):
    with pytest.raises(ValueError, match="room for one character and the unknown"):
        CharTokenizer.train("ab", max_symbols=cap)


def test_a_tokenizer_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one symbol: was the text empty"):
        CharTokenizer.train("")


def test_a_text_given_for_symbols_is_refused_and_told_where_to_go():
    with pytest.raises(ValueError, match=r"only once; CharTokenizer\.train\(text\) makes"):
        CharTokenizer("hello")


@given(text=ANY_TEXT, cap=st.none() | st.integers(2, 5))
def test_a_tokenizer_comes_back_from_plain_data(text, cap):
    tokenizer = CharTokenizer.train(text, cap)
    again = CharTokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again.symbols == tokenizer.symbols
    assert again.encode(text) == tokenizer.encode(text)
