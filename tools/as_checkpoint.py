"""Makes a checkpoint of a file that holds only the weights of a recorded run.

python tools/as_checkpoint.py weights.safetensors run.jsonl best.safetensors

The weights' metadata says which model they are of, and at which step. Everything else that a
checkpoint holds comes from the record. The result is enough to sample, not to continue training.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from safetensors import safe_open

from nanogpt_lib.runs import checkpoint, record


def main(weights: Path, run: Path, target: Path) -> int:
    with safe_open(weights, framework="pt") as file:
        about = {name: json.loads(value) for name, value in file.metadata().items()}
        names = list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
    kept = record.read(run)
    points = [point for point in kept.history if point.step <= about["step"]]
    data = {
        "format": checkpoint.FORMAT,
        "family": "gpt",
        "model_config": about["model_config"],
        "train_config": kept.train_config,
        "tokenizer": about["tokenizer"],
        "about": {
            "preset": kept.about["preset"],
            "sha256": kept.about["text"]["sha256"],
            "run": kept.about,
        },
        "step": about["step"],
        "seconds": points[-1].seconds,  # of the last evaluation before them
        "history": [asdict(point) for point in points],
        "weights": tensors,
    }
    checkpoint.save(data, target)
    checkpoint.load(target)  # raises CheckpointError if the weights are not of such a model
    print(f"{target}: step {about['step']:,}, {target.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*map(Path, sys.argv[1:])))
