"""Train a GPT from scratch, and see how: one module for each notebook of the course.

Names are imported when they are first used, so that `import nanogpt_lib` costs nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# On a busy machine, PyTorch's threads would spin while they wait, and slow each other down: a step
# then takes several times as long (docs/PERFORMANCE.md). OpenMP reads this setting when PyTorch is
# imported, so it must come before anything else. A value that the user has set is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The module of each name of the course. Below, modules that are names themselves.
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
    "runs.checkpoint": ("load_model", "save_model"),
    "runs.figures": ("read_record",),
    "runs.handin": ("hand_in",),
    "runs.whole": ("resume", "train_preset"),
    "room.live": ("LivePlot",),
    "room.replay": ("replay",),
    "room.report": ("join", "leave"),
    "room.board": ("compare",),
    "room.chatbox": ("chat_box",),
    "room.playground": ("playground",),
    "room.drawing": ("draw_next",),
    "room.web.frames": ("attention_explorer", "softmax_slider"),
    "room.web.slope": ("slope_slider",),
    "room.web.page": ("page",),
    "room.web.serve": ("Server",),
    "course.heads": ("head_shares",),
    "course.mixing": ("mixed_loss",),
    "course.sketchpad": ("sketchpad",),
}
_MODULES = {
    "runs": ("checkpoint", "copying", "intervals", "quantise", "record"),
    "room": ("background", "doctor", "kernel"),
    "beyond": ("arithmetic", "chat", "digits", "finetune", "rl", "subwords", "voices"),
    "course": ("clinic", "exercises"),
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


# The same names again, for editors and type checkers: they do not run `__getattr__`.
if TYPE_CHECKING:
    from nanogpt_lib.batches import BatchSampler as BatchSampler
    from nanogpt_lib.beyond import arithmetic as arithmetic
    from nanogpt_lib.beyond import chat as chat
    from nanogpt_lib.beyond import digits as digits
    from nanogpt_lib.beyond import finetune as finetune
    from nanogpt_lib.beyond import rl as rl
    from nanogpt_lib.beyond import subwords as subwords
    from nanogpt_lib.beyond import voices as voices
    from nanogpt_lib.bpe import BPETokenizer as BPETokenizer
    from nanogpt_lib.corpus import load_corpus as load_corpus
    from nanogpt_lib.corpus import split as split
    from nanogpt_lib.course import clinic as clinic
    from nanogpt_lib.course import exercises as exercises
    from nanogpt_lib.course.heads import head_shares as head_shares
    from nanogpt_lib.course.mixing import mixed_loss as mixed_loss
    from nanogpt_lib.course.sketchpad import sketchpad as sketchpad
    from nanogpt_lib.machine.device import Compute as Compute
    from nanogpt_lib.machine.device import pick_compute as pick_compute
    from nanogpt_lib.machine.paths import runs_dir as runs_dir
    from nanogpt_lib.milestones import read_loss as read_loss
    from nanogpt_lib.milestones import verdict as verdict
    from nanogpt_lib.model import GPT as GPT
    from nanogpt_lib.model import Block as Block
    from nanogpt_lib.model import CausalSelfAttention as CausalSelfAttention
    from nanogpt_lib.model import GPTConfig as GPTConfig
    from nanogpt_lib.ngram import ladder as ladder
    from nanogpt_lib.ngram import ngram_loss as ngram_loss
    from nanogpt_lib.room import background as background
    from nanogpt_lib.room import doctor as doctor
    from nanogpt_lib.room import kernel as kernel
    from nanogpt_lib.room.board import compare as compare
    from nanogpt_lib.room.chatbox import chat_box as chat_box
    from nanogpt_lib.room.drawing import draw_next as draw_next
    from nanogpt_lib.room.live import LivePlot as LivePlot
    from nanogpt_lib.room.playground import playground as playground
    from nanogpt_lib.room.replay import replay as replay
    from nanogpt_lib.room.report import join as join
    from nanogpt_lib.room.report import leave as leave
    from nanogpt_lib.room.web.frames import attention_explorer as attention_explorer
    from nanogpt_lib.room.web.frames import softmax_slider as softmax_slider
    from nanogpt_lib.room.web.page import page as page
    from nanogpt_lib.room.web.serve import Server as Server
    from nanogpt_lib.room.web.slope import slope_slider as slope_slider
    from nanogpt_lib.runs import checkpoint as checkpoint
    from nanogpt_lib.runs import copying as copying
    from nanogpt_lib.runs import intervals as intervals
    from nanogpt_lib.runs import quantise as quantise
    from nanogpt_lib.runs import record as record
    from nanogpt_lib.runs.callbacks import Checkpoints as Checkpoints
    from nanogpt_lib.runs.callbacks import Progress as Progress
    from nanogpt_lib.runs.callbacks import TimeBudget as TimeBudget
    from nanogpt_lib.runs.callbacks import WriteSample as WriteSample
    from nanogpt_lib.runs.checkpoint import load_model as load_model
    from nanogpt_lib.runs.checkpoint import save_model as save_model
    from nanogpt_lib.runs.figures import read_record as read_record
    from nanogpt_lib.runs.handin import hand_in as hand_in
    from nanogpt_lib.runs.pace import fit_to_time as fit_to_time
    from nanogpt_lib.runs.presets import PRESETS as PRESETS
    from nanogpt_lib.runs.presets import get_preset as get_preset
    from nanogpt_lib.runs.presets import with_steps as with_steps
    from nanogpt_lib.runs.whole import resume as resume
    from nanogpt_lib.runs.whole import train_preset as train_preset
    from nanogpt_lib.sampling import generate as generate
    from nanogpt_lib.sampling import next_scores as next_scores
    from nanogpt_lib.sampling import probabilities as probabilities
    from nanogpt_lib.sampling import stream as stream
    from nanogpt_lib.sampling import window_start as window_start
    from nanogpt_lib.tokenizer import CharTokenizer as CharTokenizer
    from nanogpt_lib.training import Callback as Callback
    from nanogpt_lib.training import TrainConfig as TrainConfig
    from nanogpt_lib.training import evaluate as evaluate
    from nanogpt_lib.training import lr_at as lr_at
    from nanogpt_lib.training import make_optimizer as make_optimizer
    from nanogpt_lib.training import new_run as new_run
    from nanogpt_lib.training import step as step
    from nanogpt_lib.training import train as train
