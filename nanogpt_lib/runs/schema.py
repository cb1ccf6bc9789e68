"""The declared form of records and of checkpoints' headers: every field, its type and its range.

Both are JSON, and both may come from a stranger or a damaged disk. pydantic checks them against
these classes, strictly: "3" is not 3, and NaN is not a number.
"""

import dataclasses
import json
import math
import reprlib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator as After
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nanogpt_lib.training import Evaluation, TrainConfig

MOST = 10**7  # steps and seconds: more than any run of this kit takes
MOST_WIDE = 10**6  # one dimension of a model
LONGEST = 10**6  # characters of a sample or of a tokenizer's symbols

Steps = Annotated[int, Field(ge=0, le=MOST)]
Seconds = Annotated[float, Field(ge=0, le=MOST)]
Tokens = Annotated[int, Field(ge=0, le=10**15)]
Rate = Annotated[float, Field(ge=0, le=1e36)]
Loss = Annotated[float, Field(ge=0, le=1e36)] | None  # None: it was not a number
Size = Annotated[int, Field(ge=1, le=MOST_WIDE)]
Name = Annotated[str, Field(max_length=1000)]
Text = Annotated[str, Field(max_length=LONGEST)]
Sha256 = Annotated[str, Field(max_length=64)]
Stopped = Literal["finished", "interrupted", "out of time", "diverged"]


class Form(BaseModel):
    """What all parts have in common. Fields that a later version adds are kept as they are."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class Rung(Form):
    """A rung of the n-gram ladder; see `ngram.ladder`."""

    k: Annotated[int, Field(ge=-1, le=1000)]
    name: Name
    loss: Annotated[float, Field(ge=0, le=1e36)]


def in_order(rungs: list[Rung]) -> list[Rung]:
    if [rung.k for rung in rungs] != list(range(-1, len(rungs) - 1)):
        raise ValueError("its k must go -1, 0, 1, ...")
    return rungs


class TextData(Form):
    """The text of a run. Its name is the name of its file, without folders."""

    name: Name
    sha256: Sha256
    val_tokens: Tokens
    val_characters: Tokens | None = None  # None: each token is a character, or nobody counted
    copied: Annotated[float, Field(ge=0, le=1)] | None = None  # see `texts.copied_share`


class ModelData(Form):
    """The shape of a run's model."""

    vocab_size: Size
    n_params: Annotated[int, Field(ge=1, le=10**12)]


class Machine(Form):
    processor: Name


def reasonable(config: TrainConfig) -> TrainConfig:
    """Refuses settings that are numbers, but of no run of this world."""
    for name, most in {"max_steps": MOST, "learning_rate": 1e36, "min_lr": 1e36}.items():
        if getattr(config, name) > most:
            raise ValueError(f"{name} is above {most:,}")
    return config


Training = Annotated[TrainConfig, After(reasonable)]


class RunLine(Form):
    """The first line of a record: all that is known before the first step."""

    type: Literal["run"]
    format: Literal[1]
    started: Name
    preset: Name
    command: Name | None
    text: TextData
    model: ModelData
    train_config: Training
    machine: Machine
    ladder: Annotated[list[Rung], Field(min_length=1, max_length=100), After(in_order)]


class Point(Form):
    """One evaluation; see `training.Evaluation`."""

    step: Steps
    tokens: Tokens
    seconds: Seconds
    lr: Rate
    train_loss: Loss
    val_loss: Loss
    sample: Text | None

    def evaluation(self) -> Evaluation:
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "type"}
        for name in ("train_loss", "val_loss"):
            values[name] = math.nan if values[name] is None else values[name]
        return Evaluation(**values)


class EvalLine(Point):
    type: Literal["eval"]


class ResumedLine(Form):
    type: Literal["resumed"]
    step: Steps


class EndLine(Form):
    type: Literal["end"]
    step: Steps
    stopped: Stopped
    seconds: Seconds
    train_config: Training


class ResultLine(Form):
    type: Literal["result"]
    step: Steps | None = None
    whole_val_loss: Loss = None


class OtherLine(Form):
    """A line of a kind that only its own reader knows, such as the clinic's diagnosis."""

    type: Name


AnyLine = RunLine | EvalLine | ResumedLine | EndLine | ResultLine
LINE: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="type")])


def line(text: str) -> AnyLine | OtherLine:
    """A line of a record, checked. Raises ValueError if it is none."""
    try:
        return LINE.validate_json(text)
    except ValidationError as error:
        if error.errors()[0]["type"] != "union_tag_invalid":
            raise
        return OtherLine.model_validate_json(text)


class Characters(Form):
    """A `CharTokenizer` as plain data."""

    type: Literal["char"]
    symbols: Annotated[Text, Field(min_length=1)]


class BytePairs(Form):
    """A `BPETokenizer` as plain data."""

    type: Literal["bpe"]
    merges: Annotated[list[tuple[Size | Literal[0], Size | Literal[0]]], Field(max_length=10**6)]


class GPT2Pairs(Form):
    """A `GPT2Tokenizer` as plain data."""

    type: Literal["gpt2"]
    merges: Annotated[list[tuple[Size | Literal[0], Size | Literal[0]]], Field(max_length=10**6)]


class Marked(Form):
    """A `template.MarkedTokenizer` as plain data."""

    type: Literal["marked"]
    base: Annotated[Characters | BytePairs, Field(discriminator="type")]
    marks: Annotated[list[Name], Field(max_length=1000)]


class Header(Form):
    """What stands beside the tensors of a checkpoint; see `checkpoint.snapshot`."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    format: int
    family: Name
    model_config_: dict[Name, Any] = Field(alias="model_config")
    train_config: Training
    tokenizer: Annotated[Characters | BytePairs | GPT2Pairs | Marked, Field(discriminator="type")]
    about: dict[Name, Any]
    step: Steps
    seconds: Seconds
    history: list[Point]
    bits: Literal[8] | None = None  # of a weight in a matrix, if it is not a float; see `quantise`
    # Only in a checkpoint that a run can continue from:
    device: Name | None = None
    dtype: Name | None = None
    threads: Annotated[int, Field(ge=1, le=10_000)] | None = None
    optimizer: Name | None = None
    scaler: dict[Name, float | int] = Field(default_factory=dict)


def size_of(kind: type, data: dict) -> Any:
    """A model's config, such as `GPTConfig`, from plain data. Raises ValueError if it is none."""
    unknown = data.keys() - {field.name for field in dataclasses.fields(kind)}
    if unknown:
        raise ValueError(f"model_config holds {min(unknown)[:100]!r}, which is unknown")
    config: Any = TypeAdapter(kind).validate_json(json.dumps(data), strict=True)
    for name, value in vars(config).items():
        if isinstance(value, int) and value > MOST_WIDE:
            raise ValueError(f"{name} is above {MOST_WIDE:,}")
    return config


def in_words(error: ValidationError) -> str:
    """The first thing that is wrong, in one line: where, what it should be, and what it is."""
    first = error.errors(include_url=False)[0]
    where = "".join(f"{part}." for part in first["loc"])[:-1]
    found = first["input"]
    short = isinstance(found, (str, float, bool)) or (isinstance(found, int) and found < 10**20)
    said = f", not {reprlib.repr(found)}" if short and first["type"] != "json_invalid" else ""
    return f"{where}: {first['msg']}{said}" if where else first["msg"]
