"""Systems for which PyTorch has no builds are named before anything is installed."""

import subprocess
import sys

import pytest

from nanogpt_lib.machine import builds
from nanogpt_lib.room import doctor

WITHOUT = [
    (("Darwin", "x86_64", "15.1"), "Intel"),
    (("Darwin", "arm64", "13.6"), "macOS before 14, and this is 13.6"),
    (("Windows", "ARM64", ""), "Arm"),
]


@pytest.mark.parametrize(("system", "words"), WITHOUT)
def test_a_system_without_builds_is_named_by_doctor_and_by_the_command(monkeypatch, system, words):
    monkeypatch.setattr(builds, "here", lambda: system)
    monkeypatch.setattr(doctor, "here", lambda: system)
    assert words in builds.torch_is_missing()
    ((level, what, remedy),) = doctor.examine_system()
    assert level == doctor.NOTE and words in what and "Colab" in remedy


@pytest.mark.parametrize(
    "system",
    [("Darwin", "arm64", "14.0"), ("Linux", "aarch64", ""), ("Windows", "AMD64", "")],
)
def test_nothing_is_said_of_the_others(system):
    assert builds.without_torch(*system) is None


def test_without_pytorch_the_command_says_so_in_one_line(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch', name='torch')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from nanogpt_lib import cli; "
    code += "sys.exit(cli.main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "PyTorch is missing here: set up with `make setup`" in done.stderr
