"""What a loss means in words, and what a whole curve says."""

import math
import random
import re
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanogpt_lib.corpus import split
from nanogpt_lib.milestones import (
    RUNGS,
    TRAINING,
    VALIDATION,
    own,
    read_loss,
    shakespeare_ladder,
    verdict,
)
from nanogpt_lib.ngram import ladder
from nanogpt_lib.runs import untrusted
from nanogpt_lib.training import Evaluation

SPLITS = {"val": VALIDATION, "train": TRAINING}
BOTH_SPLITS = pytest.mark.parametrize("split", SPLITS)
# A ladder like that of a novel in Chinese: many symbols, and soon too little text to count.
OWN = [
    {"k": -1, "name": "uniform guess", "loss": 8.30},
    {"k": 0, "name": "character frequencies", "loss": 6.10},
    {"k": 1, "name": "1 character of context", "loss": 4.90},
    {"k": 2, "name": "2 characters of context", "loss": 5.20},
    {"k": 3, "name": "3 characters of context", "loss": 5.60},
    {"k": 4, "name": "4 characters of context", "loss": 5.80},
]


def curve(val, train=None):
    """Evaluations every 100 steps; where only one list is given both splits have its losses."""
    pairs = enumerate(zip(val, train or val, strict=True))
    return [Evaluation(100 * i, 0, 0.0, 0.0, t, v) for i, (v, t) in pairs]


# Readings of a loss


@pytest.mark.parametrize(
    ("name", "split", "steps"),
    [
        ("talk-start", "val", {0: "knows nothing", 10: "letter frequencies", 20: "first pairs"}),
        ("talk-start", "val", {60: "letter pairs", 200: "syllables"}),
        ("talk", "val", {350: "words", 500: "phrases"}),
        ("pocket-long", "val", {13750: "Shakespearean"}),
        ("talk", "train", {800: "recognisable Shakespeare", 1150: "memorising", 1750: "reciting"}),
    ],
)
def test_the_landmarks_are_passed_where_the_recorded_runs_passed_them(name, split, steps):
    losses = {point.step: getattr(point, f"{split}_loss") for point in untrusted.read(name).history}
    for step, landmark in steps.items():
        assert read_loss(losses[step], split).landmark == landmark
        earlier = [read_loss(losses[s], split).landmark for s in losses if s < step]
        assert landmark not in earlier


def test_the_landmarks_lie_on_the_ladder_of_the_corpus(ids):
    rungs = ladder(*ids, vocab_size=65)
    assert list(shakespeare_ladder()) == rungs
    on_the_ladder = [mark.loss for mark in RUNGS]
    assert on_the_ladder == pytest.approx([rung["loss"] for rung in rungs[:5]], abs=0.02)


def test_a_reading_is_a_few_plain_sentences():
    assert str(read_loss(1.90, "val")) == (
        "1.90 on the validation text: syllables. It would sound like short words among invented "
        "ones, lines of the right length. It beats counting with 2 characters of context (2.05). "
        "Next: words at 1.78."
    )
    assert str(read_loss(1.10, "train")) == (
        "1.10 on the training text: recognisable Shakespeare. It would sound like his people "
        "and his turns of phrase. It beats every n-gram table (the best: 4 characters of "
        "context, 1.75). Next: memorising at 1.00."
    )


@BOTH_SPLITS
def test_every_landmark_is_named_where_it_is_reached_and_announces_the_next(split):
    landmarks = SPLITS[split]
    for here, ahead in pairwise(landmarks):
        for value in (here.loss, ahead.loss + 0.02):
            reading = read_loss(value, split)
            assert (reading.landmark, reading.sounds) == (here.name, here.sounds)
            assert reading.next == f"Next: {ahead.name} at {ahead.loss:.2f}."
    assert read_loss(landmarks[-1].loss, split).landmark == landmarks[-1].name


@BOTH_SPLITS
@given(values=st.tuples(st.floats(0, 20), st.floats(0, 20)))
def test_a_lower_loss_is_never_read_as_a_worse_one(split, values):
    names = ["worse than guessing", *(mark.name for mark in SPLITS[split])]
    lower, higher = sorted(values)
    assert names.index(read_loss(lower, split).landmark) >= names.index(
        read_loss(higher, split).landmark
    )


@BOTH_SPLITS
@pytest.mark.parametrize("rungs", [None, OWN], ids=["Shakespeare", "own text"])
@given(value=st.floats(0, allow_infinity=False))
def test_any_loss_gives_whole_sentences(split, rungs, value):
    words = str(read_loss(value, split, rungs))
    assert words.startswith(f"{value:.2f} on the ")
    assert words.endswith((".", "?"))
    assert not any(slip in words for slip in ("  ", "..", " .", "None", "nan"))


