"""Sizes of models and lengths of training that go together.

`workshop` is the talk's model. The smaller ones are for machines without a GPU. All settings mean
the same as in nanoGPT, so you can compare results.
"""

import math
import os
from dataclasses import dataclass, replace

from nanogpt_lib.checks import shown, whole_number
from nanogpt_lib.model import GPTConfig
from nanogpt_lib.modern.model import ModernConfig
from nanogpt_lib.training import START, TrainConfig


@dataclass(frozen=True)
class Preset:
    """A model's shape, how it is trained, and its purpose."""

    name: str
    model: GPTConfig | ModernConfig  # its vocab_size is replaced by the text's
    train: TrainConfig
    purpose: str
    # Both for `fit_to_time`. They are estimates unless a comment says more.
    enough: int  # steps it needs to beat the next smaller preset in equal time
    most: int  # with more steps it reads the text so often that it learns it by heart


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
            # nanoGPT's model for CPUs, 804,096 parameters. With three times nanoGPT's learning
            # rate, three quarters of its 2,000 steps reach a lower loss.
            GPTConfig(block_size=64, n_layer=4, n_head=4, n_embd=128, bias=False),
            TrainConfig(
                max_steps=1500,
                batch_size=12,
                # After 2,000 steps: 1.89 with 1e-3, 1.75 with 3e-3, 1.77 with 6e-3.
                learning_rate=3e-3,
                min_lr=1e-4,
                eval_interval=500,  # with those of the start they take a tenth of its time
                eval_batches=4,
            ),
            "a minute or two on a CPU; words",
            enough=0,
            most=15_000,  # here its loss is 1.51, and it still learns
        ),
        Preset(
            "laptop",
            GPTConfig(block_size=128, n_layer=6, n_head=6, n_embd=192, bias=False),
            TrainConfig(
                max_steps=4000,
                # With the same tokens, many small steps learn more than a few large ones.
                batch_size=8,
                learning_rate=3e-3,
                min_lr=3e-4,
                eval_interval=500,
                eval_batches=4,
            ),
            "a quarter of an hour on a laptop's CPU; words, and the first phrases",
            # At 4,000 steps `pocket` is far ahead. 8,000 steps were not measured.
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


# For GPUs, with tokens that `nanogpt data` made; no time on this machine leads to it by itself.
GPT2 = Preset(
    "gpt2",
    # GPT-2's smallest model: 124,439,808 parameters with its 50,257 tokens. Radford et al. 2019.
    GPTConfig(block_size=1024, n_layer=12, n_head=12, n_embd=768),
    TrainConfig(  # as nanoGPT repeats it: half a million tokens a step
        max_steps=600_000,
        batch_size=480,
        learning_rate=6e-4,
        min_lr=6e-5,
        warmup_steps=2000,
        beta2=0.95,
        eval_interval=1000,
        eval_batches=3,
    ),
    "GPT-2 with 124 million parameters: days on eight GPUs",
    enough=600_000,
    most=600_000,
)


# The modern model: `nanogpt train --recipe modern`. Its settings were chosen on the last
# tenth of the training text (docs/PERFORMANCE.md, "The modern recipe").
SWITCHED_ON = ModernConfig(
    block_size=256, n_layer=6, n_head=2, n_embd=192, rope=True, qk_norm=True, relu2=True,
    zero_init=True, dropout=0.1,
)  # fmt: skip
MODERN = {
    preset.name: preset
    for preset in (
        Preset(
            "modern-3",
            replace(SWITCHED_ON, n_layer=4, n_head=1, n_embd=128, dropout=0.0),
            TrainConfig(
                max_steps=1600,
                batch_size=8,
                learning_rate=5e-3,
                min_lr=0.0,
                warmup_steps=20,
                beta1=0.8,
                beta2=0.95,
                eval_interval=400,
                eval_batches=2,
            ),
            "the modern model for about three minutes on a CPU; phrases",
            enough=0,
            most=8000,
        ),
        Preset(
            "modern-15",
            SWITCHED_ON,
            TrainConfig(
                max_steps=2000,
                batch_size=16,
                learning_rate=5e-3,
                min_lr=0.0,
                warmup_steps=20,
                beta1=0.8,
                beta2=0.95,
                eval_interval=500,
                eval_batches=2,
            ),
            "the modern model for about a quarter of an hour on a CPU; lines after Shakespeare",
            enough=1000,
            most=8000,
        ),
    )
}


def get_preset(name: str) -> Preset:
    """A preset by its name. Raises ValueError, which lists all names, if there is no such preset.

    The environment variable NANOGPT_PRESET overrides every name. So you can run all notebooks in
    seconds (NANOGPT_PRESET=smoke).
    """
    name = os.environ.get("NANOGPT_PRESET") or name
    every = {**PRESETS, **MODERN, GPT2.name: GPT2}
    if not isinstance(name, str) or name not in every:
        raise ValueError(f"there is no preset {shown(name)}; there are {', '.join(every)}")
    return every[name]


def smaller(tokens: int) -> str:
    """What helps if a text is too short for a preset's context: the preset that fits, if any does.

    tokens: of the shorter split.
    """
    fitting = [preset for preset in PRESETS.values() if preset.model.block_size < tokens]
    if not fitting:
        return ""
    best = max(fitting, key=lambda preset: preset.model.block_size)
    return (
        f", or take the preset {best.name}, with a context of {best.model.block_size} "
        f"(on the command line --preset {best.name})"
    )


def with_steps(preset: Preset, steps: int) -> Preset:
    """The preset with another number of steps, and with evaluations that fit them.

    Every run is evaluated often at its start (`training.START`). After that there are up to eight
    evaluations, evenly spread: as many as take, all together, less than a tenth of the time. In
    evaluation a token costs about a third of its cost in training (no backward pass). A short run
    has no more than those of its start, and at least three: the number needed to judge a curve.
    """
    steps = whole_number(steps, "steps")
    train = preset.train
    affordable = 0.07 * steps * train.batch_size * 3 / 2 / 64  # batches, from each split
    first = sum(step < steps for step in START)
    rest = max(1 if first > 1 else 2, min(8, int(affordable) - first))
    interval = max(1, math.ceil(steps / rest))
    batches = max(1, min(int(affordable / (first + rest)), train.eval_batches or 20))
    quick = replace(train, max_steps=steps, eval_interval=interval, eval_batches=batches)
    return replace(preset, train=quick)
