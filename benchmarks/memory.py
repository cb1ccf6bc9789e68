"""G. The peak memory of training, measured on whole processes, one after the other."""

import subprocess
import sys

from benchmarks.bench import ROOT, Table
from nanogpt_lib.runs.presets import PRESETS

# A process of its own each: the peak of a process never falls. The corpus and an evaluation of
# a few batches belong to training; so do two steps, since AdamW's averages come with the first.
STEPS = """
import sys
from dataclasses import replace
import torch
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.machine.host import peak_memory_gib
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.training import new_run, train
preset, parts = PRESETS[sys.argv[1]], int(sys.argv[2]) or None
ids = torch.arange(100_000) % 65
config = replace(preset.train, max_steps=2, eval_interval=100, eval_batches=2, grad_accum=parts)
run = train(new_run(GPT(preset.model), ids, ids, config, pick_compute("cpu", "float32")))
print(run.config.grad_accum, peak_memory_gib())
"""


def run(args) -> Table:
    rows = []
    for name in [args.preset] if args.preset else ["pocket", "laptop", "workshop"]:
        for parts in (1, 0, 16):
            if parts > PRESETS[name].train.batch_size:
                continue
            command = [sys.executable, "-c", STEPS, name, str(parts)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            used, gib = done.stdout.split()[-2:]
            rows.append([name, used + (", chosen by itself" if parts == 0 else ""), float(gib)])
            print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    return Table(
        "memory",
        "G. Peak memory of a training process on the CPU, PyTorch itself included",
        "`workshop` under 4 GB",
        ["preset", "parts of a batch", "GiB"],
        rows,
    )
