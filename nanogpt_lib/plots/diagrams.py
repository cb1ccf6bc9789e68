"""Drawings of the model, and of the round trip from text to text."""

import textwrap

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nanogpt_lib.plots.style import (
    ARROW,
    PALETTE,
    RATE,
    RUNG,
    TRAIN,
    VALIDATION,
    ink,
    visible,
)
from nanogpt_lib.plots.telling import Picture, bars_told


def round_trip(context, ids, names, probabilities, drawn, title="") -> Figure:
    """How a language model writes: text, ids, model, probabilities, a new character, and again.

    context: the text it sees. ids: its numbers. names, probabilities: the likeliest next
    characters and their probabilities; all others share one bar. drawn: the character that is
    drawn and appended, one of these or not.
    """
    names, probabilities = [*names, "others"], [*probabilities, max(0.0, 1 - sum(probabilities))]
    drawn_bar = drawn if drawn in names else "others"
    says = (
        f"{title}: the text {''.join(context)!r} becomes ids, the model turns them into "
        f"probabilities ({bars_told(names, probabilities)}), {drawn!r} is drawn and appended, and "
        "it goes round again."
    )
    figure = Picture(says, figsize=(10, 3.7), layout="constrained")
    axes = figure.subplots()
    text = "".join(visible(symbol) for symbol in context)
    numbers = textwrap.fill(" ".join(str(int(number)) for number in ids), 12)
    boxes = (("text", text, 0.0, "#f3efe6"), ("ids", numbers, 2.7, "#f3efe6"))
    for heading, words, x, colour in (*boxes, ("", "model", 5.4, "#cfe3f1")):
        width = 2.0 if heading else 1.4
        middle = x + width / 2
        axes.add_patch(Rectangle((x, 1.5), width, 2.0, facecolor=colour, edgecolor="none"))
        axes.text(middle, 2.5, words, ha="center", va="center", fontsize=12, family="monospace")
        axes.text(middle, 3.75, heading, ha="center", fontsize=11, color=RATE)
        axes.annotate("", (x + width + 0.65, 2.5), (x + width + 0.05, 2.5), arrowprops=ARROW)
    left, room = 8.0, 1.7  # of the bars; a probability of a half or more takes the whole width
    centre = left + room / 2
    axes.text(centre, 3.75, "probabilities of what comes next", ha="center", color=RATE)
    for i, (name, chance) in enumerate(zip(names, probabilities, strict=True)):
        y = 3.5 - (i + 0.5) * 2.0 / len(names)
        length = room * chance / max(0.5, *probabilities)
        colour = VALIDATION if name == drawn_bar else TRAIN
        axes.barh(y, length, left=left, height=1.5 / len(names), color=colour)
        axes.text(left - 0.12, y, visible(name), ha="right", va="center", family="monospace")
        axes.text(left + length + 0.08, y, f"{chance:.0%}", va="center", fontsize=9)
    way_back = ([centre, centre, 1.0, 1.0], [1.4, 0.75, 0.75, 0.9])
    axes.plot(*way_back, color=VALIDATION, linewidth=1.5)
    axes.annotate("", (1.0, 1.5), (1.0, 0.75), arrowprops=ARROW | {"color": VALIDATION})
    words = f"draw one by these chances, here {visible(drawn)}, append it, and go round again"
    axes.text((1.0 + centre) / 2, 0.35, words, ha="center", color=ink(VALIDATION), fontsize=11)
    axes.set(xlim=(-0.1, 10.4), ylim=(0.1, 4.1))
    axes.set_title(title, loc="left", fontweight="bold")
    axes.axis("off")
    return figure


