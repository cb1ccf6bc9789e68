"""A sheet to draw a digit on, with mouse, finger or keyboard, and a model that looks at it.

The sheet is one small page in an output cell. The model is inside it, in half precision, and runs
in the browser (`room/web/sketchpad.js`, on the GPT of `model.js`). So it needs no network and no
kernel, and works in JupyterLab, Colab and VS Code alike.

A drawing becomes a picture much as the scanned digits did (see `beyond.digits`): it is scaled to a
grid of 32 by 32, always to the full height, and the ink in each block of 4 by 4 is counted.
"""

import base64
import math

import torch

from nanogpt_lib.beyond.modalities import END, PrefixGPT, caption, patches
from nanogpt_lib.room.web.frames import Framed, small
from nanogpt_lib.room.web.page import laid_out, on_the_page
from nanogpt_lib.tokenizer import CharTokenizer

GRID, BLOCK = 32, 4  # places in a row of the fine grid; places in a row of a block
PEN = 2.4  # the pen's radius on the grid: the ink is then about that of the scans, 0.3
WIDEST = 22  # of 32: most scanned digits leave their sides empty; a round zero becomes narrower
NARROWEST = 12  # a stroke like that of a one is drawn with a wider pen: no scan is narrower
SMALLEST = 0.2  # of the sheet's height: what is smaller, such as a dot, is not blown up further


def rasterise(strokes) -> torch.Tensor:
    """Strokes as a picture, float32 (8, 8) from 0 to 1; all 0 without strokes.

    strokes: lists of points (x, y), from (0, 0) in the upper left corner of the sheet to (1, 1).
    """
    lines = [torch.tensor(stroke, dtype=torch.double).view(-1, 2) for stroke in strokes]
    points = torch.cat([*lines, torch.zeros(0, 2)])  # (points, 2)
    if not len(points):
        return torch.zeros(GRID // BLOCK, GRID // BLOCK)
    low, high = points.amin(0), points.amax(0)
    width, height = (high - low).clamp(min=1e-9).tolist()
    pen = max(PEN, (NARROWEST - width * (GRID - 2 * PEN) / height) / 2)
    up = min((GRID - 2 * pen) / height, GRID / SMALLEST)
    scale = torch.tensor([min(up, (WIDEST - 2 * pen) / width), up])
    middle = (low + high) / 2
    at = torch.arange(GRID) + 0.5
    places = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).double()  # (32, 32, 2): x, y
    far = torch.full((GRID, GRID), torch.inf, dtype=torch.double)
    for line in lines:
        moved = (line - middle) * scale + GRID / 2
        for a, b in zip(moved, [*moved[1:], moved[-1]], strict=True):
            along = ((places - a) @ (b - a)) / ((b - a) @ (b - a)).clamp(min=1e-12)
            nearest = a + along.clamp(0, 1)[..., None] * (b - a)
            far = far.minimum((places - nearest).norm(dim=-1))
    ink = (far <= pen).float().view(GRID // BLOCK, BLOCK, GRID // BLOCK, BLOCK)
    return ink.mean(dim=(1, 3))


def zero() -> list[list[tuple[float, float]]]:
    """A drawn zero, from its top round to its top: what is on the sheet at first."""
    turns = [i / 12 * math.pi for i in range(25)]
    return [
        [(round(0.5 + 0.2 * math.sin(t), 3), round(0.5 - 0.32 * math.cos(t), 3)) for t in turns]
    ]


def sketchpad(
    model: PrefixGPT, tokenizer: CharTokenizer, strokes=None, height: int = 520
) -> Framed:
    """A sheet for the last line of a cell, and what the model says about the drawing on it.

    model: trained on `patches` of pictures of 8 by 8. strokes: the drawing at first, see
    `rasterise`; a zero if not given. height: in pixels. Raises ValueError for another kind of
    model, or if its weights are not finite.
    """
    strokes = zero() if strokes is None else strokes
    P, size = model.place.num_embeddings, math.isqrt(model.encoder.in_features)
    side = GRID // BLOCK
    if model.encoder.in_features != size**2 or P * size**2 != side**2:
        raise ValueError(
            f"the sheet is {side} by {side}; this model reads {P} pieces of "
            f"{model.encoder.in_features} numbers"
        )
    picture = rasterise(strokes)
    says = caption(model, tokenizer, patches(picture[None], size))[0] if strokes else "nothing yet"
    config, weights = model.gpt.config, on_the_page(model.gpt, 16)
    # In the browser a piece is a token: it has a row in the table, which the drawing fills, and
    # its place comes before the places of the words.
    words, places = weights["transformer.wte.weight"], weights["transformer.wpe.weight"]
    weights["transformer.wte.weight"] = torch.cat((words, words.new_zeros(P, config.n_embd)))
    weights["transformer.wpe.weight"] = torch.cat(
        (model.place.weight.detach().cpu().half(), places)
    )
    tensors, blob = laid_out(weights)
    shape = {name: getattr(config, name) for name in ("vocab_size", "n_layer", "n_head", "n_embd")}
    data = {
        "config": shape | {"block_size": P + config.block_size},
        "tensors": tensors,
        "weights": base64.b64encode(blob).decode("ascii"),
        "tokenizer": {"symbols": list(tokenizer.symbols)},
        "prefix": {
            "encoder": [*map(rounded, model.encoder.weight.tolist())],
            "bias": rounded(model.encoder.bias.tolist()),
            "size": size,
            "end": tokenizer.encode(END)[0],
        },
        "grid": {
            "GRID": GRID,
            "BLOCK": BLOCK,
            "PEN": PEN,
            "WIDEST": WIDEST,
            "NARROWEST": NARROWEST,
            "SMALLEST": SMALLEST,
        },
        "strokes": strokes,
    }
    call = 'sketch(document.getElementById("root"), data);'
    seen = f"A sheet to draw on, with the mouse, a finger or keys. The model says: {says}."
    return small("sketchpad.js", call, data, height, seen, "model.js")


def rounded(values: list[float]) -> list[float]:
    """Numbers with few digits: they are read as text."""
    return [round(value, 5) for value in values]
