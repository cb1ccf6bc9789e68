"""Tunes models on written steps with mistakes in them: what clean examples are worth.

The base is a model that adds at once. It is tuned on a fixed set of examples in steps. A share of
them is spoilt: a wrong digit in the answer, a wrong sum in one step, or a carry that is lost. The
control is clean and a quarter as large, and read four times as often. A row says how often sums
of five columns are right, by the number of carries in them.
"""

import copy
import random

from experiments.common import add_seeds, on, said
from nanogpt_lib.beyond import arithmetic
from nanogpt_lib.beyond.arithmetic import COLUMNS, TOKENIZER, prompt_of, scratchpad
from nanogpt_lib.beyond.finetune import END, pair_batch, tune
from nanogpt_lib.beyond.rl import tries
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.figures import write_record

FOLDER = "post_training"
EXAMPLES, ROWS = 16_000, 32  # of the full set, and of a batch
SHARES = (0.05, 0.2, 0.5)


def wrong_answer(a: int, b: int, rng: random.Random) -> str:
    """Right steps, and one wrong digit in the answer."""
    steps, answer = scratchpad(a, b).rsplit("\n", 1)
    place = rng.randrange(COLUMNS + 1)
    wrong = rng.choice([d for d in "0123456789" if d != answer[place]])
    return f"{steps}\n{answer[:place]}{wrong}{answer[place + 1 :]}"


def in_steps(a: int, b: int, slip) -> str:
    """Steps and an answer that agree, with slip(column, sum, carry) in the place of each sum."""
    lines, carry, digits = [], 0, ""
    for i in range(COLUMNS):
        x, y = a // 10**i % 10, b // 10**i % 10
        total = slip(i, x + y, carry)
        lines.append(f"{x}+{y}+{carry}={total:02}")
        carry, digits = total // 10, f"{total % 10}{digits}"
    return "\n".join([*lines, f"{carry}{digits}{END}"])


def wrong_step(a: int, b: int, rng: random.Random) -> str:
    """One column's sum is wrong, and the rest follows from it."""
    place, by = rng.randrange(COLUMNS), rng.randrange(1, 20)
    return in_steps(a, b, lambda i, s, c: (s + c + by * (i == place)) % 20)


def lost_carry(a: int, b: int, rng: random.Random) -> str:
    """Carries are written down and then not added: everyone's mistake is the same."""
    return in_steps(a, b, lambda i, s, c: s)


KINDS = {"wrong answers": wrong_answer, "wrong steps": wrong_step, "lost carries": lost_carry}


def cases() -> list[tuple[str, float, int]]:
    """(kind of mistake, share of examples with it, examples)."""
    spoilt = [(kind, share, EXAMPLES) for kind in KINDS for share in SHARES]
    return [("clean", 0.0, EXAMPLES), *spoilt, ("clean, a quarter", 0.0, EXAMPLES // 4)]


def carried(a: int, b: int) -> int:
    """How many carries a sum has."""
    return sum((a % 10**i + b % 10**i) >= 10**i for i in range(1, COLUMNS + 1))


def draw_from(kind: str, share: float, n: int, seed: int):
    """A `draw` for `finetune.tune` from a fixed set of n examples, each once before any again."""
    rng, pairs = random.Random(seed), []
    for _ in range(n):
        a, b = arithmetic.problem(rng)
        spoilt = rng.random() < share
        answer = KINDS[kind](a, b, rng) if spoilt else scratchpad(a, b)
        pairs.append((prompt_of(a, b), answer))
    waiting: list = []

    def draw():
        nonlocal waiting
        if len(waiting) < ROWS:
            waiting = rng.sample(pairs, len(pairs))
        some, waiting = waiting[:ROWS], waiting[ROWS:]
        return pair_batch(TOKENIZER, some, arithmetic.SIZE.block_size)

    return draw


def tests_of(n: int) -> list[list[tuple[int, int]]]:
    """n problems with five columns filled for each number of carries, 0 to COLUMNS."""
    rng, found = random.Random(1), [[] for _ in range(COLUMNS + 1)]
    while any(len(some) < n for some in found):
        pair = arithmetic.problem(rng, COLUMNS, test=True)
        if len(found[carried(*pair)]) < n:
            found[carried(*pair)].append(pair)
    return found


def row_of(base: GPT, case, seed: int, steps: int, tests, device: str = "cpu") -> dict:
    kind, share, n = case
    model = copy.deepcopy(base)
    draw = draw_from(kind, share, n, seed)
    losses = tune(model, on(device, draw), arithmetic.training(steps * arithmetic.TOKENS_A_STEP))
    flat = [pair for some in tests for pair in some]
    right = {}
    for name, temperature in {"greedy": 0.0, "drawn": 1.0}.items():
        written = tries(model, flat, temperature, seed=1)
        graded = [arithmetic.right(w, *p) for w, p in zip(written, flat, strict=True)]
        size = len(tests[0])
        right[name] = [sum(graded[i : i + size]) / size for i in range(0, len(graded), size)]
    return {
        "kind": kind,
        "share": share,
        "examples": n,
        "seed": seed,
        "steps": len(losses),
        "tests": len(tests[0]),
        "right": right,  # by carries, 0 to COLUMNS
    }


def options(parser) -> None:
    add_seeds(parser)
    parser.add_argument("--steps", type=int, default=EXAMPLES // ROWS, help="of tuning (500)")
    parser.add_argument("--tests", type=int, default=50, help="problems a number of carries (50)")


def run(args) -> None:
    rows, tests = [], tests_of(args.tests)
    for seed in args.seeds:
        tokens = args.steps * arithmetic.TOKENS_A_STEP
        base, _ = arithmetic.teach("direct", tokens, seed, device=args.device)
        for case in cases():
            rows.append(row_of(base, case, seed, args.steps, tests, args.device))
            row = rows[-1]
            shares = "  ".join(f"{share:4.0%}" for share in row["right"]["greedy"])
            print(f"{row['kind']}, {row['share']:.0%}, seed {seed}: {shares}", flush=True)
            write_record(args.out / "mistakes.json", said(args, "steps", "tests"), rows)  # so far
