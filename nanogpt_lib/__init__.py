"""Train a GPT from scratch, and see how: one module for each notebook of the course.

Names are imported when they are first used, so that `import nanogpt_lib` costs nothing.
"""

import os
from importlib import import_module

__version__ = "0.1.0"

# On a busy machine, PyTorch's threads would spin while they wait for each other, and be in each
# other's way: a step then takes several times as long (docs/PERFORMANCE.md). OpenMP reads this when
# PyTorch is imported, so it stands here, before anything else; what the user has set is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Where each name of the course lives. A module that stands for itself is a name, too.
_HOME = {
    "corpus": ("load_corpus", "split"),
    "batches": ("BatchSampler",),
    "tokenizer": ("CharTokenizer",),
    "bpe": ("BPETokenizer",),
    "ngram": ("ladder", "ngram_loss"),
    "model": ("GPT", "GPTConfig", "CausalSelfAttention", "Block"),
    "training": (
        "Callback",
        "TrainConfig",
        "evaluate",
        "lr_at",
        "make_optimizer",
        "new_run",
        "step",
        "train",
    ),
    "milestones": ("read_loss", "verdict"),
    "sampling": ("generate", "next_scores", "probabilities", "stream", "window_start"),
    "machine.device": ("Compute", "pick_compute"),
    "machine.paths": ("runs_dir",),
    "runs.presets": ("PRESETS", "get_preset", "with_steps"),
    "runs.pace": ("fit_to_time",),
    "runs.callbacks": ("Checkpoints", "Progress", "TimeBudget", "WriteSample"),
    "runs.checkpoint": ("load_model",),
    "runs.figures": ("read_record",),
    "runs.whole": ("resume", "train_preset"),
    "room.live": ("LivePlot",),
    "room.replay": ("replay",),
    "room.board": ("compare",),
    "room.playground": ("playground",),
    "beyond.sketchpad": ("sketchpad",),
}
_MODULES = {
    "runs": ("checkpoint", "record"),
    "room": ("background", "doctor"),
    "beyond": ("arithmetic", "chat", "digits", "finetune", "rl", "subwords", "voices"),
    "course": ("clinic", "copying", "exercises"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
_ROOM_OF = {module: room for room, modules in _MODULES.items() for module in modules}
__all__ = sorted([*_MODULE_OF, *_ROOM_OF])


def __getattr__(name):
    if name in _ROOM_OF:
        return import_module(f"nanogpt_lib.{_ROOM_OF[name]}.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'nanogpt_lib' has no attribute {name!r}")
    return getattr(import_module(f"nanogpt_lib.{_MODULE_OF[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
