"""Recorded runs: found by name, and safe to read whoever wrote them."""

import json
import os
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import ABOUT, point, write

from nanogpt_lib.machine.paths import RECORDED
from nanogpt_lib.runs import catalogue, record, untrusted
from nanogpt_lib.runs.record import RecordError
from nanogpt_lib.training import Evaluation, TrainConfig

TOOL = Path(__file__).resolve().parents[2] / "tools" / "describe_runs.py"
SHIPPED = sorted(catalogue.shipped())

# Those that ship


@pytest.mark.parametrize("name", SHIPPED)
def test_a_recorded_run_is_sound_small_and_says_where_it_comes_from(name):
    path = catalogue.shipped()[name]
    assert path.stat().st_size < 300_000
    run = untrusted.read(name)
    assert run.name == name
    assert run.processor and run.started.startswith("20")
    assert name in run.command or run.command.startswith("nanogpt train")
    assert all(p.sample for p in run.history)  # something to read at every landmark
    text = path.read_text(encoding="utf-8")
    assert str(Path.home()) not in text and "/tmp" not in text


def test_no_two_recorded_runs_have_one_name():
    assert len(SHIPPED) == len(list(RECORDED.rglob("*.jsonl")))
    assert {"pocket", "healthy", "patient-a"} <= set(SHIPPED)


def test_the_readme_s_table_is_what_the_records_say():
    tool = runpy.run_path(str(TOOL))
    readme = tool["README"].read_text(encoding="utf-8")
    assert readme == tool["with_table"](readme)
    assert all(f"[{name}](" in readme for name in SHIPPED)


# Finding


def test_a_run_is_found_by_folder_file_and_name(tmp_path, monkeypatch):
    file = write(tmp_path / "mine" / "run.jsonl")
    assert catalogue.find(file) == catalogue.find(str(tmp_path / "mine")) == file
    assert catalogue.find("pocket") == catalogue.shipped()["pocket"]
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "pocket" / "run.jsonl")
    assert catalogue.find("pocket") == Path("pocket", "run.jsonl")  # what is here comes first


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(RecordError, match=r"no recorded run of that name; there are .*patient-a"):
        untrusted.read("patient-z")


def test_a_folder_is_searched_deeply_and_hidden_copies_are_left_out(tmp_path):
    wanted = ["a.jsonl", "b/run.jsonl", "b/c/d.jsonl.txt", "b/e.JSONL", "f.json"]
    unwanted = [
        "loss.png",
        ".ipynb_checkpoints/a-checkpoint.jsonl",
        "__MACOSX/._a.jsonl",
        "._g.jsonl",
    ]
    for name in wanted + unwanted:
        write(tmp_path / name)
    found = catalogue.find_all([tmp_path, tmp_path / "b", tmp_path / "a.jsonl"])
    assert sorted(p.relative_to(tmp_path).as_posix() for p in found) == sorted(wanted)
    assert [catalogue.name_of(tmp_path / name) for name in wanted] == ["a", "b", "d", "e", "f"]


# What a record says


def test_what_was_recorded_is_what_one_gets(tmp_path):
    end = {"step": 25, "seconds": 3.5, "stopped": "interrupted"}
    run = untrusted.read(write(tmp_path / "alice.jsonl", end=end))
    assert (run.name, run.preset, run.text, run.n_params) == ("alice", "smoke", "own.txt", 1000)
    assert (run.steps, run.seconds, run.stopped) == (25, 3.5, "interrupted")
    assert run.config == TrainConfig(max_steps=20)
    assert run.history == [Evaluation(**point(0, 4.2)), Evaluation(**point(20))]
    assert run.best.step == 20


def test_a_record_in_memory_is_checked_like_one_on_the_disk(tmp_path):
    path = write(tmp_path / "alice.jsonl")
    assert untrusted.read(record.read(path)).history == untrusted.read(path).history
    with pytest.raises(RecordError, match="no evaluation"):
        untrusted.read(record.Record(ABOUT))


def test_a_record_that_breaks_off_ends_at_its_last_evaluation(tmp_path):
    run = untrusted.read(write(tmp_path / "alice.jsonl"))
    assert (run.steps, run.seconds, run.stopped) == (20, 2.0, None)


