"""Every exercise: stubs are not attempted, each known mistake has its own word, solutions pass."""

import inspect
import math
from collections import Counter
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nanogpt_lib.course import exercises as ex
from nanogpt_lib.course.exercises import by_hand
from nanogpt_lib.course.exercises.calling import source_of
from nanogpt_lib.course.exercises.comparing import difference

EXERCISES = list(ex.ALL.values())
FUNCTIONS = [e for e in EXERCISES if callable(e.answer)]
VALUES = [e for e in EXERCISES if not callable(e.answer)]
MISTAKES = [(e, m) for e in EXERCISES for m in e.mistakes]
ODD = [1, 0.5, "x", b"x", math.nan, (), [], {}, (None, None), [[1], []], object(), print]
ODD += [torch.zeros(0), torch.tensor(True), torch.tensor([math.inf])]


def named(case) -> str:
    return getattr(case, "name", "") or case.message


def over_all(cases):
    """One test of a property over all cases; it goes on after a failure and names them all.

    A case is an exercise, or a pair of one and a mistake. The property may use fixtures besides.
    """

    def decorate(holds):
        n = 2 if isinstance(cases[0], tuple) else 1
        fixtures = list(inspect.signature(holds).parameters.values())[n:]

        def test(**given):
            failed = {}
            for case in cases:
                case = case if isinstance(case, tuple) else (case,)
                try:
                    holds(*case, **given)
                except Exception as error:
                    failed[tuple(map(named, case))] = error
            assert not failed, failed

        test.__signature__ = inspect.Signature(fixtures)
        test.__name__, test.__doc__ = holds.__name__, holds.__doc__
        return test

    return decorate


@over_all(EXERCISES)
def test_an_untouched_stub_is_not_attempted(e):
    stub = (lambda *arguments: ...) if callable(e.answer) else ...
    assert e.judge(stub)[0] == "Not attempted yet"
    assert e.judge(None)[0] == "Not attempted yet"  # check() with nothing in it


@over_all(EXERCISES)
def test_the_solution_passes(e):
    assert e.judge(e.answer) == ("Right", e.praise)


@over_all(FUNCTIONS)
def test_the_shown_solution_passes_when_it_is_pasted(e):
    namespace = {"torch": torch, "F": F, "math": math, "nn": nn, "Counter": Counter}  # as imported
    namespace |= vars(by_hand)  # what notebook 03 has built before
    exec(source_of(e.answer), namespace)
    assert e.judge(namespace[e.name])[0] == "Right"


@over_all(MISTAKES)
def test_a_known_mistake_is_told_what_it_is(e, mistake):
    assert e.judge(mistake.answer) == ("Not yet", mistake.message)


@over_all(EXERCISES)
def test_there_are_enough_mistakes_and_hints(e):
    assert len(e.mistakes) >= 3
    assert e.hints
    assert e.level in (1, 2, 3)
    assert 1 <= e.minutes <= 30


@over_all(FUNCTIONS)
def test_an_answer_that_fails_is_told_how_and_nothing_is_raised(e, capsys):
    def broken(*arguments):
        return arguments[0] / "nonsense"

    e.check(broken)
    told = capsys.readouterr().out
    assert told.startswith("Not yet: it raised TypeError")
    assert 'in: return arguments[0] / "nonsense"' in told


@over_all(EXERCISES)
def test_no_answer_makes_the_check_itself_fail(e):
    for odd in ODD:
        assert e.judge(odd)[0] in ("Right", "Not yet")
        assert e.judge(lambda *arguments, odd=odd: odd)[0] == "Not yet"
        assert e.judge(Mock(side_effect=[odd] + 9 * [0]))[0] == "Not yet"  # odd only at first


def test_an_error_inside_a_library_is_shown_with_the_learners_own_line():
    def answer(scores):
        return F.softmax("scores", dim=0)

    assert ex.causal_weights.judge(answer)[1].endswith('(in: return F.softmax("scores", dim=0))')


@over_all(FUNCTIONS)
def test_a_forgotten_return_is_no_untouched_stub(e):
    status, message = e.judge(lambda *arguments: None)
    assert status == "Not yet"
    assert "`return`" in message


def test_a_way_through_without_a_return_is_found():
    def stops(val_losses, patience):  # says nothing where the patience never runs out
        place = ex.stops_at.answer(val_losses, patience)
        if place < len(val_losses) - 1:
            return place

    assert "`return`" in ex.stops_at.judge(stops)[1]


@over_all(FUNCTIONS)
def test_a_function_of_other_arguments_is_told_which_it_must_take(e):
    names = ", ".join(inspect.signature(e.answer).parameters)
    assert e.judge(lambda: 1) == ("Not yet", f"the function must take ({names})")


@over_all(FUNCTIONS)
def test_the_right_results_are_not_all_the_same(e):
    results = [e.answer(*arguments) for arguments in e.inputs]
    assert not all(e.agree(result, results[0]) for result in results)


