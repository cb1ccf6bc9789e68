"""Exercises: questions whose answers are checked, with hints and a solution.

An answer is a function, or a plain value. The check compares what it returns for a few inputs with
what the right answer returns, and with what known mistakes return. If the answer agrees with a
known mistake, the learner is told which one. A mistake may also raise an error; then the check
compares the errors. Checking never raises and always ends, so it never blocks "Run all".
"""

import inspect
import io
import os
import textwrap
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field

from nanogpt_lib.course import progress
from nanogpt_lib.course.exercises import patience, showing
from nanogpt_lib.course.exercises.calling import Listener, line_of, outcome, source_of, takes
from nanogpt_lib.course.exercises.comparing import (
    as_number,
    close,
    describe_value,
    difference,
    is_number,
    kept_apart,
    never_raises,
)
from nanogpt_lib.course.exercises.handing import Handed

BY_HAND = "Right; now by hand"


class CheckFailed(AssertionError):
    """Raised if an answer is not right and NANOGPT_STRICT is set, as in tests of the course."""


@dataclass
class Mistake:
    """A typical wrong answer, and the message for it."""

    answer: object  # a function like the solution, or a value
    message: str  # what is probably wrong, and where to look
    same: Callable | None = None  # compares results with the mistake's, if agreeing is too strict


@dataclass
class Verdict:
    """What a check has found."""

    status: str  # "Right" | "Right; now by hand" | "Not yet" | "Not attempted yet"
    message: str
    example: str = ""  # the call that failed, where it is small


