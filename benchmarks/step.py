"""C. One training step of a preset: forward, backward, clipping, optimiser."""

import torch
from torch.nn.utils import clip_grad_norm_

from benchmarks.bench import Table, compared, take_turns, timed
from benchmarks.peers import gpt2
from nanogpt_lib.device import pick_compute
from nanogpt_lib.model import GPT
from nanogpt_lib.presets import PRESETS
from nanogpt_lib.training import backward, start


def run(args) -> Table:
    preset = PRESETS[args.preset or "workshop"]
    B, T = preset.train.batch_size, preset.model.block_size
    compute = pick_compute("cpu", "auto", B * T, preset.model.n_embd)
    ids = torch.randint(preset.model.vocab_size, (100_000,))
    ours = start(GPT(preset.model), ids, ids, preset.train, compute)
    whole = start(GPT(preset.model), ids, ids, preset.train, compute)
    whole.config.grad_accum = 1
    works = {
        f"ours, as it trains ({ours.config.grad_accum} parts)": timed(lambda: our_step(ours)),
        "ours, the batch in one part": timed(lambda: our_step(whole)),
    }
    if args.nanogpt:
        model = args.nanogpt.model(preset.model)
        optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
        forward = lambda x, y: model(x, y)[1]  # noqa: E731
        works["nanoGPT"] = timed(lambda: peer_step(model, forward, optimizer, *ours.sampler()))
    hf = gpt2(preset.model)
    hf_optimizer = torch.optim.AdamW(hf.parameters(), lr=1e-3)
    hf_forward = lambda x, y: hf(input_ids=x, labels=x).loss  # noqa: E731
    works["transformers"] = timed(lambda: peer_step(hf, hf_forward, hf_optimizer, *ours.sampler()))
    if B * T < 5000:  # a large step is its own warm-up
        take_turns(works, 3)
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


def our_step(run) -> None:
    """What `train` does in a step."""
    backward(run, run.model, *run.sampler())
    clip_grad_norm_(run.model.parameters(), run.config.grad_clip)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)


def peer_step(model, forward, optimizer, x, y) -> None:
    forward(x.contiguous(), y.contiguous()).backward()  # peers take no slices
    clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
