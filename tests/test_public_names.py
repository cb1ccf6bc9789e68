"""The names that the course imports: none gets lost, and an editor sees every one."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import nanogpt_lib

ROOT = Path(__file__).resolve().parent.parent
# Written out, so that no name goes or comes without being changed here, too.
NAMES = re.findall(
    r"\w+",
    """
    BPETokenizer BatchSampler Block Callback CausalSelfAttention CharTokenizer Checkpoints
    Compute GPT GPTConfig LivePlot PRESETS Progress Server TimeBudget TrainConfig WriteSample
    arithmetic attention_explorer background chat chat_box checkpoint clinic compare copying
    digits doctor draw_next evaluate exercises finetune fit_to_time generate get_preset hand_in
    head_shares intervals join kernel ladder leave load_corpus load_model lr_at make_optimizer
    mixed_loss new_run next_scores ngram_loss page pick_compute playground probabilities quantise
    read_loss read_record record replay resume rl runs_dir save_model sketchpad slope_slider
    softmax_slider split step stream subwords train train_preset verdict voices window_start
    with_steps
    """,
)
ROOMS = {"plots"}  # packages that are imported whole need no entry in a table


def in_table() -> dict[str, str]:
    """Each public name and the full name of what it stands for, by the lazy table."""
    names = {
        name: f"nanogpt_lib.{module}.{name}" for name, module in nanogpt_lib._MODULE_OF.items()
    }
    modules = {name: f"nanogpt_lib.{room}.{name}" for name, room in nanogpt_lib._ROOM_OF.items()}
    assert not names.keys() & modules.keys()
    return names | modules


def in_block() -> list[tuple[str, str, str | None]]:
    """(name, full name, alias) of each import in the block that only type checkers read."""
    tree = ast.parse(Path(nanogpt_lib.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    assert all(isinstance(node, ast.ImportFrom) for node in block.body)
    return [
        (alias.name, f"{node.module}.{alias.name}", alias.asname)
        for node in block.body
        for alias in node.names
    ]


def test_the_public_names_are_these():
    assert nanogpt_lib.__all__ == sorted(NAMES)
    assert set(NAMES) <= set(dir(nanogpt_lib))


def test_the_table_and_the_block_for_type_checkers_agree():
    block = in_block()
    assert sorted(name for name, _, _ in block) == sorted(NAMES)  # so none stands there twice
    assert {name: full for name, full, _ in block} == in_table()
    assert all(alias == name for name, _, alias in block)  # "as": else it counts as private


@pytest.mark.parametrize("name", NAMES)
def test_each_name_gives_what_the_table_says(name):
    home, _, own = in_table()[name].rpartition(".")
    expected = getattr(import_module(home), own, None)
    if name in nanogpt_lib._ROOM_OF:
        expected = import_module(f"{home}.{own}")
    assert expected is not None
    assert getattr(nanogpt_lib, name) is expected


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'generat'"):
        nanogpt_lib.generat  # noqa: B018


def test_the_block_is_not_run():
    """To import the library costs nothing: no module of it comes along, and no PyTorch."""
    code = (
        "import sys, nanogpt_lib; print([m for m in sys.modules if 'torch' in m or '_lib.' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def imports(notebook: Path) -> list[ast.ImportFrom]:
    """All `from nanogpt_lib... import ...` in a notebook's code."""
    found = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            python = re.sub(r"^( *)[%!].*", r"\1pass", "".join(cell["source"]), flags=re.MULTILINE)
            found += [node for node in ast.walk(ast.parse(python)) if is_ours(node)]
    return found


def is_ours(node) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nanogpt_lib"


@pytest.mark.parametrize("notebook", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda p: p.stem)
def test_what_a_notebook_imports_is_there(notebook):
    found = imports(notebook)
    assert found
    for node in found:
        for alias in node.names:
            if node.module == "nanogpt_lib":
                assert alias.name in {*NAMES, *ROOMS}
            elif not hasattr(import_module(node.module), alias.name):
                import_module(f"{node.module}.{alias.name}")


def test_shift_tab_shows_the_real_signature():
    parameters = inspect.signature(nanogpt_lib.generate).parameters
    assert (parameters["temperature"].default, parameters["top_k"].default) == (0.7, 40)


def test_a_type_checker_sees_the_real_signatures(tmp_path):
    """Through the short form that the course uses; without PyTorch, which takes half a minute."""
    course = tmp_path / "course.py"
    lines = (
        "from nanogpt_lib import exercises, generate, lr_at",
        "reveal_type(generate)",
        "reveal_type(exercises)",
        "reveal_type(lr_at)",
        "lr_at('first')",
    )
    course.write_text("\n".join(lines), encoding="utf-8")
    read = ("__init__", "sampling", "training", "course/__init__", "course/exercises/__init__")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--follow-imports=skip", "--no-error-summary"),
            *("--config-file=", f"--cache-dir={os.devnull}", "--disable-error-code=no-redef"),
            *(str(ROOT / "nanogpt_lib" / f"{name}.py") for name in read),
            str(course),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    said = {f"course.py:{n}": "" for n in range(1, 6)}
    for line in done.stdout.splitlines():
        place = re.search(r"course\.py:\d", line)
        if place:
            said[place[0]] += line
    imported, generate, exercises, lr_at, wrong = said.values()
    assert not imported, done.stdout + done.stderr
    assert "temperature: float =, top_k: int | None =" in generate, done.stdout + done.stderr
    assert "ModuleType" in exercises
    assert "def (step: int, config: nanogpt_lib.training.TrainConfig) -> float" in lr_at
    assert 'incompatible type "str"; expected "int"' in wrong
