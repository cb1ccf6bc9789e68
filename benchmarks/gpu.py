"""H. On a GPU: tokens a second at `workshop`, in each precision, against nanoGPT with compile."""

import sys
import time
from dataclasses import replace
from statistics import median

import torch

from benchmarks.bench import Table, take_turns
from benchmarks.step import peer_step
from nanogpt_lib.machine.device import Compute
from nanogpt_lib.machine.gradients import compiled
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.training import new_run, step


def run(args) -> Table | None:
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("gpu: PyTorch finds no NVIDIA GPU here; left out", file=sys.stderr)
        return None
    preset = PRESETS[args.preset or "workshop"]
    config = replace(preset.train, grad_accum=1)
    tokens = config.batch_size * preset.model.block_size
    ids = torch.randint(preset.model.vocab_size, (1_000_000,))
    works, limits = {}, {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        if device.type != "cuda" and dtype == torch.float16:
            continue  # its scaled gradients are CUDA's
        word = str(dtype).removeprefix("torch.")
        limits[word] = matrix_speed(device, dtype)
        for compile in (False, True):
            if compile and not args.compile:
                continue
            made = new_run(GPT(preset.model), ids, ids, config, Compute(device, dtype, "benchmark"))
            if compile:
                made.forward = compiled(made)
            name = f"ours, {word}{', compiled' if compile else ''}"
            works[name] = rate(lambda m=made: step(m), tokens, device)
    if args.nanogpt:
        model = args.nanogpt.model(preset.model).to(device)
        optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), device.type)
        fast = torch.compile(model) if args.compile else model
        sampler = made.sampler

        def forward(x, y):
            with torch.autocast(device.type, torch.bfloat16):  # its default where there is bf16
                return fast(x, y)[1]

        name = f"nanoGPT, bfloat16{', compiled' if args.compile else ''}"
        works[name] = rate(lambda: peer_step(forward, model, optimizer, *sampler()), tokens, device)
    results = take_turns(works, args.rounds)
    rows = []
    for name, values in results.items():
        middle = median(values)
        word = name.split(", ")[1]
        share = arithmetic_per_token(preset.model) * middle / limits[word]
        rows.append([name, f"{middle:,.0f}", f"{min(values):,.0f} to {max(values):,.0f}"])
        rows[-1].append(f"{100 * share:.0f}%")
    return Table(
        "gpu",
        f"H. `{preset.name}` on {device.type}, {tokens:,} tokens a step",
        "ahead of nanoGPT with compile",
        ["program", "tokens/s", "spread", "of the matrix products' limit"],
        rows,
        [f"Limit, measured on 8192 x 8192: {limits}"],
        {"tokens/s": results, "limits": limits},
    )


def rate(step, tokens: int, device, seconds: float = 3.0):
    """A function that returns tokens a second, measured over some seconds of steps."""

    def measure() -> float:
        for _ in range(3):
            step()  # compiled and warm
        wait(device)
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            step()
            steps += 1
            if steps % 10 == 0:
                wait(device)
        wait(device)
        return steps * tokens / (time.perf_counter() - began)

    return measure


def wait(device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def matrix_speed(device, dtype, n: int = 8192) -> float:
    """Operations a second of a large matrix product: what this device can do at best."""
    n = n if device.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        wait(device)
        began = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * n**3 / best


def arithmetic_per_token(size) -> float:
    """6 operations for each weight of a matrix, and attention's quadratic term: see growth.py."""
    matrices = 12 * size.n_layer * size.n_embd**2 + size.vocab_size * size.n_embd
    return 6 * matrices + 12 * size.n_layer * size.block_size * size.n_embd
