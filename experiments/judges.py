"""Three judges of one run: its validation loss, the words it writes, and what it copies.

Give it checkpoints of one run, at different steps. Each writes the same number of texts with each
seed. A row of the record holds what was found for one checkpoint and one seed. The last rows are of
the validation text: what the same judges say of Shakespeare himself.
"""

import re
from pathlib import Path
from statistics import median

import torch

from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.runs import checkpoint
from nanogpt_lib.runs.copying import longest_copy
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.sampling import TOP_K, generate
from nanogpt_lib.training import evaluate

FOLDER = "talk"
TEMPERATURE = 0.7
PIECE = 200  # characters in which copies are looked for, as in `copying.by_chance`


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower())


def lines_of(text: str) -> list[str]:
    """The lines that somebody speaks. The names of speakers are in every play: they say nothing."""
    lines = (line.strip() for line in text.split("\n"))
    return [line for line in lines if line and not line.endswith(":")]


def judge(texts: list[str], train_text: str, corpus: str) -> dict:
    """What an ear and a search say about texts. A share is between 0 and 1.

    real_words: share of the words that occur in the corpus. distinct_words: their number.
    known_lines: share of the lines that stand in the training text. repeated_lines: share that
    stood in these texts before. copy_median: of the longest copies in pieces of 200 characters.
    copy_longest: the longest copy in a whole text.
    """
    known_words, known_lines = set(words_of(corpus)), set(lines_of(train_text))
    words = [word for text in texts for word in words_of(text)]
    lines = [line for text in texts for line in lines_of(text[: text.rfind("\n") + 1])]
    pieces = [text[i : i + PIECE] for text in texts for i in range(0, len(text), PIECE)]
    copies = [len(longest_copy(piece, train_text)) for piece in pieces]
    return {
        "characters": sum(map(len, texts)),
        "real_words": round(sum(word in known_words for word in words) / len(words), 4),
        "distinct_words": len(set(words)),
        "known_lines": round(sum(line in known_lines for line in lines) / len(lines), 4),
        "repeated_lines": round(1 - len(set(lines)) / len(lines), 4),
        "copy_median": median(copies),
        "copy_longest": max(len(longest_copy(text, train_text)) for text in texts),
    }


def options(parser) -> None:
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT", help="of a run")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of sampling (3)")
    parser.add_argument("--texts", type=int, default=10, help="texts with each seed (10)")
    parser.add_argument("--length", type=int, default=1000, help="characters of a text (1000)")
    parser.add_argument("--text", type=Path, help="another text than Tiny Shakespeare")


def run(args) -> None:
    corpus = load_corpus(args.text)
    train_text, val_text = split(corpus)
    about = {"temperature": TEMPERATURE, "top_k": TOP_K, "texts": args.texts, "length": args.length}
    rows = []
    for path in args.checkpoints:
        model, tokenizer, data = checkpoint.load_model(path)
        whole = round(evaluate(model, torch.tensor(tokenizer.encode(val_text))), 4)
        train_loss = data["history"][-1]["train_loss"]
        for seed in range(args.seeds):
            first = 1000 * (seed + 1)  # text i is drawn with first + i: no two texts share a seed
            prompts = ["\n"] * args.texts
            written = generate(model, tokenizer, prompts, args.length, seed=first)
            found = judge([text[1:] for text in written], train_text, corpus)
            losses = {"train_loss": round(train_loss, 4), "val_loss": whole}
            rows.append({"step": data["step"], "seed": first, **losses, **found})
            print(rows[-1], flush=True)
            write_record(args.out / "judges.json", about, rows)  # nothing is lost
    for seed in range(args.seeds):
        starts = [
            (seed * args.texts + i) * len(val_text) // (args.seeds * args.texts)
            for i in range(args.texts)
        ]
        found = judge([val_text[i : i + args.length] for i in starts], train_text, corpus)
        rows.append({"step": None, "seed": None, "train_loss": None, "val_loss": None, **found})
        print(rows[-1], flush=True)
    write_record(args.out / "judges.json", about, rows)
