"""07 and 08: what their sentences say of the control, of twice the tokens, and of vocabularies."""

import json
from pathlib import Path
from statistics import mean

from nanogpt_lib.runs.figures import read_record

FOLDER = Path(__file__).parents[2] / "notebooks"


def words(name: str) -> str:
    cells = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]
    return " ".join("".join(cell["source"]) for cell in cells)


def span(values) -> str:
    return f"{min(values):.0%} to {max(values):.0%}"


def test_what_is_said_about_practice_and_its_control_was_measured():
    told = words("08_post_training.ipynb")
    by: dict[str, list] = {}
    for row in read_record("control"):
        by.setdefault(row["practised for"], []).append(row)
    assert all(len(rows) >= 3 for rows in by.values())

    def right(name: str, place: int) -> list[float]:
        return [row["temperatures"][place]["right"] for row in by[name]]

    for name in ("nothing", "right sum"):
        assert f"{span(right(name, 4))}" in told and f"{span(right(name, 0))} greedily" in told
        assert span([row["pass@k"]["32"] for row in by[name]]) in told
    most = max(max(right("nothing", place)) for place in range(5))
    assert f"right in more than {most:.0%}" in told
    assert all(max(right("cheap check", place)) == 0 for place in range(5))


def test_what_is_said_about_twice_the_tokens_was_measured():
    told, rows = words("08_post_training.ipynb"), read_record("twice")
    at_once, in_steps = (
        [row["accuracy"] for row in rows if row["style"] == style]
        for style in ("direct", "scratchpad")
    )
    assert len(at_once) == len(in_steps) >= 3
    assert span([share for row in at_once for share in row[:3]]) in told
    assert f"with four in {span([row[3] for row in at_once])}" in told
    last = [span([row[4] for row in some]) for some in (at_once, in_steps)]
    assert f"seldom with five ({last[0]}; steps: {last[1]})" in told
    seen = {row["style"]: row["problems"] for row in read_record("addition")}
    assert f"{7 * seen['direct']:,} targets against {52 * seen['scratchpad']:,}" in told


def test_what_is_said_about_vocabularies_was_measured():
    told = words("07_subwords.ipynb")
    bits: dict[tuple, list] = {}
    for row in read_record("vocabularies"):
        bits.setdefault((row["group"], row["asked"]), []).append(row["bits"])
    assert all(len(values) >= 3 for values in bits.values())
    assert all(f"{mean(values):.2f}" in told for values in bits.values())
    little, whole = "little text", "little text, vocabulary of all"
    letters, own, of_all = bits[little, 65], bits[little, 4096], bits[whole, 4096]
    for a, b, c in zip(of_all, letters, own, strict=True):
        assert a < b < c  # with every seed
