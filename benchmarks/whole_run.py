"""A. One whole process each: the same model, tokens, optimiser and loss as nanoGPT on a CPU."""

import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.bench import ROOT, Table, compared, process, take_turns


def run(args) -> Table | None:
    if args.nanogpt is None:
        print("whole_run needs a clone of nanoGPT: --nanogpt DIR", file=sys.stderr)
        return None
    args.nanogpt.prepare()
    steps = args.steps or 2000
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        losses = {}

        def ours(name: str, *options: str):
            """Runs our own program, and keeps its loss."""
            command = [sys.executable, "-m", "nanogpt_lib", "train", "--preset", "pocket", *options]

            def work() -> float:
                shutil.rmtree(out, ignore_errors=True)
                seconds = process([*command, "--out", str(out)], cwd=ROOT)()
                record = (out / "run.jsonl").read_text(encoding="utf-8").splitlines()
                losses.setdefault(name, []).append(json.loads(record[-1])["whole_val_loss"])
                return seconds

            return work

        def run_nanogpt() -> float:
            limits = (f"--max_iters={steps}", f"--lr_decay_iters={steps}")
            command = args.nanogpt.train_command(*limits)
            seconds = process(command, cwd=args.nanogpt.folder)()
            losses.setdefault("nanoGPT", []).append(args.nanogpt.whole_val_loss())
            return seconds

        same = ("--steps", str(steps), "--lr", "1e-3", "--eval-interval", "250")
        # As many tokens in half as many steps, evaluated as often; a larger batch bears more.
        half = ("--steps", str(steps // 2), "--lr", "5e-3", "--eval-interval", "125")
        double = (*half, "--batch-size", "24")
        works = {
            "nanoGPT": run_nanogpt,
            "ours": ours("ours", *same),
            "ours, 24 sequences a step": ours("ours, 24 sequences a step", *double),
        }
        if has_trainer():
            peer = [sys.executable, "-m", "benchmarks.trainer", str(steps)]
            offline = os.environ | {"HF_HUB_OFFLINE": "1"}
            works["transformers, its Trainer"] = process(peer, cwd=ROOT, env=offline)
        results = take_turns(works, args.rounds)
    rows = compared(results, "nanoGPT")
    for row in rows:
        seen = losses.get(row[0])
        row.append(f"{min(seen):.3f} to {max(seen):.3f}" if seen else "not measured")
    remarks = [] if has_trainer() else ["transformers' Trainer left out: pip install accelerate"]
    return Table(
        "whole_run",
        f"A. nanoGPT's CPU preset, {steps:,} steps, from process start to end",
        "at most 0.7 of nanoGPT's wall time",
        ["program", "seconds", "spread", "of nanoGPT", "spread", "whole validation loss"],
        rows,
        remarks,
        {"seconds": results, "losses": losses},
    )


def has_trainer() -> bool:
    return importlib.util.find_spec("accelerate") is not None
