"""The loss curve while it grows: a picture in a notebook, lines of text anywhere else."""

import time

import torch

from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.milestones import read_loss
from nanogpt_lib.ngram import ladder
from nanogpt_lib.plots import live_figure, summary
from nanogpt_lib.room.display import in_notebook, png, show
from nanogpt_lib.room.report import reports
from nanogpt_lib.runs.callbacks import Progress
from nanogpt_lib.runs.wording import RunLike, left
from nanogpt_lib.training import Callback

SECONDS = 1.0  # between two refreshes
RISEN = 0.1  # nats that the validation loss has risen: no longer chance
SHARE = 0.1  # of the time may go into pictures, so that a slow machine keeps training


class LivePlot(Callback):
    """Draws the curve while a notebook trains; give it after `WriteSample` to see the samples.

    It shows a picture, the curve beside the samples, and below it the step, the time left, the
    landmark and the newest sample as text. Both are updated in place, once a second and at each
    evaluation. The picture is updated less often if it takes long to draw. Both stay when the
    training ends. Outside a notebook it prints what `Progress` prints.

    It does not change the training: it draws no random numbers. It fetches the losses of the steps
    from the device only once a second, all of them at once.

    rungs: rows of `ngram.ladder` of the run's text; counted when the training begins if not given.
    title: of the picture. file: where lines of text are printed; standard output if not given.
    """

    def __init__(self, rungs=None, title: str = "", file=None):
        self.rungs, self.title, self.file = rungs, title, file
        self.batches: list[tuple[int, float]] = []  # (step, loss of its batch)

    def on_start(self, run):
        if self.rungs is None:
            V = run.model.config.vocab_size
            self.rungs = ladder(run.train_ids.cpu(), run.val_ids.cpu(), V)
        self.board = reports(run, self.rungs, self.title)  # does nothing before `join`
        self.board.on_start(run)
        self.plain: Callback | None = None
        if not in_notebook():
            self.plain = Progress(self.rungs, self.file)
        if self.plain:
            return self.plain.on_start(run)
        self.batches = [(step, loss) for step, loss in self.batches if step <= run.step]
        self.waiting: list[tuple[int, torch.Tensor]] = []  # not yet fetched from the device
        self.picture = self.words = None  # handles of the outputs that are shown
        self.next_words = self.next_picture = 0.0  # when to update, by time.perf_counter

    def on_step(self, run):
        if self.plain:
            return self.plain.on_step(run)
        if run.loss is not None:  # a recorded run has the losses of its evaluations only
            self.waiting.append((run.step, run.loss))
        now = time.perf_counter()
        if now >= self.next_words:
            self.refresh(run, picture=now >= self.next_picture)

    def on_eval(self, run):
        self.board.on_eval(run)
        self.plain.on_eval(run) if self.plain else self.refresh(run)

    def on_end(self, run):
        self.board.on_end(run)
        self.plain.on_end(run) if self.plain else self.refresh(run, over=True)

    def refresh(self, run: RunLike, picture: bool = True, over: bool = False) -> None:
        """Shows the current state. over: whether the training has ended."""
        if self.waiting:
            steps, losses = zip(*self.waiting, strict=True)
            self.batches += zip(steps, torch.stack(losses).tolist(), strict=True)
            self.waiting = []
        if picture:
            self.draw(run)
        words = {"text/plain": in_words(run, self.rungs, self.batches, over)}
        self.words = show(self.words, words)
        self.next_words = time.perf_counter() + SECONDS

    def draw(self, run: RunLike) -> None:
        began = time.perf_counter()
        figure = live_figure(run.history, run.config, self.rungs, self.title, self.batches)
        seen = summary(run.history)
        image = {"image/png": png(figure), "text/plain": seen}
        self.picture = show(self.picture, image, {"image/png": {"alt": seen}})
        now = time.perf_counter()
        self.next_picture = now + max(SECONDS, (now - began) / SHARE)


def in_words(run: RunLike, rungs, batches, over: bool) -> str:
    """The text below the picture: the step, what the loss means, what the model writes."""
    state = (run.stopped or "").capitalize() if over else "Training"
    lines = [f"{state}: step {run.step:,} of {run.config.max_steps:,}. {left(run)}."]
    recent = [loss for _, loss in batches[-20:]]
    if recent and not over:
        lines[0] += f" Loss of the latest batches: {sum(recent) / len(recent):.2f}."
    if over and run.stopped == "interrupted":
        lines[0] += " Nothing is lost: call train again with the same run to go on."
    if run.history:
        point = run.history[-1]
        lowest = min(p.val_loss for p in run.history)
        if point.val_loss > lowest + RISEN and point.train_loss < lowest:
            # This loss rises while the text stays as good: what it sounds like, the other one says.
            name, reading = "Training loss", read_loss(point.train_loss, "train", rungs)
            also = f" The validation loss has risen to {point.val_loss:.3f}."
        else:
            name, reading = "Validation loss", read_loss(point.val_loss, "val", rungs)
            also = ""
        lines.append(
            f"{name} {reading.value:.3f} at step {point.step:,}: {reading.landmark} "
            f"({reading.sounds}). {reading.beats}{also}"
        )
    written = [(point.step, point.sample) for point in run.history if point.sample]
    if written:
        step, sample = written[-1]
        lines.append(f"What the model wrote at step {step:,}:\n")
        lines += ["    " + line for line in harmless(sample.strip()).split("\n")]
    return "\n".join(lines)
