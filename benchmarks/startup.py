"""F. How long you wait before anything happens."""

import sys

from benchmarks.bench import ROOT, Table, compared, process, take_turns


def run(args) -> Table:
    python = sys.executable
    works = {
        "python -c pass": process([python, "-c", "pass"], cwd=ROOT),
        "import nanogpt_lib": process([python, "-c", "import nanogpt_lib"], cwd=ROOT),
        "nanogpt --help": process([python, "-m", "nanogpt_lib", "--help"], cwd=ROOT),
        "nanogpt train --help": process([python, "-m", "nanogpt_lib", "train", "-h"], cwd=ROOT),
        "import torch": process([python, "-c", "import torch"], cwd=ROOT),
    }
    take_turns(works, 1)  # from now on all files are in the system's cache
    results = take_turns(works, max(5, args.rounds))
    return Table(
        "startup",
        "F. Start-up, whole processes",
        "`import nanogpt_lib` and `--help` under 0.3 s, without importing torch",
        ["process", "seconds", "spread", "of import torch", "spread"],
        compared(results, "import torch"),
        figures={"seconds": results},
    )
