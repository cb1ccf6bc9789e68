"""The text: loading it, splitting it, and cutting it into batches."""

import hashlib
from pathlib import Path

import torch

from nanogpt_lib.shakespeare import fetch as sources


class TextError(ValueError):
    """A text that cannot be trained on; the message says why and what to do."""


def load_corpus(path: str | Path | None = None) -> str:
    """Tiny Shakespeare, or the UTF-8 text in `path`, with newlines as "\\n".

    Tiny Shakespeare is fetched once, checked by its sha256, and afterwards read from the disk:
    see `sources`. Raises sources.CorpusError where it cannot be had and TextError where `path`
    is not a text.
    """
    if path is None:
        return sources.tiny_shakespeare().decode("ascii")
    return read_text(Path(path))


def read_text(path: Path) -> str:
    """A UTF-8 file, without a byte order mark and with every newline as "\\n"."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TextError(
            f"{path.absolute()} cannot be read ({error.strerror or error}): check name and folder"
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        code = "UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "LATIN1"
        raise TextError(
            f"{path} is not UTF-8 text (byte {error.start:,} is 0x{data[error.start]:02x}). Save "
            f"it as UTF-8 in your editor, or convert it: iconv -f {code} -t UTF-8 old.txt > new.txt"
        ) from None
    if "\0" in text:
        raise TextError(
            f"{path} holds zero bytes: it is no text, or it is UTF-16. Save it as UTF-8"
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise TextError(f"{path} is empty or blank: give a text file of some thousand characters")
    return text


def split(data, val_fraction: float = 0.1):
    """The first 90% to train on, the rest to validate: a text, a list or a 1-D tensor.

    Cut once, not shuffled: neighbouring characters share so much that a shuffled split would
    leak the validation text into training. val_fraction: the rest's share, 0 to 1.
    """
    if not 0 <= val_fraction <= 1:
        raise ValueError(f"val_fraction is a share from 0 to 1, not {val_fraction}")
    n = int(len(data) * (1 - val_fraction))
    return data[:n], data[n:]


def check_length(train_ids, val_ids, block_size: int) -> None:
    """Raises TextError where a split is too short for one context and its targets."""
    shortest = min(len(train_ids), len(val_ids))
    if shortest <= block_size:
        raise TextError(
            f"the text is too short for a context of {block_size}: its shorter split has "
            f"{shortest:,} tokens and needs {block_size + 1:,}. Give a text of at least "
            f"{10 * (block_size + 1):,} tokens, or a smaller block_size"
        )


def fingerprint(text: str) -> str:
    """The sha256 of a text in UTF-8: by it a resumed run knows that it has the same text."""
    return hashlib.sha256(text.encode()).hexdigest()


class BatchSampler:
    """Draws batches of windows at random places of a text.

    Calling it gives x and y, both int64 (batch_size, block_size); y is x one token later: at
    each position the token to be predicted.

    ids: int64 (N,), already on the device that trains; a megabyte of text fits anywhere, so
    there are no workers and no queues. The places come from a generator of its own on the CPU:
    the same seed gives the same batches on every device, whatever else draws random numbers.
    Raises TextError where the text is shorter than one context and its targets.
    """

    def __init__(self, ids, block_size: int, batch_size: int, seed: int = 1337):
        check_length(ids, ids, block_size)
        self.ids = ids
        self.batch_size = batch_size
        self.window = torch.arange(block_size + 1)  # a context and its last target
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self):
        places = len(self.ids) - len(self.window) + 1
        start = torch.randint(places, (self.batch_size, 1), generator=self.generator)  # (B, 1)
        windows = self.ids[(start + self.window).to(self.ids.device)]  # (B, T + 1)
        return windows[:, :-1], windows[:, 1:]  # (B, T), (B, T)
