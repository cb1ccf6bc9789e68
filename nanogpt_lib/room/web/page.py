"""A trained model as one HTML file that writes, without a network, a server or Python.

The page holds the weights, in 8 bits or in half precision, and `model.js`, the same GPT in plain
JavaScript. What a run or a reader calls itself is text there, never markup.
"""

import base64
import math
from html import escape
from pathlib import Path
from string import Template

import torch
from torch import Tensor, nn

from nanogpt_lib.bpe import BPETokenizer
from nanogpt_lib.checks import one_of
from nanogpt_lib.corpus import fingerprint, load_corpus, split
from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.milestones import helpful
from nanogpt_lib.room.playground import first_prompt
from nanogpt_lib.room.web.frames import Framed, as_json, read
from nanogpt_lib.runs import families, quantise
from nanogpt_lib.runs.checkpoint import load_model
from nanogpt_lib.runs.template import MarkedTokenizer
from nanogpt_lib.runs.texts import readable
from nanogpt_lib.shards.gpt2 import GPT2Tokenizer
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate

OWN_TEXT = "To be, or not to be, that is the question. Xylophones jazz up my quilt."
LARGE = 5_000_000  # bytes of a page that a notebook can still hold
MUCH = 0.01  # nats: a change of the loss that has to be pointed out


def write_page(run: str | Path, path: str | Path, bits: int = 8) -> Path:
    """Writes the page of a run's best model; returns its path.

    run: a run folder, a checkpoint, or a model that comes with the kit. bits: 8, with a scale for
    each row of a matrix, or 16. Raises ValueError for another number of bits or a family that the
    page cannot compute, FileExistsError if there is such a file, and checkpoint.CheckpointError.
    """
    path = Path(path)
    check_new(path)
    page = page_of(run, bits)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(page.encode())
    return path


def check_new(path: Path) -> None:
    """Raises FileExistsError if there is such a file."""
    if path.exists():
        raise FileExistsError(f"{path} is there already: name a new file, nothing is overwritten")


def page(run: str | Path, to: str | Path | None = None, bits: int = 8, height: int = 720):
    """The page of a run in a notebook's output cell; make it the last line of the cell.

    run, bits: see `write_page`. to: a file that gets the page, too; an older one is replaced. In
    Colab the browser downloads it. A page above 5 MB is not shown, because the notebook would have
    to keep it. height: in pixels.
    """
    html = page_of(run, bits)
    if to:
        path = Path(to)
        with whole_file(path) as file:
            file.write(html.encode())
        shown = Path(path.parent.name, path.name) if path.is_absolute() else path
        print(f"Written: {shown}, {len(html) / 1e6:.1f} MB. Any browser opens it, offline too.")
        download(path)
    if len(html) > LARGE:
        print("It is too large to be shown in a notebook.")
        return None
    return Framed(html, height, f"The page of {name_of(Path(run))}: run the cell to use it.")


def download(path: Path) -> None:
    """Has the reader's browser download a file, if this is Colab."""
    try:
        from google.colab import files
    except ImportError:
        return
    files.download(str(path))


def page_of(run: str | Path, bits: int = 8) -> str:
    """The HTML of a page; see `write_page`."""
    model, tokenizer, data = load_model(run)
    tensors, blob = stored(model, bits)
    about = told(model, tokenizer, data, name_of(Path(run)), bits) | {"tensors": tensors}
    script = "\n".join(map(read, ("explorer.js", "page.js")))
    return Template(read("page.html")).substitute(
        title=escape(about["title"]),
        css=read("page.css") + read("explorer.css"),
        data=as_json(about),
        weights=base64.b64encode(blob).decode("ascii"),
        worker=read("model.js") + read("worker.js").replace('"use strict";', ""),
        script=script.replace('"use strict";', "", 1),
    )


def name_of(run: Path) -> str:
    """The name of a run: of its folder, or of a checkpoint of another name than all have."""
    inside = run.suffix == ".safetensors"
    usual = inside and run.stem in ("best", "last", "previous")
    return run.absolute().parent.name if usual else run.stem if inside else run.absolute().name


