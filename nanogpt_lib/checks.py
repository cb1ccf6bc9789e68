"""Checks that refuse texts and settings that cannot work, and the error messages.

The dataclasses of `model` and `training` show what you can set. This module refuses the values
that make no sense there.
"""

import math
from numbers import Integral, Real

LONGEST_TOKEN = 1000  # bytes
MOST_COPIED = 0.1  # share of the validation text; with more, its loss also measures memory


class TextError(ValueError):
    """A text that cannot be trained on; the message says why and what to do."""


def whole(settings, *names: str, least: int = 1) -> None:
    """Raises ValueError unless these settings are whole numbers, `least` or more.

    NumPy's numbers become plain ones: only plain numbers are safe in a checkpoint.
    """
    for name in names:
        value = getattr(settings, name)
        if not (isinstance(value, Integral) and int(value) >= least):
            raise ValueError(f"{name} must be a whole number from {least} up, not {value!r}")
        setattr(settings, name, int(value))


def positive(settings, *names: str) -> None:
    """Raises ValueError unless these settings are finite numbers above 0."""
    for name in names:
        value = number(settings, name)
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a number above 0, not {value}")


def not_negative(settings, *names: str) -> None:
    """Raises ValueError unless these settings are finite numbers from 0 up."""
    for name in names:
        value = number(settings, name)
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must not be negative: {value}")


def share(settings, *names: str) -> None:
    """Raises ValueError unless these settings lie in [0, 1)."""
    for name in names:
        value = number(settings, name)
        if not 0.0 <= value < 1.0:
            raise ValueError(f"{name} must lie in [0, 1), not {value}")


def number(settings, name: str):
    """A setting as a plain Python number. Raises ValueError for anything else."""
    value = getattr(settings, name)
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, Real):
        raise ValueError(f"{name} must be a number, not {value!r}")
    setattr(settings, name, value)
    return value


