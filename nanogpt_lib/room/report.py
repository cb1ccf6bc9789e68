"""Reports to the class board: the learner's side of `nanogpt compare --serve`.

    join("http://192.168.1.5:8765", "Ada", "K7M2QX")

From then on live training and `check()` report by themselves. What is sent: the name you give, the
lines of the run's record (settings, losses, samples, text, machine), and for each check the
exercise, whether it is right, and the known mistake that was found. Never sent: code, answers.

A record goes out as lines, each at its place in its file: "lines 3 and 4". The board answers how
many it has on disk. So an answer that got lost, a board that was killed, or one that begins anew
doubles nothing and loses nothing. All of it happens in a thread of its own. Training and checks
hand a line over and go on; no trouble of the network reaches them.
"""

import atexit
import hashlib
import http.client
import json
import secrets
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.milestones import is_shakespeare
from nanogpt_lib.room.joined import CURRENT, folder
from nanogpt_lib.runs import record
from nanogpt_lib.runs.untrusted import clean
from nanogpt_lib.shakespeare import SHA256
from nanogpt_lib.training import Callback, Run

PAUSE, LONGEST_PAUSE = 1.0, 15.0  # seconds before another try; each failure doubles it
PATIENCE = 5  # seconds for an answer of the board
AT_ONCE = 100  # lines in a message; the board takes twice as many
BYTES = 300_000  # and their size
SAID = (
    "Sent to the board: this name; of your runs the settings, losses and samples, the name of the "
    "text, processor, memory and versions; of exercises whether they are right, and the known "
    "mistake that was found. Never your code. Any name will do. leave() ends it."
)


@dataclass
class Stream:
    """One record on its way: `lines` are those handed over, the first `sent` are on the board."""

    lines: list[str | Callable[[], dict]] = field(default_factory=list)
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    sent: int = 0
    refused: bool = False


class Refused(Exception):
    """The board has answered, and does not want this."""


