"""The text: loading, splitting, batches. Where Tiny Shakespeare comes from: test_sources."""

import codecs
import hashlib
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.checks import TextError, check_length
from nanogpt_lib.corpus import fingerprint, load_corpus, split
from nanogpt_lib.shakespeare.own_text import read_text

# Anything a UTF-8 file can hold but what is handled apart: line ends, zero bytes, a byte order
# mark. Half a pair of surrogates (category Cs) is no character.
LINES = st.lists(
    st.text(st.characters(exclude_characters="\r\n\0\ufeff", exclude_categories=["Cs"])),
    min_size=2,
).filter(lambda lines: "".join(lines).strip())


def test_tiny_shakespeare_is_the_text_that_everybody_knows(text):
    sha256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert hashlib.sha256(text.encode()).hexdigest() == sha256
    assert fingerprint(text) == sha256
    assert len(text) == 1_115_394
    assert len(set(text)) == 65
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n")


def test_a_fingerprint_changes_with_any_character():
    assert fingerprint("abc").startswith("ba7816bf8f01cfea")  # the example of FIPS 180-2
    assert len({fingerprint(text) for text in ("abc", "abd", "abc\n", "Abc", "äbc", "")}) == 6


@given(lines=LINES, newline=st.sampled_from(["\n", "\r\n", "\r"]), mark=st.booleans())
def test_a_text_reads_the_same_whatever_system_wrote_it(tmp_path_factory, lines, newline, mark):
    path = tmp_path_factory.getbasetemp() / "own.txt"
    data = newline.join(lines).encode()
    path.write_bytes(codecs.BOM_UTF8 + data if mark else data)
    assert load_corpus(path) == "\n".join(lines)
    assert load_corpus(str(path)) == "\n".join(lines)


BAD_TEXTS = {
    "empty": (b"", "is empty or blank: give a text file"),
    "blank": (b" \r\n\t\n", "is empty or blank: give a text file"),
    "Latin 1": ("Götter".encode("latin1"), r"\(byte 1 is 0xf6\)(?s:.*)save it as UTF-8"),
    "UTF-16": ("Götter".encode("utf-16"), r"\(byte 0 is 0xff\)(?s:.*)save it as UTF-8"),
    "UTF-16 without a mark": ("Gods".encode("utf-16-le"), "zero bytes(?s:.*)save it as UTF-8"),
    "zero bytes": (b"\0" * 1000, "zero bytes.*saved as UTF-8"),
    "a program": (b"\x7fELF\x02\0\0\xff\xfe\xfd\0" * 9, "not UTF-8.*saved as UTF-8"),
}


@pytest.mark.parametrize(("data", "message"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_what_is_no_text_is_refused_with_a_remedy(tmp_path, data, message):
    path = tmp_path / "own.txt"
    path.write_bytes(data)
    with pytest.raises(TextError, match=message) as caught:
        read_text(path)
    assert str(path) in str(caught.value)


def test_a_text_that_is_not_there_is_named_with_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TextError, match=r"cannot be read .*: check name and folder") as caught:
        load_corpus("own.txt")
    assert str(tmp_path / "own.txt") in str(caught.value)
    with pytest.raises(TextError, match="cannot be read"):
        load_corpus(tmp_path)


@given(st.text(max_size=200), st.floats(0, 1))
def test_a_split_loses_nothing_and_keeps_the_order(text, val_fraction):
    train, val = split(text, val_fraction)
    assert train + val == text
    assert abs(len(val) - val_fraction * len(text)) <= 1
    assert split(list(text), val_fraction) == (list(train), list(val))


def test_a_split_trains_on_nine_tenths(ids):
    train_ids, val_ids = ids
    assert len(train_ids) == 1_003_854
    assert len(val_ids) == 111_540


@pytest.mark.parametrize("val_fraction", [-0.1, 1.1, 10, float("nan")])
def test_a_split_that_is_no_share_is_refused(val_fraction):
    with pytest.raises(ValueError, match=f"a share from 0 to 1, not {val_fraction}"):
        split("To be, or not to be", val_fraction)


@given(st.integers(1, 2000))
def test_a_text_of_the_length_that_the_error_asks_for_is_long_enough(block_size):
    with pytest.raises(TextError, match=f"too short for a context of {block_size}:") as caught:
        check_length(range(10 * block_size), range(block_size), block_size)
    advice = f"at least {10 * (block_size + 1):,} tokens, or a smaller block_size"
    assert advice in str(caught.value)
    check_length(*split(range(10 * (block_size + 1))), block_size)


def test_a_text_just_long_enough_gives_its_one_window():
    ids = torch.tensor([3, 1, 4, 1, 5])
    x, y = BatchSampler(ids, block_size=4, batch_size=2)()
    assert x.tolist() == [[3, 1, 4, 1]] * 2
    assert y.tolist() == [[1, 4, 1, 5]] * 2
    with pytest.raises(TextError, match="has 4 tokens and needs 5"):
        BatchSampler(ids[:4], block_size=4, batch_size=2)


@given(n=st.integers(0, 50), block_size=st.integers(1, 20), batch_size=st.integers(1, 8))
def test_a_batch_is_windows_of_the_text_and_their_next_tokens(n, block_size, batch_size):
    ids = torch.arange(block_size + 1 + n) + 100  # each token tells where it stands
    x, y = BatchSampler(ids, block_size, batch_size)()
    assert x.shape == y.shape == (batch_size, block_size)
    assert x.dtype == y.dtype == torch.int64
    assert torch.equal(x, x[:, :1] + torch.arange(block_size))
    assert torch.equal(y, x + 1)
    assert x.min() >= 100
    assert y.max() <= ids[-1]


def test_every_place_of_the_text_is_drawn_equally_often():
    x, _ = BatchSampler(torch.arange(12), block_size=2, batch_size=100_000)()
    drawn = Counter(x[:, 0].tolist())
    assert sorted(drawn) == list(range(10))  # 12 tokens have 10 places for 2 and their targets
    # A fair draw strays by more than 6 standard deviations (95 each) about once in 10^8 runs.
    assert all(abs(count - 10_000) < 6 * 95 for count in drawn.values())


def test_a_seed_gives_the_same_batches_whatever_else_draws_random_numbers():
    ids = torch.arange(10_000)
    first, second = BatchSampler(ids, 8, 4, seed=1), BatchSampler(ids, 8, 4, seed=1)
    for _ in range(3):
        x, _ = first()
        torch.rand(7)
        torch.manual_seed(0)
        again, _ = second()
        assert torch.equal(x, again)
    other, _ = BatchSampler(ids, 8, 4, seed=2)()
    assert not torch.equal(BatchSampler(ids, 8, 4, seed=1)()[0], other)