def test_a_function_that_does_not_look_at_its_input_is_told_so():
    status, message = ex.count_params.judge(lambda config: 4632)
    assert status == "Not yet"
    assert "gives the same each time, 4632" in message
    assert "each time" not in ex.count_params.judge(lambda config: config.n_embd)[1]


def test_an_answer_may_change_what_it_is_given():
    def best_step(history):
        history.sort(key=lambda point: point.val_loss)
        return history.pop(0).step

    def sgd_step(w, gradient, lr):
        return w.sub_(lr * gradient)

    for _ in range(2):  # the second time as well
        assert ex.best_step.judge(best_step)[0] == "Right"
        assert ex.sgd_step.judge(sgd_step)[0] == "Right"


@over_all(VALUES)
def test_a_value_of_another_kind_is_told_which_kind_is_expected(e):
    kinds = ("a number is expected", "the four letters", "choose one of")
    for value in ("healthy", ["x"], lambda: e.answer):
        status, message = e.judge(value)
        assert status == "Not yet"
        assert message.startswith(kinds)
    if not isinstance(e.answer, str):
        without_quotes = f"that is text: write the number without quotes, answer = {e.answer}"
        assert e.judge(str(e.answer)) == ("Not yet", without_quotes)


@pytest.mark.parametrize("given", ["BDAC", "b, d, a, c", "B D A C", "B>D>A>C", list("BDAC")])
def test_four_letters_may_be_written_in_any_way(given):
    assert ex.by_ear.judge(given)[0] == "Right"


def test_a_wrong_order_of_the_letters_is_not_told_to_be_of_the_wrong_kind():
    assert ex.by_ear.judge("ABCD")[1].startswith("'ABCD' is not it")
    assert ex.by_ear.judge("ABC")[1].startswith("the four letters")


def test_a_diagnosis_may_be_written_with_capitals_and_must_be_one_of_the_six():
    assert ex.patient_a.judge(" Learning rate too high")[0] == "Right"
    message = ex.patient_a.judge("too high")[1]
    assert all(illness in message for illness in ("no mask", "learning rate too high"))


@pytest.mark.parametrize("given", [10.8, 10.82, math.log(50_257)])
def test_a_rounded_initial_loss_is_right(given):
    assert ex.initial_loss.judge(given) == ("Right", ex.initial_loss.praise)


def test_an_initial_loss_that_is_only_near_is_not():
    assert ex.initial_loss.judge(11)[0] == ex.initial_loss.judge(10.7)[0] == "Not yet"
    assert "65 symbols" in ex.initial_loss.judge(4.17)[1]


def test_of_copies_of_the_same_length_any_may_be_found():
    def last_of_the_longest(sample, text):
        ends = range(len(sample) + 1)
        runs = [sample[i:j] for i in ends for j in ends if sample[i:j] in text]
        return max(reversed(runs), key=len)

    assert ex.longest_copy.judge(last_of_the_longest)[0] == "Right"


def test_whether_it_is_enough_to_reach_p_exactly_makes_no_difference():
    def with_the_limit(chances, p):
        ordered, order = chances.sort(dim=-1, descending=True)
        before = F.pad(ordered.cumsum(dim=-1), (1, -1))
        ordered = ordered * (before <= p)
        return torch.zeros_like(chances).scatter(-1, order, ordered / ordered.sum(-1, True))

    assert ex.top_p_chances.judge(with_the_limit)[0] == "Right"


def test_numbers_are_written_with_as_many_digits_as_tell_them_apart():
    assert difference(2.5, 1.0) == "it gives 2.5; 1 is expected."
    assert difference(-1.88002, -1.88) == "it gives -1.88002; -1.88 is expected."
    assert "1.00002, and 1 is" in difference(torch.tensor([1.00002]), torch.tensor([1.0]))


@over_all(EXERCISES)
def test_hint_and_solution_print_something(e, capsys):
    e.hint()
    e.solution()
    shown = capsys.readouterr().out
    assert f"Hint 1 of {len(e.hints)}: {e.hints[0]}" in shown
    assert source_of(e.answer) in shown


@over_all(EXERCISES)
def test_the_last_hint_says_that_it_is_the_last(e, capsys):
    goes_on = f"ex.{e.name}.solution() shows the answer"
    e.hints_given = 0
    for number in range(1, len(e.hints) + 2):
        e.hint()
        assert (goes_on in capsys.readouterr().out) == (number >= len(e.hints))


@over_all([e for e in VALUES if e.working])
def test_the_working_that_a_solution_shows_gives_the_answer(e, capsys):
    assert eval(e.working, {"math": math}) == e.answer
    e.solution()
    assert capsys.readouterr().out.startswith(f"{e.working}  # {e.answer}")


def test_nothing_blocks_run_all_unless_strict(monkeypatch):
    ex.symbols_of.check(None)
    monkeypatch.setenv("NANOGPT_STRICT", "1")
    with pytest.raises(AssertionError, match="symbols_of"):
        ex.symbols_of.check(None)
