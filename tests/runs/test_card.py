"""The model card says what the checkpoint says, and no name in it acts."""

import pytest
import torch
import yaml

from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs import checkpoint
from nanogpt_lib.runs.card import as_code, card
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import TrainConfig, new_run


def snapshot_of(about: dict) -> tuple:
    model = GPT(GPTConfig(vocab_size=3, block_size=8, n_layer=1, n_head=1, n_embd=8))
    ids = torch.zeros(99).long()
    run = new_run(model, ids, ids, TrainConfig(), pick_compute("cpu", "float32"))
    tokenizer = CharTokenizer("abc")
    return model, tokenizer, checkpoint.snapshot(run, tokenizer, about, complete=False)


def test_the_card_of_a_shipped_model_states_what_its_checkpoint_states():
    model, tokenizer, data = checkpoint.load_model("pocket-long")
    words = card(model, tokenizer, data)
    best = min(point["val_loss"] for point in data["history"])
    for told in (f"{model.num_params():,}", "65 characters", "14,000 steps", f"{best:.3f} nats"):
        assert told in words
    assert "`Tiny Shakespeare`, 1,003,854 tokens" in words
    assert "write('ROMEO:')" in words


def test_its_head_is_yaml_that_names_no_licence_for_the_user():
    head = yaml.safe_load(card(*checkpoint.load_model("pocket")).split("---\n")[1])
    assert head["library_name"] == "transformers"
    assert "license" not in head


def test_a_run_that_says_nothing_gets_a_card_all_the_same():
    words = card(*snapshot_of({}))
    assert "`a text without a name`" in words
    assert "| Loss | not measured |" in words
    assert "write('')" in words


@pytest.mark.parametrize(
    "name", ["a`b", "a|b", "a\n# b", "<script>", "![x](http://x)", "\x1b[31mred", "x\u202ey"]
)
def test_no_name_of_a_text_acts(name):
    code = as_code(name)
    assert code[0] == code[-1] == "`"
    assert not set(code[1:-1]) & set("`|\n\x1b\u202e")
    words = card(*snapshot_of({"run": {"text": {"name": name}}}))
    assert f"| Trained on | {code} |\n" in words
