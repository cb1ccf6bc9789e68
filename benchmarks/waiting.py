"""The cost of waiting: PyTorch's threads spin or sleep, on an idle machine and on a busy one.

OpenMP reads OMP_WAIT_POLICY when PyTorch is loaded, so each measurement is a separate process. The
library sets PASSIVE unless the user has set a value. Here both values are set from outside.
"""

import json
import os
import subprocess
import sys
import time

from benchmarks.bench import ROOT, Table, compared, take_turns

# A process that is measured: a step of the training and a token of the sampling.
WORK = """
import hashlib, json, sys, time
import torch
from nanogpt_lib import GPT, generate, load_model, new_run, pick_compute, step
from nanogpt_lib.runs.presets import PRESETS
preset, n = PRESETS[sys.argv[1]], int(sys.argv[2])
torch.manual_seed(1)
ids = torch.randint(65, (100_000,))
run = new_run(GPT(preset.model), ids, ids, preset.train, pick_compute("cpu", "float32"))
step(run)
began = time.perf_counter()
for _ in range(n):
    step(run)
seconds = (time.perf_counter() - began) / n
weights = b"".join(p.detach().numpy().tobytes() for p in run.model.parameters())
model, tokenizer, _ = load_model("pocket")
generate(model, tokenizer, "ROMEO:", 20, seed=1)
began = time.perf_counter()
generate(model, tokenizer, "ROMEO:", 200, seed=1)
token = (time.perf_counter() - began) / 200
print(json.dumps([seconds, token, hashlib.sha256(weights).hexdigest()]))
"""
# What else a learner's machine does: one core is busy with products of matrices.
LOAD = """
import torch
torch.set_num_threads(1)
a = torch.randn(400, 400)
while True:
    a @ a
"""


# An empty value is none that OpenMP knows: it waits as it does by default.
POLICIES = {"default": "", "passive": "PASSIVE"}


def run(args) -> Table:
    name, n = args.preset or "pocket", args.steps or 30
    tokens: dict[str, list[float]] = {}
    weights = set()

    def measured(work: str, policy: str) -> float:
        env = {**os.environ, "OMP_WAIT_POLICY": policy}
        command = [sys.executable, "-c", WORK, name, str(n)]
        options = {"capture_output": True, "text": True, "check": True}
        done = subprocess.run(command, cwd=ROOT, env=env, **options)
        seconds, token, digest = json.loads(done.stdout)
        tokens.setdefault(work, []).append(token)
        weights.add(digest)
        return seconds

    steps = {}
    for load in ("idle", "busy"):
        works = {
            f"{load}, {waiting}": lambda work=f"{load}, {waiting}", p=policy: measured(work, p)
            for waiting, policy in POLICIES.items()
        }
        busy = subprocess.Popen([sys.executable, "-c", LOAD]) if load == "busy" else None
        try:
            time.sleep(3 if busy else 0)  # until it computes
            steps |= take_turns(works, args.rounds)
        finally:
            if busy:
                busy.kill()
    rows = []
    for what, results in {f"a `{name}` step": steps, "a token written": tokens}.items():
        for load in ("idle", "busy"):
            some = {work: values for work, values in results.items() if work.startswith(load)}
            rows += [[what, *row] for row in compared(some, f"{load}, default")]
    same = "equal" if len(weights) == 1 else "NOT equal"
    return Table(
        "waiting",
        "What waiting costs: OMP_WAIT_POLICY as it is by default, and passive",
        "passive costs little on an idle machine, and gains much on a busy one",
        ["work", "machine, waiting", "seconds", "spread", "of default", "spread"],
        rows,
        [f"The weights after the last step of all runs are {same}, bit for bit."],
        {"step": steps, "token": tokens},
    )
