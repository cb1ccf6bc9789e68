"""C. One training step of a preset: forward, backward, clipping, optimiser."""

from dataclasses import replace

import torch
from torch.nn.utils import clip_grad_norm_

from benchmarks.bench import Table, compared, take_turns, timed
from benchmarks.peers import gpt2
from nanogpt_lib import training
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.training import new_run


def run(args) -> Table:
    preset = PRESETS[args.preset or "workshop"]
    B, T = preset.train.batch_size, preset.model.block_size
    compute = pick_compute("cpu", width=preset.model.n_embd)
    ids = torch.randint(preset.model.vocab_size, (100_000,))
    ours = new_run(GPT(preset.model), ids, ids, preset.train, compute)
    n = steps_a_turn(preset)
    parts = ours.config.grad_accum
    works = {f"ours, as it trains (parts: {parts})": steps(ours, n)}
    if parts > 1:
        whole = new_run(GPT(preset.model), ids, ids, replace(preset.train, grad_accum=1), compute)
        works["ours, the batch in one part"] = steps(whole, n)
    if args.nanogpt:
        model = args.nanogpt.model(preset.model)
        optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
        works["nanoGPT"] = peer_steps(lambda x, y: model(x, y)[1], model, optimizer, ours, n)
    hf = gpt2(preset.model)
    optimizer_of_hf = torch.optim.AdamW(hf.parameters(), lr=1e-3)
    loss_of_hf = lambda x, y: hf(input_ids=x, labels=x).loss  # noqa: E731
    works["transformers"] = peer_steps(loss_of_hf, hf, optimizer_of_hf, ours, n)
    if B * T < 5000:  # a large step is its own warm-up
        take_turns(works, 1)
    results = take_turns(works, args.rounds)
    yardstick = "nanoGPT" if args.nanogpt else "transformers"
    return Table(
        "step" if args.preset is None else f"step_{preset.name}",
        f"C. One `{preset.name}` step of {B * T:,} tokens on the CPU ({compute.reason})",
        "at most 0.45 of nanoGPT's where bfloat16 helps, at most 0.9 where it doesn't",
        ["program", "seconds", "spread", f"of {yardstick}", "spread"],
        compared(results, yardstick),
        figures={"seconds": results},
    )


def steps_a_turn(preset) -> int:
    """The number of steps timed together: many if they are short, against the clock's error."""
    return 12 if preset.train.batch_size * preset.model.block_size < 1000 else 1


def steps(run, n: int):
    """A function that does n steps of `training`, and returns the seconds of one step."""

    def work() -> None:
        for _ in range(n):
            training.step(run)

    return lambda: timed(work)() / n


def peer_steps(loss, model, optimizer, run, n: int):
    """The same for another model, on the run's batches."""

    def work() -> None:
        for _ in range(n):
            peer_step(loss, model, optimizer, *run.sampler())

    return lambda: timed(work)() / n


def peer_step(loss, model, optimizer, x, y) -> None:
    """loss: a function of x and y."""
    loss(x.contiguous(), y.contiguous()).backward()  # peers take no slices
    finish(model, optimizer)


def finish(model, optimizer) -> None:
    clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
