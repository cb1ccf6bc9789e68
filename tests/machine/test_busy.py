"""A busy machine gives the numbers of an idle one: the same command, alone and beside load."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from nanogpt_lib.runs import checkpoint, record

pytestmark = pytest.mark.slow

LOAD = "import torch; torch.set_num_threads(1); a = torch.randn(300, 300)\nwhile True: a @ a"
# `pocket` has the width from which on the processor decides about the precision.
TRAIN = "train --preset pocket --steps 6 --eval-interval 3 --device cpu --text play.txt --out"


@pytest.fixture
def busy():
    """Two processes that compute without end, on as many cores as they get."""
    load = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(2)]
    yield
    for process in load:
        process.kill()
        process.wait()


def trained(nanogpt, folder):
    """What one command gives: losses, samples, precision, and weights; times are left out."""
    threads = {"OMP_NUM_THREADS": "2"}  # as learners have, where the cores are
    nanogpt(*TRAIN.split(), folder, env=threads)
    kept = record.read(folder)
    points = [replace(point, seconds=0.0) for point in kept.history]
    model, _, data = checkpoint.load_model(folder)
    weights = {name: p.tolist() for name, p in model.named_parameters()}
    return kept.about["compute"], kept.about["dtype"], data.get("dtype"), points, weights


def test_the_same_command_gives_the_same_numbers_idle_and_beside_load(
    nanogpt, tmp_path, text, request
):
    (tmp_path / "play.txt").write_text(text[:20_000], encoding="utf-8")
    idle = trained(nanogpt, tmp_path / "idle")
    request.getfixturevalue("busy")
    loaded = trained(nanogpt, tmp_path / "loaded")
    assert idle == loaded


def test_the_library_lets_threads_sleep_unless_the_user_decides_otherwise():
    code = "import nanogpt_lib, os; print(os.environ['OMP_WAIT_POLICY'])"
    for given, found in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
        env |= {"OMP_WAIT_POLICY": given} if given else {}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == found


@pytest.mark.skipif(sys.platform != "linux", reason="only GNU's OpenMP shows its settings so")
def test_pytorch_s_own_openmp_gets_it_wherever_our_code_starts():
    """OpenMP prints what it has read when PyTorch is loaded: after us, and not before."""
    programs = {
        "library": ["-c", "import nanogpt_lib, torch; torch.ones(3)"],
        "command line": ["-m", "nanogpt_lib", "train", "--steps", "-1"],  # refused, after loading
    }
    env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    for name, program in programs.items():
        done = subprocess.run(
            [sys.executable, *program],
            env=env | {"OMP_DISPLAY_ENV": "TRUE"},
            capture_output=True,
            text=True,
        )
        assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr, (name, done.stderr[-500:])
