"""Runs the course's notebooks again, in order, and stores their outputs: `make notebooks`.

Each notebook runs in place in its own kernel, with the real presets. This tool removes what depends
on the moment or the machine (time stamps, widget state, Python's version), so that a diff shows
real changes. If a notebook raises an error or writes to stderr, its file does not change.

    python tools/run_notebooks.py                          # all of them
    python tools/run_notebooks.py notebooks/03_model.ipynb # some of them

Of the workshop it also keeps how long each cell took, which tools/rehearsal.py reads.
"""

import base64
import io
import json
import os
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from PIL import Image  # matplotlib brings it

from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.machine.host import machine

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
TIMED = {"colab_workshop": NOTEBOOKS.parent / "benchmarks" / "results" / "workshop_cells.json"}
KEPT_OF_NOTEBOOK = ("kernelspec", "accelerator", "colab")
KEPT_OF_CELL = ("tags", "exercise", "jupyter", "slideshow")
WIDGET = "application/vnd.jupyter.widget-view+json"  # shows nothing without its kernel


def main(paths: list[Path]) -> int:
    for name in ("NANOGPT_PRESET", "NANOGPT_STRICT"):  # the course as a learner sees it
        os.environ.pop(name, None)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # otherwise the debugger writes to stderr
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NANOGPT_RUNS"] = folder  # otherwise earlier runs would be resumed
        return run_all(paths)


def run_all(paths: list[Path]) -> int:
    """Runs notebooks one by one; returns 1 if one of them failed and was left as it was, else 0."""
    refused = 0
    for path in paths:
        began = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        trouble = run(notebook, path.parent)
        took = f"{time.perf_counter() - began:.0f} s"
        if trouble:
            refused += 1
            print(f"{path.stem}: left as it was after {took}. {trouble}", flush=True)
            continue
        if path == NOTEBOOKS / path.name and path.stem in TIMED:
            keep_times(notebook, TIMED[path.stem])
        tidy(notebook)
        with whole_file(path) as file:
            file.write(nbformat.writes(notebook).rstrip("\n").encode() + b"\n")
        print(f"{path.stem}: {took}, {path.stat().st_size / 1000:.0f} kB", flush=True)
    return min(refused, 1)


def run(notebook, folder: Path) -> str | None:
    """Executes all cells of a notebook, in place; returns what went wrong, or None."""
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        record_timing=True,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError) as error:
        return f"It raised an error:\n{error}"
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                return f"It wrote to stderr:\n{output.text}\nin the cell\n{cell.source}"
    return None


def keep_times(notebook, file: Path) -> None:
    """Writes the seconds that each code cell took, by its id, and on which machine."""
    seconds = {}
    for cell in notebook.cells:
        if times := cell.metadata.get("execution"):
            began, ended = (
                datetime.fromisoformat(times[name])
                for name in ("iopub.status.busy", "shell.execute_reply")
            )
            seconds[cell.id] = round((ended - began).total_seconds(), 2)
    about = {"date": f"{datetime.now():%Y-%m-%d}", "machine": machine(), "seconds": seconds}
    with whole_file(file) as out:
        out.write((json.dumps(about, indent=1) + "\n").encode())


def tidy(notebook) -> None:
    """Removes, in place, what would differ in another run or on another machine."""
    metadata = {k: v for k, v in notebook.metadata.items() if k in KEPT_OF_NOTEBOOK}
    notebook.metadata = nbformat.from_dict(metadata)
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        kept = {k: v for k, v in cell.metadata.items() if k in KEPT_OF_CELL}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
            for output in cell.outputs:
                data = output.get("data", {})
                data.pop(WIDGET, None)
                if "srcdoc=" in data.get("text/html", ""):  # a frame: a megabyte, never shown
                    data.pop("text/html")
                if "image/png" in data:
                    data["image/png"] = smaller(data["image/png"])


def smaller(picture: str) -> str:
    """A PNG as base64 text, in 256 colours: the same to the eye, and a third of the size."""
    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def joined(outputs: list) -> list:
    """Outputs with neighbouring pieces of text joined: the cuts between them depend on timing."""
    whole = []
    for output in outputs:
        if output.output_type == "stream" and whole and whole[-1].get("name") == output.name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


if __name__ == "__main__":
    sys.exit(
        main([Path(arg).resolve() for arg in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")))
    )
