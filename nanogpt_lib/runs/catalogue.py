"""Finds a record or a model by its folder, its file, or its name in the library."""

import json
import os
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from nanogpt_lib.machine.paths import RECORDED, runs_dir
from nanogpt_lib.runs.record import RECORD, RecordError


def shipped() -> dict[str, Path]:
    """The recorded runs that come with the library, by name."""
    return {path.stem: path for path in sorted(RECORDED.rglob("*.jsonl"))}


def shipped_models() -> dict[str, Path]:
    """The trained models that come with the library, by name."""
    return {path.stem: path for path in sorted(RECORDED.glob("*.safetensors"))}


def own(run: str | Path) -> Path:
    """A path as it is, or the folder in `runs_dir()` if the path is a bare name of a run there.

    So a bare name means your own run first. What comes with the kit is looked for afterwards.
    """
    path = Path(run)
    if len(path.parts) == 1 and not path.exists() and (runs_dir() / path).is_dir():
        return runs_dir() / path
    return path


def newest_tuned() -> Path:
    """The folder in `runs_dir()` whose model was tuned on requests last."""
    for path in sorted(runs_dir().glob("*/best.safetensors"), key=changed, reverse=True):
        try:
            with safe_open(path, framework="pt") as file:
                tokenizer = json.loads((file.metadata() or {})["nanogpt"])["tokenizer"]
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            continue  # damaged: it is named when somebody asks for it by its name
        if isinstance(tokenizer, dict) and tokenizer.get("type") == "marked":
            return path.parent
    raise ValueError(
        f"there is no tuned model in {runs_dir()} yet: notebook 08 tunes one and saves it"
    )


def changed(path: Path) -> float:
    return path.stat().st_mtime


def find(run: str | Path) -> Path:
    """The path of a record: a file, a run folder, or the name of an own or a recorded run."""
    path = own(run)
    if path.is_dir():
        path = path / RECORD
    if path.exists():
        return path
    if str(run) in shipped():
        return shipped()[str(run)]
    raise RecordError(
        f"there is no run record {path}, and no recorded run of that name; "
        f"there are {', '.join(shipped()) or 'none'}"
    )


def find_all(runs) -> list[Path]:
    """The paths of all these records. A folder stands for all records in it, at any depth.

    In a folder, a file counts if its name holds ".json": `alice.jsonl`, and also
    `alice.jsonl.txt`, since mail programs may rename it. Hidden files do not count: they are
    copies made by other programs.
    """
    paths = []
    for run in runs:
        if not Path(run).is_dir():
            paths.append(find(run))
            continue
        for folder, folders, names in os.walk(run):
            folders[:] = sorted(name for name in folders if name[0] not in "._")
            found = (name for name in sorted(names) if name[0] != "." and ".json" in name.lower())
            paths += [Path(folder, name) for name in found]
    return list({path.resolve(): path for path in paths}.values())  # each only once


def name_of(path: Path) -> str:
    """The name of a record: the run folder's name, or the file's name without its endings."""
    if path.name == RECORD:
        return path.absolute().parent.name
    return re.split(r"\.json", path.name, flags=re.IGNORECASE)[0] or path.name
