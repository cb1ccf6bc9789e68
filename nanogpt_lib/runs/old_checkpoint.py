"""Reads the checkpoints of version 0.1, `*.pt` in PyTorch's format: enough to sample and to export.

Such a file is a zip archive with a pickle in it. It is read with `weights_only`, which refuses
everything but tensors and plain data, and only if it is stored as PyTorch stores it: without
compression, so that it cannot become larger than it is.
"""

import json
import math
import pickle
import zipfile
from pathlib import Path

import torch

FORMAT = 1


def load(path: Path) -> dict:
    """A snapshot in today's form, without what is needed to continue.

    Raises ValueError for anything else. What it returns has still to be checked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
                raise ValueError("its parts are compressed, which PyTorch never does")
            if sum(part.file_size for part in parts) > path.stat().st_size:
                raise ValueError("its parts are larger than the file")
            if damaged := archive.testzip():
                raise ValueError(f"its part {damaged[:100]} has a wrong checksum")
        data = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, NotImplementedError, EOFError):
        raise ValueError("it is not whole, or not in PyTorch's format") from None
    except (RuntimeError, pickle.UnpicklingError, KeyError, TypeError, AttributeError, IndexError):
        raise ValueError("it holds more than tensors and plain data, or is damaged") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError("it is not a checkpoint of this project")
    weights = data.get("model")
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and torch.is_tensor(weight) for name, weight in weights.items()
    ):
        raise ValueError("it holds no weights")
    kept = ("model_config", "train_config", "tokenizer", "step", "seconds", "history")
    plain = {name: data.get(name) for name in kept} | {"about": {}, "family": "gpt", "format": 2}
    if not isinstance(data.get("history"), list):
        raise ValueError("it holds no history")
    plain["history"] = [null_for_nan(point) for point in data["history"]]
    try:
        text = json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("its header holds more than plain data") from None
    weights = {k: v for k, v in weights.items() if k != "lm_head.weight"}  # the embedding again
    return {"header": text, "weights": weights}


def null_for_nan(point):
    """An evaluation as JSON can hold it: null for a loss that was not a number."""
    if not isinstance(point, dict):
        raise ValueError("its history is malformed")
    bad = {k for k, v in point.items() if isinstance(v, float) and not math.isfinite(v)}
    return point | dict.fromkeys(bad)
