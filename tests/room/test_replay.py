"""Playback: a recorded run comes to the callbacks of a live one, faster and otherwise the same."""

import io
import json
import re
import signal
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from jupyter_client.manager import start_new_kernel

from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.room import live, story
from nanogpt_lib.room import replay as playback
from nanogpt_lib.room.replay import landmark_steps, plan, play, replay
from nanogpt_lib.runs import catalogue, untrusted
from nanogpt_lib.runs.callbacks import KeepRecord, Progress, WriteSample
from nanogpt_lib.runs.record import RecordError, now
from nanogpt_lib.training import Callback, TrainConfig, new_run, train

RUNGS = [
    {"k": -1, "name": "uniform guess", "loss": 4.17},
    {"k": 0, "name": "character frequencies", "loss": 3.35},
    {"k": 1, "name": "1 character of context", "loss": 2.49},
]


@pytest.fixture(scope="module")
def lived(ids, tokenizer, tmp_path_factory):
    """A small run that was really trained: (its record, what it printed, the steps it told)."""
    path = tmp_path_factory.mktemp("lived") / "small.jsonl"
    config = TrainConfig(max_steps=20, batch_size=4, eval_interval=5, eval_batches=1)
    torch.manual_seed(1)
    model = GPT(GPTConfig(block_size=16, n_layer=1, n_head=2, n_embd=16))
    first_line = {
        "type": "run",
        "format": 1,
        "started": now(),
        "preset": "tiny",
        "command": None,
        "text": {"name": "Tiny $hakespeare", "sha256": "ab" * 32, "val_tokens": 100},
        "model": asdict(model.config) | {"n_params": model.num_params()},
        "train_config": asdict(config),
        "machine": {"processor": "an abacus"},
        "ladder": RUNGS,
    }
    file, notes = io.StringIO(), Notes()
    run = new_run(model, *ids, config)
    kept = KeepRecord(path, first_line)
    train(run, [WriteSample(tokenizer, "\n", 30), kept, Progress(RUNGS, file), notes])
    return path, file.getvalue(), notes.told


class Notes(Callback):
    """Writes down what it is called with."""

    def __init__(self):
        self.told = []

    def on_start(self, run):
        self.told.append(("start", run.step))

    def on_step(self, run):
        self.told.append(("step", run.step))

    def on_eval(self, run):
        point = run.history[-1]
        self.told.append(("eval", run.step, point.step, round(point.val_loss, 9), run.best.step))

    def on_end(self, run):
        self.told.append(("end", run.step, run.stopped))


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves on."""
    clock = SimpleNamespace(now=100.0)

    def sleep(seconds):
        assert seconds >= 0
        clock.now += seconds

    fake = SimpleNamespace(perf_counter=lambda: clock.now, sleep=sleep)
    monkeypatch.setattr(playback, "time", fake)
    return clock


def test_callbacks_are_told_what_they_were_told_in_training(lived, clock):
    path, _, told = lived
    notes = Notes()
    play(untrusted.read(path), notes, 3.0, {})
    assert notes.told == told


def test_in_a_terminal_it_prints_what_training_printed(lived, clock, capsys):
    path, printed, _ = lived
    replay(path)
    out, table = capsys.readouterr().out.split("\n\n")
    what, machine, *lines, verdict = out.split("\n")

    def without_times(text):
        return re.sub(r"\d+ s (done|left)", "", text)

    assert without_times("\n".join(lines) + "\n") == without_times(printed)
    assert "tiny on Tiny $hakespeare" in what and "(an abacus)" in machine
    assert "best validation loss" in verdict
    assert table.startswith("  step  split")


def test_each_moment_comes_when_it_is_due(lived, clock):
    recorded = untrusted.read(lived[0])
    moments = []

    class Watch(Callback):
        def on_eval(self, run):
            moments.append(clock.now - 100)

    play(recorded, Watch(), 60.0, {})
    due = [60 * point.seconds / recorded.seconds for point in recorded.history]
    assert moments == pytest.approx(due)
    assert clock.now == pytest.approx(160)


def test_at_a_landmark_time_stands_still(lived, clock):
    recorded = untrusted.read(lived[0])
    steps = landmark_steps(recorded)
    assert steps[0] == 0 and len(steps) == len(set(steps))
    play(recorded, Callback(), 10.0, dict.fromkeys(steps, 2.5))
    assert clock.now == pytest.approx(110 + 2.5 * len(steps))


def test_a_landmark_lies_where_it_is_reached_first():
    recorded = untrusted.read("healthy")
    steps = landmark_steps(recorded)
    losses = {point.step: point.val_loss for point in recorded.history}
    assert steps == sorted(steps) and steps[0] == 0
    assert [losses[s] for s in steps] == sorted((losses[s] for s in steps), reverse=True)
    assert len(steps) == 6  # from knowing nothing to words


@pytest.mark.parametrize(
    "took, speed, seconds, linger, total",
    [
        (600, None, None, None, 60),
        (20, None, None, None, 20),  # it is never slower than it was, unless one asks
        (20, None, 40, None, 40),
        (600, None, 5, None, 5),
        (600, 10, None, 0, 60),
        (600, 10, None, None, 60 + 4 * 2),
        (600, None, 30, 5, 30),
        (0, None, None, None, 0),
    ],
)
def test_the_time_is_that_which_was_asked_for(took, speed, seconds, linger, total):
    moving, pause = plan(took, 4, speed, seconds, linger)
    assert moving + 4 * pause == pytest.approx(total)
    assert linger is not None or speed or pause <= moving / 4 + 1e-9  # no more than half of it


def test_where_notebooks_are_tested_it_takes_a_second(lived, clock, monkeypatch):
    monkeypatch.setenv("NANOGPT_PRESET", "smoke")
    replay(lived[0], speed=0.01, linger=100)
    assert clock.now == pytest.approx(101)


@pytest.mark.parametrize(
    "times", [{"speed": 0}, {"speed": -1}, {"seconds": float("nan")}, {"linger": float("inf")}]
)
def test_a_time_that_makes_no_sense_is_refused(lived, times):
    with pytest.raises(ValueError, match=f"{next(iter(times))} must be a number"):
        replay(lived[0], **times)


def test_what_is_not_there_is_named():
    with pytest.raises(RecordError, match="there is no run record nonsense"):
        replay("nonsense")


# How it ends


def ended(path, tmp_path, keep=lambda line: True, **end):
    """The record with another end; lines are kept for which `keep` holds."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line | (end if line["type"] == "end" else {}) for line in lines if keep(line)]
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return other


