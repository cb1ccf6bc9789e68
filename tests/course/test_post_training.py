"""Notebook 08: its loop is the library's, and what it says of LoRA and a collapse was measured."""

import copy
import json
import math
import random
import re
from pathlib import Path
from statistics import mean, stdev

import pytest
import torch

from nanogpt_lib.beyond import arithmetic, rl
from nanogpt_lib.course import exercises as ex
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.figures import read_record
from nanogpt_lib.training import TrainConfig, make_optimizer

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "08_post_training.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
SOURCES = ["".join(cell["source"]) for cell in CELLS]
WORDS = " ".join(SOURCES)
STUDENT = 4.303  # of three seeds: 95% of differences lie within so many standard errors


def rank(r: int | None) -> list[dict]:
    return [row for row in read_record("lora") if row["rank"] == r]


def followed(r: int | None, kind: str) -> list[float]:
    return [row["success"][kind] for row in rank(r)]


def losses(r: int | None) -> list[float]:
    return [row["val_loss_after"] for row in rank(r)]


def interval(one: list[float], other: list[float]) -> tuple[float, float]:
    """The mean difference of pairs, and how far 95% of such means lie from it."""
    apart = [a - b for a, b in zip(one, other, strict=True)]
    return mean(apart), STUDENT * stdev(apart) / math.sqrt(len(apart))


@pytest.mark.slow
def test_the_loop_in_the_notebook_is_the_library_s():
    (source,) = [s for s in SOURCES if s.startswith("def practise(")]
    space = {
        "torch": torch,
        "random": random,
        "rl": rl,
        "arithmetic": arithmetic,
        "group_advantages": ex.group_advantages.answer,
    }
    exec(source, space)
    torch.manual_seed(0)
    ours = GPT(arithmetic.SIZE).eval()
    theirs, seen = copy.deepcopy(ours), []
    config = rl.RLConfig(steps=3, problems=4, group=4)

    def starts_low(answer, a, b):
        return answer[:1] < "5"

    gentle = TrainConfig(learning_rate=config.learning_rate, weight_decay=0.0)
    optimizer = make_optimizer(ours, gentle)
    space["practise"](ours, optimizer, starts_low, config, lambda reward, _: seen.append(reward))
    assert rl.practise(theirs, starts_low, config) == seen
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


def test_what_is_said_about_lora_was_measured():
    assert len(rank(None)) == len(rank(2)) == len(rank(8)) == len(rank(32)) >= 3
    shares = {r: mean(followed(r, "as trained")) for r in (None, 8)}
    assert f"{shares[8]:.0%} against {shares[None]:.0%} as trained" in WORDS
    assert abs(interval(followed(8, "as trained"), followed(None, "as trained"))[0]) < 0.1
    for r, told in ((8, "by 0.21 ± 0.07 nats"), (32, "by 0.10 ± 0.06")):
        less, around = interval(losses(None), losses(r))
        assert f"{less:.2f} ± {around:.2f}" in told and told in WORDS
        assert less > around
    new = {r: mean(followed(r, "new speakers")) for r in (None, 32)}
    assert f"{new[32]:.0%} against {new[None]:.0%}" in WORDS
    more, around = interval(followed(32, "new speakers"), followed(None, "new speakers"))
    assert f"leave ± {100 * around:.0f} points" in WORDS and more < around  # no difference seen
    assert max(followed(2, "as trained")) < 0.05
    assert rank(8)[0]["trainable"] * 11 < rank(8)[0]["of"] < rank(8)[0]["trainable"] * 13


def test_what_is_said_about_a_collapse_was_measured():
    rows = read_record("collapse")
    low, high = ([r for r in rows if r["learning_rate"] == rate] for rate in (1e-4, 3e-3))
    assert len(low) == len(high) >= 3
    assert all(r["right_at_the_end"] > 2 * r["right_before"] and not r["said"] for r in low)
    for row in high:
        assert row["right_at_the_end"] == 0
        assert row["right_of_the_kept"] == row["right_before"] > 0
        assert "the practice collapsed" in row["said"][0]
        last = row["steps"][-20:]
        assert mean(step["same"] for step in last) > 15  # of 16 groups: nothing teaches any more
        assert mean(step["ended"] for step in last) < 0.5 < row["steps"][0]["ended"]
    assert re.search(r"thirty times", WORDS)
