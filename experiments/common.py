"""What several experiments share: choosing cases, printing progress, writing a record."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch

from nanogpt_lib.corpus import fingerprint, load_corpus
from nanogpt_lib.runs import record
from nanogpt_lib.runs.callbacks import KeepRecord, WriteSample
from nanogpt_lib.training import Callback, Run, train


def add_names(parser: argparse.ArgumentParser, names) -> None:
    """Adds positional arguments: the cases to make; all of them if you name no case."""

    def known(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(
                f"there is no case {name!r}; there are {', '.join(names)}"
            )
        return name

    parser.add_argument(
        "names", nargs="*", metavar="CASE", type=known, help=f"{', '.join(names)} (all)"
    )


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Adds --seeds and --device: several processes can share the seeds of an experiment."""
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="S", help="which (1 2 3)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")


def said(args: argparse.Namespace, *names: str) -> dict:
    """What a record says about itself: the command, and the device it ran on."""
    words = [f"python -m experiments {args.name}"]
    for name in ("seeds", *names, "device"):
        value = getattr(args, name)
        value = " ".join(map(str, value)) if isinstance(value, list) else value
        words.append(f"--{name} {value}" if value not in (None, "") else "")
    return {"command": " ".join(filter(None, words)), "device": device_name(args.device)}


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else device


def on(device: str, draw: Callable) -> Callable:
    """A `draw` for `finetune.tune` whose batches lie on a device."""
    return lambda: tuple(part.to(device) for part in draw())


def text_of(run: Run) -> dict:
    """What a record says about its text: (a part of) Tiny Shakespeare."""
    return {
        "name": "Tiny Shakespeare",
        "sha256": fingerprint(load_corpus()),
        "train_tokens": len(run.train_ids),
        "val_tokens": len(run.val_ids),
    }


def recorded(
    run: Run, path: Path, first_line: dict, sample: WriteSample, last_line: Callable, callbacks=()
) -> Path:
    """Trains a run and records it; `path` holds the old record until the new one is complete.

    last_line: called after the training, returns the last line of the record.
    """
    partial = path.with_suffix(".part")
    partial.unlink(missing_ok=True)
    train(run, (sample, KeepRecord(partial, first_line), *callbacks))
    record.write_line(partial, last_line())
    os.replace(partial, path)
    return path


class Tell(Callback):
    """Prints a line for each evaluation, with the beginning of the sample after its prompt."""

    def __init__(self, prompt: str = "\n"):
        self.prompt = prompt

    def on_eval(self, run):
        p = run.history[-1]
        begin = repr(p.sample[len(self.prompt) :][:50]) if p.sample else ""
        print(
            f"  step {p.step:>5,}  train {p.train_loss:.3f}  val {p.val_loss:.3f}  {begin}",
            flush=True,
        )
