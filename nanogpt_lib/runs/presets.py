"""Sizes of models and lengths of training that go together.

`workshop` is the talk's model; the smaller ones are for machines without a GPU. They mean the
same as in nanoGPT, so that results can be compared.
"""

import math
import os
from dataclasses import dataclass, replace

from nanogpt_lib.model import GPTConfig
from nanogpt_lib.training import TrainConfig


@dataclass(frozen=True)
class Preset:
    """A model's shape, how it is trained, and what for."""

    name: str
    model: GPTConfig  # its vocab_size is replaced by the text's
    train: TrainConfig
    purpose: str
    # For `fit_to_time`; estimates, where nothing else is said.
    enough: int  # steps from which on it ends lower than the next smaller one in the same time
    most: int  # steps after which it has read the text so often that it learns it by heart


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "smoke",
            GPTConfig(block_size=32, n_layer=2, n_head=2, n_embd=32),
            TrainConfig(
                max_steps=30,
                batch_size=8,
                warmup_steps=5,
                eval_interval=10,
                eval_batches=2,
                learning_rate=1e-2,
                min_lr=1e-3,
            ),
            "seconds; shows that everything works, learns next to nothing",
            enough=0,
            most=300,
        ),
        Preset(
            "pocket",
            # nanoGPT's model for CPUs, 804,096 parameters. With three times its learning rate
            # three quarters of its 2,000 steps go further.
            GPTConfig(block_size=64, n_layer=4, n_head=4, n_embd=128, bias=False),
            TrainConfig(
                max_steps=1500,
                batch_size=12,
                # Tried over 2,000 steps: 1e-3 ends at 1.89, 3e-3 at 1.75, 6e-3 at 1.77.
                learning_rate=3e-3,
                min_lr=1e-4,
                eval_batches=4,
            ),
            "a minute or two on a CPU; words",
            enough=0,
            most=15_000,  # here it stands at 1.51 and still learns
        ),
        Preset(
            "laptop",
            GPTConfig(block_size=128, n_layer=6, n_head=6, n_embd=192, bias=False),
            TrainConfig(
                max_steps=4000,
                # From the same tokens many small steps learn more than few large ones.
                batch_size=8,
                learning_rate=3e-3,
                min_lr=3e-4,
                eval_interval=500,
                eval_batches=4,
            ),
            "a quarter of an hour on a laptop's CPU; words, and the first phrases",
            # At 4,000 steps `pocket` is far ahead; whether it is at 8,000 was not measured.
            enough=8000,
            most=16_000,
        ),
        Preset(
            "workshop",
            GPTConfig(block_size=256, n_layer=6, n_head=6, n_embd=384, dropout=0.2),
            TrainConfig(eval_batches=None),  # its whole validation split is only 7 batches
            "the talk's model: minutes on a GPU, hours on a CPU; lines after Shakespeare",
            enough=2000,
            most=50_000,
        ),
    )
}


def get_preset(name: str) -> Preset:
    """A preset by its name. Raises ValueError, and names them all, where there is none.

    The environment variable NANOGPT_PRESET takes the place of any name: so all notebooks can be
    run in seconds (NANOGPT_PRESET=smoke).
    """
    name = os.environ.get("NANOGPT_PRESET") or name
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def with_steps(preset: Preset, steps: int) -> Preset:
    """The preset trained for another number of steps, evaluated about eight times on the way.

    The quick evaluations are cut down until they take less than a tenth of the time: a token
    costs about a third in evaluation of what it costs in training (no backward pass). In a short
    run there are fewer of them, but at least three: so many it takes to judge a curve.
    """
    if steps < 0:
        raise ValueError(f"steps must not be negative: {steps}")
    train = preset.train
    affordable = 0.07 * steps * train.batch_size * 3 / 2 / 64  # batches, from each split
    evaluations = max(3, min(9, int(affordable)))
    interval = max(1, math.ceil(steps / (evaluations - 1)))
    batches = max(1, min(int(affordable / evaluations), train.eval_batches or 20))
    quick = replace(train, max_steps=steps, eval_interval=interval, eval_batches=batches)
    return replace(preset, train=quick)
