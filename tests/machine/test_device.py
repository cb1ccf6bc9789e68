"""The choice of device and precision, and the watch over the future.

The machines that run these tests have no GPU, so a GPU's answers about itself are put in the
place of PyTorch's. Everything that a CPU can do is done for real.
"""

import re
import time
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from nanogpt_lib.machine import device
from nanogpt_lib.machine.device import Compute, check_causality, leak, pick_compute
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs.presets import PRESETS

REAL_GPU = torch.cuda.is_available()
CPU = torch.device("cpu")
FLOAT32 = Compute(CPU, torch.float32, "for a test")
BFLOAT16 = Compute(CPU, torch.bfloat16, "for a test")


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine without a GPU, wherever the tests run."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def gpu(no_gpu, monkeypatch):
    """Pretends that there is an NVIDIA GPU, and that a first operation on it works."""

    def pretend(name, capability, works=True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # also on a T4
        if works:
            monkeypatch.setattr(device, "try_out", lambda name: None)

    return pretend


@pytest.fixture
def apple(no_gpu, monkeypatch):
    """Pretends that there is an Apple GPU, and that a first operation on it works."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(device, "try_out", lambda name: None)


@pytest.fixture
def processor(no_gpu, monkeypatch, tmp_path):
    """A machine without a GPU whose processor has these flags, as Linux lists them."""

    def pretend(*flags):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"model name\t: One\nflags\t\t: fpu avx2 {' '.join(flags)} sha\n")
        monkeypatch.setattr(device, "CPUINFO", cpuinfo)

    return pretend


def test_a_t4_computes_in_float16_and_scales_its_gradients(gpu):
    gpu("Tesla T4", (7, 5))
    compute = pick_compute()
    assert (compute.device.type, compute.dtype) == ("cuda", torch.float16)
    assert "Tesla T4 (compute capability 7.5)" in compute.reason
    assert "not bfloat16" in compute.reason  # though PyTorch says that it is supported
    assert compute.scaler().is_enabled()


@pytest.mark.parametrize("capability", [(8, 0), (8, 9), (9, 0), (12, 0)])
def test_newer_gpus_compute_in_bfloat16_and_scale_nothing(gpu, capability):
    gpu("A newer one", capability)
    compute = pick_compute()
    assert (compute.device.type, compute.dtype) == ("cuda", torch.bfloat16)
    assert "multiplies bfloat16 in hardware" in compute.reason
    assert not compute.scaler().is_enabled()


@pytest.mark.parametrize("capability", [(6, 1), (5, 0)])
def test_older_gpus_compute_in_float32(gpu, capability):
    gpu("GeForce GTX 1080", capability)
    compute = pick_compute()
    assert (compute.device.type, compute.dtype) == ("cuda", torch.float32)
    assert "no fast half precision" in compute.reason


def test_a_v100_computes_in_float16(gpu):
    gpu("Tesla V100", (7, 0))
    assert pick_compute().dtype == torch.float16


def test_an_apple_gpu_computes_in_float32(apple):
    compute = pick_compute()
    assert (compute.device.type, compute.dtype) == ("mps", torch.float32)
    assert "Apple" in compute.reason


def test_a_gpu_whose_first_operation_fails_is_passed_over_and_the_reason_says_so(gpu):
    if REAL_GPU:
        pytest.skip("here an operation on a GPU really works")
    gpu("Broken", (8, 0), works=False)  # a real operation is tried, and fails
    compute = pick_compute()
    assert compute.device.type == "cpu"
    assert re.match(r"cuda is there but fails \(\w.*\), so this processor ", compute.reason)


def test_a_gpu_that_computes_wrong_results_is_passed_over(gpu, monkeypatch):
    gpu("Miscalculating", (8, 0), works=False)
    real = torch.ones

    def wrong(*shape, device=None, **kwargs):  # on "cuda" everything is 2
        values = real(*shape, **kwargs)
        return values.detach().mul(2).requires_grad_() if device == "cuda" else values

    monkeypatch.setattr(torch, "ones", wrong)
    compute = pick_compute()
    assert compute.device.type == "cpu"
    assert "cuda is there but fails (it computes wrong results)" in compute.reason


def test_a_sound_device_passes_the_real_operation():
    assert device.try_out("cpu") is None


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_asked_for_that_is_not_there_is_refused_by_name(no_gpu, name):
    message = f'the device "{name}" cannot be used: PyTorch finds none here. Leave it to "auto"'
    with pytest.raises(ValueError, match=message):
        pick_compute(name)


def test_a_device_asked_for_that_fails_is_refused_with_the_reason(gpu, monkeypatch):
    gpu("Broken", (8, 0))
    monkeypatch.setattr(device, "try_out", lambda name: "the driver is too old")
    with pytest.raises(ValueError, match='"cuda" cannot be used: the driver is too old'):
        pick_compute("cuda")


def test_the_cpu_is_taken_when_asked_for_whatever_else_is_there(gpu):
    gpu("Tesla T4", (7, 5))
    assert pick_compute("cpu").device.type == "cpu"


@pytest.mark.parametrize("wrong", ["gpu", "cuda:0", "", None])
def test_a_device_that_does_not_exist_is_refused_with_those_that_do(wrong):
    with pytest.raises(ValueError, match='device must be "auto", "cpu", "cuda" or "mps", not'):
        pick_compute(wrong)


@pytest.mark.parametrize("wrong", ["half", "fp16", "", None])
def test_a_precision_that_does_not_exist_is_refused_with_those_that_do(wrong):
    message = 'dtype must be "auto" or one of float32, bfloat16, float16, not'
    with pytest.raises(ValueError, match=message):
        pick_compute("cpu", wrong)


def test_float16_is_for_cuda_only_and_the_error_names_what_is_for_all():
    with pytest.raises(ValueError, match='CUDA only here: choose "float32" or "bfloat16"'):
        pick_compute("cpu", "float16")


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_precision_asked_for_is_taken_whatever_the_processor_has(name, processor):
    processor("avx512_bf16")
    compute = pick_compute("cpu", name, width=16)
    assert compute.dtype == getattr(torch, name)
    assert str(compute) == f"cpu, {name}: {name} as asked for"


@pytest.mark.parametrize(
    "flag, name",
    [("avx512_bf16", "AVX512-BF16"), ("amx_bf16", "AMX"), ("bf16", "Arm BF16")],
)
@pytest.mark.parametrize(
    "width, dtype", [(32, "float32"), (48, "float32"), (128, "bfloat16"), (384, "bfloat16")]
)
def test_bfloat16_is_taken_where_hardware_multiplies_it_and_the_model_is_wide(
    processor, flag, name, width, dtype
):
    processor(flag)
    compute = pick_compute(width=width)
    assert (compute.device.type, compute.precision) == ("cpu", dtype)
    assert name in compute.reason
    assert ("too narrow" in compute.reason) == (dtype == "float32")


def test_a_processor_without_it_computes_in_float32(processor):
    processor("avx512f", "avx512bw", "amx_int8")
    compute = pick_compute()
    assert str(compute) == "cpu, float32: this processor does not multiply bfloat16 in hardware"


@pytest.mark.parametrize("has", [True, False])
def test_where_the_system_does_not_tell_pytorch_is_asked(no_gpu, monkeypatch, tmp_path, has):
    monkeypatch.setattr(device, "CPUINFO", tmp_path / "none")  # macOS, Windows
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has, raising=False)
    assert pick_compute().precision == ("bfloat16" if has else "float32")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")  # another version of PyTorch
    assert pick_compute().precision == "float32"


def test_nothing_is_timed(no_gpu, monkeypatch):
    def clock(*_):
        raise AssertionError("a busy machine would choose otherwise")

    for name in ("time", "perf_counter", "process_time", "monotonic"):
        monkeypatch.setattr(time, name, clock)
    assert pick_compute("cpu") == pick_compute("cpu")


def test_the_real_choice_on_this_machine_computes(no_gpu):
    compute = pick_compute()
    assert compute.device.type == "cpu"
    assert compute.dtype in (torch.float32, torch.bfloat16)
    model = GPT(GPTConfig(**SMALL))
    with compute.autocast():
        assert model(torch.zeros(1, 4, dtype=torch.int64))[0].isfinite().all()


def test_autocast_is_in_the_chosen_precision():
    a = torch.ones(2, 2)
    with BFLOAT16.autocast():
        assert (a @ a).dtype == torch.bfloat16
    with FLOAT32.autocast():
        assert (a @ a).dtype == torch.float32
    assert not FLOAT32.scaler().is_enabled() and not BFLOAT16.scaler().is_enabled()


# ---- does the future leak? ----

SMALL = {"block_size": 16, "n_layer": 2, "n_head": 2, "n_embd": 16}
masked = F.scaled_dot_product_attention


def leaking(layers=None, heads=slice(None), when=lambda q: True):
    """Attention without its mask, in all layers (counted modulo 6) and heads or in some."""
    calls = 0

    def attention(q, k, v, dropout_p=0.0, is_causal=False):
        nonlocal calls
        y = masked(q, k, v, dropout_p=dropout_p, is_causal=is_causal).clone()
        if when(q) and (layers is None or calls % 6 in layers):
            y[:, heads] = masked(q, k, v)[:, heads]
        calls += 1
        return y

    return attention


def new_model(name, compute=FLOAT32):
    """A new model of a preset's shape, with at most 64 tokens of context in bfloat16: most CPUs
    emulate that slowly."""
    torch.manual_seed(0)
    size = PRESETS[name].model
    if compute.dtype == torch.bfloat16:
        size = replace(size, block_size=min(64, size.block_size))
    return GPT(size)


both_precisions = pytest.mark.parametrize("compute", [FLOAT32, BFLOAT16], ids=str)


@both_precisions
@pytest.mark.parametrize("name", PRESETS)
def test_a_sound_model_leaks_exactly_nothing(name, compute):
    model = new_model(name, compute)
    assert leak(model, compute) == 0.0
    if compute is FLOAT32:
        assert check_causality(model, compute) is compute


@both_precisions
@pytest.mark.parametrize("name", PRESETS)
def test_a_model_without_its_mask_is_found(name, compute, monkeypatch):
    monkeypatch.setattr(F, "scaled_dot_product_attention", leaking())
    assert leak(new_model(name, compute), compute) > 0.0


@both_precisions
@pytest.mark.parametrize(
    "layers, heads",
    [(None, 0), ([0], slice(None)), ([5], slice(None)), ([5], 3)],
    ids=["one head of each layer", "the first layer", "the last layer", "one head of the last"],
)
def test_a_single_leaking_head_or_layer_is_found(layers, heads, compute, monkeypatch):
    monkeypatch.setattr(F, "scaled_dot_product_attention", leaking(layers, heads))
    assert leak(new_model("laptop", compute), compute) > 0.0


def test_a_model_that_leaks_everywhere_is_refused_with_the_likely_reason(monkeypatch):
    monkeypatch.setattr(F, "scaled_dot_product_attention", leaking())
    message = "this model sees the future, so its loss means nothing. Is the causal mask missing"
    with pytest.raises(RuntimeError, match=message):
        check_causality(new_model("pocket"), BFLOAT16)


def test_a_mask_that_is_one_token_too_wide_is_found(monkeypatch):
    def attention(q, k, v, dropout_p=0.0, is_causal=False):
        T = q.size(2)
        return masked(q, k, v, attn_mask=torch.ones(T, T, dtype=torch.bool).tril(1))

    monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
    assert leak(new_model("pocket"), FLOAT32) > 0.0


def test_a_mask_that_is_cut_for_four_tokens_at_a_time_is_found(monkeypatch):
    def attention(q, k, v, dropout_p=0.0, is_causal=False):  # PyTorch issue #195910
        group = torch.arange(q.size(2)) // 4
        return masked(q, k, v, attn_mask=group[:, None] >= group[None, :])

    monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
    assert leak(new_model("pocket"), FLOAT32) > 0.0


def test_a_device_that_does_not_repeat_its_own_sums_is_no_leak(monkeypatch):
    generator = torch.Generator().manual_seed(0)

    def attention(q, k, v, dropout_p=0.0, is_causal=False):
        y = masked(q, k, v, is_causal=is_causal)
        return y + 1e-6 * torch.randn(y.shape, generator=generator)

    monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
    model = new_model("pocket")
    assert leak(model, FLOAT32) == 0.0
    noisy = F.scaled_dot_product_attention

    def unmasked(q, k, v, dropout_p=0.0, is_causal=False):
        return noisy(q, k, v)

    monkeypatch.setattr(F, "scaled_dot_product_attention", unmasked)
    assert leak(model, FLOAT32) > 0.0


def test_a_leak_in_half_precision_only_falls_back_to_float32_and_says_so(monkeypatch, capsys):
    broken = leaking(when=lambda q: q.dtype == torch.bfloat16)
    monkeypatch.setattr(F, "scaled_dot_product_attention", broken)
    sound = check_causality(new_model("pocket"), BFLOAT16)
    assert (sound.device, sound.dtype) == (CPU, torch.float32)
    assert sound.reason == "half precision leaks the future"
    assert "Computing on cpu, float32: half precision leaks" in capsys.readouterr().out


class Traveller:
    """Stands for a model on a device that is not here: notes where it is moved."""

    def to(self, where):
        self.where = where.type


@pytest.mark.parametrize(
    "leaky, chosen, reason",
    [
        ([], "cuda, float16", "for a test"),
        (["cuda, float16"], "cuda, float32", "half precision leaks the future"),
        (["cuda, float16", "cuda, float32"], "cpu, float32", "attention on cuda leaks the future"),
    ],
)
def test_of_the_sound_choices_the_fastest_is_taken(leaky, chosen, reason, monkeypatch, capsys):
    # No other device is here to leak, so `leak` itself is replaced.
    monkeypatch.setattr(device, "leak", lambda model, compute: str(compute).startswith((*leaky,)))
    model = Traveller()
    first = Compute(torch.device("cuda"), torch.float16, "for a test")
    sound = check_causality(model, first)
    assert str(sound) == f"{chosen}: {reason}"
    assert model.where == sound.device.type
    assert capsys.readouterr().out == (f"Computing on {sound}\n" if leaky else "")


@pytest.mark.parametrize("training", [True, False])
def test_looking_for_leaks_changes_nothing_about_the_model(training):
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SMALL, dropout=0.5)).train(training)
    weights = {name: w.clone() for name, w in model.state_dict().items()}
    before = torch.get_rng_state()
    assert check_causality(model, FLOAT32) is FLOAT32  # dropout is no leak
    assert model.training == training
    assert torch.equal(torch.get_rng_state(), before)
    for name, w in model.state_dict().items():
        assert torch.equal(w, weights[name])


def test_a_context_of_one_token_has_no_future_to_leak():
    assert leak(GPT(GPTConfig(block_size=1, n_layer=1, n_head=1, n_embd=8)), FLOAT32) == 0.0
