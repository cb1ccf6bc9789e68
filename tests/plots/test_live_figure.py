"""The curve beside its samples: what stays, and whether all of it can be seen."""

from itertools import pairwise

import pytest

from nanogpt_lib.plots import live
from nanogpt_lib.plots.style import TRAIN, VALIDATION, ink
from nanogpt_lib.room import story
from nanogpt_lib.runs import untrusted


@pytest.fixture(scope="module")
def talk():
    return story.with_start(untrusted.read("talk"), "talk")


def words_of(figure):
    return figure.axes[1].texts


def drawn(talk, n):
    return live.live_figure(talk.history[:n], talk.config, talk.rungs, "talk")


def test_the_newest_sample_is_on_top_and_each_first_one_stays(talk):
    seen = []
    for n in range(1, len(talk.history) + 1, 7):
        texts = [text.get_text() for text in words_of(drawn(talk, n))]
        assert texts[0] == f"Step {talk.history[n - 1].step:,} writes"
        firsts = texts[texts.index("The first sample of each landmark") + 1 :]
        assert firsts[: len(seen)] == seen  # nothing that was there has gone or changed
        seen = firsts
    assert "0 · 4.33 · knows nothing" in seen and "1,750 · 0.48 · reciting, training" in seen
    assert len(seen) == 2 * 10


def test_landmarks_have_the_colour_of_their_split(talk):
    colours = {t.get_text(): t.get_color() for t in words_of(drawn(talk, None))}
    assert colours["200 · 2.06 · syllables"] == ink(VALIDATION)
    assert colours["1,150 · 0.99 · memorising, training"] == ink(TRAIN)


def test_all_words_lie_inside_the_picture_and_none_covers_another(talk):
    figure = drawn(talk, None)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in words_of(figure) if text.get_text()]
    paper = figure.axes[1].get_window_extent()
    for box in boxes:
        assert paper.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert paper.y0 <= box.y0 and box.y1 <= paper.y1
    middles = sorted((box.y0 + box.y1) / 2 for box in boxes)
    assert min(b - a for a, b in pairwise(middles)) > 11  # pixels


def test_a_run_without_samples_or_losses_is_drawn_too(talk):
    empty = live.live_figure([], talk.config, talk.rungs)
    assert "none yet" in repr(empty) and not words_of(empty)
