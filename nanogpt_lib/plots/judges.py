"""Three judges of one run in one picture: a loss, an ear, and a search."""

from matplotlib.figure import Figure

from nanogpt_lib.plots.style import BEST, PALETTE, TRAIN, VALIDATION
from nanogpt_lib.plots.telling import Picture, curve_told


def three_judges(history, rows, chance: int, title="") -> Figure:
    """The validation loss, the share of real words, and the longest copy, over the same steps.

    history: the run's evaluations. rows: those of `recorded/talk/judges.json`, one for each
    checkpoint and seed of sampling. A row without a step was measured on the validation text: it is
    drawn as a line. chance: the longest copy, in characters, that chance gives.
    """
    steps = [point.step for point in history]
    told = [curve_told("validation loss", steps, [point.val_loss for point in history])]
    made = [row for row in rows if row["step"] is not None]
    for key, name in (("real_words", "share of real words"), ("copy_longest", "longest copy")):
        told.append(curve_told(name, [row["step"] for row in made], [row[key] for row in made]))
    figure = Picture(f"{title}: {'; '.join(told)}.", figsize=(9, 6.2), layout="constrained")
    loss, words, copies = figure.subplots(3, sharex=True)
    loss.plot(steps, [point.val_loss for point in history], color=VALIDATION)
    best = min(history, key=lambda point: point.val_loss)
    loss.set_title("A loss judges the probabilities: validation loss, nats", loc="left")
    judged = (
        (words, "real_words", PALETTE[3], "An ear judges the words: share of real words"),
        (copies, "copy_longest", TRAIN, "A search judges the memory: longest copy, characters"),
    )
    for axes, key, colour, words_above in judged:
        axes.set_title(words_above, loc="left")
        found: dict[int, list[float]] = {}
        for row in rows:
            if row["step"] is not None:
                found.setdefault(row["step"], []).append(row[key])
        for step, values in found.items():
            axes.plot([step] * len(values), values, "o", color=colour, alpha=0.5)
        axes.plot(list(found), [sum(v) / len(v) for v in found.values()], color=colour)
    his = [row["real_words"] for row in rows if row["step"] is None]
    words.axhline(sum(his) / len(his), color="#8a8a8a", linestyle=":")
    words.text(0, sum(his) / len(his), "Shakespeare himself ", va="top", color="#555555")
    copies.axhline(chance, color="#8a8a8a", linestyle=":")
    copies.text(0, chance, "by chance", va="bottom", color="#555555")
    copies.set_xlabel("step")
    for axes in (loss, words, copies):
        axes.axvline(best.step, color=BEST, linewidth=1, linestyle=":")
        axes.spines[["top", "right"]].set_visible(False)
    words.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    copies.xaxis.set_major_formatter("{x:,.0f}")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure
