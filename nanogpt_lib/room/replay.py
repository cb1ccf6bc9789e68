"""Recorded runs played back as if they were training now: a demo that needs no training.

The callback that shows a live run also shows the recorded one. It gets a `Playback` instead of a
`training.Run`, and it is called at the times in the record, only faster.
"""

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from nanogpt_lib.checks import above_zero, from_zero
from nanogpt_lib.machine.stopsign import StopSign
from nanogpt_lib.milestones import BY_HEART, verdict
from nanogpt_lib.plots.curves import arrivals
from nanogpt_lib.room import story
from nanogpt_lib.room.in_text import InTerminal
from nanogpt_lib.room.live import LivePlot
from nanogpt_lib.runs import untrusted
from nanogpt_lib.runs.record import Record
from nanogpt_lib.runs.untrusted import Recorded
from nanogpt_lib.runs.wording import duration
from nanogpt_lib.training import Evaluation, Run, TrainConfig

MOST_SECONDS = 60.0  # a longer run is replayed in this time
LINGER = 2.0  # seconds at each new landmark, so that its sample can be read


@dataclass
class Playback:
    """The parts of a `training.Run` that callbacks use, taken from a record."""

    config: TrainConfig
    step: int = 0
    seconds: float = 0.0  # since the recorded run began
    history: list[Evaluation] = field(default_factory=list)
    stopped: str | None = None
    late: bool = False  # whether the next evaluation should already be shown
    loss: None = None  # the losses of single batches were not recorded

    best = Run.best


class Screen(LivePlot):
    """The live curve. It skips pictures if drawing them takes too long to keep up.

    A terminal has no pictures: there the curve is drawn with letters, in place.
    """

    def on_start(self, run):
        super().on_start(run)
        if self.plain and sys.stdout.isatty():
            self.plain = InTerminal(self.rungs, self.title)
            self.plain.on_start(run)

    def on_eval(self, run):
        if self.plain or not run.late:
            super().on_eval(run)


def replay(
    run: str | Path | Record = "talk",
    speed: float | None = None,
    seconds: float | None = None,
    linger: float | None = None,
) -> None:
    """Plays a recorded run as if live, with its landmarks and samples.

    run: a run folder, a record file, the name of a recorded run that ships with the kit, or a
    record. speed: how many times as fast as the real run. seconds: how long the replay should
    take instead. If neither is given it takes a minute, or less if the run itself took less.
    linger: seconds to pause at each new landmark, for reading; 2 if not given, but at most half of
    the time.

    A run that has a dense start is played with it; see `story.with_start`. At the end comes a table
    of its landmarks. Between evaluations only the step number changes: nothing else was recorded.
    Ctrl-C, or the notebook's stop button, ends the replay. With NANOGPT_PRESET=smoke it takes about
    a second.
    Raises record.RecordError if there is no valid record, ValueError if a time makes no sense.
    """
    recorded = story.with_start(untrusted.read(run), run)
    steps = landmark_steps(recorded)
    moving, linger = plan(recorded.seconds, len(steps), speed, seconds, linger)
    whole = moving + linger * len(steps)
    print(
        f"A recorded run: {recorded.preset} on {recorded.text}, {recorded.n_params:,} parameters.\n"
        f"It took {duration(recorded.seconds)} on {recorded.started[:10]} ({recorded.processor}); "
        f"here it takes {duration(whole)}."
    )
    screen = Screen(recorded.rungs, f"{recorded.name}, as recorded on {recorded.started[:10]}")
    shown = play(recorded, screen, moving, dict.fromkeys(steps, linger))
    if shown.step == recorded.steps:
        print(f"{verdict(recorded.history, recorded.copied)}\n\n{story.table(recorded)}")


def plan(took: float, landmarks: int, speed, seconds, linger) -> tuple[float, float]:
    """Seconds that all steps of a run of `took` seconds take, and seconds at each landmark."""
    speed = None if speed is None else above_zero(speed, "speed")
    seconds = None if seconds is None else above_zero(seconds, "seconds")
    linger = None if linger is None else from_zero(linger, "linger")
    if os.environ.get("NANOGPT_PRESET") == "smoke":  # notebooks are being tested
        return 1.0, 0.0
    if speed is not None:
        return took / speed, LINGER if linger is None else linger
    whole = seconds or min(MOST_SECONDS, took)
    if linger is None:
        linger = min(LINGER, whole / 2 / max(1, landmarks))
    return max(0.0, whole - linger * landmarks), linger


def landmark_steps(recorded: Recorded) -> list[int]:
    """The steps at which a landmark is reached: of the validation loss, or of the other alone."""
    reached = list(arrivals(recorded.history, "val", recorded.rungs).values())
    for name, point in arrivals(recorded.history, "train", recorded.rungs).items():
        if name in BY_HEART:
            reached.append(point)
    return sorted({point.step for point in reached})


def play(recorded: Recorded, callback, seconds: float, pauses: dict[int, float]) -> Playback:
    """Calls a callback at the times in a record, scaled so that the whole takes `seconds`.

    callback: a `training.Callback` that works with a Playback, as `LivePlot` does. pauses:
    {step of an evaluation: seconds to pause there}. Returns the Playback as it was at the end.
    """
    run, points = Playback(recorded.config), recorded.history
    pace = seconds / recorded.seconds if recorded.seconds else 0.0
    callback.on_start(run)
    began = time.perf_counter()  # each pause moves it forward
    with StopSign(words="") as stop:
        for step, moment, point in moments(recorded):
            wait_until(began + pace * moment, stop)
            if stop:
                run.stopped = "replay stopped"
                break
            run.step, run.seconds = step, moment
            if point is None:
                callback.on_step(run)
                continue
            began += pauses.get(step, 0.0)
            run.history.append(point)
            after = points[len(run.history)].seconds if point is not points[-1] else moment
            run.late = time.perf_counter() > began + pace * after
            callback.on_eval(run)
        else:
            wait_until(began + pace * recorded.seconds, stop)
            run.seconds, run.stopped = recorded.seconds, how_it_ended(recorded)
    callback.on_end(run)
    return run


def moments(recorded: Recorded):
    """Every step and every evaluation, in order: (step, seconds, the evaluation or None)."""
    last_step, last_moment = 0, 0.0
    ends = [(point.step, point.seconds, point) for point in recorded.history]
    for step, moment, point in [*ends, (recorded.steps, recorded.seconds, None)]:
        for number in range(last_step + 1, step + 1):
            share = (number - last_step) / (step - last_step)
            yield number, last_moment + share * (moment - last_moment), None
        if point:
            yield step, moment, point
        last_step, last_moment = step, moment


def wait_until(moment: float, stop: StopSign) -> None:
    """Sleeps until `moment`, by time.perf_counter, in short naps, so that Ctrl-C is noticed."""
    while not stop and (left := moment - time.perf_counter()) > 0:
        time.sleep(min(left, 0.1))


def how_it_ended(recorded: Recorded) -> str:
    """Why the recorded run ended, in words that make clear that it was recorded."""
    if recorded.stopped == "interrupted":
        return "interrupted when it was recorded"
    return recorded.stopped or "recorded up to here"
