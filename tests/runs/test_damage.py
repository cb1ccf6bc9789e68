"""Hundreds of damaged and hostile checkpoints: each refused in a sentence, in bounded memory."""

import subprocess
import sys

import pytest

from benchmarks import damage
from nanogpt_lib.runs import checkpoint
from nanogpt_lib.runs.checkpoint import CheckpointError

GIB = 2**30

# In a process of its own, which may take 300 MiB more than it has when it begins.
TRY_ALL = """
import resource, sys
from pathlib import Path
import psutil
from benchmarks import damage
from nanogpt_lib import load_model

folder = Path(sys.argv[1])
damage.make_sound(folder / "sound.safetensors")
assert damage.answers(folder / "sound.safetensors") == (True, "")  # and all imports are done
now = psutil.Process().memory_info().data  # what RLIMIT_DATA counts
resource.setrlimit(resource.RLIMIT_DATA, (now + 300 * 2**20, -1))
refused = 0
for kind, name, data in damage.damaged(folder / "sound.safetensors", 300):
    path = folder / name
    path.write_bytes(data)
    right, words = damage.answers(path)
    assert right, (kind, words)
    refused += bool(words)
print(refused)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on memory, as Linux has it")
def test_300_damaged_files_are_refused_by_name_in_little_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TRY_ALL, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 250 < int(done.stdout) <= 300  # some changes leave a file sound


def test_a_model_larger_than_the_memory_is_refused_with_the_numbers(tmp_path, monkeypatch):
    path = tmp_path / "best.safetensors"
    damage.make_sound(path)
    damage.sparse(path, 26 * GIB)  # takes no space on the disk
    assert path.stat().st_size > 26 * GIB
    with pytest.raises(CheckpointError, match=r"it has \d+\.\d GiB, and \d+\.\d GiB of memory are"):
        checkpoint.load(path)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "best.safetensors")
    with pytest.raises(CheckpointError, match="it is not a file"):
        checkpoint.load(tmp_path / "best.safetensors")
