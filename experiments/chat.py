"""Tunes the shipped `pocket` model on requests in three ways, and records the results.

It says how often the model follows a request, and how much of Shakespeare it has forgotten.
"""

import torch

from nanogpt_lib.beyond.chat import MARKS, STEPS, WAYS, request_sets, success, tune_to_answer
from nanogpt_lib.beyond.finetune import extend
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.runs.checkpoint import load_model
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.training import evaluate

FOLDER = "post_training"


def row_of(way: str, text: str, steps: int = STEPS, tests: int = 100, batches=None) -> dict:
    """Tunes `pocket` in one of WAYS and measures it: a row of the record.

    batches: number of batches of validation text to evaluate on; all if not given.
    """
    base, tokenizer, _ = load_model("pocket")
    torch.manual_seed(1)
    model, tokenizer = extend(base, tokenizer, MARKS)
    train_text, val_text = split(text)
    val_ids = torch.tensor(tokenizer.encode(val_text))
    sets = request_sets(train_text, tests)
    before = {name: success(model, tokenizer, asked) for name, asked in sets.items()}
    loss_before = evaluate(model, val_ids, batches)
    tune_to_answer(model, tokenizer, train_text, way, steps)
    return {
        "way": way,
        "steps": steps,
        "learning_rate": WAYS[way][0],
        "old_rows": WAYS[way][1],
        "val_loss_before": loss_before,
        "val_loss_after": evaluate(model, val_ids, batches),
        "tests": tests,
        "success_before": before,
        "success_after": {name: success(model, tokenizer, asked) for name, asked in sets.items()},
    }


def options(parser) -> None:
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of tuning ({STEPS})")
    parser.add_argument("--tests", type=int, default=100, help="requests of each kind (100)")
    parser.add_argument("--batches", type=int, help="of validation text (all)")


def run(args) -> None:
    command = f"python -m experiments chat --steps {args.steps} --tests {args.tests}"
    rows = []
    for way in WAYS:
        rows.append(row_of(way, load_corpus(), args.steps, args.tests, args.batches))
        row = rows[-1]
        print(f"{way}: {row['val_loss_before']:.3f} -> {row['val_loss_after']:.3f}", end="")
        print(f", {row['success_after']}", flush=True)
        write_record(args.out / "chat.json", {"command": command}, rows)  # so far
