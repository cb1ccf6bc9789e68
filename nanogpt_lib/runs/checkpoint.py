"""Saving a run, so that nothing is lost, and loading it on any device.

A run folder holds `last.safetensors` (everything needed to continue), `previous.safetensors` (the
one before it, in case the last is damaged) and `best.safetensors` (the weights with the lowest
validation loss). The format is safetensors: tensors, and one header of plain JSON, declared in
`schema`. Reading such a file cannot run code, and every size in it is checked before it is used.
"""

import hashlib
import json
import math
import stat
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from nanogpt_lib.machine.files import whole_file, why
from nanogpt_lib.machine.gradients import give_back
from nanogpt_lib.machine.paths import runs_dir
from nanogpt_lib.machine.processes import ranks
from nanogpt_lib.model import GPT
from nanogpt_lib.runs import families, old_checkpoint, quantise, schema
from nanogpt_lib.runs.catalogue import own, shipped_models
from nanogpt_lib.runs.template import MarkedTokenizer, Tokenizer
from nanogpt_lib.shards import vocabulary
from nanogpt_lib.training import Evaluation, Run, TrainConfig

LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
NEXT = "next.safetensors"  # becomes the last when it is whole

FORMAT = 2  # 1 was PyTorch's own format: see `old_checkpoint`
OPTIMIZER, RANDOM = "optimizer/", "random/"  # tensors that are not weights begin like this
FLOATS = ("F32", "F16", "BF16")
LONGEST_HEADER = 10_000_000  # bytes; 5,000 evaluations with a sample each take about 3 million
# By what their data calls them.
TOKENIZERS: dict[str, Any] = {**vocabulary.TOKENIZERS, "marked": MarkedTokenizer}


class CheckpointError(RuntimeError):
    """A missing or damaged checkpoint. The message names the file and says what to do."""


# --- a run as plain data and tensors, and back ---


def snapshot(run: Run, tokenizer, about: dict, complete: bool = True) -> dict:
    """A run as plain data and tensors.

    about: other plain data about the run: its preset, its text's sha256 and path, the first line of
    its record. complete: True adds the optimiser and every random state, so the run can continue
    exactly. False is enough to sample, and leaves out the path of the text: such a file is handed
    on.
    """
    about = about if complete else {k: v for k, v in about.items() if k != "text"}
    data = of_model(run.model, tokenizer, about, run.config) | {
        "step": run.step,
        "seconds": run.seconds,
        "history": [asdict(point) for point in run.history],
    }
    if complete:
        data |= {
            "device": run.compute.device.type,
            "dtype": run.compute.precision,
            "threads": torch.get_num_threads(),  # another number rounds differently
            "optimizer": type(run.optimizer).__name__,
            "moments": moments(run),
            "scaler": run.scaler.state_dict(),
            "random": random_states(run),
        }
    return data


def of_model(model, tokenizer, about: dict, config: TrainConfig) -> dict:
    """A model as plain data and tensors, without a run."""
    return {
        "format": FORMAT,
        "family": families.name_of(model),
        "model_config": asdict(model.config),
        "train_config": asdict(config),
        "tokenizer": tokenizer.to_dict(),
        "bits": None,  # the weights are floats
        "about": about,
        "step": 0,
        "seconds": 0.0,
        "history": [],
        "weights": dict(model.named_parameters()),  # a tied matrix once
    }


def moments(run: Run) -> dict[str, Tensor]:
    """What the optimiser remembers, by "NAME OF THE WEIGHT/exp_avg" and so on."""
    return {
        f"{name}/{key}": value
        for name, weight in run.model.named_parameters()
        for key, value in run.optimizer.state.get(weight, {}).items()
    }


