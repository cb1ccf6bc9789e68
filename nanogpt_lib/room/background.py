"""A training that goes on by itself while a notebook does other things.

The training runs in its own process, `nanogpt train` or `nanogpt resume`. So the notebook stays
free, and an interrupted cell or a restarted kernel does not stop the training. All that the
notebook knows about it is in the run folder: the record, the checkpoints, the id of the process,
and what the process printed.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from nanogpt_lib.checks import above_zero, from_zero
from nanogpt_lib.machine.files import why
from nanogpt_lib.machine.lock import FolderInUse, claim, process_of
from nanogpt_lib.machine.paths import LIBRARY, command_line, program, runs_dir
from nanogpt_lib.plots import live_figure, summary
from nanogpt_lib.room.display import in_notebook, png, show
from nanogpt_lib.room.live import in_words
from nanogpt_lib.room.replay import Playback
from nanogpt_lib.runs import record
from nanogpt_lib.runs.callbacks import copy_run
from nanogpt_lib.runs.checkpoint import LAST, PREVIOUS
from nanogpt_lib.runs.wording import duration, left
from nanogpt_lib.training import TrainConfig

LOG = "log.txt"
OFTEN = 500  # steps: `pocket` takes half a minute to two minutes for them on a processor


def start_or_resume(
    preset: str,
    copy_to: str | Path | None = None,
    fresh: bool = False,
    minutes: float | None = None,
) -> Path:
    """Starts the training of a preset, resumes it, or says that this is not needed.

    Calling it again does no harm. It leaves a run alone that is under way or finished. If a
    run was cut off, it resumes it at its last checkpoint, as `nanogpt resume` does. copy_to: a
    folder that gets a copy of the run at each evaluation. If the run folder is lost, the run is
    restored from this copy. fresh: begin anew; the old run and its copy are moved aside, not lost.
    minutes: how long a new run should take, if not as many steps as its preset has; it is evaluated
    every `OFTEN` steps. Returns the run folder, `PRESET-talk` below `runs_dir()`.
    """
    folder = runs_dir() / f"{preset}-talk"
    if fresh and not process_of(folder):
        for old in (folder, Path(copy_to)) if copy_to else (folder,):
            move_aside(old)
    if copy_to and not resumable(folder) and resumable(copy_to):
        copy_run(Path(copy_to), folder)
        print(f"Brought back from {copy_to}.")
    try:
        if finished(folder) and not process_of(folder):
            print(f"It has finished. {where(folder)} To begin anew: fresh=True.")
        elif resumable(folder):
            launch(folder, ["resume", str(folder.absolute())], copy_to)
            print(f"It was cut off and goes on. {where(folder)}")
        else:
            command = ["train", f"--preset={preset}", f"--out={folder.absolute()}"]
            if minutes is not None:
                above_zero(minutes, "minutes")
                command += [f"--minutes={minutes}", f"--eval-interval={OFTEN}"]
            launch(folder, command, copy_to)
            print(f"Started: {preset}, in a process of its own.")
    except FolderInUse:
        print(f"It is training already. {where(folder)}")
    name_others(folder, copy_to)
    return folder


def move_aside(folder: Path) -> None:
    """Renames a folder that holds a run to NAME-old, NAME-old-2, ..., and says so."""
    if not resumable(folder):
        return
    for number in range(1, 1000):
        aside = folder.with_name(f"{folder.name}-old" + (f"-{number}" if number > 1 else ""))
        if not aside.exists():
            folder.rename(aside)
            print(f"The run that was here is kept in {aside}.")
            return


def name_others(folder: Path, copy_to: str | Path | None) -> None:
    """Names the other runs that are kept here, and beside the copy, whatever their preset."""
    places = [(folder.parent, folder, "*-talk*")]
    if copy_to:
        places.append((Path(copy_to).parent, Path(copy_to), "*"))
    for parent, mine, pattern in places:
        try:
            kept = [path for path in sorted(parent.glob(pattern)) if path != mine]
        except OSError as error:
            print(f"note: {parent} cannot be read: {why(error)}")
            continue
        for path in filter(resumable, kept):
            print(
                f"Also kept: {path}. {where(path)} "
                f"`{command_line(program(), 'sample', path)}` lets it write, "
                f"`{command_line(program(), 'resume', path)}` goes on with it, on any device."
            )


def launch(folder: Path, arguments: list[str], copy_to: str | Path | None) -> None:
    """Starts a command of the library that outlives this kernel; writes down its process id.

    Raises FolderInUse if another kernel was quicker.
    """
    if copy_to:
        arguments = [*arguments, f"--copy-to={Path(copy_to).absolute()}"]
    known = os.environ.get("PYTHONPATH")  # in Colab the library is not installed
    path = os.pathsep.join([str(LIBRARY.parent), *([known] if known else [])])
    half = max(1, (os.cpu_count() or 2) // 2)  # of the cores; the notebook keeps the others

    def start() -> int:
        with open(folder / LOG, "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "nanogpt_lib", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": str(half), **os.environ, "PYTHONPATH": path},
                # The stop button interrupts the kernel's process group. This process is not in it.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # Windows
            ).pid

    claim(folder, start)


def resumable(folder: str | Path) -> bool:
    """Whether a folder holds a checkpoint to resume from. A drive that went away holds none."""
    try:
        return any((Path(folder) / name).exists() for name in (LAST, PREVIOUS))
    except OSError as error:
        print(f"note: {folder} cannot be read: {why(error)}. Run the cell again when it is there")
        return False


def finished(folder: str | Path) -> bool:
    """Whether a run has come to its end and its best checkpoint has been judged."""
    try:
        kept = record.read(folder)
    except record.RecordError:
        return False
    return bool(kept.result) or bool(kept.end and kept.end["stopped"] == "diverged")


def as_recorded(folder: str | Path) -> Playback | None:
    """The state of a run at its latest recorded evaluation. None before the first one."""
    try:
        kept = record.read(folder)
    except record.RecordError:
        return None
    if not kept.history:
        return None
    last = kept.history[-1]
    run = Playback(TrainConfig(**kept.train_config), last.step, last.seconds, kept.history)
    if kept.end:
        run.step, run.seconds = kept.end["step"], kept.end["seconds"]
    return run


def where(folder: str | Path) -> str:
    """The progress of a run, in a sentence."""
    run = as_recorded(folder)
    if run is None:
        return "Nothing has been measured yet."
    return f"Step {run.step:,} of {run.config.max_steps:,}; {left(run)}."


def look_in(folder: str | Path) -> None:
    """Shows the curve so far, and says how far the run is and what the model writes."""
    run, alive = as_recorded(folder), process_of(folder)
    if run is None and alive:
        print("It is getting ready. Look in again in a few seconds.")
    elif run:
        run.stopped = "finished" if finished(folder) else "stopped"
        about = record.read(folder).about
        if in_notebook():
            title = f"{about['preset']}, in the background"
            figure = live_figure(run.history, run.config, about["ladder"], title)
            seen = summary(run.history, about["text"].get("copied"))
            show(None, {"image/png": png(figure), "text/plain": seen}, {"image/png": {"alt": seen}})
        print(in_words(run, about["ladder"], batches=(), over=not alive))
    if not alive and not finished(folder):
        print("It is not running. Run the cell that starts it: nothing saved is lost.")
        print(last_words(folder))


def last_words(folder: str | Path) -> str:
    """The last lines that the process printed, if they report an error."""
    try:
        lines = (Path(folder) / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines[-5:] if line.startswith("nanogpt: "))


def wait(folder: str | Path, minutes: float = 60) -> None:
    """Waits until a run has ended. The stop button ends the waiting, not the run."""
    minutes, process = from_zero(minutes, "minutes"), process_of(folder)
    if process is None:
        return
    print(f"Waiting. {where(folder)} The stop button ends the waiting, not the training.")
    try:
        process.wait(minutes * 60)
    except psutil.TimeoutExpired:
        print(f"It is still training after {duration(minutes * 60)}.")
    except KeyboardInterrupt:
        print("Not waiting any longer; the training goes on.")


def stop(folder: str | Path) -> None:
    """Stops a run.

    The run saves its state first. On Windows it cannot: the state at the last evaluation is left.
    """
    process = process_of(folder)
    if process is None:
        print("It is not running.")
        return
    process.terminate() if os.name == "nt" else process.send_signal(signal.SIGINT)
    process.wait()
    print(f"Stopped. {where(folder)}")
