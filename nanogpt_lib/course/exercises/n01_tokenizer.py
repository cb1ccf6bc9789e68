"""Exercises of notebook 01: from text to numbers, counts and batches."""

from collections import Counter
from numbers import Integral

import torch

from nanogpt_lib import batches, ngram
from nanogpt_lib.course.exercises.base import exercise, question
from nanogpt_lib.course.exercises.comparing import as_number, close, never_raises
from nanogpt_lib.tokenizer import CharTokenizer

LINES = "First Citizen:\nBefore we proceed any further, hear me speak.\n"


@exercise(
    question="The distinct characters of a text, sorted, as one string: the vocabulary.",
    minutes=3,
    level=1,
    inputs=[("banana",), (LINES,), ("to be\n",)],
    used=True,
    hints=[
        "`set(text)` has each character once, but in no order.",
        "`sorted(...)` makes a list of any collection; `''.join(...)` makes one string of a list.",
    ],
    library=CharTokenizer.train,
    praise="sorted, so that the same text gives the same numbers on every machine.",
)
def symbols_of(text):
    return "".join(sorted(set(text)))


@symbols_of.mistake("each character should stand once: this keeps the repeated ones. Use set().")
def symbols_repeated(text):
    return "".join(sorted(text))


def same_letters(ours, theirs) -> bool:
    return sorted(ours) == sorted(theirs)


@symbols_of.mistake(
    "the characters are right, but not sorted. A set has no order of its own, and the order in "
    "which they occur is another one for each text: then the same character would get another "
    "number every time. Use sorted().",
    same=lambda ours, theirs: isinstance(ours, str) and same_letters(ours, theirs),
)
def symbols_unsorted(text):
    return "".join(dict.fromkeys(text))


@symbols_of.mistake(
    "that is a collection of characters: join it into one string with ''.join(...).",
    same=lambda ours, theirs: not isinstance(ours, str) and same_letters(ours, theirs),
)
def symbols_as_list(text):
    return sorted(set(text))


@symbols_of.mistake("the newline is missing: it is a character like any other. Do not strip it.")
def symbols_without_newline(text):
    return "".join(sorted(set(text) - {"\n"}))


@symbols_of.mistake(
    "the newline at the end is missing: .strip() cuts it off. It is a character like any other, "
    "and the model has to learn where a line ends."
)
def symbols_of_a_stripped_text(text):
    return "".join(sorted(set(text.strip())))


@symbols_of.mistake("the capitals are missing: B and b are two symbols. Leave the text as it is.")
def symbols_in_small_letters(text):
    return "".join(sorted(set(text.lower())))


@never_raises
def same_ids(given, right) -> bool:
    """A list, an array or a tensor of the right whole numbers: 1.0 is no place in a table."""
    return close(given, right) and all(isinstance(as_number(i), Integral) for i in given)


@exercise(
    question="Text to ids: the place of each character in the vocabulary.",
    minutes=4,
    level=1,
    inputs=[("cab", "abc"), ("hear me", "".join(sorted(set(LINES))))],
    same=same_ids,
    used=True,
    hints=[
        "`symbols.index(c)` is the place of one character.",
        "A list comprehension does it for all of them: [... for c in text].",
    ],
    library=CharTokenizer.encode,
    praise="the library looks ids up in a dictionary: `index` searches from the start each time.",
)
def encode(text, symbols):
    return [symbols.index(c) for c in text]


@encode.mistake("those are Unicode's numbers, from ord(). The ids count 0, 1, 2, ... in `symbols`.")
def encode_with_ord(text, symbols):
    return [ord(c) for c in text]


@encode.mistake("the ids are one too high: the first symbol has the id 0.")
def encode_from_one(text, symbols):
    return [symbols.index(c) + 1 for c in text]


@encode.mistake("this gives each character of the vocabulary, not of the text, its id.")
def encode_the_symbols(text, symbols):
    return [symbols.index(c) for c in symbols]


@encode.mistake(
    "this makes a vocabulary of the text's own characters. The ids are places in `symbols`, which "
    "has others, too."
)
def encode_with_its_own_symbols(text, symbols):
    return [sorted(set(text)).index(c) for c in text]


@encode.mistake(
    "the numbers are right, and have a decimal point. Ids are places in a table: whole numbers, "
    "or looking them up fails.",
    same=close,
)
def encode_as_floats(text, symbols):
    return [float(symbols.index(c)) for c in text]


