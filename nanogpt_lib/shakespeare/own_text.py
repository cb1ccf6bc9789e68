"""A text of your own instead of Tiny Shakespeare, read from the disk."""

from pathlib import Path

from nanogpt_lib.checks import TextError


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
