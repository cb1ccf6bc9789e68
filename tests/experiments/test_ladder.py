"""The ladder of notebook 10: one change a rung, equal time, a record that the notebook reads."""

from dataclasses import asdict
from itertools import pairwise

import pytest

from experiments import ladder
from experiments.__main__ import main as experiments
from nanogpt_lib.beyond.speed.recipes import FOURS, MOST_PARAMS, NANOGPT
from nanogpt_lib.modern.model import ModernGPT
from nanogpt_lib.runs.figures import read_record

RUNGS = ladder.rungs()
SIZE = {"n_layer", "n_head", "n_embd"}


def changed(below, above) -> set:
    """The names of the settings, the model's included, in which two recipes differ."""
    one, other = ({**asdict(r), **asdict(r.model)} for r in (below.recipe, above.recipe))
    return {key for key in one if one[key] != other[key]} - {"model"}


def test_the_ladder_leads_from_nanogpts_model_to_that_of_the_top_entry():
    assert RUNGS[0].recipe == NANOGPT
    assert RUNGS[-1].recipe.model == FOURS.model


def test_a_rung_changes_one_thing():
    steps = {above.name: changed(below, above) for below, above in pairwise(RUNGS)}
    assert steps.pop("rate and batch") == {"adam_lr", "batch_size", "warmup", "betas"}
    assert steps.pop("smaller") == SIZE | {"adam_lr"}
    assert steps.pop("Muon") == {"muon_lr", "adam_lr"}
    assert steps.pop("straight to 0") == {"linear", "end"}
    assert steps.pop("fours") == {"grams", "n_embd"}
    assert all(len(step) == 1 for step in steps.values()), steps


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
def test_every_rung_keeps_to_the_most_parameters(rung):
    assert ModernGPT(rung.recipe.model).num_params() <= MOST_PARAMS


@pytest.mark.slow
def test_a_short_climb_writes_what_the_notebook_reads(text, tmp_path):
    play = tmp_path / "play.txt"
    play.write_text(text[:20_000], encoding="utf-8")
    words = ["ladder", "--seconds", "0", "--seeds", "1", "--text", str(play)]
    experiments([*words, "--out", str(tmp_path)])
    rows = read_record("ladder", tmp_path)
    assert [row["name"] for row in rows] == [rung.name for rung in RUNGS]
    for row in rows:
        seconds, losses = zip(*row["curve"], strict=True)
        assert len(seconds) == row["steps"] == ladder.POINTS
        assert list(seconds) == sorted(seconds)
        assert losses[-1] < losses[0] or row["name"] == "nanoGPT's"  # still warming up
        assert row["val_loss"] < 5


def test_the_record_of_the_course_holds_every_rung_with_each_seed():
    rows = read_record("ladder")
    found = [(row["name"], row["seed"]) for row in rows]
    assert found == [(rung.name, seed) for seed in (1, 2) for rung in RUNGS]
    assert all(len(row["curve"]) == ladder.POINTS for row in rows)
