"""Exercises of notebook 06: from scores to text."""

import math

import torch

from nanogpt_lib import sampling
from nanogpt_lib.course.exercises.base import exercise, question
from nanogpt_lib.course.exercises.comparing import as_tensor, close

SCORES = torch.tensor([[2.0, -1.0, 0.5, 3.0, 1.0], [-0.5, 4.0, 1.5, -2.0, 0.0]])  # (2, 5)
CHANCES = torch.tensor([[0.08, 0.45, 0.05, 0.30, 0.12], [0.04, 0.03, 0.90, 0.02, 0.01]])  # (2, 5)

EQUALS = torch.tensor([[1.0, 2.0, 1.0, 1.0]])  # (1, 4): which of the three comes second?

NOT_KEPT = (
    "masked_fill gives a new tensor and leaves the old one as it is: is its result kept, as in "
    "x = x.masked_fill(...)?"
)

greedy_texts = question(
    "greedy_texts",
    question="One model, one prompt, a hundred seeds: how many different texts does greedy write?",
    minutes=1,
    level=1,
    answer=1,
    hints=["A seed says how the dice fall. Where does greedy roll them?"],
    praise="it never rolls a die, so there is nothing for a seed to decide.",
    mistakes={
        100: "that would be one for each seed; but where the likeliest symbol is always taken, "
        "nothing is left to chance.",
        65: "that is the number of symbols; each step takes the likeliest of them and no other.",
        0: "it does write a text. Is it the same one each time?",
    },
)


@exercise(
    question="Scores (B, V) to chances (B, V), at a temperature: each row sums to 1.",
    minutes=4,
    level=1,
    inputs=[(SCORES, 0.5), (SCORES[:1], 2.0)],
    used=True,
    hints=[
        "The temperature acts on the scores, before they become chances.",
        "Divide the scores by it, then softmax along the last dimension.",
    ],
    praise="0.7 makes the likely likelier; 1 leaves the model's own chances as they are.",
)
def temperature_softmax(logits, temperature):
    return (logits / temperature).softmax(dim=-1)


@temperature_softmax.mistake(
    "it multiplies by the temperature: then a high one makes the model bolder. Divide."
)
def temperature_multiplied(logits, temperature):
    return (logits * temperature).softmax(dim=-1)


@temperature_softmax.mistake(
    "it divides the chances: they all change by the same factor and no longer sum to 1. Divide "
    "the scores, before the softmax."
)
def temperature_after_softmax(logits, temperature):
    return logits.softmax(dim=-1) / temperature


@temperature_softmax.mistake("the temperature makes no difference: is it used at all?")
def temperature_forgotten(logits, temperature):
    return logits.softmax(dim=-1)


@temperature_softmax.mistake(
    "the columns sum to 1 instead of the rows: the symbols of one text must compete, not the "
    "texts of a batch. Softmax along the last dimension, dim=-1."
)
def temperature_wrong_axis(logits, temperature):
    return (logits / temperature).softmax(dim=0)


@temperature_softmax.mistake("those are scores still: the softmax that makes chances is missing.")
def temperature_without_softmax(logits, temperature):
    return logits / temperature


def k_likeliest(given, right, logits, k) -> bool:
    """Whether exactly k stay, none of them below one that went: of equal scores any may stay."""
    given = as_tensor(given)
    kept = given > 0
    lowest = logits.masked_fill(~kept, math.inf).min(dim=-1).values
    highest = logits.masked_fill(kept, -math.inf).max(dim=-1).values  # of those that went
    whole = (kept.sum(dim=-1) == k).all() and (lowest >= highest).all()
    return bool(whole) and close(given, logits.masked_fill(~kept, -math.inf).softmax(dim=-1))


@exercise(
    question="Scores (B, V) to chances (B, V) in which only the k likeliest of each row remain.",
    minutes=8,
    level=2,
    inputs=[(SCORES, 2), (SCORES, 3), (EQUALS, 2)],
    as_good=k_likeliest,
    used=True,
    hints=[
        "A score of -inf becomes a chance of exactly 0: torch.exp(-inf) is 0.",
        "logits.topk(k) gives the k highest scores of each row and their places: .values and "
        ".indices, (B, k) each. Exactly k, even where several scores are equal.",
        "torch.full_like(logits, -math.inf) begins with nobody in; .scatter(-1, indices, values) "
        "puts the k scores into their places. Then softmax.",
    ],
    praise="the softmax after the cut shares out what was cut among those that stay.",
)
def top_k_chances(logits, k):
    best = logits.topk(k)  # the k highest of each row: values and places, (B, k) each
    kept = torch.full_like(logits, -math.inf).scatter(-1, best.indices, best.values)  # (B, V)
    return kept.softmax(dim=-1)


@top_k_chances.mistake(
    "of equal scores all stay, so there may be more than k: a comparison with the k-th score "
    "cannot tell them apart. topk(k).indices names exactly k."
)
def top_k_with_ties(logits, k):
    lowest = logits.topk(k).values[:, -1:]
    return logits.masked_fill(logits < lowest, -math.inf).softmax(dim=-1)


