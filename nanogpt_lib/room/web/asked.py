"""What a client may ask of the server, and what is written for it.

The names are those of OpenAI's API for completions and chats, so its clients work unchanged. What a
setting does is said in `sampling.stream`. A setting that this server cannot honour is refused by
name: an answer that ignores half of the question is worse than none.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nanogpt_lib.runs.template import read_request
from nanogpt_lib.sampling import begin, continuations

MOST_TOKENS = 4096  # of one completion: about half a minute of a small model on one core
MOST_CHOICES = 8  # texts for one request: prompts times n
LONGEST_STOP = 100  # characters
# Settings that this server does not have, and the value that asks for nothing: some clients send it
NEUTRAL = {"frequency_penalty": 0, "presence_penalty": 0, "best_of": 1, "logit_bias": {}}


class Refused(ValueError):
    """A request that cannot be answered; the message says why and what can."""

    def __init__(self, message: str, param: str | None = None):
        super().__init__(message)
        self.param = param


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    include_usage: bool = False


class Asked(BaseModel):
    """The body of a request, checked. Defaults are OpenAI's."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str | None = None
    prompt: str | list[str] = ""
    max_tokens: int = Field(16, ge=1, le=MOST_TOKENS)
    temperature: float = Field(1.0, ge=0, le=100)
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1, le=MOST_CHOICES)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**62), le=2**62)
    stream: bool = False
    stream_options: StreamOptions | None = None
    echo: bool = False
    user: str | None = None  # OpenAI's name for the end user; nothing here depends on it
    top_k: int | None = Field(None, ge=1)  # not OpenAI's, as the next one
    unknown: str = "error"  # what happens to characters that the model does not know

    @model_validator(mode="before")
    @classmethod
    def without_nothing(cls, body):
        """Leaves out what says nothing: null counts as not given, as OpenAI has it."""
        if not isinstance(body, dict):
            return body
        given = {name: value for name, value in body.items() if value is not None}
        return {k: v for k, v in given.items() if k not in NEUTRAL or v != NEUTRAL[k]}

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Literal["user"]
    content: str


class AskedChat(Asked):
    """The body of a request in a chat, with one message: the model was tuned on single requests.

    Earlier messages are refused, since it has not learnt to read them.
    """

    messages: list[Message] = Field(min_length=1, max_length=1)
    max_tokens: int = Field(MOST_TOKENS, ge=1, le=MOST_TOKENS)  # as many as there is room for
    prompt: Literal[""] = ""
    echo: Literal[False] = False


def read(body: bytes) -> Asked:
    """A request from its JSON. Raises Refused, which names the first setting that is wrong."""
    return checked(body, Asked)


def read_chat(body: bytes) -> AskedChat:
    """The same for a chat."""
    return checked(body, AskedChat)


def checked(body: bytes, kind: type[Any]) -> Any:
    try:
        asked = kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise Refused(f"this server has no setting {name[:50]!r}: leave it out", name) from None
        raise Refused(f"{name}: {first['msg']}" if name else first["msg"], name or None) from None
    if not asked.prompts or len(asked.prompts) * asked.n > MOST_CHOICES:
        raise Refused(f"from 1 to {MOST_CHOICES} texts a request: prompts times n", "prompt")
    if len(asked.stops) > 4 or not all(0 < len(stop) <= LONGEST_STOP for stop in asked.stops):
        raise Refused(f"stop: up to 4 texts of 1 to {LONGEST_STOP} characters", "stop")
    return asked


@dataclass
class Choice:
    """One text of an answer: which it is, what it goes on from, and how far it has come."""

    index: int
    ids: list[int]  # the prompt
    seed: int | None
    echo: str  # the prompt once more, if the client wants it
    tokens: int = 0  # written so far
    finish: str | None = None  # "stop": a stop text or a mark came; "length": max_tokens
    marked: bool = False  # the model has ended its turn


@dataclass
class Answer:
    """All texts of an answer, checked and ready to be written."""

    asked: Asked
    choices: list[Choice] = field(default_factory=list)
    room: int = MOST_TOKENS  # tokens that can be written at most

    def usage(self) -> dict:
        read = sum(len(choice.ids) for choice in self.choices[:: self.asked.n])
        written = sum(choice.tokens for choice in self.choices)
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }


def prepare(asked: Asked, model, tokenizer) -> Answer:
    """An answer before its first token. Raises Refused for what the model cannot read."""
    settings = (asked.max_tokens, asked.temperature, asked.top_k, asked.top_p, asked.seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of long prompts: the model reads their end
            rows = begin(model, tokenizer, asked.prompts, *settings, asked.unknown)
    except ValueError as error:
        raise Refused(str(error), "prompt") from None
    answer = Answer(asked)
    for prompt, ids in zip(asked.prompts, rows, strict=True):
        for _ in range(asked.n):
            i = len(answer.choices)
            seed = None if asked.seed is None else asked.seed + i
            answer.choices.append(Choice(i, ids, seed, prompt if asked.echo else ""))
    return answer


def prepare_chat(asked: AskedChat, model, tokenizer) -> Answer:
    """The same for a chat: each text goes on after the request and its marks."""
    try:
        ids, room = read_request(model, tokenizer, asked.messages[0].content, asked.unknown)
    except ValueError as error:
        raise Refused(str(error), "messages") from None
    seeds = [None if asked.seed is None else asked.seed + i for i in range(asked.n)]
    return Answer(asked, [Choice(i, ids, seed, "") for i, seed in enumerate(seeds)], room)


def write(answer: Answer, model, tokenizer) -> Iterator[tuple[Choice, str]]:
    """Writes one text after the other; yields each piece as soon as it is sure.

    A piece may be empty: then the client gets nothing, but the caller may stop here.
    """
    asked = answer.asked
    for choice in answer.choices:
        if choice.echo:
            yield choice, choice.echo
        most = min(asked.max_tokens, answer.room)
        settings = (most, asked.temperature, asked.top_k, asked.top_p, choice.seed)
        columns = continuations(model, [choice.ids], *settings, True)
        known = tokenizer.base.vocab_size if isinstance(asked, AskedChat) else tokenizer.vocab_size
        pieces = Until(tokenizer.decode_stream(counted(columns, choice, known)), asked.stops)
        for piece in pieces:
            yield choice, piece
        choice.finish = "stop" if pieces.stopped or choice.marked else "length"
        yield choice, ""


def counted(columns: Iterable, choice: Choice, known: int) -> Iterator:
    """The ids of a text, each in a list, up to a mark: marks have ids from `known` on."""
    for (i,) in columns:
        if i >= known:
            choice.marked = True
            return
        choice.tokens += 1
        yield [i]


class Until:
    """The pieces of a text up to the first of some stop texts, which is left out.

    The end of what has come is held back as long as it may be the beginning of a stop text. All
    pieces together are the text up to the stop.
    """

    def __init__(self, pieces: Iterable[str], stops: list[str]):
        self.pieces, self.stops, self.stopped = pieces, stops, False

    def __iter__(self) -> Iterator[str]:
        held = ""
        for piece in self.pieces:
            held += piece
            places = [at for stop in self.stops if (at := held.find(stop)) >= 0]
            if places:
                self.stopped = True
                yield held[: min(places)]
                return
            keep = max((begun(held, stop) for stop in self.stops), default=0)
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
        yield held


def begun(text: str, stop: str) -> int:
    """The number of characters at the end of a text that a stop text begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
