"""Checks that refuse texts and settings that cannot work, and the error messages.

The dataclasses of `model` and `training` show what you can set. This module refuses the values
that make no sense there.
"""

import math
import warnings
from numbers import Integral, Real
from operator import index

import torch

LONGEST_TOKEN = 1000  # bytes
LOOKED_AT = 10_000_000  # tokens at each end of a long text
MOST_COPIED = 0.1  # share of the validation text; with more, its loss also measures memory


class TextError(ValueError):
    """A text that cannot be trained on; the message says why and what to do."""


def shown(value) -> str:
    """A wrong value for a message, at most a line of it."""
    try:
        words = " ".join(repr(value).split())
    except Exception:  # Python refuses to write a number of thousands of digits
        return f"a value of type {type(value).__name__}"
    return words if len(words) <= 60 else f"{words[:57]}..."


def whole_number(value, name: str, least: int = 0, more: str = "") -> int:
    """A whole number as a plain int. Raises ValueError unless it lies from `least` to 2**63 - 1.

    name: what the message calls it. more: what the message says behind the number.
    """
    if not is_whole(value) or value < least:
        low = f" from {least} up" if least >= 0 else ""
        raise ValueError(f"{name} must be a whole number{low}{more}, not {shown(value)}")
    if value >= 2**63:
        raise ValueError(f"{name} must be a whole number below 2**63{more}, not {shown(value)}")
    return int(value)


def number(value, name: str) -> int | float:
    """A plain number, also inf or nan. Raises ValueError for anything else.

    A fraction becomes a float. A whole number that no float can hold is refused.
    """
    if not is_number(value):
        raise ValueError(f"{name} must be a number, not {shown(value)}")
    try:
        return value if math.isfinite(value) and type(value) in (int, float) else float(value)
    except OverflowError:
        raise ValueError(f"{name} must be a number below 1e308, not {shown(value)}") from None


def above_zero(value, name: str) -> int | float:
    """A plain, finite number above 0. Raises ValueError for anything else."""
    value = number(value, name)
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0, not {value}")
    return value


def from_zero(value, name: str) -> int | float:
    """A plain, finite number from 0 up. Raises ValueError for anything else."""
    value = number(value, name)
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number from 0 up, not {value}")
    return value


def below_one(value, name: str) -> int | float:
    """A plain number in [0, 1). Raises ValueError for anything else."""
    value = number(value, name)
    if not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1), not {value}")
    return value


def one_of(value, name: str, *choices: str) -> None:
    """Raises ValueError unless a value is one of these words."""
    if not isinstance(value, str) or value not in choices:
        *most, last = [f'"{choice}"' for choice in choices]
        raise ValueError(f"{name} must be {', '.join(most)} or {last}, not {shown(value)}")


def settings(config, check, *names: str, **more) -> None:
    """Checks fields of a dataclass. They become plain: only these are safe in a checkpoint."""
    for name in names:
        setattr(config, name, check(getattr(config, name), name, **more))


def check_vocabulary(ids, vocab_size: int, name: str = "ids") -> None:
    """Raises ValueError unless ids are a tensor of whole numbers in [0, vocab_size)."""
    numbers = isinstance(ids, torch.Tensor) and ids.dim() > 0
    if not numbers or ids.is_floating_point() or ids.is_complex():
        raise ValueError(f"{name} must be a tensor of whole numbers, int64, not {shown(ids)}")
    if ids.numel():
        if ids.dtype == torch.uint16:  # of which PyTorch finds no minimum
            ids = ids.int()
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= vocab_size:
            raise ValueError(
                f"{name} go from {low} to {high}, but vocab_size is {vocab_size}: take the "
                "tokenizer that belongs to the model"
            )


def check_length(
    train_ids, val_ids, block_size: int, way: str = ", or a smaller block_size"
) -> None:
    """Raises TextError if a split is too short for one context and its targets.

    way: what else helps, for the message.
    """
    block_size = whole_number(block_size, "block_size", 1)
    shortest = min(len(train_ids), len(val_ids))
    if shortest <= block_size:
        raise TextError(
            f"the text is too short for a context of {block_size}: its shorter split has "
            f"{shortest:,} tokens and needs {block_size + 1:,}. Give a text of at least "
            f"{10 * (block_size + 1):,} tokens{way}"
        )


