"""Texts of any size, block by block: no more than a few blocks are in memory at once.

A block ends where no piece of `bpe.PIECE` or of GPT-2 is torn. So the tokens of the blocks, one
after another, are the tokens of the whole text.
"""

import codecs
import io
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nanogpt_lib.bpe import PIECE
from nanogpt_lib.checks import TextError
from nanogpt_lib.machine.files import check_regular
from nanogpt_lib.shakespeare.encodings import start_of_another_kind, way_out

BLOCK = 2**20  # characters, about
MOST_BLOCKS = 16  # a single piece that is longer than so many blocks is cut all the same
DOCUMENT = "<|endoftext|>"  # GPT-2's mark between two documents


@dataclass
class Block:
    """A part of a text."""

    text: str
    document_ends: bool  # whether a document ends where this block ends
    place: int  # bytes of all files that have been read so far


def files_of(names) -> list[Path]:
    """The files that are meant. A folder stands for all files in it, at any depth, by name.

    Hidden files do not count. Raises TextError if there is none.
    """
    found: list[Path] = []
    for name in map(Path, names):
        if not name.is_dir():
            found.append(name)
            continue
        for folder, folders, files in os.walk(name):
            folders[:] = sorted(each for each in folders if each[0] != ".")
            found += [Path(folder, each) for each in sorted(files) if each[0] != "."]
    if not found:
        raise TextError(f"there is no file in {', '.join(map(str, names))}: give a text")
    return found


def size_of(files: list[Path]) -> int:
    """Bytes of all these files. Raises TextError for what is no readable file."""
    total = 0
    for path in files:
        try:
            check_regular(path)
            total += path.stat().st_size
        except OSError as error:
            raise TextError(
                f"{path.absolute()} cannot be read ({error.strerror or error})"
            ) from None
    return total


def blocks(files: list[Path], size: int = BLOCK, mark: str = DOCUMENT) -> Iterator[Block]:
    """The text of these files, one after another, as `load_corpus` would read each.

    A document ends with its file, and behind each `mark` that ends a line. Between two files there
    is a new line, if the first does not end with one. Raises TextError for what is no UTF-8 text.
    """
    place = 0
    for i, path in enumerate(files):
        rest = ""
        for text, read in pieces_of(path, size):
            rest += text
            if len(rest) < size:
                continue
            end, whole = cut(rest, mark)
            if not end and len(rest) > MOST_BLOCKS * size:
                end = len(rest)
            if end:
                yield Block(rest[:end], whole, place + read)
                rest = rest[end:]
        place += path.stat().st_size
        if rest and i + 1 < len(files) and not rest.endswith("\n"):
            rest += "\n"
        if rest:
            yield Block(rest, True, place)


def pieces_of(path: Path, size: int) -> Iterator[tuple[str, int]]:
    """The text of a file in parts, with "\\n" for every newline, and the bytes read so far."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    read = 0
    with open(path, "rb") as file:
        while True:
            data = file.read(size)
            if not read:
                other = start_of_another_kind(path, data)
                if other:
                    raise TextError(other)
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise TextError(wrong(path, file, read, error)) from None
            read += len(data)
            if "\0" in text:
                zero = f"{path} holds zero bytes, as no text does"
                raise TextError(zero + way_out(path, data, 0))
            yield newlines.decode(text, final=not data), read
            if not data:
                return


def wrong(path: Path, file, read: int, error: UnicodeDecodeError) -> str:
    """Why a file is no UTF-8 text, and the way out, judged by what stands around that place."""
    held = len(error.object) - (file.tell() - read)  # bytes of a character that had begun
    at = read - held + error.start
    file.seek(max(0, at - 20_000))
    around = file.read(40_000)
    said = f"{path} is not UTF-8 text (byte {at:,} is 0x{error.object[error.start]:02x})"
    return said + way_out(path, around, min(at, 20_000))


def cut(text: str, mark: str) -> tuple[int, bool]:
    """Where a text may be cut although it goes on, as late as possible; 0 if nowhere.

    It is cut before blanks, never behind them: GPT-2's pieces depend on what follows a blank. Also
    says whether a document ends there.
    """
    last = text.rfind(mark + "\n") if mark else -1
    if last >= 0:
        return last + len(mark), True
    end = len(text)
    while (end := text.rfind("\n", 1, end)) > 0:
        if not is_blank(text[end - 1]):
            return end, False
    start = 0
    for piece in PIECE.finditer(text):  # one long line: its last piece may go on
        if piece.start() and not is_blank(text[piece.start() - 1]):
            start = piece.start()
    return start, False


def is_blank(character: str) -> bool:
    return character <= " " or character == "\x7f" or character.isspace()


def keep_standard_input(path: Path) -> Path:
    """Copies it to a file: a text is read twice, and the standard input can be read only once."""
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 2**20)
    return path
