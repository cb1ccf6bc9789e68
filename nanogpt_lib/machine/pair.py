"""Two threads share each batch on a CPU: data parallelism within one process.

Left alone, PyTorch gives every operation to all cores, and after each of the hundreds in a step
the cores wait for one another. Here each thread takes half of the sequences all the way from the
embedding to the gradient, with half of the cores; they meet once, where the gradients are added.
Between GPUs the same is called distributed data parallel (Li et al. 2020, arXiv:2006.15704).
"""

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import torch


class Pair:
    """The calling thread and a helper, each with half of the cores, inside `with Pair() as pair`.

    active: False leaves all to the calling thread, for where two do not pay.
    """

    def __init__(self, active: bool = True):
        self.active = active

    def __enter__(self):
        self.cores = torch.get_num_threads()
        if self.active:
            half = max(1, self.cores // 2)
            # How many cores a thread uses is its own affair: each has to be told.
            self.helper = ThreadPoolExecutor(1, "half of a batch", torch.set_num_threads, (half,))
            torch.set_num_threads(half)
        return self

    def __exit__(self, *error):
        if self.active:
            self.helper.shutdown()
            torch.set_num_threads(self.cores)

    def __call__(self, work, x, y) -> list:
        """Calls `work(x, y)` for both halves of a batch at once; returns both results.

        x, y: tensors whose first dimension counts the sequences. A single one is not cut.
        """
        if not self.active or len(x) < 2:
            return [work(x, y)]
        (my_x, its_x), (my_y, its_y) = x.tensor_split(2), y.tensor_split(2)
        its = self.helper.submit(work, its_x, its_y)
        try:
            mine = work(my_x, my_y)
        finally:
            wait([its])  # if mine failed, its memory should be free before anything is tried anew
        return [mine, its.result()]

    @contextmanager
    def apart(self):
        """All cores for the calling thread, for a while."""
        mine = torch.get_num_threads()
        torch.set_num_threads(self.cores)
        yield
        torch.set_num_threads(mine)


def two_pay(run) -> bool:
    """Whether a run trains faster in two threads, and the same at each repetition.

    Dropout draws from one set of dice, in whichever order the threads come to it.
    """
    on_cpu = run.compute.device.type == "cpu" and torch.get_num_threads() > 1
    return on_cpu and run.model.config.dropout == 0 and not run.config.compile