def check_length(train_ids, val_ids, block_size: int) -> None:
    """Raises TextError if a split is too short for one context and its targets."""
    shortest = min(len(train_ids), len(val_ids))
    if shortest <= block_size:
        raise TextError(
            f"the text is too short for a context of {block_size}: its shorter split has "
            f"{shortest:,} tokens and needs {block_size + 1:,}. Give a text of at least "
            f"{10 * (block_size + 1):,} tokens, or a smaller block_size"
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
    whole(config, "vocab_size", "block_size", "n_layer", "n_head", "n_embd")
    if config.n_embd % config.n_head:
        raise ValueError(
            f"n_embd ({config.n_embd}) must be a multiple of n_head ({config.n_head}): "
            "the heads share the channels equally"
        )
    share(config, "dropout")
    config.dropout = float(config.dropout)


def check_training(config) -> None:
    """Raises ValueError for a `training.TrainConfig` that cannot train anything."""
    whole(config, "batch_size", "eval_interval")
    for name in ("grad_accum", "eval_batches"):
        if getattr(config, name) is not None:
            whole(config, name)
    whole(config, "max_steps", "warmup_steps", least=0)
    positive(config, "learning_rate", "grad_clip")
    not_negative(config, "min_lr", "weight_decay", "beta1", "beta2")
    if config.max_seconds is not None:
        not_negative(config, "max_seconds")
    whole(config, "seed", least=-(2**63))
    if config.seed >= 2**63:
        raise ValueError(f"seed must be a whole number below 2**63, not {config.seed}")
    if config.grad_accum and config.grad_accum > config.batch_size:
        raise ValueError(
            f"grad_accum ({config.grad_accum}) cannot exceed batch_size ({config.batch_size}): "
            "a part of a batch is at least one sequence"
        )


def check_sampling(temperature, top_k, top_p) -> None:
    """Raises ValueError for sampling settings that make no sense; says what would."""
    if not (is_number(temperature) and 0 <= temperature < math.inf):
        raise ValueError(
            "temperature must be a number, 0 (always the likeliest token) or more, "
            f"not {temperature!r}"
        )
    if top_k is not None and not (is_whole(top_k) and top_k >= 1):
        raise ValueError(f"top_k must be a whole number from 1 up, or None for all: {top_k!r}")
    if top_p is not None and not (is_number(top_p) and 0 < top_p <= 1):
        raise ValueError(f"top_p must lie above 0 and up to 1, or be None: {top_p!r}")


def check_writing(max_new_tokens, seed) -> None:
    """Raises ValueError for a length or a seed that makes no sense."""
    if not (is_whole(max_new_tokens) and max_new_tokens >= 0):
        raise ValueError(f"max_new_tokens must be a whole number from 0 up: {max_new_tokens!r}")
    if seed is not None and not (is_whole(seed) and abs(seed) < 2**63):
        raise ValueError(f"seed must be a whole number below 2**63, or None for chance: {seed!r}")


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
        raise ValueError(f"a prompt must be a text, not {prompt!r}; `generate` takes a list, too")


def check_scores(finite: bool) -> None:
    """Raises ValueError if a model's scores are not finite."""
    if not finite:
        raise ValueError(
            "the model's scores are not finite: its training diverged (was the learning rate too "
            "high?). Take an earlier checkpoint, such as best.safetensors"
        )


def check_loss(value: float, split: str) -> None:
    """Raises ValueError for what is no loss, or of no split. NaN and infinity are losses, too."""
    if split not in ("train", "val"):
        raise ValueError(f'split must be "train" or "val", not {split!r}')
    if -math.inf < value < 0:
        raise ValueError(f"a cross-entropy is never negative: {value}")


def check_table(train_ids, val_ids, k: int, vocab_size: int, alpha: float, fits: bool) -> None:
    """Raises ValueError for an n-gram table that cannot be counted.

    fits: whether every run of k + 1 tokens gets its own number of 64 bits.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, not {alpha}: unseen tokens need some chance")
    if k < 0:
        raise ValueError(f"k must be 0 or more, not {k}: it counts the tokens of context")
    if min(len(train_ids), len(val_ids)) <= k:
        raise ValueError(f"{k} tokens of context need texts longer than {k} tokens")
    if not fits:
        raise ValueError(
            f"{k} tokens of context are too many: {k + 1} out of {vocab_size} symbols no longer "
            "fit into a number of 64 bits"
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
    if unknown not in ("error", "drop", "replace"):
        raise ValueError(f'unknown must be "error", "drop" or "replace", not {unknown!r}')


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
    """Raises ValueError for a text with too many distinct characters, or a cap that is too low."""
    if max_symbols is None and distinct > most:
        raise ValueError(
            f"the text has {distinct:,} distinct characters, more than {most:,}: "
            "cap them with max_symbols (on the command line --max-symbols 1000), which "
            "keeps the most frequent and reads the rest as one unknown symbol"
        )
    if max_symbols is not None and max_symbols < min(2, distinct):
        raise ValueError("max_symbols must leave room for one character and the unknown")


def check_pieces(text: str, vocab_size: int, least: int) -> None:
    """Raises ValueError for a `BPETokenizer` that cannot be learnt."""
    if type(vocab_size) is not int or vocab_size < least:
        raise ValueError(
            f"vocab_size must be a whole number from {least} up, not {vocab_size!r}: each byte "
            "is a token. For fewer symbols use CharTokenizer"
        )
    if not text:
        raise ValueError("a tokenizer needs a text to learn from: it was empty")


def check_ids(ids, vocab_size: int) -> list[int]:
    """Ids, a list or a 1-D tensor, as plain numbers. Raises ValueError if an id has no symbol."""
    plain = [int(i) for i in ids]
    wrong = [i for i in plain if not 0 <= i < vocab_size]
    if wrong:
        raise ValueError(f"no symbol has the id {wrong[0]}: ids go from 0 to {vocab_size - 1}")
    return plain


def never_seen(text: str, symbols: str) -> ValueError:
    """The error that names the characters of a text that a tokenizer does not know."""
    strangers = sorted(set(text) - set(symbols))
    shown = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in strangers[:10])
    more = f" and {len(strangers) - 10} more" if len(strangers) > 10 else ""
    return ValueError(
        f"the model has never seen {shown}{more}. Use its {len(symbols)} symbols, or "
        'pass unknown="drop" or unknown="replace" (on the command line --unknown drop)'
    )
