"""How far a GPT is right: its stream after each part, looked for in all that the learner computes.

It does not matter how the learner's code is written. Every result of PyTorch is noted while it
runs, and a stage is right if its stream is among them. The stage after the last right one is where
it goes wrong, and there the results are compared with what known slips give.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from nanogpt_lib.course.exercises import slips
from nanogpt_lib.course.exercises.by_hand import mlp, norm, self_attention

OFF = 1e-4  # between two ways to the same numbers in float32; the two GELUs are further apart
MOST = 5000  # results that are noted; a model of the check's size makes some hundred


@dataclass
class Stage:
    """A place on the way: what is right there, and what slips give instead, with a sentence."""

    name: str
    right: torch.Tensor
    slips: Callable[[], Iterator[tuple[torch.Tensor, str]]]


@dataclass
class Finding:
    reached: str  # "right up to ...", or ""
    wrong: str  # the name of the stage that is not right; "" if all are
    slip: str  # what is wrong in it, or ""


def weights(shape, seed=0) -> dict[str, torch.Tensor]:
    """Weights of a GPT, so large that every slip is seen; shape: vocab_size, block_size, ..."""
    dice = torch.Generator().manual_seed(seed)
    C = shape.n_embd

    def draw(*size, std=0.35, mean=0.0):
        return mean + std * torch.randn(*size, generator=dice)

    w = {"wte.weight": draw(shape.vocab_size, C, std=1), "wpe.weight": draw(shape.block_size, C)}
    for i in range(shape.n_layer):
        layers = {"attn.c_attn": (3 * C, C), "attn.c_proj": (C, C)}
        layers |= {"mlp.c_fc": (4 * C, C), "mlp.c_proj": (C, 4 * C)}
        for name, size in layers.items():
            w[f"h.{i}.{name}.weight"], w[f"h.{i}.{name}.bias"] = draw(*size), draw(size[0])
        for name in ("ln_1", "ln_2"):
            w[f"h.{i}.{name}.weight"], w[f"h.{i}.{name}.bias"] = draw(C, mean=1), draw(C)
    w["ln_f.weight"], w["ln_f.bias"] = draw(C, mean=1), draw(C)
    kept = {name: weight for name, weight in w.items() if shape.bias or ".bias" not in name}
    w = {f"transformer.{name}": weight for name, weight in kept.items()}
    return w | {"lm_head.weight": w["transformer.wte.weight"]}


def stages(ids, w, n_layer: int, n_head: int) -> list[Stage]:
    """The way of ids (1, T) through a GPT, stage by stage."""
    symbols, places = w["transformer.wte.weight"], w["transformer.wpe.weight"]
    x = symbols[ids] + places[: ids.size(1)]  # (1, T, C)
    way = [Stage("the embeddings", x, partial(in_embeddings, ids, symbols, places))]
    for i in range(n_layer):
        at, before = f"transformer.h.{i}", x
        x = x + self_attention(norm(x, w, f"{at}.ln_1"), w, f"{at}.attn", n_head)
        after = x
        x = x + mlp(norm(x, w, f"{at}.ln_2"), w, f"{at}.mlp")
        gathered = partial(in_attention, before, w, i, n_layer, n_head)
        worked = partial(slips.in_mlp, after, before, w, i, n_layer)
        way += [Stage(f"block {i}'s attention", after, gathered)]
        way += [Stage(f"block {i}'s MLP", x, worked)]
    last = norm(x, w, "transformer.ln_f")
    way.append(Stage("the last norm, `ln_f`", last, partial(in_last_norm, x, w, n_layer)))
    return [*way, Stage("the scores", last @ symbols.T, partial(in_scores, last, symbols, places))]


def in_embeddings(ids, symbols, places):
    T, x = ids.size(1), symbols[ids]
    counted = torch.arange(1, T + 1)
    yield x + places[counted], "places are counted from 1; the first row of wpe is for the first."
    yield x + places[ids], "wpe is asked for the symbols; its rows are for places: wpe[:T]."
    yield x + places[T - 1], "every token gets the same place: row t of wpe is for token t."
    yield x * places[:T], "symbol and place are multiplied; they are added."
    yield x, "the positions are missing: add the vector of each place, the first T rows of wpe."


def in_attention(x, w, n, n_layer, n_head):
    """Slips in block n's attention; a model that left the block out as a whole has ended early."""
    if n:
        ends = norm(x, w, "transformer.ln_f")
        yield ends, f"it ends after block {n - 1}. There are n_layer of them: is a loop missing?"
    yield from slips.in_attention(x, w, n, n_layer, n_head)


def in_last_norm(x, w, n_layer):
    symbols = w["transformer.wte.weight"]
    yield F.layer_norm(x, x.shape[-1:]), "`ln_f` has a gain and a bias, which are not used."
    for i in range(n_layer):
        for name in ("ln_1", "ln_2"):
            yield (
                norm(x, w, f"transformer.h.{i}.{name}"),
                f"at the end stands `{name}` of block {i}; the last norm has weights of its own.",
            )
    yield x @ symbols.T, "`ln_f` is missing: the head reads the stream through one last norm."


def in_scores(last, symbols, places):
    if symbols.shape == places.shape:
        yield last @ places.T, "the head is the table of places; it is that of symbols, wte."
    yield last @ symbols.flip(0).T, "the rows of the head are reversed."


class Notes(TorchFunctionMode):
    """Notes each result of PyTorch that has one of these numbers of elements."""

    def __init__(self, sizes: set[int]):
        super().__init__()
        self.sizes = sizes
        self.seen: list[torch.Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunction():
            for each in result if isinstance(result, (tuple, list)) else (result,):
                fits = isinstance(each, torch.Tensor) and each.numel() in self.sizes
                if fits and each.is_floating_point() and len(self.seen) < MOST:
                    self.seen.append(each.detach().double().cpu().clone())  # it may be changed yet
        return result

    def have(self, value: torch.Tensor) -> bool:
        value = value.detach().double().flatten()
        return any(
            value.numel() == each.numel()
            and torch.allclose(each.flatten(), value, rtol=OFF, atol=OFF, equal_nan=True)
            for each in self.seen
        )


def find(call: Callable, ids, w, n_layer: int, n_head: int) -> Finding:
    """Runs a learner's model, and says how far it is right. ids: (1, T); call: what runs it."""
    with torch.no_grad():
        way = stages(ids, w, n_layer, n_head)
        notes = Notes({stage.right.numel() for stage in way})
        with notes:
            call()
        known = [i for i, stage in enumerate(way) if notes.have(stage.right)]
        at = max(known, default=-1) + 1
        reached = f"right up to {way[at - 1].name}; " if at else ""
        if at == len(way):
            return Finding(reached, "", "")
        slip = next((words for value, words in way[at].slips() if notes.have(value)), "")
        return Finding(reached, way[at].name, slip)


def is_the_library_s(module: str) -> bool:
    """Whether a module, by its name, is of this library, and none of the exercises."""
    return module.split(".")[0] == __name__.split(".")[0] and ".exercises" not in module


class Borrowed:
    """Notes the first function of the library, but for the exercises, that a call comes through."""

    def __init__(self):
        self.name = ""

    def look(self, frame, event, argument) -> None:
        where = frame.f_globals.get("__name__", "")
        if event == "call" and is_the_library_s(where) and not self.name:
            self.name = f"{where}.{getattr(frame.f_code, 'co_qualname', frame.f_code.co_name)}"

    def __enter__(self):
        self.before = sys.getprofile()
        sys.setprofile(self.look)
        return self

    def __exit__(self, *error) -> None:
        sys.setprofile(self.before)
