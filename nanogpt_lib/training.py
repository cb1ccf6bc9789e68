"""The training loop, and what it needs: a schedule, an optimiser, an evaluation.

`train` holds nothing but the training. Whatever else should happen on the way (progress, plots,
samples, records, checkpoints) is a callback: see `callbacks`.
"""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch.nn.utils import clip_grad_norm_

from nanogpt_lib.corpus import BatchSampler, check_length
from nanogpt_lib.machine.device import Compute, check_causality, pick_compute
from nanogpt_lib.machine.pair import Pair, two_pay
from nanogpt_lib.machine.stopsign import StopSign
from nanogpt_lib.model import GPT, GPTConfig

# On a CPU: so many numbers a layer may have before its batch is cut into parts. 8 MB of float32.
CACHED = 2_000_000


@dataclass
class TrainConfig:
    """How to train. The defaults are the workshop's."""

    max_steps: int = 5000  # optimiser steps; the cosine ends here
    batch_size: int = 64  # sequences a step
    grad_accum: int | None = None  # parts a batch is computed in; None lets `parts` choose
    learning_rate: float = 1e-3  # at its highest, after the warm-up; small models bear much
    min_lr: float = 1e-4  # where the cosine ends; a tenth is usual
    warmup_steps: int = 100  # the first gradients of a random model are wild: start gently
    weight_decay: float = 0.1  # on matrices only
    beta1: float = 0.9
    beta2: float = 0.99  # with few tokens a step, average squared gradients over more steps
    grad_clip: float = 1.0  # the longest gradient that is let through
    eval_interval: int = 250  # steps between evaluations
    eval_batches: int | None = 20  # batches a quick evaluation looks at; None for all there are
    max_seconds: float | None = None  # a time limit; `callbacks.TimeBudget` fits the cosine to it
    compile: bool = False  # torch.compile: faster on recent GPUs, and needs a C++ compiler
    seed: int = 1337  # of the batches

    def __post_init__(self):
        for name, value in vars(self).items():
            if hasattr(value, "item"):  # a number of NumPy's; a checkpoint takes plain ones only
                setattr(self, name, value.item())
        positive = ("batch_size", "grad_accum", "eval_interval", "learning_rate", "grad_clip")
        for name in positive:
            value = getattr(self, name)
            if not (value is None and name == "grad_accum") and not 0 < value < math.inf:
                raise ValueError(f"{name} must be a number above 0, not {value}")
        for name in ("max_steps", "warmup_steps", "min_lr", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative: {getattr(self, name)}")
        if not -(2**63) <= self.seed < 2**63:
            raise ValueError(f"seed must be a whole number below 2**63, not {self.seed}")
        if self.grad_accum and self.grad_accum > self.batch_size:
            raise ValueError(
                f"grad_accum ({self.grad_accum}) cannot exceed batch_size ({self.batch_size}): "
                "a part of a batch is at least one sequence"
            )


@dataclass
class Evaluation:
    """One point of the curve; losses in nats a token."""

    step: int  # optimiser steps done
    tokens: int  # tokens trained on
    seconds: float  # since the run began, pauses between resumptions left out
    lr: float  # of the step to come
    train_loss: float
    val_loss: float
    sample: str | None = None  # what the model wrote here, if a callback asked it to


@dataclass
class Run:
    """A training run as it stands: what `train` works on and callbacks look at."""

    model: GPT
    config: TrainConfig
    compute: Compute
    train_ids: torch.Tensor  # int64 (N,) on the device
    val_ids: torch.Tensor
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sampler: BatchSampler
    step: int = 0
    seconds: float = 0.0
    lr: float = 0.0  # of the latest step
    loss: torch.Tensor | None = None  # of the latest batch, a scalar; .item() waits for a GPU
    grad_norm: torch.Tensor | None = None  # before clipping
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
    warmup = min(config.warmup_steps, config.max_steps // 4)  # a short run warms up shortly
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.max_steps - warmup)  # 0 to 1
    height = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))  # 1 to 0
    return config.min_lr + height * (config.learning_rate - config.min_lr)


