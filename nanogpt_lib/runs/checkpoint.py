"""Saving a run, so that nothing is lost, and loading it on any device.

A run folder holds `last.pt` (everything needed to continue), `previous.pt` (the one before it, in
case last.pt is damaged) and `best.pt` (the weights with the lowest validation loss). These files
hold only tensors and plain Python data. Reading them cannot run code.
"""

import zipfile
from dataclasses import asdict
from pathlib import Path

import torch

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs.catalogue import shipped_models
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import Evaluation, Run

LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"

FORMAT = 1
TOKENIZERS: dict[str, type[CharTokenizer] | type[BPETokenizer]]
TOKENIZERS = {"char": CharTokenizer, "bpe": BPETokenizer}  # by what their data calls them


class CheckpointError(RuntimeError):
    """A missing or damaged checkpoint. The message names the file and says what to do."""


def snapshot(run: Run, tokenizer, about: dict, complete: bool = True) -> dict:
    """A run as tensors and plain data.

    about: other plain data about the run (its text, its preset). complete: True adds the optimiser
    and every random state, so the run can continue exactly. False is enough to sample.
    """
    data = {
        "format": FORMAT,
        "model_config": asdict(run.model.config),
        "train_config": asdict(run.config),
        "tokenizer": tokenizer.to_dict(),
        "about": about,
        "step": run.step,
        "seconds": run.seconds,
        "history": [asdict(point) for point in run.history],
        "model": run.model.state_dict(),
    }
    if complete:
        data |= {
            "device": run.compute.device.type,
            "dtype": run.compute.precision,
            "optimizer": run.optimizer.state_dict(),
            "scaler": run.scaler.state_dict(),
            "batches_rng": run.sampler.generator.get_state(),
            "cpu_rng": torch.get_rng_state(),  # dropout's, on a CPU
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
    return data


def save(data: dict, path: Path) -> None:
    """Writes a snapshot. `path` keeps its old content until the new one is whole."""
    try:
        with whole_file(path) as file:
            torch.save(data, file)
    except (OSError, RuntimeError) as error:  # PyTorch reports a full disk as a RuntimeError
        raise CheckpointError(
            f"{path} could not be written ({error}). Is the disk full? What was saved before is "
            "untouched; free some space and resume"
        ) from error


def save_last(data: dict, folder: Path) -> None:
    """Saves as last.pt, and keeps the old last.pt as previous.pt."""
    fresh = folder / "next.pt"
    save(data, fresh)
    if (folder / LAST).exists():
        (folder / LAST).replace(folder / PREVIOUS)
    fresh.replace(folder / LAST)


def load(path: str | Path) -> dict:
    """A snapshot, its tensors on the CPU. Raises CheckpointError if it is missing or damaged.

    Each part's checksum is verified. `weights_only` refuses anything except tensors and plain
    data, so a file from somebody else can do no harm.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:  # PyTorch's format is a zip file
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"its part {damaged} has a wrong checksum")
        data = torch.load(path, map_location="cpu", weights_only=True)
        if data["format"] != FORMAT:
            raise ValueError(f"it has format {data['format']}, this version reads {FORMAT}")
        return data
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except Exception as error:  # a damaged file can fail anywhere in the unpacking
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(
            f"{path} is damaged or not a checkpoint of this project: {reason}"
        ) from None


def load_last(folder: str | Path) -> dict:
    """The newest sound snapshot in a run folder. Says so if it is not last.pt."""
    return load_sound(folder, (LAST, PREVIOUS))


def load_sound(folder: str | Path, names: tuple[str, ...]) -> dict:
    """The first of these snapshots in a run folder that is sound."""
    folder, problems = Path(folder), []
    for name in names:
        try:
            data = load(folder / name)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if problems:
            print(f"{problems[0]}\nUsing {folder / name} instead, from step {data['step']:,}")
        return data
    raise CheckpointError("; ".join(problems) + ". Start a new run: nanogpt train")


def load_tokenizer(data: dict) -> CharTokenizer | BPETokenizer:
    """The tokenizer in a snapshot. Raises CheckpointError if its kind is unknown."""
    kind = data["tokenizer"].get("type")
    if kind not in TOKENIZERS:
        raise CheckpointError(
            f"this version knows no tokenizer of the kind {kind!r}, only {', '.join(TOKENIZERS)}: "
            "use the version that trained the model"
        )
    return TOKENIZERS[kind].from_dict(data["tokenizer"])


def load_model(path: str | Path) -> tuple[GPT, CharTokenizer | BPETokenizer, dict]:
    """A model to sample from, its tokenizer, and the whole snapshot.

    path: a checkpoint, a run folder, or the name of a model that comes with the kit, such as
    "pocket". A run folder gives its best checkpoint: the last is usually overfit. The model is
    on the CPU, in evaluation mode.
    """
    path = Path(path)
    if not path.exists():
        path = shipped_models().get(str(path), path)
    data = load_sound(path, (BEST, LAST, PREVIOUS)) if path.is_dir() else load(path)
    model = GPT(GPTConfig(**data["model_config"]))
    model.load_state_dict(data["model"])
    return model.eval(), load_tokenizer(data), data


def restore(run: Run, data: dict) -> None:
    """Puts a run back to a complete snapshot; on the same CPU, bit for bit."""
    run.model.load_state_dict(data["model"])
    run.optimizer.load_state_dict(data["optimizer"])
    if data["scaler"] and run.scaler.is_enabled():
        run.scaler.load_state_dict(data["scaler"])
    run.step, run.seconds = data["step"], data["seconds"]
    run.history = [Evaluation(**point) for point in data["history"]]
    run.sampler.generator.set_state(data["batches_rng"])
    torch.set_rng_state(data["cpu_rng"])
    if data["cuda_rng"] and len(data["cuda_rng"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(data["cuda_rng"])