@given(value=st.floats(0, 6))
def test_the_baseline_named_is_the_lowest_that_more_context_led_to_and_the_loss_beats(value):
    beats = read_loss(value, "val").beats
    rungs = shakespeare_ladder()
    useful = rungs[:6]  # with 5 characters of context the table overfits: 1.98 after 1.75
    beaten = [rung for rung in useful if value < rung["loss"]]
    if len(beaten) == len(useful):
        assert beats == "It beats every n-gram table (the best: 4 characters of context, 1.75)."
    elif beaten:
        assert f"{beaten[-1]['name']} ({beaten[-1]['loss']:.2f})" in beats
    else:
        assert beats == "It beats no baseline."


def test_the_same_number_means_another_thing_on_another_split():
    assert read_loss(0.9, "train").landmark == "memorising"
    assert read_loss(0.4, "train").landmark == "reciting"
    assert "compare the validation loss" in read_loss(0.4, "train").next
    assert read_loss(0.9, "val").landmark == "Shakespearean"
    assert "is validation text being trained on?" in read_loss(0.9, "val").next
    assert "end near 1.46" in read_loss(1.47, "val").next


@pytest.mark.parametrize(("value", "name"), [(4.33, "knows nothing"), (4.4, "worse than guessing")])
def test_a_fresh_network_knows_nothing_and_only_a_bad_one_is_worse_than_guessing(value, name):
    reading = read_loss(value, "val")
    assert reading.landmark == name
    assert reading.beats == "It beats no baseline."


def test_a_text_of_ones_own_is_read_against_its_own_ladder():
    readings = {value: read_loss(value, "val", OWN) for value in (8.6, 8.35, 6.1, 5.0, 4.9, 1.2)}
    assert [reading.landmark for reading in readings.values()] == [
        "worse than guessing",
        "knows nothing",
        "character frequencies",
        "character frequencies",
        "1 character of context",
        "beyond counting",
    ]
    assert readings[8.6].next == "An even guess would reach 8.30."
    assert readings[8.35].next == "Next: character frequencies at 6.10."
    assert readings[4.9].next == "Next: beyond counting at 4.70."
    assert readings[5.0].beats == "It beats the character frequencies (6.10)."
    assert "the samples tell more" in readings[1.2].next
    assert "Shakespeare" not in str(readings[1.2]) + str(read_loss(0.5, "train", OWN))


@given(
    text=st.sampled_from(["אבגדה", "的一是不了", "ACGT", "ab", "Мороз"]),
    size=st.integers(200, 400),
    value=st.floats(0, 9),
)
def test_no_other_language_is_told_about_english_letters(text, size, value):
    dice = random.Random(size)
    ids = torch.tensor([dice.randrange(len(text)) for _ in range(size)])
    rungs = ladder(*split(ids), vocab_size=len(text))
    reading = read_loss(value, "val", rungs)
    assert not re.search('"th"|[Ll]etter|words|Shakespeare', f"{reading.landmark}{reading.sounds}")
    if reading.landmark == "knows nothing":
        assert abs(value - math.log(len(text))) < 1  # far below, it does know something
    lower = read_loss(value / 2, "val", rungs)
    order = ["worse than guessing", *(mark.name for mark in own(rungs))]
    assert order.index(lower.landmark) >= order.index(reading.landmark)


