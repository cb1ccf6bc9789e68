"""A sheet of 8 by 8 squares to draw on in a notebook, and what a model sees in it.

It works with ipywidgets 7.7 (Colab's) and 8. Without ipywidgets it says how to draw with signs.
"""

from html import escape

import torch

from nanogpt_lib.beyond.digits import smudge
from nanogpt_lib.beyond.modalities import caption, patches

DRAW_WITH_SIGNS = (
    "The sheet needs ipywidgets: pip install ipywidgets, and restart the kernel. Until then draw "
    "with signs: digits.from_text(...)"
)


def sketchpad(model, tokenizer, image=None):
    """A sheet for the last line of a cell. If ipywidgets is missing: None, and a printed sentence.

    model: a PrefixGPT that was trained on `patches` of 8 by 8 pictures. image: (8, 8), the drawing
    at the start; a square is filled if it has half of the full ink or more.
    """
    try:
        import ipywidgets
    except ImportError:
        print(DRAW_WITH_SIGNS)
        return None
    return Sketchpad(ipywidgets, model, tokenizer, image)


class Sketchpad:
    """64 buttons, what the model says about them, and a button that wipes the sheet."""

    def __init__(self, ipywidgets, model, tokenizer, image=None):
        self.model, self.tokenizer, self.asleep = model, tokenizer, False
        image = torch.zeros(8, 8) if image is None else image
        w, side = ipywidgets, "34px"
        self.squares = [
            w.ToggleButton(bool(v >= 0.5), layout=w.Layout(width=side, height=side, margin="1px"))
            for v in image.flatten()
        ]
        self.wipe_button = w.Button(description="Wipe", icon="eraser")
        self.says = w.HTML()
        rows = [w.HBox(self.squares[i : i + 8]) for i in range(0, 64, 8)]
        self.box = w.VBox([*rows, self.wipe_button, self.says])
        self.box.add_class("nanogpt-sketchpad")
        for square in self.squares:
            square.observe(self.look, names="value")
            self.paint(square)
        self.wipe_button.on_click(self.wipe)
        self.look()

    def paint(self, square) -> None:
        square.button_style = "primary" if square.value else ""

    def wipe(self, *_) -> None:
        self.asleep = True  # look once at the end, not once for each square
        for square in self.squares:
            square.value = False
        self.asleep = False
        self.look()

    def picture(self):
        """The drawing, (8, 8), with soft edges like a scan."""
        ink = torch.tensor([float(square.value) for square in self.squares])
        return smudge(ink.view(8, 8))

    def look(self, change=None) -> None:
        """Says what the model sees; called at each click."""
        if change:
            self.paint(change["owner"])
        if self.asleep:
            return
        picture = self.picture()
        said = "Click on squares to draw a digit."
        if picture.any():
            (words,) = caption(self.model, self.tokenizer, patches(picture[None]))
            said = f"The model says: {words}"
        self.said = said
        self.says.value = f"<p style='font-size:17px'>{escape(said)}</p>"

    def __repr__(self) -> str:
        return "A sheet to draw on: run this cell to get it."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/plain": f"{self!r} {self.said}",
        }
