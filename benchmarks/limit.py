"""How a step spends its time, and how fast it could be with PyTorch's own operations.

Everything here runs in one thread: with two threads, times depend on how long they wait for each
other. The limit is the time for half a batch, from the embedding to the gradient, in one thread
that nothing slows down. Two cores cannot finish a whole batch faster than that.
"""

from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.bench import Table, take_turns, timed
from benchmarks.step import finish
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.training import new_run, step

# What is part of an operation's name, and what that belongs to; the first that fits counts.
KINDS = {
    "scaled_dot_product": "attention",
    "aten::mm": "matrix products",
    "aten::addmm": "matrix products",
    "gelu": "GELU",
    "layer_norm": "norms",
    "adamw": "AdamW",
    "": "everything else",
}
STEPS = 20


def run(args) -> Table:
    preset = PRESETS[args.preset or "pocket"]
    size, B = preset.model, preset.train.batch_size
    ids = torch.randint(size.vocab_size, (100_000,))
    made = new_run(GPT(size), ids, ids, preset.train, pick_compute("cpu", "float32"))
    tokens, C = B * size.block_size, size.n_embd
    x, w = torch.randn(tokens, C), torch.randn(C, 4 * C)
    half = max(1, B // 2)
    works = {
        "a step": timed(lambda: step(made)),
        "half of a batch": timed(lambda: half_of_a_batch(made, half)),
        "clipping and AdamW": timed(lambda: with_gradients(made)),
        "a matrix product": timed(lambda: [x @ w for _ in range(10)]),
    }
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    take_turns(works, 2)
    seconds = take_turns(works, max(20, args.rounds))
    spent = by_kind(made)
    torch.set_num_threads(cores)
    middle = {name: median(values) for name, values in seconds.items()}
    in_all = sum(spent.values())
    rows = [[kind, 1e3 * t, f"{100 * t / in_all:.0f}%"] for kind, t in spent.items()]
    rows += [[name, 1e3 * t, ""] for name, t in middle.items() if name != "a matrix product"]
    alone = 10 * 2 * x.numel() * w.size(1) / middle["a matrix product"]
    return Table(
        "limit",
        f"A. Where the time of a `{preset.name}` step of {tokens:,} tokens goes, in one thread",
        "to see how far two cores could get",
        ["part", "ms", "share"],
        rows,
        [
            f"Matrix products timed alone, {tokens} x {C} by {C} x {4 * C}: "
            f"{alone / 1e9:.0f} billion operations a second.",
            f"Two threads that never wait would take half of a batch and the end of the step: "
            f"{1e3 * (middle['half of a batch'] + middle['clipping and AdamW']):.1f} ms.",
        ],
        {"seconds": seconds, "profile": spent, "matrix products a second": alone},
    )


def half_of_a_batch(run, half: int) -> None:
    x, y = run.sampler()
    loss = run.model(x[:half], y[:half])[1]
    torch.autograd.grad(loss, list(run.model.parameters()))


def with_gradients(run) -> None:
    """The end of a step; its cost does not depend on the gradients' values."""
    for p in run.model.parameters():
        p.grad = torch.full_like(p, 1e-3)
    finish(run.model, run.optimizer)


def by_kind(run) -> dict[str, float]:
    """Seconds of a step by kind of operation, the largest first."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(STEPS):
            step(run)
    spent = dict.fromkeys(KINDS.values(), 0.0)
    for operation in seen.key_averages():
        name = operation.key.lower()
        kind = next(kind for part, kind in KINDS.items() if part in name)
        spent[kind] += operation.self_cpu_time_total / 1e6 / STEPS
    return dict(sorted(spent.items(), key=lambda item: -item[1]))
