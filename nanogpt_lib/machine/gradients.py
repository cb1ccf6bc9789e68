"""The gradients of a batch that may be too large for the memory, and a faster way to get them.

The plain form does not need this module: `_, loss = model(x, y)` and `loss.backward()`, as in
`training.step`. This module cuts a batch into parts, repeats a step that ran out of memory, and
compiles the model.
"""

import math
from collections.abc import Callable

import torch

# On a CPU a batch is cut until its widest layer holds at most this many numbers: 8 MB of float32.
CACHED = 2_000_000


def cut(x: torch.Tensor, y: torch.Tensor, n: int | None):
    """A batch in about n parts, whole if n is None: pairs of int64 (at most ceil(B / n), T)."""
    size = math.ceil(len(x) / (n or 1))  # sequences computed at once
    return zip(x.split(size), y.split(size), strict=True)


def until_it_fits(step: Callable, run) -> None:
    """Does a step of `training`. If memory runs out, it repeats the step in parts half as large.

    The batch stays the same, but dropout is drawn again. Raises the error if a part is already a
    single sequence, or if the weights may have changed.
    """
    place = run.sampler.generator.get_state()
    while True:
        run.grad_norm = None
        try:
            return step(run)
        except RuntimeError as error:
            too_late = run.grad_norm is not None  # the optimiser has begun
            smallest = run.config.grad_accum >= run.config.batch_size
            if too_late or smallest or not is_out_of_memory(error):
                raise
        run.sampler.generator.set_state(place)
        run.optimizer.zero_grad(set_to_none=True)
        run.config.grad_accum = min(2 * run.config.grad_accum, run.config.batch_size)
        print(f"Not enough memory: computing each batch in {run.config.grad_accum} parts from now")
        torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch's error says that memory ran out. Each device has its own words for it."""
    words = str(error).lower()
    return any(w in words for w in ("out of memory", "not enough memory", "allocate memory"))


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
