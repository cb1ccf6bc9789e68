"""Teaches models to add, at once and in steps, with several seeds and several amounts of tokens."""

from experiments.common import add_seeds, said
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
AMOUNTS = [TOKENS, 2 * TOKENS, 4 * TOKENS]


def row_of(
    style: str, seed: int, tokens: int = TOKENS, tests: int = 200, device: str = "cpu"
) -> dict:
    """Teaches a model and tests it: a row of the record."""
    model, losses = teach(style, tokens, seed, device=device)
    by_columns = [accuracy(model, style, problems(tests, n)) for n in range(1, COLUMNS + 1)]
    steps, batch = len(losses), len(examples(style)()[0])
    answer = len(STYLES[style](0, 0))
    length = len(prompt_of(0, 0)) + answer - 1
    return {
        "style": style,
        "seed": seed,
        "parameters": model.num_params(),
        "steps": steps,
        "problems": steps * batch,
        "tokens": steps * batch * length,
        "supervised": steps * batch * answer,  # tokens of answers: those with a target
        "asked": tokens,
        "tests": tests,
        "accuracy": by_columns,  # with 1, 2, ... COLUMNS columns filled
    }


def options(parser) -> None:
    add_seeds(parser)
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=AMOUNTS, help="to read (1, 2 and 4 million)"
    )
    parser.add_argument("--tests", type=int, default=200, help="problems of each length (200)")


def run(args) -> None:
    rows = []
    for tokens in args.tokens:
        for seed in args.seeds:
            for style in STYLES:
                rows.append(row_of(style, seed, tokens, args.tests, args.device))
                shares = "  ".join(f"{share:4.0%}" for share in rows[-1]["accuracy"])
                print(f"{style:10} {tokens:>9,} tokens, seed {seed}: {shares}", flush=True)
                about = said(args, "tokens", "tests")
                write_record(args.out / "addition.json", about, rows)  # so far
