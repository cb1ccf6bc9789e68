"""Tunes `pocket` on requests with all its weights and with LoRA, and records both.

Of each way and seed: how many weights learn, how often a request is followed, and the loss on
Shakespeare. Equal are the examples, the steps and the batches. Not equal are the rates: LoRA's
matrices need a higher one. Of 1e-3, 3e-3 and 1e-2 the last did best for rank 8 with seed 1.
"""

import torch

from nanogpt_lib.beyond.chat import RATE, ROWS, STEPS, examples, put_aside, request_sets, speeches
from nanogpt_lib.beyond.chat import success as success_of
from nanogpt_lib.beyond.finetune import extend, tune
from nanogpt_lib.beyond.lora import add_lora, merged, trainable
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.runs.checkpoint import load_model
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.runs.template import MARKS
from nanogpt_lib.training import TrainConfig, evaluate

FOLDER = "post_training"
RANKS = (None, 2, 8, 32)  # None: all weights learn
LORA_RATE = 1e-2


def row_of(rank: int | None, seed: int, steps: int = STEPS, tests: int = 100, batches=None) -> dict:
    """Tunes `pocket` with LoRA of a rank, or whole, and measures it: a row of the record.

    batches: number of batches of validation text to evaluate on; all if not given.
    """
    base, tokenizer, _ = load_model("pocket")
    torch.manual_seed(seed)
    model, tokenizer = extend(base, tokenizer, MARKS)
    train_text, val_text = split(load_corpus())
    val_ids = torch.tensor(tokenizer.encode(val_text))
    before, new = evaluate(model, val_ids, batches), 0
    if rank is not None:
        new = len(MARKS)
        model = add_lora(model, rank, new)
    rate = RATE if rank is None else LORA_RATE
    decay = TrainConfig.weight_decay if rank is None else 0.0
    config = TrainConfig(
        steps, learning_rate=rate, min_lr=rate / 10, warmup_steps=20, weight_decay=decay
    )
    lessons, _ = put_aside(speeches(train_text))
    learning = trainable(model, new)
    losses = tune(model, examples(lessons, tokenizer, ROWS, seed), config)
    model = model if rank is None else merged(model)
    sets = request_sets(train_text, tests)
    return {
        "rank": rank,
        "seed": seed,
        "steps": steps,
        "learning_rate": rate,
        "trainable": learning,
        "of": model.num_params(),
        "loss": sum(losses[-20:]) / len(losses[-20:]),
        "val_loss_before": before,
        "val_loss_after": evaluate(model, val_ids, batches),
        "tests": tests,
        "success": {name: success_of(model, tokenizer, asked) for name, asked in sets.items()},
    }


def options(parser) -> None:
    parser.add_argument("--seeds", type=int, default=3, help="of each rank (3)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of tuning ({STEPS})")
    parser.add_argument("--tests", type=int, default=100, help="requests of each kind (100)")
    parser.add_argument("--batches", type=int, help="of validation text (all)")


def run(args) -> None:
    command = (
        f"python -m experiments lora --seeds {args.seeds} --steps {args.steps} --tests {args.tests}"
    )
    rows = []
    for seed in range(1, args.seeds + 1):
        for rank in RANKS:
            rows.append(row_of(rank, seed, args.steps, args.tests, args.batches))
            row = rows[-1]
            print(
                f"seed {seed}, rank {rank}: {row['trainable'] / row['of']:.1%} of the weights, "
                f"loss {row['val_loss_before']:.3f} -> {row['val_loss_after']:.3f}, "
                f"{row['success']}",
                flush=True,
            )
            write_record(args.out / "lora.json", {"command": command}, rows)  # so far
