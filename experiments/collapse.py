"""Lets models practise at rates that are too high, and records what the reward does not show.

Of each step: the mean reward, the length of the answers, the share that ended, and the entropy.
`rl.Keeper` puts the best model back at the end; the record says how often that one is right.
"""

import copy
import warnings
from dataclasses import asdict

from nanogpt_lib.beyond import arithmetic
from nanogpt_lib.beyond.rl import RLConfig, measure, practise, right_sum, undecided
from nanogpt_lib.runs.figures import write_record

FOLDER = "post_training"
RATES = (1e-4, 3e-3)  # the one of the notebook, and thirty times as much


def row_of(seed: int, rate: float, steps: int, tuned, tests: int) -> dict:
    """One practice of a copy of a tuned model: a row of the record."""
    hard, notes, last = arithmetic.problems(tests, arithmetic.COLUMNS), [], []
    model = copy.deepcopy(tuned)

    def watch(step, now):
        if step == steps:
            last.append(measure(now, hard)["right"])

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        config = RLConfig(steps=steps, learning_rate=rate, seed=seed)
        practise(model, right_sum, config, watch, notes.append)
    return {
        "seed": seed,
        "learning_rate": rate,
        "right_before": measure(tuned, hard)["right"],
        "right_at_the_end": last[0],
        "right_of_the_kept": measure(model, hard)["right"],
        "said": [str(remark.message) for remark in said],
        "steps": [{k: round(v, 4) for k, v in asdict(note).items()} for note in notes],
    }


def options(parser) -> None:
    parser.add_argument("--seeds", type=int, default=3, help="models (3)")
    parser.add_argument(
        "--tokens", type=int, default=arithmetic.TOKENS, help="tokens to teach the model with"
    )
    parser.add_argument("--steps", type=int, default=200, help="of practice (200)")
    parser.add_argument("--tests", type=int, default=200, help="problems of five columns (200)")


def run(args) -> None:
    command = (
        f"python -m experiments collapse --seeds {args.seeds} --tokens {args.tokens} "
        f"--steps {args.steps} --tests {args.tests}"
    )
    rows = []
    for seed in range(1, args.seeds + 1):
        adder, _ = arithmetic.teach("scratchpad", args.tokens, seed)
        tuned = undecided(adder, seed)
        for rate in RATES:
            rows.append(row_of(seed, rate, args.steps, tuned, args.tests))
            row = rows[-1]
            print(
                f"seed {seed}, rate {rate:g}: {row['right_before']:.0%} before, "
                f"{row['right_at_the_end']:.0%} at the end, {row['right_of_the_kept']:.0%} kept",
                flush=True,
            )
            write_record(args.out / "collapse.json", {"command": command}, rows)  # so far
