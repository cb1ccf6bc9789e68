"""`python -m experiments NAME` makes recorded runs again; `python -m experiments NAME -h` helps.

Each experiment has a module here with a function `options(parser)`, which adds its own options,
and a function `run(args)`. `build_parser` adds the options that all of them have.
"""

import argparse
import importlib
from pathlib import Path

import torch

from nanogpt_lib.machine.paths import RECORDED

EXPERIMENTS = {
    "clinic": "the ill runs of notebook 05: about 20 minutes on one core",
    "subwords": "vocabularies at equal computation, of notebook 07: about five minutes on one core",
    "vocabularies": "the same with seeds, and vocabularies learnt from other texts, of notebook 07",
    "handling": "clean and spoilt text, of notebook 07",
    "chat": "four ways to tune on requests, of notebook 08",
    "arithmetic": "addition at once and in steps, of notebook 08",
    "mistakes": "written steps with mistakes in them, of notebook 08",
    "rl": "practice for two rewards, of notebook 08",
    "collapse": "practice at too high a rate, of notebook 08",
    "lora": "tuning all weights against few new ones, of notebook 08",
    "judges": "three judges of the run of the talk, of notebook 05: give it checkpoints",
    "by_heart": "the same judges on three small runs, again and again: half an hour of one core",
    "facts": "what notebooks 00 to 04 claim, seed by seed: a minute or two a case",
    "merge": "joins the parts of a record: name them, and with --out the file to write",
    "senses": "pictures and sounds beside their controls, of notebook 09: half an hour of one core",
    "switches": "each change taken out of the fastest recipe, of notebook 10: 40 seconds a seed",
    "ladder": "from the plain GPT to the fast one, of notebook 10: 8 seconds of one core a run",
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    for name, about in EXPERIMENTS.items():
        module = importlib.import_module(f"experiments.{name}")
        sub = commands.add_parser(name, help=about, description=module.__doc__)
        sub.formatter_class = argparse.RawDescriptionHelpFormatter
        folder = RECORDED / module.FOLDER
        sub.add_argument(
            "--out", type=Path, default=folder, metavar="DIR", help=f"default: {module.FOLDER}"
        )
        module.options(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(words: list[str] | None = None) -> int:
    args = build_parser().parse_args(words)
    torch.set_num_threads(1)  # models this small gain little from more
    # Gradients of a small loss can be below 1e-38. Processors are ten times slower for these.
    torch.set_flush_denormal(True)
    args.run(args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
