"""Characters against pieces of words: what can be compared, and the runs that compare it.

`recorded/subwords` holds the records of models that were trained with the same number of
operations. They differ in their vocabulary, and in the amount of training text.
`python -m experiments subwords` made them.
"""

import copy
import math
from dataclasses import dataclass, replace

import torch

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.checks import number, whole_number
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.machine.paths import RECORDED
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.ngram import keys
from nanogpt_lib.runs.record import Record, read
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import Callback, Run, TrainConfig, evaluate, new_run

FOLDER = RECORDED / "subwords"
CHARACTERS = 65  # this vocabulary size means CharTokenizer
CONTEXT = 64  # characters that each model's context covers, about, with any tokens

SIZE = GPTConfig(block_size=CONTEXT, n_layer=2, n_head=4, n_embd=64, bias=False)
TRAINING = TrainConfig(batch_size=12, learning_rate=4e-3, min_lr=2e-4, eval_batches=6)
EVALUATIONS = 12  # in each run; the best of them counts
FLOPS = 8e11  # multiplications and additions in 1,500 steps of the model of characters


def bits_per_character(loss: float, n_tokens: int, n_characters: int) -> float:
    """A loss in nats a token as bits a character, which can be compared across vocabularies.

    loss: the mean over `n_tokens` tokens, which together write `n_characters` characters.
    """
    n_tokens = whole_number(n_tokens, "n_tokens")
    n_characters = whole_number(n_characters, "n_characters", 1)
    return number(loss, "loss") * n_tokens / n_characters / math.log(2)


def flops_per_token(config: GPTConfig) -> int:
    """Multiplications and additions to train on one token.

    Six for each weight (two forward, four backward). In attention twelve for each layer, channel
    and place of the context, as if no mask spared half of it (Chowdhery et al. 2022,
    arXiv:2204.02311, appendix B). The embedding counts once, as the last layer: to look up a row
    costs nothing.
    """
    C = config.n_embd
    weights = 12 * config.n_layer * C * C + config.vocab_size * C
    attention = 2 * config.n_layer * config.block_size * C  # q k^T and its product with v
    return 6 * (weights + attention)


def pairs_covered(train_ids, val_ids, vocab_size: int) -> float:
    """The share, 0 to 1, of the neighbouring pairs in `val_ids` that also occur in `train_ids`.

    train_ids, val_ids: int64 (N,), on the CPU, each with two tokens or more.
    """
    seen = keys(train_ids, 2, vocab_size)
    return torch.isin(keys(val_ids, 2, vocab_size), seen).double().mean().item()


@dataclass(frozen=True)
class Setting:
    """A run: its vocabulary, its amount of training text, and its amount of computation."""

    vocab_size: int
    train_chars: int | None = None  # characters of the training text to use; None for all
    flops: float = FLOPS
    whole: bool = False  # the vocabulary is learnt from all the training text, not from a part
    seed: int = TRAINING.seed
    device: str = "cpu"


def settings() -> dict[str, Setting]:
    """All runs by name: three vocabularies, two lengths of text."""
    found = {}
    for length, train_chars in {"1mb": None, "50kb": 50_000}.items():
        for vocab_size in (CHARACTERS, 512, 4096):
            found[f"{family(vocab_size)}-{length}"] = Setting(vocab_size, train_chars)
    return found


def family(vocab_size: int) -> str:
    return "characters" if vocab_size == CHARACTERS else f"bpe-{vocab_size}"


SETTINGS = settings()


@dataclass
class Trial:
    """A setting that is ready to train: `train(trial.run)`, and then `result(trial)`."""

    run: Run
    tokenizer: CharTokenizer | BPETokenizer
    train_chars: int
    val_chars: int


def prepare(setting: Setting) -> Trial:
    """Tokenizer, model and steps of a setting.

    These are equal in all settings: the flops of the training, the number of characters that a
    context covers (as nearly as whole tokens allow), the number of contexts in a step, the model's
    layers and width, the seed, and the learning rates. The vocabulary is learnt only from the
    training text of the setting, or from all the training text.
    """
    whole_text, val_text = split(load_corpus())
    train_text = whole_text[: setting.train_chars]
    tokenizer: CharTokenizer | BPETokenizer
    if setting.vocab_size == CHARACTERS:
        tokenizer = CharTokenizer.train(load_corpus())  # so that no character is unknown later
    else:
        learnt_from = whole_text if setting.whole else train_text
        tokenizer = BPETokenizer.train(learnt_from, setting.vocab_size)
    train_ids = torch.tensor(tokenizer.encode(train_text))
    val_ids = torch.tensor(tokenizer.encode(val_text))
    context = max(1, round(CONTEXT * len(train_ids) / len(train_text)))  # in tokens
    size = replace(SIZE, vocab_size=tokenizer.vocab_size, block_size=context)
    steps = round(setting.flops / (flops_per_token(size) * TRAINING.batch_size * context))
    often = math.ceil(steps / EVALUATIONS)
    config = replace(TRAINING, max_steps=steps, eval_interval=often, seed=setting.seed)
    torch.manual_seed(config.seed)
    run = new_run(GPT(size), train_ids, val_ids, config, pick_compute(setting.device, "float32"))
    return Trial(run, tokenizer, len(train_text), len(val_text))


class KeepBest(Callback):
    """Keeps the weights of the best evaluation: a model with little training text overfits."""

    def on_eval(self, run):
        if run.best is run.history[-1]:
            self.weights = copy.deepcopy(run.model.state_dict())

    def on_end(self, run):
        run.model.load_state_dict(self.weights)


def result(trial: Trial) -> dict:
    """The result of a trained setting: the last line of its record.

    "bits" is the number to compare: bits a character over the whole validation split.
    """
    run, best = trial.run, trial.run.best
    assert best is not None  # a run that was trained has been evaluated
    loss = evaluate(run.model, run.val_ids)  # the mean over all tokens but the first
    first = len(trial.tokenizer.decode(run.val_ids[:1]))
    flops = flops_per_token(run.model.config) * run.tokens
    return {
        "type": "result",
        "step": best.step,
        "whole_val_loss": loss,
        "bits": bits_per_character(loss, len(run.val_ids) - 1, trial.val_chars - first),
        "characters_a_token": trial.train_chars / len(run.train_ids),
        "times_read": run.tokens / len(run.train_ids),
        "flops": flops,
    }


def recorded(name: str) -> Record:
    """The recorded run of that name, a key of SETTINGS; its `result` is what `result` returned."""
    return read(FOLDER / f"{name}.jsonl")
