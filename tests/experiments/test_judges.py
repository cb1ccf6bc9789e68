"""Three judges of one run: what they say of texts that are known, and their record."""

import pytest

from experiments import by_heart, judges
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


def test_three_small_runs_disagree_as_the_notebook_says():
    def column(key, step):
        rows = [row for row in read_record("by_heart") if row["step"] == step]
        assert [row["seed"] for row in rows] == [1, 2, 3]
        return [row[key] for row in rows]

    for seed in range(3):
        losses = {step: column("val_loss", step)[seed] for step in by_heart.STEPS}
        assert min(losses, key=losses.__getitem__) == 3000
    assert min(column("real_words", 4000)) > max(column("real_words", 3000))
    assert min(column("copy_longest", 6000)) > max(column("copy_longest", 3000))
    later, then = column("real_words", 6000), column("real_words", 4000)
    assert min(later) < min(then) < max(then) < max(later)  # they overlap
    risen = [b - a for a, b in zip(column("val_loss", 4000), column("val_loss", 6000), strict=True)]
    assert sum(risen) / 3 == pytest.approx(0.3, abs=0.05)


@pytest.mark.slow
def test_a_short_run_is_judged_at_its_steps(text, tmp_path):
    words = ["by_heart", "--seeds", "1", "--texts", "2", "--length", "100", "--steps", "2", "4"]
    experiments([*words, "--out", str(tmp_path)])
    rows = read_record("by_heart", tmp_path)
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[0].keys() == read_record("by_heart")[0].keys()


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
