"""The speedrun: how soon can a small GPT get as far as nanoGPT's takes three minutes for?

Here stand the changes that made GPTs faster to train since GPT-2, one switch each, beside the
optimiser and the loop that go with them. With every switch off, `SpeedGPT` is `model.GPT` without
biases, weight for weight.

    python -m nanogpt_lib.beyond.speed.recipes            # the fastest recipe, timed from the process's start
    python -m nanogpt_lib.beyond.speed.recipes NAME       # another of RECIPES

docs/LEADERBOARD.md holds the results and the rules. A recipe sees the training text alone: `fit`
is given nothing else.
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import psutil
import torch
import torch.nn as nn
import torch.nn.functional as F

from nanogpt_lib.corpus import BatchSampler, load_corpus, split
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate

GOAL = 1.898  # where nanoGPT's CPU preset ends, on the whole validation split, context 64
MOST_PARAMS = 804_096  # and how many parameters it has


@dataclass(frozen=True)
class SpeedConfig:
    """The shape of a SpeedGPT, and what is modern about it."""

    vocab_size: int = 65
    block_size: int = 64
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128  # with rope, a multiple of 2 n_head
    mlp_ratio: int = 4  # how much wider the MLP is inside
    rope: bool = False  # positions by turning queries and keys, instead of learned vectors
    rmsnorm: bool = False  # norms that only scale, and learn nothing
    qk_norm: bool = False  # queries and keys of one length
    relu2: bool = False  # max(0, x)^2 instead of GELU
    zero_init: bool = False  # what writes to the stream, and to the scores, begins at zero
    grams: tuple[int, ...] = ()  # rows of a table of embeddings for the last 2, 3, ... characters

    def __post_init__(self):
        if self.n_embd % self.n_head or (self.rope and self.n_embd // self.n_head % 2):
            raise ValueError(
                f"n_embd ({self.n_embd}) must be a multiple of n_head ({self.n_head}), and with "
                "rope of twice that: channels are turned in pairs"
            )


def rotations(length: int, size: int):
    """RoPE's angles as complex numbers of length 1: complex64 (length, size / 2).

    Row t turns each pair of channels by t times an angle of its own. What a query at t and a
    key at s have in common then depends on t - s alone (Su et al. 2021, arXiv:2104.09864).
    """
    pace = 10_000.0 ** (-torch.arange(0, size, 2) / size)  # (size / 2,), radians a token
    angles = torch.outer(torch.arange(length), pace)
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x, turns):
    """Turns the channel pairs of x (B, T, nh, hs) by `turns` (T, hs / 2): multiplies them."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))  # (B, T, nh, hs / 2)
    return torch.view_as_real(pairs * turns[:, None]).flatten(-2)  # (B, T, nh, hs)


def norm(config: SpeedConfig) -> nn.Module:
    """LayerNorm, or RMSNorm without a learned gain (Zhang & Sennrich 2019, arXiv:1910.07467)."""
    if config.rmsnorm:
        return nn.RMSNorm(config.n_embd, elementwise_affine=False)
    return nn.LayerNorm(config.n_embd, bias=False)


