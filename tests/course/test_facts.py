"""What the notebooks say in words is what was measured: each sentence beside the records."""

import json
import re
from itertools import islice
from pathlib import Path
from statistics import mean, pstdev

import pytest

from experiments import facts
from nanogpt_lib import CharTokenizer, load_corpus
from nanogpt_lib.course.mixing import mixed_loss
from nanogpt_lib.runs.figures import read_record

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


def rows(case, **wanted) -> list[dict]:
    found = [row for row in read_record(case) if wanted.items() <= row.items()]
    assert found, (case, wanted)
    return found


def column(case, key, **wanted) -> list:
    return [row[key] for row in rows(case, **wanted)]


def words(name: str) -> str:
    """The text of a notebook between its cells of code."""
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def rates(method: str, steps: int) -> set:
    return {*column("race", "rate", method=method, steps=steps)}


WORKSHOP = {"model": "workshop", "tied": True}
UNTIED = {"model": "workshop", "tied": False}
BETS = "bets on its input"
# A notebook, a sentence of it with its numbers in groups, and what was measured.
SAID = [
    (
        "01_tokenizer",
        r"training text its loss goes on falling, to ([\d.]+). On the validation text it rises "
        r"again, to ([\d.]+)\.",
        lambda: [*column("tables", "train", k=5), *column("tables", "val", k=5)],
    ),
    ("01_tokenizer", r"That reaches ([\d.]+) \(", lambda: column("tables", "mixed", k=4)),
    (
        "02_attention",
        r"a recurrent network of ([\d,]+) parameters reached ([\d.]+)\. .*? reach ([\d.]+) \(",
        lambda: [
            *column("gru", "parameters"),
            *column("gru", "val"),
            *column("tables", "mixed", k=4),
        ],
    ),
    (
        "04_training",
        r"after 120 steps were ([\d.]+) for SGD, ([\d.]+) for SGD with momentum .*?, and "
        r"([\d.]+) for AdamW; after 400 steps ([\d.]+), ([\d.]+) and ([\d.]+) ",
        lambda: [
            min(mean(column("race", "val", method=m, rate=r, steps=n)) for r in rates(m, n))
            for n in (120, 400)
            for m in ("SGD", "momentum", "AdamW")
        ],
    ),
    (
        "04_training",
        r"changes a typical weight by ([\d.]+)% of itself, but at the end of its schedule by "
        r"([\d.]+)%; bfloat16 would round (\d+) of 100",
        lambda: [
            100 * mean(column("changes", key, when=when))
            for key, when in (("median", "full rate"), ("median", "end"), ("lost", "end"))
        ],
    ),
    (
        "03_model",
        r"two vectors of size 0.02, which makes ([\d.]+)\.",
        lambda: [mean(column("blocks", "stream"))],
    ),
    (
        "03_model",
        r"first block of the workshop's model adds (\d+)% of what it gets, the last (\d+)%",
        lambda: [
            100 * mean(own[place] for own in column("blocks", "own", model="workshop"))
            for place in (0, -1)
        ],
    ),
    (
        "03_model",
        r"half its variance: ([\d.]+) here, over eight seeds, where the loss was ([\d.]+) \(give "
        r"or take ([\d.]+)\).*?the loss was ([\d.]+) \(give or take ([\d.]+)\)",
        lambda: [
            mean(column("first_loss", "half the variance", **WORKSHOP)),
            *(f(column("first_loss", "loss", **WORKSHOP)) for f in (mean, pstdev)),
            *(f(column("first_loss", "loss", **UNTIED)) for f in (mean, pstdev)),
        ],
    ),
    (
        "03_model",
        r"bets on repeating in (\d+)% of all places, `pocket` in (\d+)%\..*?it is (\d+)%,",
        lambda: [
            100 * mean(column("first_loss", BETS, **case))
            for case in (WORKSHOP, WORKSHOP | {"model": "pocket"}, UNTIED)
        ],
    ),
    (
        "03_model",
        r"in which nothing is averaged, .* it reached ([\d.]+)\.",
        lambda: column("stall", "val", change="no residuals, no attention", seed=1),
    ),
]


