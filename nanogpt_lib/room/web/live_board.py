"""The class board while people train: `nanogpt compare --serve`.

    POST /join            a name and the join code, with a secret that the learner's side has drawn
    POST /lines           lines of a record, at their place in it; answers how many the disk has
    GET  /                the page for the projector; /events feeds it
    GET  /instructor/KEY  the page for the instructor alone, and its events
    GET  /join            a page with the lines to type, for whoever has scanned the code

Everything that learners send is text: pages write it with textContent, and the content policy
allows no script but the page's own. It listens on this machine only, unless `--host` says more.
"""

import asyncio
import hmac
import io
import ipaddress
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

import psutil
from pydantic import Field, ValidationError
from tornado.iostream import StreamClosedError

from nanogpt_lib.room.web.ledger import Form, Learner, Ledger, Wrong, proof_of
from nanogpt_lib.room.web.serving import HOST, File, Handler, Serving
from nanogpt_lib.room.web.standing import Standing
from nanogpt_lib.runs import schema

TICK = 0.3  # seconds between two messages to a page, at least
ALIVE = 15  # seconds after which a page hears that there is nothing new
MOST_PAGES = 60
BURST, PER_SECOND = 60, 6  # messages of one learner
WRONG_CODES, MINUTE = 20, 60  # wrong codes from one address in so many seconds
MOST_WAITING = 2000  # messages before the writer


class JoinForm(Form):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    code: Annotated[str, Field(max_length=40)]


class LinesForm(Form):
    stream: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    first: Annotated[int, Field(ge=0, le=10**6)]
    lines: Annotated[list[str], Field(min_length=1, max_length=200)]


class BoardHandler(Handler):
    server: "Board"

    def set_default_headers(self):
        super().set_default_headers()
        self.set_header("Referrer-Policy", "no-referrer")  # the instructor's key is in an address
        self.set_header("Cache-Control", "no-store")

    def of(self) -> str:
        """The address that a request comes from."""
        return str(self.request.remote_ip)

    def secret(self) -> str | None:
        """What the request proves itself with; refuses it if that is none."""
        found = re.fullmatch(
            r"Bearer ([0-9a-f]{64})", self.request.headers.get("Authorization", "")
        )
        if not found:
            self.refuse(401, "a secret of 64 hexadecimal digits is missing", "unknown")
        return found[1] if found else None

    def form(self, kind):
        """The message; refuses the request and returns None if it is none."""
        if self.request.headers.get("Content-Type", "").split(";")[0] != "application/json":
            return self.refuse(415, "send JSON: Content-Type: application/json", "invalid")
        try:
            return kind.model_validate_json(self.request.body)
        except ValidationError as error:
            return self.refuse(400, schema.in_words(error)[:300], "invalid")


class Join(BoardHandler):
    """POST /join"""

    async def post(self):
        board = self.server
        secret = self.secret()
        form = self.form(JoinForm) if secret else None
        if not (secret and form):
            return None
        if board.is_guessing(self.of()):
            return self.refuse(429, "too many wrong codes: wait a minute", "slow down")
        if proof_of(secret) not in board.ledger.learners and not board.is_code(form.code):
            board.note_wrong(self.of())
            return self.refuse(403, "the join code is wrong: it is on the wall", "forbidden")
        try:
            learner = await board.write(board.ledger.join, proof_of(secret), form.name)
        except Wrong as error:
            return self.refuse(403, str(error), "full")
        self.finish({"name": learner.name, "learner": learner.id})


class Lines(BoardHandler):
    """POST /lines"""

    async def post(self):
        board = self.server
        secret = self.secret()
        if not secret:
            return
        learner = board.ledger.learners.get(proof_of(secret))
        if learner is None:
            return self.refuse(401, "join first: this secret is unknown here", "unknown")
        if not board.may(learner):
            self.set_header("Retry-After", "2")
            return self.refuse(429, "slow down: your messages come too fast", "slow down")
        form = self.form(LinesForm)
        if not form:
            return
        try:
            take = board.ledger.take
            have = await board.write(take, learner, form.stream, form.first, form.lines)
        except Wrong as error:
            return self.refuse(422, str(error)[:300], "invalid")
        except OSError as error:
            return self.refuse(503, f"the board's disk: {error.strerror}", "disk")
        self.finish({"have": have})


class Events(BoardHandler):
    """What feeds a page: server-sent events. Each message is the whole state, at most each tick."""

    async def get(self, key: str | None = None):
        board = self.server
        if key is not None and not hmac.compare_digest(key.encode(), board.ledger.key.encode()):
            return self.refuse(404, "there is no such page", "unknown")
        if board.pages >= MOST_PAGES:
            return self.refuse(503, f"{MOST_PAGES} pages are open already", "full")
        board.pages += 1
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        try:
            seen = -1
            while True:
                if seen != board.version:
                    seen = board.version
                    self.write(f"data: {board.state(key is not None)}\n\n")
                else:
                    self.write(": nothing new\n\n")
                await self.flush()
                await asyncio.sleep(TICK)
                await board.changed(seen, ALIVE)
        except (StreamClosedError, asyncio.CancelledError):  # the page, or the board, is closed
            return
        finally:
            board.pages -= 1


class Page(File, BoardHandler):
    """The pages' own files."""


class Instructor(Page):
    """GET /instructor/KEY"""

    def get(self, path: str = ""):
        if not hmac.compare_digest(path.encode(), self.server.ledger.key.encode()):
            return self.refuse(404, "there is no such page", "unknown")
        return super().get("instructor.html")


