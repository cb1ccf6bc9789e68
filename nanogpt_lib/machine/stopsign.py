"""Ctrl-C as a request to stop, not as an error."""

import signal
import threading
from contextlib import suppress


class StopSign:
    """Inside `with StopSign() as stop`, Ctrl-C makes `stop` true instead of raising.

    This lets a loop finish its step and save. A second Ctrl-C raises KeyboardInterrupt at once.
    The stop button of a notebook sends the same signal. words: the message to print at the first.
    """

    def __init__(self, words="\nStopping after this step (once more to stop at once) ..."):
        self.seen, self.words = False, words

    def __bool__(self):
        return self.seen

    def __enter__(self):
        # Only the main thread may set handlers, and only the main thread is interrupted.
        self.in_charge = threading.current_thread() is threading.main_thread()
        if self.in_charge:
            self.before = signal.signal(signal.SIGINT, self.on_signal)
        return self

    def on_signal(self, number, frame):
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True
        with suppress(RuntimeError):  # fails if the signal interrupted another print
            print(self.words, end="\n" if self.words else "", flush=True)

    def __exit__(self, *error):
        if self.in_charge:
            signal.signal(signal.SIGINT, self.before)