def check_sampler(ids, block_size: int, batch_size: int, seed: int) -> None:
    """Raises ValueError or TextError if no batches can be drawn so."""
    whole_number(batch_size, "batch_size", 1)
    whole_number(seed, "seed", -(2**63))
    check_length(ids, ids, block_size)


def check_run(train_ids, val_ids, config) -> None:
    """Raises ValueError or TextError unless a model of this shape can learn from these ids."""
    check_vocabulary(ends(train_ids), config.vocab_size, "train_ids")
    check_vocabulary(ends(val_ids), config.vocab_size, "val_ids")
    check_length(train_ids, val_ids, config.block_size)


def ends(ids):
    """The ids, or only the first and the last ten million: to read 10 GB takes a while."""
    if not isinstance(ids, torch.Tensor) or ids.dim() != 1 or len(ids) <= 2 * LOOKED_AT:
        return ids
    return torch.cat([ids[:LOOKED_AT], ids[-LOOKED_AT:]])


def check_evaluation(ids, n_batches: int | None, batch_size: int, config) -> None:
    """Raises ValueError if nothing can be evaluated so. config: the model's."""
    whole_number(batch_size, "batch_size", 1)
    check_vocabulary(ends(ids), config.vocab_size)
    T, batches = config.block_size, n_batches is None or (is_whole(n_batches) and n_batches > 0)
    if len(ids) <= T or not batches:
        what = f"{len(ids)} tokens, context {T}, n_batches={shown(n_batches)}"
        raise ValueError(f"nothing to evaluate: {what}")


def check_context(idx, start: int, config) -> None:
    """Raises ValueError if a model cannot read these ids, int64 (B, T), from position `start` on.

    On a GPU the ids themselves are not looked at: that would wait for it at each step.
    """
    if not isinstance(idx, torch.Tensor) or idx.dim() != 2:
        raise ValueError(f"idx must be a tensor of the shape (B, T), not {shown(idx)}")
    end = start + idx.size(1)
    if end > config.block_size:
        raise ValueError(f"{end} tokens do not fit the context of {config.block_size}")
    if idx.device.type == "cpu" and not torch.compiler.is_compiling():
        check_vocabulary(idx, config.vocab_size, "idx")


def check_share(value, name: str) -> int | float:
    """A plain number from 0 to 1. Raises ValueError for anything else."""
    value = number(value, name)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a share from 0 to 1, not {value}")
    return value


def check_ngram(train_ids, val_ids, vocab_size: int, k: int, alpha: float, fits) -> None:
    """Raises ValueError if no table of n-grams can be counted so.

    fits: whether every run of k + 1 tokens gets its own number of 64 bits, fits(k, vocab_size).
    """
    if not number(alpha, "alpha") > 0 or alpha == math.inf:
        raise ValueError(f"alpha must be above 0, not {alpha}: unseen tokens need some chance")
    if not is_whole(k) or k < 0:
        raise ValueError(f"k must be 0 or more, not {shown(k)}: it counts the tokens of context")
    check_counting(train_ids, val_ids, vocab_size)
    if min(len(train_ids), len(val_ids)) <= k:
        raise ValueError(f"{k} tokens of context need texts longer than {k} tokens")
    if not fits(k, vocab_size):
        raise ValueError(
            f"{k} tokens of context are too many: {k + 1} out of {vocab_size} symbols no longer "
            "fit into a number of 64 bits"
        )


def check_counting(train_ids, val_ids, vocab_size: int, longest: int = 0) -> None:
    """Raises ValueError unless these ids are of a vocabulary of this size."""
    whole_number(vocab_size, "vocab_size", 1)
    whole_number(longest, "longest")
    check_vocabulary(train_ids, vocab_size, "train_ids")
    check_vocabulary(val_ids, vocab_size, "val_ids")


