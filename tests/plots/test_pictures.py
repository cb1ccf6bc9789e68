"""The pictures of notebook 09 show what they are given, and the sheet to draw on answers."""

import sys

import pytest
import torch

from nanogpt_lib import GPT, CharTokenizer, GPTConfig
from nanogpt_lib.beyond.digits import smudge
from nanogpt_lib.beyond.modalities import PrefixGPT, caption, patches
from nanogpt_lib.beyond.sketchpad import sketchpad
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


@pytest.fixture
def seeing():
    torch.manual_seed(0)
    size = GPTConfig(vocab_size=4, block_size=6, n_layer=1, n_head=2, n_embd=8)
    seeing = PrefixGPT(GPT(size), n_pieces=16, piece_size=4)
    with torch.no_grad():  # with eyes that matter, so that a square makes a difference
        seeing.encoder.weight *= 100
    return seeing.eval()


TOKENIZER = CharTokenizer("\nabc")


def test_the_sheet_says_what_the_model_says_to_the_softened_drawing(seeing):
    sheet = sketchpad(seeing, TOKENIZER, SEVEN)
    (expected,) = caption(seeing, TOKENIZER, patches(smudge(SEVEN)[None]))
    assert sheet.said == f"The model says: {expected}"
    assert expected in sheet.says.value


def test_a_click_draws_a_square_and_asks_the_model_again(seeing):
    sheet = sketchpad(seeing, TOKENIZER)
    assert sheet.said.startswith("Click on squares")
    sheet.squares[8 * 2 + 5].value = True
    drawn = torch.zeros(8, 8)
    drawn[2, 5] = 1
    assert torch.equal(sheet.picture(), smudge(drawn))
    assert sheet.said.startswith("The model says")
    assert sheet.squares[21].button_style == "primary"


def test_wiping_leaves_an_empty_sheet(seeing):
    sheet = sketchpad(seeing, TOKENIZER, SEVEN)
    sheet.wipe_button.click()
    assert not sheet.picture().any()
    assert sheet.said.startswith("Click on squares")
    assert {square.button_style for square in sheet.squares} == {""}


def test_a_notebook_that_is_only_read_still_says_something(seeing):
    bundle = sketchpad(seeing, TOKENIZER, SEVEN)._repr_mimebundle_()
    assert "The model says" in bundle["text/plain"]


def test_without_ipywidgets_it_says_how_to_draw_with_signs(seeing, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # as if it were not installed
    assert sketchpad(seeing, TOKENIZER) is None
    assert "digits.from_text" in capsys.readouterr().out
