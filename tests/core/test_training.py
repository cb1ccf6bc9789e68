"""The training loop: its schedule, its optimiser, its evaluation, and how it may end."""

import copy
import functools
import io
import math
import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from nanogpt_lib import training as loop
from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.checks import TextError
from nanogpt_lib.machine.device import Compute
from nanogpt_lib.machine.gradients import OutOfMemory, in_halves, is_out_of_memory, loss_of, parts
from nanogpt_lib.machine.stopsign import StopSign
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.ngram import ngram_loss
from nanogpt_lib.runs.callbacks import Progress, WriteSample
from nanogpt_lib.runs.presets import get_preset
from nanogpt_lib.training import (
    Callback,
    TrainConfig,
    evaluate,
    lr_at,
    make_optimizer,
    new_run,
    step,
    train,
)

CPU = Compute(torch.device("cpu"), torch.float32, "the same everywhere")
SHAPE = GPTConfig(vocab_size=65, block_size=16, n_layer=2, n_head=2, n_embd=16, dropout=0.2)


def small_run(some, kind=GPT, shape=SHAPE, **changes):
    """A small run with dropout, always from the same weights and dice.

    PyTorch has one set of dice for all dropout: train one run before the next is made.
    """
    settings = {"max_steps": 6, "batch_size": 4, "eval_interval": 100, "eval_batches": 1}
    torch.manual_seed(0)
    return new_run(kind(shape), *some, TrainConfig(**settings | changes), CPU)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class Do(Callback):
    """Does something after each step."""

    def __init__(self, action):
        self.on_step = action


# --- the settings ---


@pytest.mark.parametrize(
    "name, value",
    [
        ("batch_size", 0),
        ("grad_accum", -1),
        ("eval_interval", 0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("grad_clip", 0.0),
        ("max_steps", -1),
        ("warmup_steps", -1),
        ("min_lr", math.nan),
        ("weight_decay", -0.1),
        ("seed", 2**63),
    ],
)
def test_a_silly_setting_is_refused_by_name_and_value(name, value):
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        TrainConfig(**{name: value})


def test_windows_of_a_very_long_text_lie_within_it():
    """float32 rounds the last of 65 million windows up: one beyond the end."""
    ids = torch.zeros(64_896_073, dtype=torch.uint8)
    model = GPT(GPTConfig(vocab_size=2, block_size=1, n_layer=1, n_head=1, n_embd=4))
    assert evaluate(model, ids, 1, 2) == pytest.approx(evaluate(model, ids[:9]), abs=1e-6)


def test_a_batch_has_no_more_parts_than_sequences():
    with pytest.raises(ValueError, match=r"grad_accum \(9\) cannot exceed batch_size \(8\)"):
        TrainConfig(batch_size=8, grad_accum=9)


def test_a_text_shorter_than_a_context_is_refused_before_the_first_step():
    with pytest.raises(TextError, match=r"too short for a context of 16.*needs 17.*Give a text"):
        small_run((torch.zeros(100, dtype=int), torch.zeros(16, dtype=int)))


# --- the schedule ---


@settings(deadline=None, max_examples=6)
@given(st.integers(2, 30), st.integers(8, 80), st.sampled_from([0.0, 1e-4]))
def test_the_schedule_is_that_of_pytorch_s_own_schedulers(warmup, max_steps, min_lr):
    config = TrainConfig(
        max_steps=max_steps, warmup_steps=warmup, learning_rate=1e-3, min_lr=min_lr
    )
    warmup = min(warmup, max_steps // 4)  # a short run warms up shortly
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=max(1, warmup - 1))
    fall = CosineAnnealingLR(optimizer, T_max=max_steps - warmup, eta_min=min_lr)
    schedule = SequentialLR(optimizer, [rise, fall], milestones=[warmup])
    for i in range(max_steps + 1):
        assert lr_at(i, config) == pytest.approx(schedule.get_last_lr()[0], rel=1e-6, abs=1e-12)
        optimizer.step()
        schedule.step()


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(1, 2000))
def test_the_rate_rises_to_its_highest_and_falls_to_its_lowest(warmup, max_steps):
    config = TrainConfig(max_steps=max_steps, warmup_steps=warmup)
    rates = [lr_at(step, config) for step in range(max_steps + 1)]
    top = min(warmup, max_steps // 4)
    assert rates[top] == max(rates) == config.learning_rate
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] > 0  # no step is wasted
    assert rates[-1] == pytest.approx(config.min_lr)
    assert lr_at(max_steps + 1000, config) == pytest.approx(config.min_lr)


