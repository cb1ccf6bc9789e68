"""Texts of any size as tokens: the same tokens as in memory, and nothing lost on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.bpe import PIECE, BPETokenizer
from nanogpt_lib.checks import TextError
from nanogpt_lib.corpus import fingerprint, load_corpus, split
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs import texts
from nanogpt_lib.runs.presets import get_preset, with_steps
from nanogpt_lib.runs.texts import counted, prepare
from nanogpt_lib.runs.whole import resume, train_preset
from nanogpt_lib.shards import mapped, reading, vocabulary, writing
from nanogpt_lib.shards.vocabulary import Characters, FastBPE, Pieces, encoder
from nanogpt_lib.shards.writing import write
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import TrainConfig, evaluate, new_run, train

# Long words, long runs of blanks, letters of other scripts, marks of documents and parts of them.
PARTS = [*"ab'\t \n,é日🙂", "\r", "<|endoftext|>\n", "<|end"]
HOSTILE = st.lists(st.sampled_from(PARTS), max_size=120).map("".join)
SMALL_FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def written(tmp_path):
    """A function that writes bytes or a text to a file, makes tokens of it, and returns both."""

    def make(text, **more):
        path = tmp_path / "own.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        folder = tmp_path / "tokens"
        write([path], folder, counted, **more)
        return path, folder

    return make


def as_nanogpt(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Both splits in the two lines with which nanoGPT's train.py reads them."""
    train, val = (
        np.memmap(os.path.join(folder, f"{name}.bin"), dtype=np.uint16, mode="r")
        for name in ("train", "val")
    )
    return train, val


# Reading


@SMALL_FILES
@given(text=HOSTILE.filter(lambda text: text.strip()), size=st.integers(1, 40))
@example("a\r\nb\rc\n\n d", 2)
@example("one<|endoftext|>\n\ntwo <|endoftext|>\nthree", 5)
def test_blocks_are_the_text_and_tear_no_piece(tmp_path, text, size):
    path = tmp_path / "hostile.txt"
    path.write_bytes(text.encode())
    found = list(reading.blocks([path], size))
    whole = load_corpus(path)
    assert "".join(block.text for block in found) == whole
    assert found[-1].place == path.stat().st_size
    if max(map(len, PIECE.findall(whole))) <= reading.MOST_BLOCKS * size:
        pieces = [piece for block in found for piece in PIECE.findall(block.text)]
        assert pieces == PIECE.findall(whole)


def test_a_byte_order_mark_and_a_letter_at_a_block_s_end_are_read_like_a_whole_file(tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "né ".encode() * 50)
    for size in range(1, 12):
        assert "".join(b.text for b in reading.blocks([path], size)) == load_corpus(path)


