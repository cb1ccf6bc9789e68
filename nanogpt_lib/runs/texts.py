"""A text that is ready for training: read, turned into numbers, split, and counted."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from nanogpt_lib.checks import MOST_COPIED, check_length, copied_in_words
from nanogpt_lib.corpus import fingerprint, load_corpus, split
from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.ngram import counts_of, keys, ladder
from nanogpt_lib.runs.template import Tokenizer
from nanogpt_lib.tokenizer import CharTokenizer

LONG = 5_000_000  # characters; what takes many seconds is announced
PIECE = 2**20  # characters encoded together: a list of Python's numbers takes 8 bytes or more each
MOST_WINDOWS = 100_000  # to look for: they give the share to within 0.3%
WINDOW = 50  # characters; so long a passage hardly ever occurs twice by chance
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

    @property
    def about(self) -> dict:
        name = "Tiny Shakespeare" if self.path is None else readable(Path(self.path).name)
        return {
            "name": name,
            "sha256": self.fingerprint,
            "train_tokens": len(self.train_ids),
            "val_tokens": len(self.val_ids),
            "copied": self.copied,
        }


def prepare(
    path: str | None,
    tokenizer: Tokenizer | None = None,
    max_symbols: int | None = None,
    first: dict | None = None,
) -> Data:
    """Loads a text, makes its tokenizer (unless you give one), encodes, splits and counts it.

    first: the first line of the record of a run on this text, which holds what was counted. If
    much of the validation text stands in the training text, it says so.
    """
    text = load_corpus(path)
    long = len(text) > LONG
    if long:
        name = harmless(readable(str(path)))
        say(f"{name} has {len(text):,} characters. Turning them into numbers ...")
    tokenizer = tokenizer or CharTokenizer.train(text, max_symbols)
    train_ids, val_ids = split(encode(text, tokenizer))
    check_length(train_ids, val_ids, block_size=1)
    known = fingerprint(text)
    del text  # it may be large
    path = path and str(Path(path).resolve())  # a run may be resumed from another folder
    if first:
        copied = first["text"].get("copied")
        return Data(path, tokenizer, train_ids, val_ids, known, first["ladder"], copied)
    if long:
        say("Counting what follows what, for the baselines (60 MB take a minute or two) ...")
    rungs = ladder(train_ids, val_ids, tokenizer.vocab_size)
    if long:
        say("Looking for passages that are in both splits ...")
    copied = copied_share(train_ids, val_ids)
    if copied is not None and copied >= MOST_COPIED:
        say(f"note: {copied_in_words(copied)}")
    return Data(path, tokenizer, train_ids, val_ids, known, rungs, copied)


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
