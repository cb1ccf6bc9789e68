"""Weights in 8 bits: each row of a matrix as whole numbers from -127 to 127 and one scale.

A weight is its number times the scale of its row, so it is off by at most half a scale. A row has a
scale of its own because rows differ in size: with one scale for all, the large rows would leave the
small ones only a few numbers. What is no matrix is kept in float16: biases and norms are few, and
every token needs them exactly. (Dettmers et al. 2022, arXiv:2208.07339, section 2.)

`packed` and `unpacked` are how checkpoints and pages are stored. `rounded` tries other ways, and
`Linear8` computes with what is stored.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogpt_lib.checks import whole_number

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


def rounded(weight: Tensor, bits: int = 8, share: str | int = "row") -> Tensor:
    """A matrix (R, C) rounded to a few bits, in float32, to measure what the rounding costs.

    bits: 2 to 8. share: which weights share a scale: "matrix", "row", or a number of neighbours in
    a row, such as 32, which must divide C. Scales are kept in float16, as in files of llama.cpp.
    Raises ValueError for anything else.
    """
    bits = whole_number(bits, "bits", 2)
    if bits > 8:
        raise ValueError(f"bits must be at most 8, not {bits}")
    rows, columns = weight.shape
    groups = weight.detach().float().reshape(scales_of(rows, columns, share), -1)
    largest = 2 ** (bits - 1) - 1  # 127 in 8 bits, 7 in 4: as many below zero as above
    scale = (groups.abs().amax(dim=1, keepdim=True) / largest).half().float()
    scale[scale == 0] = 1.0
    whole = (groups / scale).round().clamp(-largest, largest)
    return (whole * scale).view(rows, columns)


def scales_of(rows: int, columns: int, share: str | int) -> int:
    """The number of scales of a matrix (rows, columns); for `share` see `rounded`."""
    if share in ("matrix", "row"):
        return 1 if share == "matrix" else rows
    size = whole_number(share, 'share, unless it is "matrix" or "row",', 1)
    if columns % size:
        raise ValueError(f"share: groups of {size} do not fill rows of {columns}")
    return rows * columns // size


def rounded_model(model: nn.Module, bits: int = 8, share: str | int = "row") -> nn.Module:
    """A copy of a model with every matrix rounded; see `rounded`. The rest is kept in float16."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for weight in copied.parameters():
            small = rounded(weight, bits, share) if weight.dim() == 2 else weight.half().float()
            weight.copy_(small)
    return copied


def stored_bytes(model: nn.Module, bits: int = 8, share: str | int = "row") -> int:
    """The bytes that the weights of `rounded_model` take; a tied matrix counts once."""
    total = 0
    for weight in model.parameters():
        if weight.dim() == 2:
            rows, columns = weight.shape
            total += weight.numel() * bits // 8 + 2 * scales_of(rows, columns, share)
        else:
            total += 2 * weight.numel()
    return total


class Linear8(nn.Module):
    """A linear layer that keeps its matrix as int8 and a scale for each row.

    The scale of a row is a factor of one output, so it is applied after the product. Plain PyTorch
    makes floats of the whole matrix each time. Libraries have kernels that read the bytes and never
    write the floats.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, layer: nn.Linear):
        super().__init__()
        stored = packed({"w": layer.weight})
        self.register_buffer("weight", stored["w"])  # int8 (out, in)
        self.register_buffer("scale", stored[SCALE + "w"])  # float32 (out,)
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight.to(x.dtype)) * self.scale  # (..., in) -> (..., out)
        return y if self.bias is None else y + self.bias


def in_8_bits(model: nn.Module) -> nn.Module:
    """A copy of a model whose linear layers are `Linear8`; embeddings stay as they are."""
    copied = copy.deepcopy(model)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Linear8(child))
    return copied
