"""Addition: problems, worked answers, grading, and models that are taught to add."""

import json
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.__main__ import main as experiments
from nanogpt_lib.beyond import arithmetic
from nanogpt_lib.beyond.arithmetic import (
    COLUMNS,
    SEEN,
    SIZE,
    STYLES,
    TOKENIZER,
    TOKENS_A_STEP,
    accuracy,
    answers,
    examples,
    held_out,
    problem,
    problems,
    prompt_of,
    right,
    scratchpad,
    teach,
)
from nanogpt_lib.beyond.finetune import IGNORED
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.figures import read_record

pytestmark = pytest.mark.slow

numbers = st.integers(0, 10**COLUMNS - 1)


def filled(a: int, b: int) -> int:
    return sum((a // 10**i % 10, b // 10**i % 10) != (0, 0) for i in range(COLUMNS))


@given(numbers, numbers)
def test_every_style_ends_in_the_right_sum(a, b):
    assert right(arithmetic.direct(a, b), a, b)
    assert right(scratchpad(a, b), a, b)


@given(numbers, numbers)
def test_every_written_step_is_true_and_about_the_problem(a, b):
    lines = scratchpad(a, b).split("\n")[:-1]
    for line in lines:
        asked, told = line.split("=")
        assert sum(map(int, asked.split("+"))) == int(told)
    assert "".join(line[0] for line in reversed(lines)) == f"{a:05}"
    assert "".join(line[2] for line in reversed(lines)) == f"{b:05}"


def test_the_steps_are_those_of_the_example_in_the_docstring():
    written = (prompt_of(48210, 10970) + scratchpad(48210, 10970)).split("\n")
    shown = [line.strip().split("  ")[0] for line in arithmetic.__doc__.split("\n")]
    begin = shown.index(written[0])
    assert shown[begin : begin + 6] == written


@pytest.mark.parametrize(
    "answer", ["000085", "00085¶", "000086¶", "000085\n¶", "¶", "", "000085 ¶", "85¶"]
)
def test_an_answer_that_is_wrong_or_has_no_end_is_not_right(answer):
    assert not right(answer, 48, 37)


def test_what_stands_before_the_last_line_is_not_graded():
    assert right("9+9+9=00\n000085¶ and more", 48, 37)


@pytest.mark.parametrize("n", range(1, COLUMNS + 1))
def test_a_problem_has_as_many_columns_filled_as_asked_for(n):
    rng = random.Random(1)
    assert all(filled(*problem(rng, n)) == n for _ in range(50))


def test_problems_to_test_with_are_never_trained_on():
    rng = random.Random(1)
    assert not any(held_out(*problem(rng)) for _ in range(500))
    assert all(held_out(*p) for p in problems(100, SEEN))
    assert problems(20, 4) == problems(20, 4)


def test_a_number_of_columns_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="from 1 to 5 columns can be filled, not 6"):
        problem(random.Random(1), 6)


def test_every_style_reads_the_same_number_of_tokens_a_step():
    read = {style: examples(style)()[0] for style in STYLES}
    for x in read.values():
        assert 0.97 * TOKENS_A_STEP <= x.numel() <= TOKENS_A_STEP
        assert x.size(1) <= SIZE.block_size
    assert len(read["direct"]) > 3 * len(read["scratchpad"])  # so it sees more problems


def test_only_the_answer_is_learnt():
    x, y = examples("direct")()
    asked, told = TOKENIZER.decode(x[0]).split("=")
    assert TOKENIZER.decode(y[0][y[0] != IGNORED])[:-1] == told
    a, b = map(int, asked.split("+"))
    assert int(told) == a + b


@pytest.fixture(scope="module")
def taught():
    """A model that has learnt a little, with its losses: seconds, not minutes."""
    seen = []
    model, losses = teach("direct", 60 * TOKENS_A_STEP, 1, lambda step, _: seen.append(step))
    return model, losses, seen


def test_teaching_lowers_the_loss_and_lets_one_watch(taught):
    _, losses, seen = taught
    assert len(losses) == 60 and seen == [50]
    assert losses[-1] < 0.7 * losses[0]


def test_teaching_twice_is_teaching_once(taught):
    again, _ = teach("direct", 60 * TOKENS_A_STEP, 1)
    pairs = zip(taught[0].parameters(), again.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def test_answers_are_cut_at_their_end_and_fit_the_room(taught):
    written = answers(taught[0], problems(8, 3))
    assert all(text.count("¶") <= 1 and text.partition("¶")[2] == "" for text in written)
    assert all(len(text) <= 3 for text in answers(taught[0], problems(8, 3), room=3))


class Oracle(GPT):
    """Knows every sum: gives the highest score to what a style writes next."""

    def forward(self, idx, targets=None, caches=None):
        self.read = idx if idx.size(1) > 1 else torch.cat((self.read, idx), dim=1)
        logits = torch.zeros(*idx.shape, self.config.vocab_size)
        for row, tokens in enumerate(self.read):
            prompt, _, written = TOKENIZER.decode(tokens).partition("=")
            rest = self.style(*map(int, prompt.split("+")))[len(written) :]
            logits[row, -1, TOKENIZER.encode(rest[:1] or "+")] = 99.0
        return logits, None


@pytest.mark.parametrize("style", STYLES)
def test_accuracy_is_one_for_who_knows_and_nought_for_who_does_not(style):
    asked = problems(5, 4)
    oracle = Oracle(SIZE)
    oracle.style = STYLES[style]
    assert accuracy(oracle, style, asked) == 1
    oracle.style = lambda a, b: STYLES[style](a, b + 1)
    assert accuracy(oracle, style, asked) == 0


def test_the_command_writes_a_record_that_can_be_read(tmp_path, capsys):
    experiments(
        ["arithmetic", "--seeds", "1", "--tokens", "4096", "--tests", "2", "--out", str(tmp_path)]
    )
    rows = read_record("addition", tmp_path)
    assert [row["style"] for row in rows] == list(STYLES)
    for row in rows:
        assert row["steps"] == 2 and len(row["accuracy"]) == COLUMNS
        assert row["tokens"] <= 4096
    about = json.loads((tmp_path / "addition.json").read_text(encoding="utf-8"))["about"]
    assert "--tokens 4096" in about["command"]
    assert capsys.readouterr().out.count("seed 1") == 2


def test_in_the_shipped_record_all_models_are_equal_in_size_and_in_tokens():
    rows = read_record("addition")
    assert len({row["parameters"] for row in rows}) == 1
    tokens = [row["tokens"] for row in rows]
    assert max(tokens) < 1.02 * min(tokens)


def test_in_the_shipped_record_steps_win_with_every_seed_on_longer_problems():
    by = {(row["style"], row["seed"]): row["accuracy"] for row in read_record("addition")}
    seeds = {seed for _, seed in by}
    assert len(seeds) >= 3
    for seed in seeds:
        in_steps, at_once = by["scratchpad", seed], by["direct", seed]
        assert in_steps[SEEN - 1] > at_once[SEEN - 1]
        assert all(in_steps[n - 1] > at_once[n - 1] + 0.5 for n in range(SEEN + 1, COLUMNS + 1))
