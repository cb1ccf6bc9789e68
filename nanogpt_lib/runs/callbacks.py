"""What happens around the training loop: progress, samples, records, checkpoints, time.

Each is an object with four methods that `training.train` calls. Their order matters: a sample
must be written before it can be recorded.
"""

import math
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from nanogpt_lib.checks import check_writing
from nanogpt_lib.machine import lock
from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.milestones import BY_HEART, read_loss
from nanogpt_lib.runs import checkpoint, record
from nanogpt_lib.runs.wording import in_bits, left, one_line
from nanogpt_lib.sampling import generate
from nanogpt_lib.training import Callback, measure


class WriteSample(Callback):
    """Lets the model write at each evaluation, always from the same prompt and seed.

    The random numbers are the same each time, so any improvement comes from the training. The
    random numbers of the training itself do not change.

    when_stopped: evaluate once more, and write, where somebody stops the training. Give it before
    what shows the curve. A run that goes on later keeps this evaluation.
    """

    def __init__(
        self,
        tokenizer,
        prompt: str = "\n",
        max_new_tokens: int = 120,
        seed: int = 1337,
        when_stopped: bool = False,
    ):
        check_writing(max_new_tokens, seed)
        self.tokenizer, self.prompt = tokenizer, prompt
        self.max_new_tokens, self.seed = max_new_tokens, seed
        self.when_stopped = when_stopped

    def on_eval(self, run):
        if not math.isfinite(run.history[-1].val_loss):
            return  # a model that diverged cannot write
        run.history[-1].sample = generate(
            run.model,
            self.tokenizer,
            self.prompt,
            self.max_new_tokens,
            seed=self.seed,
            unknown="replace",
        )

    def on_end(self, run):
        if self.when_stopped and run.history[-1].step < run.step:
            run.history.append(measure(run))
            self.on_eval(run)


class KeepRecord(Callback):
    """Keeps the run's record; see `record`. first: the record's first line."""

    def __init__(self, path: Path, first: dict):
        self.path, self.first = path, first

    def on_start(self, run):
        record.rebuild(self.path, self.first, run.history, run.step)
        if run.step:
            line = {"type": "resumed", "step": run.step, "time": record.now()}
            record.write_line(self.path, line)

    def on_eval(self, run):
        if self.path.exists():
            record.write_line(self.path, {"type": "eval", **asdict(run.history[-1])})
        else:  # somebody deleted the folder
            record.rebuild(self.path, self.first, run.history, run.step)

    def on_end(self, run):
        line = {"type": "end", "step": run.step, "stopped": run.stopped, "time": record.now()}
        line |= {"seconds": round(run.seconds, 3), "train_config": asdict(run.config)}
        record.write_line(self.path, line)


class Checkpoints(Callback):
    """Saves the run in its folder at each evaluation and at the end; see `checkpoint`.

    From the first step to the last the folder is this process's own: see `lock`.
    """

    def __init__(self, folder: Path, tokenizer, about: dict):
        self.folder, self.tokenizer, self.about = folder, tokenizer, about
        self.saved_step = None

    def on_start(self, run):
        lock.claim(self.folder)
        lock.sweep(self.folder)
        if not run.step:  # from here on there is always something to resume
            self.save_last(run)

    def on_eval(self, run):
        if run.best is run.history[-1]:
            data = checkpoint.snapshot(run, self.tokenizer, self.about, complete=False)
            checkpoint.save(data, self.folder / checkpoint.BEST)
        self.save_last(run)

    def on_end(self, run):
        if self.saved_step != run.step:
            self.save_last(run)
        lock.release(self.folder)

    def save_last(self, run):
        data = checkpoint.snapshot(run, self.tokenizer, self.about)
        checkpoint.save_last(data, self.folder)
        self.saved_step = run.step


class CopyTo(Callback):
    """Keeps a copy of the run elsewhere, for example on a cloud drive. Put it after `Checkpoints`.

    If the copy fails because the drive is full or gone, the training says so and goes on.
    """

    def __init__(self, folder: Path, to: Path):
        self.folder, self.to = Path(folder), Path(to)

    def on_eval(self, run):
        try:
            copy_run(self.folder, self.to)
        except OSError as error:
            print(f"note: no copy in {self.to} at step {run.step:,}: {error}", file=sys.stderr)

    on_end = on_eval


