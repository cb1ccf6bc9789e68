"""Letters against pieces of words: right measures, a fair race, and the records of it."""

import json
import math
from dataclasses import replace

import pytest
import torch

from experiments.__main__ import main as experiments
from nanogpt_lib.beyond import subwords
from nanogpt_lib.beyond.subwords import CONTEXT, SETTINGS, Setting, bits_per_character, prepare
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.plots import pieces
from nanogpt_lib.training import Evaluation

TRIAL = 4e9  # flops; a handful of steps
NAMES = list(SETTINGS)


@pytest.fixture(scope="module", params=[65, 512])
def trial(request):
    return prepare(Setting(request.param, train_chars=50_000, flops=TRIAL))


def test_a_loss_in_nats_a_character_is_bits_by_ln_2():
    assert bits_per_character(math.log(2), 100, 100) == 1.0
    assert bits_per_character(6.3, 1000, 3000) == pytest.approx(2.1 / math.log(2))


def test_the_flops_of_a_token_are_six_for_each_weight_that_multiplies():
    config = GPTConfig(vocab_size=100, block_size=8, n_layer=2, n_head=2, n_embd=16, bias=False)
    model = GPT(config)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "wpe" not in n]
    weights = sum(p.numel() for p in matrices)  # the embedding is there once: it is tied
    attention = 2 * 2 * 8 * 16  # a layer has q k^T and its product with v, 8 places of 16 channels
    assert subwords.flops_per_token(config) == 6 * (weights + attention)


def test_pairs_are_covered_where_training_has_shown_them():
    train_ids, val_ids = torch.tensor([0, 1, 2, 1]), torch.tensor([1, 2, 1, 0, 1])
    assert subwords.pairs_covered(train_ids, val_ids, 3) == 0.75  # 1 0 is new
    assert subwords.pairs_covered(train_ids, train_ids, 3) == 1.0


def test_what_is_said_to_be_equal_is_equal():
    one, other = (prepare(Setting(V, train_chars=50_000, flops=TRIAL)) for V in (65, 512))
    shapes, contexts, flops = [], [], []
    for trial in (one, other):
        size, run = trial.run.model.config, trial.run
        shapes.append(replace(size, vocab_size=1, block_size=1))
        contexts.append(size.block_size * trial.train_chars / len(run.train_ids))
        tokens = run.config.max_steps * run.config.batch_size * size.block_size
        flops.append(subwords.flops_per_token(size) * tokens)
    assert shapes[0] == shapes[1]
    assert contexts == pytest.approx([CONTEXT, CONTEXT], abs=1)
    assert flops == pytest.approx([TRIAL, TRIAL], rel=0.1)  # a whole number of steps
    assert one.run.config.learning_rate == other.run.config.learning_rate
    assert one.run.config.batch_size == other.run.config.batch_size
    assert one.val_chars == other.val_chars


def test_the_vocabulary_is_learnt_from_the_training_text_alone(text):
    trial = prepare(Setting(512, train_chars=50_000, flops=TRIAL))
    assert trial.tokenizer.merges == subwords.BPETokenizer.train(text[:50_000], 512).merges
    assert trial.tokenizer.decode(trial.run.train_ids) == text[:50_000]


def test_the_weights_that_count_are_those_of_the_best_evaluation(trial):
    model, run = trial.run.model, trial.run
    keeper = subwords.KeepBest()
    point = Evaluation(0, 0, 0.0, 0.0, 2.0, 2.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run.history = [point]
    keeper.on_eval(run)
    with torch.no_grad():
        model.lm_head.weight.add_(1.0)
    run.history.append(replace(point, step=1, val_loss=3.0))  # it got worse
    keeper.on_eval(run)
    keeper.on_end(run)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_what_its_setting_is_and_holds_its_result(name):
    setting, kept = SETTINGS[name], subwords.recorded(name)
    about, made = kept.about, kept.result
    size = GPTConfig(**{k: v for k, v in about["model"].items() if k != "n_params"})
    assert size.vocab_size <= setting.vocab_size  # fewer where no pair occurs twice any more
    assert about["command"] == f"python -m experiments subwords {name}"
    assert kept.end["step"] == kept.train_config["max_steps"]
    assert made["flops"] == pytest.approx(setting.flops, rel=0.002)
    assert made["flops"] == kept.history[-1].tokens * subwords.flops_per_token(size)
    n = about["text"]["val_tokens"]
    bits = bits_per_character(made["whole_val_loss"], n - 1, 111_540)
    assert made["bits"] == pytest.approx(bits, rel=1e-4)  # but for the first token's characters
    best = min(point.val_loss for point in kept.history)
    assert made["whole_val_loss"] == pytest.approx(best, abs=0.1)  # that looked at a part


@pytest.mark.slow
def test_the_command_makes_such_a_record(tmp_path, capsys):
    experiments(["subwords", "bpe-512-50kb", "--out", str(tmp_path), "--flops", str(TRIAL)])
    lines = (tmp_path / "bpe-512-50kb.jsonl").read_text(encoding="utf-8").splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert first["text"]["train_tokens"] < 30_000
    assert last["type"] == "result"
    assert f"{last['bits']:.3f} bits a character" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["bpe-512-50kb.jsonl"]


def test_an_unknown_case_is_named(capsys):
    with pytest.raises(SystemExit):
        experiments(["subwords", "bpe-7"])
    assert "there is no case 'bpe-7'; there are characters-1mb, " in capsys.readouterr().err


def test_the_picture_of_pieces_has_a_box_for_each_token_as_wide_as_its_text():
    figure = pieces({"letters": ["a", "b", "$"], "pieces": ["ab", "$"]})
    (axes,) = figure.axes
    widths = [round(box.get_width() + 0.1) for box in axes.patches]
    assert widths == [1, 1, 1, 2, 1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["letters: 3", "pieces: 2"]
    figure.canvas.draw()  # a dollar is a dollar, not mathematics
