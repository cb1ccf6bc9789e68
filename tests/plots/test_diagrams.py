"""The round trip: it draws from all characters, and shows the likeliest."""

import pytest
from matplotlib.patches import Rectangle

from nanogpt_lib import plots
from nanogpt_lib.plots.style import VALIDATION, ink


def highlighted(figure) -> list[int]:
    """The places of the bars that are emphasised, from the top."""
    (axes,) = figure.axes
    bars = [bar for container in axes.containers for bar in container]
    assert all(isinstance(bar, Rectangle) for bar in bars)
    colours = [bar.get_facecolor() for bar in bars]
    ordinary = max(colours, key=colours.count)
    return [i for i, colour in enumerate(colours) if colour != ordinary]


@pytest.mark.parametrize(("drawn", "bar"), [("t", 0), ("h", 1), ("q", 3)])
def test_what_is_drawn_is_marked_even_if_it_is_none_of_those_shown(drawn, bar):
    figure = plots.round_trip("me ", [1, 2, 3], ["t", "h", "a"], [0.3, 0.2, 0.1], drawn)
    assert highlighted(figure) == [bar]
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "others" in words and "40%" in words
    assert any(f"here {drawn}," in text for text in words)
    assert ink(VALIDATION) in {text.get_color() for text in figure.axes[0].texts}


def test_the_parallelisms_share_the_same_model_in_three_ways():
    data, tensor, pipeline = plots.parallelisms(n_layer=4, gpus=4).axes

    def owners(axes):
        """The colours of each layer, from below, from left to right."""
        found = {}
        for patch in axes.patches:
            found.setdefault(patch.get_y(), []).append(patch.get_facecolor())
        return [found[y] for y in sorted(found)]

    assert owners(data) == owners(tensor)  # each layer has all four colours
    assert all(len(set(layer)) == 4 for layer in owners(data))
    assert [len(layer) for layer in owners(pipeline)] == [1, 1, 1, 1]
    assert len({layer[0] for layer in owners(pipeline)}) == 4
