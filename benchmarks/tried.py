"""What might make a step faster on a CPU, one change at a time."""

from dataclasses import replace

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.bench import Table, compared, take_turns
from benchmarks.step import steps, steps_a_turn
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.training import new_run


def run(args) -> Table:
    preset = PRESETS[args.preset or "pocket"]
    compute = pick_compute("cpu", "float32")
    ids = torch.randint(preset.model.vocab_size, (100_000,))
    n, B = steps_a_turn(preset), preset.train.batch_size

    def made(dropout=preset.model.dropout, **changes):
        model = GPT(replace(preset.model, dropout=dropout))
        return new_run(model, ids, ids, replace(preset.train, **changes), compute)

    as_it_is = made()
    chosen = as_it_is.config.grad_accum
    works = {"as it is": steps(as_it_is, n)}
    for parts in sorted({1, 2, 4, 8, 16} - {chosen}):
        if parts <= B:
            other = made(grad_accum=parts)
            works[f"parts: {parts} instead of {chosen}"] = steps(other, n)
    works["attention as plain matrix products"] = plainly(steps(as_it_is, n))
    if preset.model.dropout:
        works["without dropout"] = steps(made(dropout=0.0), n)
    take_turns(works, 1)
    results = take_turns(works, args.rounds)
    return Table(
        f"tried_{preset.name}",
        f"A `{preset.name}` step on the CPU, with one change at a time",
        "to see what helps",
        ["change", "seconds", "spread", "of as it is", "spread"],
        compared(results, "as it is"),
        figures={"seconds": results},
    )


def plainly(work):
    """The same without the fused kernel for attention."""

    def measure() -> float:
        with sdpa_kernel(SDPBackend.MATH):
            return work()

    return measure