def told(model, tokenizer, data: dict, name: str, bits: int) -> dict:
    """What the page says about the run, and how its text becomes tokens."""
    run = data["about"].get("run", {})
    text = readable(run.get("text", {}).get("name", "an unnamed text"))
    history = [
        {"step": p["step"], "train": p["train_loss"], "val": p["val_loss"]}
        for p in data["history"]
        if math.isfinite(p["train_loss"]) and math.isfinite(p["val_loss"])  # JSON has no others
    ]
    rungs = [
        {"name": readable(rung["name"]), "loss": rung["loss"]}
        for rung in helpful(run.get("ladder") or [])
    ]
    line = [
        f"{model.num_params():,} parameters, {tokenizer.vocab_size} symbols, a context of "
        f"{model.config.block_size}, step {data['step']:,}."
    ]
    learnt = ["Both losses over the steps, in nats a token." if history else "No curve is kept."]
    if history:
        best = min(point["val"] for point in history)
        line.append(f"Validation loss {best:.3f}.")
        learnt.append(f"At its lowest the validation loss was {best:.3f}.")
    if "started" in run:
        line.append(f"Trained on {run['started'][:10]}.")
    if rungs:
        named = "; ".join(f"{rung['loss']:.2f} {rung['name']}" for rung in rungs)
        learnt.append(f"Dashed, what counting reaches: {named}.")
    line.append(f"Weights in {bits} bits. All of it is in this file: it needs no network.")
    shape = ("vocab_size", "block_size", "n_layer", "n_head", "n_embd")
    return {
        "title": f"{readable(name)}: a GPT trained on {text}",
        "line": " ".join(line),
        "learnt": " ".join(learnt),
        "history": history,
        "rungs": rungs,
        "prompt": first_prompt(tokenizer, "ROMEO:\n"),
        "own_text": OWN_TEXT,
        "config": {key: getattr(model.config, key) for key in shape},
        "tokenizer": rules(tokenizer),
    }


def rules(tokenizer: CharTokenizer | BPETokenizer | MarkedTokenizer) -> dict:
    """A tokenizer as `model.js` takes it: its symbols, or its merges with the ids they become.

    Marks come last: the page can write their names, and no text gives their ids.
    """
    if isinstance(tokenizer, MarkedTokenizer):
        return rules(tokenizer.base) | {"marks": [mark.name for mark in tokenizer.marks]}
    if isinstance(tokenizer, CharTokenizer):
        return {"type": "char", "symbols": list(tokenizer.symbols)}
    if isinstance(tokenizer, GPT2Tokenizer):
        raise ValueError("a page knows characters and our own pieces of words, not GPT-2's")
    id_of = {symbol: i for i, symbol in enumerate(tokenizer.symbols)}
    symbols = tokenizer.symbols
    merges = [[a, b, id_of[symbols[a] + symbols[b]]] for a, b in tokenizer.merges]
    return {"type": "bpe", "merges": merges}


def on_the_page(model: nn.Module, bits: int) -> dict[str, Tensor]:
    """The weights as the page stores them: int8 with float32 scales, or float16."""
    one_of(str(bits), "bits", "8", "16")
    families.check_plain(model, "the page")
    weights = {name: value.detach().cpu().float() for name, value in model.named_parameters()}
    if not all(torch.isfinite(value).all() for value in weights.values()):
        raise ValueError("the model's weights are not finite: its training diverged")
    return quantise.packed(weights) if int(bits) == 8 else {n: v.half() for n, v in weights.items()}


def as_on_the_page(model: nn.Module, bits: int) -> nn.Module:
    """A new model with the weights as the page rounds them, to compare the page with."""
    config = model.config
    rounded = families.find(families.name_of(model)).model(config)
    weights = quantise.unpacked(on_the_page(model, bits))
    own = {name: value.float() for name, value in weights.items()}
    rounded.load_state_dict(own | {"lm_head.weight": own["transformer.wte.weight"]})
    return rounded.eval()


def stored(model: nn.Module, bits: int) -> tuple[list[dict], bytes]:
    """Where each weight of a model stands in one block of bytes, and the block."""
    return laid_out(on_the_page(model, bits))


def laid_out(found: dict[str, Tensor]) -> tuple[list[dict], bytes]:
    """Where each of these weights stands in one block of bytes, and the block."""
    tensors, blob = [], bytearray()

    def put(values: Tensor) -> int:
        blob.extend(b"\0" * (-len(blob) % 4))  # numbers of four bytes begin at a multiple of four
        at = len(blob)
        blob.extend(values.contiguous().numpy().tobytes())
        return at

    for name, values in found.items():
        if name.startswith(quantise.SCALE):
            continue
        entry = {"name": name, "shape": list(values.shape), "at": put(values)}
        scale = found.get(quantise.SCALE + name)
        tensors.append(entry if scale is None else entry | {"scale": put(scale)})
    return tensors, bytes(blob)


def cost(run: str | Path, bits: int = 8, text: Path | None = None) -> tuple[float, float] | None:
    """The loss on the whole validation text, of the model and of the page; None if unmeasured.

    text: the file that the run was trained on; without it, Tiny Shakespeare if that is its text.
    Raises ValueError if the file is another text than the run's.
    """
    model, tokenizer, data = load_model(run)
    corpus = load_corpus(text)
    if fingerprint(corpus) != data["about"].get("sha256"):
        if text:
            raise ValueError(f"{text} is not the text that {run} was trained on")
        return None
    ids = torch.tensor(tokenizer.encode(split(corpus)[1], unknown="replace"))
    return evaluate(model, ids), evaluate(as_on_the_page(model, bits), ids)
