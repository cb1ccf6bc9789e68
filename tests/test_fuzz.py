"""Settings of all kinds in all public functions: each call works, or says in our words what is
wrong with which setting."""

import linecache
import random
import traceback
import warnings
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import nanogpt_lib
from nanogpt_lib import (
    GPT,
    PRESETS,
    BatchSampler,
    BPETokenizer,
    CharTokenizer,
    GPTConfig,
    TrainConfig,
    WriteSample,
    arithmetic,
    chat,
    compare,
    copying,
    evaluate,
    fit_to_time,
    generate,
    get_preset,
    ladder,
    lr_at,
    new_run,
    ngram_loss,
    pick_compute,
    probabilities,
    read_loss,
    rl,
    split,
    stream,
    subwords,
    voices,
    window_start,
    with_steps,
)
from nanogpt_lib.room import replay
from nanogpt_lib.runs import pace

ODD = [
    *(None, True, False, -1, 0, 1, 3, 0.5, 1.5, float("nan"), float("inf"), -float("inf"), 1j),
    *(2**63, -(2**63), 10**400, -(10**400), 10**5000, 5e-324, Fraction(1, 2), Decimal("0.5")),
    *("3", "", "drop", "\ud800", b"3", [], {}, (), [1], ["a", None], {1}, range(2), object(), len),
    *(np.float64("nan"), np.float32(0.5), np.int64(3), np.array([1.0, 2.0]), np.bool_(True)),
    *(torch.tensor(1), torch.tensor(0.5), torch.tensor([1.0, 2.0]), torch.tensor([[70]])),
    *(torch.arange(100), torch.arange(40) - 1, torch.zeros(40, 2)),
]
LIBRARY = str(Path(nanogpt_lib.__file__).parent)
CHARS = CharTokenizer("".join(map(chr, range(32, 97))))
BPE = BPETokenizer.train("to be or not to be " * 3, 260)
IDS = torch.arange(300) % 65


