"""Comparing what checkpoints hold; used by the tests of saving and of resuming."""

import torch


def same(one, two) -> bool:
    """Whether two snapshots hold the same, every tensor bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two
