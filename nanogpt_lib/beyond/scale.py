"""The arithmetic of large runs: what it costs to add up gradients, to train, and what it brings."""

import math

from nanogpt_lib.checks import above_zero, whole_number
from nanogpt_lib.model import GPTConfig


def ring_seconds(n: int, n_bytes: float, bandwidth: float) -> float:
    """Seconds in which n processes in a ring add up numbers that each of them holds.

    n_bytes: of these numbers, in each process. bandwidth: bytes a second from one to the next.
    Each number travels round twice, once to be added and once to be told: 2 (n - 1) / n of the
    bytes pass each link. Source: Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms
    for clusters of workstations".
    """
    n = whole_number(n, "n", 1)
    return 2 * (n - 1) / n * above_zero(n_bytes, "n_bytes") / above_zero(bandwidth, "bandwidth")


def power_law(x, y) -> tuple[float, float]:
    """The a and b with which a * x ** -b lies nearest to y: a straight line through the logarithms.

    x, y: two or more numbers above 0. Source: Kaplan et al. 2020, arXiv:2001.08361, section 1.2.
    """
    log_x, log_y = [math.log(v) for v in x], [math.log(v) for v in y]
    mean_x, mean_y = sum(log_x) / len(log_x), sum(log_y) / len(log_y)
    pairs = list(zip(log_x, log_y, strict=True))
    slope = sum((u - mean_x) * (v - mean_y) for u, v in pairs)
    slope /= sum((u - mean_x) ** 2 for u in log_x)
    return math.exp(mean_y - slope * mean_x), -slope


def block_weights(size: GPTConfig) -> int:
    """The weights of all blocks' matrices, which Kaplan's law counts: 12 C * C a layer."""
    return 12 * size.n_layer * size.n_embd**2


def gpu_days(weights: float, tokens: float, flops: float = 989e12, reached: float = 0.4) -> float:
    """Days that one GPU trains a model, at 6 operations for each weight and each token.

    flops: operations a second on the data sheet, here an H100's in bfloat16. reached: the share
    that a program gets of them. Source of the 6: Kaplan et al. 2020, section 2.1.
    """
    return 6 * weights * tokens / (flops * reached) / 86_400