@encode.mistake(
    "this gives the characters themselves. Ids are numbers: symbols.index(c) for each.",
    same=lambda ours, theirs: list(ours) == theirs,
)
def encode_as_characters(text, symbols):
    return list(text)


@exercise(
    question="How often each symbol follows each other: a (V, V) table of counts, row first.",
    minutes=10,
    level=2,
    inputs=[
        (torch.tensor([0, 1, 2, 1]), 3),
        (torch.tensor([0, 1, 2, 1, 2, 2, 0]), 3),
        (torch.tensor([3, 3, 0, 1, 3, 0]), 4),
    ],
    used=True,
    hints=[
        "A pair is ids[i], what came first, and ids[i + 1], what followed.",
        "Start from torch.zeros(V, V, dtype=torch.long) and add 1 for each pair.",
        "In a loop over i: counts[ids[i], ids[i + 1]] += 1. How many pairs are there?",
    ],
    praise="divide each row by its sum and you have a language model, the bigram.",
)
def bigram_counts(ids, vocab_size):
    counts = torch.zeros(vocab_size, vocab_size, dtype=torch.long)
    for i in range(len(ids) - 1):
        counts[ids[i], ids[i + 1]] += 1
    return counts


@bigram_counts.mistake("rows and columns are swapped: the row is what came first.")
def bigram_transposed(ids, vocab_size):
    return bigram_counts.answer(ids, vocab_size).T


@bigram_counts.mistake(
    "it only knows whether a pair occurs, not how often: `=` where `+=` is needed? With "
    "counts[first, second] += 1 on whole tensors, PyTorch also counts repeated pairs once."
)
def bigram_once(ids, vocab_size):
    return bigram_counts.answer(ids, vocab_size).clamp(max=1)


@bigram_counts.mistake(
    "it counts pairs that do not overlap, every second one. A text of N symbols has N - 1 pairs."
)
def bigram_without_overlap(ids, vocab_size):
    counts = torch.zeros(vocab_size, vocab_size, dtype=torch.long)
    for first, second in zip(ids[::2], ids[1::2], strict=False):
        counts[first, second] += 1
    return counts


@bigram_counts.mistake(
    "those are shares of each row. The question asks for the counts: do not divide by a sum."
)
def bigram_chances(ids, vocab_size):
    counts = bigram_counts.answer(ids, vocab_size)
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


TOO_FAR = (
    "`i` goes up to the last place, and there is nothing at i + 1: N symbols have N - 1 pairs. "
    "Use range(len(ids) - 1)."
)


@bigram_counts.mistake(TOO_FAR)
def bigram_too_far(ids, vocab_size):
    return ids[len(ids)]


@bigram_counts.mistake(TOO_FAR)
def bigram_too_far_in_a_list(ids, vocab_size):
    return ids.tolist()[len(ids)]


@bigram_counts.mistake(
    "one pair too many: ids[i - 1] at i = 0 is the last symbol of the text, as -1 counts from the "
    "end. Begin at range(1, len(ids))."
)
def bigram_round_the_corner(ids, vocab_size):
    return bigram_counts.answer(torch.cat([ids[-1:], ids]), vocab_size)


@bigram_counts.mistake(
    "the last pair is missing: range(len(ids) - 2) ends one place too early. N symbols have N - 1 "
    "pairs."
)
def bigram_too_short(ids, vocab_size):
    return bigram_counts.answer(ids[:-1], vocab_size)


@exercise(
    question="How often each run of k + 1 characters occurs in a text: a Counter of strings.",
    minutes=5,
    level=1,
    inputs=[("banana", 1), ("aaaab", 1), ("hello", 0), ("to be or not to be", 3)],
    used=True,
    hints=[
        "text[i : i + n] is the run of n characters that begins at i. Here n is k + 1.",
        "The last run begins at len(text) - k - 1, so i goes through range(len(text) - k).",
        "Counter(... for i in range(...)) counts whatever you give it.",
    ],
    library=ngram.counts_of,
    praise="k characters, and the one that followed them: that is all that an n-gram knows.",
)
def count_runs(text, k):
    return Counter(text[i : i + k + 1] for i in range(len(text) - k))


