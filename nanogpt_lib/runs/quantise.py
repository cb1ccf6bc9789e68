"""Weights in 8 bits: each row of a matrix as whole numbers from -127 to 127 and one scale.

A weight is its number times the scale of its row, so it is off by at most half a scale. A row has a
scale of its own because rows differ in size: with one scale for all, the large rows would leave the
small ones only a few numbers. What is no matrix is kept in float16: biases and norms are few, and
every token needs them exactly. (Dettmers et al. 2022, arXiv:2208.07339, section 2.)
"""

import torch
from torch import Tensor

LARGEST = 127  # the largest number in int8 whose negative is one, too
SCALE = "scale/"  # the scales of a weight have this before its name


def is_matrix(shape: tuple[int, ...]) -> bool:
    """Whether a weight of this shape is stored in 8 bits."""
    return len(shape) == 2


def packed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored: a matrix (R, C) becomes int8 (R, C) and scales, float32 (R,).

    Raises ValueError for a weight that is not finite: no scale fits it.
    """
    stored = {}
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise ValueError(f"the weight {name} is not finite: 8 bits cannot hold it")
        if not is_matrix(tuple(weight.shape)):
            stored[name] = weight.half()
            continue
        rows = weight.detach().float()
        scale = rows.abs().amax(dim=1) / LARGEST  # (R,)
        scale[scale == 0] = 1.0  # a row of zeros stays one
        stored[SCALE + name] = scale
        stored[name] = (rows / scale[:, None]).round().to(torch.int8)  # (R, C)
    return stored


def unpacked(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights again: matrices in float32, the rest as it was stored."""
    weights = {}
    for name, values in stored.items():
        if name.startswith(SCALE):
            continue
        scale = stored.get(SCALE + name)
        weights[name] = values if scale is None else values.float() * scale[:, None]
    return weights
