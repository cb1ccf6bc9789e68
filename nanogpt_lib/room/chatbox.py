"""Talking to a tuned model: in a terminal, and with a text box in a notebook.

What a model writes is shown as text, never as markup. Each request stands alone: the model was
tuned on single ones, and nothing is remembered.
"""

import sys
from collections.abc import Iterator
from html import escape
from typing import Any

from nanogpt_lib.machine.terminal import harmless
from nanogpt_lib.room.display import controls
from nanogpt_lib.runs.template import is_chat, reply

EXAMPLE = "Ask as ROMEO."
NO_WIDGETS = (
    "The box needs ipywidgets: pip install ipywidgets, and restart the kernel. Until then: "
    "print(''.join(chat.reply(model, tokenizer, 'Ask as ROMEO.', seed=1)))"
)
SHAPE = "white-space:pre-wrap;line-height:1.35;margin:0 0 10px"


def say(model, tokenizer, request: str, **settings) -> str:
    """The answer to one request. settings: see `runs.template.reply`, which raises ValueErrors."""
    return "".join(reply(model, tokenizer, request, **settings))


def talk(model, tokenizer, seed: int | None = None, **settings) -> int:
    """Answers one line after the other, from the keyboard or from a pipe; returns 0.

    settings: see `runs.template.reply`. A request that cannot be answered is explained, and the
    talk goes on.
    """
    at_keyboard = sys.stdin is not None and sys.stdin.isatty()
    reply(model, tokenizer, "A", unknown="replace")  # refuses a model that is not tuned
    if at_keyboard:
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        print(f"One request at a time, such as: {EXAMPLE} Nothing is remembered. {end} ends.")
    for number, request in enumerate(lines(at_keyboard)):
        own = None if seed is None else seed + number
        try:
            for piece in reply(model, tokenizer, request, seed=own, **settings):
                print(harmless(piece), end="", flush=True)
            print()
        except ValueError as error:
            print(f"note: {harmless(str(error))}", file=sys.stderr)
    return 0


def lines(at_keyboard: bool) -> Iterator[str]:
    """The lines that somebody types, without empty ones."""
    while True:
        try:
            line = input("> " if at_keyboard else "")
        except EOFError:
            if at_keyboard:
                print()
            return
        if line.strip():
            yield line.strip()


def chat_box(model, tokenizer, **given):
    """A text box to talk to a tuned model; make it the last line of a cell.

    It prints an example and its answer, for those who only read the notebook. Without ipywidgets
    it says what is missing, and returns None. given: see `runs.template.reply`.
    Raises ValueError for a model that was not tuned on requests.
    """
    settings: dict[str, Any] = {"seed": 1} | given
    example = EXAMPLE
    if is_chat(tokenizer) and not tokenizer.encode(EXAMPLE, unknown="drop"):  # another script
        example = tokenizer.decode(range(min(9, tokenizer.base.vocab_size))).strip()
    first = say(model, tokenizer, example, **settings | {"unknown": "drop"})
    print(f"{example}\n{harmless(first)}")
    try:
        import ipywidgets
    except ImportError:
        print(NO_WIDGETS)
        return None
    return ChatBox(ipywidgets, model, tokenizer, settings)


class ChatBox:
    """The box, a button, and what was said; Enter sends."""

    def __init__(self, ipywidgets, model, tokenizer, settings):
        w, self.model, self.tokenizer, self.settings = ipywidgets, model, tokenizer, settings
        self.turns: list[tuple[str, str]] = []
        self.box = w.Text(
            placeholder=EXAMPLE,
            description="request",
            continuous_update=False,
            layout=w.Layout(width="420px", max_width="98%"),
        )
        self.send = w.Button(description="Send", button_style="primary", icon="paper-plane")
        self.said = w.HTML(layout=w.Layout(min_height="90px", margin="10px 0"))
        self.whole = w.VBox([w.HBox([self.box, self.send]), self.said])
        self.whole.add_class("nanogpt-chat")
        self.box.observe(self.answer, names="value")
        self.send.on_click(self.answer)

    def answer(self, *_) -> None:
        """Answers what is in the box, and empties it. An error is shown as a sentence."""
        request = self.box.value.strip()
        if not request:
            return
        seed = self.settings["seed"]
        turn = self.settings | {"seed": None if seed is None else seed + len(self.turns)}
        self.turns.append((request, ""))
        try:
            for piece in reply(self.model, self.tokenizer, request, **turn):
                self.turns[-1] = (request, self.turns[-1][1] + piece)
                self.show()
        except Exception as error:  # never a traceback below a box
            self.turns[-1] = (request, f"({str(error).partition('. ')[0]})")
        self.show()
        self.box.value = ""

    def show(self) -> None:
        """All turns, the latest first."""
        self.said.value = "".join(
            f"<pre dir='auto' style='{SHAPE}'><b>{escape(request)}</b>\n{escape(answer)}</pre>"
            for request, answer in reversed(self.turns)
        )

    def __repr__(self) -> str:
        return "A box to talk to the model: run this cell to get it."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return controls(self.whole) | {"text/plain": repr(self)}
