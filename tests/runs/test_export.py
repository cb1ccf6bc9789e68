"""What is exported loads in `transformers`, offline, and computes and writes the same."""

import json
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPT2LMHeadModel, pipeline

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.machine.device import pick_compute
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs import checkpoint
from nanogpt_lib.runs.export import export, tokenizer_rules
from nanogpt_lib.runs.template import ASSISTANT, MARKS, USER, MarkedTokenizer, prompt_of, reply
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import TrainConfig, new_run

pytestmark = pytest.mark.slow

LINE = "First Citizen:\nBefore we proceed  any further, hear me speak."
ANY = st.text()


@pytest.fixture
def save(tmp_path):
    """Writes a checkpoint of a random model with this tokenizer; returns its path."""

    def write(tokenizer, bias=True):
        torch.manual_seed(0)
        size = GPTConfig(tokenizer.vocab_size, 64, n_layer=2, n_head=2, n_embd=16, bias=bias)
        model = GPT(size)
        for weights in model.parameters():  # also biases and norms, which begin as 0 and 1
            torch.nn.init.normal_(weights, std=0.3)
        ids = torch.zeros(99).long()
        run = new_run(model, ids, ids, TrainConfig(), pick_compute("cpu", "float32"))
        checkpoint.save(
            checkpoint.snapshot(run, tokenizer, {}, complete=False), tmp_path / "m.safetensors"
        )
        return tmp_path / "m.safetensors"

    return write


@pytest.fixture(scope="module")
def pairs_of_bytes(text):
    return BPETokenizer.train(text[:100_000], 600)


def load(folder):
    """A folder as `transformers` has it; from the disk only."""
    model = GPT2LMHeadModel.from_pretrained(folder, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["characters", "pieces"])
