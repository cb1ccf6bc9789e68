"""A whole run in one call: from a preset and a text to a run folder with a trained model.

The course does these steps one by one. Here they are together, for the command line and for
everybody who knows them. A run folder holds the record (`run.jsonl`), the checkpoints and the
curve (`loss.png`).
"""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import torch

from nanogpt_lib.checks import TextError, check_length, whole_number
from nanogpt_lib.machine import lock, processes
from nanogpt_lib.machine.device import Compute, pick_compute
from nanogpt_lib.machine.files import PART, make_folder, whole_file
from nanogpt_lib.machine.gradients import compiled
from nanogpt_lib.machine.host import peak_memory_gib
from nanogpt_lib.machine.paths import command_line, program, runs_dir
from nanogpt_lib.milestones import Verdict, verdict
from nanogpt_lib.plots import loss_figure
from nanogpt_lib.runs import checkpoint, families, memory, record
from nanogpt_lib.runs.callbacks import (
    Checkpoints,
    CopyTo,
    KeepRecord,
    Progress,
    TimeBudget,
    WriteSample,
)
from nanogpt_lib.runs.presets import Preset, smaller
from nanogpt_lib.runs.texts import Data, prepare, text_of
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import Run, TrainConfig, evaluate, new_run, train

CURVE = "loss.png"


@dataclass
class Outcome:
    """The result of a run."""

    folder: Path
    run: Run
    whole_val_loss: float | None  # the best checkpoint's; None for an interrupted run
    verdict: Verdict
    rungs: list[dict]  # the n-gram ladder of its text


def check_context_of(preset: Preset, data: Data) -> None:
    """Raises checks.TextError, which names a preset that fits, if a text is too short for this."""
    way = smaller(min(len(data.train_ids), len(data.val_ids)))
    check_length(data.train_ids, data.val_ids, preset.model.block_size, way)


def new_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or name-2, name-3, ... if that exists: no run is ever overwritten."""
    taken = {p.name for p in parent.iterdir()} if parent.exists() else set()
    numbered = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    folder = parent / next(candidate for candidate in numbered if candidate not in taken)
    make_folder(folder)
    return folder


def holds_a_run(folder: str | Path) -> bool:
    """Whether a folder holds a checkpoint, or a record with more than its first line."""
    folder = Path(folder)
    if any(folder.glob("*.safetensors")) or any(folder.glob("*.pt")):
        return True
    path = folder / record.RECORD
    return path.is_file() and path.read_bytes().count(b"\n") > 1


def tidy(folder: Path) -> None:
    """Removes what a run left that never saved anything, and the folder if it is empty then."""
    if holds_a_run(folder):
        return
    with suppress(OSError):  # it was never made, or other files are in it
        for path in (folder / record.RECORD, *folder.glob(f"*{PART}")):
            path.unlink(missing_ok=True)
        folder.rmdir()


def train_preset(
    preset: Preset,
    text: str | None = None,
    folder: Path | None = None,
    compute: Compute | None = None,
    max_symbols: int | None = None,
    callbacks=(),
    command: str | None = None,
    copy_to: Path | None = None,
    data: Data | None = None,
    tokenizer: str | None = None,
    vocab: int | None = None,
) -> Outcome:
    """Trains a preset from scratch.

    text: a file to train on instead of Tiny Shakespeare. folder: the run folder; a new one in
    `runs_dir()` if not given. compute: chosen here if not given. callbacks: additional ones, called
    after the usual ones. command: how the run was started, for its record. copy_to: a folder that
    gets a copy of the run at each evaluation. data: the text, if `prepare` has read it already.
    tokenizer, vocab: "char" or "bpe", and for "bpe" the number of tokens; as for `prepare`.
    Raises checks.TextError if the text is too short.
    """
    if folder and holds_a_run(folder):
        raise FileExistsError(
            f"{folder} holds a run already: resume it, or name another folder to begin anew"
        )
    if copy_to and (Path(copy_to) / checkpoint.LAST).exists():
        raise FileExistsError(f"{copy_to} holds a run already: name another folder for the copy")
    processes.take_gpu()
    data = data or prepare(text, max_symbols=max_symbols, kind=tokenizer, vocab=vocab)
    check_context_of(preset, data)
    size = replace(preset.model, vocab_size=data.tokenizer.vocab_size)
    compute = compute or pick_compute(width=size.n_embd)
    torch.manual_seed(preset.train.seed)
    with memory.told(size, compute.device):
        model = families.of(size).model(size)
        run = new_run(model, data.train_ids, data.val_ids, preset.train, compute)
        if processes.rank():
            return follow(run, data)
        folder = new_folder(runs_dir(), preset.name) if folder is None else Path(folder)
        several = {"processes": processes.ranks()} if processes.ranks() > 1 else {}
        first = record.first_line(run, preset.name, command, data.about, data.rungs, **several)
        try:
            return carry_on(folder, run, data, first, copying(folder, copy_to, callbacks))
        finally:
            lock.release(folder)
            tidy(folder)


def resume(
    folder: str | Path,
    device: str = "auto",
    text: str | None = None,
    more_steps: int = 0,
    callbacks=(),
    copy_to: Path | None = None,
) -> Outcome:
    """Continues an interrupted run exactly from its last checkpoint.

    On the same CPU the result is that of an uninterrupted run, bit for bit. device: as for
    `device.pick_compute`. text: the new place of the run's text, if it has moved. more_steps: the
    steps to add; this also removes a time limit and stretches the cosine. copy_to: as for
    `train_preset`. Raises checkpoint.CheckpointError if there is no sound checkpoint,
    record.RecordError if the record is missing or malformed, and checks.TextError if the text has
    changed.
    """
    more_steps = whole_number(more_steps, "more_steps")
    folder = Path(folder)
    if not folder.is_dir():
        checkpoint.load_last(folder)  # raises CheckpointError
    processes.take_gpu()
    if processes.rank():
        run, data, _ = restored(folder, device, text, more_steps)
        return follow(run, data)
    lock.claim(folder)  # nobody else may write there from now on
    try:
        run, data, first = restored(folder, device, text, more_steps)
        if copy_to and holds_a_run(copy_to) and record.read(copy_to).about != first:
            raise FileExistsError(f"{copy_to} holds another run: name another folder for the copy")
        with memory.told(run.model.config, run.compute.device):
            return carry_on(folder, run, data, first, copying(folder, copy_to, callbacks))
    finally:
        lock.release(folder)


def restored(folder: Path, device: str, text: str | None, more: int) -> tuple[Run, Data, dict]:
    """A run as its last checkpoint has it, its text, and the first line of its record."""
    saved = checkpoint.load_last(folder)
    about = saved["about"]
    if "sha256" not in about:
        raise checkpoint.CheckpointError(
            f"{folder} does not say what text it was trained on: a notebook saved it. Continue it "
            "there, with checkpoint.restore"
        )
    first = about.get("run") or record.read(folder).about
    path = text or unquoted(about.get("text"))
    if text is None and path and not Path(path).exists():
        raise TextError(f"{path}, this run's text, is not there: give its new place with --text")
    if text_of(path) != about["sha256"]:
        raise TextError(
            f"{path or 'Tiny Shakespeare'} is not the text that this run began with; give that one "
            "with --text FILE, or start a new run"
        )
    data = prepare(path, checkpoint.load_tokenizer(saved), first=first)
    compute = pick_compute(device, width=saved["model_config"]["n_embd"])
    if compute.device.type == saved["device"]:  # keep the precision that it began with
        compute = pick_compute(compute.device.type, saved["dtype"])
        keep_threads(saved["threads"])
    config = TrainConfig(**saved["train_config"])
    if more:
        config.max_steps += more
        config.max_seconds = None
    family = families.find(saved["family"])
    model = family.model(family.config(**saved["model_config"]))
    run = new_run(model, data.train_ids, data.val_ids, config, compute)
    checkpoint.restore(run, saved)
    return run, data, first


def keep_threads(threads: int | None) -> None:
    """Computes in as many threads as the run began with: sums of other parts round differently."""
    if threads and threads != torch.get_num_threads():
        if threads <= (os.cpu_count() or 1):
            torch.set_num_threads(threads)
        else:
            print(
                f"note: the run began with {threads} threads and goes on with "
                f"{torch.get_num_threads()}: its last digits may differ",
                file=sys.stderr,
            )


def quoted(path: str | None) -> str | None:
    """A path as plain text, also if the system's name for it is not UTF-8."""
    return path and quote(os.fsencode(path), safe="/:\\ ")