@count_runs.mistake(
    "the runs are one character short: k characters of context and the one that follows make k + 1."
)
def runs_of_k(text, k):
    return Counter(text[i : i + k] for i in range(len(text) - k))


@count_runs.mistake(
    "the runs are one character short: k characters of context and the one that follows make "
    "k + 1. (So there is one fewer of them, too.)"
)
def all_runs_of_k(text, k):
    return Counter(text[i : i + k] for i in range(len(text) - k + 1))


@count_runs.mistake("the last run is missing: the range ends one place too early.")
def runs_but_the_last(text, k):
    return Counter(text[i : i + k + 1] for i in range(len(text) - k - 1))


@count_runs.mistake(
    "at the end of the text it counts runs that are too short: a slice stops where the text does. "
    "Use range(len(text) - k)."
)
def runs_cut_short(text, k):
    return Counter(text[i : i + k + 1] for i in range(len(text)))


@count_runs.mistake("runs overlap: one begins at every place of the text, not at every k + 1.")
def runs_side_by_side(text, k):
    return Counter(text[i : i + k + 1] for i in range(0, len(text) - k, k + 1))


@count_runs.mistake(
    "text.count(run) counts runs that do not overlap: 'aaaa' holds 'aa' three times, and it finds "
    "two. Go through the places of the text instead."
)
def runs_by_count(text, k):
    return Counter(
        {text[i : i + k + 1]: text.count(text[i : i + k + 1]) for i in range(len(text) - k)}
    )


@count_runs.mistake(
    "it only says which runs occur, and not how often: put a Counter around them.",
    same=lambda ours, theirs: not isinstance(ours, dict) and {*ours} == {*theirs},
)
def runs_not_counted(text, k):
    return {text[i : i + k + 1] for i in range(len(text) - k)}


@count_runs.mistake(
    "the counts are right, and the keys are tuples of characters. Make each run one string: slice "
    "the text, or ''.join(...).",
    same=lambda ours, theirs: all(type(run) is tuple for run in ours) and dict(ours) == theirs,
)
def runs_as_tuples(text, k):
    return {tuple(run): times for run, times in count_runs.answer(text, k).items()}


@count_runs.mistake(
    "this has a counter for each context. It holds the same numbers; here one Counter is asked "
    "for, with the context and the next character in one string.",
    same=lambda ours, theirs: {c: dict(n) for c, n in ours.items()} == theirs,
)
def runs_by_context(text, k):
    found: dict = {}
    for run, times in count_runs.answer(text, k).items():
        found.setdefault(run[:-1], {})[run[-1]] = times
    return found


@exercise(
    question="One context and its targets: x of T tokens from `start` on, y the same one later.",
    minutes=5,
    level=1,
    inputs=[(torch.arange(9).flip(0), 0, 4), (torch.arange(20), 3, 8)],
    used=True,
    hints=[
        "x is a slice of T tokens that begins at `start`.",
        "y has the same length and begins at start + 1: at each place the token to be predicted.",
    ],
    library=batches.BatchSampler,
    praise="T tokens give T predictions at once: each from all the tokens before it.",
)
def context_and_targets(ids, start, T):
    return ids[start : start + T], ids[start + 1 : start + T + 1]


@context_and_targets.mistake(
    "y is the same as x: then the model is asked to copy what it sees, and its loss falls to 0 "
    "while it learns nothing. Begin y one token later."
)
def targets_not_shifted(ids, start, T):
    return ids[start : start + T], ids[start : start + T]


@context_and_targets.mistake("y goes one token too far: shifted by two, it skips a token.")
def targets_shifted_twice(ids, start, T):
    return ids[start : start + T], ids[start + 2 : start + T + 2]


@context_and_targets.mistake("y is shifted the wrong way: it asks for the token before.")
def targets_shifted_back(ids, start, T):
    return ids[start + 1 : start + T + 1], ids[start : start + T]


@context_and_targets.mistake(
    "y is one token short: a slice ends before its end, so it must go to start + T + 1."
)
def targets_too_short(ids, start, T):
    return ids[start : start + T], ids[start + 1 : start + T]


@context_and_targets.mistake(
    "the end of a slice is a place, not a length: T tokens that begin at `start` end at start + T."
)
def targets_up_to_T(ids, start, T):
    return ids[start:T], ids[start + 1 : T + 1]