def without(data, name):
    return {key: value for key, value in data.items() if key != name}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"about": without(ABOUT, "text")}, "run.text: Field required"),
        ({"about": ABOUT | {"text": "own.txt"}}, "run.text: Input should be an object"),
        (
            {"about": ABOUT | {"model": {"n_params": "many"}}},
            "run.model.vocab_size: Field required",
        ),
        ({"about": ABOUT | {"ladder": []}}, "run.ladder: List should have at least 1 item"),
        ({"about": ABOUT | {"ladder": [{"k": 3, "loss": 1}]}}, "run.ladder.0.name: Field required"),
        ({"about": ABOUT | {"machine": []}}, "run.machine: Input should be an object"),
        (
            {"about": ABOUT | {"train_config": {"max_steps": 10**9}}},
            "max_steps is above 10,000,000",
        ),
        ({"about": ABOUT | {"train_config": {"max_steps": "9"}}}, "max_steps: Input should be"),
        ({"about": ABOUT | {"train_config": {"beta1": -7}}}, "beta1"),
        (
            {"about": ABOUT | {"ladder": ABOUT["ladder"][1:]}},
            "run.ladder: Value error, its k must go",
        ),
        ({"about": ABOUT | {"preset": 7}}, "run.preset: Input should be a valid string"),
        ({"points": []}, "no evaluation was recorded"),
        (
            {"points": [point(0, 4.2), point(-5)]},
            "eval.step: Input should be greater than or equal to 0",
        ),
        ({"points": [point(5), point(3)]}, "at step 3 step goes back"),
        ({"points": [point(5), point(5)]}, "step 5 is there twice"),
        ({"points": [point(5), point(6, seconds=0.0)]}, "at step 6 seconds goes back"),
        ({"points": [point(5), point(6, tokens=1)]}, "at step 6 tokens goes back"),
        ({"points": [point(0, val_loss=-1.0)]}, "loss: Input should be greater than or equal"),
        ({"points": [point(0, train_loss=float("inf"))]}, "train_loss"),
        ({"points": [point(0, seconds=float("nan"))]}, "seconds"),
        ({"points": [point(10**15)]}, "eval.step: Input should be less than or equal"),
        ({"points": [point(0, lr=10**400)]}, "eval.lr: Input should be a finite number"),
        ({"points": [point(0) | {"step": "0"}]}, "eval.step: Input should be a valid integer"),
        (
            {"points": [point(0) | {"val_loss": "3.0"}]},
            "eval.val_loss: Input should be a valid number",
        ),
        (
            {"points": [point(0) | {"val_loss": True}]},
            "eval.val_loss: Input should be a valid number",
        ),
        ({"points": [point(0) | {"step": 1.5}]}, "eval.step: Input should be a valid integer"),
        ({"points": [point(0, sample=["a"])]}, "eval.sample: Input should be a valid string"),
        ({"end": {"step": 3}}, "step at the end is below"),
        ({"end": {"seconds": None}}, "end.seconds: Input should be a valid number"),
    ],
)
def test_what_cannot_be_is_named_with_the_file(tmp_path, change, words):
    path = write(tmp_path / "mallory.jsonl", **change)
    with pytest.raises(RecordError) as caught:
        untrusted.read(path)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 310 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "is empty, or its first line is missing"),
        (b"{" * 10, "is empty"),
        (b"\xff\xfe\x00\n", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read"),
        (b'{"name": "package", "version": 1}\n', "is not a line of a run record"),
        (b"[" * 100_000 + b"\n", "line 1 is not a line of a run record"),
        (b'{"type": "run", "format": ' + b"9" * 5000 + b"}\n", "line 1 is not a line"),
        (b" " * (untrusted.LARGEST + 1), "it is larger than 3,000,000 bytes"),
    ],
    ids=["empty", "half", "no text", "picture", "foreign", "deep", "long number", "huge"],
)
def test_what_is_no_record_is_named_with_the_reason(tmp_path, data, words):
    path = tmp_path / "mallory.jsonl"
    path.write_bytes(data)
    with pytest.raises(RecordError, match=words):
        untrusted.read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(RecordError, match="it is not a file"):
        untrusted.read(tmp_path / "pipe.jsonl")


def test_two_runs_in_one_file_are_no_record(tmp_path):
    path = write(tmp_path / "both.jsonl")
    path.write_text(2 * path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(RecordError, match=r"line 4 .*a second run begins here"):
        untrusted.read(path)


def test_texts_hold_nothing_that_acts(tmp_path):
    evil = "\x1b[2J\x07\u202eabc\n\tdef"
    about = ABOUT | {"preset": evil, "text": ABOUT["text"] | {"name": evil}, "command": evil}
    run = untrusted.read(write(tmp_path / "x.jsonl", about, [point(0, sample=evil)]))
    assert run.history[0].sample == "\ufffd[2J\ufffd\ufffdabc\n\tdef"
    assert run.preset == run.text == run.command == "\ufffd[2J\ufffd\ufffdabc def"


@given(st.text())
def test_what_is_cleaned_can_be_printed_and_ordinary_text_stays(text):
    cleaned = untrusted.clean(text)
    assert len(cleaned) == len(text)
    cleaned.encode("utf-8")
    assert not set(cleaned) & {"\x1b", "\r", "\x00", "\x9b", "\u202e"}
    assert untrusted.clean(cleaned) == cleaned
    assert "\n" not in untrusted.clean(text, one_line=True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_whatever_stands_in_a_place_it_is_read_or_named(tmp_path_factory, data):
    about, points = json.loads(json.dumps(ABOUT)), [point(0, 4.2), point(20)]
    inside = [about, about["text"], about["model"], about["train_config"], about["ladder"][1]]
    place = data.draw(st.sampled_from([*inside, *points]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(json_values)
    path = write(tmp_path_factory.getbasetemp() / "mallory.jsonl", about, points)
    try:
        run = untrusted.read(path)
    except RecordError as error:
        assert "mallory.jsonl" in str(error)
    else:
        assert run.history and 0 <= run.seconds < 10**7