def check_loss(value, split: str) -> None:
    """Raises ValueError for what is no loss, or of no split; nan and inf are losses."""
    one_of(split, "split", "train", "val")
    if -math.inf < number(value, "value") < 0:
        raise ValueError(f"value is a cross-entropy, which is never negative: {value}")


def check_max_symbols(max_symbols: int | None) -> None:
    """Raises ValueError for a cap that leaves no room."""
    if max_symbols is not None and not (is_whole(max_symbols) and max_symbols >= 2):
        raise ValueError(
            "max_symbols must leave room for one character and the unknown: a whole number from 2 "
            f"up, not {shown(max_symbols)}"
        )


def copied_in_words(copied: float) -> str:
    """What it means if this share of the validation text stands in the training text, too."""
    return (
        f"{copied:.0%} of the validation text also stands in the training text (in windows of 50 "
        "characters). So its loss tells how well a model remembers, not how it does on new text: "
        "take out what the text holds twice"
    )


def check_model(config) -> None:
    """Raises ValueError for a `model.GPTConfig` that no GPT can have."""
    shape = ("vocab_size", "block_size", "n_layer", "n_head", "n_embd")
    settings(config, whole_number, *shape, least=1)
    if config.n_embd % config.n_head:
        raise ValueError(
            f"n_embd ({config.n_embd}) must be a multiple of n_head ({config.n_head}): "
            "the heads share the channels equally"
        )
    settings(config, below_one, "dropout")
    config.dropout = float(config.dropout)


def check_training(config) -> None:
    """Raises ValueError for a `training.TrainConfig` that cannot train anything."""
    settings(config, whole_number, "batch_size", "eval_interval", least=1)
    for name in ("grad_accum", "eval_batches"):
        if getattr(config, name) is not None:
            settings(config, whole_number, name, least=1)
    settings(config, whole_number, "max_steps", "warmup_steps")
    settings(config, above_zero, "learning_rate", "grad_clip")
    settings(config, from_zero, "min_lr", "weight_decay")
    settings(config, below_one, "beta1", "beta2")
    if config.max_seconds is not None:
        settings(config, from_zero, "max_seconds")
    settings(config, whole_number, "seed", least=-(2**63))
    if config.grad_accum and config.grad_accum > config.batch_size:
        raise ValueError(
            f"grad_accum ({config.grad_accum}) cannot exceed batch_size ({config.batch_size}): "
            "a part of a batch is at least one sequence"
        )


def check_sampling(temperature, top_k, top_p) -> tuple:
    """Sampling settings as plain numbers. Raises ValueError if they make no sense; says what would.

    top_k and top_p may be None.
    """
    if not 0 <= number(temperature, "temperature") < math.inf:
        raise ValueError(
            "temperature must be a number, 0 (always the likeliest token) or more, "
            f"not {shown(temperature)}"
        )
    if top_k is not None:
        top_k = min(top_k, 2**62) if is_whole(top_k) else top_k  # no model has more symbols
        top_k = whole_number(top_k, "top_k", 1, ", or None for all")
    if top_p is not None and not 0 < number(top_p, "top_p") <= 1:
        raise ValueError(f"top_p must lie above 0 and up to 1, or be None, not {shown(top_p)}")
    return float(temperature), top_k, None if top_p is None else float(top_p)


def check_span(length: int, block_size: int) -> None:
    """Raises ValueError for a number of tokens or a context that makes no sense."""
    whole_number(length, "length")
    whole_number(block_size, "block_size", 1)


def check_writing(max_new_tokens, seed, top_k=None, vocab_size: int = 0, usual=None) -> None:
    """Raises ValueError for a length or a seed that makes no sense.

    It warns of a top_k above the number of symbols, unless it is the usual one: nobody chose that.
    """
    whole_number(max_new_tokens, "max_new_tokens")
    if seed is not None:
        whole_number(seed, "seed", 1 - 2**63, " (or None for chance)")
    if top_k is not None and top_k > vocab_size and top_k != usual:
        warnings.warn(
            f"top_k is {shown(top_k)}, but there are only {vocab_size} symbols: taking all",
            stacklevel=4,  # the line that called `generate` or `stream`
        )


