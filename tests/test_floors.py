"""The plan of the library: a file imports only from floors below its own, the core next to nothing.

import-linter holds the floors (`make lint`, contracts in pyproject.toml). The tests see it fail
where an arrow is turned round, and look where it does not: into strings, and at what the core
imports by name.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "nanogpt_lib"
MODULES = sorted(LIBRARY.rglob("*.py"))

# What the notebooks build, in the order in which it is read, and how long it may be together.
CORE = (
    "corpus",
    "batches",
    "tokenizer",
    "ngram",
    "model",
    "training",
    "milestones",
    "sampling",
    "bpe",
)
MOST_LINES = 1350

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
(FLOORS,) = (
    [[name.strip() for name in floor.split("|")] for floor in contract["layers"]]
    for contract in SETTINGS["importlinter"]["contracts"]
    if contract["type"] == "layers"
)  # the highest first; names that share a floor do not know each other
HEIGHT = {name: -i for i, floor in enumerate(FLOORS) for name in floor}


def name_of(path: Path) -> str:
    """The module in a file, such as nanogpt_lib.runs.pace."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# ---- import-linter ----


def lint(folder: Path) -> subprocess.CompletedProcess:
    """Runs import-linter over the package in a folder, by the contracts that lie there."""
    program = shutil.which("lint-imports", path=Path(sys.executable).parent)
    assert program, "import-linter is missing here: `make setup` installs it"
    return subprocess.run(
        [program, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
    )


def test_all_arrows_point_down():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(\d+) kept, 0 broken", done.stdout)


@pytest.mark.parametrize(
    "file, line, contract, arrow",
    [
        (
            "machine/files.py",
            "from nanogpt_lib.runs import presets",
            "Arrows point down the floors",
            "nanogpt_lib.machine.files -> nanogpt_lib.runs.presets",
        ),
        (
            "room/board.py",
            "import nanogpt_lib.beyond.chat",
            "Arrows point down the floors",
            "nanogpt_lib.room.board -> nanogpt_lib.beyond.chat",
        ),
        (
            "model.py",
            "import matplotlib",
            "The core needs PyTorch and nothing else",
            "nanogpt_lib.model -> matplotlib",
        ),
        (
            "runs/presets.py",
            "from nanogpt_lib.runs import whole",
            "No cycles among siblings",
            "nanogpt_lib.runs",
        ),
        (
            "attic.py",  # a new module, which no floor holds
            "import math",
            "Arrows point down the floors",
            "attic",
        ),
    ],
)
def test_an_arrow_that_is_turned_round_is_named(tmp_path, file, line, contract, arrow):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    without = shutil.ignore_patterns("recorded", "__pycache__")
    shutil.copytree(LIBRARY, tmp_path / "nanogpt_lib", ignore=without)
    with open(tmp_path / "nanogpt_lib" / file, "a", encoding="utf-8") as module:
        module.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{contract} BROKEN" in done.stdout
    assert arrow in done.stdout


# ---- what the core imports ----


def imports(path: Path) -> set[str]:
    """Everything that a file imports, wherever the line stands in it."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            whole = node.module == "nanogpt_lib"  # then the names are modules
            found |= {f"{node.module}.{a.name}" for a in node.names} if whole else {node.module}
    return found


@pytest.mark.parametrize("name", [*CORE, "checks"])
def test_the_core_needs_pytorch_and_itself(name):
    below = {"corpus": ("shakespeare",), "training": ("machine",)}.get(name, ())
    for module in imports(LIBRARY / f"{name}.py"):
        first, _, rest = module.partition(".")
        if first == "nanogpt_lib":
            assert rest.partition(".")[0] in (*CORE, "checks", *below), module
        else:
            assert first == "torch" or first in sys.stdlib_module_names, module


def test_milestones_needs_the_core_only():
    ours = {m for m in imports(LIBRARY / "milestones.py") if m.startswith("nanogpt_lib")}
    assert ours and ours <= {f"nanogpt_lib.{name}" for name in (*CORE, "checks")}


def test_the_core_stays_short():
    lines = {
        name: len((LIBRARY / f"{name}.py").read_text(encoding="utf-8").splitlines())
        for name in CORE
    }
    assert sum(lines.values()) <= MOST_LINES, lines


# ---- a module's name in a string is an import, too ----


def strings(tree: ast.Module) -> list[str]:
    """All strings of a file but its docstrings; of an f-string, what stands there as it is."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [
        node.value
        for node in constants
        if isinstance(node.value, str) and id(node) not in docstrings
    ]


def too_high(module: str, text: str) -> list[str]:
    """What a string in a module names of the library that lies on no lower floor."""
    own = module.split(".")[1]
    named = re.findall(r"nanogpt_lib\.(\w*)", text)
    return [n for n in named if n != own and HEIGHT.get(n, 1) >= HEIGHT.get(own, 1)]


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p != LIBRARY / "__init__.py"], ids=lambda p: name_of(p)
)
def test_no_string_names_a_module_of_a_higher_floor(path):
    tree = tree_of(path)
    assert not [s for s in strings(tree) if too_high(name_of(path), s)]
    if path.parent != LIBRARY / "course" / "exercises":  # its table names files beside it
        called = {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(tree)}
        assert not called & {"import_module", "__import__"}


@pytest.mark.parametrize(
    "module, text, found",
    [
        ("nanogpt_lib.machine.files", "nanogpt_lib.runs.presets", ["runs"]),
        ("nanogpt_lib.machine.files", "nanogpt_lib.", [""]),  # of f"nanogpt_lib.{name}"
        ("nanogpt_lib.room.board", "see nanogpt_lib.beyond.chat", ["beyond"]),
        ("nanogpt_lib.beyond.speed.race", "python -m nanogpt_lib.beyond.speed", []),
        ("nanogpt_lib.runs.whole", "nanogpt_lib.model", []),
        ("nanogpt_lib.room.background", "nanogpt_lib", []),  # python -m nanogpt_lib
    ],
)
def test_names_in_strings_are_found(module, text, found):
    assert too_high(module, text) == found


def test_docstrings_are_no_strings_and_parts_of_f_strings_are():
    tree = ast.parse('"""One."""\ndef f():\n    """Two."""\n    return f"three{4}", "five"')
    assert sorted(strings(tree)) == ["five", "three"]
