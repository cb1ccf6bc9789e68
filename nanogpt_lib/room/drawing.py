"""One symbol after another, by a button: how a model writes, slowly enough to watch.

It works where the playground works, and with the keyboard alone: Tab goes from the text to the
buttons, and Space presses one. If a notebook is only viewed, it shows a picture and a sentence.
"""

import base64
import warnings
from html import escape

import torch

from nanogpt_lib import plots
from nanogpt_lib.room.display import controls, png_bytes
from nanogpt_lib.room.playground import first_prompt, next_chances

N_BARS = 6  # of likely symbols; all others share one more, and the picture keeps its height
SEEN = 8  # symbols of the text that the picture shows
MANY = 20  # symbols of the button that draws several: enough to see whether words come


def draw_next(model, tokenizer, context: str | None = None, seed: int = 2):
    """A text that you can change, and a button that draws its next symbol and appends it.

    Make it the last line of a cell. It draws once, prints what happened, and returns a `Drawing`,
    which the notebook shows as controls. Without ipywidgets it says what is missing, and returns
    None. context: "hear me " if not given, or nothing if the tokenizer lacks these letters. Symbols
    are drawn by the model's own probabilities, at temperature 1. seed: of the draws.
    """
    context = first_prompt(tokenizer, "hear me ") if context is None else context
    try:
        trip = Trip(model, tokenizer, context, torch.Generator().manual_seed(seed))
    except (ValueError, TypeError) as error:
        print(f"Nothing to draw yet: {error}")
        return None
    print(trip.said)
    try:
        import ipywidgets
    except ImportError:
        print(
            "\nThe button needs ipywidgets: pip install ipywidgets, and restart the kernel. Until "
            "then each run of this line draws another symbol:\n"
            f"print(generate(model, tokenizer, {context!r}, 1, temperature=1, top_k=None))"
        )
        return None
    return Drawing(ipywidgets, model, tokenizer, context, seed)


class Trip:
    """One round: a text, the probabilities of what comes next, and a symbol that was drawn."""

    def __init__(self, model, tokenizer, text: str, dice: torch.Generator):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a long text is cut is said below
            chances, _ = next_chances(model, tokenizer, text, temperature=1, top_k=None)  # (V,)
        token = int(torch.multinomial(chances, 1, generator=dice))
        chance, likeliest = chances.topk(min(N_BARS, len(chances)))
        self.before, self.drawn = text, tokenizer.decode([token])
        self.names = [tokenizer.decode([i]) for i in likeliest.tolist()]
        self.chances = chance.tolist()
        self.ids = tokenizer.encode(text)
        self.tokenizer = tokenizer
        self.said = (
            f"After {text[-SEEN:]!r} the likeliest is {self.names[0]!r}, with {chance[0]:.0%}. "
            f"Drawn: {self.drawn!r}, which had {chances[token]:.0%}."
        )
        if len(self.ids) > model.config.block_size:
            self.said += f" The model sees at most the last {model.config.block_size} symbols."

    @property
    def after(self) -> str:
        return self.before + self.drawn

    def png(self) -> bytes:
        """The round as a picture; of a long text its end."""
        ids = self.ids[-SEEN:]
        tail = self.tokenizer.decode(ids)
        return png_bytes(plots.round_trip(tail, ids, self.names, self.chances, self.drawn))


class Drawing:
    """The controls of `draw_next`: a text box, three buttons, a picture and a sentence."""

    def __init__(self, ipywidgets, model, tokenizer, context: str, seed: int):
        self.model, self.tokenizer, self.seed = model, tokenizer, seed
        self.beginning = context
        self.make(ipywidgets)
        self.again()

    def make(self, w):
        wide = w.Layout(width="98%")
        self.text = w.Textarea(
            description="text", rows=2, layout=wide, continuous_update=False
        )  # the whole text: what was typed, and what was drawn
        self.next = w.Button(description="Draw next", button_style="primary", icon="step-forward")
        self.many = w.Button(description=f"Draw {MANY}", icon="fast-forward")
        self.restart = w.Button(description="Start again", icon="undo")
        self.picture, self.words = w.HTML(), w.HTML()
        self.next.on_click(lambda _: self.draw())
        self.many.on_click(lambda _: self.draw(MANY))
        self.restart.on_click(lambda _: self.again())
        wrap = w.Layout(flex_flow="row wrap")  # below each other if the window is narrow
        buttons = w.HBox([self.next, self.many, self.restart], layout=wrap)
        self.box = w.VBox([self.text, buttons, self.words, self.picture])
        self.box.add_class("nanogpt-drawing")

    def again(self) -> None:
        """Back to the first text; the same symbols come again."""
        self.dice = torch.Generator().manual_seed(self.seed)
        self.text.value = self.beginning
        self.draw()

    def draw(self, times: int = 1) -> None:
        """Draws from the text in the box. An error is shown as a sentence."""
        try:
            for _ in range(times):
                trip = Trip(self.model, self.tokenizer, self.text.value, self.dice)
                self.text.value = trip.after
            self.show(trip)
        except KeyboardInterrupt:  # the stop button
            self.say("Stopped.")
        except Exception as error:  # never a traceback below a button
            self.picture.value = ""
            self.say(f"{error}.")

    def show(self, trip: Trip) -> None:
        self.png = trip.png()
        source = f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"
        style = "width:100%;min-width:600px;max-width:900px"  # on a telephone it can be scrolled
        self.picture.value = (
            f"<div style='overflow-x:auto'><img style='{style}' "
            f'alt="{escape(trip.said)}" src="{source}"></div>'
        )
        self.say(trip.said)

    def say(self, words: str) -> None:
        self.said = words
        self.words.value = f"<p role='status' aria-live='polite'>{escape(words)}</p>"

    def __repr__(self) -> str:
        return f"{self.said} Run this cell to get the button that draws the next one."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The controls, and a picture and a sentence for a notebook that is only read."""
        picture = base64.b64encode(self.png).decode("ascii")
        return controls(self.box) | {"image/png": picture, "text/plain": repr(self)}
