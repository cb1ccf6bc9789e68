"""Tunes the shipped `pocket` model on requests in four ways, and records the results.

Each way is tuned for several numbers of steps, so that ways can be compared where they have learnt
equally much. A row says how often the model follows a request, and how much of Shakespeare it has
forgotten.
"""

import torch

from experiments.common import add_seeds, said
from nanogpt_lib.beyond.chat import MARKS, STEPS, WAYS, request_sets, success, tune_to_answer
from nanogpt_lib.beyond.finetune import extend
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.runs.checkpoint import load_model
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.training import evaluate

FOLDER = "post_training"
LENGTHS = (1, 2, 5)  # times --steps; 5 for the lower rate only, which needs so many


def row_of(
    way: str, text: str, steps: int = STEPS, tests: int = 100, batches=None, seed=1, device="cpu"
) -> dict:
    """Tunes `pocket` in one of WAYS and measures it: a row of the record.

    batches: number of batches of validation text to evaluate on; all if not given.
    """
    base, tokenizer, _ = load_model("pocket")
    torch.manual_seed(seed)
    model, tokenizer = extend(base, tokenizer, MARKS)
    model = model.to(device)
    train_text, val_text = split(text)
    val_ids = torch.tensor(tokenizer.encode(val_text), device=device)
    sets = request_sets(train_text, tests)
    loss_before = evaluate(model, val_ids, batches)
    tune_to_answer(model, tokenizer, train_text, way, steps, seed)
    return {
        "way": way,
        "seed": seed,
        "steps": steps,
        "learning_rate": WAYS[way].rate,
        "old_rows": WAYS[way].old_rows,
        "masked": WAYS[way].masked,
        "val_loss_before": loss_before,
        "val_loss_after": evaluate(model, val_ids, batches),
        "tests": tests,
        "success_after": {name: success(model, tokenizer, asked) for name, asked in sets.items()},
    }


def options(parser) -> None:
    add_seeds(parser)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"the shortest tuning ({STEPS})")
    parser.add_argument("--tests", type=int, default=100, help="requests of each kind (100)")
    parser.add_argument("--batches", type=int, help="of validation text (all)")


def run(args) -> None:
    rows = []
    for seed in args.seeds:
        for way in WAYS:
            for times in LENGTHS:
                if times == 5 and way != "lower rate":
                    continue
                rows.append(
                    row_of(
                        way,
                        load_corpus(),
                        times * args.steps,
                        args.tests,
                        args.batches,
                        seed,
                        args.device,
                    )
                )
                row = rows[-1]
                print(f"seed {seed}, {way}, {row['steps']} steps: ", end="")
                print(f"{row['val_loss_before']:.3f} -> {row['val_loss_after']:.3f}", end="")
                print(f", {row['success_after']}", flush=True)
                about = said(args, "steps", "tests")
                write_record(args.out / "chat.json", about, rows)  # so far