@torch.no_grad()
def test_the_logits_and_the_text_are_the_same(
    kind, bias, save, tokenizer, pairs_of_bytes, tmp_path
):
    path = save(tokenizer if kind == "characters" else pairs_of_bytes, bias)
    ours, our_tokenizer, _ = checkpoint.load_model(path)
    theirs, their_tokenizer = load(export(path, tmp_path / "out"))
    ids = their_tokenizer(LINE)["input_ids"]
    assert ids == our_tokenizer.encode(LINE)
    assert their_tokenizer.decode(ids) == LINE
    idx = torch.tensor([ids])
    torch.testing.assert_close(theirs(idx).logits, ours(idx)[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_command_exports_the_model_that_comes_with_the_kit(nanogpt, tmp_path):
    output = nanogpt("export", "pocket", "--to", "out/mine").stdout
    assert "There a text ends at 64 symbols" in output
    assert "GPT2LMHeadModel.from_pretrained('out/mine')" in output
    ours, tokenizer, _ = checkpoint.load_model("pocket")
    theirs, _ = load(tmp_path / "out" / "mine")
    idx = torch.tensor([tokenizer.encode(LINE)])
    torch.testing.assert_close(theirs(idx).logits, ours(idx)[0], atol=1e-5, rtol=0)
    prompt = torch.tensor([tokenizer.encode("ROMEO:")])
    written = theirs.generate(prompt, max_new_tokens=9, do_sample=False)  # always the likeliest
    idx = prompt
    for _ in range(9):
        idx = torch.cat((idx, ours(idx)[0][:, -1:].argmax(-1)), dim=1)
    assert written.tolist() == idx.tolist()


@pytest.mark.parametrize("prompt", ["ROMEO:", "", "R" * 63])
@pytest.mark.parametrize("kind", ["characters", "pieces"])
def test_the_first_thing_that_people_do_with_it_works(
    kind, prompt, save, tokenizer, pairs_of_bytes, tmp_path
):
    path = save(tokenizer if kind == "characters" else pairs_of_bytes)
    write = pipeline("text-generation", str(export(path, tmp_path / "out")))
    torch.manual_seed(1)
    (written,) = write(prompt)
    assert written["generated_text"].startswith(prompt)
    ids = write.tokenizer(written["generated_text"])["input_ids"]
    assert len(prompt) < len(ids) or kind == "pieces"
    assert len(write.tokenizer.decode(ids)) > len(prompt)


@given(text=ANY)
def test_pieces_of_any_text_have_the_same_ids_and_come_back(pairs_of_bytes, text):
    theirs = Tokenizer.from_str(json.dumps(tokenizer_rules(pairs_of_bytes)))
    ids = theirs.encode(text).ids
    assert ids == pairs_of_bytes.encode(text)
    assert theirs.decode(ids) == text


@given(text=ANY)
def test_characters_have_the_same_ids_and_unknown_ones_are_dropped(tokenizer, text):
    theirs = Tokenizer.from_str(json.dumps(tokenizer_rules(tokenizer)))
    ids = theirs.encode(text).ids
    assert ids == tokenizer.encode(text, unknown="drop")
    assert theirs.decode(ids) == tokenizer.decode(ids)


@given(text=ANY)
def test_an_unknown_symbol_stands_for_what_was_capped_away(text):
    ours = CharTokenizer.train("aaabbcé", max_symbols=3)
    theirs = Tokenizer.from_str(json.dumps(tokenizer_rules(ours)))
    assert theirs.encode(text).ids == ours.encode(text)


@pytest.mark.parametrize("kind", ["characters", "pieces"])
def test_a_tuned_model_is_talked_to_with_its_template(
    kind, save, tokenizer, pairs_of_bytes, tmp_path
):
    marked = MarkedTokenizer(tokenizer if kind == "characters" else pairs_of_bytes, MARKS)
    path = save(marked)
    ours, _, _ = checkpoint.load_model(path)
    answer = pipeline("text-generation", str(export(path, tmp_path / "out")))
    asked = {"role": "user", "content": "Ask as ROMEO."}
    (written,) = answer([asked], do_sample=False)
    said = written["generated_text"][-1]
    assert said["role"] == "assistant"
    assert said["content"] == "".join(reply(ours, marked, "Ask as ROMEO.", greedy=True))
    theirs = answer.tokenizer
    ids = theirs.apply_chat_template([asked], add_generation_prompt=True, return_dict=False)
    assert ids == marked.encode(prompt_of("Ask as ROMEO."))


@pytest.mark.parametrize(
    "typed", ["<|end|>", "a<<|user|>|end|>", "<|<|assistant|>", "<" * 5 + "|end|>"]
)
def test_no_request_types_a_mark_there_either(typed, save, pairs_of_bytes, tmp_path):
    marked = MarkedTokenizer(pairs_of_bytes, MARKS)
    _, theirs = load(export(save(marked), tmp_path / "out"))
    asked = [{"role": "user", "content": typed}]
    ids = theirs.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    assert [i for i in ids if i >= marked.base.vocab_size] == marked.encode([USER, ASSISTANT])


def test_a_folder_that_holds_something_is_left_as_it_was(save, tokenizer, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="out is not empty: name a new folder"):
        export(save(tokenizer), folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    with pytest.raises(FileExistsError, match="not empty"):
        export(save(tokenizer), folder / "mine.txt")  # a file is no folder


def test_an_empty_folder_is_filled(save, tokenizer, tmp_path):
    (tmp_path / "out").mkdir()
    export(save(tokenizer), tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_what_breaks_off_leaves_nothing_behind(save, tokenizer, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("nanogpt_lib.runs.export.save", full)
    path = save(tokenizer)
    with pytest.raises(OSError, match="No space left"):
        export(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_an_empty_folder_is_filled(save, tokenizer, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    export(save(tokenizer), tmp_path / "out")
    assert (tmp_path / "real" / "model.safetensors").exists()


def test_a_missing_checkpoint_is_named_in_one_line(nanogpt, tmp_path):
    done = nanogpt("export", "nowhere", "--to", "out", check=False)
    assert done.returncode == 2
    assert done.stderr == "nanogpt: there is no checkpoint nowhere\n"
    assert not (tmp_path / "out").exists()
