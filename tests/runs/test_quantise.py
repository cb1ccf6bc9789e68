"""Weights in 8 bits: how far off they are, and that nothing else loads as such."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.damage import sign, take_apart
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs import checkpoint, quantise
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import TrainConfig, new_run

NAME = "transformer.h.0.attn.c_attn.weight"


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 6),
    columns=st.integers(1, 9),
    size=st.floats(1e-6, 1e6),
)
def test_a_weight_is_off_by_half_a_scale_of_its_row_at_most(seed, rows, columns, size):
    generator = torch.Generator().manual_seed(seed)
    weight = size * torch.randn(rows, columns, generator=generator)
    weight[0] *= 1000  # one large row costs the others nothing
    stored = quantise.packed({"w": weight})
    again = quantise.unpacked(stored)["w"]
    assert stored["w"].dtype == torch.int8 and stored["scale/w"].shape == (rows,)
    scale = weight.abs().amax(dim=1, keepdim=True) / 127
    assert ((again - weight).abs() <= scale * 0.5001).all()
    for a, b in zip(quantise.packed({"w": again}).values(), stored.values(), strict=True):
        assert torch.allclose(a.float(), b.float(), rtol=1e-6)  # to save it again changes nothing


def test_zeros_stay_zeros_and_what_is_no_matrix_stays_a_float():
    weights = {"zeros": torch.zeros(2, 3), "bias": torch.tensor([0.1, -0.2])}
    again = quantise.unpacked(quantise.packed(weights))
    assert torch.equal(again["zeros"], weights["zeros"])
    assert torch.equal(again["bias"], weights["bias"].half())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_refused_by_name(bad):
    with pytest.raises(ValueError, match="the weight w is not finite"):
        quantise.packed({"w": torch.tensor([[1.0, bad]])})


@pytest.fixture
def saved_in_8_bits(tmp_path):
    """A small model in 8 bits, and the model."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=8, block_size=8, n_layer=1, n_head=1, n_embd=8))
    run = new_run(model, torch.zeros(99).long(), torch.zeros(99).long(), TrainConfig(max_steps=1))
    data = checkpoint.snapshot(run, CharTokenizer("abcdefgh"), {"preset": "smoke"}, complete=False)
    path = tmp_path / "best.safetensors"
    checkpoint.save(data | {"bits": 8}, path)
    return path, model


def test_a_checkpoint_in_8_bits_loads_as_the_model_that_it_is_nearly(saved_in_8_bits):
    path, model = saved_in_8_bits
    loaded, _, data = checkpoint.load_model(path)
    assert data["bits"] == 8
    x = torch.arange(8)[None]
    assert torch.allclose(loaded(x)[0], model(x)[0], atol=0.01)
    checkpoint.save(data, path)  # it stays in 8 bits
    assert torch.allclose(checkpoint.load_model(path)[0](x)[0], loaded(x)[0], atol=1e-5)