@context_and_targets.mistake("it begins at the first token of the text: x begins at `start`.")
def targets_of_the_beginning(ids, start, T):
    return ids[:T], ids[1 : T + 1]


@context_and_targets.mistake(
    "y is the token after the context alone. There is one target for each place of x: the token "
    "that follows there."
)
def targets_only_the_last(ids, start, T):
    return ids[start : start + T], ids[start + T]


@context_and_targets.mistake(
    "y is the next window. Each place of x has its own next token, so y begins one token after x."
)
def targets_in_the_next_window(ids, start, T):
    return ids[start : start + T], ids[start + T : start + 2 * T]


embedding_cost = question(
    "embedding_cost",
    question="How many parameters has an embedding of 50,257 symbols with 384 numbers each?",
    minutes=1,
    level=1,
    answer=50_257 * 384,
    working="50_257 * 384",
    hints=["A table with a row for each symbol: rows times columns."],
    praise="19.3 million: more than the whole workshop model, which has 10.8 million.",
    mistakes={
        50_257 + 384: "that is the sum; a table has rows times columns.",
        65 * 384: "that is our own vocabulary's; GPT-2's has 50,257 symbols.",
        2 * 50_257 * 384: "GPT-2 ties input and output: the table is there once.",
        19_300_000: "that is rounded. Give all of it: Python multiplies for you.",
        4 * 50_257 * 384: "those are bytes, four for each number. Count the numbers.",
    },
)


@exercise(
    question="Ids as rows of zeros with a single 1, at the place of the id: (T,) -> (T, V).",
    minutes=4,
    level=1,
    inputs=[(torch.tensor([2, 0, 1]), 4), (torch.tensor([1, 1, 3, 0, 4]), 5)],
    used=True,
    hints=[
        "Start from torch.zeros(T, V). Row t needs a 1 in the column ids[t].",
        "In a loop over t: rows[t, ids[t]] = 1.",
        "Shorter: torch.eye(V) has every one-hot row there is. Which of them, in which order?",
    ],
    praise="times a table, such a row picks out one row of it: looking up is a multiplication.",
)
def one_hot(ids, V):
    return torch.eye(V)[ids]


@one_hot.mistake("rows and columns are swapped: one row for each id, one column for each symbol.")
def one_hot_transposed(ids, V):
    return one_hot.answer(ids, V).T


@one_hot.mistake("each 1 stands one column too far right: the id 0 is the first column.")
def one_hot_from_one(ids, V):
    return one_hot.answer(ids, V).roll(1, dims=1)


@one_hot.mistake("the number itself stands in its column. A 1 belongs there, whatever the id.")
def one_hot_with_the_id(ids, V):
    return one_hot.answer(ids, V) * ids[:, None]


@one_hot.mistake(
    "all ids went into one row, so their order is lost. Each id has a row of its own.",
    same=lambda ours, theirs: close(torch.as_tensor(ours).flatten(), theirs),
)
def one_hot_in_one_row(ids, V):
    return one_hot.answer(ids, V).amax(dim=0)


@one_hot.mistake(
    "those are counts: all ids were added up in one row, so their order is lost. Each id has a row "
    "of its own.",
    same=lambda ours, theirs: close(torch.as_tensor(ours).flatten(), theirs),
)
def one_hot_added_up(ids, V):
    return one_hot.answer(ids, V).sum(dim=0)


@one_hot.mistake(
    "rows[:, ids] = 1 sets whole columns: in every row there is a 1 for every id. Row t needs only "
    "that of ids[t]: rows[torch.arange(len(ids)), ids] = 1."
)
def one_hot_in_every_row(ids, V):
    rows = torch.zeros(len(ids), V)
    rows[:, ids] = 1
    return rows


@one_hot.mistake("that is torch.eye: the 1 walks along the diagonal. Where it stands is ids[t].")
def one_hot_eye(ids, V):
    return torch.eye(len(ids), V)


@one_hot.mistake("all places are 0. Is the 1 put in, and into the matrix that is returned?")
def one_hot_zeros(ids, V):
    return torch.zeros(len(ids), V)


@one_hot.mistake("that is the whole of torch.eye(V): pick the rows of the ids from it, in order.")
def one_hot_all_of_eye(ids, V):
    return torch.eye(V)
