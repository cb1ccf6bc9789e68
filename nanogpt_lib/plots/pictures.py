"""Pictures for notebook 09: digits and their patches, spectrograms, and where words look.

As in `plots`, every function returns a matplotlib Figure and shows nothing by itself.
"""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nanogpt_lib.plots.style import BEST, RATE, TRAIN, VALIDATION, ink
from nanogpt_lib.plots.telling import Picture, few, rounded

PAPER = "Greys"  # ink is dark, as on paper
GLOW = "Oranges"  # where attention is


def gallery(images, captions, title="", said=None, columns=6) -> Figure:
    """Pictures (N, H, W) with their captions below them, one fact a line.

    said: what a model said, N texts. If given, right facts are green and wrong facts are orange,
    with the true fact in brackets.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (max(3.2, 1.67 * columns), 0.5 + 2.45 * rows)
    listed = captions
    if said is not None:
        listed = [f"{one} (true: {true})" for one, true in zip(said, captions, strict=False)]
    figure = Picture(f"{title}: {few(listed, 18)}.", figsize=size, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid[len(images) :]:
        axes.axis("off")
    for i, (axes, image) in enumerate(zip(grid, images, strict=False)):
        axes.imshow(image.tolist(), cmap=PAPER, vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
        for line, (words, colour) in enumerate(told(captions[i], said and said[i])):
            axes.text(
                0.5,
                -0.05 - 0.13 * line,
                words,
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=10.5,
                color=colour,
            )
    return figure


def told(true: str, said: str | None) -> list[tuple[str, str]]:
    """The facts to write and their colours: those that a model said, else the true ones."""
    facts = true.split(", ")
    if said is None:
        return [(fact, "black") for fact in facts]
    given = [*said.split(", "), *[""] * len(facts)]
    right, wrong = ink(BEST), ink(VALIDATION)
    return [
        (fact, right) if word == fact else (f"{word or 'nothing'} (not {fact})", wrong)
        for fact, word in zip(facts, given, strict=False)
    ]


def cut_up(image, pieces, title="") -> Figure:
    """A picture (H, W) under the grid that cuts it, and its pieces (P, S) in their order."""
    P, size = len(pieces), round(pieces.size(1) ** 0.5)
    says = f"{title}: the picture is cut into {P} pieces of {size} by {size} pixels, in rows."
    figure = Picture(says, figsize=(10, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 3.2))
    left.imshow(image.tolist(), cmap=PAPER, vmin=0, vmax=1)
    per_row = image.size(1) // size
    for p in range(P):
        x, y = size * (p % per_row) - 0.5, size * (p // per_row) - 0.5
        left.add_patch(Rectangle((x, y), size, size, fill=False, edgecolor=TRAIN, linewidth=1.5))
        label = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # also readable on ink
        left.text(x + 0.2, y + 0.25, str(p), va="top", fontsize=8, color=TRAIN, bbox=label)
    left.axis("off")
    left.set_title(title, loc="left", fontweight="bold")
    for p, piece in enumerate(pieces):
        column, row = p % 8, p // 8
        x, y = 1.25 * column, 1.7 * row
        box = (x, x + 1, y + 1, y)
        right.imshow(piece.view(size, size).tolist(), cmap=PAPER, vmin=0, vmax=1, extent=box)
        right.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=TRAIN, linewidth=1.5))
        right.text(x + 0.5, y + 1.12, str(p), ha="center", va="top", fontsize=10, color=TRAIN)
    right.set(xlim=(-0.1, 10), ylim=(1.7 * -(-P // 8), -0.1))
    right.axis("off")
    return figure


def looks_at(image, facts, shares, title="") -> Figure:
    """A picture (H, W), and for each fact the share of attention that each patch gets.

    facts: n texts. shares: (n, P), each row sums to 1; P is a square number. The digit is drawn
    as dots over the attention: a larger dot means more ink.
    """
    side = round(shares.size(1) ** 0.5)
    told = (patch_told(fact, share, side) for fact, share in zip(facts, shares, strict=True))
    says = f"{title} {few(told)}."
    figure = Picture(says, figsize=(10, 3.3), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    panels = figure.subplots(1, 1 + len(facts))
    H, W = image.shape
    panels[0].imshow(image.tolist(), cmap=PAPER, vmin=0, vmax=1)
    panels[0].set_title("the picture", fontsize=12)
    most = shares.max().item()
    dots = [(x, y, image[y, x].item()) for y in range(H) for x in range(W) if image[y, x] > 0.05]
    across, down, amount = zip(*dots, strict=True)
    for axes, fact, share in zip(panels[1:], facts, shares, strict=True):
        box = (-0.5, W - 0.5, H - 0.5, -0.5)
        shown = axes.imshow(
            share.view(side, side).tolist(), cmap=GLOW, vmin=0, vmax=most, extent=box
        )
        axes.scatter(across, down, s=[55 * a for a in amount], color="black", linewidth=0)
        axes.set_title(f'"{fact}"', fontsize=12)
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=panels[-1], format="{x:.0%}", shrink=0.8)
    return figure


def patch_told(fact: str, share, side: int) -> str:
    """Which patch gets most attention for a fact."""
    row, column = divmod(int(share.argmax()), side)
    return f"{fact!r}: most at row {row + 1}, column {column + 1}, {share.max().item():.0%}"


def looks_in_time(frames, facts, shares, title="", hop=256, rate=8000) -> Figure:
    """A spectrogram (P, S), and below it the attention to each frame for each fact, (n, P)."""
    when = hop / rate  # seconds between frames
    told = (
        f"{fact!r} looks most at {rounded(share.argmax().item() * when)} seconds"
        for fact, share in zip(facts, shares, strict=True)
    )
    figure = Picture(f"{title}: {few(told)}.", figsize=(9, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.1))
    draw_spectrogram(above, frames, hop, rate)
    above.set_title(title, loc="left", fontweight="bold")
    box = (0, len(frames) * hop / rate, len(facts) - 0.5, -0.5)
    shown = below.imshow(
        shares.tolist(), cmap=GLOW, aspect="auto", vmin=0, extent=box, interpolation="nearest"
    )
    below.set_yticks(range(len(facts)), [f'"{fact}"' for fact in facts], fontsize=11)
    below.set_xlabel("seconds")
    figure.colorbar(shown, ax=below, format="{x:.0%}")
    return figure


def spectrograms(frames, captions, title="", hop=256, rate=8000) -> Figure:
    """Spectrograms (N, P, S) side by side, time to the right and frequency upwards."""
    says = f"{title}: spectrograms of {few(captions)}."
    figure = Picture(says, figsize=(10, 3.4), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    panels = figure.subplots(1, len(frames), sharey=True, squeeze=False)[0]
    for axes, sound, words in zip(panels, frames, captions, strict=True):
        draw_spectrogram(axes, sound, hop, rate)
        axes.set_title(words.replace(", ", "\n"), fontsize=10.5)
        axes.set_xlabel("seconds")
        axes.label_outer()
    return figure


def draw_spectrogram(axes, frames, hop: int, rate: int) -> None:
    """One sound's frames (P, S): bright is loud."""
    box = (0, len(frames) * hop / rate, 0, rate / 2000)
    axes.imshow(frames.T.tolist(), origin="lower", aspect="auto", cmap="magma", extent=box, vmin=0)
    axes.set_ylabel("kilohertz")


