"""The record of a run: what is written comes back, and damage is named by file and line."""

import json
import math
import os
import shutil
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import ABOUT, END

from nanogpt_lib.cli import main
from nanogpt_lib.runs import record as runlog
from nanogpt_lib.runs.record import RecordError
from nanogpt_lib.training import Evaluation, TrainConfig

FIRST = ABOUT | {
    "text": ABOUT["text"] | {"name": "a text — mit Ümlauten"},
    "train_config": asdict(TrainConfig()),
}
POINT = Evaluation(step=10, tokens=640, seconds=1.5, lr=1e-3, train_loss=2.5, val_loss=2.6)

losses = st.floats(0, 1e30)
points = st.builds(
    Evaluation,
    step=st.integers(0, 10**7),
    tokens=st.integers(0, 10**15),
    seconds=st.floats(0, 1e6),
    lr=st.floats(0, 1),
    train_loss=st.one_of(losses, st.just(math.nan)),
    val_loss=st.one_of(losses, st.just(math.nan), st.just(math.inf)),
    sample=st.none()
    | st.text(st.characters(codec="utf-8")),  # with newlines, quotes and the world's letters
)


def forward(history):
    """The evaluations as a run makes them: steps, tokens and seconds go on."""
    once = {point.step: point for point in history}
    return [replace(once[s], tokens=64 * s, seconds=0.1 * s) for s in sorted(once)]


def write(path, history, first=FIRST):
    path.unlink(missing_ok=True)
    runlog.write_line(path, first)
    for point in history:
        runlog.write_line(path, {"type": "eval", **asdict(point)})


def no_nan(point):
    """A loss that is no number is not equal to itself: a word in its place."""
    losses = {name: getattr(point, name) for name in ("train_loss", "val_loss")}
    return replace(point, **{k: v if math.isfinite(v) else "none" for k, v in losses.items()})


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return tmp_path_factory.mktemp("record") / "run.jsonl"


# --- there and back ---


@settings(deadline=None)
@given(history=st.lists(points, max_size=5).map(forward))
def test_what_is_recorded_is_read_again(record, history):
    write(record, history)
    runlog.write_line(record, END | {"type": "end", "train_config": {"max_steps": 7}})
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
    history = forward([replace(POINT, step=step, sample="é" * step) for step in range(4)])
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
    runlog.write_line(record, {"type": "eval", **asdict(POINT)})
    with pytest.raises(RecordError, match=r"run\.jsonl, line 3 is not a line of a run record"):
        runlog.read(record)


def test_a_record_without_its_first_line_says_so(record):
    write(record, [], first={"type": "eval", **asdict(POINT)})
    with pytest.raises(RecordError, match=r"line 1 .*the line that describes the run is missing"):
        runlog.read(record)


def test_a_record_of_another_version_is_named(record):
    write(record, [], first=FIRST | {"format": 2})
    with pytest.raises(RecordError, match=r"line 1 .*run.format: Input should be 1"):
        runlog.read(record)


def test_a_record_that_is_not_there_or_no_text_is_named(record):
    record.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(RecordError, match=r"run\.jsonl cannot be read: it is not UTF-8 text"):
        runlog.read(record)
    record.unlink()
    for path in (record, record.parent, record.parent / "nowhere"):
        with pytest.raises(RecordError, match="there is no run record"):
            runlog.read(path)


# --- going back to a checkpoint ---


def at(*steps):
    return [replace(POINT, step=s, tokens=64 * s, seconds=0.1 * s) for s in steps]


@settings(deadline=None)
@given(
    steps=st.lists(st.integers(0, 30), unique=True, max_size=8).map(sorted),
    step=st.integers(0, 30),
    half=st.sampled_from(["", '{"type": "ev']),
    lost=st.integers(0, 9),
)
def test_going_back_gives_exactly_what_the_checkpoint_knows(record, steps, step, half, lost):
    # The record may know more than the checkpoint, or have lost lines when the power failed.
    write(record, at(*steps))
    runlog.write_line(record, {"type": "resumed", "step": step})
    runlog.write_line(record, {"type": "resumed", "step": step + 1})
    runlog.write_line(record, END | {"type": "end", "step": 31})
    runlog.write_line(record, {"type": "result", "step": 31})
    resumed = 1
    if lost:
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)[:lost]
        record.write_text("".join(lines), encoding="utf-8", newline="\n")
        resumed = "".join(lines).count(f'"resumed", "step": {step}}}')
    with open(record, "a", encoding="utf-8") as file:
        file.write(half)
    known = at(*(s for s in steps if s < step))
    runlog.rebuild(record, FIRST, known, step)
    found = runlog.read(record)
    assert found.about == json.loads(json.dumps(FIRST)) and found.history == known
    assert found.end is None and found.result is None
    text = record.read_text(encoding="utf-8")
    assert text.count('"resumed"') == resumed and text.endswith("\n")
    runlog.rebuild(record, FIRST, known, step)
    assert record.read_text(encoding="utf-8") == text  # once is enough


@pytest.mark.parametrize("damage", ["", "{half\n", '{"type": "run"}\n', "\xff\n"])
def test_a_damaged_record_is_set_aside_and_written_again(record, damage, capsys):
    write(record, at(10))
    spoilt = damage and record.read_bytes() + damage.encode("latin-1")
    record.write_bytes(spoilt or b"")
    runlog.rebuild(record, FIRST, at(10, 20), 20)
    assert runlog.read(record).history == at(10, 20)
    aside = record.with_name("run.jsonl.damaged")
    if spoilt:
        assert aside.read_bytes() == spoilt
        assert "run.jsonl was damaged. It is written again" in capsys.readouterr().out
        aside.unlink()


def test_what_two_programs_wrote_in_turn_is_no_dead_end(record):
    write(record, at(0, 100, 50, 100, 150, 150))
    with pytest.raises(RecordError, match=r"line 4 .*at step 50 step goes back"):
        runlog.read(record)
    runlog.rebuild(record, FIRST, at(0, 50, 100), 100)
    assert [point.step for point in runlog.read(record).history] == [0, 50, 100]
    record.with_name("run.jsonl.damaged").unlink()


def test_each_line_is_on_the_disk_before_the_next_step(record, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append(os.fstat(number).st_size))
    write(record, at(0, 10))
    sizes = [len(line) for line in record.read_bytes().splitlines(keepends=True)]
    files = [size for size in synced if size in (sizes[0], sum(sizes[:2]), sum(sizes))]
    assert files == [sizes[0], sum(sizes[:2]), sum(sizes)]  # after each line, all of it


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
