"""Two optimisers, each a few lines: Adam, and Muon for matrices. And both together as PyTorch's."""

import math

import torch
from torch import Tensor

from nanogpt_lib.machine.device import pick_compute


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), by hand.

    PyTorch's Adam is as good, but its first use imports the compiler. This takes nearly two
    seconds, as long as the whole training of the fastest recipe.
    """

    def __init__(self, params, beta1: float = 0.8, beta2: float = 0.95):
        self.params = list(params)
        self.beta1, self.beta2, self.steps = beta1, beta2, 0
        self.mean = [torch.zeros_like(p) for p in self.params]  # of recent gradients
        self.square = [torch.zeros_like(p) for p in self.params]  # mean of their squares

    @torch.no_grad()
    def step(self, lr: float) -> None:
        self.steps += 1
        # Both averages started at zero, so they are too small at first: this corrects it.
        lr = lr * math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        for p, mean, square in zip(self.params, self.mean, self.square, strict=True):
            mean.lerp_(p.grad, 1 - self.beta1)
            square.mul_(self.beta2).addcmul_(p.grad, p.grad, value=1 - self.beta2)
            p.addcdiv_(mean, square.sqrt().add_(1e-10), value=-lr)


# (a, b, c) of each of the five rounds X <- aX + b(XX')X + c(XX')^2 X. Keller Jordan's values bring
# every singular value to between 0.7 and 1.2: near enough to 1, in few rounds.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, rounds: int = 5) -> Tensor:
    """The nearest matrices with all singular values about 1: (N, R, C) -> (N, R, C).

    R must not exceed C. A matrix U S V' becomes U V' without its singular value decomposition,
    by Newton and Schulz's iteration: only products of matrices, all N at once. It bears bfloat16.
    """
    a, b, c = QUINTIC
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # singular values up to 1
    for _ in range(rounds):
        gram = x @ x.mT  # (N, R, R)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon:
    """Steps of the same size in every direction of a matrix (Jordan et al. 2024, "Muon").

    A gradient is mostly a few strong directions. When it is made orthogonal, it moves the weak
    directions equally far. They hold what is rare and still has to be learnt.
    """

    def __init__(self, matrices, momentum: float = 0.95):
        self.params = list(matrices)
        self.momentum = momentum
        self.mean = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        squares = []
        for p, mean in zip(self.params, self.mean, strict=True):
            mean.lerp_(p.grad, 1 - self.momentum)
            squares.append(to_squares(p.grad.lerp(mean, self.momentum)))  # looks ahead: Nesterov
        counts = [len(s) for s in squares]
        moves = orthogonalise(torch.cat(squares)).split(counts)  # all matrices at once
        for p, move in zip(self.params, moves, strict=True):
            p.sub_(from_squares(move, p.shape), alpha=lr)


def to_squares(matrix: Tensor) -> Tensor:
    """Cuts (R, C) into squares: (N, S, S) with S the shorter side, which divides the longer."""
    rows, columns = matrix.shape
    S = min(rows, columns)
    return matrix.view(rows // S, S, columns // S, S).transpose(1, 2).reshape(-1, S, S)


def from_squares(squares: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `to_squares`: (N, S, S) to the matrix (R, C) that they were cut from."""
    rows, columns = shape
    S = squares.size(-1)
    return squares.view(rows // S, columns // S, S, S).transpose(1, 2).reshape(rows, columns)


class MuonAdam(torch.optim.Optimizer):
    """Muon for some matrices and Adam for all other weights, as an optimiser of PyTorch.

    So `training.step` can set its rate, and checkpoints can hold its state. config: a
    `training.TrainConfig`. Muon's rate is MUON times the learning rate. Its weight decay pulls the
    matrices alone. Its products are computed in bfloat16 where training would choose that.
    """

    MUON = 4.0  # times Adam's learning rate
    MOMENTUM = 0.95

    def __init__(self, matrices: list, others: list, config):
        groups = [{"params": matrices, "muon": True}, {"params": others, "muon": False}]
        super().__init__([g for g in groups if g["params"]], {"lr": config.learning_rate})
        self.betas, self.weight_decay = (config.beta1, config.beta2), config.weight_decay
        width = max((min(p.shape) for p in matrices), default=0)
        self.dtype = torch.float32
        if matrices and pick_compute(matrices[0].device.type, width=width).dtype == torch.bfloat16:
            self.dtype = torch.bfloat16

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        """Moves all weights that have a gradient, each group by its own rule."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            (self.muon if group["muon"] else self.adam)(weights, group["lr"])

    def muon(self, weights: list, lr: float) -> None:
        squares = []
        for p in weights:
            mean = self.remembered(p, "momentum")
            mean.lerp_(p.grad, 1 - self.MOMENTUM)
            squares.append(to_squares(p.grad.lerp(mean, self.MOMENTUM)))
        counts = [len(s) for s in squares]
        moves = orthogonalise(torch.cat(squares).to(self.dtype)).float().split(counts)
        for p, move in zip(weights, moves, strict=True):
            p.mul_(1 - self.MUON * lr * self.weight_decay)
            p.sub_(from_squares(move, p.shape), alpha=self.MUON * lr)

    def adam(self, weights: list, lr: float) -> None:
        beta1, beta2 = self.betas
        for p in weights:
            mean, square = self.remembered(p, "exp_avg"), self.remembered(p, "exp_avg_sq")
            steps = self.state[p].setdefault("step", torch.zeros(()))
            steps += 1
            rate = lr * math.sqrt(1 - beta2 ** steps.item()) / (1 - beta1 ** steps.item())
            mean.lerp_(p.grad, 1 - beta1)
            square.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            p.addcdiv_(mean, square.sqrt().add_(1e-10), value=-rate)

    def remembered(self, p: Tensor, name: str) -> Tensor:
        """A tensor like p that the optimiser keeps under this name; zeros at first."""
        return self.state[p].setdefault(name, torch.zeros_like(p))