def unquoted(path: str | None) -> str | None:
    return path and os.fsdecode(unquote_to_bytes(path))


def copying(folder: Path, copy_to: Path | None, callbacks) -> tuple:
    """The callbacks, and one that copies the run if a copy is wanted."""
    return (*callbacks, CopyTo(folder, copy_to)) if copy_to else tuple(callbacks)


def together(run: Run):
    """`processes.together`, with the model compiled before, if it is to be."""
    if run.config.compile and processes.ranks() > 1:
        run.forward = compiled(run)
    return processes.together(run)


def follow(run: Run, data: Data) -> Outcome:
    """Trains as one of several processes that does not write anything."""
    with together(run):
        train(run, [TimeBudget()])
    return Outcome(Path(), run, None, verdict(run.history, data.copied), data.rungs)


def carry_on(folder: Path, run: Run, data: Data, first: dict, callbacks) -> Outcome:
    """Trains with the usual callbacks and these, draws the curve and judges the run.

    first: the first line of the run's record. It is part of each checkpoint, too.
    """
    about = {"preset": first["preset"], "sha256": data.fingerprint, "run": first}
    per_token = None if isinstance(data.tokenizer, CharTokenizer) else data.characters_per_token
    usual = (
        WriteSample(data.tokenizer),
        Checkpoints(folder, data.tokenizer, about | {"text": quoted(data.path)}),
        KeepRecord(folder / record.RECORD, first),
        TimeBudget(),
        Progress(data.rungs, characters_per_token=per_token),
    )
    try:
        with together(run):
            train(run, (*usual, *callbacks))
    except KeyboardInterrupt:
        if holds_a_run(folder):
            again = command_line(program(), "resume", folder)
            print(f"\nStopped at once. What was saved is safe: {again}")
        raise
    lock.claim(folder)  # the training has given it back; the judgement still writes there
    draw(folder)
    whole = None
    if run.stopped != "interrupted" and run.best:
        best, _, saved = checkpoint.load_model(folder)
        whole = evaluate(best.to(run.compute.device), run.val_ids, compute=run.compute)
        line = {"type": "result", "step": saved["step"], "whole_val_loss": whole}
        line |= {"peak_memory_gib": peak_memory_gib()}
        record.write_line(folder / record.RECORD, line)
    judged = verdict(run.history, data.copied)
    return Outcome(folder, run, whole, judged, data.rungs)


def draw(folder: str | Path) -> Path:
    """Draws the curve of a run folder's record as loss.png. Returns its path."""
    folder = Path(folder)
    kept = record.read(folder)
    title = f"{kept.about['preset']} on {kept.about['text']['name']}"
    config = TrainConfig(**kept.train_config)
    figure = loss_figure(kept.history, config, kept.about["ladder"], title)
    with whole_file(folder / CURVE) as file:
        figure.savefig(file, format="png", dpi=150)
    return folder / CURVE
