"""Exercises of notebook 07: pieces of words."""

import math
from itertools import pairwise

from nanogpt_lib import bpe
from nanogpt_lib.beyond import subwords
from nanogpt_lib.course.exercises.base import exercise, question

THRICE = [6, 8, 5, 4, 8, 5, 6, 4, 9, 8, 5, 4, 7, 4]  # 8 5 stands there three times
TIE = [7, 3, 1, 2, 7, 3, 5, 1, 2, 9, 2, 1]  # 7 3 and 1 2 twice each


@exercise(
    question="The pair of neighbours that occurs most often in a list of ids; of equals the lower.",
    minutes=8,
    level=2,
    inputs=[(THRICE,), (TIE,)],
    hints=[
        "Each place i but the last begins a pair: (ids[i], ids[i + 1]).",
        "Count the pairs in a dict: count[pair] = count.get(pair, 0) + 1.",
        "min(count, key=lambda pair: (-count[pair], pair)) takes the highest count first and, "
        "among equals, the lowest ids.",
    ],
    praise="this one line decides what becomes a token; everything else is bookkeeping.",
)
def most_frequent_pair(ids):
    count: dict = {}
    for i in range(len(ids) - 1):  # the last id has no neighbour
        pair = (ids[i], ids[i + 1])
        count[pair] = count.get(pair, 0) + 1
    return min(count, key=lambda pair: (-count[pair], pair))


@most_frequent_pair.mistake(
    "that is how often the pair occurs: give the pair itself, a tuple of two ids."
)
def pair_count(ids):
    pairs = list(pairwise(ids))
    return max(pairs.count(pair) for pair in pairs)


@most_frequent_pair.mistake(
    "every second pair is skipped: neighbours overlap, so an id is the end of one pair and the "
    "beginning of the next."
)
def pairs_side_by_side(ids):
    pairs = list(zip(ids[::2], ids[1::2], strict=False))
    return min(pairs, key=lambda pair: (-pairs.count(pair), pair))


@most_frequent_pair.mistake(
    "those are the two most frequent ids; they need not stand next to each other. Count pairs."
)
def two_frequent_ids(ids):
    return tuple(sorted(set(ids), key=lambda i: (-ids.count(i), i))[:2])


@most_frequent_pair.mistake(
    "that is the rarest pair: the key wants the highest count first, so put a minus before it."
)
def rarest_pair(ids):
    pairs = list(pairwise(ids))
    return min(pairs, key=lambda pair: (pairs.count(pair), pair))


@most_frequent_pair.mistake(
    "among equally frequent pairs it takes the one that comes first in the text. Take the lowest "
    "ids, so that the order of the text does not matter."
)
def first_of_equals(ids):
    pairs = list(pairwise(ids))
    return max(pairs, key=pairs.count)


@exercise(
    question="A list of ids in which each occurrence of a pair has become one new id.",
    minutes=8,
    level=2,
    inputs=[([1, 2, 3, 1, 2], (1, 2), 9), ([1, 1, 1, 2, 1], (1, 1), 7)],
    hints=[
        "Walk through the list with an index i, and build a second list.",
        "Where (ids[i], ids[i + 1]) is the pair, append the new id and go on two places further.",
        "Mind the end: the last id has no neighbour. ids[i : i + 2] is shorter there and raises "
        "no error.",
    ],
    library=bpe.merge,
    praise="from left to right, so that of three equal ids the first two are joined.",
)
def merge_pair(ids, pair, new):
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


@merge_pair.mistake(
    "the second half of the pair is still there: after a merge go on two places further, not one."
)
def second_half_stays(ids, pair, new):
    return [new if tuple(ids[i : i + 2]) == pair else ids[i] for i in range(len(ids))]


@merge_pair.mistake("only the first occurrence is merged: go on to the end of the list.")
def only_the_first(ids, pair, new):
    for i in range(len(ids) - 1):
        if (ids[i], ids[i + 1]) == pair:
            return [*ids[:i], new, *ids[i + 2 :]]
    return ids


@merge_pair.mistake(
    "nothing is merged: is a list compared with a tuple? [1, 2] == (1, 2) is False."
)
def nothing_merged(ids, pair, new):
    return list(ids)


@merge_pair.mistake(
    "the last id gets lost where it is no part of a pair: the loop ends one place too early."
)
def last_one_lost(ids, pair, new):
    merged, i = [], 0
    while i < len(ids) - 1:
        together = (ids[i], ids[i + 1]) == pair
        merged.append(new if together else ids[i])
        i += 2 if together else 1
    return merged


@merge_pair.mistake(
    "it goes from right to left: of three equal ids it joins the last two. Begin at the left."
)
def from_the_right(ids, pair, new):
    flipped = merge_pair.answer(ids[::-1], pair[::-1], new)
    return flipped[::-1]


@exercise(
    question="A loss in nats a token, over so many tokens and characters, as bits a character.",
    minutes=5,
    level=2,
    inputs=[(4.0, 1000, 3000), (2.0, 500, 500)],
    hints=[
        "The text costs loss * n_tokens nats in all. Who pays it, in characters?",
        "Divide by n_characters: nats a character. One bit is ln 2 nats.",
        "loss * n_tokens / n_characters / math.log(2)",
    ],
    library=subwords.bits_per_character,
    praise="the same text, the same unit: now any two models can be compared.",
)
def bits_a_character(loss, n_tokens, n_characters):
    return loss * n_tokens / n_characters / math.log(2)


@bits_a_character.mistake("those are nats a character; a bit is ln 2 = 0.69 nats: divide by it.")
def nats_a_character(loss, n_tokens, n_characters):
    return loss * n_tokens / n_characters


@bits_a_character.mistake("it multiplies by ln 2: there are more bits than nats, so divide.")
def bits_the_wrong_way(loss, n_tokens, n_characters):
    return loss * n_tokens / n_characters * math.log(2)


@bits_a_character.mistake(
    "the ratio is upside down: a token covers several characters, which share its loss."
)
def ratio_upside_down(loss, n_tokens, n_characters):
    return loss * n_characters / n_tokens / math.log(2)


@bits_a_character.mistake(
    "those are bits a token: share them out among the characters, n_tokens / n_characters."
)
def bits_a_token(loss, n_tokens, n_characters):
    return loss / math.log(2)


stuck_at = question(
    "stuck_at",
    question="6.3 nats a token, 3 characters a token: what would a model of characters score?",
    minutes=2,
    level=1,
    answer=6.3 / 3,
    same=lambda given, right: abs(given - right) < 0.01,
    hints=[
        "The loss of a model of characters is in nats a character.",
        "Three characters share the 6.3 nats of their token.",
    ],
    working="6.3 / 3",
    praise="a loss that nobody would call stuck: this is where words begin.",
    mistakes={
        18.9: "that is 6.3 times 3: but a token's loss is shared among its characters.",
        6.3: "a token is three characters; for one of them it is less.",
        6.3 / 3 / math.log(2): "those are bits a character; models of characters are told in nats.",
        6.3 / math.log(2): "those are bits a token: asked for are nats a character.",
    },
)
