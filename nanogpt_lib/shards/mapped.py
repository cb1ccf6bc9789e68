"""A folder of tokens, mapped: the system reads a part of a file when it is used, and not before.

So a text of many gigabytes can be trained on in little memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nanogpt_lib.checks import TextError
from nanogpt_lib.machine.files import read_file, why
from nanogpt_lib.shards.vocabulary import TOKENIZERS, Tokenizer, kind

TRAIN, VAL, ABOUT = "train.bin", "val.bin", "tokens.json"
PART = 2**22  # tokens looked at together


class About(BaseModel):
    """What `tokens.json` must say. It may come from a stranger, and it is checked."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    format: Literal[1]
    name: Annotated[str, Field(max_length=1000)]
    sha256: Annotated[str, Field(max_length=64)]
    train_tokens: Annotated[int, Field(ge=1)]
    val_tokens: Annotated[int, Field(ge=0)]
    val_characters: Annotated[int, Field(ge=0)]
    tokenizer: dict
    ladder: Annotated[list[dict], Field(min_length=1)]
    copied: Annotated[float, Field(ge=0, le=1)] | None = None


@dataclass
class Tokens:
    """A folder of tokens that is ready to be used."""

    about: About
    tokenizer: Tokenizer
    train_ids: torch.Tensor  # (N,), mapped
    val_ids: torch.Tensor


def is_tokens(path) -> bool:
    """Whether this is a folder that `writing.write` made."""
    return path is not None and (Path(path) / ABOUT).is_file()


def read_about(folder: Path) -> About:
    """Raises TextError if the folder holds no tokens, or says nonsense about them."""
    try:
        return About.model_validate_json(read_file(folder / ABOUT))
    except FileNotFoundError:
        raise TextError(
            f"{folder} is a folder without {ABOUT}: make tokens of the texts in it, nanogpt data "
            f"{folder} --to NEW_FOLDER, and train on that"
        ) from None
    except (OSError, ValidationError) as error:
        said = why(error) if isinstance(error, OSError) else error.errors()[0]["msg"]
        raise TextError(f"{folder / ABOUT} is damaged: {said}. Make the tokens again") from None


def tokenizer_of(data: dict) -> Tokenizer:
    """A tokenizer from plain data. Raises TextError if it is none."""
    try:
        return TOKENIZERS[data["type"]].from_dict(data)
    except (KeyError, TypeError, ValueError) as error:
        raise TextError(f"this is no tokenizer: {error}") from None


def load(folder: str | Path) -> Tokens:
    """Maps a folder of tokens. Raises TextError if something in it is missing or damaged."""
    folder = Path(folder)
    about = read_about(folder)
    tokenizer = tokenizer_of(about.tokenizer)
    return Tokens(about, tokenizer, *splits(folder, vars(about), tokenizer))


def splits(folder: Path, about: dict, tokenizer: Tokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens to train on and to validate with, (N,) and (M,). `about` says how many."""
    train = mapped(folder / TRAIN, about["train_tokens"], tokenizer.vocab_size)
    return train, mapped(folder / VAL, about["val_tokens"], tokenizer.vocab_size)


def mapped(path: Path, tokens: int, vocab_size: int) -> torch.Tensor:
    """The tokens of a file, (N,). Nothing is read yet, and nothing is ever written."""
    dtype: np.dtype = np.dtype(kind(vocab_size))
    size = path.stat().st_size if path.is_file() else -1
    if size != tokens * dtype.itemsize:
        has = f"has {size:,} bytes" if size >= 0 else "is missing"
        raise TextError(
            f"{path} {has}, but {ABOUT} beside it says {tokens:,} tokens of {dtype.itemsize} "
            "bytes: make the tokens again"
        )
    if vocab_size <= 2**15:  # PyTorch computes with int16, and hardly with uint16
        dtype = np.dtype(np.int16)
    elif dtype.itemsize == 4:
        dtype = np.dtype(np.int32)
    if not tokens:  # an empty file cannot be mapped
        return torch.empty(0, dtype=torch.int16)
    # Mode "c": a change would stay in memory. PyTorch warns of arrays that cannot be written.
    return torch.from_numpy(np.memmap(path, dtype, "c", shape=tokens))


def parts(ids: np.ndarray) -> Iterator[np.ndarray]:
    """An array in parts, so that a mapped one is never in memory as a whole."""
    return (ids[i : i + PART] for i in range(0, len(ids), PART))
