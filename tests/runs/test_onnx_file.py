"""What is exported as ONNX gives the same scores in onnxruntime, which knows nothing of PyTorch."""

import json
import sys

import pytest
import torch

from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs import checkpoint, onnx_file
from nanogpt_lib.runs.checkpoint import TOKENIZERS

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime has no build for this Python")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A file of a model that comes with the kit, and the model."""
    path = onnx_file.write_onnx("pocket", tmp_path_factory.mktemp("onnx") / "pocket.onnx")
    return path, checkpoint.load_model("pocket")[0]


def session_of(content):
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # it prints each error, besides raising it
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(content, options)


def scores(session, idx) -> torch.Tensor:
    (logits,) = session.run(None, {"ids": idx.numpy()})
    return torch.from_numpy(logits)


@torch.no_grad()
def test_the_scores_are_the_same_for_texts_of_any_length(exported):
    path, model = exported
    session = session_of(str(path))
    torch.manual_seed(0)
    for B, T in ((1, 1), (1, 2), (3, 1), (2, 7), (1, 63), (4, 64)):
        idx = torch.randint(65, (B, T))
        torch.testing.assert_close(scores(session, idx), model(idx)[0], atol=1e-4, rtol=0)


def test_no_position_sees_what_comes_after_it(exported):
    session = session_of(str(exported[0]))
    torch.manual_seed(0)
    idx = torch.randint(65, (1, 64))
    changed = idx.clone()
    changed[0, 40:] = (changed[0, 40:] + 1) % 65
    before, after = scores(session, idx), scores(session, changed)
    torch.testing.assert_close(before[:, :40], after[:, :40], atol=1e-5, rtol=0)
    assert not torch.allclose(before[:, 40:], after[:, 40:], atol=1e-1)


def test_past_the_context_is_an_error_there_too(exported):
    session = session_of(str(exported[0]))
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        scores(session, torch.zeros(1, 65, dtype=torch.int64))


def test_the_file_says_which_numbers_stand_for_which_symbols(exported):
    about = json.loads(session_of(str(exported[0])).get_modelmeta().custom_metadata_map["nanogpt"])
    assert about["block_size"] == 64
    tokenizer = TOKENIZERS[about["tokenizer"]["type"]].from_dict(about["tokenizer"])
    _, ours, _ = checkpoint.load_model("pocket")
    assert tokenizer.encode("ROMEO:") == ours.encode("ROMEO:")


@torch.no_grad()
def test_biases_are_in_it_too():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=9, block_size=8, n_layer=1, n_head=2, n_embd=8)).eval()
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    session = session_of(onnx_file.graph(model).model_proto.SerializeToString())
    idx = torch.randint(9, (2, 8))
    torch.testing.assert_close(scores(session, idx), model(idx)[0], atol=1e-4, rtol=0)


def test_the_command_writes_it_and_overwrites_nothing(nanogpt, tmp_path):
    done = nanogpt("export", "pocket", "--to", "mine.onnx")
    assert "Written: mine.onnx, 3." in done.stdout
    assert not [line for line in done.stderr.splitlines() if not line.startswith("note: pocket")]
    before = (tmp_path / "mine.onnx").read_bytes()
    again = nanogpt("export", "pocket", "--to", "mine.onnx", check=False)
    assert again.returncode == 2 and "is there already" in again.stderr
    assert (tmp_path / "mine.onnx").read_bytes() == before


def test_without_its_packages_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ValueError, match='pip install "onnx" "onnxscript"'):
        onnx_file.write_onnx("pocket", tmp_path / "x.onnx")
    assert not any(tmp_path.iterdir())
