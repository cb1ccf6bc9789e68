"""Ends an answer that would go on for ever, or eat the machine's memory.

A second thread looks at the clock and at the memory while the learner's function runs. Past a
limit it raises `Endless` inside the learner's own code. It does so again and again, as a loop with
a bare `except:` in it swallows the first ones. A single call that never comes back to Python, such
as sum(itertools.count()), cannot be ended this way: no thread gets a turn while it runs.
"""

import ctypes
import signal
import sys
import threading
import time
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass

import psutil

SECONDS = 10.0  # the slowest right answer takes 0.02
MEGABYTES = 600  # far below what a laptop of 8 GB has left; no right answer needs one
CHARACTERS = 100_000  # printed; a browser that gets them for 10 seconds hangs
LOOK = 0.05  # seconds between two looks at clock and memory
DEAF = 1.0  # seconds after which a call that sleeps or waits is woken as well


class Endless(BaseException):
    """Raised inside an answer that is to end. `except Exception` does not catch it."""


@dataclass
class NoEnd:
    """What an answer gave that had to be ended."""

    why: str
    line: str = ""  # of the learner's own code, where it was

    def __str__(self) -> str:
        where = f" (in: {self.line})" if self.line else ""
        return (
            f"it did not end; {self.why}{where}. In a `while` loop, does the loop's variable grow "
            "in every branch?"
        )


class Watch:
    """The thread that looks after one call, in the thread that makes it."""

    def __init__(self, seconds: float, megabytes: float):
        self.seconds, self.bytes = seconds, megabytes * 1e6
        self.caller = threading.get_ident()
        self.main = threading.current_thread() is threading.main_thread()
        self.lock, self.over = threading.Lock(), threading.Event()
        self.why = ""
        self.process = psutil.Process()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def start(self) -> None:
        self.began, self.had = time.monotonic(), self.process.memory_info().rss
        self.thread.start()

    def look(self) -> None:
        """Waits for the end of the call, or of the patience; then makes it end."""
        sys.settrace(None)  # a traced thread of Python 3.11 hangs while an error waits for another
        while not self.over.wait(LOOK):
            if self.process.memory_info().rss - self.had > self.bytes:
                self.why = f"it took over {self.bytes / 1e6:.0f} MB of memory, so it was stopped"
            elif time.monotonic() - self.began > self.seconds:
                self.why = f"it was stopped after {self.seconds:.0f} seconds"
            if self.why:
                self.end()
                return

    def end(self) -> None:
        asked = time.monotonic()
        while not self.over.is_set():
            with self.lock:  # never after the call is over
                if not self.over.is_set():
                    raise_in(self.caller, Endless)
                    if self.main and time.monotonic() - asked > DEAF:
                        wake(self.caller)
            self.over.wait(2 * LOOK)

    def stop(self) -> None:
        """Says that the call is over. What was raised for it arrives here, at the latest.

        It is not taken back: Python 3.11 would go on looking for it, and with a tracer, such as a
        debugger's, it would look for ever.
        """
        while True:
            try:
                with self.lock:  # from here on nothing more is raised
                    self.over.set()
                for _ in range(100):  # Python looks for it at the end of each round of a loop
                    pass
                return
            except (Endless, KeyboardInterrupt):
                continue


def raise_in(thread: int, error: type[BaseException]) -> None:
    """Raises an error in a thread, before its next line of Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def wake(thread: int) -> None:
    """Presses the stop button: it wakes a main thread that sleeps or waits."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours and hasattr(signal, "pthread_kill"):  # Windows has none
        signal.pthread_kill(thread, signal.SIGINT)


class Page:
    """What an answer prints to: it ends an answer that fills it."""

    def __init__(self, stream, watch: Watch):
        self.stream, self.watch, self.printed = stream, watch, 0

    def write(self, text: str) -> int:
        self.printed += len(text)
        if self.printed > CHARACTERS:
            self.watch.why = f"it printed over {CHARACTERS:,} characters, so it was stopped"
            raise Endless
        return self.stream.write(text)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def patiently(function, arguments: tuple, seconds=None, megabytes=None):
    """What a function returns, or `NoEnd` if it had to be ended. Its errors are raised.

    The stop button ends it as well.
    """
    watch = Watch(seconds or SECONDS, megabytes or MEGABYTES)
    with redirect_stdout(Page(sys.stdout, watch)):
        try:
            try:
                watch.start()
                return function(*arguments)
            finally:
                watch.stop()
        except (Endless, KeyboardInterrupt) as error:
            watch.stop()
            line = own_line(error, function)  # not the error: it holds on to the memory
            return NoEnd(watch.why or "you stopped it", line)


def own_line(error: BaseException, function) -> str:
    """The line of the learner's own code that an error came through last, if it can be found."""
    own = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [f.line for f in traceback.extract_tb(error.__traceback__) if f.filename == own]
    return (lines[-1] or "") if lines else ""
