"""The training loop, and what it needs: a schedule, an optimiser, an evaluation.

Read `train` and `step` first: they are the loop of notebook 04. Everything else (progress, plots,
samples, records, checkpoints) is a `Callback`. `machine.gradients` cuts batches to the memory.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch.nn.utils import clip_grad_norm_

from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.checks import check_evaluation, check_run, check_training, number
from nanogpt_lib.machine.device import Compute, check_causality, near, pick_compute
from nanogpt_lib.machine.gradients import compiled, cut, loss_of, parts, until_it_fits
from nanogpt_lib.machine.stopsign import StopSign
from nanogpt_lib.model import GPT

START = (0, 10, 20, 50, 100, 150, 250)  # evaluated in every run: here the loss falls fastest


@dataclass
class TrainConfig:
    """How to train. The defaults are the workshop's; `checks.check_training` refuses nonsense."""

    max_steps: int = 5000  # optimiser steps; the cosine ends here
    batch_size: int = 64  # sequences a step
    grad_accum: int | None = None  # number of parts of a batch; None: `new_run` chooses it
    learning_rate: float = 1e-3  # the highest, after the warm-up; small models tolerate more
    min_lr: float = 1e-4  # where the cosine ends; a tenth is usual
    warmup_steps: int = 100  # the first gradients of a random model are wild: start gently
    weight_decay: float = 0.1  # on matrices only
    beta1: float = 0.9
    beta2: float = 0.99  # with few tokens a step, average squared gradients over more steps
    grad_clip: float = 1.0  # longer gradients are shortened to this length
    eval_interval: int = 250  # steps between evaluations; those of START come on top
    eval_batches: int | None = 20  # batches in a quick evaluation; None means the whole split
    max_seconds: float | None = None  # a time limit; `TimeBudget` fits the cosine to it
    compile: bool = False  # torch.compile: faster on recent GPUs, and needs a C++ compiler
    seed: int = 1337  # for the batches

    def __post_init__(self):
        check_training(self)


@dataclass
class Evaluation:
    """One point of the curve; losses in nats a token."""

    step: int  # optimiser steps done
    tokens: int  # tokens trained on
    seconds: float  # since the run began, without the pauses before each resumption
    lr: float  # of the next step
    train_loss: float
    val_loss: float
    sample: str | None = None  # what the model wrote here, if a callback asked it to


@dataclass
class Run:
    """The current state of a training run: `train` works on it, and callbacks look at it."""

    model: GPT
    config: TrainConfig
    compute: Compute
    train_ids: torch.Tensor  # integers (N,) on the device, or mapped from a file
    val_ids: torch.Tensor
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sampler: BatchSampler
    forward: Callable  # the model, or its compiled form
    agree: Callable = lambda *said: said  # several processes have to; see `machine.processes`
    step: int = 0
    seconds: float = 0.0
    lr: float = 0.0  # of the latest step
    loss: torch.Tensor | None = None  # of the latest batch, a scalar; .item() waits for a GPU
    grad_norm: torch.Tensor | None = None  # of the latest step, before clipping
    history: list[Evaluation] = field(default_factory=list)
    stopped: str | None = None  # "finished", "interrupted", "out of time" or "diverged"

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the lowest validation loss so far."""
        finite = [point for point in self.history if math.isfinite(point.val_loss)]
        return min(finite, key=lambda point: point.val_loss, default=None)

    @property
    def tokens(self) -> int:
        return self.step * self.config.batch_size * self.model.config.block_size


def lr_at(step: int, config: TrainConfig) -> float:
    """The learning rate of a step: a linear warm-up, then half a cosine down to `min_lr`.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.
    """
    number(step, "step")  # else Python would say it in its own words
    warmup = min(config.warmup_steps, config.max_steps // 4)  # a short run has a short warm-up
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.max_steps - warmup)  # 0 to 1
    height = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))  # 1 to 0
    return config.min_lr + height * (config.learning_rate - config.min_lr)


def make_optimizer(model, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) with weight decay on matrices only.

    Biases and norms are few, and they set scales. Pulling them to zero would not help.
    """
    if hasattr(model, "make_optimizer"):  # as the modern model, which brings its own
        return model.make_optimizer(config)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, config.learning_rate, (config.beta1, config.beta2), fused=True)


@torch.no_grad()
def evaluate(
    model, ids, n_batches: int | None = None, batch_size: int = 64, compute: Compute | None = None
) -> float:
    """The mean loss over a text, in nats a token, without dropout.

    ids: integers (N,). The text is cut into windows of block_size that do not overlap. n_batches:
    None uses every token but the first, for the headline figure; a number uses so many batches,
    evenly spread and always the same. compute: device and precision; None: the ids', and float32.
    """
    check_evaluation(ids, n_batches, batch_size, model.config)
    T = model.config.block_size
    n = (len(ids) - 1) // T  # whole windows
    x, y = ids[: n * T].view(n, T), ids[1 : n * T + 1].view(n, T)  # y one token later
    wanted = n if n_batches is None else n_batches * batch_size  # windows to look at
    if wanted < n:
        chosen = torch.linspace(0, n - 1, wanted).long().clamp(max=n - 1).to(ids.device)
        x, y = x[chosen], y[chosen]  # (wanted, T)
    device = compute.device if compute else ids.device
    at_once = math.ceil(batch_size / parts(model.config, batch_size, device))
    batches = list(zip(x.split(at_once), y.split(at_once), strict=True))
    rest = ids[n * T :]  # a last, shorter window, if it has more than its first token
    if len(rest) > 1 and wanted >= n:
        batches.append((rest[None, :-1], rest[None, 1:]))
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for x, y in batches:
        with compute.autocast() if compute else nullcontext():
            loss = loss_of(model, x.to(device), y.to(device))
        total, count = total + loss.item() * y.numel(), count + y.numel()
    model.train(was_training)
    return total / count


