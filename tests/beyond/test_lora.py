"""LoRA: nothing changes at first, little learns, and it can be merged."""

import pytest
import torch

from experiments.__main__ import main as experiments
from nanogpt_lib.beyond.finetune import extend, tune
from nanogpt_lib.beyond.lora import LoRA, add_lora, merged, trainable
from nanogpt_lib.runs.figures import read_record
from nanogpt_lib.training import TrainConfig


@pytest.fixture
def pair(pocket):
    model, _ = extend(*pocket)
    return model, add_lora(model, 2, new_rows=3), torch.arange(60).view(2, 30)


def test_at_first_nothing_changes(pair):
    model, thin, x = pair
    assert torch.equal(model(x)[0], thin(x)[0])


def test_only_the_thin_matrices_and_the_new_rows_learn(pair):
    model, thin, x = pair
    config = TrainConfig(3, learning_rate=1e-2, weight_decay=0.0)
    tune(thin, lambda: (x, x.flip(1)), config)
    old = model.state_dict()
    for name, value in merged(thin).state_dict().items():
        frozen = "wpe" in name or "ln_" in name or name.endswith("bias")
        assert torch.equal(value, old[name]) == frozen or "wte" in name or "lm_head" in name
    table = thin.transformer.wte.weight
    assert torch.equal(table[:-3], model.transformer.wte.weight[:-3])
    assert not torch.equal(table[-3:], model.transformer.wte.weight[-3:])


def test_what_learns_is_counted(pair):
    model, thin, _ = pair
    C, layers = model.config.n_embd, model.config.n_layer
    a_block = 2 * ((C + 3 * C) + (C + C) + (C + 4 * C) + (4 * C + C))
    assert trainable(thin, 3) == layers * a_block + 3 * C
    assert trainable(model) == model.num_params()


def test_merged_it_computes_the_same_as_a_plain_gpt(pair):
    _, thin, x = pair
    for module in thin.modules():
        if isinstance(module, LoRA):
            torch.nn.init.normal_(module.B, std=0.1)
    plain = merged(thin)
    assert not any(isinstance(module, LoRA) for module in plain.modules())
    assert plain.lm_head.weight is plain.transformer.wte.weight
    torch.testing.assert_close(plain(x)[0], thin(x)[0], atol=1e-4, rtol=1e-4)


def test_a_rank_that_saves_nothing_is_refused(pocket):
    for rank, told in ((0, "from 1 up"), (129, "at most n_embd")):
        with pytest.raises(ValueError, match=told):
            add_lora(pocket[0], rank)


@pytest.mark.slow
def test_the_lora_command_writes_a_record_that_can_be_read(tmp_path, capsys):
    words = "--seeds 1 --steps 1 --tests 2 --batches 1 --out"
    experiments(["lora", *words.split(), str(tmp_path)])
    rows = read_record("lora", tmp_path)
    assert [row["rank"] for row in rows] == [None, 2, 8, 32]
    assert rows[0]["trainable"] == rows[0]["of"] > 3 * rows[3]["trainable"]
    assert capsys.readouterr().out.count("seed 1") == 4