@dataclass
class Exercise:
    """One exercise: `check`, `hint` and `solution`; made by `exercise` or `question`."""

    name: str
    question: str  # in a sentence
    minutes: int
    level: int  # 1 to warm up, 2 to think, 3 to chew on
    answer: object  # the right answer, a function or a value; `solution()` shows its source
    inputs: list[tuple] = field(default_factory=list)  # arguments to try; results must differ
    hints: list[str] = field(default_factory=list)
    library: Callable | None = None  # the part of the library that the exercise rebuilds
    same: Callable | None = None  # compares results, if "equal within 1e-4" is not the right test
    as_good: Callable | None = None  # (given, right, *arguments): whether another result will do
    fits: Callable | None = None  # whether a value is of the kind that the question asks for
    kind: str = ""  # the message for a value of another kind
    working: str = ""  # how to calculate the right value, in Python
    praise: str = ""  # what the right answer means, shown when it is found
    used: bool = False  # whether the notebook goes on with what `check` hands back
    by_hand: dict[str, str] = field(
        default_factory=dict
    )  # {PyTorch's function: what to do instead}
    explain: Callable | None = None  # (inputs, results, right ones) -> a message, or ""
    mistakes: list[Mistake] = field(default_factory=list)
    hints_given: int = 0

    def mistake(self, message: str, same: Callable | None = None):
        """A decorator: adds the function to the known mistakes, with the message for it."""

        def catalogue(function):
            self.mistakes.append(Mistake(function, message, same))
            return function

        return catalogue

    def check(self, answer=None):
        """Says whether an answer is right. If it is not, says what is probably wrong.

        Hands back a function to go on with: the learner's own if it is right, else the library's.
        """
        answer = answer.given if isinstance(answer, Handed) else answer
        try:
            verdict = self.examine(answer)
        except KeyboardInterrupt:
            verdict = Verdict("Not yet", str(patience.NoEnd("you stopped it")))
        except Exception as error:  # an answer that nobody thought of
            verdict = Verdict("Not yet", f"it cannot be read: {type(error).__name__}: {error}")
        status, message = verdict.status, verdict.message
        progress.note(self.name, status, self.named(message) if status == "Not yet" else "")
        print(f"{status}: {message}" if message else status)
        if verdict.example:
            print(textwrap.indent(verdict.example, "    "))
        if os.environ.get("NANOGPT_STRICT") and status != "Right":
            raise CheckFailed(f"{self.name}: {status}: {message}")
        return self.hand_back(answer, status.startswith("Right")) if callable(self.answer) else None

    def named(self, message: str) -> str:
        """The message, if it is that of a known mistake; else "": it may quote the answer."""
        return message if any(message == each.message for each in self.mistakes) else ""

    def hand_back(self, answer, theirs: bool) -> Handed:
        if self.used:
            whose = "your" if theirs else "the library's"
            print(f"The next cells use {whose} {self.name}.")
        like = outcome(self.answer, self.inputs[0])
        return Handed(answer if theirs else self.answer, answer, like)

    def hint(self) -> None:
        """Gives one more hint each time."""
        number = min(self.hints_given, len(self.hints) - 1)
        self.hints_given += 1
        print(f"Hint {number + 1} of {len(self.hints)}: {self.hints[number]}")
        if number == len(self.hints) - 1:
            print(f"That was the last one; ex.{self.name}.solution() shows the answer.")

    def solution(self) -> None:
        """Shows the solution, and the part of the library that the exercise rebuilds."""
        shown = source_of(self.answer)
        print(f"{self.working}  # {shown}" if self.working else shown)
        if self.library is not None:
            where = self.library.__module__.replace(".", "/")
            print(f"\n# The library's own form, {where}.py: {self.library.__qualname__}")
            print(source_of(self.library))

    def judge(self, answer) -> tuple[str, str]:
        """(the status, the message about it)."""
        verdict = self.examine(answer)
        return verdict.status, verdict.message

    def examine(self, answer) -> Verdict:
        if answer is None or answer is ...:
            return Verdict("Not attempted yet", self.invitation())
        if not callable(self.answer):
            return self.examine_value(answer)
        if not callable(answer):
            return Verdict(
                "Not yet", f"pass the function itself: ex.{self.name}.check(my_function)"
            )
        if not takes(answer, self.inputs[0]):
            names = ", ".join(inspect.signature(self.answer).parameters)
            return Verdict("Not yet", f"the function must take ({names})")
        results = []
        for arguments in self.inputs:
            results.append(outcome(answer, arguments, patience.patiently))
            if isinstance(results[-1], patience.NoEnd):
                return Verdict("Not yet", str(results[-1]))
        expected = [outcome(self.answer, arguments) for arguments in self.inputs]
        for arguments, given, right in zip(self.inputs, results, expected, strict=True):
            if given is ... or isinstance(given, NotImplementedError):
                return Verdict("Not attempted yet", self.invitation())
            if isinstance(given, BaseException) or not self.agree(given, right, arguments):
                told = self.what_is_wrong(answer, results, expected, given, right)
                call = showing.example(self.name, arguments, given, right)
                return Verdict("Not yet", told, call if given is not None else "")
        if cheat := self.done_by_pytorch(answer):
            return Verdict(BY_HAND, cheat)
        return Verdict("Right", self.praise)

    def what_is_wrong(self, answer, results: list, expected: list, given, right) -> str:
        """A sentence about the first result that is wrong, `given`; `right` is expected."""
        if given is None:
            return "it gives None: is a `return` missing, or is there a way through it without one?"
        if isinstance(given, BaseException):
            raised = f"it raised {type(given).__name__}: {given}{line_of(given, answer)}"
            return self.known_mistake(results) or raised
        if told := kept_apart(given, right) or self.known_mistake(results):
            return told
        if self.explain and (told := never_fails(self.explain)(self.inputs, results, expected)):
            return told
        return self.constant(results) or self.unforeseen(difference(given, right))

    def done_by_pytorch(self, answer) -> str:
        """What to do instead, if the answer calls what the exercise is to build; else ""."""
        if not self.by_hand:
            return ""
        with redirect_stdout(io.StringIO()), Listener() as heard:  # it has printed all of it before
            outcome(answer, self.inputs[0], patience.patiently)
        return next((self.by_hand[name] for name in heard.names if name in self.by_hand), "")

    def examine_value(self, answer) -> Verdict:
        if not isinstance(self.answer, str):
            if told := not_a_number(answer):
                return Verdict("Not yet", told)
            answer = answer if as_number(answer) is None else as_number(answer)
        if self.fits and not self.fits(answer):
            return Verdict("Not yet", self.kind.format(type=type(answer).__name__))
        if self.agree(answer, self.answer):
            return Verdict("Right", self.praise)
        for mistake in self.mistakes:
            if self.agree(answer, mistake.answer):
                return Verdict("Not yet", mistake.message)
        return Verdict("Not yet", self.unforeseen(f"{describe_value(answer)} is not it."))

    def known_mistake(self, results: list) -> str:
        """The message for the mistake with these results, one for each input; "" if unknown.

        If both fail on an input, the results are the same if the errors are the same.
        """
        for mistake in self.mistakes:
            pairs = zip(results, self.inputs, strict=True)
            if all(self.is_of(mistake, result, arguments) for result, arguments in pairs):
                return mistake.message
        return ""

    def is_of(self, mistake: Mistake, given, arguments: tuple) -> bool:
        """Whether a result is what the mistake gives for these arguments."""
        theirs = outcome(mistake.answer, arguments)
        if isinstance(theirs, BaseException):
            return type(given) is type(theirs) and str(given) == str(theirs)
        return never_raises(mistake.same or self.agree)(given, theirs)

    def constant(self, results: list) -> str:
        """The message if all results are the same; else "". The right results always differ."""
        if all(self.agree(result, results[0]) for result in results):
            shown = describe_value(results[0])
            return f"it gives the same each time, {shown}: does it look at what it is given?"
        return ""

    def agree(self, given, right, arguments: tuple | None = None) -> bool:
        """Whether two results are the same; with the arguments, whether one is as good as right."""
        if arguments and self.as_good and never_raises(self.as_good)(given, right, *arguments):
            return True
        return never_raises(self.same or close)(given, right)

    def unforeseen(self, words: str) -> str:
        return f"{words} ex.{self.name}.hint() helps"

    def invitation(self) -> str:
        return (
            f"put your code in place of the `...` (about {self.minutes} min). "
            f"Stuck? Run `ex.{self.name}.hint()` in a cell of its own."
        )


