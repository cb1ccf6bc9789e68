"""Results of experiments that take longer than a notebook may: small JSON files in nanogpt_lib/recorded.

Unlike the record of a run (`runlog`) they hold no curve, only a row of figures for each model.
"""

import json
from pathlib import Path

from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.machine.host import machine, versions
from nanogpt_lib.machine.paths import RECORDED

RECORDS = RECORDED / "post_training"


def write_record(path: Path, about: dict, rows: list[dict]) -> None:
    """A record as JSON, one row a line, so that a diff shows what has changed."""
    head = json.dumps(about | {"machine": machine(), "versions": versions()})
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    with whole_file(path) as file:
        file.write(f'{{\n"about": {head},\n"rows": [\n{lines}\n]\n}}\n'.encode())


def read_record(name: str, folder: Path = RECORDS) -> list[dict]:
    """The rows of a record that comes with the kit, by its name."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["rows"]
