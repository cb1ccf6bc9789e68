"""Every exercise: stubs are not attempted, each known mistake has its own word, solutions pass."""

import pytest

from nanogpt_lib import exercises as ex
from nanogpt_lib.exercises.base import source_of

EXERCISES = list(ex.ALL.values())
MISTAKES = [(e, m) for e in EXERCISES for m in e.mistakes]


def named(value):
    return getattr(value, "name", getattr(value, "message", ""))[:40]


@pytest.mark.parametrize("e", EXERCISES, ids=named)
def test_an_untouched_stub_is_not_attempted(e):
    stub = (lambda *arguments: None) if callable(e.answer) else None
    assert e.judge(stub)[0] == "Not attempted"
    assert e.judge(...)[0] == "Not attempted"


@pytest.mark.parametrize("e", EXERCISES, ids=named)
def test_the_solution_passes(e):
    assert e.judge(e.answer) == ("Right", e.praise)


@pytest.mark.parametrize("e", [e for e in EXERCISES if callable(e.answer)], ids=named)
def test_the_shown_solution_passes_when_it_is_pasted(e):
    import math

    import torch
    import torch.nn.functional as F

    namespace = {"torch": torch, "F": F, "math": math}  # what the notebooks have imported
    exec(source_of(e.answer), namespace)
    assert e.judge(namespace[e.name])[0] == "Right"


@pytest.mark.parametrize(("e", "mistake"), MISTAKES, ids=named)
def test_a_known_mistake_is_told_what_it_is(e, mistake):
    assert e.judge(mistake.answer) == ("Not yet", mistake.message)


@pytest.mark.parametrize("e", EXERCISES, ids=named)
def test_there_are_enough_mistakes_and_hints(e):
    assert len(e.mistakes) >= 3
    assert e.hints
    assert e.level in (1, 2, 3)
    assert 1 <= e.minutes <= 30


@pytest.mark.parametrize("e", [e for e in EXERCISES if callable(e.answer)], ids=named)
def test_an_answer_that_fails_is_told_how_and_nothing_is_raised(e, capsys):
    def broken(*arguments):
        return arguments[0] / "nonsense"

    e.check(broken)
    assert capsys.readouterr().out.startswith("Not yet: it raised TypeError")


@pytest.mark.parametrize("e", EXERCISES, ids=named)
def test_hint_and_solution_print_something(e, capsys):
    e.hint()
    e.solution()
    shown = capsys.readouterr().out
    assert f"Hint 1 of {len(e.hints)}: {e.hints[0]}" in shown
    assert source_of(e.answer) in shown


def test_nothing_blocks_run_all_unless_strict(monkeypatch):
    ex.symbols_of.check(None)
    monkeypatch.setenv("NANOGPT_STRICT", "1")
    with pytest.raises(AssertionError, match="symbols_of"):
        ex.symbols_of.check(None)
