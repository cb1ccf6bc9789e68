"""Ctrl-C as a request to stop, not as an error; the same for a closed terminal or a shutdown."""

import os
import signal
import sys
import threading
from contextlib import suppress

# Windows has no SIGHUP, the signal of a terminal that was closed.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class StopSign:
    """Inside `with StopSign() as stop`, a signal to end makes `stop` true instead of ending.

    This lets a loop finish its step and save. After the block the signal does what it would have
    done, so the program still ends as its sender expects; only Ctrl-C is over then. A second
    signal acts at once. The stop button of a notebook sends the same signal as Ctrl-C. words: the
    message to print at the first.
    """

    def __init__(self, words="\nStopping after this step (once more to stop at once) ..."):
        self.number, self.words = None, words

    def __bool__(self):
        return self.number is not None

    def __enter__(self):
        self.before = {}
        # Only the main thread may set handlers, and only the main thread is interrupted.
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                ignored = (None, signal.SIG_IGN)  # as `nohup` wants it
                if number == signal.SIGINT or signal.getsignal(number) not in ignored:
                    self.before[number] = signal.signal(number, self.on_signal)
        return self

    def on_signal(self, number, frame):
        if self and "TORCHELASTIC_RUN_ID" in os.environ:
            return  # torchrun sends again what the terminal has sent already
        if self:
            raise_again(number, self.before)
        self.number = number
        if number == getattr(signal, "SIGHUP", None):
            say_nothing_more()
        with suppress(RuntimeError, OSError):  # fails if the signal interrupted another print
            print(self.words, end="\n" if self.words else "", flush=True)

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.number not in (None, signal.SIGINT):
            signal.raise_signal(self.number)


def raise_again(number: int, before: dict) -> None:
    """Does at once what a signal does by itself."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    with suppress(RuntimeError, OSError):
        print("\nEnding at once. What was saved is safe.", flush=True)
    signal.signal(number, before[number])
    signal.raise_signal(number)


def say_nothing_more() -> None:
    """The terminal is gone: printing to it would be an error from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError):
            if stream and stream.isatty():
                os.dup2(nowhere, stream.fileno())
