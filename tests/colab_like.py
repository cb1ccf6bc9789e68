"""What stands in for Google Colab in tests: a kernel of its kind, and a repository to clone.

The kernel's shell is of a class in `google.colab`, which is how a notebook knows where it is. Git
is told to clone a local repository with the files as they are here, in place of the published one.
"""

import json
import os
import runpy
import subprocess
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
TOOL = runpy.run_path(str(ROOT / "tools" / "colab.py"))
HOME = TOOL["read_home"](ROOT / "pyproject.toml")

SHELL = """\
from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell

class Shell(ZMQInteractiveShell):
    pass

class Kernel(IPythonKernel):
    shell_class = Shell
"""


def publish(folder: Path) -> str:
    """Makes a repository of this one's files, uncommitted changes too; returns its address."""
    copy_files(folder)
    git(folder, "init", "--quiet", "--initial-branch", HOME.branch)
    git(folder, "add", "--all")
    someone = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    git(folder, *someone, "commit", "--quiet", "--message", "the course")
    return folder.as_uri()


def copy_files(folder: Path) -> list[str]:
    """Copies what belongs to this repository, uncommitted changes too; returns the names."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    names = [name for name in listed if (ROOT / name).is_file()]
    for name in names:
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    return names


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", folder, *args], capture_output=True, text=True, check=True)
    return done.stdout


def cloning_from(address: str) -> dict:
    """Environment variables that have git take `address` for the published repository."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{address}.insteadOf",
        "GIT_CONFIG_VALUE_0": HOME.url,
    }


def first_on_path(python: Path) -> dict:
    """Environment variables with which `python3` is this one, as in Colab it is the kernel's."""
    return {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}


def execute(notebook, folder: Path, python: Path, colab: bool = True, **env: str) -> None:
    """Runs all cells, in place, in a kernel of `python` that starts in `folder`.

    colab: whether the kernel looks like Colab's. Raises nbclient's CellExecutionError.
    """
    kernels = folder.parent / "kernels"
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    if colab:
        package = folder.parent / "fake" / "google" / "colab"
        package.mkdir(parents=True, exist_ok=True)
        (package / "_shell.py").write_text(SHELL, encoding="utf-8")
        command.append("--IPKernelApp.kernel_class=google.colab._shell.Kernel")
        env["PYTHONPATH"] = str(folder.parent / "fake")
    spec = {"argv": command, "display_name": "", "language": "python", "env": env}
    (kernels / "tried").mkdir(parents=True, exist_ok=True)
    (kernels / "tried" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    manager = AsyncKernelManager(
        kernel_name="tried",
        kernel_spec_manager=KernelSpecManager(
            kernel_dirs=[str(kernels)], ensure_native_kernel=False
        ),
    )
    resources = {"metadata": {"path": str(folder)}}
    try:
        NotebookClient(notebook, km=manager, timeout=600, resources=resources).execute()
    finally:  # a client ends no kernel that it was given
        run_sync(manager.shutdown_kernel)(now=True)


def said(cell) -> str:
    """What a cell printed, on stdout and on stderr."""
    return "".join(out.text for out in cell.outputs if out.output_type == "stream")


def setup_cell(times: int = 1, then: str = "") -> nbformat.NotebookNode:
    """A notebook of the set-up cell, so many times, and another cell."""
    codes = [HOME.setup()] * times + [then] * bool(then)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
