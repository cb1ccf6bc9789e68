"""The text: loading it and splitting it."""

import hashlib
from pathlib import Path

from nanogpt_lib.checks import TextError
from nanogpt_lib.shakespeare import fetch


def load_corpus(path: str | Path | None = None) -> str:
    """Tiny Shakespeare, or the UTF-8 text in `path`, with newlines as "\\n".

    Tiny Shakespeare is fetched once, checked by its sha256, and then read from the disk: see
    `shakespeare.fetch`. Raises fetch.CorpusError if it cannot be obtained, and TextError if
    `path` is not a text.
    """
    if path is None:
        return fetch.tiny_shakespeare().decode("ascii")
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
            f"{path} holds zero bytes: it is not a text, or it is UTF-16. Save it as UTF-8"
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise TextError(f"{path} is empty or blank: give a text file of 1,000 characters or more")
    return text


def split(data, val_fraction: float = 0.1):
    """Splits a text, a list or a 1-D tensor: the first 90% to train on, the rest to validate.

    The data is cut once and not shuffled: neighbours are so alike that a shuffled split would
    leak the validation text into training. val_fraction: the share of the rest, 0 to 1.
    """
    if not 0 <= val_fraction <= 1:
        raise ValueError(f"val_fraction must be a share from 0 to 1, not {val_fraction}")
    n = int(len(data) * (1 - val_fraction))
    return data[:n], data[n:]


def fingerprint(text: str) -> str:
    """The sha256 of a text in UTF-8. A resumed run uses it to check that the text is the same."""
    return hashlib.sha256(text.encode()).hexdigest()
