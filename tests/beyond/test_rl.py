"""Reinforcement learning: advantages, the policy's loss, rewards, and practice that helps."""

import pytest
import torch

from experiments.__main__ import main as experiments
from nanogpt_lib.beyond import arithmetic
from nanogpt_lib.beyond.finetune import IGNORED
from nanogpt_lib.beyond.rl import (
    Keeper,
    RLConfig,
    advantages,
    cheap_check,
    measure,
    policy_loss,
    practise,
    right_sum,
    two_ways,
    undecided,
)
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.figures import read_record

pytestmark = pytest.mark.slow

FEW = {"steps": 12, "problems": 4, "group": 8, "learning_rate": 3e-3}


def test_advantages_compare_within_the_group_only():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0], [9.0, 9.0, 9.0, 10.0]])
    result = advantages(rewards)
    assert torch.allclose(result.sum(1), torch.zeros(2), atol=1e-4)
    assert torch.allclose(result.std(1), torch.ones(2), atol=1e-3)
    assert result[0].argmax() == 0 and result[1].argmax() == 3


def test_a_group_of_equals_teaches_nothing():
    assert advantages(torch.ones(2, 4)).abs().max() == 0


def test_the_policy_loss_with_equal_advantages_is_the_cross_entropy(tiny):
    x = torch.arange(24).view(2, 12)
    y = x + 1
    y[0, :5] = IGNORED
    logits, loss = tiny(x, y)
    assert policy_loss(logits, y, torch.ones(2)).item() == pytest.approx(loss.item(), abs=1e-5)


def test_a_step_makes_the_good_answer_likelier_and_the_bad_one_less_likely(tiny):
    x = torch.tensor([[1, 2, 3, 4], [1, 2, 5, 6]])
    y = torch.tensor([[IGNORED, 3, 4, 7], [IGNORED, 5, 6, 7]])

    def surprises():
        return [tiny(x[i : i + 1], y[i : i + 1])[1].item() for i in range(2)]

    before = surprises()
    policy_loss(tiny(x)[0], y, torch.tensor([1.0, -1.0])).backward()
    with torch.no_grad():
        for p in tiny.parameters():
            p -= 0.05 * p.grad
    after = surprises()
    assert after[0] < before[0] and after[1] > before[1]


def test_the_outcome_is_rewarded_and_nothing_else():
    assert right_sum(arithmetic.direct(48, 37), 48, 37) == 1
    assert right_sum(arithmetic.scratchpad(48, 37), 48, 37) == 1
    assert right_sum(arithmetic.scratchpad(48, 36), 48, 37) == 0


def test_the_cheap_check_can_be_cheated():
    honest = cheap_check(arithmetic.scratchpad(48, 37), 48, 37)
    cheat = cheap_check("000000¶", 48, 37)
    assert cheat > honest > 0
    assert right_sum("000000¶", 48, 37) == 0


@pytest.mark.parametrize("answer", ["000085", "", "85¶", "¶", "00+085¶"])
def test_what_does_not_look_like_a_sum_gets_nothing_from_the_cheap_check(answer):
    assert cheap_check(answer, 48, 37) <= 0


def starts_with_nought(answer, a, b):
    return float(answer.startswith("0"))


@pytest.fixture
def adder():
    torch.manual_seed(0)
    return GPT(arithmetic.SIZE).eval()


def test_practice_raises_the_reward(adder):
    seen = []
    history = practise(
        adder, starts_with_nought, RLConfig(**FEW), lambda step, _: seen.append(step)
    )
    assert seen == list(range(1, 13))
    assert sum(history[:3]) / 3 < 0.3
    assert sum(history[-3:]) / 3 > sum(history[:3]) / 3 + 0.2


def test_a_reward_that_is_always_the_same_changes_nothing(adder):
    before = {name: p.clone() for name, p in adder.named_parameters()}
    with pytest.warns(UserWarning, match="nothing was learnt"):
        practise(adder, lambda *_: 1.0, RLConfig(**FEW | {"steps": 2}))
    for name, p in adder.named_parameters():
        assert torch.allclose(p, before[name], atol=1e-6), name


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), None, "1", [1]])
def test_a_reward_that_is_no_number_is_named_before_a_weight_changes(adder, reward):
    before = [p.clone() for p in adder.parameters()]
    calls = iter([1.0] * 5 + [reward] * 999)
    with pytest.raises(ValueError, match=r"gave .* for the answer '.*No weight was changed"):
        practise(adder, lambda *_: next(calls), RLConfig(**FEW))
    assert all(map(torch.equal, before, adder.parameters()))


def test_true_and_false_are_rewards(adder):
    notes = []
    config = RLConfig(**FEW | {"steps": 2})
    history = practise(adder, lambda answer, a, b: "0" in answer, config, note=notes.append)
    assert [note.reward for note in notes] == history and 0 < history[0] < 1
    assert all(0 <= note.ended <= 1 and note.length > 0 and note.entropy > 1 for note in notes)


