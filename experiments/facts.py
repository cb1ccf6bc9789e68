"""What the notebooks 00 to 04 claim, measured seed by seed.

Most cases take less than a minute of one core, `gru` three, `race` and `stall` twelve. The
notebooks show one seed; here are several. A test compares the notebooks' sentences with these
figures.
"""

import math
import time
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from experiments.common import add_names
from nanogpt_lib.batches import BatchSampler
from nanogpt_lib.corpus import load_corpus, split
from nanogpt_lib.course.mixing import mixed_loss
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.ngram import ngram_loss
from nanogpt_lib.runs.figures import write_record
from nanogpt_lib.runs.presets import get_preset
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import evaluate, new_run, step, train

FOLDER = "facts"
SMALL = GPTConfig(block_size=32, n_layer=6, n_head=4, n_embd=64)  # of notebook 03's pictures
WORKSHOP = GPTConfig()


def texts():
    """The ids of the training and the validation text."""
    text = load_corpus()
    return split(torch.tensor(CharTokenizer.train(text).encode(text)))


def batch(seed: int, T: int = 32, B: int = 8):
    """A batch of training text: x and y, each (B, T)."""
    return BatchSampler(texts()[0], block_size=T, batch_size=B, seed=seed)()


def model_of(config, seed: int) -> GPT:
    torch.manual_seed(seed)
    return GPT(config)


# What an untrained block adds to the stream


@torch.no_grad()
def blocks():
    """How large what a block adds is, beside the stream: noise of size 1, and the model's own."""
    for seed in range(8):
        x, _ = batch(seed)
        for name, config in {"small": SMALL, "workshop": WORKSHOP}.items():
            model = model_of(config, seed)
            first = model.transformer.h[0]
            noise = torch.randn(8, 32, config.n_embd)
            row = {"model": name, "seed": seed, "noise": ratio(first(noise) - noise, noise)}
            stream, own = model.embed(x), []
            row["stream"] = round(stream.std().item(), 4)
            for block in model.transformer.h:
                after = block(stream)
                own.append(ratio(after - stream, stream))
                stream = after
            yield row | {"own": own}


def ratio(added, stream) -> float:
    return round((added.std() / stream.std()).item(), 3)


# Residuals: gradients before training, how alike tokens become, and what each does to learning


def plain(x, block):
    return block.mlp(block.attn(x))


def normed(x, block):
    return block.mlp(block.ln_2(block.attn(block.ln_1(x))))


def stream(x, block):
    return block(x)


BUILDS = {
    "chain": (plain, False),
    "chain, Kaiming": (plain, True),
    "chain, norms": (normed, False),
    "stream": (stream, False),
}


def apart(x) -> float:
    """The part of vectors (B, T, C) in which the tokens of a text differ: 0 if all are the same."""
    common = x.mean(dim=1, keepdim=True)  # (B, 1, C)
    return ((x - common).norm() / x.norm()).item()


def start():
    """Before training, in double precision: the MLPs' gradients, and how far apart tokens are."""
    for name, (run_block, kaiming) in BUILDS.items():
        for seed in range(8):
            ids, targets = batch(seed)
            model = model_of(SMALL, seed).double()
            if kaiming:  # He et al. 2015: each matrix keeps the size of what passes through it
                for module in model.transformer.h.modules():
                    if isinstance(module, nn.Linear):
                        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            x = model.embed(ids)  # (B, T, C)
            distances = [apart(x)]
            for block in model.transformer.h:
                x = run_block(x, block)
                distances.append(apart(x))
            logits = model.lm_head(model.transformer.ln_f(x))
            F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
            grads = [block.mlp.c_fc.weight.grad.norm().item() for block in model.transformer.h]
            yield {"build": name, "seed": seed, "first": grads[0], "last": grads[-1]} | {
                "apart": [round(d, 4) for d in distances]
            }


def no_residuals(block, x, cache=None):
    return normed(x, block)


def only_around_attention(block, x, cache=None):
    x = x + block.attn(block.ln_1(x))
    return block.mlp(block.ln_2(x))


def only_around_mlp(block, x, cache=None):
    x = block.attn(block.ln_1(x))
    return x + block.mlp(block.ln_2(x))


def no_attention_no_residuals(block, x, cache=None):
    return block.mlp(block.ln_2(x))


