"""A call with what it gave and what was expected, where all of it is small."""

from dataclasses import MISSING, fields, is_dataclass

import torch

from nanogpt_lib.course.exercises.comparing import as_tensor

CALL, RESULT = 120, 130  # characters that are still read at a glance
LINE = 96  # what is longer has a line for each part
DIGITS = 4


def example(name: str, arguments: tuple, given, right) -> str:
    """ "NAME(...) gave ..., expected ...", or "" if that would be long."""
    call = f"{name}({', '.join(map(shown, arguments))})"
    expected = shown(right)
    gave = "" if isinstance(given, BaseException) else shown(given)
    if gave == expected or len(call) > CALL or max(len(gave), len(expected)) > RESULT:
        return ""
    if not gave:
        return f"{call}: expected {expected}"
    words = f"{call} gave {gave}, expected {expected}"
    return words if len(words) <= LINE else f"{call}\n    gave     {gave}\n    expected {expected}"


def shown(value) -> str:
    """A value as Python would write it, with few digits; long where that would be unreadable."""
    if isinstance(value, torch.Tensor):
        seen = as_tensor(value)
        if seen is None or seen.numel() > CALL:
            return RESULT * "long"
        return f"tensor({shown(seen.tolist())})"
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]" if len(value) <= CALL else RESULT * "long"
    if isinstance(value, tuple):
        comma = "," if len(value) == 1 else ""
        return f"({', '.join(map(shown, value))}{comma})"
    if is_dataclass(value) and not isinstance(value, type):
        return of_settings(value)
    if isinstance(value, (int, str, dict)) or hasattr(value, "tolist"):
        return " ".join(repr(value).split())
    return RESULT * "long"  # a function, an object: nothing that helps


def of_settings(value) -> str:
    """A dataclass with those of its fields alone that are not as they always are."""
    changed = {}
    for field in fields(value):
        now = getattr(value, field.name)
        if field.default is MISSING or now != field.default:
            changed[field.name] = now
    inside = ", ".join(f"{name}={shown(now)}" for name, now in changed.items())
    return f"{type(value).__name__}({inside})"
