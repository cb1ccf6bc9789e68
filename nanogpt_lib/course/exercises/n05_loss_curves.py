"""Exercises of notebook 05: reading curves, and the clinic."""

import math

from nanogpt_lib.course import clinic
from nanogpt_lib.course.exercises.base import exercise, question
from nanogpt_lib.course.exercises.comparing import as_number
from nanogpt_lib.runs import copying
from nanogpt_lib.training import Evaluation, Run


def curve(train_losses, val_losses):
    """A history with an evaluation every 100 steps."""
    pairs = enumerate(zip(train_losses, val_losses, strict=True))
    return [Evaluation(100 * i, 0, 0.0, 0.0, train, val) for i, (train, val) in pairs]


@exercise(
    question="The step with the lowest validation loss, out of the evaluations of a run.",
    minutes=4,
    level=1,
    inputs=[
        (curve([4.2, 2.5, 2.1, 1.8, 1.5, 1.2, 0.9], [4.2, 2.6, 2.7, 2.2, 2.1, 2.3, 2.6]),),
        (curve([4.2, 3.0, 2.0, 2.4], [4.1, 3.2, 2.5, 2.4]),),
    ],
    hints=[
        "Each item of `history` has `.step`, `.train_loss` and `.val_loss`.",
        "`min(history, key=lambda point: ...)` gives the item for which the key is lowest.",
    ],
    library=vars(Run)["best"].fget,  # the function behind the property
    praise="the library looks there, too, when it chooses which checkpoint to call best.",
)
def best_step(history):
    return min(history, key=lambda point: point.val_loss).step


@best_step.mistake(
    "that is where the training loss is lowest: nearly always the end. What the model has learnt "
    "by heart counts there, too; ask the validation loss."
)
def best_step_of_training(history):
    return min(history, key=lambda point: point.train_loss).step


@best_step.mistake("that is the last step, however good it was: compare the validation losses.")
def best_step_is_the_last(history):
    return history[-1].step


@best_step.mistake(
    "that is the place in the list. The step stands in the item: history[place].step."
)
def best_step_as_place(history):
    return min(range(len(history)), key=lambda i: history[i].val_loss)


@best_step.mistake("that is the lowest validation loss itself. The question asks for its step.")
def best_step_as_loss(history):
    return min(point.val_loss for point in history)


@best_step.mistake("that is the right item, all of it. The question asks for its step: add .step.")
def best_step_as_item(history):
    return min(history, key=lambda point: point.val_loss)


@best_step.mistake("that is where the validation loss is highest: the start. Take min, not max.")
def best_step_of_the_highest(history):
    return max(history, key=lambda point: point.val_loss).step


@best_step.mistake(
    "it stops where the curve first turns upwards. Curves are noisy: a lower place may follow."
)
def best_step_before_the_first_rise(history):
    for now, following in zip(history, history[1:], strict=False):  # noqa: RUF007
        if following.val_loss > now.val_loss:
            return now.step
    return history[-1].step


@exercise(
    question="A loss in nats a token as bits a character.",
    minutes=4,
    level=1,
    inputs=[(4.174, 1.0), (4.9, 3.3), (1.47, 1.0)],
    same=lambda given, right: math.isclose(as_number(given), right, rel_tol=1e-3),  # as with 0.693
    used=True,
    hints=[
        "One bit is ln 2 = 0.693 nats: a number of nats makes more bits.",
        "A token of 3.3 characters shares its loss among them.",
        "math.log is the natural logarithm, so math.log(2) is 0.693.",
    ],
    praise="in this unit models with different tokens can be compared.",
)
def bits_per_character(loss, characters_per_token):
    return loss / math.log(2) / characters_per_token


@bits_per_character.mistake(
    "that multiplies by ln 2. A bit is smaller than a nat, so there are more of them: divide."
)
def bits_times_ln2(loss, characters_per_token):
    return loss * math.log(2) / characters_per_token


@bits_per_character.mistake(
    "those are bits a token. A token of several characters shares them out: divide by how many."
)
def bits_per_token(loss, characters_per_token):
    return loss / math.log(2)


