"""Several processes and large models: what was measured here, and what follows on paper.

`python -m benchmarks scaling` measures, with one thread a process: a step of one process and of
two, the averaging of the gradients alone, the drawing of a batch from a mapped file, and one step
of GPT-2's smallest model. Then it prints what the arithmetic gives for GPUs that were not there.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import distributed

from benchmarks.bench import Table, ratio
from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.beyond.scale import ring_seconds
from nanogpt_lib.machine import processes
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.machine.host import peak_memory_gib
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs.presets import get_preset
from nanogpt_lib.shards.mapped import mapped
from nanogpt_lib.training import new_run, step

MEASURED = ("pocket", "workshop")
TOKENS = 100_000_000  # in the file that batches are drawn from
SEQUENCES = {"workshop": 8, "gpt2": 1}  # a step, where the preset's own takes too long here

# On paper. An H100: 989e12 multiplications and additions a second in bfloat16 (NVIDIA's data
# sheet, without sparsity), of which good programs reach about 0.4 (PaLM, arXiv:2204.02311, section
# 4.1, calls that share MFU); 450 GB/s to its neighbours in a machine, 50 GB/s to other machines.
FLOPS, REACHED, INSIDE, OUTSIDE, IN_A_MACHINE = 989e12, 0.4, 450e9, 50e9, 8
MODELS = {
    "124M": GPTConfig(50_257, 1024, 12, 12, 768),
    "1.3B": GPTConfig(50_257, 2048, 24, 16, 2048),  # GPT-3 XL, arXiv:2005.14165, table 2.1
}
BATCH = 524_288  # tokens a step, in all


def run(args) -> Table:
    steps = args.steps or 20
    works = {
        (name, n): partial(measured, n, name, steps)
        for name in ((args.preset,) if args.preset else MEASURED)
        for n in (1, 2)
    }
    said: dict = {work: [] for work in works}
    for turn in range(args.rounds):
        for work in list(works)[:: -1 if turn % 2 else 1]:  # one process first, then two
            said[work].append(works[work]())
    rows, figures = [], {}
    for name in dict.fromkeys(name for name, _ in works):
        seconds = {n: [found["step"] for found in said[name, n]] for n in (1, 2)}
        faster, spread = ratio(seconds[1], seconds[2])
        reduce = median(found["reduce"] for found in said[name, 2])
        draw = median(found["draw"] for found in said[name, 1])
        one = median(seconds[1])
        row = [name, 1e3 * one, 1e3 * median(seconds[2]), f"{faster:.2f} ({spread})", faster / 2]
        rows.append([*row, 1e3 * reduce, f"{100 * draw / one:.2f}%"])
        figures[name] = {str(n): said[name, n] for n in (1, 2)}
    gpt2 = measured(1, "gpt2", min(3, steps))
    figures["gpt2"] = gpt2
    return Table(
        "scaling",
        "One process and two, one thread each, the same batch; then one step of GPT-2",
        "two processes at 1.6 times the speed of one or more; drawing below 1% of a step",
        ["preset", "1: ms", "2: ms", "faster", "efficiency", "averaging ms", "drawing a batch"],
        rows,
        [
            f"gpt2, {gpt2['params']:,} parameters, one sequence of 1,024 tokens in one thread: "
            f"{gpt2['step']:.1f} s a step, {gpt2['peak_gib']:.1f} GiB at most.",
            "",
            *on_paper(),
        ],
        figures,
    )


def measured(n: int, name: str, steps: int) -> dict:
    """What rank 0 of so many processes says."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    command = [sys.executable, *torchrun, "-m", "benchmarks.scaling", name, str(steps)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def worker(name: str, steps: int) -> None:
    """One of the processes; rank 0 prints what it measured as JSON."""
    torch.set_num_threads(1)
    preset = get_preset(name)
    size = replace(preset.model, vocab_size=50_257) if name == "gpt2" else preset.model
    config = replace(preset.train, batch_size=SEQUENCES.get(name, preset.train.batch_size))
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.bin"
        (np.arange(TOKENS) % 60).astype(np.uint16).tofile(path)
        ids = mapped(path, TOKENS, size.vocab_size)
        made = new_run(GPT(size), ids, ids, config, pick_compute("cpu", "float32"))
        with processes.together(made):
            step(made)
            found = {"step": seconds_of(lambda: step(made), steps), "reduce": 0.0}
            if processes.ranks() > 1:
                gradient = torch.zeros(made.model.num_params())
                found["reduce"] = seconds_of(lambda: distributed.all_reduce(gradient), steps)
        sampler = BatchSampler(ids, size.block_size, config.batch_size)
        found |= {"draw": seconds_of(sampler, 100), "params": made.model.num_params()}
    if not int(os.environ["RANK"]):
        print(json.dumps(found | {"peak_gib": peak_memory_gib()}))


def seconds_of(work, times: int) -> float:
    """The median time of a call."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken)


def flops_per_token(size: GPTConfig) -> float:
    """Multiplications and additions to train on a token: 6 a weight, and attention's own."""
    C = size.n_embd
    weights = 12 * size.n_layer * C * C + size.vocab_size * C
    return 6 * (weights + 2 * size.n_layer * size.block_size * C)


def weights_of(size: GPTConfig) -> int:
    with torch.device("meta"):
        return GPT(size).num_params()


def on_paper() -> list[str]:
    """A table: seconds of a step, of the averaging, and the efficiency if nothing overlaps."""
    lines = [
        f"On paper: H100s that reach {REACHED:.0%} of {FLOPS / 1e12:.0f} TFLOPS, {BATCH:,} tokens "
        "a step, gradients of 4 bytes,",
        f"{INSIDE / 1e9:.0f} GB/s inside a machine of {IN_A_MACHINE}, {OUTSIDE / 1e9:.0f} outside. "
        "'waiting' is what is lost if nothing overlaps.",
        "model  GPUs  compute ms  averaging ms  waiting  weights, Adam: GB  hours for 20 a weight",
    ]
    for name, size in MODELS.items():
        n = weights_of(size)
        for gpus in (1, 8, 64):
            compute = flops_per_token(size) * BATCH / gpus / (FLOPS * REACHED)
            bandwidth = INSIDE if gpus <= IN_A_MACHINE else OUTSIDE
            averaging = ring_seconds(gpus, 4 * n, bandwidth)
            hours = 20 * n / BATCH * (compute + averaging) / 3600
            lines.append(
                f"{name:5}  {gpus:4}  {1e3 * compute:10,.0f}  {1e3 * averaging:12.1f}  "
                f"{averaging / (compute + averaging):7.1%}  {16 * n / 1e9:17.1f}  {hours:21.2f}"
            )
    return lines


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]))