class Reporter:
    """Sends records to a board, in a thread of its own. Nothing here waits or raises but `say`.

    secret: what shows the board that it is you again; never shown to anybody.
    """

    def __init__(self, address: str, name: str, code: str = "", secret: str | None = None):
        address = address if "//" in address else f"http://{address}"
        where = urlsplit(address)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise ValueError(f"a board's address looks like http://192.168.1.5:8765, not {address}")
        self.where, self.code = where, code or where.fragment.removeprefix("/")
        self.name = clean(str(name), one_line=True)[:40].strip()
        if not self.name:
            raise ValueError("a name is needed, so that the board can show whose curve it is")
        self.secret = secret or secrets.token_hex(32)
        self.streams: list[Stream] = []
        self.checks = Stream(['{"type": "checks"}\n'])
        self.runs: list[tuple[weakref.ref, Reports]] = []
        self.state, self.shown = "not reached yet", ""  # shown: the name on the board
        self.news, self.answered = threading.Condition(), threading.Event()
        self.ended = False
        self.thread = threading.Thread(target=self.work, name="board", daemon=True)
        self.thread.start()

    def add(self, stream: Stream, line: str | Callable[[], dict]) -> None:
        """Hands a line over. A function is called in the thread: it may take a while."""
        with self.news:
            stream.lines.append(line)
            if stream not in self.streams:
                self.streams.append(stream)
            self.news.notify()

    def waiting(self) -> list[Stream]:
        """The streams that the board does not have whole."""
        return [s for s in self.streams if s.sent < len(s.lines) and not s.refused]

    def work(self) -> None:
        pause = 0.0
        while not self.ended:
            try:
                if not self.shown:
                    told = self.ask("/join", {"name": self.name, "code": self.code})
                    self.shown, self.state = str(told["name"])[:60], "joined"
                    self.answered.set()
                for stream in self.waiting():
                    self.send(stream)
                pause = 0.0
            except Refused as error:
                self.state = str(error)
                self.answered.set()
                # A board that has begun anew does not know us: then we join again.
                pause = PAUSE if self.shown and self.state.startswith("401") else LONGEST_PAUSE
                self.shown = ""
            except Exception as error:  # no network, a board that is down, an answer that is none
                self.state = f"not reached: {type(error).__name__}"
                pause = min(LONGEST_PAUSE, 2 * pause or PAUSE)
            with self.news:
                if pause:
                    self.news.wait_for(
                        lambda: self.ended, pause * (0.5 + secrets.randbelow(100) / 100)
                    )
                else:
                    self.news.wait_for(lambda: self.ended or self.waiting())

    def send(self, stream: Stream) -> None:
        """Sends what the board does not have yet."""
        while stream.sent < len(stream.lines) and not stream.refused:
            lines: list[str] = []
            for number in range(stream.sent, len(stream.lines))[:AT_ONCE]:
                line = stream.lines[number]
                if callable(line):
                    line = stream.lines[number] = record.as_json(line())
                if lines and sum(map(len, lines)) + len(line) > BYTES:
                    break
                lines.append(line)
            message = {"stream": stream.id, "first": stream.sent, "lines": lines}
            try:
                stream.sent = min(int(self.ask("/lines", message)["have"]), len(stream.lines))
            except Refused as error:
                if "422" not in str(error)[:4]:
                    raise
                stream.refused = True  # it would be refused again
                self.state = str(error)

    def ask(self, path: str, message: dict) -> dict:
        """What the board answers. Raises Refused if it does not want the message, or OSError."""
        kind = (
            http.client.HTTPSConnection
            if self.where.scheme == "https"
            else http.client.HTTPConnection
        )
        line = kind(self.where.hostname or "", self.where.port, timeout=PATIENCE)
        try:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.secret}"}
            line.request("POST", path, json.dumps(message).encode(), headers)
            answer = line.getresponse()
            data = answer.read(100_000)
        finally:
            line.close()
        if answer.status == 200:
            return json.loads(data)
        if answer.status in (429, 503) or answer.status not in (400, 401, 403, 404, 413, 422):
            raise OSError(f"{answer.status}: try again later")
        with suppress(ValueError, KeyError, TypeError):
            why = clean(str(json.loads(data)["error"]["message"]), one_line=True)
            raise Refused(f"{answer.status}: {why}")
        raise Refused(f"{answer.status}: this is no board")

    def close(self, seconds: float = PATIENCE) -> None:
        """Ends the reports. Gives what is left so many seconds; the rest is kept on disk."""
        give_up = time.monotonic() + seconds
        while self.waiting() and self.state == "joined" and time.monotonic() < give_up:
            time.sleep(0.02)
        with self.news:
            self.ended = True
            self.news.notify_all()
        with suppress(Exception):
            self.keep()

    def keep(self) -> None:
        """Keeps on disk what was not sent, for the next `join` of this name and board."""
        left = []
        for stream in self.waiting():
            lines = [record.as_json(line()) if callable(line) else line for line in stream.lines]
            left.append({"id": stream.id, "sent": stream.sent, "lines": lines})
        remember(self.where.netloc, self.name, self.secret, left)


def place(address: str, name: str) -> Path:
    """The file in which a learner of a board is remembered."""
    known = hashlib.sha256(f"{address} {name}".encode()).hexdigest()[:16]
    return folder() / f"board-{known}.json"


def remember(address: str, name: str, secret: str, left: list[dict]) -> None:
    path = place(address, name)
    with whole_file(path) as file:
        file.write(json.dumps({"secret": secret, "left": left}).encode())
    path.chmod(0o600)  # the secret is the learner's alone


def remembered(address: str, name: str) -> tuple[str | None, list[Stream]]:
    """A learner's secret from an earlier `join`, and what was not sent then."""
    try:
        kept = json.loads(place(address, name).read_text(encoding="utf-8"))
        left = [Stream(list(s["lines"]), str(s["id"]), int(s["sent"])) for s in kept["left"]]
        return str(kept["secret"]), left
    except (OSError, ValueError, KeyError, TypeError):
        return None, []