@bits_per_character.mistake(
    "that multiplies by the characters of a token. Its loss is shared among them: divide."
)
def bits_times_characters(loss, characters_per_token):
    return loss / math.log(2) * characters_per_token


@bits_per_character.mistake("those are still nats. From nats to bits divide by math.log(2).")
def nats_per_character(loss, characters_per_token):
    return loss / characters_per_token


@bits_per_character.mistake("math.log(10) belongs to digits. A bit has two values: math.log(2).")
def digits_per_character(loss, characters_per_token):
    return loss / math.log(10) / characters_per_token


@bits_per_character.mistake("math.exp makes a perplexity of a loss. Bits are only another unit.")
def perplexity_instead(loss, characters_per_token):
    return math.exp(loss / characters_per_token)


@exercise(
    question=(
        "Early stopping: the number of the evaluation at which training ends, because the lowest "
        "loss is `patience` evaluations old. The last one, if that never happens."
    ),
    minutes=10,
    level=2,
    inputs=[
        ([4.2, 2.6, 2.7, 2.5, 2.6, 2.55, 2.52, 2.4, 2.6], 3),
        ([3.0, 2.0, 2.1, 2.2, 2.3], 2),
        ([3.0, 2.0, 2.3, 2.2, 2.1, 2.05, 1.0], 4),
        ([3.0, 2.0, 1.5, 1.4], 2),
        ([3.0, 2.0, 2.2, 2.1, 2.3, 1.0, 1.1, 1.05, 1.2], 2),
    ],
    hints=[
        "Go through the losses with enumerate and remember the place of the lowest so far.",
        "At place i the lowest is i - best evaluations old.",
        "Compare with the lowest loss so far, not with the one before.",
    ],
    praise="with the best checkpoint kept, patience costs time and nothing else.",
)
def stops_at(val_losses, patience):
    best = 0
    for i, loss in enumerate(val_losses):
        if loss < val_losses[best]:
            best = i
        if i - best >= patience:
            return i
    return len(val_losses) - 1


@stops_at.mistake(
    "it stops after `patience` rises in a row. A loss that zigzags above its lowest never rises "
    "so often in a row: count from the lowest loss so far."
)
def stops_after_rises_in_a_row(val_losses, patience):
    rises = 0
    for i in range(1, len(val_losses)):
        rises = rises + 1 if val_losses[i] > val_losses[i - 1] else 0
        if rises >= patience:
            return i
    return len(val_losses) - 1


@stops_at.mistake(
    "it gives the evaluation with the lowest loss. Training stops later: only after waiting for "
    "`patience` evaluations does it know that nothing better follows."
)
def stops_at_the_best(val_losses, patience):
    return val_losses.index(min(val_losses[: stops_at.answer(val_losses, patience) + 1]))


FORESIGHT = (
    "it looks for the lowest loss of the whole run first. While training, one does not know what "
    "comes later: go through the losses one by one."
)


@stops_at.mistake(FORESIGHT)
def stops_with_foresight(val_losses, patience):
    return min(val_losses.index(min(val_losses)) + patience, len(val_losses) - 1)


@stops_at.mistake(FORESIGHT)
def stops_with_foresight_beyond_the_end(val_losses, patience):
    return val_losses.index(min(val_losses)) + patience


@stops_at.mistake(
    "that is the loss at which it stops. The question asks for the number of the evaluation."
)
def stops_at_as_loss(val_losses, patience):
    return val_losses[stops_at.answer(val_losses, patience)]


@stops_at.mistake("it waits one evaluation too long: stop once the age has reached `patience`.")
def stops_one_later(val_losses, patience):
    return min(stops_at.answer(val_losses, patience + 1), len(val_losses) - 1)


@stops_at.mistake("it stops at the first rise, and so has no patience at all.")
def stops_at_the_first_rise(val_losses, patience):
    return stops_at.answer(val_losses, 1)


@stops_at.mistake(
    "it counts every rise since the start. A new lowest loss must set the count back to 0."
)
def stops_after_rises_in_all(val_losses, patience):
    best, rises = val_losses[0], 0
    for i, loss in enumerate(val_losses):
        best, rises = min(best, loss), rises + (loss > best)
        if rises >= patience:
            return i
    return len(val_losses) - 1


