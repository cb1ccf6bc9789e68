"""How a chat is written: marks that no text can type, and the template around a request.

A tuned model reads `USER request ASSISTANT answer END`. The three marks are ids of their own. The
tokenizer gives them only for a `Mark`, never for characters: whatever a text or a request holds,
`<|end|>` too, it is encoded as ordinary text. So nobody can end somebody else's turn.
"""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.checks import check_ids, check_sampling, check_writing
from nanogpt_lib.sampling import TOP_K, continuations
from nanogpt_lib.tokenizer import CharTokenizer


@dataclass(frozen=True)
class Mark:
    """A special token. Its name is for people: it is what `decode` writes for it."""

    name: str


USER, ASSISTANT, END = Mark("<|user|>"), Mark("<|assistant|>"), Mark("<|end|>")
MARKS = (USER, ASSISTANT, END)
FEWEST = 8  # tokens that have to be left for an answer


class MarkedTokenizer:
    """A tokenizer with marks: its own ids first, then one for each mark.

    base: the tokenizer of the text. marks: names or `Mark`s, each once.
    """

    def __init__(self, base: CharTokenizer | BPETokenizer, marks: Iterable[str | Mark]):
        self.base = base
        self.marks = tuple(mark if isinstance(mark, Mark) else Mark(mark) for mark in marks)
        if len(set(self.marks)) != len(self.marks) or not all(mark.name for mark in self.marks):
            raise ValueError("each mark needs a name of its own")
        self._id_of = {mark: base.vocab_size + i for i, mark in enumerate(self.marks)}

    @property
    def vocab_size(self) -> int:
        return self.base.vocab_size + len(self.marks)

    @property
    def symbols(self) -> list:
        """What each id stands for: characters or bytes, and at the end the marks' names."""
        return [*self.base.symbols, *(mark.name for mark in self.marks)]

    def id_of(self, mark: Mark) -> int:
        """The id of a mark. Raises ValueError if this tokenizer has no such mark."""
        if mark not in self._id_of:
            raise ValueError(f"the tokenizer has no mark {mark.name}, {self.has()}")
        return self._id_of[mark]

    def has(self) -> str:
        return f"only {', '.join(mark.name for mark in self.marks)}" if self.marks else "and none"

    def encode(self, text: str | list, unknown: str = "error") -> list[int]:
        """A text, or a list of texts and marks, to ids. A text never gives the id of a mark.

        unknown: see the tokenizer of the text.
        """
        parts = [text] if isinstance(text, str) else text
        ids: list[int] = []
        for part in parts:
            if isinstance(part, Mark):
                ids.append(self.id_of(part))
            else:
                ids += self.base.encode(part, unknown)
        return ids

    def decode(self, ids) -> str:
        """Ids to text, with the marks by their names: for people to read, not to encode again."""
        return "".join(self.decode_stream([ids]))

    def decode_stream(self, columns):
        """Yields the text of each list of ids as it comes; see the tokenizer of the text.

        If half of a character waits for its other half, a mark ends the wait.
        """
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        symbols, known = self.symbols, self.base.vocab_size
        for ids in columns:
            text = ""
            for i in check_ids(ids, self.vocab_size):
                text += decoder.decode(b"", final=True) if i >= known else ""
                text += symbols[i] if isinstance(symbols[i], str) else decoder.decode(symbols[i])
            yield text
        yield decoder.decode(b"", final=True)

    def to_dict(self) -> dict:
        """Plain data for a checkpoint; `from_dict` is the way back."""
        names = [mark.name for mark in self.marks]
        return {"type": "marked", "base": self.base.to_dict(), "marks": names}

    @classmethod
    def from_dict(cls, data: dict) -> "MarkedTokenizer":
        kind = CharTokenizer if data["base"]["type"] == "char" else BPETokenizer
        return cls(kind.from_dict(data["base"]), data["marks"])


Tokenizer = CharTokenizer | BPETokenizer | MarkedTokenizer


def is_chat(tokenizer) -> TypeGuard[MarkedTokenizer]:
    """Whether a model with this tokenizer was tuned on requests and answers."""
    return isinstance(tokenizer, MarkedTokenizer) and set(MARKS) <= set(tokenizer.marks)


def prompt_of(request: str) -> list:
    """What a model reads before it answers: the request between its marks."""
    return [USER, request, ASSISTANT]


def read_request(model, tokenizer, request: str, unknown: str = "error") -> tuple[list[int], int]:
    """The ids that a model reads before it answers, and for how many tokens there is room then.

    Raises ValueError as `reply` does.
    """
    if not is_chat(tokenizer):
        raise ValueError(
            "this model was not tuned on requests: it has no marks for who speaks. Notebook 08 "
            "tunes one; `nanogpt sample` lets this one write"
        )
    if not isinstance(request, str) or not request.strip():
        raise ValueError("the request is empty: write a sentence, such as: Speak as ROMEO.")
    ids = tokenizer.encode(prompt_of(request), unknown)
    room = model.config.block_size - len(ids)
    if room < FEWEST:
        raise ValueError(
            f"the request has {len(ids) - 2} tokens and the context {model.config.block_size}: "
            f"with more than {model.config.block_size - FEWEST - 2} there is no room for an answer"
        )
    return ids, room


def reply(
    model,
    tokenizer,
    request: str,
    *,
    temperature: float = 0.7,
    top_k: int | None = TOP_K,
    top_p: float | None = None,
    greedy: bool = False,
    seed: int | None = None,
    unknown: str = "error",
) -> Iterator[str]:
    """Yields the answer to a request, each token as soon as it is drawn, up to END.

    settings: those of `sampling.stream`. The answer also ends where the context is full. Nothing
    is remembered from one request to the next: the model was tuned on single ones.
    Raises ValueError, before the first token, for a model that was not tuned on requests, an empty
    request, one that leaves no room for an answer, or one with unknown characters.
    """
    ids, room = read_request(model, tokenizer, request, unknown)
    check_sampling(temperature, top_k, top_p)
    check_writing(room, seed)
    columns = continuations(
        model, [ids], room, 0 if greedy else temperature, top_k, top_p, seed, True
    )
    return tokenizer.decode_stream(before_marks(columns, tokenizer.base.vocab_size))


def before_marks(columns: Iterator[list], known: int) -> Iterator[list[int]]:
    """The new ids of one text until its END, or another mark: the answer is over there, too."""
    for (i,) in columns:
        if i >= known:
            return
        yield [i]


# Jinja, as `transformers` reads it from tokenizer_config.json. There a mark is found by its name,
# also inside a request: "<|" is pulled apart in what people wrote, so no name is left in it.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% set words = message['content'] | replace('<|', '< |') %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>' + words }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + words + '<|end|>' }}"
    "{% else %}{{ raise_exception('the roles are user and assistant') }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