def never_fails(explain: Callable) -> Callable:
    """Makes an explanation say nothing about what it cannot read."""

    def safe(*things) -> str:
        try:
            return explain(*things)
        except Exception:
            return ""

    return safe


def not_a_number(answer) -> str:
    """What to change about text, or a number written with commas; "" for anything else."""
    if isinstance(answer, str):
        plain = answer.strip().replace(",", "").replace("_", "")
        try:
            float(plain)
        except ValueError:
            return ""
        return f"that is text: write the number without quotes, answer = {plain}"
    if isinstance(answer, tuple) and len(answer) > 1 and all(type(n) is int for n in answer):
        whole = "_".join([str(answer[0]), *(f"{n:03}" for n in answer[1:])])
        return f"the commas make {len(answer)} numbers of it: write answer = {whole}"
    return ""


def exercise(**fields):
    """A decorator: turns a function, the right answer, into an Exercise with its name."""

    def make(function) -> Exercise:
        return Exercise(name=function.__name__, answer=function, **fields)

    return make


def question(name: str, answer, mistakes: dict | None = None, **fields) -> Exercise:
    """An Exercise whose answer is a value; mistakes: {wrong value: the message for it}.

    The value should be a number, unless the fields `fits` and `kind` say something else.
    """
    wrong = [Mistake(value, message) for value, message in (mistakes or {}).items()]
    fields.setdefault("fits", is_number)
    fields.setdefault("kind", "a number is expected, not a {type}")
    return Exercise(name=name, answer=answer, mistakes=wrong, **fields)