def join(address: str, name: str, code: str = "", wait: float = 3) -> None:
    """Joins a class board: from now on live training and `check()` report there by themselves.

    address: as `nanogpt compare --serve` prints it. name: as the board is to show it; any will do.
    code: the join code, if the address does not end with it. wait: seconds for the board's answer.
    If it cannot be reached, that does no harm: what it misses is sent later. Raises ValueError if
    the name is empty or the address is none.
    """
    new = Reporter.__new__(Reporter)  # checks name and address before the old one ends
    trial = address if "//" in address else f"http://{address}"
    known, left = remembered(urlsplit(trial).netloc, clean(str(name), one_line=True)[:40].strip())
    new.__init__(address, name, code, known)  # type: ignore[misc]
    leave(quiet=True)
    with new.news:
        new.streams += left
        new.news.notify()
    with suppress(OSError):
        remember(new.where.netloc, new.name, new.secret, [])
    CURRENT.append(new)
    new.answered.wait(wait)
    print(SAID)
    if new.state == "joined":
        print(f"You are {new.shown!r} on the board.")
    else:
        print(
            f"The board: {new.state}. Training goes on as ever; reports wait, and are sent later."
        )


def leave(quiet: bool = False) -> None:
    """Ends the reports to the board. Without a board it does nothing."""
    while CURRENT:
        reporter = CURRENT.pop()
        reporter.add(reporter.checks, '{"type": "left"}\n')
        reporter.close()
        if not quiet:
            print("You have left the board.")


@atexit.register
def at_exit() -> None:
    for reporter in CURRENT:
        reporter.close()


def reports(run, rungs=None, title: str = "") -> Callback:
    """What tells the board about a run in a notebook; does nothing without a board."""
    if not CURRENT or not isinstance(run, Run):  # a replay is no run
        return Callback()
    reporter = CURRENT[0]
    for known, callback in reporter.runs:
        if known() is run:
            return callback
    preset = title or "notebook"
    callback = Reports(preset, text_of(run, rungs), rungs, reporter)
    reporter.runs.append((weakref.ref(run), callback))
    return callback


def text_of(run: Run, rungs) -> dict:
    """The text of a run in a notebook, as a record names it."""
    size = {"train_tokens": len(run.train_ids), "val_tokens": len(run.val_ids)}
    if is_shakespeare(rungs):
        return {"name": "Tiny Shakespeare", "sha256": SHA256, **size}
    ids = run.val_ids[:100_000].cpu().long().numpy().tobytes()
    return {"name": "another text", "sha256": hashlib.sha256(ids).hexdigest(), **size}


class Reports(Callback):
    """Sends a run's record to the board while it grows. Give it after `WriteSample`."""

    def __init__(self, preset: str, text: dict, rungs, reporter=None, command: str | None = None):
        self.preset, self.text, self.rungs, self.command = preset, text, rungs, command
        self.reporter = reporter or (CURRENT[0] if CURRENT else None)
        self.stream, self.last = Stream(), -1  # last: the last step that was handed over

    def on_start(self, run):
        with quietly():
            if not self.stream.lines:
                about = (run, self.preset, self.command, self.text, self.rungs)
                self.hand_over(lambda: record.first_line(*about))
                self.points(run)
            elif run.step:
                self.hand_over({"type": "resumed", "step": run.step, "time": record.now()})

    def on_eval(self, run):
        with quietly():
            self.points(run)

    def on_end(self, run):
        with quietly():
            self.points(run)
            line = {"type": "end", "step": run.step, "stopped": run.stopped, "time": record.now()}
            line |= {"seconds": round(run.seconds, 3), "train_config": asdict(run.config)}
            self.hand_over(line)

    def points(self, run) -> None:
        for point in run.history:
            if point.step > self.last:
                self.last = point.step
                self.hand_over({"type": "eval", **asdict(point)})

    def hand_over(self, line) -> None:
        if self.reporter:
            self.reporter.add(self.stream, line if callable(line) else record.as_json(line))


class quietly(suppress):
    """Training never fails for the board's sake; a fault here is said once."""

    told: ClassVar[set[str]] = set()

    def __init__(self):
        super().__init__(Exception)

    def __exit__(self, kind, error, trace):
        if kind and issubclass(kind, Exception) and kind.__name__ not in self.told:
            self.told.add(kind.__name__)
            print(f"note: nothing is sent to the board: {kind.__name__}", file=sys.stderr)
        return super().__exit__(kind, error, trace)
