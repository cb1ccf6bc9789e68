"""Small pages in the output cell of a notebook: plain HTML and JavaScript, without a network.

Each stands in a frame of its own, so it works in JupyterLab, in Colab and in VS Code.
"""

import json
import math
from html import escape
from importlib.resources import files

import torch

from nanogpt_lib.sampling import dropout_off


class Framed:
    """HTML in a frame of its own: it sees nothing of the notebook, and the notebook nothing of it.

    Where a notebook is only read, and in a terminal, a sentence stands in its place.
    """

    def __init__(self, html: str, height: int, seen: str):
        self.html, self.height, self.seen = html, height, seen

    def __repr__(self) -> str:
        return self.seen

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        style = f"width: 100%; height: {int(self.height)}px; border: 0"
        frame = f'<iframe sandbox="allow-scripts" title="{escape(self.seen)}" style="{style}"'
        return {
            "text/html": f'{frame} srcdoc="{escape(self.html)}"></iframe>',
            "text/plain": self.seen,
        }


def read(name: str) -> str:
    """A file that lies beside this one."""
    return (files("nanogpt_lib.room.web") / name).read_text(encoding="utf-8")


def as_json(value) -> str:
    """JSON that is safe inside <script>: no text in it can end the element or begin a comment."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def attention_explorer(model, tokenizer, text: str, height: int | None = None):
    """Who looks at whom in a text, in a notebook: a button for each head, a token to hover.

    model: on any device. text: at most a context of tokens is shown, its end. Raises ValueError
    for a text without a token that the tokenizer knows.
    """
    ids = tokenizer.encode(text, unknown="drop")[-model.config.block_size :]
    if not ids:
        raise ValueError("the text has no token that the model knows")
    idx = torch.tensor([ids], device=model.lm_head.weight.device)  # (1, T)
    with dropout_off(model):
        maps = model.attention(idx)[:, 0].cpu()  # (n_layer, nh, T, T)
    rows = [
        [[[round(w, 4) for w in head[t, : t + 1].tolist()] for t in range(len(ids))] for head in m]
        for m in maps
    ]
    tokens = [tokenizer.decode([i]) for i in ids]
    seen = f"Who looks at whom in {text[-60:]!r}: {maps.size(0)} layers of {maps.size(1)} heads."
    call = 'explore(document.getElementById("root"), data.tokens, data.maps);'
    height = height or 210 + 38 * len(rows)  # a line of buttons for each layer
    return small("explorer.js", call, {"tokens": tokens, "maps": rows}, height, seen)


def softmax_slider(scores, tokens, height: int = 300):
    """A slider that makes scores louder, and the weights that softmax makes of them.

    scores: numbers, one a token; multiplied by the slider's value before the softmax. tokens: their
    names. Raises ValueError if there are not as many of both.
    """
    scores, tokens = [float(score) for score in scores], [str(token) for token in tokens]
    if len(scores) != len(tokens) or not all(map(math.isfinite, scores)):
        raise ValueError("as many finite scores as tokens are needed")
    seen = f"Softmax of scores times a number, for {len(tokens)} tokens."
    call = 'slide(document.getElementById("root"), data.tokens, data.scores);'
    return small("slider.js", call, {"tokens": tokens, "scores": scores}, height, seen)


def small(script: str, call: str, data: dict, height: int, seen: str, *more: str) -> "Framed":
    """A small page of one script: `call` starts it, with `data` at hand. more: scripts it needs."""
    return Framed(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{escape(seen)}</title><style>{read('page.css')}{read('explorer.css')}</style>"
        '<main><div id="root"></div></main>'
        f'<script type="application/json" id="data">{as_json(data)}</script>'
        f"<script>{''.join(map(read, (*more, script)))}"
        f'const data = JSON.parse(document.getElementById("data").textContent);\n{call}'
        "</script></html>",
        height,
        f"{seen} Run the cell to use it.",
    )