@exercise(
    question="The longest run of characters of `sample` that stands in `text`, as a string.",
    minutes=12,
    level=3,
    inputs=[
        ("Before we go, hear us now.", "Before we proceed any further, hear me speak."),
        ("the king\nmy lord, the queen is here", "ho, my lord,\nthe queen is hence\nKing"),
        ("abcd", "xxbcdxx"),
        ("xyz", "abc"),
    ],
    used=True,
    hints=[
        "`piece in text` says whether a piece stands in the text, character by character.",
        "Two loops: over where the piece starts, and over where it ends.",
        "sample[start:end] leaves out `end` itself, so `end` must get as far as len(sample).",
    ],
    library=copying.longest_copy,
    praise="the library's form remembers where it was found, too.",
)
def longest_copy(sample, text):
    best = ""
    for start in range(len(sample)):
        for end in range(start + len(best) + 1, len(sample) + 1):
            if sample[start:end] not in text:
                break
            best = sample[start:end]
    return best


@longest_copy.mistake(
    "it only finds copies that begin where the sample begins. A copy may start anywhere."
)
def copy_of_the_beginning(sample, text):
    ends = (end for end in range(len(sample), -1, -1) if sample[:end] in text)
    return sample[: next(ends)]


@longest_copy.mistake(
    "it looks at words one by one. A copy runs on over spaces and newlines: look at characters."
)
def copy_of_a_word(sample, text):
    return max((word for word in sample.split() if word in text), key=len, default="")


@longest_copy.mistake(
    "it puts whole words together. A copy may begin and end in the middle of a word, and spaces "
    "and newlines count: look at characters."
)
def copy_of_whole_words(sample, text):
    words = sample.split()
    runs = [" ".join(words[i:j]) for i in range(len(words)) for j in range(i, len(words) + 1)]
    return max((run for run in runs if run in text), key=len, default="")


@longest_copy.mistake(
    "the spaces or newlines at its ends were stripped off. They stand in both texts, so they count."
)
def copy_stripped(sample, text):
    return longest_copy.answer(sample, text).strip()


@longest_copy.mistake("it looks at whole lines. A copy may begin and end in the middle of a line.")
def copy_of_a_line(sample, text):
    return max((line for line in sample.split("\n") if line in text), key=len, default="")


@longest_copy.mistake("that is how long it is. The question asks for the run itself, as a string.")
def copy_as_length(sample, text):
    return len(longest_copy.answer(sample, text))


@longest_copy.mistake(
    "it never reaches the sample's last character: range(..., len(sample)) ends before its end, "
    "so go to len(sample) + 1."
)
def copy_without_the_end(sample, text):
    return longest_copy.answer(sample[:-1], text)


@longest_copy.mistake(
    "it compares the two place by place. The run may stand anywhere in the text: use `in`."
)
def copy_at_the_same_place(sample, text):
    best = run = ""
    for ours, theirs in zip(sample, text, strict=False):
        run = run + ours if ours == theirs else ""
        best = max(best, run, key=len)
    return best


@longest_copy.mistake(
    "it does not tell capitals from small letters. Word for word means character for character."
)
def copy_of_small_letters(sample, text):
    return longest_copy.answer(sample.lower(), text.lower())


def letters(answer) -> str:
    """The letters of an answer, as capitals: of "b, d, a, c", and also of ["B", "D", "A", "C"]."""
    return "".join(c for c in str(answer).upper() if c.isalpha())


by_ear = question(
    "by_ear",
    question="Four samples of one run, in order from the highest loss to the lowest.",
    minutes=4,
    level=2,
    answer="BDAC",
    same=lambda given, right: letters(given) == right,
    fits=lambda given: sorted(letters(given)) == list("ABCD"),
    kind='the four letters in their order are expected, such as "ABCD"',
    hints=[
        "Which one has letters, but not even words of a usual length? It comes first.",
        "Two are left in the middle: in which do more of the short words exist?",
    ],
    praise="fragments, then short words, then words and a speaker's name in its place.",
    mistakes={
        "CADB": "that is the order from the lowest loss to the highest: reverse it.",
        "DBAC": "the first two are swapped: B has letters, but hardly a word of a usual length.",
        "BADC": "the middle two are swapped: A has more words that exist than D.",
        "BDCA": "the last two are swapped: C holds whole phrases, A invents half of its words.",
    },
)


