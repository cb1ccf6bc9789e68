"""The pictures of the course show what they are given."""

import torch

from nanogpt_lib import plots
from nanogpt_lib.training import Evaluation


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


def test_each_attention_map_is_drawn_under_its_name():
    maps = [torch.eye(4), torch.full((4, 4), 0.25), torch.ones(4, 4).tril()]
    figure = plots.attention_maps(maps, "a b\n", ["self", "all", "past"])
    for axes, weights, name in zip(figure.axes, maps, ["self", "all", "past"], strict=False):
        assert torch.equal(torch.tensor(axes.images[0].get_array().data), weights)
        assert axes.get_title(loc="left") == name


def test_runs_beside_each_other_show_their_own_curves():
    def history(*losses):
        points = enumerate(losses)
        return [Evaluation(10 * i, 100 * i, i, 1e-3, loss - 0.1, loss) for i, loss in points]

    runs = {"good": history(4.0, 2.5, 2.0), "bad": history(4.0, 3.5, 3.9)}
    figure = plots.curves_beside(runs, rungs=[{"k": 0, "name": "frequencies", "loss": 3.3}])
    for axes, (name, points) in zip(figure.axes, runs.items(), strict=False):
        assert axes.get_title(loc="left").startswith(f"{name} (best validation")
        curves = [list(line.get_ydata()) for line in axes.lines]
        assert [p.val_loss for p in points] in curves
        assert [p.train_loss for p in points] in curves


def test_panels_share_x_and_colours_and_name_them_once():
    groups = {"reward": {"low": [1, 2], "high": [0, 0]}, "length": {"low": [5, 6], "high": [7, 8]}}
    figure = plots.panels([0, 1], groups, "Practice", "step")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["reward", "length"]
    for axes, named in zip(figure.axes, groups.values(), strict=True):
        assert [list(line.get_ydata()) for line in axes.lines] == list(named.values())
        assert axes.get_ylim()[0] == 0
    colours = [[line.get_color() for line in axes.lines] for axes in figure.axes]
    assert colours[0] == colours[1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["low", "high"]