def model_map(config) -> Figure:
    """A GPT from left to right: the stream, what a block adds to it, and the shapes.

    config: a GPTConfig.
    """
    C, V = config.n_embd, config.vocab_size
    says = (
        f"A GPT from left to right: ids (B, T) become a stream (B, T, {C}) by wte and wpe; "
        f"{config.n_layer} blocks add attention and an MLP to it, each behind its norm; ln_f and "
        f"lm_head give scores (B, T, {V})."
    )
    figure = Picture(says, figsize=(9.5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, 13.2), ylim=(-1.1, 3.4))
    axes.axis("off")

    def box(x, y, width, words, colour):
        style = {"facecolor": colour, "edgecolor": "#333333", "zorder": 4}  # above the stream
        axes.add_patch(Rectangle((x, y - 0.32), width, 0.64, **style))
        axes.text(x + width / 2, y, words, ha="center", va="center", fontsize=9.5, zorder=5)

    def arrow(start, end):
        axes.annotate("", xy=end, xytext=start, arrowprops={**ARROW, "color": "#333333"})

    arrow((0.95, 0), (12.25, 0))  # the stream
    quiet, loud, dashed = "#f3efe6", "#cfe3f1", "--"
    size = (2.75, -0.5), 6.5, 3.45
    axes.add_patch(Rectangle(*size, facecolor="none", linestyle=dashed, edgecolor=RUNG))
    axes.text(2.9, 3.08, f"a block, {config.n_layer} of them one after the other", fontsize=9.5)
    box(1.15, 0, 1.2, "wte + wpe", quiet)
    box(9.6, 0, 0.75, "ln_f", quiet)
    box(10.65, 0, 1.15, "lm_head", quiet)
    for x, norm, part in ((3.0, "ln_1", "attention"), (6.2, "ln_2", "MLP")):
        box(x, 1.05, 1.0, norm, quiet)
        box(x + 0.85, 2.1, 1.6, part, loud)
        arrow((x + 0.5, 0), (x + 0.5, 0.73))
        axes.plot([x + 0.5, x + 0.5, x + 0.85], [1.37, 2.1, 2.1], color="#333333", linewidth=1.5)
        axes.plot([x + 2.45, x + 2.75], [2.1, 2.1], color="#333333", linewidth=1.5)
        arrow((x + 2.75, 2.1), (x + 2.75, 0.2))
        axes.plot(x + 2.75, 0, marker="o", markersize=15, color="white", markeredgecolor="#333333")
        axes.text(x + 2.75, -0.015, "+", ha="center", va="center", fontsize=13)
    for x, words in ((0.45, "ids"), (12.75, "scores")):
        axes.text(x, 0, words, ha="center", va="center", fontsize=10.5)
    shapes = ((0.45, "(B, T)"), (6.0, f"the stream, (B, T, {C})"), (12.75, f"(B, T, {V})"))
    for x, words in shapes:
        axes.text(x, -0.8, words, ha="center", va="center", fontsize=9.5, color=TRAIN)
    return figure


def parallelisms(n_layer: int = 4, gpus: int = 4) -> Figure:
    """Three ways to share a training among GPUs: by data, inside the layers, and by layers.

    Each row is a layer, each colour a GPU. `gpus` is at most 4, and divides n_layer.
    """
    says = (
        f"Three ways to share {n_layer} layers among {gpus} GPUs: by data each GPU has them all, "
        "by tensors a part of each, by a pipeline some of them."
    )
    figure = Picture(says, figsize=(10, 3.6), layout="constrained")
    panels = figure.subplots(1, 3, gridspec_kw={"width_ratios": [2.2, 1, 1]})
    names = (
        "data: each GPU has the whole model",
        "tensor: a part of each",
        "pipeline: some layers",
    )
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(name, loc="left", fontsize=10, fontweight="bold")
        axes.axis("off")

    def box(axes, x, layer, width, owner):
        colours: dict = {"facecolor": PALETTE[owner], "edgecolor": "white"}
        axes.add_patch(Rectangle((x, layer), width, 0.85, **colours))

    for layer in range(n_layer):
        box(panels[2], 0, layer, gpus, layer * gpus // n_layer)
        for gpu in range(gpus):
            box(panels[0], 1.25 * gpus * gpu, layer, gpus, gpu)  # one copy beside the other
            box(panels[1], gpu, layer, 1, gpu)
    words = (
        [(1.25 * gpus * gpu + gpus / 2, f"GPU {gpu}:\nits rows") for gpu in range(gpus)],
        [(gpu + 0.5, f"{gpu}") for gpu in range(gpus)],
        [(gpus / 2, f"GPU 0 below, GPU {gpus - 1} above")],
    )
    for axes, labels in zip(panels, words, strict=True):
        for x, label in labels:
            axes.text(x, -0.25, label, ha="center", va="top", fontsize=9)
        axes.set(ylim=(-1.3, n_layer + 0.1))
        axes.autoscale(axis="x")
    return figure