def random_states(run: Run) -> dict[str, Tensor]:
    """The states of every source of random numbers, uint8."""
    states = {"batches": run.sampler.generator.get_state(), "cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and ranks() == 1:  # the other GPUs are other processes'
        states |= {f"cuda{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore(run: Run, data: dict) -> None:
    """Puts a run back to a complete snapshot; on the same CPU, bit for bit."""
    run.model.load_state_dict(data["weights"], strict=False)  # a tied matrix is there once
    names = {weight: name for name, weight in run.model.named_parameters()}
    state: dict[int, dict[str, Tensor]] = {}
    for i, weight in enumerate(p for group in run.optimizer.param_groups for p in group["params"]):
        start = f"{names[weight]}/"
        found = {
            k.removeprefix(start): v for k, v in data["moments"].items() if k.startswith(start)
        }
        if found:  # a weight that has had no gradient yet has no moments
            state[i] = found
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": state, "param_groups": groups})
    if data["scaler"] and run.scaler.is_enabled():
        run.scaler.load_state_dict(data["scaler"])
    run.step, run.seconds = data["step"], data["seconds"]
    run.history = [Evaluation(**point) for point in data["history"]]
    run.sampler.generator.set_state(data["random"]["batches"])
    torch.set_rng_state(data["random"]["cpu"])
    cuda = [state for name, state in sorted(data["random"].items()) if name.startswith("cuda")]
    if cuda and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)


# --- to the disk ---


def save(data: dict, path: Path) -> None:
    """Writes a snapshot. `path` keeps its old content until the new one is whole.

    If its `bits` are 8, the matrices are stored as `quantise` does it, and loading undoes that.
    """
    tensors = quantise.packed(data["weights"]) if data.get("bits") else dict(data["weights"])
    tensors |= {OPTIMIZER + name: value for name, value in data.get("moments", {}).items()}
    tensors |= {RANDOM + name: value for name, value in data.get("random", {}).items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    plain = {k: v for k, v in data.items() if k not in ("weights", "moments", "random")}
    plain["history"] = [{k: finite(v) for k, v in point.items()} for point in data["history"]]
    header = json.dumps(plain, allow_nan=False)
    metadata = {"nanogpt": header, "sha256": digest(header, tensors)}
    size = sum(tensor.nbytes for tensor in tensors.values())
    make_room(3 * size)
    try:
        with whole_file(path) as file:
            file.write(to_bytes(tensors, metadata))
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written: {why(error)}. What was saved before is untouched; "
            "resume when that is mended"
        ) from error


def save_model(model: GPT, tokenizer, name: str | Path, about: dict | None = None) -> Path:
    """Saves a model that was changed outside a run, as by tuning; returns its folder.

    name: a folder, or a bare name, which is a folder in `runs_dir()`. `load_model(name)`,
    `nanogpt sample NAME` and, for a model that was tuned on requests, `nanogpt chat NAME` find it.
    What was saved there before is replaced. about: plain data to keep with it.
    Raises ValueError for weights that are not finite, and for the folder of a training run: its
    best model would be lost. Raises CheckpointError if nothing can be written there.
    """
    path = Path(name)
    folder = runs_dir() / path if len(path.parts) == 1 and not path.is_dir() else path
    if (folder / "run.jsonl").exists():
        raise ValueError(f"{folder} is the folder of a training run: choose another name")
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} symbols and the model "
            f"{model.config.vocab_size}: they do not belong together"
        )
    if not all(torch.isfinite(weight).all() for weight in model.parameters()):
        raise ValueError("the model's weights are not finite: its training diverged")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be made: {why(error)}") from error
    save(of_model(model, tokenizer, about or {}, TrainConfig()), folder / BEST)
    return folder


def make_room(size: int) -> None:
    """Raises MemoryError unless so many bytes are free: safetensors would end the whole program."""
    try:
        bytearray(size)
    except MemoryError:
        give_back()  # what training has left in pieces
        bytearray(size)


