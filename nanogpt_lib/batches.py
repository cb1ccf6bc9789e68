"""Cutting a text into batches of windows."""

import torch

from nanogpt_lib.checks import check_sampler


class BatchSampler:
    """Draws batches of windows from random places in a text.

    A call gives x and y, both int64 (batch_size, block_size). y is x one token later: at each
    position, the token that the model should predict.

    ids: integers (N,), also mapped from a file: only what a batch needs is read, and moved to
    `device` (None: where the ids are). The sampler has its own random generator, on the CPU: the
    same seed gives the same batches on every device, whatever else draws random numbers.
    Raises TextError if the text is shorter than one context and its targets.
    """

    def __init__(self, ids, block_size: int, batch_size: int, seed: int = 1337, device=None):
        check_sampler(ids, block_size, batch_size, seed)
        self.ids, self.batch_size, self.device = ids, batch_size, device or ids.device
        self.mine = slice(None)  # the rows to give; one of several processes gives its share
        self.window = torch.arange(block_size + 1)  # a context and its last target
        self.generator = torch.Generator().manual_seed(int(seed))

    def __call__(self) -> tuple[torch.Tensor, torch.Tensor]:
        n = len(self.ids) - len(self.window) + 1  # places where a window can begin
        start = torch.randint(n, (self.batch_size, 1), generator=self.generator)  # (B, 1)
        places = (start[self.mine] + self.window).to(self.ids.device)  # (B, T + 1)
        windows = self.ids[places].to(self.device).long()  # (B, T + 1)
        return windows[:, :-1], windows[:, 1:]  # (B, T), (B, T)
