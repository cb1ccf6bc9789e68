"""Lets models practise for two rewards, with several seeds, and records the results."""

import copy

from nanogpt_lib.beyond import arithmetic
from nanogpt_lib.beyond.rl import REWARDS, RLConfig, measure, practise, undecided
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.figures import write_record

FOLDER = "post_training"


def measure_all(model: GPT, tests: int) -> list[dict]:
    """`measure` with 1, 2, ... COLUMNS columns filled."""
    columns = range(1, arithmetic.COLUMNS + 1)
    return [measure(model, arithmetic.problems(tests, n)) for n in columns]


def rows_of(seed: int, tokens: int, config: RLConfig, tests: int) -> list[dict]:
    """Teaches a model, and lets copies of it practise for each reward: rows of the record."""
    adder, _ = arithmetic.teach("scratchpad", tokens, seed)
    tuned = undecided(adder, seed)
    rows = [{"seed": seed, "practised for": "nothing", "tests": measure_all(tuned, tests)}]
    for name, reward in REWARDS.items():
        model = copy.deepcopy(tuned)
        history = practise(model, reward, config)
        tested = measure_all(model, tests)
        rows.append({"seed": seed, "practised for": name, "rewards": history, "tests": tested})
    return rows


def options(parser) -> None:
    parser.add_argument("--seeds", type=int, default=3, help="models (3)")
    parser.add_argument(
        "--tokens", type=int, default=arithmetic.TOKENS, help="tokens to teach the model with"
    )
    parser.add_argument("--steps", type=int, default=RLConfig.steps, help="of practice")
    parser.add_argument("--tests", type=int, default=100, help="problems of each length (100)")


def run(args) -> None:
    command = (
        f"python -m experiments rl --seeds {args.seeds} --tokens {args.tokens} "
        f"--steps {args.steps} --tests {args.tests}"
    )
    rows = []
    for seed in range(1, args.seeds + 1):
        new = rows_of(seed, args.tokens, RLConfig(steps=args.steps, seed=seed), args.tests)
        for row in new:
            shares = "  ".join(f"{test['right']:4.0%}" for test in row["tests"])
            print(f"seed {seed}, practised for {row['practised for']:11} {shares}", flush=True)
        rows += new
        write_record(args.out / "practice.json", {"command": command}, rows)  # so far
