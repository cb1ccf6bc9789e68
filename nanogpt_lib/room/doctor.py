"""Is this machine ready for the workshop? Each finding comes with what to do about it."""

import shutil
import sys
from pathlib import Path

from nanogpt_lib.checks import TextError
from nanogpt_lib.corpus import load_corpus
from nanogpt_lib.machine.builds import WAY_OUT, here, without_torch
from nanogpt_lib.machine.device import check_causality, pick_compute
from nanogpt_lib.machine.host import free_memory, machine, versions
from nanogpt_lib.machine.paths import advice, data_dir
from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs.memory import fitting
from nanogpt_lib.runs.pace import seconds_per_step
from nanogpt_lib.runs.presets import PRESETS
from nanogpt_lib.runs.wording import duration
from nanogpt_lib.shakespeare import FILE_NAME
from nanogpt_lib.shakespeare.fetch import CorpusError
from nanogpt_lib.tokenizer import CharTokenizer

COURSE = ("ipywidgets", "jupyterlab", "ipykernel", "nbval")  # Colab does not have all of them
OK, NOTE, FIX = "ok  ", "note", "FIX "


def examine(text: str | None = None, device: str = "auto"):
    """Yields findings (level, what, remedy or None), the quick ones first.

    text: the learner's own file, which is then checked instead of Tiny Shakespeare. device: as for
    `pick_compute`.
    """
    yield from examine_python()
    yield from examine_system()
    yield from examine_packages()
    yield from examine_machine()
    yield from examine_text(text)
    yield from examine_compute(device)


def examine_python():
    yield OK, f"Python {'.'.join(map(str, sys.version_info[:3]))}", None
    if sys.prefix != sys.base_prefix or (Path(sys.prefix) / "conda-meta").exists():
        yield OK, f"an environment of its own: {sys.prefix}", None
    else:
        yield (
            NOTE,
            f"no virtual environment: {sys.executable}",
            f"fine in Colab; elsewhere: {advice('setup', 'python -m venv .venv')}",
        )


def examine_system():
    none = without_torch(*here())
    if none:
        yield NOTE, f"PyTorch has no builds for {none}", WAY_OUT


def examine_packages():
    found = versions()
    del found["python"]
    for name, version in found.items():
        remedy = advice("setup", f"pip install {name}")
        if version:
            yield OK, f"{name} {version}", None
        elif name in COURSE:
            yield NOTE, f"{name} is missing: only the notebooks need it", remedy
        else:
            yield FIX, f"{name} is missing", remedy


def examine_machine():
    m = machine()
    free_now = free_memory()
    gib, fit = free_now / 2**30, fitting(free_now)
    what = f"{m['processor']}, {m['cores']} cores, {m['system']}"
    yield OK, what + (f", {m['gpu']}" if m["gpu"] else ", no GPU"), None
    # `nanogpt train --preset workshop` peaks at 1 GiB on a CPU (python -m benchmarks memory). With
    # less it computes fewer sequences at once.
    level = OK if gib >= 1.5 else NOTE
    remedy = None if level == OK else "close other programs"
    yield level, f"memory: {gib:.1f} of {m['memory_gib']} GiB free", remedy
    level, names = (OK if len(fit) == len(PRESETS) else NOTE), ", ".join(fit) or "none"
    yield level, f"presets that fit the memory that is free now: {names}", None
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    level, remedy = (OK, None) if free >= 1 else (FIX, "free 1 GiB: a `workshop` run needs 0.4")
    yield level, f"disk: {free:.0f} GiB free here", remedy


def examine_text(text: str | None):
    path = data_dir() / FILE_NAME
    if text is None and not path.exists():
        yield NOTE, "Tiny Shakespeare is not here yet", "nanogpt data fetches it (once)"
        return
    try:
        characters = load_corpus(text)
        tokenizer = CharTokenizer.train(characters)
    except (TextError, CorpusError, ValueError) as error:
        yield FIX, "the text cannot be used", str(error)
        return
    name = text or "Tiny Shakespeare"
    size = f"{len(characters):,} characters, {tokenizer.vocab_size} of them distinct"
    if len(characters) < 100_000 and text:
        yield NOTE, f"{name}: {size}", "little to learn from: expect early overfitting"
    else:
        yield OK, f"{name}: {size}", None


def examine_compute(device: str):
    try:
        compute = pick_compute(device)
    except ValueError as error:
        yield FIX, "the device", str(error)
        return
    yield OK, str(compute), None
    model = GPT(GPTConfig()).to(compute.device)
    sound = check_causality(model, compute)
    if sound is compute:
        yield OK, "attention sees the past only, as it must", None
    else:
        yield NOTE, sound.reason, f"training will use {sound.device.type}, {sound.dtype}"
    pocket = PRESETS["pocket"]
    step = seconds_per_step(pocket, pick_compute(device, width=pocket.model.n_embd))
    total = duration(step * pocket.train.max_steps * 1.1)
    yield (
        OK,
        f"a `pocket` step takes {step * 1000:.0f} ms: `nanogpt train` takes about {total}",
        None,
    )


def examine_briefly(text: str | None = None, device: str = "auto"):
    """The findings for a newcomer: Python and packages only if something is wrong, the rest."""
    basics = [*examine_python(), *examine_system(), *examine_packages()]
    amiss = [finding for finding in basics if finding[0] != OK]
    yield from amiss or [(OK, f"{basics[0][1]} with all that the course needs", None)]
    yield from examine_machine()
    yield from examine_text(text)
    yield from examine_compute(device)


def report(text: str | None = None, device: str = "auto", short: bool = False) -> bool:
    """Prints the findings as they come; returns True if nothing has to be fixed.

    short: for the notebooks, without a line for each package and without paths.
    """
    fixes = 0
    for level, what, remedy in (examine_briefly if short else examine)(text, device):
        fixes += level == FIX
        remedy = f"\n       -> {remedy}" if remedy else ""
        print(harmless(f"[{level}] {what}{remedy}"), flush=True)
    ready = "Ready." if not fixes else f"{fixes} to fix, see the arrows above."
    print(f"\n{ready}" + ("" if short else " Paste all of this into a bug report."))
    return not fixes
