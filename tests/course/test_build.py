"""The GPT that learners write in notebook 03: right in many styles, wrong and told where."""

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nanogpt_lib import GPT, GPTConfig, load_model
from nanogpt_lib.course import exercises as ex
from nanogpt_lib.course.exercises import by_hand, stages
from nanogpt_lib.course.exercises.n03_build import ONE, SMALL, W


# A model as people write it: classes, with a switch for each thing that is often done otherwise.
class Attention(nn.Module):
    def __init__(self, C, n_head, bias, **slip):
        super().__init__()
        self.c_attn = nn.Linear(C, 3 * C, bias=bias)
        self.c_proj = nn.Linear(C, C, bias=bias)
        self.n_head, self.slip = n_head, slip

    def forward(self, x):
        B, T, C = x.shape
        one, two, three = self.c_attn(x).chunk(3, dim=-1)
        q, k, v = (two, one, three) if self.slip.get("order") else (one, two, three)
        q, k, v = (t.view(B, T, self.n_head, -1).transpose(1, 2) for t in (q, k, v))
        scores = q @ k.mT
        if not self.slip.get("no_scale"):
            scores = scores / math.sqrt(q.size(-1))
        if not self.slip.get("no_mask"):
            scores = scores.masked_fill(torch.ones(T, T).tril() == 0, -math.inf)
        y = scores.softmax(-1) @ v
        y = y.reshape(B, T, C) if self.slip.get("merge") else y.transpose(1, 2).reshape(B, T, C)
        return self.c_proj(y)


class MLP(nn.Module):
    def __init__(self, C, bias, bend=F.gelu, **slip):
        super().__init__()
        self.c_fc, self.bend = nn.Linear(C, 4 * C, bias=bias), bend
        self.c_proj = nn.Linear(4 * C, C, bias=bias)

    def forward(self, x):
        return self.c_proj(self.bend(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, C, n_head, bias, **slip):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(C, bias=bias), nn.LayerNorm(C, bias=bias)
        self.attn, self.mlp = Attention(C, n_head, bias, **slip), MLP(C, bias, **slip)
        self.slip = slip

    def forward(self, x):
        way = self.slip.get("way")
        if way == "post":
            x = self.ln_1(x + self.attn(x))
            return self.ln_2(x + self.mlp(x))
        if way == "swapped":
            x = x + self.attn(self.ln_2(x))
            return x + self.mlp(self.ln_1(x))
        if way == "no residual":
            x = x + self.attn(self.ln_1(x))
            return self.mlp(self.ln_2(x))
        if way == "parallel":
            return x + self.attn(self.ln_1(x)) + self.mlp(self.ln_2(x))
        x += self.attn(self.ln_1(x))  # in place: the check must have seen what was there before
        x += self.mlp(self.ln_2(x))
        return x


class Classes(nn.Module):
    def __init__(self, config, **slip):
        super().__init__()
        C, n, bias = config.n_embd, config.n_head, config.bias
        self.transformer = nn.Module()
        self.transformer.wte = nn.Embedding(config.vocab_size, C)
        self.transformer.wpe = nn.Embedding(config.block_size, C)
        self.transformer.h = nn.ModuleList(Block(C, n, bias, **slip) for _ in range(config.n_layer))
        self.transformer.ln_f = nn.LayerNorm(C, bias=bias)
        self.lm_head = nn.Linear(C, config.vocab_size, bias=False)
        if not slip.get("untied"):
            self.lm_head.weight = self.transformer.wte.weight
        self.register_buffer("mask", torch.ones(3, 3))  # as many models keep one
        self.slip = slip

    def forward(self, ids):
        t = self.transformer
        x = t.wte(ids)
        if not self.slip.get("no_positions"):
            x = x + t.wpe(torch.arange(ids.size(1)))
        for block in t.h:
            x = block(x)
            if self.slip.get("once"):
                break
        return self.lm_head(x if self.slip.get("no_ln_f") else t.ln_f(x))


class Renamed(Classes):
    names = {"transformer.wte": "symbols", "transformer.h": "blocks"}  # noqa: RUF012

    def __init__(self, config):
        super().__init__(config)
        self.symbols, self.blocks = self.transformer.wte, self.transformer.h
        del self.transformer.wte, self.transformer.h

    def forward(self, ids):
        x = self.symbols(ids) + self.transformer.wpe.weight[: ids.size(1)]
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.transformer.ln_f(x))


def like(**slip):
    return lambda config: Classes(config, **slip)


