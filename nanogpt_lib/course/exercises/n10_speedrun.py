"""Exercises of notebook 10: turning pairs, evening out a matrix, reading two symbols at once."""

import torch

from nanogpt_lib.course.exercises.base import exercise
from nanogpt_lib.modern import model, optimisers

CHANNELS = torch.tensor([[1.0, 0.0], [0.5, 2.0], [-1.0, 1.5], [2.0, -0.5]])  # (4, 2)
WIDE = torch.tensor([[0.6, 0.1, -0.3], [0.2, -0.1, 0.4]])  # (2, 3)
QUINTIC = optimisers.QUINTIC
TEXT = torch.tensor([3, 1, 4, 1, 5])  # (5,), of a vocabulary of 9


@exercise(
    question="Turn row t of x (T, 2) by the angle t * pace, in radians: a tensor (T, 2).",
    minutes=8,
    level=2,
    inputs=[(CHANNELS, 0.3), (CHANNELS[:3], 1.0)],
    hints=[
        "angle = pace * torch.arange(len(x)): one for each row, (T,).",
        "A point (a, b) turned by an angle is (a cos - b sin, a sin + b cos).",
        "Stack the two results along the last dimension: torch.stack([first, second], dim=-1).",
    ],
    library=model.rotate,
    praise="the library does this to every pair of channels at once, with complex numbers.",
)
def turned(x, pace):
    angle = pace * torch.arange(len(x))  # (T,)
    a, b = x[:, 0], x[:, 1]
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)


@turned.mistake(
    "all rows are turned by one angle: a score would not notice that. Row t turns by t * pace."
)
def turned_alike(x, pace):
    return turn_by(x, pace)


@turned.mistake("it turns the other way round: the first is a cos - b sin, with a minus.")
def turned_backwards(x, pace):
    return turned.answer(x, -pace)


@turned.mistake(
    "it multiplies by cosine and sine and does not mix the two channels, so lengths change. "
    "Turning takes a little of each: a cos - b sin, and a sin + b cos."
)
def turned_unmixed(x, pace):
    angle = pace * torch.arange(len(x))
    return torch.stack([x[:, 0] * angle.cos(), x[:, 1] * angle.sin()], dim=-1)


@turned.mistake(
    "row 0 is turned already. All scores come out the same, as only distances count; but the "
    "library begins at 0: torch.arange(len(x))."
)
def turned_from_one(x, pace):
    return turn_by(x, pace * torch.arange(1, len(x) + 1))


@turned.mistake("it is (2, T): stack along the last dimension, dim=-1.")
def turned_on_its_side(x, pace):
    return turned.answer(x, pace).T


@turned.mistake("the first channel is right; the second uses it after it was changed. Keep a copy.")
def turned_in_place(x, pace):
    angle = pace * torch.arange(len(x))
    x[:, 0] = x[:, 0] * angle.cos() - x[:, 1] * angle.sin()
    x[:, 1] = x[:, 0] * angle.sin() + x[:, 1] * angle.cos()
    return x


def turn_by(x, angle):
    """Rows of x (T, 2), each turned by its angle: a number, or (T,)."""
    pairs = torch.view_as_complex(x.contiguous())
    angle = torch.as_tensor(angle)
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle))


@exercise(
    question="One round of Newton and Schulz: aX + b(XX')X + c(XX')(XX')X for x (R, C).",
    minutes=6,
    level=1,
    inputs=[(WIDE, *QUINTIC), (WIDE[:, :2], 1.5, -0.5, 0.25)],
    hints=[
        "gram = x @ x.mT is XX', (R, R): work it out once.",
        "(XX')(XX') is a product of matrices as well: gram @ gram.",
        "a * x + (b * gram + c * gram @ gram) @ x",
    ],
    library=optimisers.orthogonalise,
    praise="no singular value was calculated, and yet each was moved by the same polynomial.",
)
def newton_schulz(x, a, b, c):
    gram = x @ x.mT  # (R, R)
    return a * x + (b * gram + c * gram @ gram) @ x