class Attention(nn.Module):
    """As in `model`, and before the queries meet the keys, what two of the switches do."""

    def __init__(self, config: SpeedConfig):
        super().__init__()
        self.config = config
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x, turns):
        B, T, C = x.shape
        nh = self.config.n_head
        q, k, v = self.c_attn(x).view(B, T, 3 * nh, C // nh).split(nh, dim=2)  # (B, T, nh, hs)
        if self.config.qk_norm:  # the scores cannot grow out of bounds (Henry et al. 2020)
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        if self.config.rope:
            q, k = rotate(q, turns[:T]), rotate(k, turns[:T])
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # each (B, nh, T, hs)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))  # (B, T, C)


class MLP(nn.Module):
    """As in `model`, with a choice of what stands between the two matrices."""

    def __init__(self, config: SpeedConfig):
        super().__init__()
        self.relu2 = config.relu2
        self.c_fc = nn.Linear(config.n_embd, config.mlp_ratio * config.n_embd, bias=False)
        self.c_proj = nn.Linear(config.mlp_ratio * config.n_embd, config.n_embd, bias=False)

    def forward(self, x):
        x = self.c_fc(x)
        # ReLU squared: cheap, and found by search to train faster (So et al. 2021).
        x = F.relu(x).square() if self.relu2 else F.gelu(x)
        return self.c_proj(x)


class Block(nn.Module):
    """Attention, then the MLP, each adding to the stream."""

    def __init__(self, config: SpeedConfig):
        super().__init__()
        self.ln_1, self.attn = norm(config), Attention(config)
        self.ln_2, self.mlp = norm(config), MLP(config)

    def forward(self, x, turns):
        x = x + self.attn(self.ln_1(x), turns)
        return x + self.mlp(self.ln_2(x))


class SpeedGPT(nn.Module):
    """A GPT with switches; called as `model.GPT` is: (idx, targets) -> (logits, loss)."""

    def __init__(self, config: SpeedConfig):
        super().__init__()
        self.config = config
        V, C = config.vocab_size, config.n_embd
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(V, C)})
        if not config.rope:
            self.transformer["wpe"] = nn.Embedding(config.block_size, C)
        self.transformer["grams"] = nn.ModuleList(nn.Embedding(rows, C) for rows in config.grams)
        self.transformer["h"] = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.transformer["ln_f"] = norm(config)
        self.lm_head = nn.Linear(C, V, bias=False)
        turns = rotations(config.block_size, C // config.n_head) if config.rope else None
        self.register_buffer("turns", turns, persistent=False)
        self.initialise()

    @torch.no_grad()
    def initialise(self):
        """GPT-2's initialisation; with zero_init, every block at first passes on what it got."""
        config = self.config
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                depth = math.sqrt(2 * config.n_layer) if "c_proj" in name else 1
                weight.normal_(0, 0.02 / depth)
        if not config.zero_init:
            self.lm_head.weight = self.transformer.wte.weight  # tied
            return
        self.lm_head.weight.zero_()
        for block in self.transformer.h:
            block.attn.c_proj.weight.zero_()
            block.mlp.c_proj.weight.zero_()
            # A matrix that orthogonal steps will change, and that a norm stands before, may
            # begin as large as it is going to be: rows of length 1 / 2.
            for matrix in (block.attn.c_attn.weight, block.mlp.c_fc.weight):
                matrix.normal_(0, 0.5 / math.sqrt(config.n_embd))

    def forward(self, idx, targets=None):
        x = self.transformer.wte(idx)  # (B, T, C)
        if not self.config.rope:
            x = x + self.transformer.wpe.weight[: idx.size(1)]
        for table, gram in zip(self.transformer.grams, self.last_characters(idx), strict=True):
            x = x + table(gram % table.num_embeddings)  # where rows are few, some are shared
        if self.config.zero_init:
            x = F.rms_norm(x, x.shape[-1:])  # small embeddings would drown in what is added
        for block in self.transformer.h:
            x = block(x, self.turns)
        logits = self.lm_head(self.transformer.ln_f(x))  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def last_characters(self, idx):
        """For the last 2, 3, ... characters a number each, all (B, T) as idx is.

        The characters are the digits. Before the first of a window stands a digit of its own.
        """
        V, gram = self.config.vocab_size, idx
        for n in range(1, len(self.config.grams) + 1):
            before = F.pad(idx, (n, 0), value=V)[:, :-n]  # (B, T), n characters earlier
            gram = gram + before * (V + 1) ** n
            yield gram

    def num_params(self) -> int:
        return sum(p.numel() for p in self.parameters())


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), by hand.

    PyTorch's own is as good, but its first use imports the compiler, which takes nearly two
    seconds: as long as all the training of the fastest recipe.
    """

    def __init__(self, params, beta1: float = 0.8, beta2: float = 0.95):
        self.params = list(params)
        self.beta1, self.beta2, self.steps = beta1, beta2, 0
        self.mean = [torch.zeros_like(p) for p in self.params]  # of the gradients, lately
        self.square = [torch.zeros_like(p) for p in self.params]  # of their squares

    @torch.no_grad()
    def step(self, lr: float) -> None:
        self.steps += 1
        # Both averages began at zero; these undo what that takes off them.
        lr = lr * math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        for p, mean, square in zip(self.params, self.mean, self.square, strict=True):
            mean.lerp_(p.grad, 1 - self.beta1)
            square.mul_(self.beta2).addcmul_(p.grad, p.grad, value=1 - self.beta2)
            p.addcdiv_(mean, square.sqrt().add_(1e-10), value=-lr)


# For five rounds of X <- aX + b(XX')X + c(XX')^2 X, an (a, b, c) each. Keller Jordan's, which lead
# every singular value to somewhere between 0.7 and 1.2: near enough, and in few rounds.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices, rounds: int = 5):
    """The nearest matrices whose singular values are all one, about: (N, R, C) -> (N, R, C).

    R must not exceed C. A matrix U S V' becomes U V' without its singular value decomposition,
    by Newton and Schulz's iteration: only products of matrices, all N at once.
    """
    a, b, c = QUINTIC
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # singular values up to 1
    for _ in range(rounds):
        gram = x @ x.mT  # (N, R, R)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon:
    """Steps that use every direction of a matrix alike (Jordan et al. 2024, "Muon").

    A gradient is mostly a few strong directions. Made orthogonal, it moves the weak ones as far,
    and they hold what is rare and still has to be learnt.
    """

    def __init__(self, matrices, momentum: float = 0.95):
        self.params = list(matrices)
        self.momentum = momentum
        self.mean = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        squares = []
        for p, mean in zip(self.params, self.mean, strict=True):
            mean.lerp_(p.grad, 1 - self.momentum)
            squares.append(to_squares(p.grad.lerp(mean, self.momentum)))  # looks ahead: Nesterov
        counts = [len(s) for s in squares]
        moves = orthogonalise(torch.cat(squares)).split(counts)  # all matrices in one go
        for p, move in zip(self.params, moves, strict=True):
            p.sub_(from_squares(move, p.shape), alpha=lr)


def to_squares(matrix):
    """Cuts (R, C) into squares: (N, S, S) with S the shorter side, which divides the longer."""
    rows, columns = matrix.shape
    S = min(rows, columns)
    return matrix.view(rows // S, S, columns // S, S).transpose(1, 2).reshape(-1, S, S)


def from_squares(squares, shape):
    """The way back: (N, S, S) to the matrix (R, C) that they were cut from."""
    rows, columns = shape
    S = squares.size(-1)
    return squares.view(rows // S, columns // S, S, S).transpose(1, 2).reshape(rows, columns)


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained: an entry of the leaderboard."""

    about: str  # in a few words
    model: SpeedConfig
    steps: int
    batch_size: int = 8  # windows a step
    adam_lr: float = 1e-2
    muon_lr: float | None = None  # for the matrices of the blocks; None leaves them to Adam
    betas: tuple[float, float] = (0.8, 0.95)  # Adam's
    warmup: int = 5  # steps
    linear: bool = False  # the rate falls in a straight line instead of half a cosine
    end: float = 0.0  # the share of the rate that is left at the end
    seed: int = 1


