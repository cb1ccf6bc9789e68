"""What a file is that is not UTF-8 text, and how to make UTF-8 text of it."""

import re
from collections import Counter
from pathlib import Path

from nanogpt_lib.machine.terminal import harmless

COPY = "open it, copy the text into an editor, and save that as UTF-8"
UNPACK = "unpack it, and give the text that is inside"

# The first bytes of files that people take for texts: what it is, and the way out.
KINDS = {
    b"%PDF-": ("a PDF", COPY),
    b"PK\x03\x04": (
        "a zip archive, as a Word document (.docx), an OpenDocument (.odt) and an e-book (.epub) "
        "are",
        "save the document as plain text in UTF-8, or unpack the archive",
    ),
    b"{\\rtf": ("rich text (RTF)", "open it and save it as plain text in UTF-8"),
    b"\xd0\xcf\x11\xe0": ("an old Word document (.doc)", "save it as plain text in UTF-8"),
    b"\x1f\x8b": ("compressed with gzip", UNPACK),
    b"BZh": ("compressed with bzip2", UNPACK),
    b"\xfd7zXZ\0": ("compressed with xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", UNPACK),
    b"Rar!\x1a": ("a RAR archive", UNPACK),
    b"\x89PNG": ("a picture", "give a text"),
    b"\xff\xd8\xff": ("a picture", "give a text"),
}
PYTHON = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "lzma"}  # what unpacks it

# The encodings that texts on people's disks are in, the usual one first where two fit equally.
# Latin-1 is not among them: cp1252 reads it too, and the bytes 0x80 to 0x9f besides, which are
# quotation marks and dashes there and invisible controls in Latin-1.
USUAL = ["cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256"]
USUAL += ["cp932", "euc_jp", "gb18030", "big5", "cp949", "mac_roman"]
BY_MARK = {b"\xff\xfe\0\0": "utf_32", b"\0\0\xfe\xff": "utf_32"}  # before UTF-16: the same start
BY_MARK |= {b"\xff\xfe": "utf_16", b"\xfe\xff": "utf_16"}
SAMPLE = 20_000  # bytes to judge by


def refused(path: Path, data: bytes) -> str | None:
    """Why a file is not a text that can be trained on, with the way out; None if it is UTF-8."""
    other = start_of_another_kind(path, data)
    if other:
        return other
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        begin = f"{path} is not UTF-8 text (byte {error.start:,} is 0x{data[error.start]:02x})"
        return begin + way_out(path, data, error.start)
    if "\0" in text:
        return f"{path} holds zero bytes, as no text does" + way_out(path, data, 0)
    return None


def start_of_another_kind(path: Path, data: bytes) -> str | None:
    """What a file is, by its first bytes, with the way out; None if it may be a text."""
    for start, (what, way) in KINDS.items():
        if data.startswith(start):
            message = f"{path} is {what}, not a text: {way}"
            if start in PYTHON:
                opened = f"{PYTHON[start]}.open('{{}}', 'rt', {UTF})"
                line = in_python(path, f"import {PYTHON[start]}; ", opened)
                message += f". For example:\n  {line}"
            return message
    return None


def way_out(path: Path, data: bytes, bad: int) -> str:
    """How to save it as UTF-8, and how it would read in the likely encodings."""
    mended = data.decode("utf-8-sig", errors="replace")
    broken = mended.count("\ufffd")
    if sum(map(len, re.findall("[^\0-\x7f]+", mended))) > 2 * broken:  # most are whole characters
        line = in_python(path, "", f"open('{{}}', {UTF}, errors='replace')")
        return (
            f", but most of it is: {broken:,} places are damaged. Get a good copy, or put \ufffd "
            f"in their place:\n  {line}"
        )
    found = readings(data, bad)
    if not found:
        return ". It looks like no text in any usual encoding: give a text, saved as UTF-8"
    width = max(map(len, found))
    shown = "".join(f"\n  {name:<{width}}  {line}" for name, line in found.items())
    best = next(iter(found))
    line = in_python(path, "", f"open('{{}}', encoding='{best}')")
    several = f"\n(or another name than {best}, if its line reads better)" if len(found) > 1 else ""
    return (
        f". As it would read:{shown}\nOpen it in an editor that reads it well and save it as UTF-8,"
        f" or type, in any terminal that has Python:\n  {line}{several}"
    )


UTF = "encoding='utf-8'"


def in_python(path: Path, first: str, opened: str) -> str:
    """A line for every shell, that of Windows too, which writes a new file in UTF-8."""
    name = path.as_posix()
    if not re.fullmatch(r"[\w ./:~+,=@-]+", name):  # a shell or Python would read it otherwise
        name = "old.txt"
    new = f"{name.removesuffix('.gz').removesuffix('.txt')}-utf8.txt"
    return f"python -c \"{first}open('{new}', 'w', {UTF}).write({opened.format(name)}.read())\""


def readings(data: bytes, bad: int) -> dict[str, str]:
    """{likely encoding: the first line that is not plain English in it}, the likeliest first."""
    found: dict[str, str] = {}
    for name in likely(data, bad):
        part, _ = sample(data, bad) if name in USUAL else (data[:SAMPLE], 0)
        lines = part.decode(name, errors="ignore").lstrip("\ufeff").split("\n")
        telling = [line for line in lines if not line.isascii()] or [*filter(str.strip, lines), ""]
        line = harmless(" ".join(telling[0].split())[:60])
        if line not in found.values():  # two encodings that agree need not be told apart
            found[name] = line
    return dict(list(found.items())[:3])


def likely(data: bytes, bad: int) -> list[str]:
    """The encodings that a text may be in, the likeliest first; none if it is no text."""
    for mark, name in BY_MARK.items():
        if data.startswith(mark):
            return [name]
    halves = [Counter(data[place : 2 * SAMPLE : 2]).most_common(2) for place in (0, 1)]
    even, odd = (sum(n for _, n in half) / min(len(data) / 2, SAMPLE) for half in halves)
    if b"\0" in data and max(even, odd) > 0.9 > min(even, odd):  # one half names the alphabet
        return ["utf_16_le" if odd > even else "utf_16_be"]
    if b"\0" in data:
        return []
    from charset_normalizer import from_bytes

    part, whole = sample(data, bad)
    matches: list = []
    for shorter in range(1 if whole else 4):  # the sample may end within a character
        part = part[: len(part) - bool(shorter)]
        matches += from_bytes(part, cp_isolation=USUAL, threshold=0.4)
        if matches:
            break
    # Encodings that read all of it alike are one match, with the names of the others inside.
    order = {
        name: (round(match.chaos, 2), -round(match.coherence, 1), USUAL.index(name))
        for match in matches
        for name in match.could_be_from_charset
        if name in USUAL
    }
    return sorted(order, key=order.__getitem__)


def sample(data: bytes, bad: int) -> tuple[bytes, bool]:
    """Lines from where plain English ends, and whether they end where a line does."""
    start = data.rfind(b"\n", max(0, bad - SAMPLE), bad) + 1
    start = start or max(0, bad - 100 if bad > SAMPLE else 0)
    part = data[start : start + SAMPLE]
    end = part.rfind(b"\n") + 1
    return (part[:end], True) if end and start + SAMPLE < len(data) else (part, len(part) < SAMPLE)