def finite(value):
    """JSON has no NaN: a loss that is not a number is written as null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def digest(header: str, tensors: dict[str, Tensor]) -> str:
    """The sha256 of all that a checkpoint holds: one flipped bit changes it."""
    sha = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def save_last(data: dict, folder: Path) -> None:
    """Saves as the last checkpoint, and keeps the one before it as the previous."""
    fresh = folder / NEXT
    save(data, fresh)
    if (folder / LAST).exists():
        (folder / LAST).replace(folder / PREVIOUS)
    fresh.replace(folder / LAST)


# --- from the disk ---


def load(path: str | Path) -> dict:
    """A snapshot, its tensors on the CPU. Raises CheckpointError if it is missing or damaged.

    The header is checked against `schema` first. Then the names and shapes of the tensors must be
    those of such a model, and fit the memory, before any of them is read. A file of version 0.1,
    `*.pt`, can be read too: enough to sample, not to continue.
    """
    path = Path(path)
    try:
        check_file(path)
        return opened_old(path) if path.suffix == ".pt" else opened(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint: {reason(error)}") from None


def reason(error: Exception) -> str:
    """What is wrong with a checkpoint, in our words."""
    if isinstance(error, ValidationError):
        return f"its header says {schema.in_words(error)}"
    if isinstance(error, SafetensorError):
        return "it is not whole, or not in the format safetensors"
    return why(error) if isinstance(error, OSError) else str(error)


def check_file(path: Path) -> None:
    """Raises ValueError if this is no file, or one that does not fit the memory."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is not a file")
    free = psutil.virtual_memory().available
    if found.st_size > free:
        raise ValueError(
            f"it has {found.st_size / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB of memory are free"
        )


def opened(path: Path) -> dict:
    """Reads a checkpoint. Raises ValueError or SafetensorError for anything that is not one."""
    with open(path, "rb") as file:
        if int.from_bytes(file.read(8), "little") > LONGEST_HEADER:
            raise ValueError("it is not whole, or not in the format safetensors")
    with safe_open(path, framework="pt") as file:  # checks that the tensors fill the file exactly
        metadata = file.metadata() or {}
        if not {"nanogpt", "sha256"} <= metadata.keys():
            raise ValueError("it holds tensors, but not of a run of this project")
        data, config = read_header(metadata["nanogpt"])
        names = list(file.keys())
        check_tensors({name: file.get_slice(name) for name in names}, data, config)
        tensors = {name: file.get_tensor(name) for name in names}
    if digest(metadata["nanogpt"], tensors) != metadata["sha256"]:
        raise ValueError("its checksum is wrong")
    data |= sorted_out(tensors, complete=data["optimizer"] is not None)
    if data["bits"]:
        data["weights"] = quantise.unpacked(data["weights"])
    return data


def read_header(text: str) -> tuple[dict, Any]:
    """The plain part of a snapshot from its JSON, and the model's config, both checked."""
    header = schema.Header.model_validate_json(text)
    if header.format != FORMAT:
        raise ValueError(f"it has format {header.format}, this version reads {FORMAT}")
    plain = header.model_dump(by_alias=True)
    plain["history"] = [vars(point.evaluation()) for point in header.history]
    plain["train_config"] = asdict(header.train_config)
    config = schema.size_of(families.find(header.family).config, plain["model_config"])
    return plain, config


def opened_old(path: Path) -> dict:
    """Reads a checkpoint of version 0.1, in today's form and with today's checks."""
    found = old_checkpoint.load(path)
    data, config = read_header(found["header"])
    check_weights({name: tuple(w.shape) for name, w in found["weights"].items()}, data, config)
    return data | {"weights": found["weights"]}


def check_weights(found: dict[str, tuple], data: dict, config) -> dict[str, tuple]:
    """Raises ValueError unless these are the weights of such a model; returns their shapes."""
    if config.n_layer > len(found):  # before a model of so many layers is built to compare with
        raise ValueError(f"it has {len(found)} weights for {config.n_layer} layers")
    shapes = families.shapes(data["family"], config)
    for name in sorted(found.keys() | shapes.keys()):
        if found.get(name) != shapes.get(name):
            has = f"the shape {list(found[name])}" if name in found else "no numbers"
            wanted = f"{list(shapes[name])} is expected" if name in shapes else "it is unknown"
            raise ValueError(f"the weight {name[:100]} has {has}, {wanted}")
    return shapes


