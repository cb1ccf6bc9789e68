"""Results of experiments that are too long for a notebook: small JSON files in `recorded`.

Unlike the record of a run (`record`), they hold no curve, only a row of figures for each model.
"""

import json
from pathlib import Path

from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.machine.host import machine, versions
from nanogpt_lib.machine.paths import RECORDED


def write_record(path: Path, about: dict, rows: list[dict]) -> None:
    """Writes a record as JSON, one row a line, so that a diff shows what has changed.

    about: what the rows have in common; this machine and its versions where it names none.
    """
    head = json.dumps({"machine": machine(), "versions": versions()} | about)
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    with whole_file(path) as file:
        file.write(f'{{\n"about": {head},\n"rows": [\n{lines}\n]\n}}\n'.encode())


def read_record(name: str, folder: Path = RECORDED) -> list[dict]:
    """The rows of a record that comes with the library, by its name, such as "chat"."""
    (path,) = folder.rglob(f"{name}.json")
    return json.loads(path.read_text(encoding="utf-8"))["rows"]
