"""Calling a learner's function: whether it can be called, what it gives, and what it used."""

import copy
import inspect
import textwrap
from collections.abc import Callable

from torch.overrides import TorchFunctionMode


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


def outcome(function, arguments: tuple, call: Callable | None = None):
    """What a function returns for the arguments, or the error that it raises.

    The arguments are copied, so it does no harm if the function changes them. call: makes the call,
    such as `patiently`.
    """
    copied = copy.deepcopy(arguments)
    try:
        return call(function, copied) if call else function(*copied)
    except KeyboardInterrupt:  # the stop button, while the library's own code runs
        raise
    except BaseException as error:  # exit() raises one that is no Exception
        return error


class Listener(TorchFunctionMode):
    """Notes the names of PyTorch's functions that are called, under whatever name they were."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def line_of(error: BaseException, answer) -> str:
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
