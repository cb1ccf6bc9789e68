"""Exercises of notebook 07: pieces of words."""

import math
import re
from itertools import pairwise

from nanogpt_lib import bpe
from nanogpt_lib.beyond import subwords
from nanogpt_lib.course.exercises.base import exercise, question
from nanogpt_lib.course.exercises.comparing import as_number

THRICE = [6, 8, 5, 4, 8, 5, 6, 4, 9, 8, 5, 4, 7, 4]  # 8 5 stands there three times
TIE = [7, 3, 1, 2, 7, 3, 5, 1, 2, 9, 2, 1]  # 7 3 and 1 2 twice each
LAST = [4, 1, 0, 5, 1, 0]  # 1 0 twice, if the last pair counts as well
BACK = [1, 2, 7, 3, 1, 2, 7, 3]  # 1 2, 2 7 and 7 3 twice each, the lowest first


@exercise(
    question="The pair of neighbours that occurs most often in a list of ids; of equals the lower.",
    minutes=8,
    level=2,
    inputs=[(THRICE,), (TIE,), (LAST,), (BACK,)],
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


@most_frequent_pair.mistake(
    "among equally frequent pairs it takes the one that comes last. Take the lowest ids, so that "
    "the order of the text does not matter."
)
def last_of_equals(ids):
    pairs = list(pairwise(ids))
    return max(reversed(pairs), key=pairs.count)


@most_frequent_pair.mistake(
    "among equally frequent pairs it takes the highest ids. Take the lowest: max of the counts and "
    "min of the ids, as in the key (-count[pair], pair)."
)
def highest_of_equals(ids):
    pairs = list(pairwise(ids))
    return max(pairs, key=lambda pair: (pairs.count(pair), pair))


@most_frequent_pair.mistake(
    "the last pair is not counted: of n ids n - 1 begin a pair, so go through range(len(ids) - 1)."
)
def last_pair_lost(ids):
    pairs = list(pairwise(ids[:-1]))
    return min(pairs, key=lambda pair: (-pairs.count(pair), pair))


@exercise(
    question="A list of ids in which each occurrence of a pair has become one new id.",
    minutes=8,
    level=2,
    inputs=[
        ([1, 2, 3, 1, 2], (1, 2), 9),
        ([1, 1, 1, 2, 1], (1, 1), 7),
        ([0, 2, 0, 5, 0, 0, 2], (0, 2), 8),  # 0 is an id, too
        ([3, 0, 3, 0, 0], (3, 0), 256),
    ],
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


@merge_pair.mistake(
    "an id of 0 gets lost or is left unmerged: 0 is an id like any other, and `if ids[i]` takes it "
    "for nothing."
)
def zeros_lost(ids, pair, new):
    return [i for i in merge_pair.answer(ids, pair, new) if i]


@merge_pair.mistake(
    "an id of 0 gets lost or is left unmerged: 0 is an id like any other, and `if ids[i]` takes it "
    "for nothing."
)
def zeros_unmerged(ids, pair, new):
    return merge_pair.answer(ids, pair, new) if all(pair) else list(ids)


# The merges of the next two exercises: bytes are ids 0 to 255, the first merge makes 256.
TH, E_TH = (116, 104), (101, 256)  # "t" "h"; "e" "th"
ABC = [(98, 99), (97, 98), (97, 256)]  # "bc", "ab", "abc": "abc" is a + bc, although "ab" is left


@exercise(
    question="Ids of bytes and merges, in the order learnt: the ids after all merges.",
    minutes=10,
    level=3,
    inputs=[
        ([97, 98, 99, 97, 98], ABC),
        ([101, 116, 104, 116, 104], [TH, E_TH]),
        ([0, 0, 0, 1, 0, 0], [(0, 0), (256, 0), (1, 256)]),
        ([97, 97, 97, 97, 97], [(97, 97), (256, 256)]),
    ],
    hints=[
        "Merge number n, counted from 0, makes the id 256 + n.",
        "The order is that of the training: first every place of the first merge, then of the "
        "second. A later merge can only use what earlier ones have made.",
        "for n, pair in enumerate(merges): ids = merge_pair(ids, pair, 256 + n)",
    ],
    library=bpe.BPETokenizer.encode,
    praise="the earliest merge first: so a word is cut as it was cut in training.",
)
def bpe_encode(ids, merges):
    for n, pair in enumerate(merges):  # the earliest first
        merged, i = [], 0
        while i < len(ids):
            found = tuple(ids[i : i + 2]) == pair
            merged.append(256 + n if found else ids[i])
            i += 2 if found else 1
        ids = merged
    return ids


def merged_greedily(ids, merges):
    """From left to right: the first two neighbours that any merge joins, whichever it is."""
    ids, i = list(ids), 0
    while i < len(ids) - 1:
        pair = (ids[i], ids[i + 1])
        if pair in merges:
            ids[i : i + 2] = [256 + merges.index(pair)]
            i = 0
        else:
            i += 1
    return ids


@bpe_encode.mistake(
    "it goes from left to right and takes the first pair that any merge knows: take the merge that "
    "was learnt first, wherever in the word it is."
)
def encode_leftmost_first(ids, merges):
    return merged_greedily(ids, merges)


@bpe_encode.mistake(
    "the latest merge goes first: but a late merge joins what early ones have made. Begin with "
    "merges[0]."
)
def encode_latest_first(ids, merges):
    for n in reversed(range(len(merges))):
        ids = merge_pair.answer(ids, merges[n], 256 + n)
    return ids


@bpe_encode.mistake(
    "each merge is made in one place only: replace every occurrence, then go on to the next merge."
)
def encode_one_place_each(ids, merges):
    for n, pair in enumerate(merges):
        ids = only_the_first(ids, pair, 256 + n)
    return ids


@bpe_encode.mistake(
    "only the first merge is made: go on with what it has made, through all merges in their order."
)
def encode_first_merge_only(ids, merges):
    return merge_pair.answer(ids, merges[0], 256)


@bpe_encode.mistake(
    "all merges get the same id: merge number n, counted from 0, makes the id 256 + n."
)
def encode_one_id(ids, merges):
    for pair in merges:
        ids = merge_pair.answer(ids, pair, 256)
    return ids


@bpe_encode.mistake("the ids are one too high: the first merge makes 256, since bytes end at 255.")
def encode_from_257(ids, merges):
    return [i + (i > 255) for i in bpe_encode.answer(ids, merges)]


HAT = [*b"ha", 195, 169, *b"!"]  # "haé!", where é is two bytes


@exercise(
    question="Ids and merges, in the order learnt: the text, a str.",
    minutes=8,
    level=2,
    inputs=[
        ([257, 256, 33], [TH, E_TH]),
        (HAT, []),
        ([104, 256, 169, 33], [(97, 195)]),  # "a" and half of é
        ([258, 259], [*ABC, (99, 258)]),
    ],
    hints=[
        "First the bytes of each id: a list that begins with [bytes([0]), bytes([1]), ...].",
        "for a, b in merges: symbols.append(symbols[a] + symbols[b])",
        "Join all the bytes first, then decode once: half a character is no text.",
    ],
    library=bpe.BPETokenizer.decode,
    praise="no rule and no search: reading back is a table of bytes.",
)
def bpe_decode(ids, merges):
    symbols = [bytes([value]) for value in range(256)]
    for a, b in merges:
        symbols.append(symbols[a] + symbols[b])
    return b"".join(symbols[i] for i in ids).decode(errors="replace")


def symbols_of(merges) -> list[bytes]:
    symbols = [bytes([value]) for value in range(256)]
    for a, b in merges:
        symbols.append(symbols[a] + symbols[b])
    return symbols


@bpe_decode.mistake(
    "each token is decoded alone, and half of an é is no character: join the bytes of all tokens, "
    "then decode once."
)
def decode_one_by_one(ids, merges):
    symbols = symbols_of(merges)
    return "".join(symbols[i].decode(errors="replace") for i in ids)


@bpe_decode.mistake(
    "each token is decoded alone, and half of an é is no character: join the bytes of all tokens, "
    "then decode once."
)
def decode_one_by_one_strictly(ids, merges):
    symbols = symbols_of(merges)
    return "".join(symbols[i].decode() for i in ids)


@bpe_decode.mistake("those are bytes: .decode() makes text of them.")
def decode_to_bytes(ids, merges):
    symbols = symbols_of(merges)
    return b"".join(symbols[i] for i in ids)


@bpe_decode.mistake(
    "chr makes a character of each byte, but é is two bytes: make bytes, then .decode()."
)
def decode_by_chr(ids, merges):
    symbols = symbols_of(merges)
    return "".join(map(chr, b"".join(symbols[i] for i in ids)))


@bpe_decode.mistake(
    "a merge of merges is cut short: its symbol is all that its two halves stand for, "
    "symbols[a] + symbols[b]."
)
def decode_one_level(ids, merges):
    symbols = [bytes([value]) for value in range(256)]
    symbols += [bytes(i for i in pair if i < 256) for pair in merges]
    return b"".join(symbols[i] for i in ids).decode(errors="replace")


@exercise(
    question="A text cut as GPT-2 cuts it before any merge: a list of pieces.",
    minutes=12,
    level=3,
    inputs=[
        ("I'll go in 1999, too!",),
        ("a  b   c",),
        ("  they've\n\n said: no ",),
        ("o'er 3rd_x\t(we're)",),
        ("Où  êtes-vous?!",),
    ],
    hints=[
        "re.findall takes the first of several rules, divided by |, that fits at each place. "
        "A rule for endings comes first: '(?:s|t|re|ve|m|ll|d)",
        "Letters are [^\\W\\d_]+ in Python, digits \\d+, and all other signs that can be seen "
        "(?:[^\\s\\w]|_)+. Each of the three may have one space before it: ` ?`.",
        "Blanks come last: \\s+(?!\\S) takes a run of them but leaves the last to the word after "
        "it; \\s+ takes what is left.",
    ],
    praise="since 2019 most tokenizers begin like this; later ones also keep numbers short.",
)
def gpt2_pieces(text):
    import re

    endings = r"'(?:s|t|re|ve|m|ll|d)"
    words = r" ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+"
    blanks = r"\s+(?!\S)|\s+"  # the last blank of a run belongs to what comes after it
    return re.findall(f"{endings}|{words}|{blanks}", text)


def cut(*rules: str):
    """A wrong way to cut: by these rules, the first that fits at each place."""
    return lambda text: re.findall("|".join(rules), text)


ENDINGS, LETTERS, DIGITS = r"'(?:s|t|re|ve|m|ll|d)", r" ?[^\W\d_]+", r" ?\d+"
SIGNS, RUN, REST = r" ?(?:[^\s\w]|_)+", r"\s+(?!\S)", r"\s+"
CUT_WRONGLY = {
    "the spaces are gone: the pieces must add up to the text. A word takes the space before it.": (
        r"\S+",
    ),
    "a space is a piece of its own: it belongs to the word after it, ` ?` before each rule.": (
        ENDINGS,
        r"[^\W\d_]+",
        r"\d+",
        r"(?:[^\s\w]|_)+",
        REST,
    ),
    "a run of blanks takes the space of the next word, too: leave the last one to it, "
    r"\s+(?!\S) before \s+.": (ENDINGS, LETTERS, DIGITS, SIGNS, REST),
    "'ll and 's are cut at the apostrophe: the rule for endings is missing, or does not come "
    "first.": (LETTERS, DIGITS, SIGNS, RUN, REST),
    r"letters and digits stick together: \w+ takes both. They need a rule each.": (
        ENDINGS,
        r" ?\w+",
        r" ?[^\s\w]+",
        RUN,
        REST,
    ),
    "only the letters of English are letters: ù and ê are some as well.": (
        ENDINGS,
        r" ?[A-Za-z]+",
        DIGITS,
        r" ?[^\sA-Za-z\d]+",
        RUN,
        REST,
    ),
    "each sign is a piece of its own: a run of them stays together, as in `?!`.": (
        ENDINGS,
        LETTERS,
        DIGITS,
        r" ?(?:[^\s\w]|_)",
        RUN,
        REST,
    ),
}
for _message, _rules in CUT_WRONGLY.items():
    gpt2_pieces.mistake(_message)(cut(*_rules))


@exercise(
    question="Turns of a chat, (who, text), to ids: bytes, and marks that no text can type.",
    minutes=6,
    level=2,
    inputs=[
        ([("user", "Hi"), ("assistant", "Yo")], {"user": 256, "assistant": 257, "end": 258}),
        ([("user", "a<end>b")], {"user": 256, "assistant": 257, "end": 258}),
        (
            [("user", "<assistant>"), ("assistant", "é")],
            {"user": 300, "assistant": 301, "end": 302},
        ),
    ],
    hints=[
        "A turn is: the mark of who speaks, the bytes of the text, the mark of the end.",
        "list(text.encode()) gives the bytes, numbers below 256, whatever the text says.",
        'ids += [marks[who], *text.encode(), marks["end"]]',
    ],
    praise="a mark is an id that only the program gives. What people type is always bytes.",
)
def chat_ids(turns, marks):
    ids = []
    for who, text in turns:
        ids += [marks[who], *text.encode(), marks["end"]]
    return ids


def typed(turns, marks, names_are_marks: bool) -> list[int]:
    """Writes the marks' names into the text, and looks for them afterwards, or does not."""
    text = "".join(f"<{who}>{words}<end>" for who, words in turns)
    parts = re.split(f"(<(?:{'|'.join(marks)})>)", text) if names_are_marks else [text]
    ids: list[int] = []
    for part in parts:
        name = part[1:-1]
        ids += [marks[name]] if part == f"<{name}>" and name in marks else part.encode()
    return ids


@chat_ids.mistake(
    "somebody who types <end> ends the turn: you write the marks' names into the text and look for "
    "them afterwards. Put the ids in yourself, and encode what was typed as bytes."
)
def marks_that_can_be_typed(turns, marks):
    return typed(turns, marks, names_are_marks=True)


@chat_ids.mistake("the marks are spelled, letter by letter: each is one id of its own, marks[who].")
def marks_that_are_spelled(turns, marks):
    return typed(turns, marks, names_are_marks=False)


@chat_ids.mistake("the end is missing: without it the model never learns to stop.")
def turns_without_end(turns, marks):
    return [i for who, text in turns for i in (marks[who], *text.encode())]


@chat_ids.mistake(
    'only the last turn ends: every turn needs its marks["end"], also one that is answered.'
)
def only_the_last_turn_ends(turns, marks):
    return [*turns_without_end(turns, marks), marks["end"]]


@chat_ids.mistake("nobody can tell who speaks: begin each turn with marks[who].")
def turns_without_speaker(turns, marks):
    return [i for _, text in turns for i in (*text.encode(), marks["end"])]


@chat_ids.mistake(
    "ord gives the number of a character; é is one character and two bytes. Use text.encode()."
)
def turns_by_ord(turns, marks):
    return [i for who, text in turns for i in (marks[who], *map(ord, text), marks["end"])]


@exercise(
    question="A loss in nats a token, over a number of tokens and characters, as bits a character.",
    minutes=5,
    level=2,
    inputs=[(4.0, 1000, 3000), (2.0, 500, 500)],
    hints=[
        "The text costs loss * n_tokens nats in all. Who pays it, in characters?",
        "Divide by n_characters: nats a character. One bit is ln 2 nats.",
        "loss * n_tokens / n_characters / math.log(2)",
    ],
    library=subwords.bits_per_character,
    same=lambda given, right: math.isclose(as_number(given), right, rel_tol=1e-3),  # ln 2 as 0.693
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
        6.3 / math.log(2): "those are bits a token: the question asks for nats a character.",
    },
)
