"""A. One whole process each: the same model, tokens, optimiser and loss as nanoGPT on a CPU."""

import json
import os
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
    names = ["nanoGPT", "ours", "transformers, its Trainer"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        ours = [sys.executable, "-m", "nanogpt_lib", "train", "--preset", "pocket"]
        ours += ["--steps", str(steps), "--lr", "1e-3", "--eval-interval", "250"]
        ours += ["--grad-accum", "1", "--out", str(out)]
        losses = {name: [] for name in names}

        def run_ours() -> float:
            remove(out)
            seconds = process(ours, cwd=ROOT)()
            record = (out / "run.jsonl").read_text(encoding="utf-8").splitlines()
            losses["ours"].append(json.loads(record[-1])["whole_val_loss"])
            return seconds

        def run_nanogpt() -> float:
            limits = (f"--max_iters={steps}", f"--lr_decay_iters={steps}")
            command = args.nanogpt.train_command(*limits)
            seconds = process(command, cwd=args.nanogpt.folder)()
            losses["nanoGPT"].append(args.nanogpt.whole_val_loss())
            return seconds

        works = {"nanoGPT": run_nanogpt, "ours": run_ours}
        if has_trainer():
            peer = [sys.executable, "-m", "benchmarks.trainer", str(steps)]
            works[names[2]] = process(peer, cwd=ROOT, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        results = take_turns(works, args.rounds)
    rows = compared(results, "nanoGPT")
    for row in rows:
        seen = losses[row[0]]
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
    import importlib.util

    return importlib.util.find_spec("accelerate") is not None


def remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