def test_a_text_of_one_symbol_has_nothing_to_learn():
    ids = torch.zeros(300, dtype=torch.uint8)
    reading = read_loss(0.0, "val", ladder(*split(ids), vocab_size=1))
    assert str(reading) == (
        "0.00 on the validation text: nothing to learn. It would sound like its only symbol, again "
        "and again. It beats no baseline. From here on the samples tell more than the number."
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_says_that_the_training_failed(value):
    reading = read_loss(value, "train")
    assert reading.landmark == "diverged"
    assert "The training has failed. Lower the learning rate" in str(reading)


def test_what_is_no_loss_is_refused():
    with pytest.raises(ValueError, match=r"never negative: -0\.1"):
        read_loss(-0.1, "val")
    with pytest.raises(ValueError, match='must be "train" or "val", not \'test\''):
        read_loss(2.0, "test")


# Verdicts on a whole curve

# Evaluations of neighbouring steps differ by up to a hundredth by chance: no verdict may hang
# on that. These noises are added to both curves of every kind.
NOISE = st.lists(st.floats(-0.004, 0.004), min_size=60, max_size=60)


def noisy(losses, noise):
    return [loss + chance for loss, chance in zip(losses, noise, strict=False)]


@given(n=st.integers(3, 50), fall=st.floats(0.02, 1), noise=NOISE)
def test_a_curve_that_falls_to_its_end_is_still_learning(n, fall, noise):
    falling = [60 - fall * i for i in range(n)]
    judged = verdict(curve(noisy(falling, noise), falling))
    assert judged.status == "learning"
    assert judged.best_step == 100 * (n - 1)
    assert "more steps would help" in str(judged)


@given(falling=st.integers(0, 20), flat=st.integers(10, 30), noise=NOISE)
def test_a_curve_that_stays_where_it_is_has_levelled_off(falling, flat, noise):
    losses = [1.5 + 0.1 * i for i in range(falling, 0, -1)] + [1.5] * flat
    judged = verdict(curve(noisy(losses, noise), losses))
    assert judged.status == "levelled off"
    assert judged.best_step >= 100 * falling


@given(best=st.integers(0, 20), after=st.integers(2, 30), rise=st.floats(0.02, 1), noise=NOISE)
def test_a_validation_loss_that_rises_while_the_other_falls_is_overfitting(
    best, after, rise, noise
):
    val = [2 + 0.1 * abs(i) if i < 0 else 2 + rise * i for i in range(-best, after + 1)]
    train = [4 - 0.02 * i for i in range(len(val))]
    judged = verdict(curve(val, train))
    assert judged.status == "overfitting"
    assert judged.best_step == 100 * best
    assert str(judged).startswith(f"Overfitting since step {100 * best:,}: ")
    assert f"at its best then, 2.000, and is {rise * after:.2f} higher now" in str(judged)
    assert verdict(curve(noisy(val, noise), noisy(train, noise))).status == "overfitting"


@given(before=st.integers(0, 20), rise=st.floats(0.03, 5), noise=NOISE)
def test_a_curve_that_rises_on_both_splits_is_unsettled(before, rise, noise):
    losses = [2 + 0.1 * i for i in range(before, 0, -1)] + [2, 2 + rise, 2 + rise]
    judged = verdict(curve(noisy(losses, noise), noisy(losses, noise)))
    assert judged.status == "unsettled"
    assert "Try a lower learning rate" in str(judged)


@given(
    n=st.integers(1, 10),
    data=st.data(),
    bad=st.sampled_from([math.nan, math.inf]),
    split=st.sampled_from(["train_loss", "val_loss"]),
)
def test_a_curve_with_a_loss_that_is_no_number_has_diverged_since_then(n, data, bad, split):
    history = curve([2.0] * n)
    first = data.draw(st.integers(0, n - 1))
    for point in history[first:]:
        setattr(point, split, bad)
    judged = verdict(history)
    assert judged.status == "diverged"
    assert f"Diverged by step {100 * first:,}: " in str(judged)
    assert "Lower the learning rate" in str(judged)


@pytest.mark.parametrize("losses", [[], [4.2], [4.2, 2.0]])
def test_fewer_than_three_evaluations_are_too_few_to_tell(losses):
    judged = verdict(curve(losses))
    assert (judged.status, judged.best_step) == ("too early", None)
    assert str(judged) == "Too early to tell: fewer than three evaluations."


SHAPES = {
    "learning": (lambda t: 4 - 2 * t, lambda t: 4 - 2 * t),
    "levelled off": (lambda t: 2 + 2 * math.exp(-20 * t), lambda t: 2 + 2 * math.exp(-20 * t)),
    "overfitting": (lambda t: 1.5 + (t - 0.4) ** 2, lambda t: 4 - 3 * t),
    "unsettled": (lambda t: 1.5 + (t - 0.4) ** 2, lambda t: 1.4 + (t - 0.4) ** 2),
}


@pytest.mark.parametrize("n", [11, 51, 501])
@pytest.mark.parametrize("status", SHAPES)
def test_a_curve_means_the_same_however_often_it_was_evaluated(status, n):
    val, train = SHAPES[status]
    points = [i / (n - 1) for i in range(n)]
    assert verdict(curve(map(val, points), map(train, points))).status == status


def test_the_run_of_the_talk_overfits_since_its_sweet_spot():
    # As it was shown, without dropout; of the training losses only the last is known.
    val = [4.2, 2.14, 1.64, 1.57, 1.59, 1.71, 1.98, 2.34]
    train = [4.2, 2.1, 1.5, 1.3, 1.1, 0.9, 0.7, 0.54]
    assert [verdict(curve(val[:n], train[:n])).status for n in range(2, 9)] == [
        "too early",
        "learning",
        "learning",
        "overfitting",
        "overfitting",
        "overfitting",
        "overfitting",
    ]
    assert verdict(curve(val, train)).best_step == 300


@pytest.mark.parametrize("losses", [[3.0, 0.5, 0.01], [3.0, 1.0, 1.0, 1.0], [3.0, 1.0, 2.0]])
def test_what_is_copied_is_not_praised(losses):
    judged = verdict(curve(losses), copied=0.43)
    assert judged.status == "copied"
    assert judged.text.startswith("No verdict: 43% of the validation text also stands in the train")
    assert verdict(curve(losses), copied=0.05).text == verdict(curve(losses)).text
    assert verdict(curve([3.0, math.nan, 1.0]), copied=0.43).status == "diverged"