def copy_run(folder: Path, to: Path) -> None:
    """Copies what a run needs to continue, each file whole or not at all.

    The record is copied first and the checkpoint last. If copying stops in between, the checkpoint
    is the older one, and resuming drops the later steps from the record.
    """
    for name in (record.RECORD, checkpoint.BEST, checkpoint.LAST):
        if (folder / name).exists():
            with open(folder / name, "rb") as source, whole_file(to / name) as copy:
                shutil.copyfileobj(source, copy)


class TimeBudget(Callback):
    """Fits the number of steps, and so the cosine, to `config.max_seconds`.

    It plans again about ten times in a run, from the pace so far. So the learning rate reaches
    its end just when the time is over, even if the machine's speed changes.
    """

    def on_start(self, run):
        self.most, self.first = run.config.max_steps, run.step
        self.began = self.next_plan = None

    def on_step(self, run):
        if run.config.max_seconds is None:
            return
        if self.began is None:  # the first step is slower than the others: not counted
            self.began, self.first = run.seconds, run.step
            self.next_plan = run.step + 3
        elif run.step >= self.next_plan:
            pace = (run.seconds - self.began) / (run.step - self.first)
            left = max(0, int((run.config.max_seconds - run.seconds) / pace))
            run.config.max_steps = min(self.most, run.step + left)
            self.next_plan = run.step + max(1, left // 10)


class Progress(Callback):
    """A progress bar with the time left, and a line of text for each evaluation.

    On a terminal the bar moves. In a log file only the lines appear. At the first
    evaluation under a landmark a line names it and says what such samples sound like.

    characters_per_token: for tokens that are pieces of words; adds the loss in bits a character.
    """

    def __init__(self, rungs=None, file=None, characters_per_token: float | None = None):
        self.rungs, self.file = rungs, file or sys.stdout
        self.characters_per_token = characters_per_token
        self.told: set[str] = set()  # landmarks

    def on_start(self, run):
        self.bar = tqdm(
            total=run.config.max_steps,
            initial=run.step,
            unit="step",
            file=self.file,
            dynamic_ncols=True,
            leave=False,
            disable=None,
        )  # disable=None: no bar if the output is not a terminal
        self.say("Losses in nats a token, * at the lowest so far. In samples, / is a new line.")

    def on_step(self, run):
        self.bar.total = run.config.max_steps
        if run.step % 10 == 0 and run.loss is not None and not self.bar.disable:
            self.bar.set_postfix(loss=f"{run.loss.item():.3f}", refresh=False)
        self.bar.update()

    def on_eval(self, run):
        point = run.history[-1]
        star = "*" if run.best is point else " "
        self.say(
            f"step {point.step:>5,}/{run.config.max_steps:,}  train {point.train_loss:.3f}  "
            f"val {point.val_loss:.3f}{star}{self.bits(point)}  lr {point.lr:.1e}  {left(run)}"
        )
        if run.best is point or not math.isfinite(point.val_loss):
            self.tell(read_loss(point.val_loss, "val", self.rungs))
        reading = read_loss(point.train_loss, "train", self.rungs)
        if reading.landmark in BY_HEART:
            self.tell(reading)
        if point.sample:
            self.say(f"    | {one_line(point.sample)}")

    def bits(self, point) -> str:
        """The validation loss in the unit that compares across tokenizers."""
        if self.characters_per_token is None:
            return ""
        return f"  {in_bits(point.val_loss, self.characters_per_token):.3f} bits a character"

    def tell(self, reading):
        """Names a landmark when it is reached, and what samples sound like from there on."""
        if reading.landmark not in self.told:
            self.told.add(reading.landmark)
            on = "" if reading.split == "val" else " on the training text"
            self.say(f"    {reading.landmark}{on}: {reading.sounds}. {reading.beats}")

    def on_end(self, run):
        self.bar.close()

    def say(self, text):
        self.bar.write(harmless(text), file=self.file)  # a model writes what its text held
        self.file.flush()
