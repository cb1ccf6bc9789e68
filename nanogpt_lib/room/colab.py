"""The end of `colab_setup.sh`: fetches the text, says what this machine is and what to expect.

All figures are measured on this machine, in a few seconds, because such machines differ.
"""

import os
import sys

import torch

from nanogpt_lib.corpus import load_corpus
from nanogpt_lib.machine.device import Compute, pick_compute
from nanogpt_lib.runs.pace import seconds_per_step
from nanogpt_lib.runs.presets import PRESETS, Preset
from nanogpt_lib.runs.wording import duration
from nanogpt_lib.shakespeare.fetch import CorpusError

NO_GPU = """\
No GPU here. To get one: {way}, then run all cells from the top.
Without it the notebooks go on, with the `pocket` preset."""
# Where GPUs are chosen; the variable is one that the place sets in its kernels.
WAYS = {
    "COLAB_RELEASE_TAG": "Runtime > Change runtime type > T4 GPU",
    "KAGGLE_KERNEL_RUN_TYPE": "Settings > Accelerator > GPU T4 x2",
}


def main() -> int:
    """Prints text, device, precision and times; returns the exit status of the set-up."""
    try:
        text = load_corpus()
    except CorpusError as error:
        print(error)
        return 1
    print(f"Text: Tiny Shakespeare, {len(text):,} characters")
    device = pick_compute().device.type
    preset = PRESETS["pocket" if device == "cpu" else "workshop"]
    compute = pick_compute(device, width=preset.model.n_embd)
    print(f"Computing on {compute}")
    if compute.dtype == torch.float16:
        print("float16 cannot hold very small gradients, so the loss is scaled up for the way back")
    if compute.device.type == "cpu":
        way = next((way for name, way in WAYS.items() if name in os.environ), None)
        print(NO_GPU.format(way=way or "choose a machine with a GPU in this server's settings"))
    print(expected(preset, compute), flush=True)
    return 0


def expected(preset: Preset, compute: Compute) -> str:
    """How long the course's training takes on this device, estimated from a few real steps."""
    step, steps = seconds_per_step(preset, compute), preset.train.max_steps
    total = duration(step * steps * 1.1)  # a tenth for its evaluations
    return (
        f"Expected: a `{preset.name}` step takes {step * 1000:.0f} ms here, "
        f"so its {steps:,} steps take about {total}"
    )


if __name__ == "__main__":
    sys.exit(main())
