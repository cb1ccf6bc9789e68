"""The text: loading it and splitting it."""

import hashlib
from pathlib import Path

from nanogpt_lib.checks import check_share
from nanogpt_lib.shakespeare import fetch
from nanogpt_lib.shakespeare.own_text import read_text


def load_corpus(path: str | Path | None = None) -> str:
    """Tiny Shakespeare, or the UTF-8 text in `path`, with newlines as "\\n".

    Tiny Shakespeare is fetched once, checked by its sha256, and then read from the disk: see
    `shakespeare.fetch`. Raises fetch.CorpusError if it cannot be obtained, and TextError if
    `path` is not a text.
    """
    if path is None:
        return fetch.tiny_shakespeare().decode("ascii")
    return read_text(Path(path))


def split(data, val_fraction: float = 0.1):
    """Splits a text, a list or a 1-D tensor: the first 90% to train on, the rest to validate.

    The data is cut once and not shuffled: neighbours are so alike that a shuffled split would
    leak the validation text into training. val_fraction: the share of the rest, 0 to 1.
    """
    n = int(len(data) * (1 - check_share(val_fraction, "val_fraction")))
    return data[:n], data[n:]


def fingerprint(text: str) -> str:
    """The sha256 of a text in UTF-8. A resumed run uses it to check that the text is the same."""
    return hashlib.sha256(text.encode()).hexdigest()
