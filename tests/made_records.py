"""Records made up for tests of what reads them."""

import json
from dataclasses import asdict
from pathlib import Path

from nanogpt_lib.training import Evaluation, TrainConfig

ABOUT = {
    "type": "run",
    "format": 1,
    "started": "2026-11-22T11:00:00+00:00",
    "preset": "smoke",
    "command": "nanogpt train",
    "text": {"name": "own.txt", "sha256": "ab" * 32, "val_tokens": 500},
    "model": {"vocab_size": 65, "n_params": 1000},
    "train_config": asdict(TrainConfig(max_steps=20)),
    "machine": {"processor": "an abacus"},
    "ladder": [
        {"k": -1, "name": "uniform guess", "loss": 4.17},
        {"k": 0, "name": "character frequencies", "loss": 3.3},
    ],
}


def point(step, val_loss=3.0, **other):
    usual = {"tokens": 10 * step, "seconds": 0.1 * step, "lr": 1e-3, "train_loss": val_loss}
    return asdict(Evaluation(step=step, val_loss=val_loss, **(usual | other)))


END = {"step": 20, "stopped": "finished", "seconds": 2.5, "train_config": ABOUT["train_config"]}
POINTS = (point(0, 4.2), point(20))


def write(path, about=ABOUT, points=POINTS, end=None) -> Path:
    """A record with these lines; JSON here may hold what `runs.record` would never write."""
    lines = [about, *({"type": "eval", **p} for p in points)]
    lines += [{"type": "end", **END, **end}] if end else []
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
