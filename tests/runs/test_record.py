"""The record of a run: what is written comes back, and damage is named by file and line."""

import json
import math
import shutil
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanogpt_lib.cli import main
from nanogpt_lib.runs import record as runlog
from nanogpt_lib.runs.record import RecordError
from nanogpt_lib.training import Evaluation, TrainConfig

FIRST = {
    "type": "run",
    "format": 1,
    "preset": "smoke",
    "text": {"name": "a text — mit Ümlauten"},
    "train_config": asdict(TrainConfig()),
    "ladder": [{"k": -1, "name": "uniform guess", "loss": 4.17}],
}
POINT = Evaluation(step=10, tokens=640, seconds=1.5, lr=1e-3, train_loss=2.5, val_loss=2.6)

numbers = st.floats(allow_nan=False, allow_infinity=False)
points = st.builds(
    Evaluation,
    step=st.integers(0, 10**9),
    tokens=st.integers(0, 10**15),
    seconds=st.floats(0, 1e6),
    lr=st.floats(0, 1),
    train_loss=st.one_of(numbers, st.just(math.nan)),
    val_loss=st.one_of(numbers, st.just(math.nan), st.just(math.inf)),
    sample=st.none() | st.text(),  # with newlines, quotes and the world's letters
)


def write(path, history, first=FIRST):
    path.unlink(missing_ok=True)
    runlog.write_line(path, first)
    for point in history:
        runlog.write_evaluation(path, point)


def no_nan(point):
    """A loss that is no number is not equal to itself: a word in its place."""
    losses = {name: getattr(point, name) for name in ("train_loss", "val_loss")}
    return replace(point, **{k: v if math.isfinite(v) else "none" for k, v in losses.items()})


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return tmp_path_factory.mktemp("record") / "run.jsonl"


# --- there and back ---


@settings(deadline=None)
@given(history=st.lists(points, max_size=5))
def test_what_is_recorded_is_read_again(record, history):
    write(record, history)
    runlog.write_line(record, {"type": "end", "step": 7, "train_config": {"max_steps": 7}})
    runlog.write_line(record, {"type": "result", "whole_val_loss": 1.9})
    found = runlog.read(record)
    assert list(map(no_nan, found.history)) == list(map(no_nan, history))
    assert found.about == FIRST
    assert found.train_config == {"max_steps": 7}  # as it was at the end
    assert found.result["whole_val_loss"] == 1.9


def test_every_line_is_json_that_any_program_reads(record):
    write(record, [replace(POINT, val_loss=math.nan, sample="“Ay,”\nquoth\u2028he")])

    def no_constants(name):
        raise AssertionError(f"{name} is not JSON")

    lines = record.read_text(encoding="utf-8").split("\n")
    assert [json.loads(line, parse_constant=no_constants)["type"] for line in lines[:-1]] == [
        "run",
        "eval",
    ]
    assert b"\r" not in record.read_bytes()  # on Windows, too


def test_a_run_folder_stands_for_its_record(record):
    write(record, [POINT])
    assert runlog.read(record.parent) == runlog.read(record)


def test_before_the_end_the_settings_are_those_of_the_beginning(record):
    write(record, [])
    assert runlog.read(record).train_config == FIRST["train_config"]


# --- damage ---


@settings(deadline=None)
@given(data=st.data())
def test_a_record_cut_off_anywhere_gives_what_was_whole(record, data):
    history = [replace(POINT, step=step, sample="é" * step) for step in range(4)]
    write(record, history)
    whole = record.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    record.write_bytes(whole[:cut])
    lines = whole[:cut].count(b"\n")
    try:
        found = runlog.read(record)
    except RecordError as error:
        assert lines == 0 and "is empty, or its first line is missing" in str(error)
    else:
        assert found.history == history[: lines - 1]