def test_groups_without_a_difference_are_counted_and_named_if_none_teaches(adder):
    notes = []
    with pytest.warns(UserWarning, match="nothing was learnt: in each of the 8 groups"):
        practise(adder, lambda *_: True, RLConfig(**FEW | {"steps": 2}), note=notes.append)
    assert [note.same for note in notes] == [4, 4]


def test_a_practice_that_collapses_ends_with_the_best_model(adder):
    before = {name: p.clone() for name, p in adder.named_parameters()}
    found = iter([i % 8 == 0 for i in range(32)] + [False] * 999)  # right once, never again
    with pytest.warns(UserWarning, match="the practice collapsed: the mean reward fell from 0.1"):
        practise(adder, lambda *_: next(found), RLConfig(**FEW))
    for name, p in adder.named_parameters():
        assert torch.equal(p, before[name])


@pytest.mark.parametrize(
    ("rewards", "collapsed"),
    [
        ([0.1] * 20, False),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.5, 0.6, 0.5, 0.6], False),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.1, 0.0, 0.0, 0.0, 0.0], True),
        ([-0.3, -0.2, -0.1, -0.1, -0.4, -0.6, -0.9, -0.9, -0.9, -0.9], True),
        ([0.5, 0.0, 0.0], False),
    ],
)
def test_a_collapse_is_told_from_noise(rewards, collapsed, adder, recwarn):
    keeper = Keeper()
    for step, reward in enumerate(rewards):
        keeper.see(reward, step, adder)
    keeper.end(adder)
    assert bool(len(recwarn)) == collapsed


def test_practice_uses_no_problem_that_is_kept_for_testing(adder):
    asked = []
    config = RLConfig(**FEW | {"steps": 2})
    practise(adder, lambda w, *p: len(w) + bool(asked.append(p)), config)
    assert len(asked) == 2 * 4 * 8
    assert not any(arithmetic.held_out(*p) for p in asked)
    assert len(set(asked)) == 8  # a group shares its problem


def test_a_group_of_one_is_refused():
    with pytest.raises(ValueError, match="group must be at least 2, not 1: nothing to compare"):
        RLConfig(group=1)


def test_a_model_is_tuned_on_answers_in_steps_and_at_once():
    for usual, pattern in (("scratchpad", [True, True, False]), ("direct", [False, False, True])):
        _, y = two_ways(rows=6, usual=usual)()
        answers = [arithmetic.TOKENIZER.decode(row[row != IGNORED]) for row in y]
        assert ["+" in answer for answer in answers] == pattern * 2


def test_tuning_on_both_ways_leaves_the_adder_as_it_was(adder):
    before = adder.lm_head.weight.clone()
    tuned = undecided(adder, steps=1)
    assert torch.equal(adder.lm_head.weight, before)
    assert not torch.equal(tuned.lm_head.weight, before)


def test_a_model_that_knows_nothing_scores_zero(adder):
    assert measure(adder, arithmetic.problems(4, 3))["right"] == 0


def test_the_command_writes_a_record_that_can_be_read(tmp_path, capsys):
    words = "--seeds 1 --tokens 4096 --steps 1 --tests 1 --out"
    experiments(["rl", *words.split(), str(tmp_path)])
    rows = read_record("control", tmp_path)
    assert [row["practised for"] for row in rows] == ["nothing", "right sum", "cheap check"]
    for row in rows:
        assert [t["temperature"] for t in row["temperatures"]] == [0, 0.25, 0.5, 0.75, 1]
        assert list(row["pass@k"]) == ["1", "2", "4", "8", "16", "32"]
    assert capsys.readouterr().out.count("seed 1") == 3


def test_in_the_shipped_record_practice_helps_and_the_cheap_check_is_cheated():
    rows = read_record("practice")
    right = {(r["seed"], r["practised for"]): r["tests"][-1]["right"] for r in rows}
    for seed in {seed for seed, _ in right}:
        before, after = right[seed, "nothing"], right[seed, "right sum"]
        assert after > before > right[seed, "cheap check"]


def test_in_the_shipped_record_practice_does_what_no_temperature_does():
    rows = read_record("control")
    shares = {
        (r["seed"], r["practised for"]): [t["right"] for t in r["temperatures"]] for r in rows
    }
    seeds = {seed for seed, _ in shares}
    assert len(seeds) >= 3
    for seed in seeds:
        before, after = shares[seed, "nothing"], shares[seed, "right sum"]
        assert min(after) > max(before) > 0  # no temperature does what practice did
        assert max(shares[seed, "cheap check"]) <= min(after)


def test_the_collapse_command_writes_each_step(tmp_path, capsys):
    words = "--seeds 1 --tokens 4096 --steps 2 --tests 2 --out"
    experiments(["collapse", *words.split(), str(tmp_path)])
    rows = read_record("collapse", tmp_path)
    assert [row["learning_rate"] for row in rows] == [1e-4, 3e-3]
    assert all([step["step"] for step in row["steps"]] == [1, 2] for row in rows)
    assert set(rows[0]["steps"][0]) == {"step", "reward", "length", "ended", "entropy", "same"}
    assert capsys.readouterr().out.count("kept") == 2
