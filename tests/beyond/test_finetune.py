"""Fine-tuning: new symbols, the loss on answers only, and a loop that learns them."""

import random

import pytest
import torch

from nanogpt_lib import BatchSampler, CharTokenizer, TrainConfig
from nanogpt_lib.beyond.finetune import IGNORED, extend, mixed, pair_batch, tune
from nanogpt_lib.runs.template import MARKS

LETTERS = CharTokenizer("abcdefgh=")


def test_a_model_with_more_symbols_scores_the_old_ones_as_before(pocket, ids):
    model, tokenizer = pocket
    larger, more = extend(model, tokenizer)
    x = ids[1][None, :40]
    with torch.no_grad():
        assert torch.equal(larger(x)[0][..., : tokenizer.vocab_size], model(x)[0])
    assert more.symbols == [*tokenizer.symbols, "<|user|>", "<|assistant|>", "<|end|>"]
    assert larger.num_params() == model.num_params() + 3 * model.config.n_embd


def test_extending_changes_nothing_in_the_old_model(pocket):
    model, tokenizer = pocket
    larger, _ = extend(model, tokenizer)
    with torch.no_grad():
        larger.transformer.wte.weight.zero_()
    assert model.transformer.wte.weight.abs().sum() > 0
    assert larger.lm_head.weight is larger.transformer.wte.weight


def test_marks_that_are_known_are_not_added_again(pocket):
    once = extend(*pocket)
    twice = extend(*once, [*MARKS, "<|tool|>"])
    assert twice[1].symbols == [*once[1].symbols, "<|tool|>"]
    assert twice[0].config.vocab_size == once[0].config.vocab_size + 1


def test_the_first_target_is_the_answers_first_token():
    x, y = pair_batch(LETTERS, [("abc=", "de")], block_size=8)
    assert LETTERS.decode(x[0]) == "abc=d"
    assert y.tolist() == [[IGNORED] * 3 + LETTERS.encode("de")]


def test_what_fills_up_a_shorter_pair_is_not_learnt_and_changes_no_loss(tiny):
    letters = CharTokenizer("".join(map(chr, range(97, 97 + 65))))
    long, short = ("abcd", "efgh"), ("ab", "c")
    both = tiny(*pair_batch(letters, [long, short], 16))[1]
    alone = [tiny(*pair_batch(letters, [pair], 16))[1] for pair in (long, short)]
    assert both.item() == pytest.approx((4 * alone[0].item() + alone[1].item()) / 5, abs=1e-5)


def test_a_pair_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"'abcd=efgh' has 9 tokens; a context of 4 takes 5"):
        pair_batch(LETTERS, [("abcd=", "efgh")], block_size=4)


def test_tuning_teaches_the_answer_and_not_the_prompt(tiny):
    letters = CharTokenizer("".join(map(chr, range(97, 97 + 65))))
    rng = random.Random(1)

    def draw():
        prompts = ["".join(rng.choices("abcdefgh", k=5)) for _ in range(16)]
        return pair_batch(letters, [(prompt, "xyz") for prompt in prompts], 16)

    seen = []
    config = TrainConfig(max_steps=60, learning_rate=1e-2, warmup_steps=5, eval_interval=20)
    losses = tune(tiny, draw, config, seen.append)
    assert len(losses) == 60 and losses[-1] < 0.1 < losses[0]
    assert seen == [20, 40, 60]
    assert not tiny.training
    x, _ = draw()
    prompt_loss = tiny(x[:, :4], x[:, 1:5])[1]
    assert prompt_loss > 2  # guessing among 8 letters costs ln 8 = 2.08


def test_a_mixed_batch_holds_both_and_all_targets(ids):
    pairs = pair_batch(LETTERS, [("abc=", "de")], 8)
    x, y = mixed(lambda: pairs, BatchSampler(ids[0], 16, 3))()
    assert x.shape == y.shape == (4, 16)
    assert (y[0] != IGNORED).sum() == 2
    assert (y[1:] != IGNORED).all()