def calls():
    """{name: (a function of settings, sound settings)}; each setting is replaced by odd ones."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=65, block_size=16, n_layer=1, n_head=2, n_embd=8)).eval()
    writing = {"temperature": 0.7, "top_k": 5, "top_p": 0.9}
    asking = {"prompt": "A", "max_new_tokens": 2, "seed": 1, "unknown": "drop"} | writing
    shape = {"vocab_size": 65, "block_size": 16, "n_layer": 1, "n_head": 2, "n_embd": 8}
    two = {"train_ids": IDS, "val_ids": IDS}
    draws = {"block_size": 16, "batch_size": 4, "seed": 1}
    training = dict.fromkeys(("max_steps", "batch_size", "grad_accum", "warmup_steps"), 2)
    training |= dict.fromkeys(("learning_rate", "min_lr", "weight_decay", "beta1", "beta2"), 0.1)
    training |= dict.fromkeys(("grad_clip", "eval_interval", "eval_batches", "max_seconds"), 3)
    practice = dict.fromkeys(("steps", "problems", "filled", "learning_rate", "temperature"), 1)
    return {
        "generate": (lambda **k: generate(model, CHARS, **k), asking),
        "stream": (lambda **k: list(islice(stream(model, CHARS, **k), 2)), asking),
        "probabilities": (lambda **k: probabilities(torch.zeros(2, 5), **k), writing),
        "window_start": (window_start, {"length": 20, "block_size": 16}),
        "model": (lambda **k: model(**k), {"idx": IDS[None, :16]}),
        "split": (lambda **k: split("abc", **k), {"val_fraction": 0.1}),
        "BatchSampler": (lambda **k: BatchSampler(IDS, **k)(), draws),
        "CharTokenizer.train": (lambda **k: CharTokenizer.train("abc", **k), {"max_symbols": 2}),
        "CharTokenizer.encode": (lambda **k: CHARS.encode("é", **k), {"unknown": "drop"}),
        "CharTokenizer.decode": (CHARS.decode, {"ids": [1]}),
        "BPETokenizer.train": (lambda **k: BPETokenizer.train("abab", **k), {"vocab_size": 257}),
        "BPETokenizer.encode": (lambda **k: BPE.encode("\ud800", **k), {"unknown": "drop"}),
        "BPETokenizer.decode": (BPE.decode, {"ids": [1]}),
        "GPTConfig": (GPTConfig, shape | {"dropout": 0.1}),
        "TrainConfig": (TrainConfig, training | {"seed": 1}),
        "lr_at": (lambda **k: lr_at(**k, config=TrainConfig()), {"step": 3}),
        "evaluate": (
            lambda **k: evaluate(model, **k),
            {"ids": IDS, "n_batches": 1, "batch_size": 2},
        ),
        "new_run": (lambda **k: new_run(model, **k, config=TrainConfig()), two),
        "ngram_loss": (ngram_loss, two | {"vocab_size": 65, "k": 1, "alpha": 0.1}),
        "ladder": (ladder, two | {"vocab_size": 65, "longest": 2}),
        "read_loss": (lambda **k: read_loss(**k, rungs=RUNGS), {"value": 2.0, "split": "val"}),
        "with_steps": (lambda **k: with_steps(PRESETS["smoke"], **k), {"steps": 10}),
        "get_preset": (get_preset, {"name": "smoke"}),
        "fit_to_time": (fit_to_time, {"minutes": 1, "vocab_size": 9, "val_tokens": 9, "spent": 1}),
        "pick_compute": (pick_compute, {"device": "cpu", "dtype": "auto", "width": 8}),
        "WriteSample": (lambda **k: WriteSample(CHARS, **k), {"max_new_tokens": 2, "seed": 1}),
        "replay": (
            lambda **k: replay.plan(60.0, 3, **k),
            {"speed": 1, "seconds": 2, "linger": 3},
        ),
        "compare": (lambda **k: compare("pocket", **k), {"by": "tokens"}),
        "RLConfig": (rl.RLConfig, practice | {"group": 2, "seed": 1}),
        "arithmetic.problems": (arithmetic.problems, {"n": 2, "filled": 3, "seed": 1}),
        "arithmetic.training": (arithmetic.training, {"tokens": 9}),
        "chat.requests": (
            lambda **k: chat.requests(["A"], {"speak": ["?"]}, **k),
            {"n": 2, "seed": 1},
        ),
        "by_chance": (
            lambda **k: copying.by_chance("abcabc", "abd", **k),
            {"length": 2, "samples": 2},
        ),
        "bits_per_character": (
            subwords.bits_per_character,
            {"loss": 1.0, "n_tokens": 2, "n_characters": 3},
        ),
        "voices.record": (voices.record, {"n": 1, "seed": 1}),
    }


ALSO = {"name": "no preset"}  # as messages call them, too
RUNGS = ladder(IDS, IDS, 65, 1)


def fault(function, settings: dict, odd: list[str]) -> str | None:
    """What is wrong with the answer to a call, or None."""
    try:
        function(**settings)
        return None
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        ours = frame.filename.startswith(LIBRARY)
        line = linecache.getline(frame.filename, frame.lineno or 0).strip()
        told = f"{type(error).__name__}: {str(error)[:150]}"
        if not (ours and line.startswith("raise ")):
            return f"not our words: {told}"
        if not isinstance(error, (ValueError, TypeError)):
            return f"not an error of this kind: {told}"
        named = (*odd, *(ALSO[name] for name in odd if name in ALSO))
        if not any(name in str(error) for name in named):
            return f"does not name {odd}: {told}"
        return None if len(str(error)) < 400 else f"a page long: {told}"


@pytest.fixture
def at_once(monkeypatch):
    """Nothing is measured, drawn or warned about."""
    monkeypatch.setattr(pace, "seconds_per_step", lambda *args: 0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_every_setting_works_or_is_refused_by_name(at_once):
    rng, table, wrong, tried = random.Random(0), calls(), [], Counter()
    for name, (function, sound) in table.items():
        assert function(**sound) is not None, name  # so that only what is odd can fail
    for _ in range(2000):
        name = rng.choice(list(table))
        function, sound = table[name]
        odd = rng.sample(list(sound), min(len(sound), rng.choice((1, 1, 2))))
        values = {setting: rng.choice(ODD) for setting in odd}
        said = fault(function, sound | values, odd)
        tried[name] += 1
        if said:
            wrong.append(f"{name}: {said}")
    assert len(tried) == len(table) and not wrong, "\n".join(sorted(set(wrong)))
