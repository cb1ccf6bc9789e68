"""LoRA: tuning with few new weights, while all old ones stay as they are.

Beside each frozen matrix W (out, in) stand two thin ones, A (rank, in) and B (out, rank). The layer
computes x W^T + scale * x A^T B^T. B begins as zeros, so at first nothing changes. After the
tuning, W + scale * B A is one matrix again: using the model costs nothing more.

`python -m experiments lora` compares it with tuning all weights. Source: Hu et al. 2021,
arXiv:2106.09685, section 4.1.
"""

import copy

import torch
from torch import Tensor, nn

from nanogpt_lib.checks import above_zero, whole_number
from nanogpt_lib.model import GPT, Block

ALPHA = 16  # scale = ALPHA / rank, so that the rate need not change with the rank


class LoRA(nn.Module):
    """A linear layer that stays as it is, and a change of low rank beside it that learns."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float = ALPHA):
        super().__init__()
        self.layer = layer
        self.A = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.B = nn.Parameter(torch.zeros(layer.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.scale * (x @ self.A.T @ self.B.T)  # (B, T, out)

    def merged(self) -> Tensor:
        """The one matrix, (out, in), that does the same."""
        return self.layer.weight + self.scale * self.B @ self.A


def add_lora(model: GPT, rank: int, new_rows: int = 0, alpha: float = ALPHA) -> GPT:
    """A copy of a model in which only LoRA's matrices learn, beside every matrix of the blocks.

    new_rows: number of rows at the end of the embedding table that learn, too: those of new marks
    mean nothing yet. Tune it with weight_decay=0, or the other rows of the table would shrink.
    Raises ValueError for a rank that is not from 1 to n_embd.
    """
    C = model.config.n_embd
    if whole_number(rank, "rank", 1) > C:
        raise ValueError(f"rank must be at most n_embd ({C}), not {rank}: more would save nothing")
    whole_number(new_rows, "new_rows")
    above_zero(alpha, "alpha")
    model = copy.deepcopy(model).requires_grad_(False)
    for block in model.transformer.h:
        assert isinstance(block, Block)  # for type checkers: a ModuleList hides its types
        for part in (block.attn, block.mlp):
            for name, layer in list(part.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(part, name, LoRA(layer, rank, alpha))
    if new_rows:
        table = model.transformer.wte.weight.requires_grad_()
        old = len(table) - new_rows
        table.register_hook(lambda grad: grad.index_fill(0, torch.arange(old), 0.0))
    return model


def trainable(model: GPT, new_rows: int = 0) -> int:
    """The number of weights that learn. new_rows: as in `add_lora`."""
    table = model.transformer.wte.weight
    others = [p for p in model.parameters() if p.requires_grad and p is not table]
    rows = new_rows if new_rows else len(table) * table.requires_grad
    return sum(p.numel() for p in others) + rows * table.size(1)


def merged(model: GPT) -> GPT:
    """A plain GPT that computes the same as one with LoRA: it can be saved and exported."""
    weights = {}
    for name, value in model.state_dict().items():
        if name.endswith((".A", ".B")):
            continue
        layer = model.get_submodule(name.rpartition(".layer.")[0]) if ".layer." in name else None
        if isinstance(layer, LoRA) and name.endswith(".weight"):
            value = layer.merged()
        weights[name.replace(".layer.", ".")] = value.detach().clone()
    plain = GPT(model.config)
    plain.load_state_dict(weights)
    return plain.train(model.training)
