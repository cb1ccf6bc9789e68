"""Pieces of words: any text comes back, and the merges are those of the `tokenizers` library."""

import json
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from nanogpt_lib import generate, split, stream
from nanogpt_lib.bpe import BYTES, PIECE, BPETokenizer
from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs import checkpoint
from nanogpt_lib.runs.checkpoint import CheckpointError
from nanogpt_lib.training import TrainConfig, new_run, train

# Texts in which pairs repeat, and in which many are equally frequent.
REPETITIVE = st.text("ab c'.\né", max_size=80)
LETTERS = [chr(0x4E00 + value) for value in range(BYTES)]  # in the order of the bytes


@pytest.fixture(scope="module")
def bpe(text) -> BPETokenizer:
    return BPETokenizer.train(split(text)[0], 1024)


def merges_of_the_tokenizers_library(text: str, vocab_size: int) -> list[tuple[int, int]]:
    """Trained on the same pieces, each byte as a letter: it breaks ties by the letters' order."""
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, initial_alphabet=LETTERS, show_progress=False
    )
    pieces = ("".join(LETTERS[b] for b in piece.encode()) for piece in PIECE.findall(text))
    theirs.train_from_iterator([" ".join(pieces)], trainer)
    model = json.loads(theirs.to_str())["model"]
    return [(model["vocab"][a], model["vocab"][b]) for a, b in model["merges"]]


def test_the_merges_on_shakespeare_equal_those_of_the_tokenizers_library(text):
    merges = BPETokenizer.train(text, 4096).merges
    assert len(merges) == 4096 - BYTES
    assert merges == merges_of_the_tokenizers_library(text, 4096)


@given(text=REPETITIVE.filter(bool))
@example("aaaaa aaaa aaa")
@example("abab cdcd abab cdcd")  # two pairs equally frequent
def test_the_merges_on_any_text_equal_those_of_the_tokenizers_library(text):
    assert BPETokenizer.train(text, 300).merges == merges_of_the_tokenizers_library(text, 300)


@given(text=REPETITIVE.filter(bool))
def test_each_merge_takes_the_most_frequent_pair_and_of_equals_the_lowest(text):
    merges = BPETokenizer.train(text, 300).merges
    for made, pair in enumerate(merges):
        before, count = BPETokenizer(merges[:made]), Counter()
        for piece in PIECE.findall(text):
            count.update(pairwise(before.encode(piece)))
        assert pair == min(count, key=lambda p: (-count[p], p))
        assert count[pair] >= 2


@given(text=st.text())
@example("naïve 日本 🙂\u202e\0\x7f\r\n\t  '")
def test_any_text_at_all_survives_the_round_trip(bpe, text):
    ids = bpe.encode(text)
    assert bpe.decode(ids) == text
    assert bpe.decode(torch.tensor(ids, dtype=torch.int64)) == text


@given(text=st.text())
def test_cutting_into_pieces_loses_nothing(text):
    assert "".join(PIECE.findall(text)) == text


def test_pieces_are_words_marks_and_blanks():
    pieces = PIECE.findall("ROMEO:\n\n'Tis o'er, sweet café.")
    assert pieces == ["ROMEO", ":", "\n\n", "'Tis", " o'er", ",", " sweet", " café", "."]


def test_the_whole_corpus_survives_the_round_trip_and_gets_shorter(text, bpe):
    ids = bpe.encode(text)
    assert bpe.decode(ids) == text
    assert len(text) / len(ids) > 2.4
    assert set(ids) <= set(range(bpe.vocab_size))


def test_with_256_tokens_the_ids_are_the_bytes():
    bpe = BPETokenizer.train("hear me speak", 256)
    assert bpe.merges == []
    assert bpe.encode("hé") == list("hé".encode())


def test_training_ends_early_where_no_pair_occurs_twice():
    bpe = BPETokenizer.train("hear hear", 4096)
    assert bpe.symbols[BYTES:] == [b"ar", b"ear", b"hear"]


def test_two_ways_to_the_same_bytes_are_one_token():
    a, b, c = b"abc"
    bpe = BPETokenizer([(a, b), (b, c), (256, c), (a, 257)])
    assert bpe.symbols[BYTES:] == [b"ab", b"bc", b"abc"]
    assert bpe.vocab_size == 259


@pytest.mark.parametrize("size", [255, 0, -1, 300.0, "300", None, True])
def test_a_vocabulary_that_has_no_room_for_the_bytes_is_refused(size):
    with pytest.raises(ValueError, match=r"from 256 up, not .* use CharTokenizer"):
        BPETokenizer.train("text", size)


def test_an_empty_text_is_refused():
    with pytest.raises(ValueError, match="it was empty"):
        BPETokenizer.train("", 300)


def test_half_a_character_is_named_with_the_way_out(bpe):
    for use in (bpe.encode, lambda text: BPETokenizer.train(text, 300)):
        with pytest.raises(ValueError, match=r"'\\ud83d' at place 4 is half .* unknown=\"drop\""):
            use("hear\ud83d me")
    assert bpe.decode(bpe.encode("hear\ud83d me", unknown="drop")) == "hear me"
    assert bpe.decode(bpe.encode("hear\ud83d me", unknown="replace")) == "hear? me"


@pytest.mark.parametrize("unknown", ["ignore", None, "Drop"])
def test_another_way_with_what_is_unknown_is_refused(bpe, unknown):
    with pytest.raises(ValueError, match='must be "error", "drop" or "replace", not'):
        bpe.encode("a", unknown=unknown)


