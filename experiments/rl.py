"""Lets models practise for two rewards, with a control, and records the results.

Practice begins at a model that mostly answers at once. Each row says how often it is right with
five columns at several temperatures, so that what practice found can be told from what less
chance gives, and pass@k: how many problems at least one of k answers solves.
"""

import copy
import math

from experiments.common import add_seeds, said
from nanogpt_lib.beyond import arithmetic
from nanogpt_lib.beyond.rl import REWARDS, RLConfig, practise, tries, undecided
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.figures import write_record

FOLDER = "post_training"
TEMPERATURES = (0.0, 0.25, 0.5, 0.75, 1.0)
TUNING_STEPS = 150
DRAWS = 32  # answers to each problem, for pass@k


def graded(written, asked) -> list[bool]:
    return [arithmetic.right(w, *p) for w, p in zip(written, asked, strict=True)]


def at_temperatures(model: GPT, tests: int) -> list[dict]:
    """How a model answers problems with all columns filled, at each of TEMPERATURES."""
    asked, found = arithmetic.problems(tests, arithmetic.COLUMNS), []
    for temperature in TEMPERATURES:
        written = tries(model, asked, temperature, seed=1)
        found.append(
            {
                "temperature": temperature,
                "right": sum(graded(written, asked)) / tests,
                "in steps": sum("+" in w for w in written) / tests,
            }
        )
    return found


def pass_at(model: GPT, tests: int) -> dict[int, float]:
    """The chance that one of k answers is right, k = 1, 2, 4, ...: estimated from DRAWS answers.

    Of n answers with c right ones, k fail together with C(n - c, k) / C(n, k) (Chen et al. 2021,
    arXiv:2107.03374, section 2.1).
    """
    asked = [p for p in arithmetic.problems(tests, arithmetic.COLUMNS) for _ in range(DRAWS)]
    right = graded(tries(model, asked, 1.0, seed=1), asked)
    counts = [sum(right[i : i + DRAWS]) for i in range(0, len(right), DRAWS)]
    ks = [2**i for i in range(DRAWS.bit_length()) if 2**i <= DRAWS]
    return {
        k: sum(1 - math.comb(DRAWS - c, k) / math.comb(DRAWS, k) for c in counts) / tests
        for k in ks
    }


def rows_of(seed: int, tokens: int, config: RLConfig, tests: int, device="cpu") -> list[dict]:
    """Teaches a model, and lets copies of it practise for each reward: rows of the record."""
    adder, _ = arithmetic.teach("scratchpad", tokens, seed, device=device)
    tuned, rows = undecided(adder, seed, TUNING_STEPS, usual="direct"), []
    for name, reward in {"nothing": None, **REWARDS}.items():
        model = copy.deepcopy(tuned)
        history = practise(model, reward, config) if reward else []
        rows.append(
            {
                "seed": seed,
                "practised for": name,
                "rewards": [round(r, 4) for r in history],
                "tests": tests,
                "temperatures": at_temperatures(model, tests),
                "pass@k": pass_at(model, tests),
            }
        )
    return rows


def options(parser) -> None:
    add_seeds(parser)
    parser.add_argument(
        "--tokens", type=int, default=arithmetic.TOKENS, help="tokens to teach the model with"
    )
    parser.add_argument("--steps", type=int, default=RLConfig.steps, help="of practice")
    parser.add_argument("--tests", type=int, default=100, help="problems with five columns (100)")


def run(args) -> None:
    rows = []
    for seed in args.seeds:
        config = RLConfig(steps=args.steps, seed=seed)
        new = rows_of(seed, args.tokens, config, args.tests, args.device)
        for row in new:
            shares = "  ".join(f"{t['right']:4.0%}" for t in row["temperatures"])
            print(f"seed {seed}, practised for {row['practised for']:11} {shares}", flush=True)
        rows += new
        about = said(args, "tokens", "steps", "tests")
        write_record(args.out / "control.json", about, rows)  # so far