def test_no_more_than_a_few_blocks_are_in_memory(tmp_path):
    path = tmp_path / "one-word.txt"
    path.write_text("a" * 100_000, encoding="utf-8")
    longest = max(len(block.text) for block in reading.blocks([path], 1000))
    assert longest <= (reading.MOST_BLOCKS + 1) * 1000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"good text\n" * 500 + b"\xe9t\xe9", ("byte 5,000 is 0xe9", "UTF-8")),
        (b"%PDF-1.7 ...", ("a PDF",)),
        (b"text\n" * 90 + b"\0\0", ("zero bytes",)),
        (b"", ("empty",)),
    ],
)
def test_what_is_no_text_is_named_before_anything_is_written(tmp_path, data, words, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK", 700)
    path, folder = tmp_path / "own.txt", tmp_path / "tokens"
    path.write_bytes(data)
    with pytest.raises(TextError) as caught:
        write([path], folder, counted)
    assert all(word in str(caught.value) for word in words), caught.value
    assert list(folder.iterdir()) == []


def test_a_file_that_is_missing_makes_no_folder(tmp_path):
    with pytest.raises(TextError, match=r"nothing\.txt cannot be read"):
        write([tmp_path / "nothing.txt"], tmp_path / "tokens", counted)
    assert not (tmp_path / "tokens").exists()


def test_a_folder_stands_for_its_files_in_order_and_hidden_ones_do_not_count(tmp_path):
    for name, text in {"b.txt": "second", "a/x.txt": "first\n", ".hidden": "no"}.items():
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    files = reading.files_of([tmp_path / "texts", tmp_path / "texts" / "b.txt"])
    assert [file.name for file in files] == ["b.txt", "x.txt", "b.txt"]
    found = list(reading.blocks(files))
    assert [b.text for b in found] == ["second\n", "first\n", "second"]
    assert all(block.document_ends for block in found)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(TextError, match="there is no file"):
        reading.files_of([tmp_path / "nothing"])


# Learning and encoding


@given(text=HOSTILE.filter(bool), cap=st.none() | st.integers(2, 12), size=st.integers(1, 50))
def test_characters_are_learnt_from_blocks_as_from_the_whole(text, cap, size):
    counts = Counter(text)
    learner = Characters(cap)
    for start in range(0, len(text), size):
        learner.add(text[start : start + size])
    ours, whole = learner.learn().symbols, CharTokenizer.train(text, cap).symbols
    # Of equally frequent characters either may be kept.
    assert sorted(map(counts.get, set(ours) - {"\ufffd"})) == sorted(
        map(counts.get, set(whole) - {"\ufffd"})
    )
    if cap is None:
        assert ours == whole


@given(text=HOSTILE.filter(bool))
def test_merges_are_learnt_from_counts_as_from_the_text(text):
    learner = Pieces(300)
    for piece in PIECE.findall(text):  # the smallest blocks there are
        learner.add(piece)
    assert learner.learn().merges == BPETokenizer.train(text, 300).merges


def test_of_too_many_pieces_the_rare_ones_are_forgotten(monkeypatch):
    monkeypatch.setattr(vocabulary, "MOST_PIECES", 100)
    learner = Pieces(300)
    for i in range(1000):
        learner.add(f"often often word{i}x{i}")
    assert len(learner.counts) <= 103
    assert learner.counts[" often"] > 900


@given(text=st.text(max_size=200) | HOSTILE)
@example("naïve 日本語のとても長い文字列 🙂\u202e\0\x7f  '" * 3)
@example("a" * 1000)
def test_the_fast_tokenizer_gives_the_same_ids_for_any_text(text):
    slow = BPETokenizer.train("the cat's hat, the 日本語 日本 🙂🙂🙂 aaaaaaaa\n\n\n" * 3, 330)
    fast = FastBPE(slow.merges)
    assert fast.encode(text) == slow.encode(text)
    assert fast.symbols == slow.symbols and fast.to_dict() == slow.to_dict()
    assert encoder(slow)(text).tolist() == slow.encode(text)


def test_the_fast_tokenizer_takes_two_ways_to_the_same_bytes_like_ours():
    a, b, c = b"abc"
    slow = BPETokenizer([(a, b), (b, c), (256, c), (a, 257)])
    fast = FastBPE(slow.merges)
    for text in ("abc", "abcabc bc ab", "aabbcc"):
        assert fast.encode(text) == slow.encode(text)


def test_the_fast_tokenizer_agrees_on_shakespeare(text):
    slow = BPETokenizer.train(text, 1024)
    assert FastBPE(slow.merges).encode(text) == slow.encode(text)


def test_without_the_library_it_is_slower_and_equal(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    slow = BPETokenizer.train("hear me, hear me speak" * 3, 300)
    fast = FastBPE(slow.merges)
    assert not hasattr(fast, "tokenize")
    assert fast.encode("hear him speak") == slow.encode("hear him speak")


def test_a_cache_that_is_full_is_emptied(monkeypatch):
    monkeypatch.setattr(vocabulary, "MOST_PIECES", 10)
    fast = FastBPE()
    for i in range(50):
        fast.encode(f"w{i} x{i}")
    assert len(fast._known) <= 13


def test_characters_are_encoded_by_table_as_one_by_one():
    known = CharTokenizer.train("hear me, 日本 🙂")
    assert encoder(known)("me 日🙂").tolist() == known.encode("me 日🙂")
    with pytest.raises(ValueError, match="never seen 'o'"):
        encoder(known)("zoo")
    capped = CharTokenizer.train("aaabbbcz", max_symbols=3)
    assert encoder(capped)("abcd").tolist() == capped.encode("abcd")


# Writing


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_tokens_are_those_in_memory_and_nanogpt_reads_the_same(written, text, kind):
    path, folder = written(text[:50_000], tokenizer=kind)
    found = mapped.load(folder)
    whole = torch.tensor(found.tokenizer.encode(text[:50_000]))
    train_ids, val_ids = split(whole) if kind == "char" else whole.split(len(found.train_ids))
    assert found.train_ids.long().equal(train_ids) and found.val_ids.long().equal(val_ids)
    for ours, theirs in zip((found.train_ids, found.val_ids), as_nanogpt(folder), strict=True):
        assert ours.numpy().astype(np.int64).tolist() == theirs.tolist()
    assert found.about.sha256 == fingerprint(text[:50_000])
    assert found.about.val_characters == len(found.tokenizer.decode(val_ids))
    assert sorted(p.name for p in folder.iterdir()) == ["tokens.json", "train.bin", "val.bin"]
    if kind == "char":  # what is counted is what training counts in memory
        data = prepare(str(path))
        assert (data.rungs, data.copied) == (found.about.ladder, found.about.copied)
        assert data.tokenizer.symbols == found.tokenizer.symbols


def test_two_processes_write_what_one_writes(tmp_path, text, monkeypatch):
    path = tmp_path / "own.txt"
    path.write_text(text[:200_000], encoding="utf-8")
    write([path], tmp_path / "one", counted, "bpe", 400)
    monkeypatch.setattr(writing, "SMALL", 1000)
    write([path], tmp_path / "two", counted, "bpe", 400, processes=2)
    for name in ("train.bin", "val.bin", "tokens.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_document_is_whole_in_one_split(written):
    documents = [f"Story {i}. " + "It was so. " * (i % 7) + "\n<|endoftext|>\n" for i in range(400)]
    _, folder = written("".join(documents))
    found = mapped.load(folder)
    train_text, val_text = map(found.tokenizer.decode, (found.train_ids, found.val_ids))
    assert train_text.endswith("<|endoftext|>") and val_text.startswith("\nStory ")
    assert train_text + val_text == "".join(documents)
    assert 0.05 < len(val_text) / len(train_text + val_text) <= 0.1


def test_of_a_long_text_a_million_tokens_are_kept_for_validation(monkeypatch, written, text):
    monkeypatch.setattr(writing, "MOST_VAL", 500)
    _, folder = written(text[:20_000])
    assert len(mapped.load(folder).val_ids) == 500


def test_many_tokens_take_four_bytes_each(written, tmp_path, monkeypatch):
    monkeypatch.setattr(vocabulary, "kind", lambda n: np.uint32)
    for module in (mapped, writing):
        monkeypatch.setattr(module, "kind", lambda n: np.uint32)
    _, folder = written("hear me speak\n" * 200)
    assert mapped.load(folder).train_ids.dtype in (torch.int16, torch.int32)
    assert (folder / "train.bin").stat().st_size == 4 * 2520


class Stops:
    """A stop sign that is raised after so many looks."""

    def __init__(self, after):
        self.left = after

    def __call__(self, words):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def __bool__(self):
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("after", [0, 3, 60])
def test_what_was_stopped_goes_on_and_ends_the_same(tmp_path, text, monkeypatch, after):
    path = tmp_path / "own.txt"
    path.write_text(text[:100_000], encoding="utf-8")
    write([path], tmp_path / "whole", counted, "bpe", 300)
    with monkeypatch.context() as patch:
        patch.setattr(writing, "StopSign", Stops(after))
        with pytest.raises(writing.Interrupted, match="the same command goes on"):
            write([path], tmp_path / "parts", counted, "bpe", 300)
        with open(tmp_path / "parts" / "train.bin", "ab") as file:
            file.write(b"half a tok")  # a power failure while a block was written
    with pytest.raises(FileExistsError, match="other texts, or of other tokens"):
        write([path], tmp_path / "parts", counted, "bpe", 301)
    with monkeypatch.context() as patch:  # the vocabulary is not learnt a second time
        patch.setattr(writing, "first_look", None)
        write([path], tmp_path / "parts", counted, "bpe", 300)
    for name in ("train.bin", "val.bin", "tokens.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_killed_between_its_last_steps_it_can_be_finished(tmp_path, text, monkeypatch):
    path, folder = tmp_path / "own.txt", tmp_path / "tokens"
    path.write_text(text[:30_000], encoding="utf-8")

    def killed(*args, **more):
        raise KeyboardInterrupt

    for name in ("divide", "described"):
        with monkeypatch.context() as patch:
            patch.setattr(writing, name, killed)
            with pytest.raises(KeyboardInterrupt):
                write([path], folder, counted)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(texts, "ladder", killed)
        write([path], folder, counted)
    write([path], folder, counted)
    assert len(mapped.load(folder).train_ids) == 27_000


def test_a_text_that_changes_in_between_is_noticed(tmp_path, text, monkeypatch):
    path, folder = tmp_path / "own.txt", tmp_path / "tokens"
    path.write_text(text[:50_000], encoding="utf-8")
    monkeypatch.setattr(writing, "StopSign", Stops(5))
    with pytest.raises(writing.Interrupted):
        write([path], folder, counted)
    path.write_text(text[1000:50_000] + text[:1000], encoding="utf-8")
    monkeypatch.undo()
    with pytest.raises(TextError, match="changed since it was first read"):
        write([path], folder, counted)


@pytest.mark.slow
def test_a_real_kill_and_a_real_ctrl_c_lose_nothing(tmp_path, text, capsys):
    path, folder = tmp_path / "own.txt", tmp_path / "tokens"
    path.write_text(text * 2, encoding="utf-8")
    program = "import sys; from nanogpt_lib.shards import writing; writing.SMALL = 0; "
    program += "writing.write(sys.argv[1:2], sys.argv[2], lambda *found: {}, 'bpe', 300, None, 2)"
    for number in (signal.SIGKILL, signal.SIGINT):
        command = [sys.executable, "-c", program, str(path), str(folder)]
        running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        bins = folder / "train.bin"
        before = bins.stat().st_size if bins.exists() else 0
        while running.poll() is None and (not bins.exists() or bins.stat().st_size <= before):
            time.sleep(0.01)
        assert running.poll() is None, running.stderr.read()
        running.send_signal(number)
        said = running.communicate()[1]  # it waits for the processes that were started, too
        assert running.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 1), said
    assert "stopped after" in said and "the same command goes on" in said
    assert not (folder / "tokens.json").exists()
    about = write([path], folder, lambda *found: {}, "bpe", 300)
    assert "Going on after" in capsys.readouterr().err
    tokenizer = mapped.tokenizer_of(about["tokenizer"])
    ids = torch.cat(mapped.splits(folder, about, tokenizer))
    assert tokenizer.decode(ids) == text * 2


def test_tokens_are_never_written_over(written, tmp_path):
    path, folder = written("hear me speak\n" * 100)
    with pytest.raises(FileExistsError, match="holds tokens already"):
        write([path], folder, counted)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "train.bin").write_bytes(b"another program's")
    with pytest.raises(FileExistsError, match="something else made"):
        write([path], tmp_path / "foreign", counted)
    assert (tmp_path / "foreign" / "train.bin").read_bytes() == b"another program's"


# Training


DAMAGE = {
    "train.bin is too short": lambda f: (f / "train.bin").write_bytes(b"xx"),
    "val.bin is missing": lambda f: (f / "val.bin").unlink(),
    "tokens.json is damaged": lambda f: (f / "tokens.json").write_text("{"),
    "this is no tokenizer": lambda f: change(f, tokenizer={"type": "pickle"}),
    "greater than or equal to 1": lambda f: change(f, train_tokens=-5),
    "a folder without tokens.json": lambda f: (f / "tokens.json").unlink(),
}


def change(folder: Path, **more) -> None:
    about = json.loads((folder / "tokens.json").read_text(encoding="utf-8")) | more
    (folder / "tokens.json").write_text(json.dumps(about), encoding="utf-8")


@pytest.mark.parametrize("words", DAMAGE)
def test_damaged_tokens_are_named(written, words):
    _, folder = written("hear me speak\n" * 100)
    DAMAGE[words](folder)
    with pytest.raises(TextError) as caught:
        prepare(str(folder))
    assert all(word in str(caught.value) for word in words.split() if word not in "is too short")


def test_mapped_tokens_train_to_the_same_numbers_as_loaded_ones(written, text):
    path, folder = written(text[:30_000])
    finished = []
    for data in (prepare(str(path)), prepare(str(folder))):
        torch.manual_seed(0)
        size = GPTConfig(data.tokenizer.vocab_size, block_size=16, n_layer=1, n_head=2, n_embd=16)
        config = TrainConfig(max_steps=3, batch_size=4, eval_interval=1, eval_batches=None)
        run = train(new_run(GPT(size), data.train_ids, data.val_ids, config))
        finished.append([(point.train_loss, point.val_loss) for point in run.history])
    assert finished[0] == finished[1]


def test_large_ids_that_pytorch_hardly_computes_with_train_too():
    ids = torch.arange(40_000, dtype=torch.int32).to(torch.uint16)
    model = GPT(GPTConfig(vocab_size=40_000, block_size=8, n_layer=1, n_head=1, n_embd=4))
    x, y = BatchSampler(ids, 8, 2)()
    assert x.dtype == torch.int64 and (y == x + 1).all()
    assert evaluate(model, ids, 2, 4) == evaluate(model, ids.int(), 2, 4)
    with pytest.raises(ValueError, match="go from 0 to 39999"):
        evaluate(GPT(GPTConfig(100, 8, 1, 1, 4)), ids, 2, 4)


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_a_run_on_tokens_can_be_resumed_and_says_if_they_are_others(
    written, text, tmp_path, kind, monkeypatch
):
    path, folder = written(text[:20_000], tokenizer=kind)
    monkeypatch.setattr(texts, "ladder", None)  # nothing is read or counted again
    monkeypatch.setattr(texts, "load_corpus", None)
    preset, run = with_steps(get_preset("smoke"), 2), tmp_path / "run"
    outcome = train_preset(preset, str(folder), run)
    assert outcome.folder == run and outcome.run.step == 2
    assert resume(run, more_steps=1).run.step == 3
    monkeypatch.undo()
    write([path], tmp_path / "others", counted, "bpe", 290)
    with pytest.raises(TextError, match="other tokens than those"):
        resume(run, text=str(tmp_path / "others"), more_steps=1)
    path.write_text(text[:20_001], encoding="utf-8")
    write([path], tmp_path / "another-text", counted, kind)
    with pytest.raises(TextError, match="not the text that this run began with"):
        resume(run, text=str(tmp_path / "another-text"), more_steps=1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "bpe"}, "are made already"),
        ({"vocab": 300}, "are made already"),
        ({"max_symbols": 10}, "are made already"),
    ],
)
def test_made_tokens_stay_what_they_are(written, settings, words):
    _, folder = written("hear me speak\n" * 100)
    with pytest.raises(TextError, match=words):
        prepare(str(folder), **settings)
