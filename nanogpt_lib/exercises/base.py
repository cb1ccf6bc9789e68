"""What an exercise is: a question whose answer is checked, with hints and a solution.

An answer is a function, or a plain value. It is judged by what it gives for a few inputs, next
to what the right answer gives, and next to what known mistakes give: an answer that agrees with a
mistake is told which one it is. Checking never raises, so that "Run all" is never blocked.
"""

import inspect
import math
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

MISSING = (None, ...)  # what an untouched stub gives


class CheckFailed(AssertionError):
    """Raised instead of a message where NANOGPT_STRICT is set, as when the course is tested."""


@dataclass
class Mistake:
    """A wrong answer that people give, and what to tell them."""

    answer: object  # a function like the solution, or a value
    message: str  # what is probably wrong, and where to look


@dataclass
class Exercise:
    """One exercise: `check`, `hint` and `solution`; made by `exercise` or `question`."""

    name: str
    question: str  # in a sentence
    minutes: int
    level: int  # 1 to warm up, 2 to think, 3 to chew on
    answer: object  # the right one, a function or a value; `solution()` shows its source
    inputs: list[tuple] = field(default_factory=list)  # arguments that an answer is tried on
    hints: list[str] = field(default_factory=list)
    library: object = None  # the part of the library that the exercise rebuilds
    same: Callable | None = None  # compares results where "equal within 1e-4" is not what counts
    praise: str = ""  # what the right answer means, told when it is found
    mistakes: list[Mistake] = field(default_factory=list)
    hints_given: int = 0

    def mistake(self, message: str):
        """Catalogues the function below it as a wrong answer, with what to say to it."""

        def catalogue(function):
            self.mistakes.append(Mistake(function, message))
            return function

        return catalogue

    def check(self, answer=None) -> None:
        """Says whether an answer is right and, if it is not, what is probably wrong."""
        status, message = self.judge(answer)
        print(f"{status}: {message}" if message else status)
        if os.environ.get("NANOGPT_STRICT") and status != "Right":
            raise CheckFailed(f"{self.name}: {status}: {message}")

    def hint(self) -> None:
        """Gives one hint more at each call."""
        number = min(self.hints_given, len(self.hints) - 1)
        self.hints_given += 1
        print(f"Hint {number + 1} of {len(self.hints)}: {self.hints[number]}")

    def solution(self) -> None:
        """Shows the solution, and the part of the library that the exercise rebuilds."""
        print(source_of(self.answer))
        if self.library is not None:
            where = self.library.__module__.replace(".", "/")
            print(f"\n# The library's own form, {where}.py: {self.library.__qualname__}")
            print(source_of(self.library))

    def judge(self, answer) -> tuple[str, str]:
        """("Right" | "Not yet" | "Not attempted", what to say about it)."""
        if not callable(self.answer):
            return self.judge_value(answer)
        if not callable(answer):
            if is_missing(answer):
                return "Not attempted", self.invitation()
            return "Not yet", f"pass the function itself: ex.{self.name}.check(my_function)"
        for arguments in self.inputs:
            right = self.answer(*copies(arguments))
            try:
                given = answer(*copies(arguments))
            except NotImplementedError:
                return "Not attempted", self.invitation()
            except Exception as error:
                return "Not yet", f"it raised {type(error).__name__}: {error}{line_of(error)}"
            if is_missing(given):
                return "Not attempted", self.invitation()
            if not self.agree(given, right):
                return "Not yet", self.diagnose(answer, given, right)
        return "Right", self.praise

    def judge_value(self, answer) -> tuple[str, str]:
        if is_missing(answer):
            return "Not attempted", self.invitation()
        if self.agree(answer, self.answer):
            return "Right", self.praise
        for mistake in self.mistakes:
            if self.agree(answer, mistake.answer):
                return "Not yet", mistake.message
        return "Not yet", f"{describe_value(answer)} is not it. ex.{self.name}.hint() helps"

    def diagnose(self, answer, given, right) -> str:
        """The most telling thing that is wrong: a known mistake, else a shape, else a value."""
        for mistake in self.mistakes:
            if all(self.behaves_like(answer, mistake.answer, args) for args in self.inputs):
                return mistake.message
        return difference(given, right) + f" ex.{self.name}.hint() helps"

    def behaves_like(self, answer, wrong, arguments) -> bool:
        try:
            return self.agree(answer(*copies(arguments)), wrong(*copies(arguments)))
        except Exception:  # one of them fails on this input: not this mistake
            return False

    def agree(self, given, right) -> bool:
        try:
            return bool((self.same or close)(given, right))
        except Exception:  # of another kind altogether
            return False

    def invitation(self) -> str:
        return f"replace the ... and run the cell again ({self.minutes} min). ex.{self.name}.hint()"


def is_missing(value) -> bool:
    return any(value is nothing for nothing in MISSING)


def copies(arguments: tuple) -> list:
    """Fresh tensors for each call: an answer that changes its input harms nobody."""
    return [a.clone() if isinstance(a, torch.Tensor) else a for a in arguments]


def close(given, right) -> bool:
    """Whether two results are the same: numbers and tensors within 1e-4, all else exactly."""
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


def difference(given, right) -> str:
    """What distinguishes a result from the right one, in a sentence or two."""
    if isinstance(right, torch.Tensor):
        if not isinstance(given, torch.Tensor):
            return f"it gives a {type(given).__name__}; a tensor {tuple(right.shape)} is expected."
        if given.shape != right.shape:
            return f"the shape is {tuple(given.shape)}; {tuple(right.shape)} is expected."
        if given.is_floating_point() and given.isnan().any() and not right.isnan().any():
            return "there are NaNs in it: was a row of -inf everywhere, or 0 divided by 0?"
        off = (given.double() - right.double()).abs()
        place = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
        return (
            f"the shape is right, the numbers are not: at {place} it has "
            f"{given[place].item():.4g}, and {right[place].item():.4g} is expected."
        )
    if isinstance(right, (tuple, list)) and isinstance(given, (tuple, list)):
        if len(given) != len(right):
            return f"it has {len(given)} items; {len(right)} are expected."
        wrong = next(
            i for i, (g, r) in enumerate(zip(given, right, strict=True)) if not close(g, r)
        )
        return f"item {wrong} differs: {difference(given[wrong], right[wrong])}"
    return f"it gives {describe_value(given)}; {describe_value(right)} is expected."


def describe_value(value) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}" if value.dim() else f"{value.item():.4g}"
    words = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return words if len(words) <= 60 else words[:60] + " ..."


def line_of(error: Exception) -> str:
    """The learner's own line in which an error arose, if it can be seen."""
    frames = inspect.getinnerframes(error.__traceback__)
    code = frames[-1].code_context if frames else None
    return f" (in: {code[0].strip()})" if code else ""


def source_of(thing) -> str:
    """The source of a function or class without its decorators; of a value, how it is written."""
    if not callable(thing):
        return repr(thing)
    lines = textwrap.dedent(inspect.getsource(thing)).rstrip().split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith(("def ", "class ")))
    return "\n".join(lines[first:])


def exercise(**fields):
    """Turns the function below it, the right answer, into an Exercise of that name."""

    def make(function) -> Exercise:
        return Exercise(name=function.__name__, answer=function, **fields)

    return make


def question(name: str, answer, mistakes: dict | None = None, **fields) -> Exercise:
    """An Exercise whose answer is a value; mistakes: {wrong value: what to say to it}."""
    wrong = [Mistake(value, message) for value, message in (mistakes or {}).items()]
    return Exercise(name=name, answer=answer, mistakes=wrong, **fields)
