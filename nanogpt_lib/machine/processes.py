"""Several processes train one model, on one machine or on many.

`torchrun` starts them and tells each its number, its rank. All draw the same batch, since they have
the same seed, and each computes its rows of it. PyTorch's DistributedDataParallel averages the
gradients during the backward pass, so all make the same step, and all models stay equal. Rank 0
alone writes: records, samples and checkpoints. Source: Li et al. 2020, arXiv:2006.15704.

`training.train` does not know of this. It asks `run.forward`, `run.sampler` and `run.agree`, and
`together` puts into their places what belongs to several processes.
"""

import os
import sys
from contextlib import contextmanager, nullcontext

LOST = ("connection closed", "connection reset", "broken pipe", "gloo", "nccl", "socket")


class ProcessLost(RuntimeError):
    """Another process of the run has ended before the run did."""


def rank() -> int:
    """The number of this process, from 0; 0 if it is the only one."""
    return int(os.environ.get("RANK", 0)) if ranks() > 1 else 0


def ranks() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "MASTER_ADDR" in os.environ else 1


def take_gpu() -> None:
    """Makes the GPU of this process the one that "cuda" means. Call it before anything is there."""
    import torch

    if ranks() > 1 and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def check_alone(option: str) -> None:
    """Raises ValueError for what several processes cannot do."""
    if ranks() > 1:
        raise ValueError(f"{option} is for one process: with torchrun name --steps instead")


@contextmanager
def together(run):
    """Inside, this run is one of those that train together. A single process stays as it is.

    Raises ValueError if the batch cannot be shared out equally, and ProcessLost at the end if
    another process was lost meanwhile: `train` has then ended, and rank 0 has saved.
    """
    if ranks() == 1:
        yield
        return
    from torch import distributed

    share(run)
    cuda = run.compute.device.type == "cuda"
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        run.forward = Forward(run)
        run.agree = Agreement(run)
        yield
        if run.agree.lost:
            raise ProcessLost(f"the run ended at step {run.step:,}, as another process was lost")
    finally:
        run.forward, run.agree = run.model, type(run).agree
        distributed.destroy_process_group()


def share(run) -> None:
    """Gives this process its rows of each batch, and random numbers of its own for dropout."""
    import torch

    rows, rest = divmod(run.config.batch_size, ranks())
    if rest:
        raise ValueError(
            f"batch_size ({run.config.batch_size}) must be a multiple of the number of processes "
            f"({ranks()}): each takes an equal share of the batch"
        )
    run.sampler.mine = slice(rank() * rows, (rank() + 1) * rows)
    run.config.grad_accum = min(run.config.grad_accum, rows)
    if rank():  # rank 0 goes on with the random numbers of its checkpoint
        torch.manual_seed(hash((run.config.seed, rank(), run.step)) % 2**63)


class Forward:
    """The model in DistributedDataParallel. The gradients of a batch in parts are averaged once."""

    def __init__(self, run):
        from torch.nn.parallel import DistributedDataParallel

        self.model = DistributedDataParallel(run.forward)
        self.rows, self.seen = run.config.batch_size // ranks(), 0

    def __call__(self, x, y):
        self.seen = (self.seen + len(x)) % self.rows
        with self.model.no_sync() if self.seen else nullcontext():  # at 0 the batch is complete
            return self.model(x, y)


class Agreement:
    """Before each step: rank 0's clock, and whether anybody wants to stop, known to all.

    Otherwise one process would stop, and the others would wait for its gradients.
    """

    def __init__(self, run):
        self.run, self.lost = run, False

    def __call__(self, seconds: float, stopping: bool) -> tuple[float, bool]:
        import torch
        from torch import distributed

        if self.lost:
            return seconds, True
        said = torch.tensor([0.0 if rank() else seconds, float(stopping)], dtype=torch.float64)
        try:
            distributed.all_reduce(said)
        except RuntimeError as error:
            self.let_go(error)
            return seconds, True
        return said[0].item(), said[1].item() > 0

    def let_go(self, error: BaseException) -> bool:
        """Whether this error says that another process is lost. Then the run stops here."""
        if ranks() > 1 and any(word in str(error).lower() for word in LOST):
            self.lost = True
            what = "Ending" if rank() else f"Saving step {self.run.step:,}, and ending"
            print(
                f"\nAnother process of this run has ended. {what}: `resume` goes on from what was "
                "saved, with any number of processes",
                file=sys.stderr,
                flush=True,
            )
        return self.lost
