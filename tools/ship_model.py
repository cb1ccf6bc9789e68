"""Makes a small file of a trained model to ship with the kit: its best weights, in float16.

python tools/ship_model.py runs/pocket nanogpt_lib/recorded/pocket.safetensors
python tools/ship_model.py best.safetensors nanogpt_lib/recorded/talk.safetensors --bits 8

With --bits 8 every weight of a matrix takes 8 bits, and every row has a scale.
"""

import sys
from pathlib import Path

from nanogpt_lib.runs import checkpoint


def main(run: Path, target: Path, bits: int | None = None) -> int:
    data = checkpoint.load(run / checkpoint.BEST if run.is_dir() else run)
    if bits is None:
        data["weights"] = {name: weights.half() for name, weights in data["weights"].items()}
    checkpoint.save(data | {"bits": bits}, target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 5) or sys.argv[3:] not in ([], ["--bits", "8"]):
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), 8 if sys.argv[3:] else None))