@pytest.mark.parametrize(
    "line",
    [
        "{half",
        "[]",
        '"eval"',
        '{"step": 3}',
        '{"type": "eval", "step": 3}',
        json.dumps({"type": "eval", **asdict(POINT), "val_loss": "low"}),
        '{"type": "run", "format": 2}',
        '{"type": "run"}',
    ],
)
def test_a_malformed_line_is_named_with_file_and_number(record, line):
    write(record, [POINT])
    with open(record, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    runlog.write_evaluation(record, POINT)
    with pytest.raises(RecordError, match=r"run\.jsonl, line 3 is not a line of a run record"):
        runlog.read(record)


def test_a_record_without_its_first_line_says_so(record):
    write(record, [], first={"type": "eval", **asdict(POINT)})
    with pytest.raises(RecordError, match=r"line 1 .*the line that describes the run is missing"):
        runlog.read(record)


def test_a_record_of_another_version_is_named(record):
    write(record, [], first=FIRST | {"format": 2})
    with pytest.raises(RecordError, match=r"line 1 .*format 2, this version reads 1"):
        runlog.read(record)


def test_a_record_that_is_not_there_or_no_text_is_named(record):
    record.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(RecordError, match=r"run\.jsonl cannot be read: .*utf-8"):
        runlog.read(record)
    record.unlink()
    for path in (record, record.parent, record.parent / "nowhere"):
        with pytest.raises(RecordError, match="there is no run record"):
            runlog.read(path)


# --- going back to a checkpoint ---


@settings(deadline=None)
@given(
    steps=st.lists(st.integers(0, 30), unique=True, max_size=8).map(sorted),
    step=st.integers(0, 30),
    half=st.sampled_from(["", '{"type": "ev']),
)
def test_going_back_keeps_exactly_what_the_checkpoint_knows(record, steps, step, half):
    # The checkpoint of a step may have been written before that step's evaluation was recorded.
    evaluated = max((s for s in steps if s < step), default=-1)
    write(record, [replace(POINT, step=s) for s in steps])
    runlog.write_line(record, {"type": "resumed", "step": step})
    runlog.write_line(record, {"type": "resumed", "step": step + 1})
    runlog.write_line(record, {"type": "end", "step": 31})
    runlog.write_line(record, {"type": "result", "step": 31})
    with open(record, "a", encoding="utf-8") as file:
        file.write(half)
    runlog.rewind(record, step, evaluated)
    found = runlog.read(record)
    assert [point.step for point in found.history] == [s for s in steps if s <= evaluated]
    assert found.end is None and found.result is None
    text = record.read_text(encoding="utf-8")
    assert text.count('"resumed"') == 1 and text.endswith("\n")
    runlog.rewind(record, step, evaluated)
    assert record.read_text(encoding="utf-8") == text  # once is enough


def test_going_back_names_a_malformed_line_and_keeps_the_file(record):
    write(record, [POINT])
    record.write_text(record.read_text(encoding="utf-8") + "{half\n", encoding="utf-8")
    before = record.read_bytes()
    with pytest.raises(RecordError, match=r"run\.jsonl, line 3 is not a line"):
        runlog.rewind(record, 10, 10)
    assert record.read_bytes() == before


def test_going_back_where_nothing_was_recorded_is_no_error(tmp_path):
    runlog.rewind(tmp_path / "run.jsonl", 10, 10)
    assert not (tmp_path / "run.jsonl").exists()


# --- enough to draw everything ---


def test_the_record_alone_is_enough_to_draw_the_curve_again(text, tmp_path, capsys):
    (tmp_path / "own.txt").write_text(text[:10_000], encoding="utf-8")
    folder, alone = tmp_path / "run", tmp_path / "alone"
    small = ["--preset", "smoke", "--steps", "4", "--device", "cpu", "--dtype", "float32"]
    out = ["--text", str(tmp_path / "own.txt"), "--out", str(folder)]
    assert main(["train", *small, *out]) == 0
    alone.mkdir()
    shutil.copy(folder / "run.jsonl", alone)
    capsys.readouterr()
    assert main(["plot", str(alone)]) == 0
    assert (alone / "loss.png").read_bytes() == (folder / "loss.png").read_bytes()
    said = capsys.readouterr().out
    assert "Step 4: training loss" in said and str(alone / "loss.png") in said
    about = runlog.read(alone).about
    assert about["text"]["name"] == "own.txt" and about["text"]["train_tokens"] == 9000
    assert about["model"]["n_params"] > 0 and about["versions"]["torch"] and about["machine"]
