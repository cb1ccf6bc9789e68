"""The families of models that a checkpoint can hold: one table from a name to its classes.

Loading, resuming, sampling and export go through it. Nothing else knows which families there are.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.modern.model import ModernConfig, ModernGPT


@dataclass(frozen=True)
class Family:
    """A kind of model: `model(config(...))` makes one."""

    config: type
    model: type
    optimizer: str  # the name of the class that `training.make_optimizer` gives it


FAMILIES = {
    "gpt": Family(GPTConfig, GPT, "AdamW"),
    "modern": Family(ModernConfig, ModernGPT, "MuonAdam"),
}


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


def of(config: Any) -> Family:
    """The family of a model's config."""
    return next(family for family in FAMILIES.values() if isinstance(config, family.config))


def check_plain(model: nn.Module, what: str) -> None:
    """Raises ValueError unless this is the plain GPT, the only one that `what` knows."""
    if name_of(model) != "gpt":
        raise ValueError(
            f"{what} knows the plain GPT alone, and this is a model of the family "
            f"{name_of(model)}: `nanogpt sample`, `resume` and `serve` work with it"
        )


def shapes(name: str, config: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every weight that such a model has, by its name. It takes no memory."""
    with torch.device("meta"):  # tensors that have a shape and no numbers
        model = find(name).model(config)
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}