def look_at_self(block, x, cache=None):
    """No plus, but attention begins with 0.99 of each token's weight on the token itself."""
    q, k, v = block.attn.heads(block.ln_1(x))
    T = q.size(-2)
    bias = torch.full((T, T), -math.inf).triu(1) + math.log(99 * T) * torch.eye(T)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    x = block.attn.c_proj(y.transpose(1, 2).reshape(x.shape))
    return block.mlp(block.ln_2(x))


CHANGES = {
    "whole": None,
    "no residuals": no_residuals,
    "only around attention": only_around_attention,
    "only around the MLP": only_around_mlp,
    "no residuals, no attention": no_attention_no_residuals,
    "no residuals, each looks at itself first": look_at_self,
}


def stall():
    """Notebook 03's small model, trained with and without its plus signs; three seeds."""
    preset = get_preset("pocket")
    shape = replace(preset.model, n_embd=preset.model.n_embd // 2)
    few = preset.train.max_steps * 4 // 15
    recipe = replace(preset.train, max_steps=few, eval_interval=few, batch_size=16)
    recipe = replace(recipe, learning_rate=6e-3)
    train_ids, val_ids = texts()
    for seed in (1, 2, 3):
        for name, change in CHANGES.items():
            model = model_of(shape, seed)
            if change:
                for block in model.transformer.h:
                    block.forward = partial(change, block)
            before = apart_after(model, val_ids)
            run = train(new_run(model, train_ids, val_ids, replace(recipe, seed=seed)))
            losses = {"train": run.history[-1].train_loss, "val": run.history[-1].val_loss}
            yield {"change": name, "seed": seed, "apart before": before} | {
                "apart after": apart_after(model, val_ids),
                **{split: round(loss, 3) for split, loss in losses.items()},
            }


@torch.no_grad()
def apart_after(model, ids) -> float:
    """How far apart the tokens are after the last block, over 16 stretches."""
    model.eval()
    x = model.embed(BatchSampler(ids, model.config.block_size, 16, seed=3)()[0])
    for block in model.transformer.h:
        x = block(x)
    model.train()
    return round(apart(x), 4)


# The first loss, and what an untrained model bets on


@torch.no_grad()
def first_loss():
    """The loss before training, half the variance of the scores, and bets on the own input."""
    shapes = {"workshop": WORKSHOP, "pocket": get_preset("pocket").model}
    for name, config in shapes.items():
        for tied in (True, False):
            for seed in range(8):
                model = model_of(config, seed)
                if not tied:
                    model.lm_head.weight = nn.Parameter(torch.randn(65, config.n_embd) * 0.02)
                model.eval()
                ids, targets = batch(seed)
                logits, loss = model(ids, targets)  # (B, T, V), scalar
                yield {
                    "model": name,
                    "tied": tied,
                    "seed": seed,
                    "loss": round(loss.item(), 4),
                    "half the variance": round(logits.var(dim=-1).mean().item() / 2, 4),
                    "bets on its input": round((logits.argmax(-1) == ids).float().mean().item(), 3),
                    "chance of its input": round(
                        logits.softmax(-1).gather(-1, ids[..., None]).mean().item(), 4
                    ),
                }


# One batch by heart


def without_attention(block, x, cache=None):
    return x + block.mlp(block.ln_2(x))


def one_batch():
    """Notebook 03's second test, with the whole model and with one that has no attention."""
    preset = get_preset("pocket")
    for seed in range(3):
        x, y = batch(seed, preset.model.block_size, 4)
        for name, change in {"whole": None, "no attention": without_attention}.items():
            model = model_of(preset.model, seed)
            if change:
                for block in model.transformer.h:
                    block.forward = partial(change, block)
            optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
            for _ in range(preset.train.max_steps // 10):
                _, loss = model(x, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            yield {"model": name, "seed": seed, "loss": round(loss.item(), 4)}


# Counting, and a small network that beats it


def tables():
    """Each table on the text it was counted on and on the other, and all tables mixed."""
    train_ids, val_ids = texts()
    for k in range(6):
        yield {
            "k": k,
            "train": round(ngram_loss(train_ids, train_ids, 65, k), 3),
            "val": round(ngram_loss(train_ids, val_ids, 65, k), 3),
            "mixed": round(mixed_loss(train_ids, val_ids, 65, k), 3),
        }


class Recurrent(nn.Module):
    """A GRU (Cho et al. 2014, arXiv:1406.1078): smaller than notebook 02's `Reader`."""

    def __init__(self, V=65, C=32, H=56):
        super().__init__()
        self.symbol, self.gru = nn.Embedding(V, C), nn.GRU(C, H, batch_first=True)
        self.scores = nn.Linear(H, V)

    def forward(self, ids, state=None):
        y, state = self.gru(self.symbol(ids), state)  # (B, T, H)
        return self.scores(y), state


def gru():
    """A small GRU, trained for three minutes of one core; one seed."""
    train_ids, val_ids = texts()
    for seed in (1,):
        torch.manual_seed(seed)
        model, began = Recurrent(), time.process_time()
        steps = 2400
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.2e-2, steps, pct_start=0.05)
        sampler = BatchSampler(train_ids, block_size=96, batch_size=64, seed=seed)
        for _ in range(steps):
            x, y = sampler()
            loss = F.cross_entropy(model(x)[0].flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            n = len(val_ids) // 60  # it reads the validation text in 60 pieces
            x = val_ids[: 60 * n].view(60, n)
            loss = F.cross_entropy(model(x[:, :-1])[0].flatten(0, 1), x[:, 1:].flatten())
        yield {
            "seed": seed,
            "parameters": sum(p.numel() for p in model.parameters()),
            "val": round(loss.item(), 3),
            "seconds": round(time.process_time() - began),
        }


# The race of notebook 04, each method at its best


def race():
    """SGD, SGD with momentum and AdamW on `pocket`, all with a warm-up of 20 steps and a clip at 1.

    Each at several rates for 120 steps, and at the best of them for 400. The rate stays constant
    after the warm-up. Nothing else differs: the same start and the same batches for each seed.
    """
    methods = {
        "SGD": (partial(torch.optim.SGD), (0.03, 0.1, 0.3, 1.0)),
        "momentum": (partial(torch.optim.SGD, momentum=0.9), (0.01, 0.03, 0.1, 0.3)),
        "AdamW": (partial(torch.optim.AdamW, betas=(0.9, 0.99)), (0.0003, 0.001, 0.003, 0.01)),
    }
    for name, (method, rates) in methods.items():
        means = {}
        for rate in rates:
            found = [raced(method, rate, 120, seed) for seed in range(3)]
            means[rate] = sum(found) / len(found)
            for seed, val in enumerate(found):
                yield {"method": name, "rate": rate, "steps": 120, "seed": seed, "val": val}
        best = min(means, key=means.__getitem__)
        for seed in range(3):
            val = raced(method, best, 400, seed)
            yield {"method": name, "rate": best, "steps": 400, "seed": seed, "val": val}


def raced(method, rate: float, steps: int, seed: int) -> float:
    """The validation loss, on 50 batches, after so many steps of a method."""
    preset, (train_ids, val_ids) = get_preset("pocket"), texts()
    model = model_of(preset.model, seed)
    batches = BatchSampler(train_ids, preset.model.block_size, preset.train.batch_size, seed)
    optimizer = method(model.parameters(), lr=rate)
    for i in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (i + 1) / 20)
        _, loss = model(*batches())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return round(evaluate(model, val_ids, 50), 4)


# Why weights stay in float32


def changes():
    """By which part of itself a step changes a weight of `pocket`: at the full rate, at its end.

    lost: the share of weights whose change is below 2**-9 of them, half a step of bfloat16.
    """
    for seed in range(3):
        preset = get_preset("pocket")
        run = new_run(model_of(preset.model, seed), *texts(), replace(preset.train, seed=seed))
        while run.step < 150:
            step(run)
        yield {"seed": seed, "when": "full rate", **changed(run)}
        run.config.max_steps = run.step + 1  # as if this were the last step of the schedule
        yield {"seed": seed, "when": "end", **changed(run)}


def changed(run) -> dict:
    weights = [w for w in run.model.parameters() if w.dim() == 2]
    before = [w.detach().clone() for w in weights]
    step(run)
    parts = [((w - b).abs() / b.abs()).flatten() for w, b in zip(weights, before, strict=True)]
    part = torch.cat(parts).detach().nan_to_num(0.0)
    lost = (part < 2**-9).float().mean().item()
    return {"rate": run.lr, "median": round(part.median().item(), 5), "lost": round(lost, 3)}


ALL = (blocks, start, stall, first_loss, one_batch, tables, gru, race, changes)
CASES = {f.__name__: f for f in ALL}


def options(parser) -> None:
    add_names(parser, CASES)


def run(args) -> None:
    for name in args.names or CASES:
        case = CASES[name]
        rows = []
        for row in case():
            rows.append(row)
            print(f"{name}: {row}", flush=True)
        write_record(args.out / f"{name}.json", {"what": case.__doc__.split("\n")[0]}, rows)
