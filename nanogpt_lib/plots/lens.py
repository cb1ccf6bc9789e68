"""What a model would say after each of its blocks (the logit lens)."""

from matplotlib.figure import Figure

from nanogpt_lib.plots.style import BEST, on, plain, visible
from nanogpt_lib.plots.telling import Picture


def logit_lens(symbols, rows, best, chances, right, title="") -> Figure:
    """The likeliest next symbol at each place after each block, dark where the model is sure.

    symbols: the T symbols that are read. rows: a name for each place to look, the first at the
    bottom, as the stream flows upwards. best: rows of T symbols, the likeliest ones; chances: rows
    of T numbers, their probabilities. right: the T symbols that really follow; a guess that hits
    has a frame.
    """
    T = len(symbols)
    told = (f"{name} {''.join(guesses)!r}" for name, guesses in zip(rows, best, strict=True))
    says = (
        f"{title}: reading {''.join(symbols)!r}, the likeliest next symbols are {', '.join(told)}."
    )
    size = (1.4 + 0.62 * T, 1.2 + 0.5 * len(rows))
    figure = Picture(says, figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(plain(chances), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, (guesses, sure) in enumerate(zip(best, plain(chances), strict=True)):
        for t, (guess, chance) in enumerate(zip(guesses, sure, strict=True)):
            colour = on(image, chance)
            box = {"facecolor": "none", "edgecolor": BEST, "linewidth": 2.2, "pad": 3}
            hit = {"bbox": box} if guess == right[t] else {}
            words = visible(guess)
            axes.text(t, i, words, ha="center", va="center", color=colour, fontsize=13, **hit)
    axes.set_xticks(range(T), [visible(symbol) for symbol in symbols], fontsize=13)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(-0.5, len(rows) - 0.5)  # the first row at the bottom
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("what it has just read; framed: the guess is what follows")
    axes.set_title(title, loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, label="probability", aspect=12, pad=0.01)
    return figure
