"""The map of letters and the copied texts, by what stands in them and where."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanogpt_lib.plots import copied_texts, letter_map
from nanogpt_lib.plots.letters import APART, laid_out, pushed_apart


def test_every_symbol_is_on_the_map_in_the_colour_of_its_kind():
    figure = letter_map(
        [[0, 0], [1, 0], [0, 2], [3, 3]], ["a", "A", "\n", "$"], {"small": "a", "large": "A"}, "Map"
    )
    axes = figure.axes[0]
    texts = {text.get_text(): text for text in axes.texts}
    assert texts.keys() == {"a", "A", "\u21b5", r"\$"}
    assert texts["a"].get_color() != texts["A"].get_color() != texts["\u21b5"].get_color()
    assert texts["A"].xy == (1, 0)
    assert repr(figure) == "Map: small at the bottom left; large at the bottom middle."
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["small", "large"]


def test_letters_at_one_place_can_all_be_read():
    figure = letter_map([[0, 0]] * 9 + [[1, 1]], "abcdefghij", {"all": "abcdefghij"})
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    middles = [((b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2) for b in boxes]
    assert min(itertools.starmap(distance, itertools.combinations(middles, 2))) > 8


def distance(one, other) -> float:
    return ((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) ** 0.5


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 400)), min_size=2, max_size=20))
def test_what_is_far_apart_stays_and_what_is_close_moves_apart(places):
    moved = pushed_apart(places)
    near = min(itertools.starmap(distance, itertools.combinations(moved, 2)))
    assert near > 0.5 * APART
    if min(itertools.starmap(distance, itertools.combinations(places, 2))) > APART + 1:
        assert moved == [pytest.approx(place, abs=0.1) for place in places]


@settings(deadline=None)
@given(st.text("ab \n", min_size=1, max_size=60), st.integers(3, 12))
def test_a_text_that_is_wrapped_loses_no_character(text, width):
    places = [*laid_out(text, width, lines=100)]
    assert [i for i, _, _ in places] == list(range(len(text)))
    assert len({(row, column) for _, row, column in places}) == len(text)
    assert max(column for _, _, column in places) < width


def test_only_copies_longer_than_chance_are_coloured():
    samples = {"one": ("abcd", [2, 2, 9, 9], 5), "none": ("abcd", [5, 5, 5, 5], 5)}
    figure = copied_texts(samples, "Copied", most=10)
    assert repr(figure) == (
        "Copied. one: 2 of 4 characters, the longest copy 9; "
        "none: 0 of 4 characters, the longest copy 5."
    )
    first, second = figure.axes
    assert (len(first.collections), len(second.collections)) == (2, 0)
    assert [text.get_text() for text in first.texts] == list("abcd")
    assert first.get_title(loc="left") == "one"