NANOGPT = Recipe(
    "nanoGPT's preset for CPUs: the work that everything is compared with",
    SpeedConfig(),
    steps=2000,
    batch_size=12,
    adam_lr=1e-3,
    betas=(0.9, 0.99),
    warmup=100,
    end=0.1,
)
SMALL = SpeedConfig(n_layer=1, n_head=2, n_embd=64)
MODERN = replace(SMALL, rope=True, rmsnorm=True, qk_norm=True, relu2=True, zero_init=True)
PAIRS = Recipe(
    "one modern layer that reads two characters at a time, Muon",
    replace(MODERN, grams=(66 * 66,)),
    steps=260,
    batch_size=16,
    adam_lr=2e-2,
    muon_lr=4e-2,
    linear=True,
)
FOURS = replace(
    PAIRS,
    about="the same a little narrower, reading three and four characters at a time as well",
    model=replace(MODERN, n_embd=48, grams=(66 * 66, 5003, 5003)),
    steps=100,  # chosen so that seeds 1, 2 and 3 all reach the goal
)
BLIND = replace(
    FOURS,
    about="no attention at all: it sees its last four characters, and nothing before them",
    model=replace(FOURS.model, n_layer=0),
    steps=120,
    muon_lr=None,
    adam_lr=3e-2,
)
LOWEST = replace(
    PAIRS,
    about="not the soonest, the lowest: nanoGPT's size and tokens, modern throughout, no tables",
    model=replace(MODERN, n_layer=4, n_head=4, n_embd=128),
    steps=1500,
    adam_lr=1.5e-2,
    muon_lr=3e-2,
)
LAPTOP = replace(
    LOWEST,
    about="the same at the size of the preset `laptop`: too large for the leaderboard",
    model=replace(MODERN, block_size=128, n_layer=6, n_head=6, n_embd=192),
    steps=1000,
    batch_size=32,
    adam_lr=1e-2,
    muon_lr=2e-2,
)
RECIPES = {
    "nanogpt": NANOGPT,
    "pairs": PAIRS,
    "fours": FOURS,
    "blind": BLIND,
    "lowest": LOWEST,
    "laptop": LAPTOP,
}
TOP = "fours"  # the fastest that is a GPT; `blind` enters a table of its own


def height(step: int, recipe: Recipe) -> float:
    """The share of the learning rate at a step: a short climb, then down to `recipe.end`."""
    done = step / recipe.steps
    fall = 1 - done if recipe.linear else (1 + math.cos(math.pi * done)) / 2
    return min(1, (step + 1) / recipe.warmup) * (recipe.end + (1 - recipe.end) * fall)


