"""The pictures of the course show what they are given."""

import torch

from nanogpt_lib import plots


def words(figure) -> list[str]:
    """All that is written in the first axes of a figure."""
    figure.draw_without_rendering()
    axes = figure.axes[0]
    return [text.get_text() for text in axes.findobj(lambda a: hasattr(a, "get_text"))]


def test_a_strip_shows_each_symbol_above_its_id():
    shown = words(plots.token_strip("hi \n", [46, 47, 1, 0]))
    assert {"h", "i", "\u2423", "\u21b5", "46", "47", "1", "0"} <= set(shown)


def test_bars_are_as_long_as_their_values_and_the_chosen_one_stands_out():
    figure = plots.bars(["a", "b", " "], [0.5, 2.0, 1.0], title="Chances", highlight=["b"])
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.5, 2.0, 1.0]
    colours = [bar.get_facecolor() for bar in bars]
    assert colours[0] == colours[2] != colours[1]
    assert {"a", "b", "\u2423", "2"} <= set(words(figure))


def test_a_heatmap_shows_the_matrix_with_rows_down_and_columns_across():
    matrix = torch.tensor([[0.1, 0.9, 0.0], [0.3, 0.3, 0.4]])
    figure = plots.heatmap(matrix, ["q", "\n"], ["u", "a", "$"])
    axes = figure.axes[0]
    assert torch.equal(torch.tensor(axes.images[0].get_array().data), matrix)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["q", "\u21b5"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["u", "a", r"\$"]
