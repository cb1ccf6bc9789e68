"""What is refused, and in which words: texts and settings that cannot work.

The dataclasses of `model` and `training` show what can be set. What makes no sense there is
refused here, once.
"""

import math
from numbers import Integral, Real


class TextError(ValueError):
    """A text that cannot be trained on; the message says why and what to do."""


def whole(settings, *names: str, least: int = 1) -> None:
    """Raises ValueError unless these settings are whole numbers from `least` up.

    NumPy's numbers become plain ones: a checkpoint can hold nothing else safely.
    """
    for name in names:
        value = getattr(settings, name)
        if not (isinstance(value, Integral) and value >= least):
            raise ValueError(f"{name} must be a whole number from {least} up, not {value!r}")
        setattr(settings, name, int(value))


def positive(settings, *names: str) -> None:
    """Raises ValueError unless these settings are finite numbers above 0."""
    for name in names:
        value = number(settings, name)
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a number above 0, not {value}")


def not_negative(settings, *names: str) -> None:
    """Raises ValueError unless these settings are finite numbers from 0 up."""
    for name in names:
        value = number(settings, name)
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must not be negative: {value}")


def share(settings, *names: str) -> None:
    """Raises ValueError unless these settings lie in [0, 1)."""
    for name in names:
        value = number(settings, name)
        if not 0.0 <= value < 1.0:
            raise ValueError(f"{name} must lie in [0, 1), not {value}")


def number(settings, name: str) -> float:
    """A setting as a plain number of Python's; raises ValueError for anything else."""
    value = getattr(settings, name)
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, Real):
        raise ValueError(f"{name} must be a number, not {value!r}")
    setattr(settings, name, value)
    return value


def check_model(config) -> None:
    """Raises ValueError for a `model.GPTConfig` that is the shape of no GPT."""
    whole(config, "vocab_size", "block_size", "n_layer", "n_head", "n_embd")
    if config.n_embd % config.n_head:
        raise ValueError(
            f"n_embd ({config.n_embd}) must be a multiple of n_head ({config.n_head}): "
            "the heads share the channels equally"
        )
    share(config, "dropout")
    config.dropout = float(config.dropout)


def check_training(config) -> None:
    """Raises ValueError for a `training.TrainConfig` that nothing can be trained with."""
    whole(config, "batch_size", "eval_interval")
    for name in ("grad_accum", "eval_batches"):
        if getattr(config, name) is not None:
            whole(config, name)
    whole(config, "max_steps", "warmup_steps", least=0)
    positive(config, "learning_rate", "grad_clip")
    not_negative(config, "min_lr", "weight_decay", "beta1", "beta2")
    if config.max_seconds is not None:
        not_negative(config, "max_seconds")
    whole(config, "seed", least=-(2**63))
    if config.seed >= 2**63:
        raise ValueError(f"seed must be a whole number below 2**63, not {config.seed}")
    if config.grad_accum and config.grad_accum > config.batch_size:
        raise ValueError(
            f"grad_accum ({config.grad_accum}) cannot exceed batch_size ({config.batch_size}): "
            "a part of a batch is at least one sequence"
        )
