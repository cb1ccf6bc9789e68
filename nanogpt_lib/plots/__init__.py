"""Pictures. Every function returns a matplotlib Figure and shows nothing by itself.

The figure's text is a sentence that says what it shows; a notebook keeps it beside the picture.

`summary` says in one line of text what a curve shows, for people who cannot see it.
"""

from nanogpt_lib.plots.attention import attention_maps, attention_rows
from nanogpt_lib.plots.charts import (
    bars,
    bars_beside,
    dots,
    estimates,
    heatmap,
    histograms,
    lines,
    panels,
)
from nanogpt_lib.plots.curves import (
    board,
    curve_and_sample,
    curves_beside,
    draw_losses,
    draw_rungs,
    loss_figure,
    summary,
)
from nanogpt_lib.plots.diagrams import model_map, parallelisms, round_trip
from nanogpt_lib.plots.judges import three_judges
from nanogpt_lib.plots.lens import logit_lens
from nanogpt_lib.plots.letters import copied_texts, letter_map
from nanogpt_lib.plots.live import live_figure
from nanogpt_lib.plots.style import BEST, PALETTE, RATE, RUNG, TRAIN, VALIDATION, visible
from nanogpt_lib.plots.text import copies_map, loss_strips, pieces, sample_cards, token_strip

__all__ = [
    "BEST",
    "PALETTE",
    "RATE",
    "RUNG",
    "TRAIN",
    "VALIDATION",
    "attention_maps",
    "attention_rows",
    "bars",
    "bars_beside",
    "board",
    "copied_texts",
    "copies_map",
    "curve_and_sample",
    "curves_beside",
    "dots",
    "draw_losses",
    "draw_rungs",
    "estimates",
    "heatmap",
    "histograms",
    "letter_map",
    "lines",
    "live_figure",
    "logit_lens",
    "loss_figure",
    "loss_strips",
    "model_map",
    "panels",
    "parallelisms",
    "pieces",
    "round_trip",
    "sample_cards",
    "summary",
    "three_judges",
    "token_strip",
    "visible",
]
