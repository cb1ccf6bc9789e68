"""A trained model as a folder that Hugging Face's `transformers` loads without this library.

    GPT2LMHeadModel.from_pretrained(folder)
    AutoTokenizer.from_pretrained(folder)

The folder of a model that was tuned on requests has a chat template, too:

    pipeline("text-generation", folder)([{"role": "user", "content": "Ask as ROMEO."}])

Our parameters already have GPT-2's names. There are three differences: their matrices are
transposed, their layers always have biases, and rules describe their tokenizer instead of code.
A README.md beside them says what the model is: its card.
"""

import json
import re
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save

from nanogpt_lib.bpe import PIECE, BPETokenizer
from nanogpt_lib.model import GPT
from nanogpt_lib.runs.card import card
from nanogpt_lib.runs.checkpoint import load_model
from nanogpt_lib.runs.families import check_plain
from nanogpt_lib.runs.template import CHAT_TEMPLATE, END, MARKS, Mark, MarkedTokenizer, is_chat
from nanogpt_lib.sampling import encode_prompt
from nanogpt_lib.shards.gpt2 import DOCUMENT, LETTERS, GPT2Tokenizer
from nanogpt_lib.shards.gpt2 import PIECE as GPT2_PIECE
from nanogpt_lib.tokenizer import UNKNOWN, CharTokenizer

TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def export(checkpoint: str | Path, folder: str | Path) -> Path:
    """Writes a model and its tokenizer in the format of `transformers`; returns the folder.

    checkpoint: a checkpoint, a run folder (its best), or "talk". folder: a new or empty one.
    Raises FileExistsError if the folder is not empty, and checkpoint.CheckpointError if the model
    cannot be read.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not empty: name a new folder, nothing is overwritten")
    model, tokenizer, snapshot = load_model(checkpoint)
    check_plain(model, "the folder for transformers")
    texts = {
        "config.json": config(model),
        "generation_config.json": writing(model, tokenizer),
        "tokenizer.json": tokenizer_rules(tokenizer),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.config.block_size,
            "clean_up_tokenization_spaces": False,  # decoding gives back what was encoded
        },
    }
    if is_chat(tokenizer):  # a tuned model: its answer ends at END
        end = {"eos_token_id": tokenizer.id_of(END), "pad_token_id": tokenizer.id_of(END)}
        texts["config.json"] |= end
        texts["generation_config.json"] |= end | {"eos_token_id": [*map(tokenizer.id_of, MARKS)]}
        texts["tokenizer_config.json"] |= {"eos_token": END.name, "pad_token": END.name}
        texts["tokenizer_config.json"]["chat_template"] = CHAT_TEMPLATE
    folder.parent.mkdir(parents=True, exist_ok=True)
    # All or nothing: the folder gets its name only when it is whole.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as unfinished:
        whole = Path(unfinished) / "whole"
        whole.mkdir()
        for name, content in texts.items():
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            (whole / name).write_text(text, encoding="utf-8", newline="\n")
        words = card(model, tokenizer, snapshot)
        (whole / "README.md").write_text(words, encoding="utf-8", newline="\n")
        data = save(weights(model), metadata={"format": "pt"})  # save_file: for one user only
        (whole / "model.safetensors").write_bytes(data)
        if folder.is_symlink():  # to an empty folder: fill that one
            folder = folder.resolve()
        if folder.exists():
            folder.rmdir()  # it is empty; Windows cannot replace a folder
        whole.rename(folder)
    return folder


def writing(model: GPT, tokenizer) -> dict:
    """How `generate` of transformers writes with this model, unless it is told otherwise.

    Its model cannot read more than the context, as ours can, which forgets the oldest part. So a
    text ends there. An empty prompt begins with the symbol with which ours begins one.
    """
    first = encode_prompt(model, tokenizer, "", "error")[0]
    settings = {"do_sample": True, "temperature": 0.7, "top_k": 40}
    return settings | {"max_length": model.config.block_size, "bos_token_id": first}


def config(model: GPT) -> dict:
    """The shape of the model, in the names of transformers.GPT2Config."""
    ours = model.config
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": ours.vocab_size,
        "n_positions": ours.block_size,
        "n_layer": ours.n_layer,
        "n_head": ours.n_head,
        "n_embd": ours.n_embd,
        "activation_function": "gelu",  # the exact one; GPT-2's own is "gelu_new"
        "resid_pdrop": ours.dropout,
        "embd_pdrop": ours.dropout,
        "attn_pdrop": ours.dropout,
        "tie_word_embeddings": True,
        "bos_token_id": None,  # our texts have no start or end tokens
        "eos_token_id": None,
        "dtype": "float32",
    }


def weights(model: GPT) -> dict[str, torch.Tensor]:
    """The parameters by GPT-2's names, float32.

    GPT-2's layers, called Conv1D, hold a matrix as (in, out); nn.Linear holds (out, in). GPT-2's
    layers always have biases, so a missing bias becomes zeros, which change nothing. `lm_head` is
    the embedding and is left out.
    """
    found = {}
    for name, values in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        values = values.float().cpu()
        found[name] = (values.T if name.endswith(TRANSPOSED) else values).contiguous()
        bias = name.removesuffix("weight") + "bias"
        if not model.config.bias and re.search(r"\.(ln_\w|c_\w+)\.weight$", name):
            found[bias] = torch.zeros(values.size(0))
    return found


def tokenizer_rules(tokenizer: CharTokenizer | BPETokenizer | MarkedTokenizer) -> dict:
    """The tokenizer as the `tokenizers` library writes it: tokenizer.json."""
    marks = tokenizer.marks if isinstance(tokenizer, MarkedTokenizer) else ()
    base = tokenizer.base if isinstance(tokenizer, MarkedTokenizer) else tokenizer
    rules = byte_pairs(base) if isinstance(base, BPETokenizer) else characters(base)
    special = [*map(added, marks, range(base.vocab_size, 2**31))]
    if isinstance(tokenizer, GPT2Tokenizer):
        special = [added(Mark(DOCUMENT), tokenizer.vocab_size - 1)]
    usual = {"version": "1.0", "added_tokens": special}
    unused = ("truncation", "padding", "normalizer", "post_processor")
    return usual | dict.fromkeys(unused) | rules


def added(mark: Mark, number: int) -> dict:
    """A mark as a special token: found in a text by its name, before the text is split."""
    unchanged = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": mark.name, "special": True} | unchanged


def characters(tokenizer: CharTokenizer) -> dict:
    """Rules that split a text into characters, look each up, and join them again without spaces.

    A character that is not in the vocabulary is left out, as in `encode(text, unknown="drop")`,
    unless there is an unknown symbol.
    """
    unknown = UNKNOWN if UNKNOWN in tokenizer.symbols else None
    return {
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "[\\s\\S]"},  # any character, newlines as well
            "behavior": "Isolated",
            "invert": False,
        },
        "model": {
            "type": "BPE",  # without merges it looks characters up
            "dropout": None,
            "unk_token": unknown,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {symbol: i for i, symbol in enumerate(tokenizer.symbols)},
            "merges": [],
        },
        "decoder": {"type": "Fuse"},
    }


def byte_pairs(tokenizer: BPETokenizer) -> dict:
    """Rules with the same pieces and the same merges in the same order; bytes as in GPT-2."""
    gpt2 = isinstance(tokenizer, GPT2Tokenizer)  # whose rule for pieces the library knows
    names = ["".join(LETTERS[value] for value in token) for token in tokenizer.symbols]
    return {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": GPT2_PIECE if gpt2 else PIECE.pattern},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": False,
                },
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {name: i for i, name in enumerate(names)},
            "merges": [[names[a], names[b]] for a, b in tokenizer.merges],
        },
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": False,
        },
    }
