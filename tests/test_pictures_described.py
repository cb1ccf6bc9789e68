"""Each picture that a notebook stores brings a sentence for people who cannot see it."""

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
# Stored before pictures brought sentences. Run one again, and take its name out.
NOT_RERUN = {
    "00_start_here",
    "07_subwords",
    "08_post_training",
    "09_modalities",
    "10_speedrun",
}


def first_undescribed(cells: list[dict]) -> str | None:
    """The first line of the first cell with a picture that has no sentence; None if all do."""
    for cell in cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if any(kind.startswith("image/") for kind in data):
                words = "".join(data.get("text/plain", "")).strip()
                if not words or words.startswith("<"):  # <Figure size 900x420 with 1 Axes>
                    return "".join(cell["source"]).partition("\n")[0]
    return None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_each_stored_picture_has_a_sentence(path):
    lacks = first_undescribed(json.loads(path.read_text(encoding="utf-8"))["cells"])
    if path.stem in NOT_RERUN:
        assert lacks, f"{path.stem} is described now: take it out of NOT_RERUN"
    else:
        assert lacks is None, f"{path.stem}: no sentence for the picture of the cell {lacks!r}"


@pytest.mark.parametrize(
    ("kind", "words", "lacks"),
    [
        ("image/png", "Two curves fall.", False),
        ("image/svg+xml", ["Two curves", " fall."], False),
        ("image/png", "<Figure size 900x420 with 1 Axes>", True),
        ("image/svg+xml", "", True),
        ("text/html", "", False),
    ],
)
def test_a_picture_without_a_sentence_is_found(kind, words, lacks):
    output = {"data": {kind: "x", "text/plain": words}}
    cells = [{"source": "# no code"}, {"source": ["draw()\n", "more()"], "outputs": [output]}]
    assert first_undescribed(cells) == ("draw()" if lacks else None)