EMBEDDINGS, FIRST = "right up to the embeddings; ", "right up to block 0's attention; "
WRONG = {
    "scale": (like(no_scale=True), EMBEDDINGS + "block 0's attention: the scale is missing"),
    "mask": (like(no_mask=True), EMBEDDINGS + "block 0's attention: the mask is missing"),
    "order": (like(order=True), "c_attn holds q, k, v in this order; here its thirds are taken as"),
    "merge": (like(merge=True), EMBEDDINGS + "block 0's attention: the heads are merged without"),
    "norms swapped": (like(way="swapped"), "block 0's attention: the norms are swapped"),
    "norms after": (like(way="post"), "block 0's attention: the norm comes after the plus"),
    "no residual": (like(way="no residual"), FIRST + "block 0's MLP: the residual is missing"),
    "parallel": (like(way="parallel"), FIRST + "block 0's MLP: the MLP reads the stream as it was"),
    "ReLU": (like(bend=F.relu), FIRST + "block 0's MLP: the bend is ReLU"),
    "tanh": (
        like(bend=nn.GELU(approximate="tanh")),
        FIRST + "block 0's MLP: the bend is GELU by its tanh formula",
    ),
    "no bend": (like(bend=nn.Identity()), "block 0's MLP: the bend is missing"),
    "positions": (like(no_positions=True), "the embeddings: the positions are missing"),
    "ln_f": (like(no_ln_f=True), "right up to block 1's MLP; `ln_f` is missing"),
    "one block": (like(once=True), "right up to block 0's MLP; block 1's attention: it ends after"),
    "untied": (like(untied=True), "the head has a matrix of its own"),
    "two slips": (like(no_mask=True, no_ln_f=True), "block 0's attention: the mask is missing"),
    "an unknown slip": (like(bend=torch.sin), FIRST + "block 0's MLP: something is not right"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_told_how_far_it_is_right_and_what_is_wrong(name):
    model, words = WRONG[name]
    verdict = ex.MyGPT.examine(model)
    assert verdict.status == "Not yet"
    assert words in verdict.message
    assert name == "untied" or "ids = [[3, 1, 4, 1, 5, 8, 2]], n_layer = 2" in verdict.example


def loops(ids, w, n_layer, n_head):
    """One text after another, one head after another, and no norm of PyTorch's."""
    results = []
    for text in ids:
        x = torch.stack([w["transformer.wte.weight"][i] for i in text])
        x = x + w["transformer.wpe.weight"][: len(text)]
        for i in range(n_layer):
            h, C = f"transformer.h.{i}.", x.size(1)
            made = by_hand.linear(
                ex.layer_norm.answer(x, *two(w, h + "ln_1")), w, h + "attn.c_attn"
            )
            each = []
            for j in range(n_head):
                own = [
                    part[:, j * C // n_head : (j + 1) * C // n_head] for part in made.split(C, 1)
                ]
                each.append(ex.attention_head.answer(*eyes(own)))
            x = x + by_hand.linear(torch.cat(each, 1), w, h + "attn.c_proj")
            x = x + by_hand.mlp(ex.layer_norm.answer(x, *two(w, h + "ln_2")), w, h + "mlp")
        results.append(ex.layer_norm.answer(x, *two(w, "transformer.ln_f")))
    return torch.stack(results) @ w["transformer.wte.weight"].T


def two(w, at):
    return w[f"{at}.weight"], w.get(f"{at}.bias", 0)


def eyes(own):
    """A head of which queries, keys and values are given: x is all three, the matrices pick."""
    d = own[0].size(1)
    return torch.cat(own, 1), *torch.eye(3 * d).split(d, dim=1)


RIGHT = {"classes": like(), "other names": Renamed, "the course's": by_hand.MyGPT}


@pytest.mark.parametrize("name", RIGHT)
def test_a_model_in_any_style_is_right(name):
    assert ex.MyGPT.judge(RIGHT[name]) == ("Right", ex.MyGPT.praise)


def test_a_function_in_another_style_is_right():
    assert ex.gpt.judge(loops) == ("Right", ex.gpt.praise)


def test_every_slip_that_is_known_is_told_from_what_is_right_and_from_the_others():
    with torch.no_grad():
        for stage in stages.stages(ONE, W, SMALL.n_layer, SMALL.n_head):
            told = list(stage.slips())
            for value, words in told:
                same = value.shape == stage.right.shape and torch.allclose(
                    value, stage.right, stages.OFF, stages.OFF
                )
                assert not same, (stage.name, words)
            for i, (value, words) in enumerate(told):
                for other, others in told[:i]:
                    near = value.shape == other.shape and torch.allclose(
                        value, other, stages.OFF, stages.OFF
                    )
                    assert not near, (stage.name, words, others)


def test_an_error_says_how_far_it_was_right():
    def gpt(ids, w, n_layer, n_head):
        x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][: ids.size(1)]
        return x @ w["transformer.wte.weight"]

    message = ex.gpt.judge(gpt)[1]
    assert message.startswith("right up to the embeddings; then it raised RuntimeError")
    assert 'in: return x @ w["transformer.wte.weight"]' in message


def test_a_function_that_is_right_for_one_shape_alone_is_told_so():
    def gpt(ids, w, n_layer, n_head):
        return by_hand.gpt(ids, w, 2, 2 if n_head == 2 else 3)

    assert "one text comes out right" in ex.gpt.judge(gpt)[1]


class Inherits(GPT):
    def forward(self, ids):
        return super().forward(ids)[0]


class Wraps(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.inner = GPT(GPTConfig(**vars(config)))

    def forward(self, ids):
        return self.inner(ids)[0]


@pytest.mark.parametrize("model", [GPT, Inherits, Wraps])
def test_the_library_s_model_is_told_that_it_is_not_by_hand(model):
    status, message = ex.MyGPT.judge(model)
    assert status != "Right"
    assert "nanogpt_lib.model" in message and "write the model yourself" in message


def test_a_model_of_the_library_s_that_is_hidden_is_found():
    class Hidden(by_hand.MyGPT):
        def forward(self, ids):
            w = {**self.state_dict(), "lm_head.weight": self.transformer["wte"].weight}
            model = GPT(GPTConfig(**vars(self.config)))
            model.load_state_dict(w)
            return model(ids)[0]

    status, message = ex.MyGPT.judge(Hidden)
    assert status == "Right; now by hand"
    assert "nanogpt_lib.model" in message


def test_a_function_that_calls_the_library_is_not_by_hand():
    def gpt(ids, w, n_layer, n_head):
        V, C = w["transformer.wte.weight"].shape
        config = GPTConfig(V, len(w["transformer.wpe.weight"]), n_layer, n_head, C)
        return torch.func.functional_call(GPT(config), w, (ids,))[0]

    assert ex.gpt.judge(gpt)[0] == "Right; now by hand"


def other_shape(change):
    class Other(by_hand.MyGPT):
        def __init__(self, config):
            super().__init__(config)
            change(self, config.n_embd)

    return Other


def without_bias(self, C):
    self.transformer["h"][0]["mlp"]["c_fc"].bias = None


def with_bias(self, C):
    self.transformer["h"][0]["mlp"]["c_fc"] = nn.Linear(C, 4 * C)


def turned(self, C):
    self.transformer["h"][1]["attn"]["c_attn"] = nn.Linear(3 * C, C)


def renamed(self, C):
    self.transformer["norm"] = self.transformer["ln_f"]
    del self.transformer["ln_f"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_bias, "your module lacks `transformer.h.0.mlp.c_fc.bias`"),
        (
            with_bias,
            "your module has `transformer.h.0.mlp.c_fc.bias`: the weights",
        ),
        (turned, "nn.Linear(n_in, n_out) stores (n_out, n_in)"),
        (renamed, "have `transformer.ln_f.weight`, and your module has `transformer.norm.weight`"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, words):
    assert words in ex.MyGPT.judge(other_shape(change))[1]


def test_the_checks_work_without_the_library_s_model():
    program = """
import sys
sys.modules["nanogpt_lib.model"] = None  # importing it raises ImportError
from nanogpt_lib import exercises as ex
from nanogpt_lib.course.exercises import by_hand
for name in ("mlp", "merge_heads", "self_attention", "gpt", "MyGPT"):
    exercise = getattr(ex, name)
    assert exercise.judge(getattr(by_hand, name))[0] == "Right", name
    exercise.check(exercise.mistakes[0].answer)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Not yet: ") == 5


def test_the_model_by_hand_is_the_library_s():
    """The reference of the checks is none of the library's, so it is compared with it here."""
    model = GPT(GPTConfig(**vars(SMALL)))
    model.load_state_dict(W)
    with torch.no_grad():
        right = model(ONE)[0]
    assert torch.allclose(by_hand.gpt(ONE, W, SMALL.n_layer, SMALL.n_head), right, atol=1e-5)


def test_a_checked_module_loads_the_shipped_weights_and_scores_as_the_library_s_does(capsys):
    pocket, tokenizer, _ = load_model("pocket")
    kind = ex.MyGPT.check(Renamed)
    assert kind is Renamed and "your MyGPT" in capsys.readouterr().out
    mine, ids = kind(pocket.config), torch.tensor([tokenizer.encode("hear me spea")])
    shipped = ex.MyGPT.renamed(pocket.state_dict(), kind)
    mine.load_state_dict({name: shipped.get(name, own) for name, own in mine.state_dict().items()})
    with torch.no_grad():
        assert torch.allclose(mine(ids), pocket(ids)[0], atol=1e-4)
        assert mine(ids)[0, -1].argmax() != mine(ids)[0, -2].argmax()