@pytest.mark.parametrize("wrong", [-1, 1024, 10**9])
def test_an_id_beyond_the_end_is_named(bpe, wrong):
    with pytest.raises(ValueError, match=f"no symbol has the id {wrong}: ids go from 0 to 1023"):
        bpe.decode([0, wrong, 1])


def test_bytes_that_make_no_character_become_the_replacement_character():
    assert BPETokenizer().decode("é".encode()[:1]) == "\ufffd"


@pytest.mark.parametrize("merge", [(97, 256), (-1, 97), (97,), (97, 98, 99), ("a", "b"), (True, 1)])
def test_a_merge_that_cannot_be_is_named(merge):
    with pytest.raises(ValueError, match=r"merge 0 joins .* two ids below 256 are needed"):
        BPETokenizer.from_dict({"type": "bpe", "merges": [merge]})


def test_it_comes_back_from_plain_data(bpe):
    data = json.loads(json.dumps(bpe.to_dict()))
    again = BPETokenizer.from_dict(data)
    assert again.merges == bpe.merges
    assert again.symbols == bpe.symbols


# With a model


@pytest.fixture(scope="module")
def saved(text, bpe, tmp_path_factory):
    """A checkpoint of a model that was trained a little on pieces of words."""
    train_ids, val_ids = split(torch.tensor(bpe.encode(text[:50_000])))
    torch.manual_seed(0)
    size = GPTConfig(vocab_size=1024, block_size=16, n_layer=1, n_head=2, n_embd=16)
    config = TrainConfig(max_steps=5, batch_size=4, eval_interval=5, eval_batches=1)
    run = train(new_run(GPT(size), train_ids, val_ids, config))
    path = tmp_path_factory.mktemp("bpe") / "best.safetensors"
    checkpoint.save(checkpoint.snapshot(run, bpe, {}, complete=False), path)
    return path


def test_a_checkpoint_carries_it_and_the_model_writes_with_it(saved, bpe):
    model, tokenizer, _ = checkpoint.load_model(saved)
    assert isinstance(tokenizer, BPETokenizer)
    assert tokenizer.merges == bpe.merges
    written = generate(model, tokenizer, "ROMEO: café", 20, seed=1)
    assert written.startswith("ROMEO: café") and len(written) > 20


@pytest.mark.slow
def test_the_command_line_samples_from_it(saved, nanogpt):
    model, tokenizer, _ = checkpoint.load_model(saved)
    output = nanogpt("sample", saved, "--prompt", "ROMEO:", "-n", "9", "--seed", "1").stdout
    assert output == harmless(generate(model, tokenizer, "ROMEO:", 9, seed=1)) + "\n"


def test_a_tokenizer_of_an_unknown_kind_is_named(saved, tmp_path):
    data = checkpoint.load(saved)
    data["tokenizer"] = {"type": "words"}
    checkpoint.save(data, tmp_path / "new.safetensors")
    with pytest.raises(CheckpointError, match=r"tag 'words' .* expected tags: 'char', 'bpe'"):
        checkpoint.load_model(tmp_path / "new.safetensors")


@given(st.lists(st.integers(0, 300), max_size=30))
def test_streamed_ids_give_the_same_text_as_all_at_once(ids):
    # Whole characters, halves of characters, and bytes that are none at all.
    tokenizer = BPETokenizer.train("naïve café \U0001f600\U0001f601 שלום " * 20, 301)
    ids = [i for i in ids if i < tokenizer.vocab_size]
    assert "".join(tokenizer.decode_stream([i] for i in ids)) == tokenizer.decode(ids)


@given(st.text(st.characters(codec="utf-8")))
def test_no_character_is_torn_when_its_bytes_come_one_by_one(text):
    pieces = list(BPETokenizer().decode_stream([i] for i in text.encode()))
    assert "".join(pieces) == text
    assert all(len(piece) <= 1 for piece in pieces)  # a character comes when it is whole


@pytest.mark.parametrize("prompt", ["", "\U0001f600", "naïve"])
def test_a_stream_writes_what_generate_writes(prompt):
    tokenizer = BPETokenizer.train("naïve café \U0001f600\U0001f601 " * 20, 262)
    torch.manual_seed(0)
    size = GPTConfig(vocab_size=tokenizer.vocab_size, block_size=8, n_layer=1, n_head=1, n_embd=8)
    model = GPT(size).eval()
    for seed in range(5):  # an untrained model writes torn and whole characters
        settings = {"max_new_tokens": 40, "top_k": None, "temperature": 1.0, "seed": seed}
        written = prompt + "".join(stream(model, tokenizer, prompt, **settings))
        assert written == generate(model, tokenizer, prompt, **settings)


def test_a_token_cannot_double_for_ever():
    doubling = [(97, 97), *((256 + i, 256 + i) for i in range(39))]  # 2^40 bytes
    with pytest.raises(ValueError, match=r"merge 9 makes a token of 1,024 bytes"):
        BPETokenizer(doubling)
    dull = BPETokenizer.train("a" * 100_000 + " b c", 300)  # training stops before that
    assert max(map(len, dull.symbols)) <= 1000
    assert dull.decode(dull.encode("a" * 5000)) == "a" * 5000


@pytest.mark.parametrize(
    "text", ["a  b", "a   b\n  c", "x \n\n y", "  two", "end  ", "a  .b", "a\t b"]
)
def test_after_several_blanks_a_word_keeps_its_space_as_in_gpt2(text):
    theirs = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True).pre_tokenize_str(text)
    assert PIECE.findall(text) == [text[a:b] for _, (a, b) in theirs]
