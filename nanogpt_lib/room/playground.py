"""Playgrounds: a trained model to try out in a notebook, with sliders and a text box.

They work with ipywidgets 7.7 (Colab's) and 8, in JupyterLab, Colab and VS Code. Nothing runs in
the background. When you move a control the model writes, and its text appears as it is written.
If a notebook is only viewed, as on GitHub, it shows a printed text and a picture instead.
"""

import base64
import inspect
import time
import warnings
from html import escape

import torch

from nanogpt_lib import plots
from nanogpt_lib.checks import check_sampling
from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.room.display import controls, png_bytes
from nanogpt_lib.sampling import (
    encode_prompt,
    generate,
    next_scores,
    probabilities,
    stream,
    window_start,
)

# What `stream` takes, and its defaults.
SETTINGS = {
    name: parameter.default
    for name, parameter in inspect.signature(stream).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
}
PROMPT = "First Citizen:\n"
N_BARS = 10
PAUSE = 0.1  # seconds between two updates of the text; each one is a message to the browser
SHAPE = "white-space:pre-wrap;line-height:1.35;margin:0"  # the text keeps its lines and wraps


def playground(model, tokenizer, prompt: str | None = None, length: int = 200, **settings):
    """Controls that let a model write: the prompt, temperature, top-k, top-p, length and seed.

    Make it the last line of a cell. It prints what the model writes at first, and returns a
    `Playground`, which the notebook shows as controls. Without ipywidgets it says what is
    missing, and returns None. prompt: "First Citizen:" and a new line if not given, or nothing if
    the tokenizer lacks these letters. length: number of tokens to write. settings: the first values
    of the controls, and of what has no control (`unknown`, `use_cache`): see `sampling.stream`.
    """
    settings = SETTINGS | {"seed": 1} | settings
    prompt = first_prompt(tokenizer) if prompt is None else prompt
    try:
        check_sampling(settings["temperature"], settings["top_k"], settings["top_p"])
        print(harmless(first_words(model, tokenizer, prompt, length, settings)))
    except (ValueError, TypeError) as error:
        print(f"Nothing to play with yet: {error}")
        return None
    try:
        import ipywidgets
    except ImportError:
        print(
            "\nThe controls need ipywidgets: pip install ipywidgets, and restart the kernel. "
            "Until then change a number and run it again:\n"
            f"print(generate(model, tokenizer, {prompt!r}, {length}, temperature=1.2, seed=1))"
        )
        return None
    return Playground(ipywidgets, model, tokenizer, prompt, length, settings)


def first_prompt(tokenizer, wish: str = PROMPT) -> str:
    """A prompt as one would wish it, if the tokenizer knows every symbol of it; else nothing."""
    try:
        tokenizer.encode(wish)
    except ValueError:
        return ""
    return wish