@pytest.mark.parametrize(("name", "sentence", "measured"), SAID, ids=range(len(SAID)))
def test_a_sentence_says_what_was_measured(name, sentence, measured):
    found = re.search(sentence, words(name), flags=re.DOTALL)
    assert found, f"{name} does not say so any more: {sentence}"
    for said, value in zip(found.groups(), measured(), strict=True):
        digits = len(said.partition(".")[2])
        assert said.replace(",", "") == f"{value:.{digits}f}", (sentence, value)


def test_what_is_said_without_a_number_holds_for_every_seed():
    first = {name: column("start", "first", build=name) for name in facts.BUILDS}
    assert max(first["chain"]) < 1e-20  # next to nothing
    for name in ("chain, Kaiming", "chain, norms", "stream"):
        assert min(first[name]) > 0.01
    assert mean(first["chain, norms"]) > mean(first["stream"])  # as large, or larger
    for row in rows("start"):
        apart = row["apart"]
        assert (min(apart) > 0.9) if row["build"] == "stream" else (apart[-1] < 0.2), row
    assert max(column("one_batch", "loss", model="no attention")) < 0.12
    assert min(column("gru", "val")) < min(column("tables", "val"))  # below the simple tables
    assert min(column("gru", "parameters")) < 22_721  # smaller than notebook 02's reader
    validation = column("tables", "val")
    training = column("tables", "train")
    assert training == sorted(training, reverse=True) and validation != training
    assert validation.index(min(validation)) == 4
    for method in ("SGD", "momentum", "AdamW"):  # four rates, and the best is none at the edge
        (best,) = rates(method, 400)
        assert sorted(rates(method, 120)).index(best) in (1, 2)


def test_why_the_model_without_residuals_stalls():
    """It does where tokens become alike, and does not where they stay apart."""
    for row in rows("stall"):
        stalls = row["val"] > 3.3
        assert stalls == (row["change"] in ("no residuals", "only around the MLP")), row
        assert (row["apart after"] < 0.2) == stalls, row
    partly = rows("stall", change="no residuals, each looks at itself first")
    by_distance = sorted(partly, key=lambda row: row["apart after"])
    assert by_distance == sorted(partly, key=lambda row: -row["val"])  # the nearer, the worse


def test_the_records_are_what_the_experiment_gives():
    made = list(islice(facts.blocks(), 2))
    for new, old in zip(made, read_record("blocks")[:2], strict=True):
        assert new["own"] == pytest.approx(old["own"], rel=0.05)


def test_mixing_agrees_with_the_formula_on_a_small_text():
    """Witten and Bell's: (count + kinds * shorter) / (times + kinds), written out for one place."""
    tokenizer = CharTokenizer.train("abc")
    train = tokenizer.encode("abacabab")
    ids = [facts.torch.tensor(part) for part in (train, tokenizer.encode("ab"))]
    alone = (3 + 3 / 3) / (8 + 3)  # b: 3 of 8 characters, 3 kinds, an even guess of 1/3
    after_a = (3 + 2 * alone) / (4 + 2)  # ab: 3 of 4 times; after an a came 2 kinds
    assert mixed_loss(*ids, 3, 1) == pytest.approx(-facts.math.log(after_a))


def test_a_context_that_was_never_seen_leaves_all_to_the_shorter_one():
    train, val = facts.torch.tensor([0, 0, 1, 0]), facts.torch.tensor([2, 0])
    assert mixed_loss(train, val, 3, 1) == pytest.approx(mixed_loss(train, val[1:], 3, 0))


@pytest.mark.parametrize("context", ["th", "zq", "$$"], ids=["often", "rare", "never"])
def test_the_chances_of_all_next_characters_sum_to_one(context):
    tokenizer = CharTokenizer.train(load_corpus())
    train, before = facts.texts()[0][:50_000], tokenizer.encode(context)
    next_ids = range(tokenizer.vocab_size)
    losses = [mixed_loss(train, facts.torch.tensor([*before, i]), 65, 2) for i in next_ids]
    assert sum(facts.math.exp(-loss) for loss in losses) == pytest.approx(1)


@pytest.mark.parametrize("k", [-1, 3, 40])
def test_mixing_refuses_a_context_that_does_not_fit(k):
    with pytest.raises(ValueError, match="choose fewer"):
        mixed_loss(facts.torch.arange(3), facts.torch.arange(3), 65, k)