def new_run(model, train_ids, val_ids, config: TrainConfig, compute: Compute | None = None) -> Run:
    """Everything a run needs, before its first step.

    train_ids, val_ids: integers (N,). compute: device and precision; chosen here if not given. The
    model is moved there and checked for leaks of the future. A choice that leaks is replaced.
    Raises checks.TextError if a split is shorter than a context.
    """
    T = model.config.block_size
    check_run(train_ids, val_ids, model.config)
    compute = compute or pick_compute(width=model.config.n_embd)
    compute = check_causality(model.to(compute.device), compute)
    train_ids, val_ids = near(train_ids, compute.device), near(val_ids, compute.device)
    grad_accum = config.grad_accum or parts(model.config, config.batch_size, compute.device)
    return Run(
        model=model,
        config=replace(config, grad_accum=grad_accum),  # a copy, which the run may change
        compute=compute,
        train_ids=train_ids,
        val_ids=val_ids,
        optimizer=make_optimizer(model, config),
        scaler=compute.scaler(),
        sampler=BatchSampler(train_ids, T, config.batch_size, config.seed, compute.device),
        forward=model,
    )


class Callback:
    """Does nothing. Make a subclass and override what you need."""

    def on_start(self, run: Run) -> None:
        """Before the first step of this call of `train`, also when a run resumes."""

    def on_step(self, run: Run) -> None:
        """After each step."""

    def on_eval(self, run: Run) -> None:
        """After each evaluation. The new one is `run.history[-1]`."""

    def on_end(self, run: Run) -> None:
        """After the last step. `run.stopped` says why the run stopped."""


def train(run: Run, callbacks: Sequence[Callback] = ()) -> Run:
    """Trains to the run's last step; `new_run` makes a run.

    callbacks: `Callback` objects. Ctrl-C, or the notebook's stop button, ends the training after
    the current step. Nothing is lost, and calling `train` again goes on.
    """
    run.model.train()
    if run.config.compile and run.forward is run.model:
        run.forward = compiled(run)
    began = time.perf_counter() - run.seconds
    notify(callbacks, "on_start", run)
    with StopSign() as stop:
        while True:
            run.seconds, stopping = run.agree(time.perf_counter() - began, bool(stop))
            if evaluation_is_due(run):
                run.history.append(measure(run))
                notify(callbacks, "on_eval", run)
            run.stopped = reason_to_stop(run, stopping)
            if run.stopped:
                break
            until_it_fits(step, run)
            notify(callbacks, "on_step", run)
        notify(callbacks, "on_end", run)
    return run


def step(run: Run) -> None:
    """One step downhill: the rate, a batch, forward, backward, the clip, the move."""
    run.lr = lr_at(run.step, run.config)
    for group in run.optimizer.param_groups:
        group["lr"] = run.lr
    x, y = run.sampler()  # each (B, T)
    run.loss = torch.zeros((), device=x.device)
    for some_x, some_y in cut(x, y, run.config.grad_accum):  # the whole batch, or part by part
        with run.compute.autocast():
            _, loss = run.forward(some_x, some_y)  # the mean of this part, nats a token
        loss = loss * (len(some_x) / len(x))  # the parts' losses add up to the batch's mean
        run.scaler.scale(loss).backward()  # adds to each weight's .grad; scaled for float16 only
        run.loss += loss.detach()
    run.scaler.unscale_(run.optimizer)  # so that the true gradient is clipped
    run.grad_norm = clip_grad_norm_(run.model.parameters(), run.config.grad_clip)
    run.scaler.step(run.optimizer)  # optimizer.step(), unless float16 overflowed
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)
    run.step += 1


def evaluation_is_due(run: Run) -> bool:
    """True at the steps of START, every eval_interval steps and at the end, but once at a step."""
    if run.history and run.history[-1].step == run.step:
        return False
    at_end = run.step >= run.config.max_steps or out_of_time(run)
    return at_end or run.step in START or run.step % run.config.eval_interval == 0


def measure(run: Run) -> Evaluation:
    """Both losses at this step, from as many windows of each text."""
    n = run.config.eval_batches or math.ceil(len(run.val_ids) / run.model.config.block_size / 64)
    return Evaluation(
        step=run.step,
        tokens=run.tokens,
        seconds=round(run.seconds, 3),
        lr=lr_at(run.step, run.config),
        train_loss=evaluate(run.model, run.train_ids, n, compute=run.compute),
        val_loss=evaluate(run.model, run.val_ids, run.config.eval_batches, compute=run.compute),
    )


def out_of_time(run: Run) -> bool:
    return run.config.max_seconds is not None and run.seconds >= run.config.max_seconds


def reason_to_stop(run: Run, stopping: bool) -> str | None:
    """One of four reasons to stop, or None to go on."""
    if run.history and not math.isfinite(run.history[-1].val_loss):
        return "diverged"  # weights that are NaN stay NaN
    if run.step >= run.config.max_steps:
        return "finished"
    if out_of_time(run):
        return "out of time"
    return "interrupted" if stopping else None


def notify(callbacks: Sequence[Callback], event: str, run: Run) -> None:
    for callback in callbacks:
        getattr(callback, event)(run)
