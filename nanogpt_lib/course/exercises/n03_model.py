"""Exercises of notebook 03: the parts of a GPT, their first weights, and their number."""

import math
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F

from nanogpt_lib.course.exercises.base import exercise, question
from nanogpt_lib.model import GPT, Block, GPTConfig


def example(*shape, seed=0):
    """Numbers to try an answer on; always the same."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@exercise(
    question="Layer norm: each token's vector to mean 0 and size 1, times gain, plus bias.",
    minutes=8,
    level=2,
    inputs=[
        (
            torch.tensor([[[1.0, 3.0]], [[5.0, 1.0]]]),
            torch.tensor([2.0, 1]),
            torch.tensor([0, 9.0]),
        ),
        (3 * example(2, 4, 6) + 1, example(6, seed=1), example(6, seed=2)),
        (0.003 * example(3, 2, 5, seed=3), torch.ones(5), torch.zeros(5)),
    ],
    used=True,
    by_hand=dict.fromkeys(
        ("layer_norm", "native_layer_norm", "rms_norm", "group_norm", "instance_norm"),
        "PyTorch's own norm does it, and the library leaves it to that one as well. Here take the "
        "mean and the variance over dim=-1 yourself.",
    ),
    hints=[
        "The mean of each token is x.mean(dim=-1, keepdim=True): shape (B, T, 1).",
        "The variance is the mean of (x - mean) squared, over the same axis.",
        "Divide x - mean by the square root of (variance + 1e-5), then * gain + bias.",
    ],
    praise="the library uses PyTorch's nn.LayerNorm, which computes exactly this.",
)
def layer_norm(x, gain, bias):
    mean = x.mean(dim=-1, keepdim=True)  # (B, T, 1)
    variance = (x - mean).pow(2).mean(dim=-1, keepdim=True)  # (B, T, 1)
    return (x - mean) / torch.sqrt(variance + 1e-5) * gain + bias  # (B, T, C)


@layer_norm.mistake(
    "it averages over the tokens of a text: then what a token becomes depends on the tokens after "
    "it, and the future leaks. Each token by itself: dim=-1."
)
def norm_over_tokens(x, gain, bias):
    mean, variance = x.mean(dim=1, keepdim=True), x.var(dim=1, keepdim=True, correction=0)
    return (x - mean) / torch.sqrt(variance + 1e-5) * gain + bias


@layer_norm.mistake(
    "it averages over the texts of the batch (that is batch norm): then a text's result depends on "
    "what happens to be in the batch with it. Each token by itself: dim=-1."
)
def norm_over_batch(x, gain, bias):
    mean, variance = x.mean(dim=0, keepdim=True), x.var(dim=0, keepdim=True, correction=0)
    return (x - mean) / torch.sqrt(variance + 1e-5) * gain + bias


@layer_norm.mistake(
    "gain and bias are not used. At the end: * gain + bias, each of C numbers, which are learnt."
)
def norm_without_gain(x, gain, bias):
    return F.layer_norm(x, x.shape[-1:])


@layer_norm.mistake(
    "the 1e-5 is outside the root. Inside, added to the variance, it keeps very small vectors "
    "small instead of blowing up their noise."
)
def norm_epsilon_outside(x, gain, bias):
    mean, variance = x.mean(dim=-1, keepdim=True), x.var(dim=-1, keepdim=True, correction=0)
    return (x - mean) / (torch.sqrt(variance) + 1e-5) * gain + bias


@layer_norm.mistake(
    "the variance is divided by C - 1, which is what .var() and .std() do unless told otherwise. "
    "Layer norm divides by C: take .mean() of the squares, or correction=0."
)
def norm_unbiased(x, gain, bias):
    mean, variance = x.mean(dim=-1, keepdim=True), x.var(dim=-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * gain + bias


@layer_norm.mistake(
    "the mean is not subtracted. (Without that it is close to RMS norm, which newer models use; "
    "GPT-2 subtracts the mean.)"
)
def norm_without_mean(x, gain, bias):
    variance = x.var(dim=-1, keepdim=True, correction=0)
    return x / torch.sqrt(variance + 1e-5) * gain + bias


@layer_norm.mistake("it divides by the variance; the size of a vector is its square root.")
def norm_by_variance(x, gain, bias):
    mean, variance = x.mean(dim=-1, keepdim=True), x.var(dim=-1, keepdim=True, correction=0)
    return (x - mean) / (variance + 1e-5) * gain + bias


@layer_norm.mistake(
    "the 1e-5 is missing. Added to the variance, it keeps very small vectors small, and a vector "
    "of equal numbers from being divided by 0."
)
def norm_without_epsilon(x, gain, bias):
    mean, variance = x.mean(dim=-1, keepdim=True), x.var(dim=-1, keepdim=True, correction=0)
    return (x - mean) / torch.sqrt(variance) * gain + bias


SWAPPED = (
    "gain and bias are swapped: the gain multiplies, the bias is added. At the end: * gain + bias."
)


@layer_norm.mistake(SWAPPED)
def norm_with_gain_and_bias_swapped(x, gain, bias):
    return layer_norm.answer(x, bias, gain)


@layer_norm.mistake(
    "the bias comes before the gain, so the gain multiplies it as well. First * gain, then + bias."
)
def norm_with_the_bias_first(x, gain, bias):
    return (F.layer_norm(x, x.shape[-1:]) + bias) * gain


@layer_norm.mistake("the gain is not used. At the end: * gain + bias, each of C numbers.")
def norm_with_the_bias_alone(x, gain, bias):
    return F.layer_norm(x, x.shape[-1:]) + bias


@layer_norm.mistake("the bias is not added. At the end: * gain + bias, each of C numbers.")
def norm_with_the_gain_alone(x, gain, bias):
    return F.layer_norm(x, x.shape[-1:]) * gain


STD = (
    "`.std()` differs in two ways: it divides by C - 1 instead of C, and the 1e-5 belongs under "
    "the root. Take the mean of the squares, add 1e-5, then the root."
)


@layer_norm.mistake(STD)
def norm_by_std_plus_epsilon(x, gain, bias):
    mean, size = x.mean(dim=-1, keepdim=True), x.std(dim=-1, keepdim=True)
    return (x - mean) / (size + 1e-5) * gain + bias


@layer_norm.mistake(STD)
def norm_by_std(x, gain, bias):
    mean, size = x.mean(dim=-1, keepdim=True), x.std(dim=-1, keepdim=True)
    return (x - mean) / size * gain + bias


@layer_norm.mistake(
    "the shapes do not fit: a mean over the last axis of (B, T, C) is (B, T). With keepdim=True it "
    "stays (B, T, 1), and so does the variance."
)
def norm_without_keepdim(x, gain, bias):
    return (x - x.mean(dim=-1)) * gain + bias


def by_matrix(matrix, x):
    """Stands for attention or an MLP: something that happens to each token."""
    return torch.tanh(x @ matrix)


def norm_with(gain, x):
    """A layer norm with a gain of its own, so that two of them are told apart."""
    return F.layer_norm(x, x.shape[-1:]) * gain


def block_parts(seed):
    """A stream and four parts of a block, small ones that are easily told apart."""
    attn = partial(by_matrix, example(6, 6, seed=seed + 1))
    mlp = partial(by_matrix, example(6, 6, seed=seed + 2))
    ln_1 = partial(norm_with, 1 + 0.5 * example(6, seed=seed + 3))
    ln_2 = partial(norm_with, 1 + 0.5 * example(6, seed=seed + 4))
    return 2 * example(2, 4, 6, seed=seed), ln_1, attn, ln_2, mlp


@exercise(
    question="One block: attention, then the MLP, each reading a norm and adding to the stream.",
    minutes=5,
    level=2,
    inputs=[block_parts(0), block_parts(5)],
    used=True,
    hints=[
        "The parts are functions: ln_1(x), attn(...), ln_2(x), mlp(...).",
        "First x = x + attn(ln_1(x)). Then the same again with the other two.",
    ],
    library=Block,
    praise="the stream itself is never normalised: from end to end there are only additions.",
)
def block_forward(x, ln_1, attn, ln_2, mlp):
    x = x + attn(ln_1(x))  # (B, T, C)
    x = x + mlp(ln_2(x))  # (B, T, C)
    return x


@block_forward.mistake(
    "the residuals are missing: what a part computes should be added to x, not take its place. "
    "You saw what becomes of the gradients otherwise."
)
def block_without_residuals(x, ln_1, attn, ln_2, mlp):
    return mlp(ln_2(attn(ln_1(x))))


@block_forward.mistake(
    "it adds the parts to the normalised x. Add them to x itself: only what the parts read is "
    "normalised, the stream is not."
)
def block_normalising_the_stream(x, ln_1, attn, ln_2, mlp):
    x = ln_1(x)
    x = x + attn(x)
    x = ln_2(x)
    return x + mlp(x)


@block_forward.mistake(
    "the norms come after the additions. So did the first Transformer (post-norm); GPT-2 puts them "
    "before the parts, so that the stream stays a sum: x = x + attn(ln_1(x))."
)
def block_post_norm(x, ln_1, attn, ln_2, mlp):
    x = ln_1(x + attn(x))
    return ln_2(x + mlp(x))


@block_forward.mistake(
    "the MLP reads the same x as the attention. It should read what attention has added to: "
    "first x = x + attn(...), then the MLP on the new x."
)
def block_in_parallel(x, ln_1, attn, ln_2, mlp):
    return x + attn(ln_1(x)) + mlp(ln_2(x))


@block_forward.mistake("the norms are missing: attn reads ln_1(x), and mlp reads ln_2(x).")
def block_without_norms(x, ln_1, attn, ln_2, mlp):
    x = x + attn(x)
    return x + mlp(x)


@block_forward.mistake("the order is reversed: first gather (attn), then work on it (mlp).")
def block_mlp_first(x, ln_1, attn, ln_2, mlp):
    x = x + mlp(ln_2(x))
    return x + attn(ln_1(x))


@block_forward.mistake(
    "what attention has added is lost: the second line adds to the old x. Add to the new one, "
    "y + mlp(ln_2(y)), or call both of them x."
)
def block_losing_attention(x, ln_1, attn, ln_2, mlp):
    y = x + attn(ln_1(x))
    return x + mlp(ln_2(y))


@block_forward.mistake(
    "the norms come after the parts: ln_1(attn(x)). A part should read a norm, attn(ln_1(x)), and "
    "what it gives is added as it is."
)
def block_normalising_the_results(x, ln_1, attn, ln_2, mlp):
    x = x + ln_1(attn(x))
    return x + ln_2(mlp(x))


@block_forward.mistake(
    "there is one addition for both parts. Each part adds its own result: x = x + attn(...), then "
    "x + mlp(...)."
)
def block_with_one_residual(x, ln_1, attn, ln_2, mlp):
    return x + mlp(ln_2(attn(ln_1(x))))


@block_forward.mistake(
    "the two norms are swapped: attn reads ln_1(x), and mlp reads ln_2(x). Each has learnt its own "
    "gain and bias."
)
def block_with_the_norms_swapped(x, ln_1, attn, ln_2, mlp):
    return block_forward.answer(x, ln_2, attn, ln_1, mlp)


@block_forward.mistake(
    "the first norm is used twice. The MLP has one of its own, with its own gain and bias: ln_2."
)
def block_with_the_first_norm_twice(x, ln_1, attn, ln_2, mlp):
    return block_forward.answer(x, ln_1, attn, ln_1, mlp)


@block_forward.mistake(
    "the second norm is used twice. Attention has one of its own, with its own gain and bias: ln_1."
)
def block_with_the_second_norm_twice(x, ln_1, attn, ln_2, mlp):
    return block_forward.answer(x, ln_2, attn, ln_2, mlp)


def as_it_is(x):
    return x


@block_forward.mistake("one norm is forgotten: attn should read ln_1(x), not x as it is.")
def block_without_the_first_norm(x, ln_1, attn, ln_2, mlp):
    return block_forward.answer(x, as_it_is, attn, ln_2, mlp)


@block_forward.mistake("one norm is forgotten: mlp should read ln_2(x), not x as it is.")
def block_without_the_second_norm(x, ln_1, attn, ln_2, mlp):
    return block_forward.answer(x, ln_1, attn, as_it_is, mlp)


@exercise(
    question="How large the first weights of c_proj should be: 0.02, less with depth.",
    minutes=3,
    level=1,
    inputs=[(6,), (24,)],
    used=True,
    hints=[
        "How many results are added to the stream in n_layer blocks? Two a block.",
        "A sum of n independent numbers of the same size has sqrt(n) times that size.",
    ],
    library=GPT._init_weights,
    praise="so the sum of all 2 n_layer results has about the size of one, whatever the depth.",
)
def residual_std(n_layer):
    return 0.02 / math.sqrt(2 * n_layer)


@residual_std.mistake("each block adds twice, attention and MLP: count 2 * n_layer results.")
def residual_std_once_a_block(n_layer):
    return 0.02 / math.sqrt(n_layer)


@residual_std.mistake(
    "that is too small: sizes of independent numbers add up like the square root of how many "
    "there are. Divide by the square root of 2 * n_layer."
)
def residual_std_without_root(n_layer):
    return 0.02 / (2 * n_layer)


@residual_std.mistake("divide, not multiply: the more results are added, the smaller each one.")
def residual_std_growing(n_layer):
    return 0.02 * math.sqrt(2 * n_layer)


@residual_std.mistake("the 0.02 is missing: GPT-2's usual size, which this factor makes smaller.")
def residual_std_factor_only(n_layer):
    return 1 / math.sqrt(2 * n_layer)


initial_loss = question(
    "initial_loss",
    question="A model with GPT-2's vocabulary of 50,257: which loss before any training?",
    minutes=2,
    level=1,
    answer=math.log(50_257),
    working="math.log(50_257)",
    same=partial(math.isclose, rel_tol=0.005),  # 10.8 is good enough
    hints=[
        "Knowing nothing means the same probability for each of the 50,257 tokens.",
        "The loss is minus the natural logarithm of that probability: math.log.",
    ],
    praise="10.82. So losses of models with different vocabularies cannot be compared as they are.",
    mistakes={
        math.log(65): "that is for 65 symbols, our characters; the question is about 50,257.",
        math.log2(50_257): "those are bits, log2. A loss in nats takes the natural logarithm.",
        math.log10(50_257): "that is log10. A loss in nats takes the natural logarithm, math.log.",
        -math.log(50_257): "the sign: the logarithm of a probability is negative, the loss is not.",
        1 / 50_257: "that is the probability of each token. The loss is minus its logarithm.",
    },
)


def parameters(config, b=1, norm=2, norms=2, last=1, head=0, qkv=3):
    """The number of parameters, with something miscounted where asked; for the mistakes below.

    b: 0 leaves out the biases of the linear layers; norm: numbers of a norm for each channel;
    norms: how many a block has; last: how many follow; head: its matrices of its own.
    """
    V, T, C = config.vocab_size, config.block_size, config.n_embd
    attention = (C * qkv * C + b * qkv * C) + (C * C + b * C)
    mlp = (C * 4 * C + b * 4 * C) + (4 * C * C + b * C)
    block = attention + mlp + norms * norm * C
    return V * C + T * C + config.n_layer * block + last * norm * C + head * V * C


# What is often left out or counted twice: {how many: (numbers in each block, what it may be)}.
PARTS = {
    "C": (lambda C: C, "the bias of a c_proj"),
    "2C": (lambda C: 2 * C, "one norm in each block, or the biases of both c_proj"),
    "3C": (lambda C: 3 * C, "the bias of c_attn"),
    "4C": (lambda C: 4 * C, "both norms in each block, or the bias of c_fc"),
    "5C": (lambda C: 5 * C, "the biases of the MLP"),
    "8C": (lambda C: 8 * C, "the biases of c_attn, c_fc and one c_proj"),
    "C * C": (lambda C: C * C, "the weights of the c_proj of attention"),
    "(C * C + C)": (lambda C: C * C + C, "the c_proj of attention"),
    "3C * C": (lambda C: 3 * C * C, "the weights of c_attn"),
    "(3C * C + 3C)": (lambda C: 3 * C * C + 3 * C, "c_attn"),
    "4C * C": (lambda C: 4 * C * C, "the weights of attention, or of one layer of the MLP"),
    "(4C * C + C)": (lambda C: 4 * C * C + C, "the c_proj of the MLP"),
    "(4C * C + 4C)": (lambda C: 4 * C * C + 4 * C, "attention, or c_fc"),
    "8C * C": (lambda C: 8 * C * C, "the weights of the MLP"),
    "(8C * C + 5C)": (lambda C: 8 * C * C + 5 * C, "the MLP"),
}


def part_of_the_count(inputs, results, expected) -> str:
    """Which part makes a count too small or too large, if it is the same one each time."""
    configs = [config for (config,) in inputs]
    off = [right - given for given, right in zip(results, expected, strict=True)]
    words = "short" if off[0] > 0 else "too many"
    for sign in (1, -1):
        for name, (count, what) in PARTS.items():
            if off == [sign * c.n_layer * count(c.n_embd) for c in configs]:
                return f"{abs(off[0]):,} {words} = {configs[0].n_layer} x {name}: {what}."
        for name, count, what in (
            ("V * C", lambda c: c.vocab_size * c.n_embd, "the table of symbols"),
            ("T * C", lambda c: c.block_size * c.n_embd, "the table of positions"),
            ("2C", lambda c: 2 * c.n_embd, "the last norm"),
            ("C", lambda c: c.n_embd, "the gain or the bias of the last norm"),
        ):
            if off == [sign * count(c) for c in configs]:
                return f"{abs(off[0]):,} {words} = {name}: {what}."
    return ""


@exercise(
    question="How many parameters a GPT of a given shape has, with biases and tied weights.",
    minutes=15,
    level=3,
    inputs=[(GPTConfig(),), (GPTConfig(vocab_size=50, block_size=20, n_layer=2, n_embd=12),)],
    hints=[
        "Write V, T, C, L for config.vocab_size, block_size, n_embd, n_layer. Tables: V*C and T*C.",
        "A linear layer from a to b has a*b weights and b biases; a layer norm has 2*C.",
        "A block: c_attn from C to 3C, c_proj from C to C, c_fc from C to 4C, c_proj from 4C to C, "
        "and two norms.",
        "All: both tables, L blocks, one last norm. The head is the first table again: 0.",
    ],
    library=GPT.num_params,
    used=True,
    explain=part_of_the_count,
    by_hand={
        "numel": "the model is built, and PyTorch counts. Here count with V, T, C and L alone: "
        "which part has how many?"
    },
    praise="for the workshop's shape that is 10,770,816, and you can account for each of them.",
)
def count_params(config):
    V, T, C, L = config.vocab_size, config.block_size, config.n_embd, config.n_layer
    attention = (C * 3 * C + 3 * C) + (C * C + C)  # c_attn, c_proj
    mlp = (C * 4 * C + 4 * C) + (4 * C * C + C)  # c_fc, c_proj
    norm = 2 * C  # gain and bias
    block = norm + attention + norm + mlp
    return V * C + T * C + L * block + norm


@count_params.mistake(
    "the head is counted as a matrix of its own. It is tied: the same V * C numbers as the "
    "embedding, which count once."
)
def count_untied(config):
    return parameters(config, head=1)


@count_params.mistake(
    "the biases are missing: a linear layer from a to b has b of them, and each norm has C."
)
def count_without_biases(config):
    return parameters(config, b=0, norm=1)


@count_params.mistake(
    "the norms are right; the biases of the linear layers are missing. One from a to b has b of "
    "them, so a block has 3C + C + 4C + C."
)
def count_without_linear_biases(config):
    return parameters(config, b=0)


@count_params.mistake(
    "the linear layers are right; a norm has C numbers too few. It has a gain and a bias, 2 * C."
)
def count_without_norm_biases(config):
    return parameters(config, norm=1)


@count_params.mistake(
    "those are the tables and the matrices, 12 * C * C a block. The biases and the norms are "
    "missing."
)
def count_matrices_only(config):
    return parameters(config, b=0, norm=0)


@count_params.mistake(
    "that is one block. There are n_layer of them, and two tables and a last norm besides."
)
def count_one_block(config):
    C = config.n_embd
    return 12 * C * C + 13 * C


@count_params.mistake(
    "everything is there, but with one block. There are n_layer of them: multiply what is in a "
    "block."
)
def count_with_one_block(config):
    return parameters(replace(config, n_layer=1))


@count_params.mistake(
    "those are the matrices of the blocks alone, 12 * C * C each: a good rule of thumb for large "
    "models. Missing are the biases, the norms and both tables."
)
def count_by_rule_of_thumb(config):
    return config.n_layer * 12 * config.n_embd**2


@count_params.mistake(
    "those are the blocks alone. Before them come two tables (symbols V * C, positions T * C), "
    "after them one last norm."
)
def count_blocks_only(config):
    C = config.n_embd
    return config.n_layer * (12 * C * C + 13 * C)


@count_params.mistake(
    "the positions are missing: a table with block_size rows of C. (nanoGPT prints its models "
    "without them, hence its 10.65M.)"
)
def count_without_positions(config):
    return count_params.answer(config) - config.block_size * config.n_embd


@count_params.mistake(
    "c_attn is counted as C * C: it makes queries, keys and values, so it goes from C to 3 * C."
)
def count_small_attention(config):
    return parameters(config, qkv=1)