def optimisers(model: SpeedGPT, recipe: Recipe) -> list[tuple]:
    """Each with its learning rate: Muon for the blocks' matrices, Adam for everything else.

    A row of an embedding is one character's own; there is nothing in it to make orthogonal.
    """
    if recipe.muon_lr is None:
        return [(Adam(model.parameters(), *recipe.betas), recipe.adam_lr)]
    matrices = [p for p in model.transformer.h.parameters() if p.dim() == 2]
    taken = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in taken]
    return [(Muon(matrices), recipe.muon_lr), (Adam(rest, *recipe.betas), recipe.adam_lr)]


def fit(recipe: Recipe, train_ids, watch: Callable[[int, SpeedGPT], None] | None = None):
    """Trains a recipe's model from scratch on train_ids, int64 (N,); returns the SpeedGPT.

    watch: called with the steps done and the model, before the first step and after each.
    """
    torch.manual_seed(recipe.seed)
    model = SpeedGPT(recipe.model)
    sampler = BatchSampler(train_ids, recipe.model.block_size, recipe.batch_size, recipe.seed)
    both = optimisers(model, recipe)
    for step in range(recipe.steps):
        if watch:
            watch(step, model)
        x, y = sampler()  # each (B, T)
        _, loss = model(x, y)
        loss.backward()
        for optimiser, lr in both:
            optimiser.step(lr * height(step, recipe))
        model.zero_grad(set_to_none=True)
    if watch:
        watch(recipe.steps, model)
    return model


@torch.no_grad()
def uses_its_context(model: SpeedGPT) -> bool:
    """Whether the first token of a full context has a say in what is predicted after the last.

    A model that looks back a few characters only is a table of n-grams in disguise.
    """
    V, T = model.config.vocab_size, model.config.block_size
    idx = (7 * torch.arange(T) % V).repeat(2, 1)  # (2, T), any text
    idx[1, 0] = (idx[1, 0] + 1) % V
    one, other = model(idx)[0][:, -1]  # (V,), (V,)
    return not torch.equal(one, other)


@dataclass
class Result:
    """What a recipe came to."""

    model: SpeedGPT
    tokenizer: CharTokenizer
    steps: int
    tokens: int  # trained on, each as often as it was
    val_loss: float  # nats a token, over the whole validation text, windows of block_size


def run(recipe: Recipe, text: str) -> Result:
    """Trains a recipe on a text's first nine tenths and measures it on the last one."""
    tokenizer = CharTokenizer.train(text)
    train_ids, val_ids = split(torch.tensor(tokenizer.encode(text)))
    recipe = replace(recipe, model=replace(recipe.model, vocab_size=tokenizer.vocab_size))
    model = fit(recipe, train_ids)
    tokens = recipe.steps * recipe.batch_size * recipe.model.block_size
    return Result(model, tokenizer, recipe.steps, tokens, evaluate(model, val_ids))


def main(argv=None) -> None:
    began = psutil.Process().create_time()  # Python's own start and PyTorch's import count
    parser = argparse.ArgumentParser(
        prog="python -m nanogpt_lib.beyond.speed.recipes",
        description="Trains a recipe and times it from the start of the process.",
    )
    parser.add_argument("recipe", nargs="?", default=TOP, choices=list(RECIPES))
    parser.add_argument("--seed", type=int, help="another seed than the recipe's")
    args = parser.parse_args(argv)
    recipe = RECIPES[args.recipe]
    if args.seed is not None:
        recipe = replace(recipe, seed=args.seed)
    # So small a model gains little from a second core, and loses with more.
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    torch.set_flush_denormal(True)  # numbers below 1e-38 take a processor ten times as long
    text = load_corpus()
    ready = time.time() - began
    result = run(recipe, text)
    took = time.time() - began
    n_params = result.model.num_params()
    print(f"{args.recipe}: {recipe.about}")
    print(f"{n_params:,} parameters, {result.steps:,} steps, {result.tokens:,} tokens")
    print(f"validation loss {result.val_loss:.4f} on the whole validation text")
    print(f"{took:.1f} s since the process began, {ready:.1f} s of them before the training")
    if not uses_its_context(result.model):
        print("It does not use its whole context, so it is no GPT and has a table of its own.")
    if n_params > MOST_PARAMS:
        print(f"It cannot enter the leaderboard: {MOST_PARAMS:,} parameters are the most.")
    elif result.val_loss > GOAL:
        print(f"It did not reach the goal of {GOAL}.")
    else:
        print(f"It reached the goal of {GOAL}.")


if __name__ == "__main__":
    main()