# --- the optimiser ---


@pytest.mark.parametrize("bias", [True, False])
def test_every_parameter_is_in_one_group_and_only_matrices_decay(bias):
    model = GPT(replace(SHAPE, bias=bias))
    decayed, free = make_optimizer(model, TrainConfig(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    of = {id(p): name for name, p in model.named_parameters()}
    names = [of[id(p)] for p in decayed["params"] + free["params"]]
    assert sorted(names) == sorted(of.values())  # each once, the tied matrix too
    for p in decayed["params"]:
        assert of[id(p)].endswith(
            ("wte.weight", "wpe.weight", "c_attn.weight", "c_proj.weight", "c_fc.weight")
        )
    for p in free["params"]:
        assert of[id(p)].endswith("bias") or "ln_" in of[id(p)]


def by_hand(model, config, steps, some):
    """The same training in the plainest PyTorch: no fused kernels, no parts, no callbacks."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors}],
        weight_decay=0.0,
        betas=(config.beta1, config.beta2),
        foreach=False,
        fused=False,
    )
    draw = BatchSampler(some[0], model.config.block_size, config.batch_size, config.seed)
    model.train()
    for i in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(i, config)
        x, y = draw()
        optimizer.zero_grad()
        logits, _ = model(x)
        F.cross_entropy(logits.transpose(1, 2), y).backward()
        length = math.sqrt(sum(p.grad.pow(2).sum().item() for p in model.parameters()))
        for p in model.parameters():
            p.grad *= min(1.0, config.grad_clip / (length + 1e-6))
        optimizer.step()
    return model


def test_training_is_what_one_would_write_by_hand(some):
    run = small_run(some, grad_clip=0.5, weight_decay=0.3, learning_rate=1e-2)
    model = copy.deepcopy(run.model)
    torch.manual_seed(1)  # dropout draws the same in both
    train(run)
    torch.manual_seed(1)
    by_hand(model, run.config, 6, some)
    torch.testing.assert_close(weights(run.model), weights(model), rtol=1e-4, atol=2e-5)


def test_a_gradient_is_clipped_to_the_length_that_is_let_through(some):
    run = small_run(some, max_steps=1, grad_clip=1e-3, learning_rate=0.5, warmup_steps=0)
    run.optimizer = torch.optim.SGD(run.model.parameters())  # it moves as far as the gradient says
    before = weights(run.model)
    train(run)
    assert run.grad_norm > 1e-2  # what is reported is the length before clipping
    assert (weights(run.model) - before).norm().item() == pytest.approx(0.5 * 1e-3, rel=1e-2)


# --- batches in parts ---


def test_a_cpu_computes_a_large_batch_in_parts_and_a_gpu_at_once():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    shape = GPTConfig()  # the workshop's
    assert parts(shape, 64, gpu) == 1
    n = parts(shape, 64, cpu)
    assert n > 1 and 64 % n == 0
    assert parts(shape, 128, cpu) == 2 * n  # a part stays as large as it was
    assert parts(GPTConfig(n_embd=128, n_head=4, block_size=64), 12, cpu) == 1
    assert parts(shape, 1, cpu) == 1  # a sequence is never cut
    huge = replace(shape, block_size=2**15)
    assert parts(huge, 3, cpu) <= 3


def test_the_number_of_parts_is_the_run_s_own_where_it_is_given(some):
    assert small_run(some, batch_size=6, grad_accum=3).config.grad_accum == 3
    assert small_run(some, batch_size=6).config.grad_accum == 1


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_a_batch_in_parts_has_the_gradients_of_the_whole_batch(some, n):
    run = small_run(some, shape=replace(SHAPE, dropout=0.0), batch_size=5, grad_accum=n)
    x, y = run.sampler()
    whole = run.model(x, y)[1]
    wanted = torch.autograd.grad(whole, list(run.model.parameters()))
    run.sampler.generator.manual_seed(run.config.seed)  # the same batch again
    got = []
    run.optimizer.step = lambda: got.extend(p.grad.clone() for p in run.model.parameters())
    run.config.grad_clip = 1e9
    step(run)
    assert run.loss.item() == pytest.approx(whole.item(), rel=1e-5)
    for gradient, right in zip(got, wanted, strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-4, atol=1e-6)


class HungryGPT(GPT):
    """Runs out of memory in training, for real, with more sequences at once than `bears`."""

    bears = 1

    def forward(self, idx, targets=None, caches=None):
        if self.training and len(idx) > self.bears:
            torch.empty(2**60)
        return super().forward(idx, targets, caches)


class HungryOnGPU(GPT):
    """The same in the words of a GPU, and not before the second part of a batch."""

    bears, eaten = 1, 0

    def forward(self, idx, targets=None, caches=None):
        if self.training and len(idx) > self.bears:
            self.eaten += 1
        if self.training and len(idx) > self.bears and self.eaten > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")
        return super().forward(idx, targets, caches)


@pytest.mark.parametrize("kind", [HungryGPT, HungryOnGPU])
def test_where_memory_runs_out_the_parts_shrink_and_the_result_stays(some, kind, capsys):
    shape = replace(SHAPE, dropout=0.0)
    plain = train(small_run(some, shape=shape, batch_size=6))
    hungry = train(small_run(some, kind, shape, batch_size=6, grad_accum=2))
    assert hungry.config.grad_accum == 6
    assert "Not enough memory: computing each batch in 6 parts" in capsys.readouterr().out
    torch.testing.assert_close(weights(hungry.model), weights(plain.model), rtol=1e-3, atol=1e-5)


def test_where_not_even_one_sequence_fits_the_error_says_so(some):
    run = small_run(some, HungryOnGPU)
    run.model.bears = 0
    with pytest.raises(
        OutOfMemory, match="even with one sequence at a time: take a smaller"
    ) as said:
        train(run)
    assert isinstance(said.value.__cause__, torch.OutOfMemoryError)


def test_other_errors_are_no_lack_of_memory(some):
    class Broken(GPT):
        def forward(self, idx, targets=None, caches=None):
            if self.training:
                raise RuntimeError("expected a matrix")
            return super().forward(idx, targets, caches)

    run = small_run(some, Broken)
    with pytest.raises(RuntimeError, match="expected a matrix"):
        train(run)
    assert run.config.grad_accum == 1
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("could not create a primitive"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
    ids=str,
)
@given(rows=st.integers(1, 20), bears=st.integers(1, 20))
def test_without_gradients_too_fewer_are_computed_at_once(error, rows, bears):
    def hungry(some):
        if len(some) > bears:
            raise error
        return [10 * i for i in some]

    def model(x, y):
        return None, torch.tensor(hungry(x.tolist()), dtype=torch.double).mean()

    assert in_halves(hungry, range(rows)) == [10 * i for i in range(rows)]
    x = torch.arange(rows)
    assert loss_of(model, x, x).item() == pytest.approx(10 * x.double().mean().item())
    bears = 0
    for call in (lambda: in_halves(hungry, range(rows)), lambda: loss_of(model, x, x)):
        with pytest.raises(type(error)) as said:
            call()
        assert is_out_of_memory(said.value)


# --- the evaluation ---


class Echo(torch.nn.Module):
    """Its "loss" is the mean of the targets: so one sees which tokens were counted."""

    config = SHAPE

    def forward(self, idx, targets):
        assert torch.equal(idx[:, 1:], targets[:, :-1])  # targets come one token later
        return None, targets.double().mean()


@settings(deadline=None)
@given(st.integers(17, 200), st.integers(1, 5))
def test_every_token_but_the_first_is_counted_once(length, batch_size):
    ids = torch.randint(
        SHAPE.vocab_size, (length,), generator=torch.Generator().manual_seed(length)
    )
    mean = evaluate(Echo(), ids, batch_size=batch_size)
    assert mean == pytest.approx(ids[1:].double().mean().item())


def test_the_evaluation_is_that_of_a_plain_loop_over_tokens(tiny, some):
    ids = some[1][:100]  # six windows of 16 and a shorter one
    losses = []
    for begin in range(0, 99, 16):
        context = ids[begin : min(begin + 16, 99)]
        for i in range(len(context)):
            logits, _ = tiny(context[None, : i + 1])  # one token after another
            losses.append(-logits[0, -1].log_softmax(0)[ids[begin + i + 1]].item())
    assert len(losses) == 99
    assert evaluate(tiny, ids) == pytest.approx(sum(losses) / 99, rel=1e-5)


def test_a_quick_estimate_is_near_the_whole_and_always_the_same(tiny, ids):
    whole = evaluate(tiny, ids[1][:50_000])
    quick = evaluate(tiny, ids[1][:50_000], n_batches=4)
    assert quick != whole and quick == pytest.approx(whole, abs=0.02)
    assert quick == evaluate(tiny, ids[1][:50_000], n_batches=4)
    assert whole == evaluate(tiny, ids[1][:50_000], n_batches=10**6)  # more than there is


def test_an_evaluation_leaves_no_trace(some):
    run = small_run(some)  # with dropout
    dice = torch.get_rng_state()
    losses = []
    for training in (True, False):
        run.model.train(training)
        losses.append(evaluate(run.model, some[1][:1000]))
        assert run.model.training is training
    assert losses[0] == losses[1]  # dropout was off
    assert torch.equal(torch.get_rng_state(), dice)
    assert all(p.grad is None for p in run.model.parameters())


@pytest.mark.parametrize("length, n_batches", [(16, None), (0, None), (100, 0), (100, -1)])
def test_nothing_to_evaluate_is_an_error_with_the_numbers(tiny, length, n_batches):
    with pytest.raises(ValueError, match=f"{length} tokens, context 16, n_batches={n_batches}"):
        evaluate(tiny, torch.zeros(length, dtype=int), n_batches)


# --- the loop ---


def test_it_learns_more_than_the_frequencies_of_letters(ids):
    preset = get_preset("smoke")
    torch.manual_seed(0)
    model = GPT(replace(preset.model, vocab_size=65))
    run = train(new_run(model, *ids, replace(preset.train, max_steps=100), CPU))
    frequencies = ngram_loss(*ids, vocab_size=65, k=0)
    assert run.stopped == "finished" and run.step == 100 and run.tokens == 100 * 8 * 32
    assert evaluate(model, ids[1]) < frequencies - 0.1


def test_evaluations_and_callbacks_do_not_disturb_the_training(some, tokenizer):
    alone = train(small_run(some))
    watched = small_run(some, eval_interval=1)
    with open(os.devnull, "w") as nowhere:
        train(watched, [WriteSample(tokenizer, max_new_tokens=9), Progress([], nowhere)])
    assert torch.equal(weights(alone.model), weights(watched.model))
    assert [p.step for p in alone.history] == [0, 6]
    assert [p.step for p in watched.history] == [0, 1, 2, 3, 4, 5, 6]
    assert alone.history[-1].train_loss == watched.history[-1].train_loss
    assert watched.history[-1].sample.startswith("\n") and alone.history[-1].sample is None


def test_the_start_is_evaluated_often_and_then_every_interval(some):
    run = train(small_run(some, max_steps=320, batch_size=1, eval_interval=90))
    assert [p.step for p in run.history] == [0, 10, 20, 50, 90, 100, 150, 180, 250, 270, 320]


def test_the_evaluations_of_the_start_change_no_weight(some, monkeypatch):
    watched = train(small_run(some, max_steps=60))
    monkeypatch.setattr(loop, "START", ())
    alone = train(small_run(some, max_steps=60))
    assert [p.step for p in watched.history] == [0, 10, 20, 50, 60]
    assert [p.step for p in alone.history] == [0, 60]
    assert torch.equal(weights(alone.model), weights(watched.model))
    assert alone.history[-1].val_loss == watched.history[-1].val_loss


def test_callbacks_are_called_at_the_right_times(some):
    calls = []

    class Note(Callback):
        def on_start(self, run):
            calls.append("start")

        def on_step(self, run):
            calls.append(run.step)

        def on_eval(self, run):
            calls.append(f"eval {run.history[-1].step}")

        def on_end(self, run):
            calls.append(run.stopped)

    train(small_run(some, max_steps=3, eval_interval=2), [Callback(), Note()])
    assert calls == ["start", "eval 0", 1, 2, "eval 2", 3, "eval 3", "finished"]


def test_no_steps_are_an_evaluation_only(some):
    run = small_run(some, max_steps=0)
    before = weights(run.model)
    train(run)
    assert [p.step for p in run.history] == [0] and run.stopped == "finished"
    assert torch.equal(weights(run.model), before)


def test_a_run_keeps_its_own_settings(some):
    mine = TrainConfig(max_steps=2, batch_size=2, eval_batches=1)
    run = new_run(GPT(SHAPE), *some, mine, CPU)
    run.config.max_steps = 1
    assert mine.max_steps == 2
    train(run)
    assert run.step == 1


def test_the_device_is_chosen_where_none_is_given(some):
    run = new_run(GPT(SHAPE), *some, TrainConfig(max_steps=1, batch_size=2, eval_batches=1))
    assert run.train_ids.device.type == run.compute.device.type
    assert train(run).stopped == "finished"


def test_a_loss_that_is_no_number_does_not_crash_and_is_never_the_best(some, tokenizer, capsys):
    run = small_run(some, eval_interval=2, learning_rate=1e30, warmup_steps=0)
    train(run, [WriteSample(tokenizer), Progress(rungs=[])])
    assert math.isnan(run.history[-1].val_loss)
    assert run.best is run.history[0] and math.isfinite(run.best.val_loss)
    assert run.history[0].sample and run.history[-1].sample is None
    assert "diverged" in capsys.readouterr().out


def test_a_run_that_diverged_stops_at_the_next_evaluation(some):
    run = small_run(some, max_steps=1000, eval_interval=3, learning_rate=1e30, warmup_steps=0)
    train(run)
    assert run.stopped == "diverged" and run.step == 3


def test_time_that_is_over_ends_the_run_with_an_evaluation(some):
    run = train(small_run(some, max_seconds=0.0))
    assert run.stopped == "out of time" and [p.step for p in run.history] == [0]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_bar_moves_and_in_a_file_there_are_only_lines(some):
    terminal, file = Terminal(), io.StringIO()
    for place in (terminal, file):
        train(small_run(some, max_steps=20, eval_interval=10), [Progress([], place)])
        lines = [line for line in place.getvalue().splitlines() if line.startswith("step ")]
        assert [line[5:16] for line in lines] == ["    0/20  t", "   10/20  t", "   20/20  t"]
    assert "20/20" in terminal.getvalue() and "loss=4." in terminal.getvalue()
    assert "\r" in terminal.getvalue() and "\r" not in file.getvalue()


# --- Ctrl-C ---


def interrupt_at(step, times=1):
    def press(run):
        if run.step == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)  # what Ctrl-C sends

    return Do(press)


def test_ctrl_c_ends_after_the_step_and_training_can_go_on_as_if_nothing_had_been(some, capsys):
    through = train(small_run(some))
    stopped = train(small_run(some), [interrupt_at(3)])
    assert (stopped.stopped, stopped.step) == ("interrupted", 3)
    assert "Stopping after this step" in capsys.readouterr().out
    train(stopped)
    assert (stopped.stopped, stopped.step) == ("finished", 6)
    assert torch.equal(weights(stopped.model), weights(through.model))
    assert [p.step for p in stopped.history] == [p.step for p in through.history] == [0, 6]


def test_more_steps_can_be_trained_by_calling_train_again(some):
    run = train(small_run(some))
    run.config.max_steps = 9
    train(run)
    assert run.step == 9 and [p.step for p in run.history] == [0, 6, 9]


def test_a_second_ctrl_c_stops_at_once_and_the_usual_handler_comes_back(some):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(small_run(some), [interrupt_at(3, times=2)])
    assert signal.getsignal(signal.SIGINT) is before


def test_training_in_a_thread_works_and_leaves_ctrl_c_alone(some):
    before, run = signal.getsignal(signal.SIGINT), small_run(some)
    thread = threading.Thread(target=train, args=(run,))
    thread.start()
    thread.join()
    assert run.stopped == "finished" and signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")
def test_ctrl_c_while_the_output_is_stuck_still_ends_in_peace():
    # A reader that does not read, like a terminal after Ctrl-S: the program hangs in a print.
    talker = (
        "import sys\n"
        "from nanogpt_lib.machine.stopsign import StopSign\n"
        "with StopSign() as stop:\n"
        "    while not stop:\n"
        "        print('x' * 1000, flush=True)\n"
        "        print('.', end='', flush=True, file=sys.stderr)\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "-c", talker], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    os.read(process.stderr.fileno(), 1)  # it has begun
    while select.select([process.stderr], [], [], 1.0)[0]:  # until it makes no more progress
        os.read(process.stderr.fileno(), 1000)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()


def test_a_stop_sign_is_false_until_the_signal():
    with StopSign() as stop:
        assert not stop
        signal.raise_signal(signal.SIGINT)
        assert stop


# --- torch.compile ---


def compile_with(monkeypatch, backend):
    real = torch.compile
    monkeypatch.setattr(torch, "compile", functools.partial(real, backend=backend))


def test_a_compiled_model_trains_to_the_same_weights(some, monkeypatch, capsys):
    compile_with(monkeypatch, "eager")  # PyTorch's tracing without minutes of C++ compiling
    shallow = replace(SHAPE, n_layer=1)
    plain = train(small_run(some, shape=shallow))
    compiled = train(small_run(some, shape=shallow, compile=True))
    assert "torch.compile" not in capsys.readouterr().out  # it worked
    torch.testing.assert_close(weights(compiled.model), weights(plain.model), rtol=1e-4, atol=1e-6)
    assert set(compiled.model.state_dict()) == set(plain.model.state_dict())  # no _orig_mod


def test_where_torch_compile_fails_training_goes_on_and_says_so_in_a_line(
    some, monkeypatch, capsys
):
    compile_with(monkeypatch, "no-such-compiler")
    plain = train(small_run(some))
    compiled = train(small_run(some, compile=True))
    said = capsys.readouterr().out.splitlines()
    assert said == ["torch.compile does not work here, going on without it: InvalidBackend"]
    assert torch.equal(weights(compiled.model), weights(plain.model))


@pytest.mark.soak  # its C++ compiling takes a minute or more
def test_the_real_torch_compile_trains_to_the_same_weights_or_says_that_it_cannot(some, capsys):
    plain = train(small_run(some, shape=replace(SHAPE, dropout=0.0)))
    compiled = train(small_run(some, shape=replace(SHAPE, dropout=0.0), compile=True))
    said = capsys.readouterr().out
    assert not said or said.startswith("torch.compile does not work here, going on without")
    torch.testing.assert_close(weights(compiled.model), weights(plain.model), rtol=1e-3, atol=1e-5)
