"""A model behind HTTP, as OpenAI's clients expect it: `nanogpt serve RUN`.

    POST /v1/completions       a text goes on; with "stream": true piece by piece
    POST /v1/chat/completions  a request is answered, by a model that was tuned on requests
    GET  /v1/models            which model is served
    GET  /health               how busy the server is
    GET  /                     a page to try it out

One thread writes, one request after the other, and a bounded queue waits before it. A full queue
refuses at once: a client that hears "try again" can do something, one that waits cannot. Every
request has a time limit, and what nobody waits for any more is not written to its end.

The server listens on this machine only. It answers no page of another site: such a page could
otherwise use the visitor's own machine. There is no key; whoever sits at this machine may ask.
"""

import asyncio
import json
import secrets
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from nanogpt_lib.room.web.asked import Answer, Refused, prepare, prepare_chat, read, read_chat
from nanogpt_lib.room.web.frames import read as read_file
from nanogpt_lib.room.web.writer import END, Full, Job, Writer
from nanogpt_lib.runs.checkpoint import load_model
from nanogpt_lib.runs.template import is_chat

HOST = "127.0.0.1"
OURS = (HOST, "localhost")  # the names by which this machine may ask
# For what a client sends: bytes, and seconds for the body, and between two requests.
LIMITS = {"max_body_size": 1_000_000, "body_timeout": 30, "idle_connection_timeout": 60}
POLICY = "default-src 'self'; img-src data:; frame-ancestors 'none'"  # what the page may load
NO_CHAT = (
    "this model continues texts and has no chat template, so it has no chat: use /v1/completions"
)


class Handler(RequestHandler):
    """What all addresses have in common."""

    def initialize(self, server: "Server"):
        self.server = server

    def set_default_headers(self):
        self.set_header("Server", "nanogpt")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", POLICY)

    def prepare(self):
        """Refuses what a page of another site has asked for, by the names that it cannot forge."""
        origin = self.request.headers.get("Origin")
        host = urlsplit(f"//{self.request.host}").hostname
        if host not in OURS or (origin and urlsplit(origin).netloc != self.request.host):
            self.refuse(403, "this server answers on this machine only", "forbidden")

    def refuse(self, status: int, message: str, kind: str, param: str | None = None) -> None:
        """An error as OpenAI's clients read it."""
        self.set_status(status)
        error = {"message": message, "type": kind, "param": param, "code": None}
        self.finish({"error": error})

    def write_error(self, status_code, **kwargs):
        self.refuse(status_code, self._reason, "server_error" if status_code >= 500 else "invalid")


class Completions(Handler):
    """POST /v1/completions"""

    job: Job | None = None
    begins, whole_kind, piece_kind = "cmpl-", "text_completion", "text_completion"

    def understood(self) -> Answer:
        return prepare(read(self.request.body), self.server.model, self.server.tokenizer)

    @staticmethod
    def choice(index: int, text: str, finish: str | None, piece: bool) -> dict:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}

    async def post(self):
        if self.request.headers.get("Content-Type", "").split(";")[0] != "application/json":
            return self.refuse(415, "send JSON: Content-Type: application/json", "invalid")
        server = self.server
        ends = time.monotonic() + server.timeout
        try:
            answer = self.understood()
            asked = answer.asked
            if asked.model not in (None, server.name):
                message = f"there is no model {asked.model[:50]!r} here, only {server.name!r}"
                return self.refuse(404, message, "invalid_request_error", "model")
            self.job = server.writer.start(answer)
        except Refused as error:
            return self.refuse(400, str(error), "invalid_request_error", error.param)
        except Full:
            self.set_header("Retry-After", "1")
            words = f"{server.writer.queue} requests wait already: try again in a moment"
            return self.refuse(429, words, "queue_full")
        try:
            await (self.stream if asked.stream else self.whole)(self.job, ends)
        except TimeoutError:
            server.writer.counts["too_late"] += 1
            words = f"the time limit of {server.timeout:g} s is over"
            if not self._headers_written:
                return self.refuse(503, words, "timeout")
            self.event({"error": {"message": words, "type": "timeout", "param": None}})
            self.finish()
        except StreamClosedError:
            self.on_connection_close()
        except ValueError as error:  # the model's fault, such as scores that are not finite
            if self._headers_written:
                raise
            return self.refuse(500, str(error), "server_error")
        finally:
            self.job.leave()
        return None

    def on_connection_close(self):
        """The client has hung up. A write that fails says so, too."""
        if self.job and not self.job.left.is_set():
            self.server.writer.counts["left"] += 1
            self.job.leave()

    async def pieces(self, job: Job, ends: float):
        """What the writer has written, as it comes. Raises TimeoutError when time is over."""
        while True:
            async with asyncio.timeout(max(0, ends - time.monotonic())):
                thing = await job.pieces.get()
            if isinstance(thing, Exception):
                raise thing
            if thing is END:
                return
            yield thing

    async def whole(self, job: Job, ends: float):
        texts = ["" for _ in job.answer.choices]
        async for index, piece, _ in self.pieces(job, ends):
            texts[index] += piece
        if job.left.is_set():  # nobody is there to read it
            return
        pairs = zip(texts, job.answer.choices, strict=True)
        choices = [self.choice(each.index, text, each.finish, False) for text, each in pairs]
        self.server.writer.counts["answered"] += 1
        self.finish(self.body(choices, self.whole_kind) | {"usage": job.answer.usage()})

    async def stream(self, job: Job, ends: float):
        async for index, piece, finish in self.pieces(job, ends):
            if not self._headers_written:
                self.set_header("Content-Type", "text/event-stream; charset=utf-8")
                self.set_header("Cache-Control", "no-store")
            self.event(self.body([self.choice(index, piece, finish, True)], self.piece_kind))
            async with asyncio.timeout(max(0, ends - time.monotonic())):
                await self.flush()  # waits for a client that reads slowly
        if job.left.is_set():
            return
        options = job.answer.asked.stream_options
        if options and options.include_usage:
            self.event(self.body([], self.piece_kind) | {"usage": job.answer.usage()})
        self.server.writer.counts["answered"] += 1
        self.write("data: [DONE]\n\n")
        self.finish()

    def body(self, choices: list[dict], kind: str) -> dict:
        if not hasattr(self, "about"):
            self.about = {
                "id": f"{self.begins}{secrets.token_hex(12)}",
                "object": kind,
                "created": int(time.time()),
                "model": self.server.name,
            }
        return self.about | {"choices": choices}

    def event(self, data: dict) -> None:
        self.write(f"data: {json.dumps(data)}\n\n")


