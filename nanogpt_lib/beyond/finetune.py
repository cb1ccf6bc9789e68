"""Fine-tuning: a trained model learns more, from requests and their answers.

It adds three ideas to the rest of the library: new symbols that mark who speaks (`extend`),
targets that leave the request out of the loss (`pair_batch`), and the loop of `training` on
batches of these pairs (`tune`).

Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.4, the step called SFT there.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_

from nanogpt_lib.model import GPT
from nanogpt_lib.runs.template import MARKS, Mark, MarkedTokenizer
from nanogpt_lib.training import TrainConfig, lr_at, make_optimizer

END = "¶"  # an answer is over; in a tokenizer that has no letters, as in `arithmetic`
IGNORED = -100  # F.cross_entropy leaves out targets of this value: its ignore_index


def extend(model: GPT, tokenizer, marks=MARKS) -> tuple[GPT, MarkedTokenizer]:
    """A copy of a model that knows marks as well, and its tokenizer.

    Each mark gets a row in the embedding table: the mean of the old rows, so that it means nothing
    special yet, plus a little noise, so that no two rows are the same. All other weights are kept,
    so the model keeps what it has learnt. Marks that it knows already do not change. No text gives
    the id of a mark; see `runs.template`.
    """
    marked = tokenizer if isinstance(tokenizer, MarkedTokenizer) else MarkedTokenizer(tokenizer, ())
    wanted = [mark if isinstance(mark, Mark) else Mark(mark) for mark in marks]
    new = [mark for mark in dict.fromkeys(wanted) if mark not in marked.marks]
    marked = MarkedTokenizer(marked.base, (*marked.marks, *new))
    larger = GPT(replace(model.config, vocab_size=marked.vocab_size))
    weights = model.state_dict()
    old = weights["transformer.wte.weight"]  # (V, C)
    rows = old.mean(0) + 0.02 * torch.randn(len(new), old.size(1))  # 0.02 as in a new GPT
    table = torch.cat((old, rows))  # (V + new, C)
    weights["transformer.wte.weight"] = weights["lm_head.weight"] = table  # they are tied
    larger.load_state_dict(weights)
    return larger.train(model.training), marked


def pair_batch(tokenizer, pairs, block_size: int):
    """Pairs (prompt, answer) as a batch to learn from: texts, or lists of texts and marks.

    Returns x and y, both int64 (B, T), T the longest pair's length less one. y is x one token
    later, and IGNORED where nothing is to be learnt: inside the prompt, and behind the end of a
    pair. So the first target is the answer's first token.
    Raises ValueError for a pair that does not fit the context.
    """
    rows, targets = [], []
    for prompt, answer in pairs:
        ids = tokenizer.encode(prompt + answer)
        if len(ids) - 1 > block_size:
            raise ValueError(
                f"{prompt + answer!r} has {len(ids)} tokens; a context of {block_size} takes "
                f"{block_size + 1}, the last one as a target. Shorten it or leave it out"
            )
        y = torch.tensor(ids[1:])
        y[: len(tokenizer.encode(prompt)) - 1] = IGNORED
        rows.append(torch.tensor(ids[:-1]))
        targets.append(y)
    pad = torch.nn.utils.rnn.pad_sequence  # what fills up x does not matter: nothing looks there
    return pad(rows, batch_first=True), pad(targets, batch_first=True, padding_value=IGNORED)


def tune(model, draw, config: TrainConfig, watch=None) -> list[float]:
    """Trains a model in place on the batches from `draw`; returns the loss of every step.

    draw: a function without arguments that returns the model's arguments, on its device. For a
    GPT these are x and y, both int64 (B, T); see `pair_batch`. config: its steps, learning rates
    and clipping are used. watch: called as watch(step) every eval_interval steps, to measure
    during the training.
    """
    optimizer = make_optimizer(model, config)
    model.train()
    losses = []
    for step in range(config.max_steps):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(step, config)
        _, loss = model(*draw())
        loss.backward()
        clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if watch and (step + 1) % config.eval_interval == 0:
            watch(step + 1)
            model.train()
    model.eval()
    return losses


def unmasked(draw):
    """A `draw` whose batches also teach the prompts: what tuning is without the mask."""

    def draw_all():
        x, y = draw()
        prompt = (y != IGNORED).cumsum(1) == 0  # (B, T): before the first target of the answer
        following = torch.cat((x[:, 1:], y[:, -1:]), dim=1)  # (B, T)
        return x, torch.where(prompt, following, y)

    return draw_all


def mixed(draw, draw_old):
    """A `draw` whose batches hold new rows and rows of old text, which prevent forgetting."""

    def draw_both():
        (x, y), (old_x, old_y) = draw(), draw_old()
        T = max(x.size(1), old_x.size(1))
        x, old_x = (F.pad(t, (0, T - t.size(1))) for t in (x, old_x))
        y, old_y = (F.pad(t, (0, T - t.size(1)), value=IGNORED) for t in (y, old_y))
        return torch.cat((x, old_x)), torch.cat((y, old_y))

    return draw_both