def scores_beside(rows, names, title="", chance=None) -> Figure:
    """Shares of right answers, as groups of bars: one group for each name, one bar for each row.

    rows: {who: as many shares as names}. chance: as many shares as names, drawn as lines.
    """
    told = (
        f"{who}: {few(f'{n} {100 * s:.0f}%' for n, s in zip(names, shares, strict=True))}"
        for who, shares in rows.items()
    )
    figure = Picture(f"{title}. {'; '.join(told)}.", figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(rows)
    colours = (TRAIN, "#E69F00", RATE, "#CC79A7")
    label = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # readable over the dashes
    for i, (who, shares) in enumerate(rows.items()):
        places = [n + (i - (len(rows) - 1) / 2) * width for n in range(len(names))]
        bars = axes.bar(
            places, [100 * s for s in shares], 0.92 * width, label=who, color=colours[i]
        )
        axes.bar_label(bars, fmt="%.0f", fontsize=9.5, padding=3, bbox=label)
    for n, share in enumerate(chance or []):
        words = "always the most frequent" if n == 0 else None
        axes.plot((n - 0.43, n + 0.43), 2 * (100 * share,), "--", color="black", label=words)
    axes.set_xticks(range(len(names)), names, fontsize=12)
    axes.set(ylim=(0, 112), ylabel="percent right")
    axes.set_yticks(range(0, 101, 25))
    axes.set_title(title, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(rows) + 1, frameon=False)
    return figure