@top_k_chances.mistake(f"nothing is cut. {NOT_KEPT}")
def top_k_cutting_nothing(logits, k):
    return logits.softmax(dim=-1)


@top_k_chances.mistake(
    "the cut scores were set to 0, and a score of 0 is still a chance: exp(0) is 1. Set them to "
    "-inf."
)
def top_k_zeros(logits, k):
    lowest = logits.topk(k).values[:, -1:]
    return logits.masked_fill(logits < lowest, 0.0).softmax(dim=-1)


@top_k_chances.mistake(
    "the right ones are cut, but the rows no longer sum to 1: cut the scores first, then softmax."
)
def top_k_not_renormalised(logits, k):
    lowest = logits.topk(k).values[:, -1:]
    return logits.softmax(dim=-1).masked_fill(logits < lowest, 0.0)


@top_k_chances.mistake("one symbol too many stays: those equal to the k-th stay, none below it.")
def top_k_one_too_many(logits, k):
    return top_k_chances.answer(logits, k + 1)


@top_k_chances.mistake("one symbol too few stays: the k-th itself belongs in. `<`, not `<=`?")
def top_k_one_too_few(logits, k):
    lowest = logits.topk(k).values[:, -1:]
    return logits.masked_fill(logits <= lowest, -math.inf).softmax(dim=-1)


ONE_LIMIT = "one limit is used for all rows: each row has its own k-th score, so keep it as (B, 1)."


@top_k_chances.mistake(ONE_LIMIT)
def top_k_of_the_batch(logits, k):
    lowest = logits.topk(k).values[:, -1:].max()
    return logits.masked_fill(logits < lowest, -math.inf).softmax(dim=-1)


@top_k_chances.mistake(ONE_LIMIT)
def top_k_of_the_batch_at_its_lowest(logits, k):
    return logits.masked_fill(logits < logits.topk(k).values.min(), -math.inf).softmax(dim=-1)


@top_k_chances.mistake(
    "those are the k chances alone, (B, k): which symbols they belong to is lost. Put them back in "
    "their places, with 0 everywhere else."
)
def top_k_without_the_rest(logits, k):
    return logits.topk(k).values.softmax(dim=-1)


@top_k_chances.mistake("the least likely ones stay: the comparison is the wrong way round.")
def top_k_lowest(logits, k):
    highest = logits.topk(k, largest=False).values[:, -1:]
    return logits.masked_fill(logits > highest, -math.inf).softmax(dim=-1)


@exercise(
    question="Chances (B, V) cut to the fewest likeliest symbols that together reach p.",
    minutes=15,
    level=3,
    inputs=[(CHANCES, 0.7), (CHANCES, 0.93), (CHANCES, 0.3)],
    used=True,
    hints=[
        "Sort each row, likeliest first: ordered, order = chances.sort(dim=-1, descending=True).",
        "before = ordered.cumsum(-1) - ordered is what all likelier symbols have together. A "
        "symbol is needed as long as they do not reach p.",
        "Put each back in its place with torch.zeros_like(chances).scatter(-1, order, ordered), "
        "and divide by the sum of the row.",
    ],
    library=sampling.probabilities,
    praise="few symbols where the model is sure, many where it is not: that is what k cannot do.",
)
def top_p_chances(chances, p):
    ordered, order = chances.sort(dim=-1, descending=True)  # (B, V), likeliest first
    before = ordered.cumsum(dim=-1) - ordered  # what all likelier symbols have together
    ordered = ordered.masked_fill(before >= p, 0.0)
    kept = torch.zeros_like(chances).scatter(-1, order, ordered)  # each back in its place
    return kept / kept.sum(dim=-1, keepdim=True)


@top_p_chances.mistake(f"nothing is cut. {NOT_KEPT}")
def top_p_cutting_nothing(chances, p):
    return chances


CROSSING = (
    "the symbol that crosses p is cut, so what stays does not reach p. It belongs in: a symbol "
    "stays as long as those before it do not reach p. Compare with the sum before each symbol."
)


def below_p(chances, p):
    """Only what stays below p together, in its places, not shared out."""
    ordered, order = chances.sort(dim=-1, descending=True)
    ordered = ordered.masked_fill(ordered.cumsum(dim=-1) > p, 0.0)
    return torch.zeros_like(chances).scatter(-1, order, ordered)


@top_p_chances.mistake(CROSSING)
def top_p_crossing_cut_not_shared_out(chances, p):
    return below_p(chances, p)


@top_p_chances.mistake(CROSSING)
def top_p_crossing_cut_without_nan(chances, p):
    kept = below_p(chances, p)
    return kept / kept.sum(dim=-1, keepdim=True).clamp(min=1e-9)


@top_p_chances.mistake(
    "the symbol that crosses p is cut, so what stays does not reach p; and where the likeliest "
    "alone crosses it nothing stays (NaN). Compare with the sum before each symbol."
)
def top_p_crossing_cut(chances, p):
    ordered, order = chances.sort(dim=-1, descending=True)
    ordered = ordered.masked_fill(ordered.cumsum(dim=-1) > p, 0.0)
    kept = torch.zeros_like(chances).scatter(-1, order, ordered)
    return kept / kept.sum(dim=-1, keepdim=True)


