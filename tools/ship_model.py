"""Makes a small file of a trained model to ship with the kit: its best weights, in float16.

python tools/ship_model.py runs/pocket nanogpt_lib/recorded/pocket.safetensors
"""

import sys
from pathlib import Path

from nanogpt_lib.runs import checkpoint


def main(folder: Path, target: Path) -> int:
    data = checkpoint.load(folder / checkpoint.BEST)
    data["weights"] = {name: weights.half() for name, weights in data["weights"].items()}
    checkpoint.save(data, target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