def check_prompt(prompt, known: int, vocab_size: int) -> None:
    """Raises ValueError for a prompt that is not a text, or a tokenizer of another model.

    known: number of symbols of the tokenizer. vocab_size: number of symbols of the model.
    """
    if known != vocab_size:
        raise ValueError(
            f"the tokenizer has {known} symbols and the model {vocab_size}: "
            "they do not belong together. `load_model` gives both from one checkpoint"
        )
    if not isinstance(prompt, str):
        raise ValueError(
            f"a prompt must be a text, not {shown(prompt)}; `generate` takes a list, too"
        )


def check_scores(finite: bool) -> None:
    """Raises ValueError if a model's scores are not finite."""
    if not finite:
        raise ValueError(
            "the model's scores are not finite: its training diverged (was the learning rate too "
            "high?). Take an earlier checkpoint, such as best.safetensors"
        )


def is_number(value) -> bool:
    """Whether this is a number of Python or NumPy. True and False do not count as numbers."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_token(symbol: bytes, merge: int) -> None:
    """Raises ValueError if a merge makes a token too long: forty could double it to a terabyte."""
    if len(symbol) > LONGEST_TOKEN:
        raise ValueError(f"merge {merge} makes a token of {len(symbol):,} bytes")


def check_unknown(unknown: str) -> None:
    """Raises ValueError if there is no such way to treat unknown characters."""
    one_of(unknown, "unknown", "error", "drop", "replace")


def check_symbols(symbols: str) -> None:
    """Raises ValueError for symbols that a `CharTokenizer` cannot have."""
    if not symbols:
        raise ValueError("a tokenizer needs at least one symbol: was the text empty?")
    if len(set(symbols)) != len(symbols):
        raise ValueError(
            "each symbol may occur only once; CharTokenizer.train(text) makes the tokenizer "
            "of a text"
        )


def check_cap(distinct: int, max_symbols: int | None, most: int) -> None:
    """Raises ValueError for a text with too many distinct characters and no cap."""
    if max_symbols is None and distinct > most:
        raise ValueError(
            f"the text has {distinct:,} distinct characters, more than {most:,}: "
            "cap them with max_symbols=1000 (on the command line --max-symbols 1000), which "
            "keeps the most frequent and reads the rest as one unknown symbol"
        )


def check_pieces(text, vocab_size: int, least: int) -> None:
    """Raises ValueError for a `BPETokenizer` that cannot be learnt."""
    if not is_whole(vocab_size) or not least <= vocab_size < 2**63:
        raise ValueError(
            f"vocab_size must be a whole number from {least} up, not {shown(vocab_size)}: each "
            "byte is a token. For fewer symbols use CharTokenizer"
        )
    if not text:
        raise ValueError("a tokenizer needs a text to learn from: it was empty")


def check_ids(ids, vocab_size: int) -> list[int]:
    """Ids, a list or a 1-D tensor, as plain numbers. Raises ValueError if an id has no symbol."""
    try:
        known = [index(i) for i in ids]
    except TypeError:
        raise ValueError(f"ids must be a list of whole numbers, not {shown(ids)}") from None
    wrong = [i for i in known if not 0 <= i < vocab_size]
    if wrong:
        raise ValueError(
            f"no symbol has the id {shown(wrong[0])}: ids go from 0 to {vocab_size - 1}"
        )
    return known


def never_seen(text: str, symbols: str) -> ValueError:
    """The error that names the characters of a text that a tokenizer does not know."""
    strangers = sorted(set(text) - set(symbols))
    shown = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in strangers[:10])
    more = f" and {len(strangers) - 10} more" if len(strangers) > 10 else ""
    return ValueError(
        f"the model has never seen {shown}{more}. Use its {len(symbols)} symbols, or "
        'pass unknown="drop" or unknown="replace" (on the command line --unknown drop)'
    )
