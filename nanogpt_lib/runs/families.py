"""The families of models that a checkpoint can hold: one table from a name to its classes.

Loading, resuming, sampling and export go through it. Nothing else knows which families there are.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nanogpt_lib.model import GPT, GPTConfig


@dataclass(frozen=True)
class Family:
    """A kind of model: `model(config(...))` makes one."""

    config: type
    model: type


FAMILIES = {"gpt": Family(GPTConfig, GPT)}


def name_of(model: nn.Module) -> str:
    """The name of a model's family. Raises ValueError if it has none."""
    for name, family in FAMILIES.items():
        if isinstance(model, family.model):
            return name
    raise ValueError(
        f"a {type(model).__name__} cannot be saved: its family is not one of {', '.join(FAMILIES)}"
    )


def find(name: str) -> Family:
    """The family of this name. Raises ValueError if there is none."""
    if name not in FAMILIES:
        raise ValueError(
            f"this version knows no model of the family {name!r}, only {', '.join(FAMILIES)}: use "
            "the version that trained the model"
        )
    return FAMILIES[name]


def shapes(name: str, config: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every weight that such a model has, by its name. It takes no memory."""
    with torch.device("meta"):  # tensors that have a shape and no numbers
        model = find(name).model(config)
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}
