"""A text that is ready for training: read, turned into numbers, split, and counted."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.checks import MOST_COPIED, TextError, check_length, copied_in_words
from nanogpt_lib.corpus import fingerprint, load_corpus, split
from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.ngram import counts_of, keys, ladder
from nanogpt_lib.runs.template import MarkedTokenizer, Tokenizer
from nanogpt_lib.shards import mapped, vocabulary
from nanogpt_lib.tokenizer import CharTokenizer

LONG = 5_000_000  # characters; what takes many seconds is announced
PIECE = 2**20  # characters encoded together: a list of Python's numbers takes 8 bytes or more each
MOST_WINDOWS = 100_000  # to look for: they give the share to within 0.3%
WINDOW = 50  # characters; so long a passage hardly ever occurs twice by chance
MOST_COUNTED = 20_000_000  # tokens of a mapped text that the n-grams are counted in
ODD = 6364136223846793005  # Knuth's multiplier for numbers of 64 bits, The Art of ..., vol. 2


@dataclass
class Data:
    """A text that is ready for training."""

    path: str | None  # None for Tiny Shakespeare
    tokenizer: Tokenizer
    train_ids: torch.Tensor  # (N,), the smallest integers that hold all ids
    val_ids: torch.Tensor
    fingerprint: str
    rungs: list[dict]  # its n-gram ladder
    copied: float | None = None  # share of the validation text that is in the training text, too
    val_characters: int | None = None  # that the validation tokens write; None: one each
    named: str | None = None  # what the text is called, if not like its file

    @property
    def characters_per_token(self) -> float:
        """Of the validation text; 1 if each character is a token."""
        return (self.val_characters or len(self.val_ids)) / len(self.val_ids)

    @property
    def about(self) -> dict:
        name = "Tiny Shakespeare" if self.path is None else readable(Path(self.path).name)
        return {
            "name": self.named or name,
            "sha256": self.fingerprint,
            "train_tokens": len(self.train_ids),
            "val_tokens": len(self.val_ids),
            "val_characters": self.val_characters or len(self.val_ids),
            "copied": self.copied,
        }


def prepare(
    path: str | None,
    tokenizer: Tokenizer | None = None,
    max_symbols: int | None = None,
    first: dict | None = None,
    kind: str | None = None,
    vocab: int | None = None,
) -> Data:
    """Loads a text, makes its tokenizer (unless you give one), encodes, splits and counts it.

    path: a text, or a folder of tokens that `nanogpt data` made: it is mapped, and nothing in it is
    made or counted again. kind: "char", "bpe" for `vocab` pieces of words, learnt from the training
    part, or a file of GPT-2's merges.

    first: the first line of the record of a run on this text, which holds what was counted. If
    much of the validation text stands in the training text, it says so.
    """
    if path is not None and Path(path).is_dir():
        return from_tokens(Path(path), tokenizer, kind, vocab or max_symbols)
    text = load_corpus(path)
    long = len(text) > LONG
    if long:
        name = harmless(readable(str(path)))
        say(f"{name} has {len(text):,} characters. Turning them into numbers ...")
    tokenizer = tokenizer or learnt(text, kind or "char", vocab, max_symbols)
    train_ids, val_ids = split(encode(text, tokenizer))
    check_length(train_ids, val_ids, block_size=1)
    base = tokenizer.base if isinstance(tokenizer, MarkedTokenizer) else tokenizer  # of a text
    n = vocabulary.count_characters(mapped.parts(val_ids.numpy()), base)
    known = fingerprint(text)
    del text  # it may be large
    path = path and str(Path(path).resolve())  # a run may be resumed from another folder
    if first:
        copied = first["text"].get("copied")
        return Data(path, tokenizer, train_ids, val_ids, known, first["ladder"], copied, n)
    if long:
        say("Counting what follows what, for the baselines (60 MB take a minute or two) ...")
    rungs = rungs_of(train_ids, val_ids, tokenizer)
    if long:
        say("Looking for passages that are in both splits ...")
    copied = copied_share(train_ids, val_ids)
    if copied is not None and copied >= MOST_COPIED:
        say(f"note: {copied_in_words(copied)}")
    return Data(path, tokenizer, train_ids, val_ids, known, rungs, copied, n)


def learnt(text: str, kind: str, vocab: int | None, max_symbols: int | None):
    """The tokenizer of a text. Says it if a text gives fewer pieces than were asked for."""
    check_kind(kind, vocab, max_symbols)
    if kind == "char":
        return CharTokenizer.train(text, max_symbols)
    if kind != "bpe":
        return vocabulary.learner(kind, None, None).learn()
    wanted = vocab or vocabulary.VOCAB
    tokenizer = vocabulary.FastBPE(BPETokenizer.train(split(text)[0], wanted).merges)
    vocabulary.tell(wanted, tokenizer.vocab_size)
    return tokenizer


def check_kind(kind: str, vocab: int | None, max_symbols: int | None) -> None:
    """Raises ValueError for settings of a tokenizer that do not belong together."""
    if kind not in ("char", "bpe"):  # a file of merges
        vocabulary.learner(kind, None, None)
    if kind != "bpe" and vocab is not None:
        raise ValueError(
            "vocab must go with --tokenizer bpe: it counts pieces of words. For fewer characters "
            "use max_symbols"
        )
    if kind != "char" and max_symbols is not None:
        raise ValueError("max_symbols must go with --tokenizer char: pieces of words take vocab")


def from_tokens(folder: Path, tokenizer=None, kind: str | None = None, size=None) -> Data:
    """A folder of tokens, mapped. Raises TextError if it is damaged, or made otherwise."""
    found = mapped.load(folder)
    about = found.about
    made = found.tokenizer.to_dict()["type"]
    if kind not in (None, made) or size:
        raise TextError(
            f"the tokens in {folder} are made already ({made}, {found.tokenizer.vocab_size:,} "
            "of them): leave out --tokenizer, --vocab and --max-symbols, or make other tokens"
        )
    if tokenizer and tokenizer.to_dict() != found.tokenizer.to_dict():
        raise TextError(f"{folder} holds other tokens than those that this run began with")
    check_length(found.train_ids, found.val_ids, block_size=1)
    return Data(
        str(folder.resolve()),
        found.tokenizer,
        found.train_ids,
        found.val_ids,
        about.sha256,
        about.ladder,
        about.copied,
        about.val_characters,
        about.name,
    )


def counted(train_ids, val_ids, tokenizer) -> dict:
    """What is counted once, when tokens are made: the ladder, and what stands in both splits.

    Of a long text the ladder is counted in the first twenty million tokens, and copies are not
    looked for.
    """
    check_length(train_ids, val_ids, block_size=1)
    if len(train_ids) > LONG:
        say("Counting what follows what, for the baselines ...")
    seen = min(len(train_ids), MOST_COUNTED)
    rungs = rungs_of(train_ids[:seen], val_ids, tokenizer)
    more: dict = {"ladder": rungs, "ladder_tokens": seen}
    if seen == len(train_ids):
        more["copied"] = copied_share(train_ids.int(), val_ids.int())
    return more


def rungs_of(train_ids, val_ids, tokenizer) -> list[dict]:
    """The n-gram ladder of a text, in characters or pieces."""
    unit = "character" if isinstance(tokenizer, CharTokenizer) else "piece"
    if train_ids.dtype == torch.uint16:  # of which PyTorch computes little
        train_ids, val_ids = train_ids.int(), val_ids.int()
    return ladder(train_ids, val_ids, tokenizer.vocab_size, unit=unit)


def text_of(path: str | None) -> str:
    """The sha256 of the text at a path, which may be a folder of its tokens."""
    if path is not None and Path(path).is_dir():
        return mapped.read_about(Path(path)).sha256
    return fingerprint(load_corpus(path))


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def encode(text: str, tokenizer: Tokenizer) -> torch.Tensor:
    """A text as ids (N,), in the smallest integers that hold them all."""
    V = tokenizer.vocab_size
    kind = torch.uint8 if V <= 2**8 else torch.int16 if V <= 2**15 else torch.int32
    if not isinstance(tokenizer, CharTokenizer):  # a token may reach across the cut
        return torch.tensor(tokenizer.encode(text), dtype=kind)
    ids = torch.empty(len(text), dtype=kind)
    for start in range(0, len(text), PIECE):
        piece = tokenizer.encode(text[start : start + PIECE])
        ids[start : start + PIECE] = torch.tensor(piece, dtype=kind)
    return ids


def copied_share(train_ids, val_ids) -> float | None:
    """The share, 0 to 1, of the windows of 50 tokens in `val_ids` that `train_ids` holds, too.

    train_ids, val_ids: integers (N,), on the CPU. None if one is shorter than a window. Of a long
    text it looks at 100,000 windows or a few more, evenly spread.
    """
    if min(len(train_ids), len(val_ids)) < WINDOW:
        return None
    # The keys of `ngram` with an odd base of 64 bits, where the highest bits are lost: a hash.
    # Two windows that differ share one about once in 10^19 times.
    windows = keys(val_ids, WINDOW, ODD)[:: max(1, len(val_ids) // MOST_WINDOWS)]
    return (counts_of(windows, train_ids, WINDOW, ODD) > 0).double().mean().item()


def readable(name: str) -> str:
    """A file's name as text; a system may have names that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")
