"""A text made ready for training: its numbers, what was counted, and what was copied."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.corpus import split
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.ngram import ladder
from nanogpt_lib.runs import record, texts
from nanogpt_lib.runs.texts import WINDOW, copied_share, encode, prepare
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import TrainConfig, evaluate, new_run, train


@pytest.fixture
def own(tmp_path):
    """A function that writes a text of one's own and makes it ready."""

    def make(text, **more):
        path = tmp_path / "own.txt"
        path.write_text(text, encoding="utf-8")
        return prepare(str(path), **more)

    return make


# Numbers


@given(text=st.text(min_size=1, max_size=60), piece=st.integers(1, 70))
def test_ids_are_those_of_the_tokenizer_in_pieces_of_any_size(text, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "PIECE", piece)
        for tokenizer in (CharTokenizer.train(text), CharTokenizer.train(text, max_symbols=2)):
            assert encode(text, tokenizer).tolist() == tokenizer.encode(text)
        if text.isprintable():  # no halves of characters
            bpe = BPETokenizer.train(text, 260)
            assert encode(text, bpe).tolist() == bpe.encode(text)


@pytest.mark.parametrize(
    ("symbols", "kind"), [(2, torch.uint8), (256, torch.uint8), (257, torch.int16)]
)
def test_ids_take_the_smallest_type_that_holds_them(symbols, kind):
    text = "".join(map(chr, range(1000, 1000 + symbols)))
    ids = encode(text, CharTokenizer.train(text))
    assert ids.dtype == kind
    assert ids.tolist() == list(range(symbols))


def test_a_run_is_the_same_whatever_type_its_ids_have(some):
    train_ids, val_ids = some
    finished = []
    for kind in (torch.int64, torch.uint8, torch.int16):
        torch.manual_seed(0)
        model = GPT(GPTConfig(vocab_size=65, block_size=16, n_layer=1, n_head=2, n_embd=16))
        config = TrainConfig(max_steps=3, batch_size=4, eval_interval=1, eval_batches=None)
        run = train(new_run(model, train_ids.to(kind), val_ids.to(kind), config))
        finished.append([(point.train_loss, point.val_loss) for point in run.history])
        assert evaluate(model, val_ids.to(kind)) == evaluate(model, val_ids)
        assert {each.dtype for each in BatchSampler(val_ids.to(kind), 8, 2)()} == {torch.int64}
        assert ladder(train_ids.to(kind), val_ids.to(kind), 65) == ladder(train_ids, val_ids, 65)
    assert finished[0] == finished[1] == finished[2]


def test_a_long_text_says_what_takes_long(own, text, monkeypatch, capsys):
    own(text[:5000])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(texts, "LONG", 4000)
    own(text[:5000])
    said = capsys.readouterr().err
    for words in ("own.txt has 5,000 characters", "Counting what follows what", "both splits"):
        assert words in said


def test_what_a_record_holds_is_not_counted_again(own, text, monkeypatch):
    data = own(text[:5000])
    monkeypatch.setattr(texts, "ladder", None)
    monkeypatch.setattr(texts, "copied_share", None)
    again = own(text[:5000], first={"text": data.about, "ladder": data.rungs})
    assert (again.rungs, again.about) == (data.rungs, data.about)


# What stands in both splits


@given(
    train=st.lists(st.integers(0, 1), min_size=WINDOW, max_size=150),
    cuts=st.lists(st.tuples(st.integers(0, 99), st.integers(1, 99)), min_size=1, max_size=4),
    new=st.lists(st.integers(0, 1), max_size=30),
)
def test_the_share_is_that_of_a_plain_search(train, cuts, new):
    val = [token for start, n in cuts for token in train[start : start + n]] + new
    share = copied_share(torch.tensor(train), torch.tensor(val))
    there = "".join(map(str, train))
    windows = ["".join(map(str, val[i : i + WINDOW])) for i in range(len(val) - WINDOW + 1)]
    if windows:
        assert share == pytest.approx(sum(window in there for window in windows) / len(windows))
    else:
        assert share is None


def test_tiny_shakespeare_copies_nothing(ids):
    assert copied_share(*ids) == 0.0


def test_a_sample_of_the_windows_tells_the_share(ids, monkeypatch):
    train_ids, _ = ids
    half = torch.cat([train_ids[:20_000], torch.randint(65, (20_000,))])
    whole = copied_share(train_ids, half)
    monkeypatch.setattr(texts, "MOST_WINDOWS", 2_000)
    assert copied_share(train_ids, half) == pytest.approx(whole, abs=0.01)
    assert whole == pytest.approx(0.5, abs=0.01)


COPIED = {
    "the same text twice": lambda text: 2 * text[:20_000],
    "a log of equal lines": lambda text: "10:00 server: everything is as it was before\n" * 500,
}


@pytest.mark.parametrize("make", COPIED.values(), ids=COPIED)
def test_what_stands_in_both_splits_is_said_before_training(make, own, text, capsys):
    data = own(make(text))
    assert data.copied == 1.0 == data.about["copied"]
    said = capsys.readouterr().err
    assert "note: 100% of the validation text also stands in the training" in said


def test_a_text_that_copies_little_is_left_in_peace(own, text, capsys):
    data = own(text[:20_000] + text[:100] + text[20_000:22_000])
    assert 0 < data.copied < 0.1
    assert split(text)[0] and capsys.readouterr().err == ""


def test_the_record_of_such_a_run_says_so(tmp_path, own, text):
    from nanogpt_lib.runs.presets import get_preset, with_steps
    from nanogpt_lib.runs.whole import resume, train_preset

    path = tmp_path / "twice.txt"
    path.write_text(2 * text[:20_000], encoding="utf-8")
    folder = tmp_path / "run"
    outcome = train_preset(with_steps(get_preset("smoke"), 2), str(path), folder)
    assert record.read(folder).copied == 1.0
    assert outcome.verdict.status in ("copied", "too early")
    again = resume(folder, more_steps=2)
    assert record.read(folder).copied == 1.0
    assert again.rungs == outcome.rungs
