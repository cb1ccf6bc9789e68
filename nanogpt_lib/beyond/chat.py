"""Requests that a tuned Shakespeare model answers: a named speaker should say or ask something.

`python -m experiments chat` tunes the shipped `pocket` model in three ways. It records how often
the model then follows a request, and how much of Shakespeare it has forgotten.
"""

import random
import re
import string
from dataclasses import dataclass

import torch

from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.beyond.finetune import mixed, pair_batch, tune, unmasked
from nanogpt_lib.checks import whole_number
from nanogpt_lib.machine.gradients import in_halves
from nanogpt_lib.runs import template
from nanogpt_lib.runs.template import END
from nanogpt_lib.runs.template import MARKS as MARKS
from nanogpt_lib.runs.template import reply as reply
from nanogpt_lib.sampling import continuations, dropout_off
from nanogpt_lib.training import TrainConfig

WORDINGS = {  # trained on
    "speak": (
        "Speak as {}.",
        "{}, speak.",
        "Now {}!",
        "Say it as {}.",
        "What says {}?",
        "Speak, {}!",
        "Be {}.",
        "{} now.",
        "As {}, say it.",
        "Let {} say it.",
    ),
    "ask": (
        "Ask as {}.",
        "{}, ask.",
        "What asks {}?",
        "Ask it as {}.",
        "Ask, {}!",
        "{} asks.",
        "Now {} asks.",
        "As {}, ask it.",
        "Let {} ask it.",
        "Ask me, {}.",
    ),
}
NEW_WORDINGS = {  # not trained on, to see whether the model learnt the words or the idea
    "speak": ("As {}, speak!", "Let {} speak.", "Say, {}!"),
    "ask": ("As {}, ask!", "Let {} ask.", "Now ask, {}."),
}
LONGEST = 46  # characters of a name, twice, and a line: what fits into a context of 64


def speeches(text: str) -> list[tuple[str, str]]:
    """(speaker, first line) of speeches of a play in Tiny Shakespeare's layout.

    It finds those that fit into a context of 64 with a request before them: speakers in capitals,
    and short lines that end like a sentence.
    """
    found = re.findall(r"^([A-Z ]+):\n([^\n]+[.!?])$", text, flags=re.MULTILINE)
    return [(s, line) for s, line in found if 2 * len(s) + len(line) <= LONGEST]


def kind_of(line: str) -> str:
    return "ask" if line.endswith("?") else "speak"


def prompt_of(wording: str, speaker: str) -> list:
    """A request between its marks."""
    return template.prompt_of(wording.format(speaker))


def pair_of(speaker: str, line: str, rng: random.Random) -> tuple[list, list]:
    """A speech as a training example: (prompt, answer), with a randomly chosen wording.

    Both are lists of texts and marks.
    """
    wording = rng.choice(WORDINGS[kind_of(line)])
    return prompt_of(wording, speaker), [f"{speaker}:\n{line}", END]


def written(parts: list) -> str:
    """Texts and marks as people read them."""
    return "".join(part if isinstance(part, str) else part.name for part in parts)


def invented(rng: random.Random) -> str:
    """A random name such as QXEFO. The model can only get it by reading the request."""
    return "".join(rng.choices(string.ascii_uppercase, k=rng.randint(3, 9)))


def examples(lessons, tokenizer, rows: int, seed: int = 1, share_invented: float = 0.8):
    """A `draw` for `tune`: batches of requests and answers, as many questions as other lines.

    lessons: (speaker, line) from `speeches`. share_invented: the share of examples with an
    invented name instead of the speaker's, so that the model learns to copy names, not to learn
    them by heart.
    """
    rng = random.Random(seed)
    by_kind = [[pair for pair in lessons if kind_of(pair[1]) == kind] for kind in WORDINGS]

    def example():
        speaker, line = rng.choice(rng.choice(by_kind))
        name = invented(rng) if rng.random() < share_invented else speaker
        if 2 * len(name) + len(line) > LONGEST:
            name = speaker
        return pair_of(name, line, rng)

    return lambda: pair_batch(tokenizer, [example() for _ in range(rows)], block_size=64)


def requests(speakers, wordings: dict, n: int, seed: int = 1) -> list[tuple[str, str, str]]:
    """n requests to test with: (wording, speaker, kind), each kind equally often."""
    rng, kinds = random.Random(whole_number(seed, "seed")), list(wordings)
    chosen = [kinds[i % len(kinds)] for i in range(whole_number(n, "n"))]
    return [(rng.choice(wordings[kind]), rng.choice(speakers), kind) for kind in chosen]


