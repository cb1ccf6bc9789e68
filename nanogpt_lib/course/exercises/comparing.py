"""How an answer is read and compared: by its numbers, in whatever form they come.

A tensor may live on another device, or be in half precision; a list may be an array; a pair may
be one stacked tensor; a number may be a Decimal, or an array that holds nothing else.
"""

import math
import numbers
from collections.abc import Callable, Iterator
from decimal import Decimal

import torch

SHORT = 60  # characters of a value in a sentence


def never_raises(compare: Callable) -> Callable:
    """Makes a comparison return False for things that cannot be compared."""

    def safe(*things) -> bool:
        try:
            return bool(compare(*things))
        except Exception:
            return False

    return safe


def as_tensor(given) -> torch.Tensor | None:
    """A result as a tensor on the CPU, if it can be read as one; else None."""
    try:
        seen = torch.as_tensor(given).detach()
        seen = seen.to_dense().cpu() if seen.layout != torch.strided else seen.cpu()
        return None if seen.device.type == "meta" else seen
    except Exception:  # it cannot become a tensor, or has no numbers
        return None


def as_number(given):
    """A number as it is, or out of an array or list that holds nothing else; else None."""
    if isinstance(given, (list, tuple)) and len(given) == 1:
        given = given[0]
    if hasattr(given, "item") and not isinstance(given, numbers.Number):
        try:
            given = given.item()  # of an array or a tensor with one number in it
        except Exception:
            return None
    if isinstance(given, Decimal):
        given = float(given)
    return given if isinstance(given, numbers.Real) and not isinstance(given, bool) else None


@never_raises
def is_number(value) -> bool:
    return as_number(value) is not None


def tolerance(given: torch.Tensor, right: torch.Tensor) -> float:
    """How far two numbers may be apart: 1e-4, or what half precision loses on the way."""
    if given.dtype not in (torch.float16, torch.bfloat16):
        return 1e-4
    largest = right[right.isfinite()].abs().max().item() if right.isfinite().any() else 0.0
    return max(1e-4, 4 * torch.finfo(given.dtype).eps * max(largest, 0.25))


@never_raises
def close(given, right) -> bool:
    """Whether two results are the same: numbers and tensors within 1e-4, other things exactly."""
    if isinstance(right, torch.Tensor):
        given = as_tensor(given)
        if given.numel() == right.numel() == 1:
            given = given.reshape(right.shape)
        if given.shape != right.shape or given.is_complex() or right.is_complex():
            return torch.equal(given, right)
        off = tolerance(given, right)
        return torch.allclose(given.double(), right.double(), 1e-5, off, equal_nan=True)
    if isinstance(right, (tuple, list)) and hasattr(given, "tolist") and len(given.shape) > 0:
        given = list(given)  # a stacked tensor, or an array
    if isinstance(right, (tuple, list)) and isinstance(given, (tuple, list)):
        return len(given) == len(right) and all(map(close, given, right))
    if isinstance(right, float):
        off = tolerance(given, torch.tensor(right)) if isinstance(given, torch.Tensor) else 1e-4
        return math.isclose(as_number(given), right, rel_tol=1e-4, abs_tol=off)
    if isinstance(right, numbers.Number) and is_number(given):
        given = as_number(given)
    return given == right


def kept_apart(given, right) -> str:
    """What makes a result unreadable, in a sentence that says what to change; else ""."""
    if isinstance(given, torch.Tensor) and given.device.type == "meta":
        return (
            "it is on the device 'meta', where tensors have a shape and no numbers: make it where "
            "the input is, with device=x.device"
        )
    if isinstance(given, str) and isinstance(right, (numbers.Number, torch.Tensor)):
        return f"it gives text, {describe_value(given)}: return the number itself, without str()"
    if isinstance(given, Iterator):
        return (
            f"it gives a {type(given).__name__}, which hands out its items one at a time: put "
            "list(...) around it"
        )
    return ""


def difference(given, right) -> str:
    """How a result differs from the right one, in a sentence or two."""
    if isinstance(right, torch.Tensor):
        return of_tensors(given, right)
    if isinstance(right, (tuple, list)) and isinstance(given, (tuple, list)):
        if len(given) != len(right):
            return f"it has {len(given)} items; {len(right)} are expected."
        pairs = list(zip(given, right, strict=True))
        wrong = next((i for i, pair in enumerate(pairs) if not close(*pair)), 0)
        return f"item {wrong} differs: {difference(*pairs[wrong])}"
    if isinstance(right, float) and is_number(given):
        ours, wanted = told_apart(float(as_number(given)), right)
        return f"it gives {ours}; {wanted} is expected."
    return f"it gives {describe_value(given)}; {describe_value(right)} is expected."


def of_tensors(given, right: torch.Tensor) -> str:
    seen = as_tensor(given)
    if seen is None or seen.dim() < 1 <= right.dim():
        return f"it gives {describe_value(given)}; a tensor {tuple(right.shape)} is expected."
    if seen.shape != right.shape:
        return f"the shape is {tuple(seen.shape)}; {tuple(right.shape)} is expected."
    if seen.is_complex():
        return "it gives complex numbers; real ones are expected."
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


def told_apart(given: float, right: float) -> tuple[str, str]:
    """Two numbers with 4 digits, or with more if they would look the same."""
    for digits in range(4, 18):
        ours, wanted = f"{given:.{digits}g}", f"{right:.{digits}g}"
        if ours != wanted:
            break
    return ours, wanted


def describe_value(value) -> str:
    if isinstance(value, torch.Tensor):
        one = value.dim() == 0 and value.device.type != "meta"
        return f"{value.item():.4g}" if one else f"a tensor {tuple(value.shape)}"
    if isinstance(value, (tuple, list)) and any(isinstance(v, torch.Tensor) for v in value):
        return f"a {type(value).__name__} of {len(value)} items"
    words = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return words if len(words) <= SHORT else words[:SHORT] + " ..."
