"""Three small runs that learn a short text by heart, judged again and again while they do.

The run of the talk was judged at three of its steps, for one seed of training. Here a `pocket`
model trains on the first 110,000 characters, three times. At each of `STEPS` it writes, and the
judges of `experiments.judges` say what they find. So the record tells whether they always disagree
in the same way. The learning rate falls along its cosine to the last of these steps.
"""

from dataclasses import replace

import torch

from experiments.judges import TEMPERATURE, judge
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.runs.presets import get_preset
from nanogpt_lib.sampling import TOP_K, generate
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import Callback, evaluate, new_run, train

FOLDER = "talk"
STEPS = (250, 500, 1000, 1500, 2000, 3000, 4000, 6000)
CHARACTERS = 110_000  # a tenth of the text, nine parts of ten to train on


class Judges(Callback):
    """Lets the judges look at the run at some steps; `rows` holds what they found."""

    def __init__(self, tokenizer, train_text: str, corpus: str, steps, texts: int, length: int):
        self.tokenizer, self.train_text, self.corpus = tokenizer, train_text, corpus
        self.steps, self.texts, self.length = steps, texts, length
        self.rows: list[dict] = []

    def on_step(self, run):
        if run.step not in self.steps:
            return
        prompts = ["\n"] * self.texts
        written = generate(run.model, self.tokenizer, prompts, self.length, seed=run.config.seed)
        found = judge([text[1:] for text in written], self.train_text, self.corpus)
        losses = {
            "train_loss": round(evaluate(run.model, run.train_ids, compute=run.compute), 4),
            "val_loss": round(evaluate(run.model, run.val_ids, compute=run.compute), 4),
        }
        self.rows.append({"step": run.step, "seed": run.config.seed, **losses, **found})
        print(self.rows[-1], flush=True)


def options(parser) -> None:
    parser.add_argument("--seeds", type=int, default=3, help="runs (3)")
    parser.add_argument("--texts", type=int, default=10, help="texts at each step (10)")
    parser.add_argument("--length", type=int, default=1000, help="characters of a text (1000)")
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), help="to judge at")


def run(args) -> None:
    corpus = load_corpus()
    tokenizer = CharTokenizer.train(corpus)
    train_text, val_text = split(corpus[:CHARACTERS])
    ids = [torch.tensor(tokenizer.encode(part)) for part in (train_text, val_text)]
    preset, last = get_preset("pocket"), max(args.steps)
    about = {"temperature": TEMPERATURE, "top_k": TOP_K, "texts": args.texts, "length": args.length}
    about |= {"preset": preset.name, "characters": CHARACTERS, "max_steps": last}
    rows: list[dict] = []
    for seed in range(1, args.seeds + 1):
        config = replace(preset.train, max_steps=last, eval_interval=last, seed=seed)
        torch.manual_seed(seed)
        judges = Judges(tokenizer, train_text, corpus, args.steps, args.texts, args.length)
        train(new_run(GPT(preset.model), *ids, config, pick_compute("cpu", "float32")), [judges])
        rows += judges.rows
        write_record(args.out / "by_heart.json", about, rows)  # nothing is lost