class Models(Handler):
    """GET /v1/models, and /v1/models/NAME"""

    def get(self, name: str | None = None):
        ours = {"id": self.server.name, "object": "model", "created": 0, "owned_by": "you"}
        ours["chat"] = is_chat(self.server.tokenizer)  # not OpenAI's: the page asks for it
        if name not in (None, self.server.name):
            return self.refuse(404, f"there is no model {name[:50]!r} here", "invalid")
        self.finish(ours if name else {"object": "list", "data": [ours]})
        return None


class Health(Handler):
    """GET /health"""

    def get(self):
        writer = self.server.writer
        waiting = max(0, len(writer.pending) - 1)
        self.finish({"status": "ok", "waiting": waiting, "queue": writer.queue, **writer.counts})


class Chat(Completions):
    """POST /v1/chat/completions"""

    begins, whole_kind, piece_kind = "chatcmpl-", "chat.completion", "chat.completion.chunk"

    def understood(self) -> Answer:
        return prepare_chat(read_chat(self.request.body), self.server.model, self.server.tokenizer)

    @staticmethod
    def choice(index: int, text: str, finish: str | None, piece: bool) -> dict:
        said = {"role": "assistant", "content": text}
        name = "delta" if piece else "message"
        return {"index": index, name: said, "logprobs": None, "finish_reason": finish}

    async def post(self):
        if not is_chat(self.server.tokenizer):
            return self.refuse(404, NO_CHAT, "invalid_request_error")
        return await super().post()


class File(Handler):
    """The page, its script and its style."""

    def get(self, path: str = "serve.html"):
        kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
        self.set_header("Content-Type", f"{kinds[path.rpartition('.')[2]]}; charset=utf-8")
        self.finish(read_file(path))


class Server:
    """A server with one model.

    run: a run folder, a checkpoint, or a model that comes with the kit. queue: the number of
    requests that may wait. timeout: seconds that a request may take, its wait included. port: 0
    takes a free one; `address` says which.
    """

    def __init__(self, run: str | Path, port: int = 0, queue: int = 8, timeout: float = 60):
        self.model, self.tokenizer, _ = load_model(run)
        self.name = Path(run).stem if Path(run).suffix else Path(run).resolve().name
        self.port, self.queue, self.timeout = port, queue, timeout
        self.address = ""
        self.thread: threading.Thread | None = None

    async def run(self, ready=None) -> None:
        """Answers until it is cancelled, or until `stop`. ready: called once it listens."""
        loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        self.loop = loop
        self.writer = Writer(self.model, self.tokenizer, self.queue)
        server = HTTPServer(self.routes(), **LIMITS)
        try:
            sockets = self.listen()
            self.address = f"http://{HOST}:{sockets[0].getsockname()[1]}"
            server.add_sockets(sockets)
            if ready:
                ready()
            await self.over.wait()
        finally:
            server.stop()
            self.writer.close()
            await server.close_all_connections()

    def listen(self) -> list:
        """Sockets of this machine's own address. Raises OSError if the port is taken."""
        try:
            return bind_sockets(self.port, HOST)
        except OSError as error:
            words = f"port {self.port} cannot be used ({error.strerror}): port 0 takes a free one"
            raise OSError(words) from None

    def routes(self) -> Application:
        own = {"server": self}
        files = r"/(serve\.js|serve\.css|page\.css)"
        return Application(
            [
                (r"/v1/completions", Completions, own),
                (r"/v1/chat/completions", Chat, own),
                (r"/v1/models(?:/(.+))?", Models, own),
                (r"/health", Health, own),
                (r"/", File, own),
                (files, File, own),
            ],
            log_function=lambda handler: None,  # prompts and clients are nobody's business
        )

    def start(self) -> "Server":
        """Answers in a thread of its own until `stop`, as a notebook needs it; or use `with`."""
        ready, failed = threading.Event(), []

        def answer():
            try:
                asyncio.run(self.run(ready.set))
            except BaseException as error:
                failed.append(error)
                ready.set()

        self.thread = threading.Thread(target=answer, name="server", daemon=True)
        self.thread.start()
        ready.wait()
        if failed:
            raise failed[0]
        return self

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *error) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends a server that runs in a thread."""
        if self.thread:
            self.loop.call_soon_threadsafe(self.over.set)
            self.thread.join()
