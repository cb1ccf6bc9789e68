"""What `check` hands back: a function that the next cells of a notebook can call."""

import functools

import torch

from nanogpt_lib.course.exercises.comparing import as_number, as_tensor


class Handed:
    """The learner's function if it is right, else the library's; `given` is the learner's.

    Results come in the form that the library's have, so that what follows works with an array as
    well as with a list. As the last line of a cell it shows nothing: the check has said it all.
    """

    def __init__(self, function, given, like):
        functools.update_wrapper(self, function)
        self.function, self.given, self.like = function, given, like

    def __call__(self, *arguments, **named):
        given = (*arguments, *named.values())
        device = next((a.device for a in given if isinstance(a, torch.Tensor)), None)
        return in_the_form_of(self.like, self.function(*arguments, **named), device)

    def __repr__(self) -> str:
        return ""

    def _ipython_display_(self) -> None:
        """Shows nothing in a notebook; an empty repr would leave an empty line."""


def in_the_form_of(right, given, device=None):
    """A result as the kind of thing that the right one is: a tensor, a list, a number."""
    if isinstance(right, torch.Tensor):
        seen = given if isinstance(given, torch.Tensor) else as_tensor(given)
        coarse = seen is not None and seen.dtype != torch.float64 and seen.dtype != right.dtype
        return given if seen is None else seen.to(device, right.dtype if coarse else None)
    if isinstance(right, tuple) and len(given) == len(right):
        return tuple(in_the_form_of(*pair, device) for pair in zip(right, given, strict=True))
    if isinstance(right, list) and right:
        return [in_the_form_of(right[0], item, device) for item in given]
    if isinstance(right, (int, float)) and not isinstance(given, (int, float)):
        number = as_number(given)
        return given if number is None else type(right)(number)
    return given
