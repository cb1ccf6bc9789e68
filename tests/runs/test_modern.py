"""The modern model goes through everything that the plain one does, or is refused in words."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from snapshots import same

from nanogpt_lib.cli import main
from nanogpt_lib.machine.attention import attend
from nanogpt_lib.machine.device import Compute, leak
from nanogpt_lib.machine.dropout import dropout
from nanogpt_lib.modern.model import ModernConfig, ModernGPT
from nanogpt_lib.modern.optimisers import Adam, Muon
from nanogpt_lib.runs import catalogue, checkpoint, pace, record
from nanogpt_lib.runs.presets import MODERN, get_preset
from nanogpt_lib.sampling import generate
from nanogpt_lib.training import TrainConfig, make_optimizer

CPU = Compute(torch.device("cpu"), torch.float32, "the same everywhere")
SMALL = ModernConfig(
    block_size=16, n_layer=2, n_head=2, n_embd=16, rope=True, qk_norm=True, relu2=True,
    zero_init=True, dropout=0.2,
)  # fmt: skip


def filled(config: ModernConfig) -> ModernGPT:
    torch.manual_seed(0)
    model = ModernGPT(config).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model


def a_run(folder, text, steps, *more) -> int:
    small = f"train --recipe modern --steps {steps} --eval-interval 4 --device cpu --dtype float32"
    return main(
        [*small.split(), "--dropout", "0.2", "--text", str(text), "--out", str(folder), *more]
    )


@pytest.fixture(scope="module")
def modern_novel(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("modern") / "novel.txt"
    path.write_text(text[:20_000], encoding="utf-8", newline="\n")
    return path


# --- the parts ---


@pytest.mark.parametrize("T", [1, 7, 256, 600])
def test_attention_as_products_is_the_fused_kernels(T):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, T, 32, dtype=torch.bfloat16) for _ in range(3))
    fused = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), is_causal=True)
    torch.testing.assert_close(attend(q, k, v, True).float(), fused, rtol=0.05, atol=0.03)


@given(p=st.sampled_from([0.05, 0.1, 0.2, 0.5]), seed=st.integers(0, 100))
def test_dropout_keeps_the_mean_and_drops_its_share(p, seed):
    torch.manual_seed(seed)
    x = dropout(torch.ones(1000, 41), p)
    assert (x == 0).float().mean().item() == pytest.approx(p, abs=0.012)  # 1/256, and chance
    assert x.mean().item() == pytest.approx(1, abs=0.03)
    assert x.unique().numel() == 2  # every element is dropped or scaled up, all by the same


def test_dropout_repeats_itself_with_the_seed_and_passes_gradients():
    x = torch.ones(5, 7, requires_grad=True)
    torch.manual_seed(3)
    one = dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(one, dropout(x, 0.5))
    one.sum().backward()
    assert torch.equal(x.grad, one.detach())


def test_its_optimiser_moves_the_weights_as_the_speedruns_two_do():
    config = TrainConfig(learning_rate=0.01, weight_decay=0.0, beta1=0.8, beta2=0.95)
    ours, theirs = filled(SMALL), filled(SMALL)
    both = make_optimizer(ours, config)
    both.dtype = torch.float32
    matrices = [p for p in theirs.transformer.h.parameters() if p.dim() == 2]
    rest = [p for p in theirs.parameters() if not any(p is m for m in matrices)]
    muon, adam = Muon(matrices), Adam(rest, 0.8, 0.95)
    idx = torch.randint(65, (2, 16))
    for _ in range(3):
        for model in (ours, theirs):
            model.zero_grad(set_to_none=True)
            model(idx, idx)[1].backward()
        both.step()
        muon.step(0.01 * both.MUON)
        adam.step(0.01)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_weight_decay_pulls_the_matrices_alone():
    model = filled(SMALL)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer(model, TrainConfig(learning_rate=0.01, weight_decay=0.5))
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in model.named_parameters():
        pulled = ".h." in name and p.dim() == 2
        shrunk = 1 - 0.01 * optimizer.MUON * 0.5 if pulled else 1
        torch.testing.assert_close(p.detach(), before[name] * shrunk)


@pytest.mark.parametrize("grams", [(), (97, 101)])
@pytest.mark.parametrize("rope", [True, False])
def test_with_a_cache_it_writes_the_same_text_also_past_its_context(tokenizer, grams, rope):
    model = filled(replace(SMALL, grams=grams, rope=rope))
    texts = [
        generate(model, tokenizer, ["ROMEO:", "O"], 60, seed=1, use_cache=cache)
        for cache in (True, False)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_future_leaks(dtype):
    model = filled(replace(SMALL, block_size=64, grams=(97,)))
    assert leak(model, Compute(torch.device("cpu"), dtype, "a test")) == 0


# --- a whole run ---


@pytest.mark.slow
def test_a_stopped_run_resumed_is_the_run_that_never_stopped(modern_novel, tmp_path, capsys):
    assert a_run(tmp_path / "through", modern_novel, 8) == 0
    whole = checkpoint.load_last(tmp_path / "through")
    assert whole["family"] == "modern" and whole["optimizer"] == "MuonAdam"
    assert any(name.endswith("/momentum") for name in whole["moments"])

    from nanogpt_lib.runs.presets import with_steps
    from nanogpt_lib.runs.whole import resume, train_preset
    from nanogpt_lib.training import Callback

    class StopAt(Callback):
        def on_step(self, run):
            if run.step == 4:
                raise KeyboardInterrupt

    preset = with_steps(get_preset("modern-3"), 8)
    preset = replace(
        preset,
        model=replace(preset.model, dropout=0.2),
        train=replace(preset.train, eval_interval=4),
    )
    with pytest.raises(KeyboardInterrupt):
        train_preset(preset, str(modern_novel), tmp_path / "cut", CPU, callbacks=[StopAt()])
    resume(tmp_path / "cut")
    again = checkpoint.load_last(tmp_path / "cut")
    for part in ("weights", "moments", "random"):
        assert same(again[part], whole[part]), part
    curves = [record.read(tmp_path / name).history for name in ("through", "cut")]
    assert [p.val_loss for p in curves[0]] == [p.val_loss for p in curves[1]]
    assert math.isfinite(curves[0][-1].val_loss)

    capsys.readouterr()
    assert main(["sample", str(tmp_path / "cut"), "--prompt", "O", "-n", "20", "--seed", "1"]) == 0
    assert len(capsys.readouterr().out) == 22
    for to in ("model", "page.html", "model.onnx"):  # what cannot be done is said, in one line
        code = main(["export", str(tmp_path / "cut"), "--to", str(tmp_path / to)])
        said = capsys.readouterr().err
        assert code == 2 and not (tmp_path / to).exists()
        assert "plain GPT alone" in said or "pip install" in said


def test_the_shapes_of_its_presets_are_what_was_searched():
    assert [preset.model.n_embd for preset in MODERN.values()] == [128, 192]
    for name in MODERN:
        assert get_preset(name).name == name
    with pytest.raises(ValueError, match="modern-3, modern-15, gpt2"):
        get_preset("modern-4")


@pytest.mark.parametrize(("seconds_of_15", "chosen"), [(0.3, "modern-15"), (0.7, "modern-3")])
def test_minutes_choose_among_the_modern_presets_by_their_measured_pace(
    monkeypatch, seconds_of_15, chosen
):
    measured = {"modern-3": 0.1, "modern-15": seconds_of_15}
    monkeypatch.setattr(pace, "seconds_per_step", lambda preset, *_: measured[preset.name])
    assert pace.fit_to_time(10, lambda width: CPU, recipe="modern").name == chosen


def test_a_plain_preset_is_no_modern_recipe(capsys):
    assert main(["train", "--recipe", "modern", "--preset", "pocket"]) == 2
    assert "modern-3, modern-15" in capsys.readouterr().err


def test_the_run_with_dropout_overfits_later_and_reaches_less():
    plain, dropped = (record.read(catalogue.find(name)) for name in ("talk", "talk-dropout"))
    best = [min(run.history, key=lambda p: p.val_loss) for run in (plain, dropped)]
    assert best[1].val_loss < best[0].val_loss - 0.04 and best[1].step > best[0].step