@newton_schulz.mistake(
    "the square is of each number alone: ** 2 squares entries. The product of matrices is "
    "gram @ gram."
)
def newton_schulz_entrywise(x, a, b, c):
    gram = x @ x.mT
    return a * x + (b * gram + c * gram**2) @ x


@newton_schulz.mistake("the first part is missing: a * x is added to what the products give.")
def newton_schulz_without_x(x, a, b, c):
    return newton_schulz.answer(x, 0.0, b, c)


@newton_schulz.mistake("the last part is missing: c times (XX')(XX')X, or c * gram @ gram @ x.")
def newton_schulz_cubic(x, a, b, c):
    return newton_schulz.answer(x, a, b, 0.0)


@newton_schulz.mistake("b and c have changed places: b goes with the single XX', c with two of it.")
def newton_schulz_swapped(x, a, b, c):
    return newton_schulz.answer(x, a, c, b)


@newton_schulz.mistake(
    "x.mT @ x is (C, C), which does not fit in front of x, (R, C): take x @ x.mT, or put the "
    "other behind x."
)
def newton_schulz_other_gram(x, a, b, c):
    gram = x.mT @ x
    return a * x + (b * gram + c * gram @ gram) @ x


@newton_schulz.mistake("it gives the matrix XX' part alone, (R, R): multiply it with x, and add.")
def newton_schulz_gram(x, a, b, c):
    gram = x @ x.mT
    return b * gram + c * gram @ gram


@exercise(
    question="One number for each symbol of idx (T,) and the one before it: a tensor (T,).",
    minutes=8,
    level=2,
    inputs=[(TEXT, 9), (TEXT[:3], 6)],
    hints=[
        "Two digits make a number: before * base + here.",
        "Nothing stands before the first symbol. Give that a digit of its own, V: so there are "
        "V + 1 digits, and the base is V + 1.",
        "before = torch.cat([torch.tensor([V]), idx[:-1]]); idx is not changed.",
    ],
    library=model.ModernGPT.last_characters,
    praise="each pair is a row of a table now, and looking it up costs no more than one symbol.",
)
def pair_numbers(idx, V):
    before = torch.cat([torch.tensor([V]), idx[:-1]])  # (T,), V where nothing stands
    return before * (V + 1) + idx


@pair_numbers.mistake(
    "torch.roll puts the last symbol before the first: the first place knows how the window ends. "
    "Put V there."
)
def pair_numbers_rolled(idx, V):
    return idx.roll(1) * (V + 1) + idx


@pair_numbers.mistake(
    "it looks at the symbol after, which is the one to be predicted. That is a leak, and such a "
    "model would seem to be very good. Take the one before."
)
def pair_numbers_leaking(idx, V):
    after = torch.cat([idx[1:], torch.tensor([V])])
    return after * (V + 1) + idx


@pair_numbers.mistake(
    "the base is V. For pairs each number is still of its own, but in threes V can stand in the "
    "middle, and then two of them share one. There are V + 1 digits, so the base is V + 1."
)
def pair_numbers_in_a_smaller_base(idx, V):
    before = torch.cat([torch.tensor([V]), idx[:-1]])
    return before * V + idx


@pair_numbers.mistake(
    "the digits are the other way round: the symbol before is the one that is multiplied."
)
def pair_numbers_swapped(idx, V):
    before = torch.cat([torch.tensor([V]), idx[:-1]])
    return idx * (V + 1) + before


@pair_numbers.mistake(
    "the first place has 0 before it, which is a symbol too (here the newline). Put V there, which "
    "is none."
)
def pair_numbers_after_a_newline(idx, V):
    before = torch.cat([torch.tensor([0]), idx[:-1]])
    return before * (V + 1) + idx


@pair_numbers.mistake("one place is missing: the first has a number too, with V for what precedes.")
def pair_numbers_without_the_first(idx, V):
    return idx[:-1] * (V + 1) + idx[1:]