def check_tensors(slices: dict, data: dict, config) -> None:
    """Raises ValueError unless the tensors are those of such a model, by name, type and shape."""
    found = {name: tuple(each.get_shape()) for name, each in slices.items()}
    special = (OPTIMIZER, RANDOM, quantise.SCALE) if data["bits"] else (OPTIMIZER, RANDOM)
    weights = {name: shape for name, shape in found.items() if not name.startswith(special)}
    shapes = check_weights(weights, data, config)
    matrices = {name for name in shapes if data["bits"] and quantise.is_matrix(shapes[name])}
    for name in matrices - {name.removeprefix(quantise.SCALE) for name in found.keys() - shapes}:
        raise ValueError(f"the weight {name} has no scales")
    for name, shape in found.items():
        dtype = slices[name].get_dtype()
        if name.startswith(RANDOM):
            right = dtype == "U8" and len(shape) == 1
        elif name.startswith(OPTIMIZER):  # a moment has its weight's shape; the step is one number
            weight = name.removeprefix(OPTIMIZER).rpartition("/")[0]
            right = dtype == "F32" and shape in (shapes.get(weight), ())
        elif name.startswith(special):  # the scales of a matrix: one for each row
            weight = name.removeprefix(quantise.SCALE)
            right = weight in matrices and dtype == "F32" and shape == shapes[weight][:1]
        elif name in matrices:
            right = dtype == "I8"
        else:
            right = dtype in FLOATS
        if not right:
            raise ValueError(f"{name[:100]} has the type {dtype} and the shape {list(shape)}")


def sorted_out(tensors: dict[str, Tensor], complete: bool) -> dict:
    """The tensors of a file by what they are: weights, moments, random states."""
    weights = {k: v for k, v in tensors.items() if not k.startswith((OPTIMIZER, RANDOM))}
    if not complete:
        return {"weights": weights}
    moments, random = beginning(OPTIMIZER, tensors), beginning(RANDOM, tensors)
    return {"weights": weights, "moments": moments, "random": random}


def beginning(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin like this, by the rest of their names."""
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def load_last(folder: str | Path) -> dict:
    """The newest sound snapshot that a run can continue from. Says so if it is not the last."""
    return load_sound(folder, (LAST, PREVIOUS), complete=True)


def load_sound(folder: str | Path, names: tuple[str, ...], complete: bool = False) -> dict:
    """The first of these snapshots in a run folder that is sound and, if asked for, complete."""
    folder, problems = Path(folder), []
    for name in names:
        try:
            data = load(folder / name)
            if complete:
                check_complete(data)
        except (CheckpointError, ValueError) as error:
            known = isinstance(error, CheckpointError)
            problems.append(str(error) if known else f"{folder / name}: {error}")
            continue
        if problems:
            print(f"{problems[0]}\nUsing {folder / name} instead, from step {data['step']:,}")
        return data
    if (folder / "last.pt").exists() and complete:
        problems.append(f"{folder / 'last.pt'} is of version 0.1: sample and export can read it")
    raise CheckpointError("; ".join(problems) + ". Start a new run: nanogpt train")


def check_complete(data: dict) -> None:
    """Raises ValueError for a snapshot that a run cannot continue from."""
    if data.get("optimizer") is None or not {"batches", "cpu"} <= data["random"].keys():
        raise ValueError("it holds weights to write with, and nothing to continue training from")
    if data["optimizer"] != families.find(data["family"]).optimizer:
        raise ValueError(f"this version knows no optimiser {data['optimizer']!r}")


def load_tokenizer(data: dict) -> Tokenizer:
    """The tokenizer in a snapshot. Raises ValueError if it is none."""
    return TOKENIZERS[data["tokenizer"]["type"]].from_dict(data["tokenizer"])


def load_model(path: str | Path) -> tuple[GPT, Tokenizer, dict]:
    """A model to sample from, its tokenizer, and the whole snapshot.

    path: a checkpoint, a run folder, or a name, such as "pocket": your own run of that name, else
    the model that comes with the kit. A run folder gives its best checkpoint: the last is usually
    overfit. The model is on the CPU, in evaluation mode.
    """
    path = own(path)
    if not path.exists():
        path = shipped_models().get(str(path), path)
    if path.is_dir():
        old = (path / "best.pt").exists() and not (path / BEST).exists()
        data = load(path / "best.pt") if old else load_sound(path, (BEST, LAST, PREVIOUS))
    else:
        data = load(path)
    family = families.find(data["family"])
    model = family.model(family.config(**data["model_config"]))
    model.load_state_dict(data["weights"], strict=False)  # float16 weights become float32
    try:
        tokenizer = load_tokenizer(data)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint: {error}") from None
    return model.eval(), tokenizer, data
