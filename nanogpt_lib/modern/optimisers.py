"""Two optimisers, each a few lines: Adam, and Muon for matrices."""

import math

import torch
from torch import Tensor


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), by hand.

    PyTorch's own is as good, but its first use imports the compiler, which takes nearly two
    seconds: as long as all the training of the fastest recipe.
    """

    def __init__(self, params, beta1: float = 0.8, beta2: float = 0.95):
        self.params = list(params)
        self.beta1, self.beta2, self.steps = beta1, beta2, 0
        self.mean = [torch.zeros_like(p) for p in self.params]  # of the gradients, lately
        self.square = [torch.zeros_like(p) for p in self.params]  # of their squares

    @torch.no_grad()
    def step(self, lr: float) -> None:
        self.steps += 1
        # Both averages began at zero; these undo what that takes off them.
        lr = lr * math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        for p, mean, square in zip(self.params, self.mean, self.square, strict=True):
            mean.lerp_(p.grad, 1 - self.beta1)
            square.mul_(self.beta2).addcmul_(p.grad, p.grad, value=1 - self.beta2)
            p.addcdiv_(mean, square.sqrt().add_(1e-10), value=-lr)


# For five rounds of X <- aX + b(XX')X + c(XX')^2 X, an (a, b, c) each. Keller Jordan's, which lead
# every singular value to somewhere between 0.7 and 1.2: near enough, and in few rounds.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, rounds: int = 5) -> Tensor:
    """The nearest matrices whose singular values are all one, about: (N, R, C) -> (N, R, C).

    R must not exceed C. A matrix U S V' becomes U V' without its singular value decomposition,
    by Newton and Schulz's iteration: only products of matrices, all N at once.
    """
    a, b, c = QUINTIC
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # singular values up to 1
    for _ in range(rounds):
        gram = x @ x.mT  # (N, R, R)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon:
    """Steps that use every direction of a matrix alike (Jordan et al. 2024, "Muon").

    A gradient is mostly a few strong directions. Made orthogonal, it moves the weak ones as far,
    and they hold what is rare and still has to be learnt.
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
        moves = orthogonalise(torch.cat(squares)).split(counts)  # all matrices in one go
        for p, move in zip(self.params, moves, strict=True):
            p.sub_(from_squares(move, p.shape), alpha=lr)


def to_squares(matrix: Tensor) -> Tensor:
    """Cuts (R, C) into squares: (N, S, S) with S the shorter side, which divides the longer."""
    rows, columns = matrix.shape
    S = min(rows, columns)
    return matrix.view(rows // S, S, columns // S, S).transpose(1, 2).reshape(-1, S, S)


def from_squares(squares: Tensor, shape: torch.Size) -> Tensor:
    """The way back: (N, S, S) to the matrix (R, C) that they were cut from."""
    rows, columns = shape
    S = squares.size(-1)
    return squares.view(rows // S, columns // S, S, S).transpose(1, 2).reshape(rows, columns)