def first_words(model, tokenizer, prompt, length, settings) -> str:
    """What the model writes before you move a control, and the settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the controls will say it
        text = generate(model, tokenizer, prompt, length, **settings)
    if settings["greedy"] or settings["temperature"] == 0:
        how = "Always the likeliest symbol"
    else:
        how = f"Temperature {settings['temperature']}, seed {settings['seed']}"
    return f"{how}:\n\n{text}"


def next_chances(model, tokenizer, prompt: str, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    """What may follow a prompt: the model's own probabilities, and those of being drawn, each (V,).

    settings: see `sampling.stream`. Raises the same ValueErrors.
    """
    chosen = SETTINGS | settings
    ids = encode_prompt(model, tokenizer, prompt, chosen["unknown"])
    window = torch.tensor([ids[window_start(len(ids), model.config.block_size) :]])  # (1, T)
    scores = next_scores(model, window, None)[0]  # (V,)
    temperature = 0 if chosen["greedy"] else chosen["temperature"]
    drawn = probabilities(scores, temperature, chosen["top_k"], chosen["top_p"])
    return probabilities(scores), drawn


class Playground:
    """The controls of `playground`, as attributes: `p.temperature.value = 1.2` moves a slider."""

    def __init__(self, ipywidgets, model, tokenizer, prompt, length, settings):
        self.model, self.tokenizer = model, tokenizer
        self.rest = {name: settings[name] for name in ("unknown", "use_cache")}
        self.make_controls(ipywidgets, prompt, length, settings)
        self.make_outputs(ipywidgets)
        self.arrange(ipywidgets)
        for control in (*self.sliders, self.seed, self.greedy):
            control.observe(self.write, names="value")
        self.write_button.on_click(self.write)
        self.again_button.on_click(self.another_seed)
        self.write()

    def make_controls(self, w, prompt, length, settings):
        V = self.tokenizer.vocab_size
        narrow, wide = w.Layout(width="400px", max_width="98%"), w.Layout(width="98%")
        look = {"style": {"description_width": "90px"}, "continuous_update": False}
        self.prompt = w.Textarea(prompt, description="prompt", rows=2, layout=wide, **look)
        look["layout"] = narrow
        warmth = settings["temperature"]
        self.temperature = w.FloatSlider(
            warmth, min=0, max=max(2, warmth), step=0.05, description="temperature", **look
        )
        self.top_k = w.IntSlider(
            min(settings["top_k"] or V, V), min=1, max=V, description="top-k", **look
        )
        self.top_p = w.FloatSlider(
            settings["top_p"] or 1.0, min=0.01, max=1, step=0.01, description="top-p", **look
        )
        self.length = w.IntSlider(
            length, min=20, max=max(600, length), step=20, description="length", **look
        )
        self.sliders = (self.temperature, self.top_k, self.top_p, self.length)
        self.seed = w.BoundedIntText(
            settings["seed"] or 0, min=0, max=2**31 - 1, description="seed", **look
        )
        self.greedy = w.Checkbox(
            settings["greedy"], description="greedy: always the likeliest", indent=False
        )
        self.write_button = w.Button(description="Write", button_style="primary", icon="pencil")
        self.again_button = w.Button(description="Another seed", icon="random")

    def make_outputs(self, w):
        self.png, self.summary = b"", ""
        # A few lines high from the start, so that what is below it does not move.
        self.written = w.HTML(layout=w.Layout(min_height="130px", margin="10px 0"))
        self.picture = w.Image(format="png", layout=w.Layout(width="640px", max_width="98%"))
        self.likeliest = w.HTML()

    def arrange(self, w):
        V = self.tokenizer.vocab_size
        note = w.HTML(f"<small>top-k {V} and top-p 1.00 leave every symbol in the draw</small>")
        left = w.VBox([self.temperature, self.top_k, self.top_p, note])
        right = w.VBox([self.length, self.seed, self.greedy])
        buttons = w.HBox([self.write_button, self.again_button])
        wrap = w.Layout(flex_flow="row wrap")  # below each other if the window is narrow
        self.box = w.VBox(
            [
                self.prompt,
                w.HBox([left, right], layout=wrap),
                buttons,
                self.written,
                self.picture,
                self.likeliest,
            ]
        )
        self.box.add_class("nanogpt-playground")
        self.temperature.add_class("nanogpt-temperature")
        self.written.add_class("nanogpt-written")

    def settings(self) -> dict:
        """The values of the controls, as arguments of `sampling.stream`."""
        return {
            "temperature": self.temperature.value,
            "top_k": None if self.top_k.value == self.top_k.max else self.top_k.value,
            "top_p": None if self.top_p.value == self.top_p.max else self.top_p.value,
            "greedy": self.greedy.value,
            "seed": self.seed.value,
        } | self.rest

    def another_seed(self, *_):
        self.seed.value += 1  # this makes the model write

    def write(self, *_) -> None:
        """Shows what may come next and what the model writes. An error is shown as a sentence."""
        for control in (self.temperature, self.top_k, self.top_p, self.seed, self.again_button):
            control.disabled = self.greedy.value  # greedy sampling ignores them
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            try:
                self.show_chances()
                self.show_text(remarks)
            except KeyboardInterrupt:  # the stop button
                self.show("Stopped.")
            except Exception as error:  # never a traceback below a slider
                self.picture.layout.display, self.likeliest.value = "none", ""
                self.show(f"{error}.")

    def show_text(self, remarks) -> None:
        prompt, text, shown = self.prompt.value, "", time.perf_counter()
        for piece in stream(
            self.model, self.tokenizer, prompt, self.length.value, **self.settings()
        ):
            text += piece
            if time.perf_counter() - shown > PAUSE:
                self.show("", prompt, text)
                shown = time.perf_counter()
        said = {f"Note: {remark.message}." for remark in remarks}
        self.show(" ".join(sorted(said)), prompt, text)

    def show(self, remark: str, prompt: str = "", text: str = "") -> None:
        words = f"<p style='{SHAPE}'><em>{escape(remark)}</em></p>" if remark else ""
        if prompt or text:
            words += f"<pre dir='auto' style='{SHAPE}'><b>{escape(prompt)}</b>{escape(text)}</pre>"
        self.written.value = words

    def show_chances(self) -> None:
        own, drawn = next_chances(
            self.model, self.tokenizer, self.prompt.value, **self.settings()
        )  # each (V,)
        order = own.argsort(descending=True, stable=True)[:N_BARS].tolist()
        names = [self.tokenizer.decode([i]) for i in order]
        percent = [100 * drawn[i].item() for i in order]
        after = self.prompt.value[-20:] or "\n"
        title = f"What comes after {plots.visible(repr(after))}"
        figure = plots.bars(names, percent, title=title, xlabel="chance of being drawn, percent")
        figure.axes[0].set_xlim(0, 108)  # the same at every setting, so that bars compare
        self.png = png_bytes(figure)
        self.picture.value, self.picture.layout.display = self.png, None
        self.summary = (
            f"Likeliest after {after!r}: {names[0]!r} with {percent[0]:.0f}%, then {names[1]!r} "
            f"with {percent[1]:.0f}%; {(drawn > 0).sum().item()} symbols are in the draw."
        )
        self.likeliest.value = f"<small>{escape(self.summary)}</small>"

    def __repr__(self) -> str:
        return "A playground: run this cell to get its sliders and its text box."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The controls, and a picture and a line for a notebook that is only read."""
        picture = base64.b64encode(self.png).decode("ascii")
        return controls(self.box) | {"image/png": picture, "text/plain": repr(self)}