@top_p_chances.mistake(
    "the likeliest always stays, which is right, but the symbol that crosses p is cut, so what "
    "stays does not reach p. Compare with the sum before each symbol."
)
def top_p_crossing_cut_but_the_first(chances, p):
    ordered, order = chances.sort(dim=-1, descending=True)
    cut = ordered.cumsum(dim=-1) > p
    cut[:, 0] = False
    kept = torch.zeros_like(chances).scatter(-1, order, ordered.masked_fill(cut, 0.0))
    return kept / kept.sum(dim=-1, keepdim=True)


@top_p_chances.mistake(
    "gather fetches from the places in `order`; here each chance is to be put into its place. "
    "That is scatter."
)
def top_p_gathered(chances, p):
    ordered, order = chances.sort(dim=-1, descending=True)
    ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered >= p, 0.0)
    return (ordered / ordered.sum(dim=-1, keepdim=True)).gather(-1, order)


@top_p_chances.mistake(
    "the chances are right but in sorted order: each has to go back to its own symbol's place, "
    "with scatter and `order`."
)
def top_p_left_sorted(chances, p):
    return top_p_chances.answer(chances, p).sort(dim=-1, descending=True).values


@top_p_chances.mistake(
    "the rows do not sum to 1: share out what was cut, by dividing each row by its sum."
)
def top_p_not_renormalised(chances, p):
    return chances.masked_fill(top_p_chances.answer(chances, p) == 0, 0.0)


@top_p_chances.mistake(
    "one symbol too many stays: the one that crosses p is the last. Those before it do not reach p "
    "without it."
)
def top_p_one_too_many(chances, p):
    ordered, order = chances.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered
    out = (before >= p).roll(1, dims=-1)
    out[:, 0] = False
    kept = torch.zeros_like(chances).scatter(-1, order, ordered.masked_fill(out, 0.0))
    return kept / kept.sum(dim=-1, keepdim=True)


@top_p_chances.mistake(
    "it adds up in the order of the vocabulary: sort first, so that the likeliest come first."
)
def top_p_unsorted(chances, p):
    before = chances.cumsum(dim=-1) - chances
    kept = chances.masked_fill(before >= p, 0.0)
    return kept / kept.sum(dim=-1, keepdim=True)


@top_p_chances.mistake(
    "it begins with the least likely symbols: sort with descending=True, likeliest first."
)
def top_p_ascending(chances, p):
    ordered, order = chances.sort(dim=-1)
    ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered >= p, 0.0)
    kept = torch.zeros_like(chances).scatter(-1, order, ordered)
    return kept / kept.sum(dim=-1, keepdim=True)


@exercise(
    question="The entropy of each row of chances (B, V), in nats: a tensor (B,).",
    minutes=6,
    level=2,
    inputs=[(torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.7, 0.2, 0.1, 0.0]]),), (CHANCES,)],
    used=True,
    hints=[
        "Each symbol's surprise is -log(p); the entropy is its mean, weighted by p.",
        "-(p * p.log()).sum(dim=-1), but 0 * log(0) gives NaN where it should count 0.",
        "torch.special.entr(p) is -p log p and knows that it is 0 at 0. Or add nothing where p is "
        "0: p.clamp(min=1e-12).log().",
    ],
    praise="e to the power of it reads as a number of choices: of four equal ones it is 4.",
)
def entropy(chances):
    return torch.special.entr(chances).sum(dim=-1)


@entropy.mistake(
    "there are NaNs: 0 * log(0) is NaN for the computer. A symbol that cannot come adds nothing: "
    "torch.special.entr(p), or clamp p before the log."
)
def entropy_with_nan(chances):
    return -(chances * chances.log()).sum(dim=-1)


@entropy.mistake("the sign is wrong: logs of chances are negative, an entropy is not.")
def entropy_negative(chances):
    return -torch.special.entr(chances).sum(dim=-1)


@entropy.mistake("that is in bits, from log2: the losses of this course are in nats. Use log.")
def entropy_in_bits(chances):
    return torch.special.entr(chances).sum(dim=-1) / math.log(2)


@entropy.mistake(
    "it takes the plain mean over the symbols: the weights are in p already, so sum instead."
)
def entropy_averaged(chances):
    return torch.special.entr(chances).mean(dim=-1)


@entropy.mistake("each text has its own entropy: sum along the last dimension, dim=-1, only.")
def entropy_wrong_axis(chances):
    return torch.special.entr(chances).sum(dim=0)


@entropy.mistake("it takes a softmax of them first. They are chances already: each row sums to 1.")
def entropy_of_a_softmax(chances):
    return torch.special.entr(chances.softmax(dim=-1)).sum(dim=-1)


@entropy.mistake("that is the surprise summed without its weight: multiply each by its chance.")
def entropy_unweighted(chances):
    return -chances.clamp(min=1e-12).log().sum(dim=-1)