# The clinic. What speaks for each illness, told to those who name it wrongly.
SIGNS = {
    "no mask": (
        "Without its mask a model sees the answers: both losses fall far below every rung of the "
        "ladder, and what it writes is nonsense."
    ),
    "targets not shifted": (
        "With unshifted targets both losses reach 0.00, since the answer stands in the question; "
        "writing, the model repeats what it read last."
    ),
    "learning rate too high": (
        "Too high a rate throws the loss upwards within the first steps, and then it stays high: "
        "the weights are flung about."
    ),
    "learning rate too low": (
        "Too low a rate gives a quiet, smooth curve that gets nowhere near the floor in the steps "
        "that it has."
    ),
    "validation leaked": (
        "With a leak the validation loss goes down with the training loss, both below what a model "
        "can reach on text that it has never seen (1.46), and the sample reads well."
    ),
    "too little text": (
        "Learning by heart pulls the curves apart: the training loss falls on and on, the "
        "validation loss turns and rises."
    ),
}


def plain(answer) -> str:
    """An answer in words without what makes no difference: capitals, and spaces around it."""
    return str(answer).strip().lower()


def patient(letter: str, looks: str, hints: list[str], praise: str, library=None):
    """The exercise about a patient; looks: what is to be seen, told to any wrong diagnosis."""
    illness = clinic.CASES[f"patient-{letter}"].illness
    return question(
        f"patient_{letter}",
        question=f"What is wrong with patient {letter.upper()}? One of: {', '.join(SIGNS)}.",
        minutes=2,
        level=2,
        answer=illness,
        same=lambda given, right: plain(given) == right,
        fits=lambda given: plain(given) in SIGNS,
        kind=f"choose one of: {', '.join(SIGNS)}",
        hints=hints,
        library=library,
        praise=praise,
        mistakes={wrong: f"{sign} {looks}" for wrong, sign in SIGNS.items() if wrong != illness},
    )


patient_a = patient(
    "a",
    "Here the curves leap above where they began, then lie on a high shelf, both alike.",
    [
        "Compare the first two or three evaluations with the start at 4.20.",
        "It learnt the letters' frequencies and no more. What kept it from going on?",
    ],
    "weights that were flung far away do not come back, even when the rate falls.",
)
patient_b = patient(
    "b",
    "Here both losses are at 0.00 almost at once. And read the sample: one letter, for ever.",
    [
        "A loss of 0.00 means certainty. Of what can one be certain in a text never seen?",
        "Which letter does it repeat, and which was the last one it was given?",
    ],
    "it has learnt to copy its input: perfectly, and to no use.",
    library=clinic.Unshifted,
)
patient_c = patient(
    "c",
    "Here the training loss ends far below the validation loss, which was better before.",
    [
        "One curve turns. Which one, and what does the other one do meanwhile?",
        "Read the sample beside the first lines of the corpus.",
    ],
    "10,000 characters are soon known by heart. What helps stands further down.",
)
patient_d = patient(
    "d",
    "Here both losses fall below 0.1 after a hundred steps of honest learning, and the letters of "
    "the sample change while they mean nothing.",
    [
        "Both losses are far below 1.46. The measurement itself must be wrong.",
        "It needed a hundred steps to find out where the answers lie. Where could they lie?",
    ],
    "in training it could peek one token ahead; when it writes, there is nothing ahead.",
    library=clinic.Unmasked,
)
patient_e = patient(
    "e",
    "Here both curves are smooth and alike, and end at 2.7, which a healthy run passes early.",
    [
        "Nothing jumps, nothing parts, nothing is too good. Is it finished?",
        "How far down the ladder did it get, and how far does a healthy run get in that time?",
    ],
    "nothing is broken but the pace.",
)
patient_f = patient(
    "f",
    "Here both losses go down together, to where nobody has been; and the sample is fluent.",
    [
        "Which of the six make the loss too good, and which of those can write?",
        "The validation loss follows the training loss as though it were the same text.",
    ],
    "it knows the exam by heart: on text that it has not seen it is as lost as patient C.",
)