class Code(BoardHandler):
    """GET /qr/CODE.svg, and .txt for the address: for those who know the code."""

    def get(self, code: str, kind: str):
        board = self.server
        if board.is_guessing(self.of()):
            return self.refuse(429, "too many wrong codes: wait a minute", "slow down")
        if not board.is_code(code):
            board.note_wrong(self.of())
            return self.refuse(404, "there is no such code", "unknown")
        if kind == "txt":
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            return self.finish(f"{board.addresses()[0]}/join")
        picture = board.qr()
        if picture is None:
            return self.refuse(404, "segno is not installed", "unknown")
        drawn = io.BytesIO()
        picture.save(drawn, kind="svg", scale=6, border=2, light="white")
        self.set_header("Content-Type", "image/svg+xml")
        self.finish(drawn.getvalue())


class Board(Serving):
    """The server of a class board.

    folder: what it keeps, see `ledger`. host: where it listens; 0.0.0.0 is the whole network.
    exercises: each one's name and notebook, in the course's order. address: how learners reach it,
    if that is something else, such as a tunnel's address.
    """

    limits: ClassVar = {"max_body_size": 500_000, "body_timeout": 20, "idle_connection_timeout": 60}
    elsewhere = "this board answers under its own address only"

    def __init__(
        self,
        folder: str | Path,
        port: int = 0,
        host: str = HOST,
        exercises: dict[str, str] | None = None,
        address: str = "",
    ):
        super().__init__(port, host)
        self.exercises, self.outside = exercises or {}, address.rstrip("/")
        self.ledger = Ledger(Path(folder))
        self.standing = Standing(self.ledger)
        self.version, self.pages = 0, 0
        self.states: dict[bool, tuple[int, float, str]] = {}
        self.allowed: dict[int, tuple[float, float]] = {}  # learner: (messages left, when)
        self.wrong: dict[str, list[float]] = {}

    def routes(self) -> list:
        files = r"/(live_board\.(?:js|css)|instructor\.js|joining\.js|page\.css)"
        return [
            (r"/join", JoinOrPage, {"start": "joining.html"}),
            (r"/lines", Lines),
            (r"/events", Events),
            (r"/instructor/([\w-]{1,60})/events", Events),
            (r"/instructor/([\w-]{1,60})", Instructor),
            (r"/qr/(\w{1,40})\.(svg|txt)", Code),
            (r"/", Page, {"start": "live_board.html"}),
            (files, Page),
        ]

    def opened(self) -> None:
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self.news, self.waiting = asyncio.Event(), 0

    def closed(self) -> None:
        self.pool.shutdown(wait=True)

    def is_ours(self, host: str | None) -> bool:
        """Addresses in numbers, and names that this machine has: no site can take those."""
        names = {
            "localhost",
            socket.gethostname().lower(),
            self.host,
            urlsplit(self.outside).hostname,
        }
        try:
            ipaddress.ip_address(host or "")
            return True
        except ValueError:
            return (host or "").removesuffix(".local") in names or host in names

    async def write(self, work, *arguments):
        """Lets the one thread that writes do something; then the pages are told."""
        if self.waiting >= MOST_WAITING:
            raise OSError(0, "too much is waiting")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)
        finally:
            self.waiting -= 1
            self.version += 1
            self.news.set()

    async def changed(self, seen: int, seconds: float) -> None:
        """Waits until there is something newer, at most so long."""
        ends = time.monotonic() + seconds
        while self.version == seen and (left := ends - time.monotonic()) > 0:
            self.news.clear()
            try:
                async with asyncio.timeout(left):
                    await self.news.wait()
            except TimeoutError:
                return

    def state(self, instructor: bool) -> str:
        """A page's state as JSON, made once for all pages that want it."""
        made = self.states.get(instructor)
        if made is None or made[0] != self.version or time.monotonic() - made[1] > ALIVE:
            standing = self.standing
            data = standing.instructor(self.exercises) if instructor else standing.projector()
            made = self.version, time.monotonic(), json.dumps(data, allow_nan=False)
            self.states[instructor] = made
        return made[2]

    def is_code(self, code: str) -> bool:
        given = code.strip().upper().encode(errors="replace")
        return hmac.compare_digest(given, self.ledger.code.encode())

    def is_guessing(self, address: str) -> bool:
        """Whether too many wrong codes have come from there within a minute."""
        recent = [t for t in self.wrong.get(address, []) if time.monotonic() - t < MINUTE]
        if recent:
            self.wrong[address] = recent
        else:
            self.wrong.pop(address, None)
        return len(recent) >= WRONG_CODES

    def note_wrong(self, address: str) -> None:
        self.wrong.setdefault(address, []).append(time.monotonic())

    def may(self, learner: Learner) -> bool:
        """Whether a learner may send another message now."""
        now = time.monotonic()
        left, then = self.allowed.get(learner.id, (BURST, now))
        left = min(BURST, left + PER_SECOND * (now - then))
        self.allowed[learner.id] = (max(0.0, left - 1), now)
        return left >= 1

    def addresses(self) -> list[str]:
        """How learners can reach the board, the likeliest first."""
        if self.outside:
            return [self.outside]
        if self.host not in ("0.0.0.0", "::", ""):
            return [self.address]
        port = self.address.rpartition(":")[2]
        own = [
            each.address
            for name, found in psutil.net_if_addrs().items()
            for each in found
            if each.family == socket.AF_INET and not each.address.startswith("127.")
        ]
        return [f"http://{address}:{port}" for address in own] or [self.address]

    def qr(self):
        """The QR code of the page that says how to join; None without segno."""
        try:
            import segno
        except ModuleNotFoundError:
            return None
        return segno.make(f"{self.addresses()[0]}/join#{self.ledger.code}", micro=False)


class JoinOrPage(Join):
    """POST joins; GET shows how to."""

    get = Page.get
