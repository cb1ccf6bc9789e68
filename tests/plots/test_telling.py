"""The sentences that pictures bring: true, in one line, and there for every picture."""

import ast
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_hex
from matplotlib.text import Text

from nanogpt_lib import GPTConfig, TrainConfig, plots
from nanogpt_lib.plots import style, telling
from nanogpt_lib.training import Evaluation

SOURCES = sorted(Path(plots.__file__).parent.glob("*.py"))
HISTORY = [
    Evaluation(0, 0, 0.0, 0.1, 4.2, 4.21, "qZ"),
    Evaluation(500, 9, 1.0, 0.1, 1.5, 1.75, "To be"),
    Evaluation(1000, 18, 2.0, 0.1, 1.25, 2.0, "or $not"),
]
SQUARE = [[1.0, 0.0], [0.25, 0.75]]


@pytest.mark.parametrize("path", SOURCES, ids=[path.stem for path in SOURCES])
def test_no_picture_is_made_without_a_sentence(path):
    calls = [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if type(node) is ast.Call
    ]
    names = [node.func.id for node in calls if isinstance(node.func, ast.Name)]
    assert "Figure" not in names


PICTURES = {
    "bars": (
        plots.bars(["to", "be"], [0.25, 1234], "Chances", "share"),
        "Chances, share: to 0.25, be 1,234.",
    ),
    "dots": (
        plots.dots(["one", "two"], [2.51, 2.5], "Loss", "nats", ["two"], {"pairs": 2.505, "no": 9}),
        "Loss, nats: one 2.51, two 2.5.",
    ),
    "counts": (
        plots.heatmap(SQUARE, "ab", "xy", "Pairs", power=0.5, cells=[["10", ""], ["3", "8"]]),
        "Pairs: 2 rows and 2 columns, largest in row 'a', column 'x': 1.",
    ),
    "lines": (
        plots.lines([0, 10, 20], {"a": [3.0, 1.0, 2.0]}, "Loss", "step", "nats"),
        "Loss, nats over step: a from 3 to 2, lowest at 10 with 1.",
    ),
    "heatmap": (
        plots.heatmap(SQUARE, {"a": 1, "b": 2}, "xy", "Pairs"),
        "Pairs: 2 rows and 2 columns, largest in row 'a', column 'x': 1.",
    ),
    "histograms": (
        plots.histograms({"d = 4": [-1.0, 2.0]}, "Scores", "score"),
        "Scores, score: d = 4 from -1 to 2.",
    ),
    "loss": (
        plots.loss_figure(HISTORY, TrainConfig(), title="A run"),
        "A run: over steps 0 to 1,000, training loss from 4.2 to 1.25; validation loss from 4.21 "
        "to 2, lowest at 500 with 1.75.",
    ),
    "live": (
        plots.live_figure(HISTORY, TrainConfig(), title="A run"),
        "A run: over steps 0 to 1,000, training loss from 4.2 to 1.25; validation loss from 4.21 "
        "to 2, lowest at 500 with 1.75. Landmarks: knows nothing at step 0; words at step 500.",
    ),
    "attention": (
        plots.attention_maps([torch.tensor(SQUARE)], "ab", ["one head"]),
        "Who looks at whom in 'ab': one head, the last looks most at 'b' in place 1, 0.75.",
    ),
    "tokens": (plots.token_strip("ab", [5, 6], "Ids"), "Ids: 'a' is 5, 'b' is 6."),
    "cards": (
        plots.sample_cards(HISTORY[:2], title="Samples."),
        "Samples. step 0, loss 4.21: 'qZ'; step 500, loss 1.75: 'To be'.",
    ),
}


def words_outside_of_boxes(picture):
    """The texts that stand on white: names, titles, ticks."""
    for words in picture.findobj(Text):
        if words.get_text().strip() and words.get_visible() and words.get_color() != "white":
            yield words


@pytest.mark.parametrize("name", PICTURES)
def test_its_words_can_be_read(name):
    PICTURES[name][0].draw_without_rendering()
    for words in words_outside_of_boxes(PICTURES[name][0]):
        assert style.contrast(words.get_color()) >= 4.5, (words.get_text(), words.get_color())


@pytest.mark.parametrize("colour", [*style.PALETTE, style.RUNG, "yellow", "white", "#123456"])
def test_ink_is_the_same_colour_dark_enough(colour):
    dark = style.ink(colour)
    assert style.contrast(dark) >= 4.5 and (style.contrast(colour) < 4.5 or dark == to_hex(colour))


def test_dots_show_what_is_near_on_a_cut_axis():
    axes = PICTURES["dots"][0].axes[0]
    low, high = axes.get_xlim()
    assert 2.4 < low < 2.5 < 2.51 < high < 2.6
    words = [text.get_text() for text in axes.texts]
    assert any(text.startswith("pairs 2.5") for text in words)
    assert not any(text.startswith("no ") for text in words)


def test_the_root_makes_small_values_darker():
    plain, root = (plots.heatmap([[0.01, 1.0]], "a", "xy", power=p) for p in (1, 0.5))
    shade = [figure.axes[0].images[0].norm(0.01) for figure in (plain, root)]
    assert shade == pytest.approx([0.01, 0.1])


def test_contrast_is_that_of_the_standard():
    assert style.contrast("black") == pytest.approx(21)
    assert style.contrast("#777777") == pytest.approx(4.48, abs=0.005)  # WebAIM's example


def test_many_decades_have_few_ticks_and_one_has_more():
    for values, fewest, most in (([1e-12, 1e8], 3, 11), ([0.2, 0.9], 2, 4)):
        picture = plots.lines([0, 1], {"a": values}, log="y")
        picture.draw_without_rendering()
        axis = picture.axes[0].yaxis
        low, high = axis.get_view_interval()
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        shown = [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
        shown = [words for words in shown if words.get_text()]
        assert fewest <= len(shown) <= most, [words.get_text() for words in shown]


def test_a_narrow_histogram_has_a_shape_beside_a_wide_one():
    g = torch.Generator().manual_seed(0)
    narrow = torch.randn(1000, generator=g)
    picture = plots.histograms({"narrow": narrow, "wide": 50 * narrow})
    heights = [bar.get_height() for bar in picture.axes[0].patches]
    assert sum(height > 0 for height in heights) > 30


@pytest.mark.parametrize("name", PICTURES)
def test_the_sentence_says_what_the_picture_shows(name):
    picture, says = PICTURES[name]
    assert repr(picture) == says


def test_a_notebook_keeps_the_sentence_beside_the_picture():
    bundle, _ = DisplayFormatter().format(PICTURES["bars"][0], include=["text/plain"])
    assert bundle == {"text/plain": "Chances, share: to 0.25, be 1,234."}


def test_the_map_of_a_model_tells_its_shapes():
    says = repr(plots.model_map(GPTConfig(65, 256, 6, 6, 384)))
    assert "6 blocks" in says and "(B, T, 384)" in says and "(B, T, 65)" in says


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=9))
def test_any_curve_can_be_told(values):
    says = telling.curve_told("a", range(len(values)), values)
    finite = [value for value in values if math.isfinite(value)]
    assert ("no finite value" in says) == (not finite)
    if finite and min(finite) < min(finite[0], finite[-1]):
        assert telling.rounded(min(finite)) in says


def test_a_sentence_has_one_line_and_ends():
    many = [f"name {i}" for i in range(100)]
    says = repr(plots.bars(many, range(100), "Two\nlines"))
    assert "\n" not in says and says.endswith("and 88 more.") and len(says) < 400
