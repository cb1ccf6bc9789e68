"""The pictures of notebook 09 show what they are given."""

import pytest
import torch

from nanogpt_lib.beyond.modalities import patches
from nanogpt_lib.plots import pictures as modality_plots

SEVEN = torch.zeros(8, 8)
SEVEN[1, 2:6] = 1
SEVEN[2:7, 5] = 1


def words(figure) -> list[str]:
    figure.draw_without_rendering()
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text"))]


def test_a_gallery_shows_each_picture_with_its_facts():
    figure = modality_plots.gallery(torch.stack([SEVEN, 1 - SEVEN]), ["a, b, c", "d, e, f"])
    for axes, picture in zip(figure.axes, (SEVEN, 1 - SEVEN), strict=False):
        assert torch.equal(torch.tensor(axes.images[0].get_array().data), picture)
    assert {"a", "b", "c", "d", "e", "f"} <= set(words(figure))


def test_a_wrong_fact_is_told_with_the_true_one_and_a_missing_one_too():
    shown = modality_plots.told("a six, upright, thin", "a six, leaning left")
    assert [line for line, _ in shown] == [
        "a six",
        "leaning left (not upright)",
        "nothing (not thin)",
    ]
    assert shown[0][1] != shown[1][1] == shown[2][1]


def test_a_picture_is_shown_beside_its_pieces_in_their_order():
    pieces = patches(SEVEN[None])[0]
    figure = modality_plots.cut_up(SEVEN, pieces, "a seven")
    whole, row = figure.axes
    assert torch.equal(torch.tensor(whole.images[0].get_array().data), SEVEN)
    drawn = [torch.tensor(image.get_array().data).flatten() for image in row.images]
    assert torch.equal(torch.stack(drawn), pieces)


def test_attention_lies_where_its_patch_lies():
    shares = torch.eye(16)[[3, 12]]
    figure = modality_plots.looks_at(SEVEN, ["a seven", "thin"], shares)
    for axes, place in zip(figure.axes[1:3], ((0, 3), (3, 0)), strict=True):
        seen = torch.tensor(axes.images[0].get_array().data)  # (4, 4)
        assert seen.sum() == seen[place] == 1
    assert {'"a seven"', '"thin"'} <= set(words(figure))


def test_a_spectrogram_has_time_to_the_right_and_high_tones_on_top():
    frames = torch.zeros(2, 16, 257)
    frames[:, 15, 200] = 1
    figure = modality_plots.spectrograms(frames, ["ee, low voice", "ah, high voice"])
    image = figure.axes[0].images[0]
    assert torch.tensor(image.get_array().data)[200, 15] == 1
    assert image.origin == "lower"
    assert image.get_extent() == [0, 16 * 256 / 8000, 0, 4]


def test_attention_in_time_stands_below_its_frames():
    shares = torch.full((2, 16), 1 / 16)
    figure = modality_plots.looks_in_time(torch.rand(16, 257), ["ee", "rising"], shares)
    above, below = figure.axes[:2]
    assert below.images[0].get_extent()[:2] == above.images[0].get_extent()[:2]
    assert {'"ee"', '"rising"'} <= set(words(figure))


def test_bars_are_as_high_as_the_shares_in_percent():
    rows = {"GPT": [0.9, 0.5], "probe": [0.8, 0.25]}
    figure = modality_plots.scores_beside(rows, ["digit", "lean"], chance=[0.1, 0.4])
    axes = figure.axes[0]
    assert [p.get_height() for p in axes.patches] == pytest.approx([90, 50, 80, 25])
    assert [line.get_ydata()[0] for line in axes.lines] == pytest.approx([10, 40])
    assert {"GPT", "probe", "digit", "lean", "90"} <= set(words(figure))
