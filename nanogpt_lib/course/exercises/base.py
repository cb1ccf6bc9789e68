"""Exercises: questions whose answers are checked, with hints and a solution.

An answer is a function, or a plain value. The check compares what it returns for a few inputs with
what the right answer returns, and with what known mistakes return. If the answer agrees with a
known mistake, the learner is told which one. A mistake may also raise an error; then the check
compares the errors. Checking never raises, so it never blocks "Run all".
"""

import copy
import inspect
import math
import numbers
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

import torch


class CheckFailed(AssertionError):
    """Raised if an answer is not right and NANOGPT_STRICT is set, as in tests of the course."""


@dataclass
class Mistake:
    """A typical wrong answer, and the message for it."""

    answer: object  # a function like the solution, or a value
    message: str  # what is probably wrong, and where to look


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
    fits: Callable | None = None  # whether a value is of the kind that the question asks for
    kind: str = ""  # the message for a value of another kind
    working: str = ""  # how to calculate the right value, in Python
    praise: str = ""  # what the right answer means, shown when it is found
    mistakes: list[Mistake] = field(default_factory=list)
    hints_given: int = 0

    def mistake(self, message: str):
        """A decorator: adds the function to the known mistakes, with the message for it."""

        def catalogue(function):
            self.mistakes.append(Mistake(function, message))
            return function

        return catalogue

    def check(self, answer=None) -> None:
        """Says whether an answer is right. If it is not, says what is probably wrong."""
        status, message = self.judge(answer)
        print(f"{status}: {message}" if message else status)
        if os.environ.get("NANOGPT_STRICT") and status != "Right":
            raise CheckFailed(f"{self.name}: {status}: {message}")

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
        """("Right" | "Not yet" | "Not attempted", the message about it)."""
        if answer is None or answer is ...:
            return "Not attempted", self.invitation()
        if not callable(self.answer):
            return self.judge_value(answer)
        if not callable(answer):
            return "Not yet", f"pass the function itself: ex.{self.name}.check(my_function)"
        if not takes(answer, self.inputs[0]):
            names = ", ".join(inspect.signature(self.answer).parameters)
            return "Not yet", f"the function must take ({names})"
        results = [outcome(answer, arguments) for arguments in self.inputs]
        expected = [outcome(self.answer, arguments) for arguments in self.inputs]
        for given, right in zip(results, expected, strict=True):
            if given is ... or isinstance(given, NotImplementedError):
                return "Not attempted", self.invitation()
            if given is None:
                return "Not yet", (
                    "it gives None: is a `return` missing, or is there a way through it without "
                    "one?"
                )
            if isinstance(given, Exception):
                raised = f"it raised {type(given).__name__}: {given}{line_of(given, answer)}"
                return "Not yet", self.known_mistake(results) or raised
            if not self.agree(given, right):
                told = self.known_mistake(results) or self.constant(results)
                return "Not yet", told or self.unforeseen(difference(given, right))
        return "Right", self.praise

    def judge_value(self, answer) -> tuple[str, str]:
        if self.fits and not self.fits(answer):
            return "Not yet", self.kind.format(type=type(answer).__name__)
        if self.agree(answer, self.answer):
            return "Right", self.praise
        for mistake in self.mistakes:
            if self.agree(answer, mistake.answer):
                return "Not yet", mistake.message
        return "Not yet", self.unforeseen(f"{describe_value(answer)} is not it.")

    def known_mistake(self, results: list) -> str:
        """The message for the mistake with these results, one for each input; "" if unknown.

        If both fail on an input, the results are the same if the errors are the same.
        """
        for mistake in self.mistakes:
            theirs = [outcome(mistake.answer, arguments) for arguments in self.inputs]
            if all(map(self.alike, results, theirs)):
                return mistake.message
        return ""

    def alike(self, ours, theirs) -> bool:
        if isinstance(theirs, Exception):
            return type(ours) is type(theirs) and str(ours) == str(theirs)
        return self.agree(ours, theirs)

    def constant(self, results: list) -> str:
        """The message if all results are the same; else "". The right results always differ."""
        if all(self.agree(result, results[0]) for result in results):
            shown = describe_value(results[0])
            return f"it gives the same each time, {shown}: does it look at what it is given?"
        return ""

    def agree(self, given, right) -> bool:
        return never_raises(self.same or close)(given, right)

    def unforeseen(self, words: str) -> str:
        return f"{words} ex.{self.name}.hint() helps"

    def invitation(self) -> str:
        return f"replace the ... and run the cell again ({self.minutes} min). ex.{self.name}.hint()"


