"""With the network off after set-up, everything works: shown where there really is no network.

Linux can give a program a network of its own that leads nowhere (`unshare --net`). Only the way to
itself is switched on there, as on a laptop in a train: a notebook talks to its kernel over it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CUT_OFF = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "-"]


def cuts_off() -> bool:
    """Whether this machine lets us switch the network off for a single program."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*CUT_OFF, "true"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not cuts_off(), reason="no way here to switch the network off"),
]


@pytest.fixture
def offline(tmp_path):
    """Runs a Python module with the network off; returns the finished process."""

    def run(*args, check=True, **env):
        done = subprocess.run(
            [*CUT_OFF, sys.executable, "-m", *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, "NANOGPT_PRESET": "smoke", **env},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=1500,
        )
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done

    return run


def test_the_network_is_really_off(offline):
    probe = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    done = offline("timeit", "-n1", "-r1", probe, check=False)
    assert "Network is unreachable" in done.stderr


def test_every_command_works_without_a_network(offline, text, tmp_path):
    commands = {
        "data": "Tiny Shakespeare is at ",
        "train": "Finished after 30 steps.",
        "resume --more-steps 4": "Finished after 34 steps.",
        "sample --tokens 20 --seed 1": "",
        "plot": "The curve: ",
        "replay pocket --seconds 1": "A recorded run: pocket",
        "compare runs pocket": "smoke",
        "doctor": "Ready.",
    }
    for command, answer in commands.items():
        assert answer in offline("nanogpt_lib", *command.split()).stdout, command
    assert (tmp_path / "runs" / "smoke" / "best.safetensors").exists()


@pytest.mark.parametrize("name", ["00_start_here", "colab_workshop"])
def test_a_notebook_works_without_a_network(name, offline, text, tmp_path):
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", tmp_path)
    options = "--nbval-lax --nbval-current-env -p no:cacheprovider --no-cov"
    env = {"NANOGPT_RUNS": str(tmp_path / "runs"), "IPYTHONDIR": str(tmp_path / "ipython")}
    offline("pytest", *options.split(), f"{name}.ipynb", **env)


def test_where_the_text_is_missing_too_it_says_how_to_get_it_by_hand(offline, tmp_path):
    done = offline("nanogpt_lib", "data", check=False, NANOGPT_DATA=str(tmp_path / "empty"))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for part in ("Tiny Shakespeare could not be fetched", "By hand: ", "NANOGPT_CORPUS_URL"):
        assert part in done.stderr
    assert str(tmp_path / "empty" / "tinyshakespeare.txt") in done.stderr