def make_optimizer(model: GPT, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) with weight decay on matrices only.

    Biases and norms are few and set scales; pulling them to zero helps nothing.
    """
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2]},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    options = {
        "lr": config.learning_rate,
        "betas": (config.beta1, config.beta2),
        "weight_decay": config.weight_decay,
    }
    return torch.optim.AdamW(groups, fused=True, **options)  # all tensors in one kernel


@torch.no_grad()
def evaluate(model, ids, n_batches=None, batch_size=64, compute: Compute | None = None) -> float:
    """The mean loss, in nats a token, over a text; dropout off.

    ids: int64 (N,) on the model's device. The text is cut into windows of block_size that do
    not overlap. n_batches: None looks at every token but the first, which is the headline
    figure; a number looks at so many batches of windows, evenly spread and the same at every
    call, which is the quick estimate. compute: for its precision; float32 if not given.
    """
    T = model.config.block_size
    n = (len(ids) - 1) // T  # whole windows
    if n < 1 or (n_batches is not None and n_batches < 1):
        raise ValueError(f"nothing to evaluate: {len(ids)} tokens, context {T}, {n_batches=}")
    x, y = ids[: n * T].view(n, T), ids[1 : n * T + 1].view(n, T)  # y one token later
    quick = n_batches is not None and n_batches * batch_size < n
    if quick:
        chosen = torch.linspace(0, n - 1, n_batches * batch_size).long().to(ids.device)
        x, y = x[chosen], y[chosen]  # (n_batches * batch_size, T)
    at_once = math.ceil(batch_size / parts(model.config, batch_size, ids.device))
    batches = list(zip(x.split(at_once), y.split(at_once), strict=True))
    rest = ids[n * T :]  # a last, shorter window, if it has more than its first token
    if len(rest) > 1 and not quick:
        batches.append((rest[None, :-1], rest[None, 1:]))
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for x, y in batches:
        with compute.autocast() if compute else nullcontext():
            _, loss = model(x, y)
        total, count = total + loss.item() * y.numel(), count + y.numel()
    model.train(was_training)
    return total / count


def start(model, train_ids, val_ids, config: TrainConfig, compute: Compute | None = None) -> Run:
    """Everything a run needs, before its first step.

    train_ids, val_ids: int64 (N,). compute: where and how precisely; chosen here if not given.
    The model is moved there and checked for leaks of the future; a choice that leaks is replaced.
    Raises corpus.TextError where a split is shorter than a context.
    """
    T = model.config.block_size
    check_length(train_ids, val_ids, T)
    if compute is None:
        compute = pick_compute(tokens=config.batch_size * T, width=model.config.n_embd)
    compute = check_causality(model.to(compute.device), compute)
    train_ids, val_ids = train_ids.to(compute.device), val_ids.to(compute.device)
    grad_accum = config.grad_accum or parts(model.config, config.batch_size, compute.device)
    return Run(
        model=model,
        # A copy: the run may adapt it, to less memory or less time.
        config=replace(config, grad_accum=grad_accum),
        compute=compute,
        train_ids=train_ids,
        val_ids=val_ids,
        optimizer=make_optimizer(model, config),
        scaler=compute.scaler(),
        sampler=BatchSampler(train_ids, T, config.batch_size, config.seed),
    )


def parts(size: GPTConfig, batch_size: int, device: torch.device) -> int:
    """Into how many parts a batch is best cut: 1, 2, 4, ... ("gradient accumulation").

    A GPU likes a batch whole. A CPU is fastest while a layer's activations stay small: large
    blocks of memory are handed back to the system after each use, and fetching them anew costs
    more than the cut does. In 16 parts a `workshop` step takes a fifth of the memory and less
    time (docs/PERFORMANCE.md). Dropout aside, the gradient is the same up to rounding.
    """
    numbers = batch_size * size.block_size * 4 * size.n_embd  # the widest layer's activations
    n = 1
    while device.type == "cpu" and numbers / n > CACHED and 2 * n <= batch_size:
        n *= 2
    return n


def train(run: Run, callbacks=()) -> Run:
    """Trains to the run's last step; `start` makes a run.

    callbacks: objects like `callbacks.Callback`. Ctrl-C, or the notebook's stop button, ends the
    training after the current step; nothing is lost, and calling `train` again goes on.
    """
    config, optimizer, scaler = run.config, run.optimizer, run.scaler
    run.model.train()
    forward = compiled(run) if config.compile else run.model
    began = time.perf_counter() - run.seconds
    notify(callbacks, "on_start", run)
    with StopSign() as stop, Pair(two_pay(run)) as pair:
        while True:
            run.seconds = time.perf_counter() - began
            if evaluation_is_due(run):
                with pair.apart():
                    run.history.append(measure(run))
                    notify(callbacks, "on_eval", run)
            if run.step >= config.max_steps or stop or out_of_time(run) or diverged(run):
                break
            run.lr = lr_at(run.step, config)
            for group in optimizer.param_groups:
                group["lr"] = run.lr
            x, y = run.sampler()  # each (B, T)
            run.loss = backward(run, forward, x, y, pair)
            scaler.unscale_(optimizer)  # so that the true gradient is clipped
            run.grad_norm = clip_grad_norm_(run.model.parameters(), config.grad_clip)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            run.step += 1
            notify(callbacks, "on_step", run)
    run.stopped = why_stopped(run)
    notify(callbacks, "on_end", run)
    return run


def backward(run: Run, forward, x, y, pair: Pair | None = None) -> torch.Tensor:
    """Adds the batch's gradients to the weights' `.grad`, part by part; returns the mean loss.

    pair: two threads to share each part. Where memory runs out the parts are halved: slower,
    and the same batch.
    """
    pair = pair or Pair(active=False)
    weights = [p for p in run.model.parameters() if p.requires_grad]

    def gradients(some_x, some_y):
        """What these sequences add to the batch's mean loss, and to its gradients."""
        with run.compute.autocast():
            _, mean = forward(some_x, some_y)
        share = mean * (len(some_x) / len(x))  # a mean of the batch, not of the part
        scaled = run.scaler.scale(share)
        # A learner may have taken a layer out: its weights have no part in the loss.
        return share.detach(), torch.autograd.grad(scaled, weights, allow_unused=True)

    while True:
        try:
            loss = torch.zeros((), device=x.device)
            part = math.ceil(len(x) / run.config.grad_accum)  # sequences computed at once
            for some_x, some_y in zip(x.split(part), y.split(part), strict=True):
                for share, gradient in pair(gradients, some_x, some_y):
                    loss += share
                    for p, g in zip(weights, gradient, strict=True):
                        if g is not None:
                            p.grad = g if p.grad is None else p.grad.add_(g)
            return loss
        except RuntimeError as error:
            if not is_out_of_memory(error) or run.config.grad_accum >= len(x):
                raise
        run.optimizer.zero_grad(set_to_none=True)
        run.config.grad_accum = min(2 * run.config.grad_accum, len(x))
        print(f"Not enough memory: computing each batch in {run.config.grad_accum} parts from now")
        torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of PyTorch says that memory ran out; each device words it its own way."""
    words = str(error).lower()
    return any(w in words for w in ("out of memory", "not enough memory", "allocate memory"))


def evaluation_is_due(run: Run) -> bool:
    """At every eval_interval-th step and at the end; not twice at the same step."""
    if run.history and run.history[-1].step == run.step:
        return False
    at_end = run.step >= run.config.max_steps or out_of_time(run)
    return at_end or run.step % run.config.eval_interval == 0


def measure(run: Run) -> Evaluation:
    """Both losses as they stand."""
    n, T = run.config.eval_batches, run.model.config.block_size
    n = n or math.ceil(len(run.val_ids) / T / 64)  # from the training text as many as there are
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


def diverged(run: Run) -> bool:
    """Whether the latest evaluation gave no number: weights that are NaN stay so."""
    return bool(run.history) and not math.isfinite(run.history[-1].val_loss)


def why_stopped(run: Run) -> str:
    if diverged(run):
        return "diverged"
    if run.step >= run.config.max_steps:
        return "finished"
    return "out of time" if out_of_time(run) else "interrupted"


def compiled(run: Run):
    """The model through torch.compile where that works here; the model itself where not."""
    try:
        fast = torch.compile(run.model)
        part = math.ceil(run.config.batch_size / run.config.grad_accum)
        x = run.train_ids[: run.model.config.block_size].repeat(part, 1)  # as in training
        with torch.random.fork_rng(devices=[]), run.compute.autocast():  # as if it had not been
            fast(x, x)[1].backward()  # compilation happens at the first use
        run.optimizer.zero_grad(set_to_none=True)
        return fast
    except Exception as error:  # no C++ compiler, an old GPU, an unsupported Python, ...
        run.optimizer.zero_grad(set_to_none=True)
        print(f"torch.compile does not work here, going on without: {type(error).__name__}")
        return run.model


def notify(callbacks, event: str, run: Run) -> None:
    for callback in callbacks:
        getattr(callback, event)(run)
