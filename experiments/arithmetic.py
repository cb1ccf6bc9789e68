"""Teaches models to add, at once and in steps, with several seeds, and records the results."""

from nanogpt_lib.beyond.arithmetic import (
    COLUMNS,
    STYLES,
    TOKENS,
    accuracy,
    examples,
    problems,
    prompt_of,
    teach,
)
from nanogpt_lib.runs.figures import write_record

FOLDER = "post_training"


def row_of(style: str, seed: int, tokens: int = TOKENS, tests: int = 200) -> dict:
    """Teaches a model and tests it: a row of the record."""
    model, losses = teach(style, tokens, seed)
    by_columns = [accuracy(model, style, problems(tests, n)) for n in range(1, COLUMNS + 1)]
    steps, batch = len(losses), len(examples(style)()[0])
    length = len(prompt_of(0, 0) + STYLES[style](0, 0)) - 1
    return {
        "style": style,
        "seed": seed,
        "parameters": model.num_params(),
        "steps": steps,
        "problems": steps * batch,
        "tokens": steps * batch * length,
        "tests": tests,
        "accuracy": by_columns,  # with 1, 2, ... COLUMNS columns filled
    }


def options(parser) -> None:
    parser.add_argument("--seeds", type=int, default=3, help="models of each style (3)")
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"to read ({TOKENS:,})")
    parser.add_argument("--tests", type=int, default=200, help="problems of each length (200)")


def run(args) -> None:
    command = (
        f"python -m experiments arithmetic --seeds {args.seeds} --tokens {args.tokens} "
        f"--tests {args.tests}"
    )
    rows = []
    for seed in range(1, args.seeds + 1):
        for style in STYLES:
            rows.append(row_of(style, seed, args.tokens, args.tests))
            shares = "  ".join(f"{share:4.0%}" for share in rows[-1]["accuracy"])
            print(f"{style:10} seed {seed}, 1 to {COLUMNS} columns filled: {shares}", flush=True)
            write_record(args.out / "addition.json", {"command": command}, rows)  # so far
