"""How much memory a training needs, how much is free, and which presets fit."""

from contextlib import contextmanager

import torch

from nanogpt_lib.machine.gradients import OutOfMemory, is_out_of_memory
from nanogpt_lib.machine.host import free_memory
from nanogpt_lib.model import GPTConfig
from nanogpt_lib.modern.model import ModernConfig
from nanogpt_lib.runs.presets import PRESETS

MIB = 2**20


def needed(size: GPTConfig | ModernConfig) -> int:
    """The bytes that a training needs at least, about: one sequence at a time, in float32.

    A weight takes 16 bytes (itself, its gradient, Adam's two moments), and 36 more while a
    checkpoint is written, which takes three copies of weights and moments. What a sequence keeps
    for the backward pass: Korthikanti et al. 2022, arXiv:2205.05198, section 4.1, twice, since
    they count in half precision.
    """
    C, T = size.n_embd, size.block_size
    weights = 12 * size.n_layer * C * C + (size.vocab_size + T) * C
    sequence = size.n_layer * T * (68 * C + 10 * size.n_head * T) + 12 * T * size.vocab_size
    return 52 * weights + sequence


def fitting(free: int) -> list[str]:
    """The names of the presets that can be trained with so many bytes, the smallest first."""
    return [name for name, preset in PRESETS.items() if needed(preset.model) <= free]


def free_on(device: torch.device) -> int:
    """The bytes that are free where a run computes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()


def sentence(size: GPTConfig | ModernConfig, free: int) -> str:
    """What is said if the memory was too small: how much is missing, and what fits.

    free: the bytes that were free before the run began.
    """
    need = needed(size)
    missing = f"about {(need - free) / MIB:,.0f} MiB are missing"
    if need <= free:
        missing = "something else took the rest"
    names = ", ".join(fitting(min(free, need - 1)))
    what = f"What fits: {names} (on the command line --preset)" if names else "No preset fits"
    return (
        f"not enough memory: this model needs about {need / MIB:,.0f} MiB, even with one sequence "
        f"at a time, and {free / MIB:,.0f} MiB were free: {missing}. {what}. Or close other "
        "programs"
    )


@contextmanager
def told(size: GPTConfig | ModernConfig, device: torch.device):
    """Turns an error about memory inside the block into an OutOfMemory with the numbers."""
    free = free_on(device)
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(sentence(size, free)) from error
