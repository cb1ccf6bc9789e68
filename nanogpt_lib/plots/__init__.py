"""Pictures: the loss curve, alone, live, and beside the ladder.

Every function returns a matplotlib Figure and shows nothing by itself; `summary` says in a line
of text what a curve shows, for those who cannot see it.
"""

import math
import textwrap
from itertools import pairwise

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nanogpt_lib.milestones import helpful, read_loss, verdict
from nanogpt_lib.training import Evaluation, TrainConfig, lr_at

# Distinguishable with any kind of colour vision (Okabe & Ito 2008).
TRAIN, VALIDATION, BEST, RATE, RUNG = "#0072B2", "#D55E00", "#009E73", "#555555", "#8a8a8a"
ARROW = {"arrowstyle": "->", "linewidth": 1.5}


def loss_figure(
    history: list[Evaluation],
    config: TrainConfig,
    rungs=(),
    title="",
    batches=(),
    landmarks=False,
) -> Figure:
    """Training and validation loss over the n-gram ladder, the learning rate below.

    history: the evaluations so far. config: how the run is trained. rungs: rows of
    `ngram.ladder`, drawn as lines, each named at its right end. batches: pairs (step, loss of
    its batch), drawn smoothed. landmarks: whether to name those that the validation loss reaches.
    """
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(5, 1))
    draw_rungs(above, rungs)
    draw_batches(above, batches, config.max_steps)
    draw_losses(above, history)
    if landmarks:
        draw_landmarks(above, history, rungs)
    above.set_ylabel("loss (nats a token)")
    above.set_title(title or "Loss", loc="left", fontweight="bold", parse_math=False)
    steps = range(0, config.max_steps + 1, max(1, config.max_steps // 400))
    below.plot(steps, [lr_at(step, config) for step in steps], color=RATE, linewidth=1.5)
    below.set_ylabel("learning\nrate")
    below.ticklabel_format(axis="y", scilimits=(0, 0))
    below.set_ylim(0, config.learning_rate * 1.15)
    below.set_xlabel("step")
    below.set_xlim(0, max(1, config.max_steps))
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_rungs(axes, rungs) -> None:
    """The ladder as thin lines; a rung's name stands at its end, clear of its neighbours."""
    lowest_label = math.inf
    for rung in sorted(rungs, key=lambda rung: -rung["loss"]):
        axes.axhline(rung["loss"], color=RUNG, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
        height = min(rung["loss"], lowest_label - 0.14)
        lowest_label = height
        axes.annotate(
            f"{rung['loss']:.2f}: {rung['name']}",
            xy=(1, height),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color="#555555",
            parse_math=False,  # a dollar in a name is a dollar
        )


def draw_batches(axes, batches, max_steps: int) -> None:
    """The losses of the batches themselves, as means of neighbours: each alone is noisy."""
    if not batches:
        return
    width = max(1, math.ceil(max_steps / 150))  # steps in a mean
    groups = {}
    for step, loss in batches:
        groups.setdefault((step - 1) // width, []).append(loss)
    middles = [(group + 0.5) * width for group in groups]
    means = [sum(losses) / len(losses) for losses in groups.values()]
    axes.plot(middles, means, color=TRAIN, alpha=0.4, linewidth=1.2, label="training batches")


def draw_landmarks(axes, history, rungs=()) -> None:
    """The name of each landmark where the validation loss first reaches it, above the curve."""
    axes.margins(y=0.1)  # room for the first name
    reached = set()
    for point in history:
        name = read_loss(point.val_loss, "val", rungs).landmark
        if math.isfinite(point.val_loss) and name not in reached:
            axes.annotate(
                name,
                xy=(point.step, point.val_loss),
                xytext=(5, 9),
                textcoords="offset points",
                fontsize=9.5,
                color=VALIDATION,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8},
            )
        reached.add(name)


def draw_losses(axes, history) -> None:
    """Both curves, and the best validation loss marked."""
    steps = [point.step for point in history]
    style = {"marker": "o", "markersize": 3.5, "linewidth": 1.8}
    axes.plot(steps, [p.train_loss for p in history], color=TRAIN, label="training", **style)
    axes.plot(steps, [p.val_loss for p in history], color=VALIDATION, label="validation", **style)
    finite = [point for point in history if math.isfinite(point.val_loss)]
    if finite:
        best = min(finite, key=lambda point: point.val_loss)
        axes.axvline(best.step, color=BEST, linewidth=1, linestyle=":")
        axes.plot(
            [best.step],
            [best.val_loss],
            marker="*",
            markersize=13,
            color=BEST,
            linestyle="",
            clip_on=False,  # whole, also at the edge
            label=f"best validation: {best.val_loss:.3f} at step {best.step:,}",
        )
    axes.legend(loc="upper right", edgecolor="none", framealpha=1.0)  # over the dashed lines


def summary(history: list[Evaluation]) -> str:
    """What a curve shows, in a line."""
    if not history:
        return "No evaluation yet."
    last = history[-1]
    return (
        f"Step {last.step:,}: training loss {last.train_loss:.3f}, validation loss "
        f"{last.val_loss:.3f}. {verdict(history)}"
    )


def token_strip(symbols, ids, title="") -> Figure:
    """A text in boxes, symbol above, id below; symbols: strings, ids: numbers, equally many."""
    figure = Figure(figsize=(max(4, 0.42 * len(ids)), 1.5), layout="constrained")
    axes = figure.subplots()
    for i, (symbol, number) in enumerate(zip(symbols, ids, strict=True)):
        axes.add_patch(Rectangle((i, 0), 1, 2, facecolor="#f3efe6", edgecolor="white", linewidth=2))
        axes.text(i + 0.5, 1.35, visible(symbol), ha="center", va="center", fontsize=13)
        axes.text(i + 0.5, 0.5, str(int(number)), ha="center", va="center", color=TRAIN)
    axes.set(xlim=(0, len(ids)), ylim=(0, 2), title=title)
    axes.axis("off")
    return figure


def pieces(rows, title="") -> Figure:
    """A text cut into tokens, each in a box of its own, for several tokenizers below each other.

    rows: {name: the tokens as strings}; those of each row make the same text.
    """
    length = max(sum(map(len, tokens)) for tokens in rows.values())
    figure = Figure(figsize=(1.6 + 0.15 * length, 0.5 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for row, tokens in enumerate(rows.values()):
        begin = 0
        for token in tokens:
            box = (begin + 0.05, row - 0.38), len(token) - 0.1, 0.76
            axes.add_patch(Rectangle(*box, facecolor="#dbe9f6", edgecolor="#7fa8cf"))
            for i, symbol in enumerate(token):
                axes.text(begin + i + 0.5, row, visible(symbol), ha="center", va="center")
            begin += len(token)
    names = [f"{name}: {len(tokens)}" for name, tokens in rows.items()]
    axes.set_yticks(range(len(rows)), names)
    axes.set(xlim=(0, length), ylim=(len(rows) - 0.5, -0.5), xticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    return figure


def bars(names, values, title="", xlabel="", highlight=()) -> Figure:
    """Horizontal bars, the first on top, each with its value; highlight: names to stand out."""
    figure = Figure(figsize=(8, 0.6 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    colours = [VALIDATION if name in highlight else TRAIN for name in names]
    labels = [visible(str(name)) for name in names]
    places = range(len(names))
    drawn = axes.barh(places, [float(v) for v in values], color=colours)
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=9)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    return figure


def heatmap(matrix, rows, columns, title="", row_label="", column_label="", size=6.5) -> Figure:
    """A matrix as colours, dark for large; rows and columns: what stands at its edges."""
    figure = Figure(figsize=(size, size * len(rows) / len(columns) + 0.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(plain(matrix), cmap="Blues", aspect="auto")
    small = 10 if max(len(rows), len(columns)) <= 30 else 6
    axes.set_xticks(range(len(columns)), [visible(s) for s in columns], fontsize=small)
    axes.set_yticks(range(len(rows)), [visible(s) for s in rows], fontsize=small)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(column_label)
    axes.set_ylabel(row_label)
    axes.set_title(title, loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, shrink=0.7)
    return figure


def visible(symbol: str) -> str:
    """A character as it can be seen in a picture: a newline and a space get signs of their own."""
    shown = symbol.replace("\n", "\u21b5")
    shown = "\u2423" if shown == " " else shown
    return shown.replace("$", r"\$")  # matplotlib would take a dollar for mathematics


def round_trip(context, ids, names, probabilities, drawn, title="") -> Figure:
    """How a language model writes: text, ids, model, probabilities, a new character, and again.

    context: the text it sees. ids: its numbers. names, probabilities: the likeliest next
    characters and how likely each is. drawn: the one that is chosen and appended.
    """
    figure = Figure(figsize=(10, 3.7), layout="constrained")
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
    left, room = 8.0, 1.7  # of the bars; a probability of a half or more takes all the room
    centre = left + room / 2
    axes.text(centre, 3.75, "probabilities of what comes next", ha="center", color=RATE)
    for i, (name, chance) in enumerate(zip(names, probabilities, strict=True)):
        y = 3.5 - (i + 0.5) * 2.0 / len(names)
        length = room * chance / max(0.5, *probabilities)
        colour = VALIDATION if name == drawn else TRAIN
        axes.barh(y, length, left=left, height=1.5 / len(names), color=colour)
        axes.text(left - 0.12, y, visible(name), ha="right", va="center", family="monospace")
        axes.text(left + length + 0.08, y, f"{chance:.0%}", va="center", fontsize=9)
    way_back = ([centre, centre, 1.0, 1.0], [1.4, 0.75, 0.75, 0.9])
    axes.plot(*way_back, color=VALIDATION, linewidth=1.5)
    axes.annotate("", (1.0, 1.5), (1.0, 0.75), arrowprops=ARROW | {"color": VALIDATION})
    words = f"draw one of them, here {visible(drawn)}, append it to the text, and go round again"
    axes.text((1.0 + centre) / 2, 0.35, words, ha="center", color=VALIDATION, fontsize=11)
    axes.set(xlim=(-0.1, 10.4), ylim=(0.1, 4.1))
    axes.set_title(title, loc="left", fontweight="bold")
    axes.axis("off")
    return figure


def sample_cards(points, lines=10, width=39, title="") -> Figure:
    """What a model wrote at some evaluations, on cards side by side; each needs a `sample`."""
    figure = Figure(figsize=(10, 0.9 + 0.2 * lines), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    for axes, point in zip(figure.subplots(1, len(points), squeeze=False)[0], points, strict=True):
        draw_sample(axes, point, lines, width)
        heading = f"step {point.step:,}, loss {point.val_loss:.2f}"
        axes.set_title(heading, loc="left", fontsize=11, color=VALIDATION)
    return figure


# Eight colours that are told apart with any kind of colour vision (Okabe & Ito 2008).
PALETTE = (TRAIN, VALIDATION, BEST, "#CC79A7", "#000000", "#56B4E9", "#E69F00", RATE)


def lines(
    x, named, title="", xlabel="", ylabel="", log="", ylim=None, levels=None, size=(9, 4.2)
) -> Figure:
    """Curves over the same x, each named at its right end.

    x: numbers. named: {name: as many numbers as x, or fewer where a curve ends early}. log: the
    axes with logarithmic scale, such as "x" or "xy". levels: {name: value}, drawn as thin
    horizontal lines.
    """
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, title="")
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    for axis in [{"x": axes.xaxis, "y": axes.yaxis}[letter] for letter in log]:
        axis.set_major_formatter("{x:g}")  # 0.01 rather than 10 to the -2
        axis.set_minor_formatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "25" else "")
    x, ends = [float(value) for value in x], []
    for i, (name, values) in enumerate(named.items()):
        values, colour = [float(value) for value in values], PALETTE[i % len(PALETTE)]
        dashes = "solid" if i < 4 else (0, (5, 2))  # colour is not all that tells them apart
        axes.plot(x[: len(values)], values, color=colour, linewidth=1.8, linestyle=dashes)
        last = next((v for v in reversed(values) if math.isfinite(v)), math.nan)
        ends.append((last, name, colour))
    for name, value in (levels or {}).items():
        axes.axhline(value, color=RUNG, linewidth=1, linestyle=(0, (4, 4)), zorder=0)
        ends.append((value, name, "#555555"))
    if ylim:
        axes.set_ylim(ylim)
    axes.margins(x=0)
    name_ends(axes, ends)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def name_ends(axes, ends) -> None:
    """Names at the right edge at the heights given, moved apart where they would overlap.

    ends: (height, name, colour); a height that is out of the picture is put at its edge.
    """
    bottom, top = axes.get_ylim()
    scale = axes.transScale + axes.transLimits  # data to 0..1
    places = []
    for height, name, colour in ends:
        height = min(max(height, bottom), top) if math.isfinite(height) else top
        places.append([float(scale.transform((axes.get_xlim()[0], height))[1]), name, colour])
    places.sort(key=lambda place: place[0])
    gap = 0.3 / axes.figure.get_figheight()  # a line of text
    for below, above in pairwise(places):
        above[0] = max(above[0], below[0] + gap)
    for height, name, colour in places:
        axes.annotate(
            name,
            xy=(1, height),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            color=colour,
        )


def loss_strips(symbols, rows, title="", most=6.0) -> Figure:
    """A text, each character coloured by its loss: the darker, the more it came as a surprise.

    symbols: strings. rows: {name: as many losses as symbols}, drawn below each other. most: the
    loss from which on the colour is the darkest.
    """
    figure = Figure(figsize=(9.5, 0.9 + 0.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    losses = [[float(value) for value in values] for values in rows.values()]
    image = axes.imshow(losses, cmap="Oranges", vmin=0, vmax=most, aspect="auto")
    for i, row in enumerate(losses):
        for j, symbol in enumerate(symbols):
            colour = "white" if row[j] > 0.65 * most else "black"
            axes.text(j, i, visible(symbol), ha="center", va="center", color=colour, fontsize=11)
    axes.set_xticks([])
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, label="loss (nats)", aspect=6, pad=0.01)
    return figure


def bars_beside(groups, title="", xlabel="") -> Figure:
    """Groups of horizontal bars side by side on one scale; a value of 0 is marked as cut.

    groups: {heading: (names, values)}, names and values equally many within a group.
    """
    most = max(len(names) for names, _ in groups.values())
    figure = Figure(figsize=(9.5, 1.1 + 0.27 * most), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    figure.supxlabel(xlabel, fontsize=10)
    columns = figure.subplots(1, len(groups), sharex=True, squeeze=False)[0]
    for axes, (heading, (names, values)) in zip(columns, groups.items(), strict=True):
        values = [float(value) for value in values]
        places = range(len(names))
        axes.barh(places, values, color=TRAIN)
        for place, value in enumerate(values):
            words = f" {value:.3g}" if value else " cut"
            colour = "black" if value else VALIDATION
            axes.text(value, place, words, va="center", fontsize=8.5, color=colour)
        axes.set_yticks(places, [visible(str(name)) for name in names])
        axes.set_ylim(most - 0.4, -0.6)  # the first on top, and rows at one height in all groups
        axes.set_title(heading.replace("$", r"\$"), fontsize=10.5, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    highest = max(float(value) for _, values in groups.values() for value in values)
    columns[0].set_xlim(0, 1.22 * highest)  # room for the numbers
    return figure


def plain(matrix) -> list[list[float]]:
    """Rows of numbers, out of a tensor or anything like it: matplotlib takes all to be NumPy's."""
    return [[float(value) for value in row] for row in matrix]


def attention_maps(maps, symbols, titles, title="", size=4.4, label="weight") -> Figure:
    """Who looks at whom: a square for each map, rows look, columns are looked at.

    maps: each (T, T). symbols: the T characters, written at both edges. titles: a name for each
    map. size: the side of a square in inches. Two stand beside each other. label: what the
    colour means.
    """
    columns = min(2, len(maps))
    rows = math.ceil(len(maps) / columns)
    figure = Figure(figsize=(size * columns, (size + 0.5) * rows), layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    squares = figure.subplots(rows, columns, squeeze=False).flatten()
    names = [visible(symbol) for symbol in symbols]
    small = min(10, 72 * size * 0.75 / len(names))
    for axes, weights, name in zip(squares, maps, titles, strict=False):
        image = axes.imshow(plain(weights), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, fontsize=small)
        axes.set_yticks(range(len(names)), names, fontsize=small)
        axes.tick_params(length=0, pad=1.5)
        axes.xaxis.tick_top()
        axes.set_title(name, loc="left", fontsize=10.5)
    for axes in squares[len(maps) :]:
        axes.set_visible(False)
    figure.colorbar(image, ax=list(squares), shrink=0.6, aspect=30, label=label)
    return figure


def attention_rows(symbols, rows, at, title="") -> Figure:
    """What one token looks at: the text once for each head, dark where the head looks.

    symbols: T characters. rows: {name: T weights}. at: the place of the token that looks; it has
    a frame. Characters after it are left out: they are in its future.
    """
    shown = [visible(symbol) for symbol in symbols[: at + 1]]
    figure = Figure(figsize=(9.5, 0.7 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots()
    weights = [[float(w) for w in row[: at + 1]] for row in rows.values()]
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    small = min(11, 480 / len(shown))
    for i, row in enumerate(weights):
        for j, symbol in enumerate(shown):
            colour = "white" if row[j] > 0.6 else "black"
            axes.text(j, i, symbol, ha="center", va="center", color=colour, fontsize=small)
    frame = Rectangle((at - 0.5, -0.5), 1, len(rows), fill=False, edgecolor=VALIDATION, linewidth=2)
    axes.add_patch(frame)
    frame.set_clip_on(False)
    axes.set_xticks([])
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, label="weight", aspect=8, pad=0.01)
    return figure


def histograms(named, title="", xlabel="", bins=60) -> Figure:
    """How numbers spread: a histogram each, below one another on one scale.

    named: {name: numbers}, the name written into its histogram.
    """
    figure = Figure(figsize=(9, 0.7 + 1.1 * len(named)), layout="constrained")
    rows = figure.subplots(len(named), 1, sharex=True, squeeze=False)[:, 0]
    samples = [[float(v) for v in values] for values in named.values()]
    edge = max(abs(v) for values in samples for v in values)
    for i, (axes, name, values) in enumerate(zip(rows, named, samples, strict=True)):
        axes.hist(values, bins=bins, range=(-edge, edge), color=PALETTE[i % len(PALETTE)])
        axes.text(0.99, 0.85, name, transform=axes.transAxes, ha="right", va="top")
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    rows[0].set_title(title, loc="left", fontweight="bold")
    rows[-1].set_xlabel(xlabel)
    return figure


def curve_and_sample(history, rungs=(), title="", lines=11, width=40, highest=4.8) -> Figure:
    """A curve over the ladder, and beside it what the model wrote at its last evaluation.

    highest: where the losses' axis ends, the same in all pictures that are to be compared; what
    lies above is drawn at its edge as a triangle.
    """
    figure = Figure(figsize=(10, 3.9))
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.13, top=0.82, wspace=0.6)
    draw_rungs(left, rungs)
    draw_losses(left, history)
    for losses, colour in (("train_loss", TRAIN), ("val_loss", VALIDATION)):
        above = [p.step for p in history if getattr(p, losses) > highest]
        left.plot(above, [highest] * len(above), "^", color=colour, clip_on=False)
    left.set(xlabel="step", ylabel="loss (nats a token)", ylim=(0, highest))
    left.set_xlim(0, history[-1].step * 1.02 or 1)
    left.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=3, frameon=False, fontsize=9)
    left.spines[["top", "right"]].set_visible(False)
    draw_sample(right, history[-1], lines, width)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def draw_sample(axes, point, lines: int, width: int) -> None:
    """What a model wrote at an evaluation, wrapped, as much as fits in so many lines."""
    written = point.sample.strip().split("\n")
    wrapped = [textwrap.wrap(line, width, break_on_hyphens=False) or [""] for line in written]
    shown = "\n".join([piece for pieces in wrapped for piece in pieces][:lines])
    style = {"family": "monospace", "fontsize": 9, "linespacing": 1.3, "parse_math": False}
    words = axes.text(0.03, 0.96, shown, transform=axes.transAxes, va="top", **style)
    words.set_in_layout(False)  # else a long line narrows the picture beside it
    axes.set_title(f"written at step {point.step:,}", loc="left", fontsize=10.5)
    axes.set(xticks=[], yticks=[], facecolor="#f3efe6")
    axes.spines[:].set_visible(False)


def curves_beside(histories, rungs=(), title="", columns=2, highest=4.8) -> Figure:
    """Curves of several runs on one scale, over the ladder; histories: {name: evaluations}."""
    rows = math.ceil(len(histories) / columns)
    figure = Figure(figsize=(10, 0.8 + 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for axes, (name, history) in zip(grid, histories.items(), strict=False):
        for rung in rungs:
            axes.axhline(rung["loss"], color=RUNG, linewidth=0.6, linestyle=(0, (4, 4)), zorder=0)
        draw_losses(axes, history)
        handles, labels = axes.get_legend_handles_labels()
        axes.get_legend().remove()  # one for all of them, below
        axes.set_title(f"{name} ({labels[-1]})", loc="left", fontsize=10.5)
        axes.set_ylim(0, highest)
        axes.spines[["top", "right"]].set_visible(False)
        axes.label_outer()
    figure.supxlabel("step", fontsize=10)
    figure.supylabel("loss (nats a token)", fontsize=10)
    figure.legend(handles[:2], labels[:2], loc="outside upper right", ncols=2, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def estimates(groups, truth: float, title="", xlabel="") -> Figure:
    """How far estimates scatter around a value: a row of dots a group.

    groups: {name: estimates}, the first on top. truth: drawn as a line through all of them.
    """
    figure = Figure(figsize=(9, 0.9 + 0.55 * len(groups)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(truth, color=BEST, linewidth=2, label=f"whole text: {truth:.3f}")
    for row, values in enumerate(groups.values()):
        axes.plot(values, [row] * len(values), "o", color=VALIDATION, alpha=0.45, markersize=7)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlabel(xlabel)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.legend(loc="lower right", edgecolor="none")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def copies_map(steps, lengths, chance: int, title="", most=60) -> Figure:
    """Where samples copy: a row an evaluation, a column a character of its sample.

    lengths: for each step as many numbers as its sample has characters, the length of the copy
    that a character belongs to (`memory.copy_lengths`). Up to `chance` it stays white; the
    darkest colour stands for `most` characters and more.
    """
    figure = Figure(figsize=(9.5, 1.2 + 0.16 * len(steps)), layout="constrained")
    axes = figure.subplots()
    widest = max(map(len, lengths))
    rows = [[*map(float, row), *[math.nan] * (widest - len(row))] for row in lengths]
    image = axes.imshow(rows, cmap="Oranges", vmin=chance, vmax=most, aspect="auto")
    every = max(1, math.ceil(len(steps) / 14))
    axes.set_yticks(range(0, len(steps), every), [f"{step:,}" for step in steps[::every]])
    axes.set(xlabel="character of the sample", ylabel="step")
    axes.set_title(title, loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, label="length of the copy", pad=0.01, extend="both")
    return figure


def model_map(config) -> Figure:
    """A GPT from left to right: the stream, what is added to it in a block, and the shapes.

    config: a GPTConfig.
    """
    C, V = config.n_embd, config.vocab_size
    figure = Figure(figsize=(9.5, 3.5), layout="constrained")
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
    quiet, loud, frame = "#f3efe6", "#cfe3f1", {"linestyle": "--", "edgecolor": RUNG}
    axes.add_patch(Rectangle((2.75, -0.5), 6.5, 3.45, facecolor="none", **frame))
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


def board(curves, ranked, xlabel="", rungs=(), title="", stand_out=6) -> Figure:
    """Validation losses of many runs: the best few in colour and named, all others grey.

    curves: {name: (x, losses)}. ranked: names, the best first; those of other runs cannot be
    compared and are dotted. rungs: rows of `ngram.ladder`, drawn as lines.
    """
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    axes = figure.subplots()
    ends, few = [], ranked[:stand_out]
    for name, (x, losses) in curves.items():
        if name not in few:
            dashes = "solid" if name in ranked else (0, (1, 2))
            axes.plot(x, losses, color="#b5b5b5", linewidth=1, linestyle=dashes, zorder=1)
    for i, name in reversed(list(enumerate(few))):  # the best on top of all
        x, losses = curves[name]
        colour, best = PALETTE[i], min(v for v in losses if math.isfinite(v))
        axes.plot(x, losses, color=colour, linewidth=3 if i == 0 else 2, zorder=3)
        place = x[losses.index(best)]
        axes.plot(place, best, "o", color=colour, markersize=13, clip_on=False, zorder=4)
        number = {"ha": "center", "va": "center_baseline", "fontsize": 8, "fontweight": "bold"}
        axes.text(place, best, str(i + 1), color="white", zorder=5, **number)
        ends.append((best, f"{i + 1}. {short(name)}  {best:.3f}", colour))
    # From below the best to above what nine runs in ten have reached: there the race is decided.
    lowest = [min((v for v in curves[name][1] if math.isfinite(v)), default=4) for name in ranked]
    low, high = min(lowest, default=0), sorted(lowest or [4])[int(0.9 * (len(lowest) - 0.5))]
    axes.set_ylim(low - 0.1 * (high - low) - 0.02, high + 0.4 * (high - low) + 0.2)
    axes.margins(x=0)
    axes.set_xlim(left=0)
    name_rungs(axes, rungs)
    name_ends(axes, ends)
    axes.set(xlabel=xlabel, ylabel="validation loss (nats a token)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(title, loc="left", fontweight="bold", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def name_rungs(axes, rungs) -> None:
    """The rungs of the ladder that help, as thin lines, named above their right end."""
    bottom, top = axes.get_ylim()
    named = math.inf
    for rung in helpful(rungs):
        if named - rung["loss"] < 0.04 * (top - bottom):  # too close to the one above it
            continue
        named = rung["loss"]
        axes.axhline(rung["loss"], color=RUNG, linewidth=0.6, linestyle=(0, (4, 4)), zorder=0)
        axes.annotate(
            rung["name"],
            xy=(1, rung["loss"]),
            xycoords=("axes fraction", "data"),
            xytext=(-3, 1.5),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color=RUNG,
            parse_math=False,
            zorder=0,
            annotation_clip=True,
        )


def short(name: str, most=26) -> str:
    """A name for a picture: not too long, and without mathematics."""
    return (name if len(name) <= most else name[: most - 1] + "\u2026").replace("$", r"\$")
