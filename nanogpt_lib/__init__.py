"""Train a GPT from scratch, and see how: one module for each notebook of the course.

Names are imported when they are first used, so that `import nanogpt_lib` costs nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "corpus": ("BatchSampler", "load_corpus", "split"),
    "tokenizer": ("CharTokenizer",),
    "bpe": ("BPETokenizer",),
    "ngram": ("ladder",),
    "model": ("GPT", "GPTConfig"),
    "device": ("Compute", "pick_compute"),
    "presets": ("PRESETS", "fit_to_time", "get_preset"),
    "training": ("TrainConfig", "evaluate", "lr_at", "start", "train"),
    "checkpoint": ("load_model",),
    "runs": ("resume", "train_preset"),
    "milestones": ("read_loss", "verdict"),
    "sampling": ("generate", "probabilities", "stream"),
    "playback": ("replay",),
    "board": ("compare",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'nanogpt_lib' has no attribute {name!r}")
    return getattr(import_module(f"nanogpt_lib.{_MODULE_OF[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
