"""Addition, answered at once or worked out in steps: problems, worked answers, and grading.

Two numbers of five columns are added. `direct` answers with the sum. `scratchpad` first writes a
line for each column, from the units up, with the carry. The training problems have three of the
five columns filled; problems with four or five are longer than any in training.

    48210+10970=0+0+0=00        the units: digit, digit, carry; sum
    1+7+0=08
    2+9+0=11
    8+0+1=09
    4+1+0=05
    059180¶

`python -m experiments arithmetic` trains models of both kinds with several seeds and records how
well they do. Sources: Nye et al. 2021, arXiv:2112.00114 (scratchpads); Lee et al. 2023,
arXiv:2307.03381 (small models that learn to add, and the effect of the format).
"""

import random
import zlib

import torch

from nanogpt_lib.beyond.finetune import END, pair_batch, tune
from nanogpt_lib.checks import whole_number
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.sampling import generate
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import TrainConfig

COLUMNS = 5  # of both numbers; leading zeros are written, so that each column has its place
SEEN = 3  # columns that are filled in the training problems
TOKENIZER = CharTokenizer("\n+0123456789=" + END)
SIZE = GPTConfig(TOKENIZER.vocab_size, block_size=64, n_layer=2, n_head=4, n_embd=96, bias=False)
ROOM = SIZE.block_size - len("00000+00000=") + 1  # tokens that an answer may have
TOKENS = 1_000_000  # that every kind of model reads in training
TOKENS_A_STEP = 2048  # about: a step has as many whole problems as fit


def prompt_of(a: int, b: int) -> str:
    """The question, for example 00048+00037=."""
    return f"{a:0{COLUMNS}}+{b:0{COLUMNS}}="


def direct(a: int, b: int) -> str:
    """The sum at once, its largest digit first, as we write it."""
    return f"{a + b:0{COLUMNS + 1}}{END}"


def scratchpad(a: int, b: int) -> str:
    """A line for each column, from the units up, `digit+digit+carry=sum`; then the sum."""
    lines, carry = [], 0
    for i in range(COLUMNS):
        x, y = a // 10**i % 10, b // 10**i % 10
        lines.append(f"{x}+{y}+{carry}={x + y + carry:02}")
        carry = (x + y + carry) // 10
    return "\n".join([*lines, direct(a, b)])


STYLES = {"direct": direct, "scratchpad": scratchpad}


def right(answer: str, a: int, b: int) -> bool:
    """Whether an answer ends with the right sum; only its last line counts."""
    last_line = answer.partition(END)[0].split("\n")[-1]
    return END in answer and last_line == f"{a + b:0{COLUMNS + 1}}"


def held_out(a: int, b: int) -> bool:
    """Whether a problem is kept for testing: a fixed random tenth of all problems."""
    return zlib.crc32(prompt_of(a, b).encode()) % 10 == 0


def problem(rng: random.Random, filled: int = SEEN, test: bool = False) -> tuple[int, int]:
    """Two numbers with `filled` columns filled, at random places, to train on or to test with.

    A column is filled if one of its two digits is not 0. Raises ValueError if filled is not
    from 1 to COLUMNS.
    """
    filled = whole_number(filled, "filled")
    if not 1 <= filled <= COLUMNS:
        raise ValueError(f"from 1 to {COLUMNS} columns can be filled, not {filled}")
    while True:
        a = b = 0
        for column in rng.sample(range(COLUMNS), filled):
            pair = rng.randrange(1, 100)  # two digits, not both 0
            a, b = a + pair // 10 * 10**column, b + pair % 10 * 10**column
        if held_out(a, b) == test:
            return a, b


def problems(n: int, filled: int, seed: int = 1) -> list[tuple[int, int]]:
    """n problems to test with; the same seed gives the same problems."""
    rng = random.Random(whole_number(seed, "seed"))
    return [problem(rng, filled, test=True) for _ in range(whole_number(n, "n"))]


def examples(style: str, seed: int = 1):
    """A `draw` for `finetune.tune`: batches of problems, answered in a style.

    A batch has TOKENS_A_STEP tokens or a little less. With longer answers it has fewer problems,
    so every style is taught with the same number of tokens.
    """
    rng, answer = random.Random(seed), STYLES[style]
    length = len(prompt_of(0, 0) + answer(0, 0)) - 1  # tokens that are read

    def draw():
        asked = [problem(rng) for _ in range(TOKENS_A_STEP // length)]
        pairs = [(prompt_of(*p), answer(*p)) for p in asked]
        return pair_batch(TOKENIZER, pairs, SIZE.block_size)

    return draw


def training(tokens: int = TOKENS) -> TrainConfig:
    """How a model is taught to add, with about this number of tokens."""
    return TrainConfig(
        max_steps=max(1, whole_number(tokens, "tokens") // TOKENS_A_STEP),
        learning_rate=3e-3,
        min_lr=1e-4,
        warmup_steps=30,
        eval_interval=50,
    )


def teach(
    style: str, tokens: int = TOKENS, seed: int = 1, watch=None, device="cpu"
) -> tuple[GPT, list[float]]:
    """A new model that has learnt to add in a style, and its losses.

    watch: called as watch(step, model) during the training.
    """
    torch.manual_seed(seed)
    model, draw = GPT(SIZE).to(device), examples(style, seed)
    look = watch and (lambda step: watch(step, model))
    there = lambda: tuple(part.to(device) for part in draw())  # noqa: E731
    return model, tune(model, there, training(tokens), look)


def answers(model: GPT, asked, room: int = ROOM, **settings) -> list[str]:
    """What a model writes after each problem, up to its END; greedily unless `settings` differ.

    room: the most tokens of an answer. settings: those of `sampling.generate`.
    """
    prompts = [prompt_of(a, b) for a, b in asked]
    texts = generate(model, TOKENIZER, prompts, room, **({"greedy": True} | settings))
    written = [text[len(prompt) :] for text, prompt in zip(texts, prompts, strict=True)]
    return [text.partition(END)[0] + (END if END in text else "") for text in written]


def accuracy(model: GPT, style: str, asked) -> float:
    """The share of problems that a model answers correctly, greedily."""
    written = answers(model, asked, room=len(STYLES[style](0, 0)))
    graded = [right(text, *p) for text, p in zip(written, asked, strict=True)]
    return sum(graded) / len(graded)