def takes(function, arguments: tuple) -> bool:
    """Whether a function can be called with these arguments, according to its signature."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def outcome(function, arguments: tuple):
    """What a function returns for the arguments, or the error that it raises.

    The arguments are copied, so it does no harm if the function changes them.
    """
    try:
        return function(*copy.deepcopy(arguments))
    except Exception as error:
        return error


def never_raises(compare: Callable) -> Callable:
    """Makes a comparison return False for things that cannot be compared."""

    def safe(*things) -> bool:
        try:
            return bool(compare(*things))
        except Exception:
            return False

    return safe


@never_raises
def close(given, right) -> bool:
    """Whether two results are the same: numbers and tensors within 1e-4, other things exactly."""
    if isinstance(right, torch.Tensor):
        given = torch.as_tensor(given)
        if given.shape != right.shape:
            return False
        return torch.allclose(given.double(), right.double(), atol=1e-4, equal_nan=True)
    if isinstance(right, (tuple, list)) and isinstance(given, (tuple, list)):
        return len(given) == len(right) and all(map(close, given, right))
    if isinstance(right, float):
        return math.isclose(float(given), right, rel_tol=1e-4, abs_tol=1e-4)
    if isinstance(given, torch.Tensor) and given.dim() == 0:
        given = given.item()
    return given == right


@never_raises
def is_number(value) -> bool:
    return value.dim() == 0 if isinstance(value, torch.Tensor) else isinstance(value, numbers.Real)


def difference(given, right) -> str:
    """How a result differs from the right one, in a sentence or two."""
    if isinstance(right, torch.Tensor):
        seen = as_tensor(given)
        if seen is None or seen.dim() < 1 <= right.dim():
            return f"it gives {describe_value(given)}; a tensor {tuple(right.shape)} is expected."
        if seen.shape != right.shape:
            return f"the shape is {tuple(seen.shape)}; {tuple(right.shape)} is expected."
        if seen.is_floating_point() and seen.isnan().any() and not right.isnan().any():
            return "there are NaNs in it: was a row of -inf everywhere, or 0 divided by 0?"
        off = (seen.double() - right.double()).abs()
        place = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
        ours, wanted = told_apart(seen[place].item(), right[place].item())
        if not place:
            return f"it gives {ours}; {wanted} is expected."
        return (
            f"the shape is right, the numbers are not: at {place} it has {ours}, and {wanted} is "
            "expected."
        )
    if isinstance(right, (tuple, list)) and isinstance(given, (tuple, list)):
        if len(given) != len(right):
            return f"it has {len(given)} items; {len(right)} are expected."
        pairs = list(zip(given, right, strict=True))
        wrong = next(i for i, pair in enumerate(pairs) if not close(*pair))
        return f"item {wrong} differs: {difference(*pairs[wrong])}"
    if isinstance(right, float) and is_number(given):
        ours, wanted = told_apart(float(given), right)
        return f"it gives {ours}; {wanted} is expected."
    return f"it gives {describe_value(given)}; {describe_value(right)} is expected."


def as_tensor(given):
    """A result as a tensor, if it can be read as one; else None."""
    try:
        return torch.as_tensor(given)
    except Exception:  # it cannot become a tensor
        return None


def told_apart(given: float, right: float) -> tuple[str, str]:
    """Two numbers with 4 digits, or with more if they would look the same."""
    for digits in range(4, 18):
        ours, wanted = f"{given:.{digits}g}", f"{right:.{digits}g}"
        if ours != wanted:
            break
    return ours, wanted


def describe_value(value) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}" if value.dim() else f"{value.item():.4g}"
    if isinstance(value, (tuple, list)) and any(isinstance(v, torch.Tensor) for v in value):
        return f"a {type(value).__name__} of {len(value)} items"
    words = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return words if len(words) <= 60 else words[:60] + " ..."


def line_of(error: Exception, answer) -> str:
    """The line of the learner's own code that raised an error, if it can be found."""
    own = getattr(getattr(answer, "__code__", None), "co_filename", None)
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    seen = [f for f in frames if f.frame.f_code.co_filename == own]
    mine = [f.code_context[0].strip() for f in seen if f.code_context]
    return f" (in: {mine[-1]})" if mine else ""


def source_of(thing) -> str:
    """The source of a function or class without its decorators, or the repr of a value."""
    if not callable(thing):
        return repr(thing)
    lines = textwrap.dedent(inspect.getsource(thing)).rstrip().split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith(("def ", "class ")))
    return "\n".join(lines[first:])


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
