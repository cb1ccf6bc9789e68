"""Notebook 04's promise: the loop by hand and the library's agree to the last digit.

Its own cells run in a real kernel, with as many threads as a learner has and a model of `pocket`'s
shape: smaller ones are not shared among threads at all.
"""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "04_training.ipynb"
BEFORE = """
from dataclasses import replace
import torch
from torch.nn.utils import clip_grad_norm_
from nanogpt_lib import (GPT, BatchSampler, CharTokenizer, evaluate, get_preset, load_corpus,
    lr_at, make_optimizer, pick_compute, split)
torch.set_num_threads(2)  # fewer in the tests' own process
text = load_corpus()[:30_000]
tokenizer = CharTokenizer.train(text)
train_ids, val_ids = split(torch.tensor(tokenizer.encode(text)))
preset = get_preset("pocket")
size = replace(preset.model, vocab_size=tokenizer.vocab_size)
config, T, B = preset.train, size.block_size, preset.train.batch_size
compute = pick_compute("cpu", width=size.n_embd)
device = compute.device
short = replace(config, max_steps=40, eval_interval=20, eval_batches=2)
"""


def cell_with(words: str) -> str:
    """The source of the notebook's one cell that holds these words."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (cell,) = [cell for cell in cells if cell.cell_type == "code" and words in cell.source]
    return cell.source


def test_the_loop_by_hand_and_the_library_s_agree_to_the_last_digit(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("NANOGPT_PRESET", raising=False)
    new_model = cell_with("def new_model").split("\n\n\n")[0]
    by_hand = f"{cell_with('def train_by_hand')}\nby_hand = train_by_hand(new_model(), short)"
    codes = [BEFORE, new_model, by_hand, cell_with("by hand in float32")]
    cells = [nbformat.v4.new_code_cell(code) for code in codes]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=300).execute()
    said = "".join(out.text for out in notebook.cells[-1].outputs)
    assert said.startswith("2 threads; by hand in float32: ")
    assert re.search(r"^the library in float32: \d\.\d{6}   difference 0\.0e\+00$", said, re.M), (
        said
    )


def test_what_is_committed_was_run_on_several_threads_and_agrees():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (cell,) = [c for c in cells if c.cell_type == "code" and "by hand in float32" in c.source]
    said = "".join(out.text for out in cell.outputs)
    assert int(said.split()[0]) >= 2
    assert re.search(r"library in float32: .* difference 0\.0e\+00", said), said
