"""Memory: how much of what a model wrote occurs word for word in its training text.

Some agreement is not memory: people have written everyday sentences before. `by_chance` measures
how much agreement to expect by chance, on text that nobody copied. Example: cut Tiny Shakespeare's
validation text into 557 pieces of 200 characters, and find the longest run of each piece in the
training text. It has 16 characters in the median, 22 or more in one of twenty pieces, and 31 at
most. In a training text of only 10,000 characters it has 10, 13 and 17.
"""

from dataclasses import dataclass

from nanogpt_lib.checks import whole_number


@dataclass(frozen=True)
class Copy:
    """A run of characters that occurs both in a sample and in a text."""

    text: str
    start: int  # where it begins in the sample
    place: int  # where it first begins in the text

    def __len__(self):
        return len(self.text)


def longest_copy(sample: str, text: str) -> Copy:
    """The longest run of a sample's characters that occurs in `text`; the first of several.

    The result is exact. It is fast because it only searches for runs longer than the best so far:
    at least `len(sample)` searches and at most twice as many. Each takes a few tenths of a
    millisecond in a million characters.
    """
    best = Copy("", 0, 0)
    for start in range(len(sample)):
        while True:
            longer = sample[start : start + len(best) + 1]
            place = text.find(longer) if len(longer) > len(best) else -1
            if place < 0:
                break
            best = Copy(longer, start, place)
    return best


def copy_lengths(sample: str, text: str) -> list[int]:
    """For each character of a sample: the length of the longest copy that it belongs to."""
    lengths = [0] * len(sample)
    end = 0  # of the copy that begins at `start`; it never moves back
    for start in range(len(sample)):
        end = max(end, start)
        while end < len(sample) and sample[start : end + 1] in text:
            end += 1
        for i in range(start, end):
            lengths[i] = max(lengths[i], end - start)
    return lengths


def by_chance(unseen: str, text: str, length: int = 200, samples: int = 100) -> list[int]:
    """The longest copies in pieces of text that nobody copied, sorted: what to expect by chance.

    unseen: text by the same author, at least `length` characters, such as the validation text. It
    is cut into pieces of `length` characters. `samples` of them are used, evenly spread, or all if
    there are fewer. text: the training text.
    """
    length, samples = whole_number(length, "length", 1), whole_number(samples, "samples", 1)
    pieces = [unseen[i : i + length] for i in range(0, len(unseen) - length + 1, length)]
    if not pieces:
        raise ValueError(f"pieces of {length} need a longer text than {len(unseen)} characters")
    n = min(samples, len(pieces))
    chosen = [pieces[i * len(pieces) // n] for i in range(n)]
    return sorted(len(longest_copy(piece, text)) for piece in chosen)
