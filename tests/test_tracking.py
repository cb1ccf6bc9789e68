"""The callback of docs/TRACKING.md, as it stands on the page."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from nanogpt_lib import GPT, get_preset, new_run, train

PAGE = Path(__file__).resolve().parent.parent / "docs" / "TRACKING.md"
CLASS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[0]


def trained(folder):
    """A short run that the page's callback has watched."""
    page = {}
    exec(CLASS, page)
    preset = get_preset("smoke")
    ids = torch.randint(65, (4000,), generator=torch.Generator().manual_seed(1))
    run = new_run(GPT(preset.model), ids[:3000], ids[3000:], preset.train)
    return train(run, [page["ToTensorBoard"](folder)])


def test_it_has_at_most_25_lines():
    assert sum(bool(line.strip()) for line in CLASS.splitlines()) <= 25


def test_each_evaluation_is_written_and_the_file_is_closed(monkeypatch, tmp_path):
    told = []

    class SummaryWriter:
        def __init__(self, folder):
            told.append(folder)

        def __getattr__(self, name):
            return lambda *words: told.append((name, *words))

    stand_in = ModuleType("torch.utils.tensorboard")
    stand_in.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    run = trained(tmp_path / "first")
    losses = [("add_scalar", "loss/validation", p.val_loss, p.step) for p in run.history]
    assert told[0] == str(tmp_path / "first") and told[-1] == ("close",)
    assert [words for words in told if words[1:2] == ("loss/validation",)] == losses
    assert len(losses) >= 2


def test_tensorboard_itself_reads_the_same_back(tmp_path):
    pytest.importorskip("tensorboard", reason="only each night: it is a large package")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trained(tmp_path)
    read = EventAccumulator(str(tmp_path)).Reload()
    losses = [(point.step, point.value) for point in read.Scalars("loss/validation")]
    assert losses == [(p.step, pytest.approx(p.val_loss)) for p in run.history]
