"""Cutting a text into batches of windows."""

import torch

from nanogpt_lib.checks import check_sampler


class BatchSampler:
    """Draws batches of windows from random places in a text.

    A call gives x and y, both int64 (batch_size, block_size). y is x one token later: at each
    position, the token that the model should predict.

    ids: integers (N,), already on the device that trains. A megabyte of text fits anywhere, so
    there are no workers and no queues. The sampler has its own random generator, on the CPU: the
    same seed gives the same batches on every device, whatever else draws random numbers.
    Raises TextError if the text is shorter than one context and its targets.
    """

    def __init__(self, ids: torch.Tensor, block_size: int, batch_size: int, seed: int = 1337):
        check_sampler(ids, block_size, batch_size, seed)
        self.ids = ids
        self.batch_size = batch_size
        self.window = torch.arange(block_size + 1)  # a context and its last target
        self.generator = torch.Generator().manual_seed(int(seed))

    def __call__(self) -> tuple[torch.Tensor, torch.Tensor]:
        places = len(self.ids) - len(self.window) + 1
        start = torch.randint(places, (self.batch_size, 1), generator=self.generator)  # (B, 1)
        windows = self.ids[(start + self.window).to(self.ids.device)].long()  # (B, T + 1)
        return windows[:, :-1], windows[:, 1:]  # (B, T), (B, T)
