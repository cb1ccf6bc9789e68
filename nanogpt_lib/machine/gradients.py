"""The gradients of a batch that may be too large for the memory, and a faster way to get them.

The plain form does not need this module: `_, loss = model(x, y)` and `loss.backward()`, as in
`training.step`. This module cuts a batch into parts, repeats a step that ran out of memory, and
compiles the model.
"""

import ctypes
import math
import sys
from collections.abc import Callable
from contextlib import suppress

import torch

from nanogpt_lib.machine.processes import ranks

# On a CPU a batch is cut until its widest layer holds at most this many numbers: 8 MB of float32.
CACHED = 2_000_000

# Of CUDA, Apple's GPUs, PyTorch on a CPU, oneDNN (which computes there), C++ and CUDA's libraries.
NO_MEMORY = (
    *("out of memory", "not enough memory", "allocate memory", "could not create a primitive"),
    *("could not create a memory", "could not execute a primitive", "bad_alloc", "alloc_failed"),
)
MODEL_TOO_LARGE = (
    "not enough memory for this model, even with one sequence at a time: take a smaller model, or "
    "close other programs"
)


class OutOfMemory(RuntimeError):
    """Memory ran out, and computing fewer sequences at once does not help."""


def cut(x: torch.Tensor, y: torch.Tensor, n: int | None):
    """A batch in about n parts, whole if n is None: pairs of int64 (at most ceil(B / n), T)."""
    size = math.ceil(len(x) / (n or 1))  # sequences computed at once
    return zip(x.split(size), y.split(size), strict=True)


def until_it_fits(step: Callable, run) -> None:
    """Does a step of `training`. If memory runs out, it repeats the step in parts half as large.

    The batch stays the same, but dropout is drawn again. Raises OutOfMemory if a part is already
    a single sequence, if the weights may have changed, or if several processes train together. If
    another of them is lost, the step is undone, and the run will stop.
    """
    place = run.sampler.generator.get_state()
    while True:
        run.grad_norm = None
        try:
            return step(run)
        except (RuntimeError, MemoryError) as error:
            too_late = run.grad_norm is not None  # the optimiser has begun
            if ranks() > 1 and not too_late and run.agree.let_go(error):
                run.sampler.generator.set_state(place)
                return
            smallest = run.config.grad_accum >= run.config.batch_size
            if not is_out_of_memory(error):
                raise
            if too_late or smallest or ranks() > 1:  # the others cannot repeat it
                raise OutOfMemory(MODEL_TOO_LARGE) from error
        run.sampler.generator.set_state(place)
        run.optimizer.zero_grad(set_to_none=True)
        run.config.grad_accum = min(2 * run.config.grad_accum, run.config.batch_size)
        print(f"Not enough memory: computing each batch in {run.config.grad_accum} parts from now")
        give_back()


def give_back() -> None:
    """Gives freed memory back to the system, now and from now on.

    PyTorch and the C library keep freed memory for later, in pieces that are soon too small for a
    large block or a file. GNU's C library can be told to keep small blocks only.
    """
    torch.cuda.empty_cache()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            c = ctypes.CDLL(None)
            c.mallopt(-3, 2**18)  # M_MMAP_THRESHOLD: the largest block, in bytes, that is kept
            c.malloc_trim(0)


def loss_of(model, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean loss of a batch without gradients; in halves if it does not fit the memory."""
    try:
        return model(x.long(), y.long())[1]
    except (RuntimeError, MemoryError) as error:
        if len(x) == 1 or not is_out_of_memory(error):
            raise
    give_back()
    half = len(x) // 2
    first, second = loss_of(model, x[:half], y[:half]), loss_of(model, x[half:], y[half:])
    return first * (half / len(x)) + second * (1 - half / len(x))


def in_halves(work: Callable[[range], list], rows: range) -> list:
    """The results of work(rows), one a row; of both halves in turn if memory runs out."""
    try:
        return work(rows)
    except (RuntimeError, MemoryError) as error:
        if len(rows) <= 1 or not is_out_of_memory(error):
            raise
    give_back()
    half = len(rows) // 2
    return in_halves(work, rows[:half]) + in_halves(work, rows[half:])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out. Each device has its own words for it."""
    words = str(error).lower()
    return isinstance(error, (MemoryError, OutOfMemory)) or any(w in words for w in NO_MEMORY)


def parts(size, batch_size: int, device: torch.device) -> int:
    """The best number of parts for a batch: 1, 2, 4, ... ("gradient accumulation").

    size: a config with block_size and n_embd.

    A GPU is fastest with the whole batch. A CPU is fastest while a layer's activations are small:
    large blocks of memory go back to the system after each use, and getting them again costs more
    than the cut. In 16 parts a `workshop` step takes a fifth of the memory and less time
    (docs/PERFORMANCE.md). Apart from dropout, the gradient is the same up to rounding.
    """
    numbers = batch_size * size.block_size * 4 * size.n_embd  # the widest layer's activations
    n = 1
    while device.type == "cpu" and numbers / n > CACHED and 2 * n <= batch_size:
        n *= 2
    return n


def compiled(run):
    """The model through torch.compile if that works here, else the model itself."""
    try:
        fast = torch.compile(run.model)
        part = math.ceil(run.config.batch_size / run.config.grad_accum)
        x = run.train_ids[: run.model.config.block_size].long().repeat(part, 1)  # as in training
        with torch.random.fork_rng(devices=[]), run.compute.autocast():  # leaves no trace
            fast(x, x)[1].backward()  # compilation happens at the first use
        run.optimizer.zero_grad(set_to_none=True)
        return fast
    except Exception as error:  # no C++ compiler, an old GPU, an unsupported Python, ...
        run.optimizer.zero_grad(set_to_none=True)
        print(f"torch.compile does not work here, going on without it: {type(error).__name__}")
        return run.model
