"""Joins parts of a record that several processes wrote, such as one a seed."""

import json
from pathlib import Path

from nanogpt_lib.machine.files import whole_file

FOLDER = "."


def options(parser) -> None:
    parser.add_argument("parts", nargs="+", type=Path, help="files with rows of the same kind")


def run(args) -> None:
    """--out is the file to write."""
    read = [json.loads(part.read_text(encoding="utf-8")) for part in args.parts]
    about = read[0]["about"] | {"command": [part["about"]["command"] for part in read]}
    lines = ",\n".join("  " + json.dumps(row) for part in read for row in part["rows"])
    with whole_file(args.out) as file:
        file.write(f'{{\n"about": {json.dumps(about)},\n"rows": [\n{lines}\n]\n}}\n'.encode())
