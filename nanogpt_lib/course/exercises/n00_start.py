"""Exercises of notebook 00: what a step reads, and what a loss says."""

import math

from nanogpt_lib.course.exercises.base import exercise, question

tokens_per_step = question(
    "tokens_per_step",
    question="How many characters does a step of 12 windows, 64 characters each, try to predict?",
    minutes=1,
    level=1,
    answer=12 * 64,
    working="12 * 64",
    hints=["In each window every character has one that comes next: 64 predictions a window."],
    praise="768 predictions, out of a single pass through the network.",
    mistakes={
        12: "that is one for each window. The network predicts at every place of a window.",
        64: "that is one window alone; a step looks at 12 of them.",
        12 + 64: "windows and characters are multiplied: 12 rows with 64 places each.",
        12 * 63: (
            "the last character of a window has a next one, too: it stands in the text right "
            "after the window. So 64 predictions a window, not 63."
        ),
        12 * 65: (
            "nearly: a window needs 65 characters of text, 64 to look at and the last one's next. "
            "But 65 characters make 64 predictions."
        ),
    },
)


@exercise(
    question="The loss of someone who gives each of V symbols the same probability.",
    minutes=3,
    level=1,
    inputs=[(65,), (2,), (50_257,)],
    used=True,
    hints=[
        "With V equal chances, each has the probability 1 / V.",
        "The loss is minus the logarithm of that: -math.log(1 / V). It can be written shorter.",
    ],
    praise="-ln(1/V) is ln V: the more symbols, the harder the guess.",
)
def even_guess_loss(V):
    return math.log(V)


@even_guess_loss.mistake("that is the probability. The loss is minus its logarithm, math.log.")
def even_guess_as_probability(V):
    return 1 / V


@even_guess_loss.mistake(
    "the sign: the logarithm of a number below 1 is negative, so the loss needs a minus before it."
)
def even_guess_negative(V):
    return math.log(1 / V)


@even_guess_loss.mistake("that is in bits, with the logarithm to base 2; here it is math.log.")
def even_guess_in_bits(V):
    return math.log2(V)


@even_guess_loss.mistake("that is the logarithm to base 10; losses use the natural one, math.log.")
def even_guess_with_log10(V):
    return math.log10(V)


@even_guess_loss.mistake("it does not look at V: use the argument instead of the number 65.")
def even_guess_for_65(V):
    return math.log(65)


@exercise(
    question="Among how many equally likely symbols one would have to guess to have this loss.",
    minutes=4,
    level=2,
    inputs=[(4.174387,), (1.8,), (0.0,)],
    used=True,
    hints=[
        "An even guess among N symbols has the loss ln N. Here you know the loss and want N.",
        "What undoes a logarithm? math.exp.",
    ],
    praise="its name is perplexity. From 65 down to 1, which would be knowing what comes.",
)
def choices(loss):
    return math.exp(loss)


@choices.mistake(
    "that is the probability of the right symbol, one in N. The question is N: mind the sign."
)
def choices_as_probability(loss):
    return math.exp(-loss)


@choices.mistake("that goes the same way once more: math.log made the loss, math.exp undoes it.")
def choices_with_log(loss):
    return math.log(loss) if loss else -math.inf


@choices.mistake("with 2 as the base it would fit a loss in bits. Ours is in nats: the base is e.")
def choices_from_bits(loss):
    return 2.0**loss


@choices.mistake("with 10 as the base it would undo log10. The loss was made with math.log.")
def choices_from_log10(loss):
    return 10.0**loss


@choices.mistake(
    "that takes 65 choices in proportion to the loss. But the loss is a logarithm: going from 4 to "
    "2 does not halve the choices, it divides them by more than 7."
)
def choices_in_proportion(loss):
    return 65 * loss / math.log(65)


@choices.mistake(
    "that is the right number, rounded. Leave it as it is: to be as unsure as among 6.05 symbols "
    "makes sense."
)
def choices_rounded(loss):
    return round(math.exp(loss))