def change(header, kinds, parts, what):
    scale, rows = f"scale/{NAME}", kinds[NAME][1][0]
    if what == "no scales":
        del kinds[scale], parts[scale]
    elif what == "too few scales":
        kinds[scale], parts[scale] = ("F32", [rows - 1]), parts[scale][4:]
    elif what == "scales of nothing":
        kinds["scale/nothing"], parts["scale/nothing"] = kinds[scale], parts[scale]
    elif what == "scales of a bias":
        bias = "scale/transformer.ln_f.weight"
        kinds[bias], parts[bias] = ("F32", [8]), bytes(32)
    elif what == "no bits":
        header["bits"] = None
    elif what == "4 bits":
        header["bits"] = 4
    else:
        kinds[NAME] = ("U8", kinds[NAME][1])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no scales", f"the weight {NAME} has no scales"),
        ("too few scales", r"has the type F32 and the shape \[23\]"),
        ("scales of nothing", r"scale/nothing has the type F32 and the shape \[24\]"),
        ("scales of a bias", r"ln_f.weight has the type F32 and the shape \[8\]"),
        ("no bits", "the weight scale/.* it is unknown"),
        ("4 bits", "bits: Input should be 8, not 4"),
        ("other numbers", "has the type U8"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_it_is_read(saved_in_8_bits, what, words):
    path, _ = saved_in_8_bits
    header, kinds, parts = take_apart(path)
    change(header, kinds, parts, what)
    path.write_bytes(sign(header, kinds, parts))
    with pytest.raises(checkpoint.CheckpointError, match=words):
        checkpoint.load(path)


@given(
    seed=st.integers(0, 10**6),
    bits=st.integers(2, 8),
    share=st.sampled_from(["matrix", "row", 4, 8]),
)
def test_a_rounded_weight_is_off_by_half_a_step_of_those_it_shares_a_scale_with(seed, bits, share):
    weight = torch.randn(6, 8, generator=torch.Generator().manual_seed(seed))
    groups = weight.reshape({"matrix": 1, "row": 6, 4: 12, 8: 6}[share], -1)
    step = groups.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    off = (quantise.rounded(weight, bits, share).view_as(groups) - groups).abs()
    assert (off <= 0.5 * step + 2 ** (bits - 1) * step * 2**-11).all()  # the scale is in float16
    assert len(quantise.rounded(weight, bits, share).view_as(groups)[0].unique()) < 2**bits


def test_eight_bits_a_row_is_what_checkpoints_store():
    weight = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    stored = quantise.unpacked(quantise.packed({"w": weight}))["w"]
    assert torch.allclose(quantise.rounded(weight), stored, atol=weight.abs().max().item() / 127)


def test_one_large_weight_spoils_those_that_share_its_scale():
    weight = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    weight[0, 0] = 100
    off = {s: (quantise.rounded(weight, 4, s) - weight)[1:].abs().max() for s in ("matrix", "row")}
    assert off["row"] < 0.4 < off["matrix"]
    assert (quantise.rounded(weight, 4, "matrix")[1:] == 0).all()  # nothing is left of them


def test_zeros_stay_zeros_whatever_they_share():
    for share in ("matrix", "row", 2):
        assert not quantise.rounded(torch.zeros(2, 4), 4, share).any()


@pytest.mark.parametrize(
    ("bits", "share", "words"),
    [
        (1, "row", "bits must be"),
        (9, "row", "bits must be at most 8"),
        (8, 3, "groups of 3 do not fill rows of 8"),
        (8, "column", "share"),
    ],
)
def test_what_cannot_be_rounded_so_is_refused(bits, share, words):
    with pytest.raises(ValueError, match=words):
        quantise.rounded(torch.ones(4, 8), bits, share)


@torch.no_grad()
def test_a_linear_layer_with_8_bit_weights_computes_with_what_is_stored(tiny):
    layer = torch.nn.Linear(16, 8)
    small = quantise.Linear8(layer)
    assert small.weight.dtype == torch.int8
    x = torch.randn(2, 3, 16)
    stored = quantise.unpacked(quantise.packed({"w": layer.weight}))["w"]
    assert torch.allclose(small(x), x @ stored.T + layer.bias, atol=1e-5)
    idx = torch.arange(16)[None]
    assert torch.allclose(quantise.in_8_bits(tiny)(idx)[0], tiny(idx)[0], atol=0.02)
    assert isinstance(tiny.lm_head, torch.nn.Linear)  # the model itself is unchanged


def test_sizes_are_those_of_the_bits_and_the_scales(tiny):
    model = torch.nn.ModuleList([torch.nn.Linear(64, 32)])
    assert quantise.stored_bytes(model, 8, "row") == 64 * 32 + 2 * 32 + 2 * 32
    assert quantise.stored_bytes(model, 4, 32) == 64 * 32 // 2 + 2 * 64 + 2 * 32
    once = sum(p.numel() for p in tiny.parameters())  # the tied matrix is there once
    assert quantise.stored_bytes(tiny, 8, "matrix") < once + 2_000
