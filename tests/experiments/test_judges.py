"""Three judges of one run: what they say of texts that are known, and their record."""

import pytest

from experiments import judges
from experiments.__main__ import main as experiments
from nanogpt_lib.plots import three_judges
from nanogpt_lib.runs import catalogue, record
from nanogpt_lib.runs.figures import read_record

PLAY = "ROMEO:\nThe moon is a cold stone tonight.\nGo, get thee gone.\n"


def test_a_copy_a_known_line_a_repeated_line_and_an_invented_word_are_found():
    written = "ROMEO:\nGo, get thee gone.\nGo, get thee gone.\nThe zorb.\nCut off he"
    found = judges.judge([written], PLAY, PLAY)
    assert found["known_lines"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["repeated_lines"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["copy_longest"] == len(".\nGo, get thee gone.\n")
    assert found["real_words"] == pytest.approx(10 / 14, abs=1e-4)  # not zorb, cut, off, he
    assert found["distinct_words"] == 10


def test_the_record_of_the_course_has_every_checkpoint_with_each_seed():
    rows = read_record("judges")
    judged = [(row["step"], row["seed"]) for row in rows if row["step"]]
    assert judged == [(s, seed) for s in (750, 1500, 2506) for seed in (1000, 2000, 3000)]
    assert len(rows) == len(judged) + 3  # Shakespeare himself
    points = {p.step: p.val_loss for p in record.read(catalogue.find("talk")).history}
    for row in rows[:6]:
        assert row["val_loss"] == pytest.approx(points[row["step"]], abs=0.002)


def test_the_picture_has_a_panel_for_each_judge():
    history = record.read(catalogue.find("talk")).history
    assert len(three_judges(history, read_record("judges"), 31).axes) == 3


@pytest.mark.slow
def test_a_short_session_writes_what_the_notebook_reads(text, tmp_path):
    model = str(catalogue.shipped_models()["pocket"])
    words = ["judges", model, "--seeds", "1", "--texts", "2", "--length", "300"]
    experiments([*words, "--out", str(tmp_path)])
    first, last = read_record("judges", tmp_path)
    assert first["step"] == 1500 and last["step"] is None
    assert first.keys() == last.keys() and first["characters"] == 600