def end_of(path, clock):
    notes = Notes()
    play(untrusted.read(path), notes, 1.0, {})
    return notes.told[-1]


def test_an_interrupted_run_is_counted_up_to_its_last_step(lived, tmp_path, clock):
    path = ended(lived[0], tmp_path, step=23, seconds=1e4, stopped="interrupted")
    assert end_of(path, clock) == ("end", 23, "interrupted when it was recorded")


def test_a_record_that_breaks_off_is_played_as_far_as_it_goes(lived, tmp_path, clock):
    path = ended(lived[0], tmp_path, lambda line: line["type"] != "end" and line.get("step") != 20)
    assert end_of(path, clock) == ("end", 15, "recorded up to here")


def test_ctrl_c_ends_it_quietly_with_what_was_shown(lived, clock, capsys, monkeypatch):
    class Stop(playback.Screen):
        def on_step(self, run):
            super().on_step(run)
            if run.step == 7:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(playback, "Screen", Stop)
    replay(lived[0])
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.count("\nstep ") == 2  # at 0 and 5; no verdict on what nobody has seen
    assert output.out.rstrip().split("\n")[-1].startswith("    | ")


def test_a_run_that_diverged_is_played_to_its_end(clock, tmp_path, capsys):
    path = ended(
        catalogue.shipped()["patient-a"], tmp_path, lambda line: True, stopped="out of time"
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    broken = [re.sub(r'"val_loss": [\d.]+', '"val_loss": null', line) for line in lines[-5:]]
    path.write_text("\n".join([*lines[:-5], *broken]) + "\n", encoding="utf-8")
    replay(path)
    assert "Diverged by step" in capsys.readouterr().out


# In a notebook


@pytest.fixture
def watched(shown, monkeypatch):
    """What would be shown in a notebook, without drawing it."""
    monkeypatch.setattr(live, "png", lambda figure: "")
    return shown


def test_a_notebook_shows_the_live_curve_and_its_words(lived, clock, watched, capsys):
    replay(lived[0])
    pictures = [bundle for bundle in watched if "image/png" in bundle]
    words = [bundle["text/plain"] for bundle in watched if "image/png" not in bundle]
    assert len(pictures) >= 5 + 1  # the evaluations and the end
    assert words[0].startswith("Training: step 0 of 20. 0 s done.")
    assert words[-1].startswith("Finished: step 20 of 20.")
    assert "What the model wrote at step 20:" in words[-1]
    assert pictures[-1]["text/plain"].startswith("Step 20: training loss ")


def test_where_drawing_is_slow_pictures_are_left_out_but_never_the_last(
    lived, clock, watched, monkeypatch
):
    def slow(figure):
        clock.now += 30
        return ""

    monkeypatch.setattr(live, "png", slow)
    replay(lived[0], seconds=60, linger=0)
    pictures = [bundle for bundle in watched if "image/png" in bundle]
    assert pictures[-1]["text/plain"].startswith("Step 20: training loss ")
    assert len(pictures) < 6
    assert clock.now < 100 + 60 + 3 * 30


@pytest.mark.slow
def test_in_a_real_kernel_it_is_over_soon_and_the_interrupt_ends_it(lived, tmp_path):
    manager, client = start_new_kernel(cwd=str(tmp_path))

    def run(code, while_busy=lambda messages: None):
        messages = []

        def note(message):
            messages.append(message)
            while_busy(messages)

        client.execute_interactive(code, timeout=120, output_hook=note)
        assert not [m for m in messages if m["msg_type"] in ("error", "clear_output")]
        assert not [m for m in messages if m["content"].get("name") == "stderr"]
        kinds = ("display_data", "update_display_data")
        return [m["content"]["data"] for m in messages if m["msg_type"] in kinds]

    interrupts = []

    def interrupt(messages):
        if any(m["msg_type"] == "display_data" for m in messages) and not interrupts:
            interrupts.append("sent")
            manager.interrupt_kernel()

    try:
        run("import os; os.environ['NANOGPT_PRESET'] = 'smoke'; from nanogpt_lib import replay")
        data = run(f"replay({str(lived[0])!r})")
        assert data[-1]["text/plain"].startswith("Finished: step 20 of 20.")
        run("os.environ['NANOGPT_PRESET'] = ''")
        data = run(f"replay({str(lived[0])!r}, seconds=1000)", interrupt)
        assert data[-1]["text/plain"].startswith("Replay stopped: step ")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


# The story of the talk's run


def test_the_talks_run_begins_with_its_dense_start_and_time_goes_on():
    talk, start = untrusted.read("talk"), untrusted.read("talk-start")
    joined = story.with_start(talk, "talk")
    steps = [point.step for point in joined.history]
    assert steps == [*range(0, 251, 10), *range(300, 2501, 50)]
    assert [p.val_loss for p in joined.history[:26]] == [p.val_loss for p in start.history]
    seconds = [point.seconds for point in joined.history]
    assert seconds == sorted(seconds) and joined.seconds > seconds[-1]
    assert landmark_steps(joined) == [0, 10, 20, 60, 200, 350, 500, 800, 1150, 1750]


@pytest.mark.parametrize("change", [{"seed": 7}, {"learning_rate": 0.5}, {"dropout": True}])
def test_a_start_of_another_training_is_left_out(tmp_path, change):
    for name in ("talk", "talk-start"):
        path = catalogue.shipped()[name]
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if name == "talk-start":
            lines = [line for line in lines if line["type"] != "end"]
            lines[0]["train_config"] |= {k: v for k, v in change.items() if k != "dropout"}
            if "dropout" in change:
                lines[0]["model"]["n_params"] += 1
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    talk = untrusted.read(tmp_path / "talk.jsonl")
    assert story.with_start(talk, tmp_path / "talk.jsonl") == talk


def test_the_table_of_the_story_has_both_splits_and_the_copies_where_it_learns_by_heart(text):
    rows = story.table(story.with_start(untrusted.read("talk"), "talk")).splitlines()
    assert len(rows) == 18
    assert [row.split()[:3] for row in rows if "memorising" in row] == [
        ["1,150", "training", "0.994"]
    ]
    numbers = [row.split()[5 - ("recognisable" not in row) :][0] for row in rows[-3:]]
    assert all(number.isdigit() for number in numbers)


def test_without_the_text_on_the_disk_the_table_is_there_and_nothing_is_fetched(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("NANOGPT_DATA", str(tmp_path))
    assert "memorising                      COMINIUS" in story.table(untrusted.read("talk"))
    assert not list(tmp_path.iterdir())
