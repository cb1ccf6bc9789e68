"""Cost as work grows: a step's time and memory over width, depth, context and batch.

Compared with the arithmetic of a step (Kaplan et al. 2020, arXiv:2001.08361, section 2.1): 6 N D
operations for N weights in matrices and D tokens, plus attention's quadratic term. Each layer
compares each token with T others: 2 products of T x T x C, with 2 operations each. All this counts
three times, because the backward pass costs two forward passes: 12 n_layer D T C.
"""

import subprocess
import sys
from pathlib import Path

import matplotlib

from benchmarks.bench import ROOT, Table
from nanogpt_lib.model import GPTConfig

BASE = {"n_embd": 128, "n_layer": 4, "block_size": 128, "batch": 8}
SWEEPS = {
    "n_embd": (32, 64, 128, 256, 512),
    "n_layer": (1, 2, 4, 8, 16),
    "block_size": (32, 128, 512, 1024, 2048),
    "batch": (1, 4, 8, 16, 32),
}
LABELS = {
    "n_embd": "width n_embd",
    "n_layer": "layers n_layer",
    "block_size": "context T",
    "batch": "sequences B",
}

# Its own process each, because the peak of a process never falls.
STEP = """
import sys, time
from statistics import median
import torch
from nanogpt_lib.machine.host import peak_memory_gib
from nanogpt_lib.model import GPT, GPTConfig
C, L, T, B = map(int, sys.argv[1:])
model = GPT(GPTConfig(n_embd=C, n_layer=L, block_size=T, n_head=max(1, C // 32)))
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
x = torch.randint(65, (B, T))
seconds = []
while len(seconds) < 3 or (sum(seconds) < 3 and len(seconds) < 30):
    began = time.perf_counter()
    model(x, x)[1].backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    seconds.append(time.perf_counter() - began)
print(median(seconds[1:]), peak_memory_gib())
"""


def arithmetic(n_embd, n_layer, block_size, batch) -> tuple[float, float]:
    """Operations of a step: 6 N D, and attention's quadratic term."""
    size = GPTConfig(n_embd=n_embd, n_layer=n_layer, block_size=block_size, n_head=1)
    matrices = 12 * n_layer * n_embd**2 + size.vocab_size * n_embd  # the head is one of them
    tokens = batch * block_size
    return 6.0 * matrices * tokens, 12.0 * n_layer * tokens * block_size * n_embd


def run(args) -> Table:
    rows = []
    for name, values in SWEEPS.items():
        for value in values:
            shape = BASE | {name: value}
            command = [sys.executable, "-c", STEP, *map(str, shape.values())]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            seconds, gib = map(float, done.stdout.split()[-2:])
            linear, quadratic = arithmetic(**shape)
            speed = (linear + quadratic) / seconds / 1e9
            share = f"{100 * quadratic / (linear + quadratic):.0f}%"
            rows.append([LABELS[name], value, seconds * 1e3, gib, linear / 1e9, share, speed])
            print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    draw(rows, args.out)
    base = ", ".join(f"{name} {value}" for name, value in BASE.items())
    return Table(
        "growth",
        f"Cost of a step as the work grows, from {base}",
        "to see where time and memory go",
        ["what grows", "to", "ms a step", "GiB", "6 N D, 1e9", "attention's T x T", "1e9 op/s"],
        rows,
        [f"Drawn in {args.out.name}/growth.png"],
    )


def draw(rows, folder: Path) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 4, figsize=(14, 6), layout="constrained", sharey="row")
    for column, label in enumerate(LABELS.values()):
        mine = [row for row in rows if row[0] == label]
        x, ms, gib = ([row[i] for row in mine] for i in (1, 2, 3))
        name = list(LABELS)[column]
        both = [arithmetic(**BASE | {name: value}) for value in x]
        fastest = max(row[6] for row in rows) * 1e9
        time, memory = axes[:, column]
        time.plot(x, ms, "o-", label="measured", lw=2)
        time.plot(x, [1e3 * (a + b) / fastest for a, b in both], "--", label="6 N D and T x T")
        time.plot(x, [1e3 * a / fastest for a, _ in both], ":", label="6 N D alone")
        memory.plot(x, gib, "o-", color="C3", lw=2)
        for axis in (time, memory):
            axis.set(xscale="log", xlabel=label)
            axis.set_xticks(x, [str(value) for value in x])
            axis.grid(alpha=0.3)
        time.set_yscale("log")
        for axis in (time, memory):
            axis.minorticks_off()
    axes[1, 0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel("ms a step")
    axes[1, 0].set_ylabel("GiB at most")
    axes[0, 0].legend()
    folder.mkdir(parents=True, exist_ok=True)
    fig.savefig(folder / "growth.png", dpi=110)
    plt.close(fig)
