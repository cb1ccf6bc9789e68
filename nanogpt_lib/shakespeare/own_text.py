"""A text of your own instead of Tiny Shakespeare, read from the disk."""

from pathlib import Path

import psutil

from nanogpt_lib.checks import TextError
from nanogpt_lib.machine.files import read_file
from nanogpt_lib.shakespeare.encodings import refused

# Bytes of memory for each byte of a file until training begins. 60 MB of English took 8 (the file,
# the text, its numbers, and what counting takes). One emoji makes Python hold every character in 4.
PEAK = 10


def read_text(path: Path) -> str:
    """A UTF-8 file, without a byte order mark and with every newline as "\\n".

    Raises TextError if it cannot be read, is no UTF-8 text, or is too large for the memory.
    """
    try:
        check_memory(path, path.stat().st_size)
        data = read_file(path)
    except OSError as error:
        raise TextError(
            f"{path.absolute()} cannot be read ({error.strerror or error}): check name and folder"
        ) from None
    reason = refused(path, data)
    if reason:
        raise TextError(reason)
    text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    if not text or text.isspace():
        raise TextError(f"{path} is empty or blank: give a text file of 1,000 characters or more")
    return text


def check_memory(path: Path, size: int) -> None:
    """Raises TextError if a text of this number of bytes cannot fit into the memory."""
    free = psutil.virtual_memory().available
    if PEAK * size > free:
        raise TextError(
            f"{path} is too large for this machine: {size / 1e6:,.0f} MB of text need about "
            f"{PEAK * size / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free. Close "
            f"other programs, give a part of it, at most {free / PEAK / 1e6:,.0f} MB, or make "
            "tokens of it in little memory: nanogpt data FILE --to DIR"
        )
