"""A run as one line: it comes back through a chat, and a hostile line does no harm."""

import base64
import json
import math
import re
import zlib

import pytest

from nanogpt_lib import compare, hand_in
from nanogpt_lib.runs import catalogue, untrusted
from nanogpt_lib.runs.handin import POINTS, handed_in
from nanogpt_lib.runs.record import RecordError


def test_a_run_comes_back_as_it_was(tmp_path):
    line = hand_in("talk", "Ada Łę 🙂")
    assert "\n" not in line and len(line) < 2500
    assert line.startswith("gpt-run Ada Łę 🙂 | workshop | 1.530 at step 750 | ")
    (tmp_path / "board.txt").write_text(f"[10:12] Ada: {line}  👍\n", encoding="utf-8")
    ((name, back),) = handed_in(tmp_path / "board.txt")
    whole = untrusted.read("talk")
    assert name == "Ada Łę 🙂" and len(back.history) <= POINTS
    assert back.best.val_loss == whole.best.val_loss and back.steps == whole.steps
    assert back.measured_on == whole.measured_on and back.n_params == whole.n_params
    ends = [(p.step, p.val_loss) for p in (back.history[0], back.history[-1])]
    assert ends == [(p.step, p.val_loss) for p in (whole.history[0], whole.history[-1])]


def test_every_recorded_run_fits_a_line(tmp_path):
    names = list(catalogue.shipped())
    lines = [hand_in(name, name) for name in names]
    (tmp_path / "all.txt").write_text("\n".join(lines), encoding="utf-8")
    assert [name for name, _ in handed_in(tmp_path / "all.txt")] == names


def test_the_board_ranks_lines_beside_records_and_tells_namesakes_apart(tmp_path):
    text = "hello all\n" + "\n".join(
        [hand_in("healthy", "Ada"), hand_in("pocket", "Ada"), hand_in("laptop", "healthy")]
    )
    (tmp_path / "board.txt").write_text(text + "\ngpt-run Eve | x | y | abcd\n", encoding="utf-8")
    board = compare(tmp_path / "board.txt", "healthy")
    assert {row.name for row in board.rows} == {"Ada", "Ada (2)", "healthy", "healthy (2)"}
    losses = [row.loss for row in board.rows]
    assert losses == sorted(losses) and board.rows[0].rank == 1
    assert any("Eve" in why and "not whole" in why for why in board.skipped)
    assert board.figure.axes


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


BOMB = packed(b"\0" * 300_000_000)


@pytest.mark.parametrize(
    "evil",
    [
        BOMB,
        packed(b"{}\n"),
        packed(b"\xff\xfe"),
        packed(json.dumps({"type": "run"}).encode()),
        "A" * 1000,
        hand_in("healthy", "x").rpartition(" | ")[2][:-40],
    ],
    ids=["bomb", "empty", "no text", "no run", "no zip", "cut"],
)
def test_a_hostile_line_is_named_and_left_out(evil, tmp_path):
    line = f"gpt-run Eve \x1b[31m<b> | pocket | 0.001 at step 1 | {evil}"
    (tmp_path / "board.txt").write_text(line, encoding="utf-8")
    with pytest.raises(RecordError, match="no run record to compare") as no:
        compare(tmp_path / "board.txt")
    assert "\x1b" not in str(no.value) and "Eve" in str(no.value)


@pytest.mark.parametrize("name", ["", "  ", "\n", "|" * 0])
def test_a_name_is_needed(name):
    with pytest.raises(ValueError, match="a name is needed"):
        hand_in("pocket", name)


def test_a_name_cannot_break_the_line(tmp_path):
    line = hand_in("pocket", "a | b | 0.1 at step 1 | x\n\x1b[2J" + "long " * 40)
    assert "\n" not in line and "\x1b" not in line
    (tmp_path / "b.txt").write_text(line, encoding="utf-8")
    ((name, back),) = handed_in(tmp_path / "b.txt")
    assert name.startswith("a / b / 0.1") and math.isclose(back.best.val_loss, 1.843, abs_tol=1e-3)


def test_the_command_prints_the_line_of_the_newest_run(nanogpt, tmp_path):
    nanogpt("train", "--preset", "smoke", "--steps", "3")
    line = nanogpt("compare", "--hand-in", "Ada").stdout
    assert re.fullmatch(r"gpt-run Ada \| smoke \| \d\.\d{3} at step \d \| \S+\n", line)
    (tmp_path / "board.txt").write_text(line + line, encoding="utf-8")
    table = nanogpt("compare", "board.txt").stdout
    assert "Ada (2)" in table and (tmp_path / "compare.png").exists()
    done = nanogpt("compare", "pocket", "talk", "--hand-in", "Ada", check=False)
    assert done.returncode == 2 and "one run is handed in at a time" in done.stderr
