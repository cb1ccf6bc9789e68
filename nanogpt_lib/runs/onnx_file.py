"""A trained model as one ONNX file, which many programs and devices can run without PyTorch.

    session = onnxruntime.InferenceSession("my-gpt.onnx")
    (logits,) = session.run(None, {"ids": ids})    # int64 (B, T) -> float32 (B, T, V)

The file's metadata holds the tokenizer and the context. A text longer than the context is an error
there, as it is here: the table of positions has no more rows.
"""

import json
import logging
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.model import GPT, Block
from nanogpt_lib.runs import families
from nanogpt_lib.runs.checkpoint import load_model

MISSING = 'ONNX needs two more packages: pip install "onnx" "onnxscript"'


class Scores(nn.Module):
    """The forward pass of a GPT as a graph can hold it: no loss, no cache, no question of T.

    `CausalSelfAttention` asks whether T > 1 before it masks. An export to ONNX would write down the
    answer for the one T of its example. Here `is_causal` is a constant: for a single token the mask
    changes nothing.
    """

    def __init__(self, model: GPT):
        super().__init__()
        self.transformer, self.lm_head = model.transformer, model.lm_head

    def forward(self, ids: Tensor) -> Tensor:
        gpt = self.transformer
        position = torch.arange(ids.size(1), device=ids.device)  # (T,)
        x = gpt.wte(ids) + gpt.wpe(position)  # (B, T, C)
        for block in gpt.h:
            assert isinstance(block, Block)  # for type checkers: a ModuleList hides its types
            x = x + attend(block.attn, block.ln_1(x))
            x = x + block.mlp(block.ln_2(x))
        return self.lm_head(gpt.ln_f(x))  # (B, T, V)


def attend(attention, x: Tensor) -> Tensor:
    """What CausalSelfAttention computes, in evaluation mode: (B, T, C) -> (B, T, C)."""
    q, k, v = attention.heads(x)  # each (B, nh, T, hs)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, nh, T, hs)
    return attention.c_proj(y.transpose(1, 2).reshape(x.shape))


def write_onnx(run: str | Path, path: str | Path) -> Path:
    """Writes a run's best model as an ONNX file; returns its path.

    run: a run folder, a checkpoint, or a model that comes with the kit. Raises FileExistsError if
    there is such a file, ValueError if ONNX's packages are missing or the model is no GPT as in
    model.py, and checkpoint.CheckpointError.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} is there already: name a new file, nothing is overwritten")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise ValueError(MISSING) from None
    model, tokenizer, _ = load_model(run)
    families.check_plain(model, "the ONNX file")
    program = graph(model)
    about = {"block_size": model.config.block_size, "tokenizer": tokenizer.to_dict()}
    program.model.metadata_props["nanogpt"] = json.dumps(about)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(program.model_proto.SerializeToString())
    return path


def graph(model: GPT):
    """A model as a torch.onnx.ONNXProgram, for any number of texts of any length that fits."""
    scores = Scores(model).eval()
    example = torch.zeros(2, min(7, model.config.block_size), dtype=torch.int64)
    Dim, most = torch.export.Dim, model.config.block_size
    sizes = {0: Dim("batch"), 1: Dim("tokens", min=1, max=most)}
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it speaks of packages that we have no use for
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of its own parts
            return torch.onnx.export(
                scores,
                (example,),
                dynamo=True,
                dynamic_shapes=(sizes,),
                input_names=["ids"],
                output_names=["logits"],
                verbose=False,
            )
    finally:
        log.setLevel(level)
