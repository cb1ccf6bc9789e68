"""Three vocabularies with little and with much text, each learnt from little or from much.

All of one seed have the same computation. A row has the curve and bits a character.
"""

from experiments.common import add_seeds, said
from nanogpt_lib.beyond.subwords import CHARACTERS, FLOPS, KeepBest, Setting, prepare, result
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.training import train

FOLDER = "subwords"
LITTLE = 50_000  # characters
GROUPS = {  # characters of text to train on, and whether the vocabulary saw all the training text
    "little text": (LITTLE, False),
    "little text, vocabulary of all": (LITTLE, True),
    "all the text": (None, True),
}
SIZES = (CHARACTERS, 512, 4096)


def row_of(group: str, vocab_size: int, seed: int, flops: float, device: str) -> dict:
    train_chars, whole = GROUPS[group]
    trial = prepare(Setting(vocab_size, train_chars, flops, whole, seed, device))
    train(trial.run, [KeepBest()])
    made = result(trial)
    del made["type"]
    points = trial.run.history
    return {
        "group": group,
        "asked": vocab_size,
        "vocabulary": trial.tokenizer.vocab_size,
        "seed": seed,
        "steps": trial.run.step,
        "train_tokens": len(trial.run.train_ids),
        "val_tokens": len(trial.run.val_ids),
        **made,
        "curve": [[p.step, round(p.train_loss, 4), round(p.val_loss, 4)] for p in points],
    }


def options(parser) -> None:
    add_seeds(parser)
    parser.add_argument("--flops", type=float, default=FLOPS, help=f"of each ({FLOPS:g})")


def run(args) -> None:
    rows = []
    for seed in args.seeds:
        for group in GROUPS:
            for vocab_size in SIZES:
                if vocab_size == CHARACTERS and group == "little text, vocabulary of all":
                    continue  # letters are the same in both
                rows.append(row_of(group, vocab_size, seed, args.flops, args.device))
                row = rows[-1]
                print(f"{group}, {row['vocabulary']} symbols, seed {seed}: {row['bits']:.3f} bits")
                about = said(args, "flops")
                write_record(args.out / "vocabularies.json", about, rows)  # so far
