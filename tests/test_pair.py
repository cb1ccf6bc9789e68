"""Two threads for one batch: the same gradients, the same each time, nothing left behind."""

from dataclasses import replace

import pytest
import torch
from test_training import SHAPE, HungryGPT, by_hand, new_run, weights

from nanogpt_lib.machine.device import Compute
from nanogpt_lib.machine.pair import Pair, two_pay
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.callbacks import Callback
from nanogpt_lib.training import backward, train

DRY = replace(SHAPE, dropout=0.0)


@pytest.fixture(autouse=True)
def two_cores():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


class Watched(GPT):
    """Keeps how many sequences each forward pass got in training, and how many cores it had."""

    def forward(self, idx, targets=None, caches=None):
        if self.training:
            self.__dict__.setdefault("seen", []).append((len(idx), torch.get_num_threads()))
        return super().forward(idx, targets, caches)


@pytest.mark.parametrize("batch_size, parts", [(1, 1), (2, 1), (5, 1), (5, 2), (6, 3), (5, 5)])
def test_both_halves_together_have_the_gradients_of_the_whole(some, batch_size, parts):
    run = new_run(some, shape=DRY, batch_size=batch_size, grad_accum=parts)
    x, y = run.sampler()
    whole = run.model(x, y)[1]
    wanted = torch.autograd.grad(whole, list(run.model.parameters()))
    with Pair() as pair:
        loss = backward(run, run.model, x, y, pair)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    for p, gradient in zip(run.model.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-4, atol=1e-6)


def test_training_without_dropout_is_shared_and_is_what_one_would_write_by_hand(some):
    run = new_run(some, Watched, DRY, batch_size=5)
    plain = GPT(DRY)
    plain.load_state_dict(run.model.state_dict())
    train(run)
    assert sorted(set(run.model.seen)) == [(2, 1), (3, 1)]
    by_hand(plain, run.config, 6, some)
    torch.testing.assert_close(weights(run.model), weights(plain), rtol=1e-4, atol=2e-5)


def test_a_shared_training_repeats_itself_bit_for_bit(some):
    first, second = (train(new_run(some, shape=DRY, batch_size=6)) for _ in range(2))
    assert torch.equal(weights(first.model), weights(second.model))
    assert first.loss == second.loss and first.grad_norm == second.grad_norm


@pytest.mark.parametrize("shape", [SHAPE, DRY], ids=["one thread", "two"])
def test_weights_that_have_no_part_in_the_loss_stay_as_they_are(some, shape):
    run = new_run(some, shape=shape)
    block = run.model.transformer.h[0]
    block.forward = lambda x, cache=None: x + block.attn(block.ln_1(x), cache)  # its MLP taken out
    idle, busy = block.mlp.c_fc.weight.clone(), block.attn.c_attn.weight.clone()
    train(run)
    assert torch.equal(block.mlp.c_fc.weight, idle)
    assert not torch.equal(block.attn.c_attn.weight, busy)


def test_with_dropout_one_thread_does_it_all(some):
    run = train(new_run(some, Watched, SHAPE))
    assert set(run.model.seen) == {(4, 2)}


@pytest.mark.parametrize("cores, device, compile", [(1, "cpu", 0), (2, "cuda", 0), (2, "cpu", 1)])
def test_where_two_do_not_pay(some, cores, device, compile):
    run = new_run(some, shape=DRY, compile=bool(compile))
    run.compute = Compute(torch.device(device), torch.float32, "")
    torch.set_num_threads(cores)
    assert not two_pay(run)


def test_evaluations_and_what_follows_them_have_all_cores(some):
    seen = []

    class Look(Callback):
        def on_eval(self, run):
            seen.append(torch.get_num_threads())

    train(new_run(some, shape=DRY, eval_interval=2), [Look()])
    assert seen == [2, 2, 2, 2]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("cores, half", [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_each_thread_has_half_of_the_cores(cores, half):
    torch.set_num_threads(cores)
    x = torch.arange(4)
    with Pair() as pair:
        seen = pair(lambda x, y: (x.tolist(), torch.get_num_threads()), x, x)
        with pair.apart():
            assert torch.get_num_threads() == cores
        assert torch.get_num_threads() == half
    assert seen == [([0, 1], half), ([2, 3], half)]
    assert torch.get_num_threads() == cores


@pytest.mark.parametrize("whose", [0, 1])
def test_an_error_in_either_thread_arrives_and_the_cores_come_back(whose):
    def work(x, y):
        if x[0] == 2 * whose:
            raise RuntimeError("expected a matrix")

    with pytest.raises(RuntimeError, match="expected a matrix"), Pair() as pair:
        pair(work, torch.arange(4), torch.arange(4))
    assert torch.get_num_threads() == 2


def test_an_error_in_an_evaluation_does_not_leave_the_caller_with_half(some):
    class Fail(Callback):
        def on_eval(self, run):
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        train(new_run(some, shape=DRY), [Fail()])
    assert torch.get_num_threads() == 2


def test_memory_that_runs_out_in_a_half_is_met_with_smaller_parts(some, capsys):
    plain = train(new_run(some, shape=DRY, batch_size=6))
    hungry = train(new_run(some, HungryGPT, DRY, batch_size=6))  # bears one sequence at once
    assert hungry.config.grad_accum == 4  # parts of two, which two threads share
    assert "Not enough memory" in capsys.readouterr().out
    torch.testing.assert_close(weights(hungry.model), weights(plain.model), rtol=1e-3, atol=1e-5)