@dataclass
class Reply:
    """What a model answered: its text up to END, and whether it wrote END."""

    text: str
    ended: bool


def replies(model, tokenizer, asked, seed: int | None = None) -> list[Reply]:
    """What a model answers to requests, each up to its END: greedily, or drawn if there is a seed.

    asked: (wording, speaker, kind), as `requests` gives them.
    """
    rows = [tokenizer.encode(prompt_of(wording, speaker)) for wording, speaker, _ in asked]
    end = tokenizer.id_of(END)
    room = model.config.block_size - max(map(len, rows))  # so that no request leaves the context
    temperature, top_k = (0, None) if seed is None else (1.0, None)

    def side_by_side(some: range) -> list[Reply]:
        first = None if seed is None else seed + some.start
        settings = (room, temperature, top_k, None, first, True)
        new: list[list[int]] = [[] for _ in some]
        with dropout_off(model):
            for column in continuations(model, rows[some.start : some.stop], *settings):
                for ids, i in zip(new, column, strict=True):
                    if i is not None:
                        ids.append(i)
                if all(end in ids for ids in new):
                    break
        cut = [ids[: ids.index(end)] if end in ids else ids for ids in new]
        texts = map(tokenizer.decode, cut)
        return [Reply(text, end in ids) for text, ids in zip(texts, new, strict=True)]

    return in_halves(side_by_side, range(len(rows)))


def success(model, tokenizer, asked) -> float:
    """The share of requests that a model follows."""
    answers = replies(model, tokenizer, asked)
    done = [follows(answer, s, kind) for answer, (_, s, kind) in zip(answers, asked, strict=True)]
    return sum(done) / len(done)


def follows(answer: Reply, speaker: str, kind: str = "speak") -> bool:
    """Whether an answer follows the request: the right name, one line, and then the END.

    A question must also end with a question mark.
    """
    name, _, line = answer.text.partition("\n")
    right = name == f"{speaker}:" and answer.ended and bool(line.strip()) and "\n" not in line
    return right and (kind == "speak" or line.endswith("?"))


# Forgetting, and what helps against it.

STEPS, ROWS = 400, 24  # requests and answers a step
RATE = 1e-3


@dataclass(frozen=True)
class Way:
    """A way to tune: its rate, its rows of old text in every batch, and whether it masks."""

    rate: float = RATE
    old_rows: int = 0
    masked: bool = True  # requests are left out of the loss


WAYS = {
    "as it comes": Way(),
    "lower rate": Way(rate=RATE / 5),
    "old text mixed in": Way(old_rows=8),
    "no mask": Way(masked=False),
}


def put_aside(found, seed: int = 1) -> tuple[list, list[str]]:
    """Speeches to train on, and the new speakers, a quarter of all, who do not occur in them."""
    speakers = sorted({speaker for speaker, _ in found})
    new = random.Random(seed).sample(speakers, len(speakers) // 4)
    return [pair for pair in found if pair[0] not in new], new


def tune_to_answer(model, tokenizer, text: str, way: str, steps: int = STEPS, seed: int = 1):
    """Tunes a model in place, in one of WAYS, on the speeches in a text; returns the losses.

    model: one that knows the marks, from `extend`. text: the training text only.
    """
    chosen, device = WAYS[way], model.lm_head.weight.device
    lessons, _ = put_aside(speeches(text))
    draw = examples(lessons, tokenizer, ROWS, seed)
    if not chosen.masked:
        draw = unmasked(draw)
    if chosen.old_rows:
        ids = torch.tensor(tokenizer.encode(text))
        draw = mixed(draw, BatchSampler(ids, model.config.block_size, chosen.old_rows, seed))
    rate = chosen.rate
    config = TrainConfig(steps, learning_rate=rate, min_lr=rate / 10, warmup_steps=20)
    return tune(model, lambda: tuple(part.to(device) for part in draw()), config)


def request_sets(text: str, n: int) -> dict[str, list]:
    """Four sets of n test requests: wordings and speakers that were trained on, or that are new."""
    lessons, new = put_aside(speeches(text))
    known = sorted({speaker for speaker, _ in lessons})
    return {
        "as trained": requests(known, WORDINGS, n),
        "new wordings": requests(known, NEW_WORDINGS, n),
        "new speakers": requests(new, WORDINGS, n),
        "both new": requests(new, NEW_WORDINGS, n),
    }
