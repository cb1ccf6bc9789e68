"""What a terminal may be given to show."""

import unicodedata

# Control, format and surrogate: categories of Unicode.
HARMFUL = ("Cc", "Cf", "Cs")
# Persian, Hindi and others need the joiners, Hebrew and Arabic the marks of direction, and the
# soft hyphen is where a word may be divided. None of them moves what stands around it.
HARMLESS = "\n\t\u200c\u200d\u200e\u200f\u00ad"


def harmless(text: str) -> str:
    """A text without characters that act instead of being shown; each becomes \ufffd.

    A terminal obeys escape sequences, some characters make text run backwards, and half a pair of
    surrogates cannot be written at all. New lines and tabs stay. Every character is judged alone,
    so a stream may be cleaned piece by piece.
    """
    return "".join(
        c if c in HARMLESS or unicodedata.category(c) not in HARMFUL else "\ufffd" for c in text
    )
