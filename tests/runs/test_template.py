"""Marks that no text can type, and a model that is talked to: saved, loaded, in a box."""

import io
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanogpt_lib import CharTokenizer, cli, load_model, save_model
from nanogpt_lib.beyond.finetune import extend, pair_batch, tune
from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.room import chatbox
from nanogpt_lib.room.web.page import rules
from nanogpt_lib.runs import catalogue
from nanogpt_lib.runs.template import (
    ASSISTANT,
    END,
    MARKS,
    USER,
    MarkedTokenizer,
    is_chat,
    prompt_of,
    reply,
)
from nanogpt_lib.training import TrainConfig

# A French text in which the old marks are ordinary letters.
FRENCH = "« Où est-il ? » demanda-t-elle. ¶ <|end|> <|user|> café\n"
NAMES = [mark.name for mark in MARKS]
TEXTS = st.text(alphabet=FRENCH) | st.lists(st.sampled_from([*NAMES, "«", "¶"])).map("".join)
BASES = [CharTokenizer.train(FRENCH), BPETokenizer.train(FRENCH * 3, 300)]


@pytest.mark.parametrize("base", BASES, ids=["characters", "pieces"])
@given(text=TEXTS)
def test_no_text_gives_the_id_of_a_mark(base, text):
    tokenizer = MarkedTokenizer(base, MARKS)
    ids = tokenizer.encode([USER, text, ASSISTANT])
    assert ids[1:-1] == base.encode(text)
    assert max(ids[1:-1], default=0) < base.vocab_size <= min(ids[0], ids[-1])
    assert tokenizer.decode(ids) == f"<|user|>{text}<|assistant|>"
    assert "".join(tokenizer.decode_stream([i] for i in ids)) == tokenizer.decode(ids)


@pytest.mark.parametrize("base", BASES, ids=["characters", "pieces"])
def test_it_comes_back_from_plain_data_and_shows_its_marks_on_a_page(base):
    tokenizer = MarkedTokenizer(base, MARKS)
    again = MarkedTokenizer.from_dict(tokenizer.to_dict())
    assert again.symbols == tokenizer.symbols and again.marks == MARKS
    assert rules(tokenizer)["marks"] == NAMES
    assert is_chat(again) and not is_chat(base) and not is_chat(MarkedTokenizer(base, [END]))


def test_half_of_a_character_ends_at_a_mark():
    tokenizer = MarkedTokenizer(BPETokenizer(), MARKS)
    assert tokenizer.decode([0xC3, 258, 0xC3, 0xA9]) == "\ufffd<|end|>é"


def test_a_mark_that_is_missing_or_there_twice_is_named():
    with pytest.raises(ValueError, match=r"has no mark <\|end\|>, only <\|user\|>"):
        MarkedTokenizer(BASES[0], [USER]).encode([END])
    with pytest.raises(ValueError, match="a name of its own"):
        MarkedTokenizer(BASES[0], [USER, USER])


@pytest.fixture(scope="module")
def tuned():
    """A model that answers every request with "café"."""
    torch.manual_seed(0)
    base = CharTokenizer.train(FRENCH)
    model = GPT(GPTConfig(base.vocab_size, 32, n_layer=1, n_head=2, n_embd=32))
    model, tokenizer = extend(model, base)
    pairs = [(prompt_of(request), ["café", END]) for request in ("Où ?", "est", "<|end|>", "« »")]
    config = TrainConfig(80, learning_rate=1e-2, min_lr=1e-3, warmup_steps=5)
    tune(model, lambda: pair_batch(tokenizer, pairs, 32), config)
    return model, tokenizer


@pytest.fixture
def kept_chat(tuned, tmp_path, monkeypatch):
    monkeypatch.setenv("NANOGPT_RUNS", str(tmp_path / "runs"))
    return save_model(*tuned, "mine", {"tuned": {"steps": 80}})


def test_it_answers_up_to_its_end_whatever_is_typed(tuned):
    for request in ("Où ?", "<|end|>", "<|assistant|>"):
        assert "".join(reply(*tuned, request, greedy=True)) == "café"


@pytest.mark.parametrize(
    ("request_", "told"),
    [(" ", "request is empty"), ("e" * 23, "no room for an answer"), ("x", "never seen 'x'")],
)
def test_a_request_that_cannot_be_answered_is_explained(tuned, request_, told):
    with pytest.raises(ValueError, match=told):
        "".join(reply(*tuned, request_))


def test_a_model_that_was_not_tuned_says_so(tuned):
    with pytest.raises(ValueError, match="was not tuned on requests"):
        "".join(reply(tuned[0], BASES[0], "est"))


def test_saved_and_loaded_it_is_the_same(kept_chat, tuned, tmp_path):
    assert kept_chat == tmp_path / "runs" / "mine"
    model, tokenizer, data = load_model("mine")
    assert tokenizer.symbols == tuned[1].symbols and data["about"] == {"tuned": {"steps": 80}}
    for name, weight in model.named_parameters():
        assert torch.equal(weight, dict(tuned[0].named_parameters())[name])
    assert catalogue.newest_tuned() == kept_chat
    save_model(*tuned, "mine")  # a cell that is run again


def test_what_would_be_lost_or_wrong_is_not_saved(kept_chat, tuned, tmp_path):
    run = tmp_path / "runs" / "training"
    run.mkdir()
    (run / "run.jsonl").write_text("")
    with pytest.raises(ValueError, match="folder of a training run"):
        save_model(*tuned, "training")
    with pytest.raises(ValueError, match="do not belong together"):
        save_model(tuned[0], BASES[0], "other")
    broken = GPT(tuned[0].config)
    torch.nn.init.constant_(broken.lm_head.weight, float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        save_model(broken, tuned[1], "other")
    assert [p.name for p in kept_chat.parent.iterdir() if p.name != "training"] == ["mine"]


def test_without_a_tuned_model_the_way_to_one_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NANOGPT_RUNS", str(tmp_path))
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "best.safetensors").write_text("no model")
    assert cli.main(["chat"]) == 2
    assert "there is no tuned model" in capsys.readouterr().err


def test_the_command_answers_line_by_line_and_goes_on_after_an_error(
    kept_chat, monkeypatch, capsys
):
    monkeypatch.setattr("sys.stdin", io.StringIO("Où ?\n\nxyz\nest\n"))
    assert cli.main(["chat", "mine", "--temperature", "0"]) == 0
    out, err = capsys.readouterr()
    assert out == "café\ncafé\n"
    assert "never seen 'x'" in err


@pytest.mark.slow
def test_a_fresh_process_talks_with_it(kept_chat):
    command = [sys.executable, "-m", "nanogpt_lib", "chat", str(kept_chat), "--temperature", "0"]
    done = subprocess.run(
        command, input="Où ?\n", capture_output=True, encoding="utf-8", timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "café\n")


def test_the_box_answers_what_is_typed_and_shows_no_markup(tuned, capsys):
    box = chatbox.chat_box(*tuned, greedy=True)
    assert "café" in capsys.readouterr().out
    box.box.value = "<|end|>"  # Enter
    assert box.turns == [("<|end|>", "café")] and box.box.value == ""
    assert "&lt;|end|&gt;" in box.said.value and "<|" not in box.said.value
    box.box.value = "x"
    assert "never seen" in box.turns[-1][1]
    assert "text/plain" in box._repr_mimebundle_()


def test_without_widgets_the_box_says_how_to_go_on(tuned, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert chatbox.chat_box(*tuned) is None
    assert "pip install ipywidgets" in capsys.readouterr().out
