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
import time
from pathlib import Path

from tornado.iostream import StreamClosedError

from nanogpt_lib.room.web.asked import Answer, Refused, prepare, prepare_chat, read, read_chat
from nanogpt_lib.room.web.serving import File, Handler, Serving
from nanogpt_lib.room.web.writer import END, Full, Job, Writer
from nanogpt_lib.runs.checkpoint import load_model
from nanogpt_lib.runs.template import is_chat

NO_CHAT = (
    "this model continues texts and has no chat template, so it has no chat: use /v1/completions"
)


class Completions(Handler):
    """POST /v1/completions"""

    server: "Server"
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

    server: "Server"

    def get(self, name: str | None = None):
        ours = {"id": self.server.name, "object": "model", "created": 0, "owned_by": "you"}
        ours["chat"] = is_chat(self.server.tokenizer)  # not OpenAI's: the page asks for it
        if name not in (None, self.server.name):
            return self.refuse(404, f"there is no model {name[:50]!r} here", "invalid")
        self.finish(ours if name else {"object": "list", "data": [ours]})
        return None


class Health(Handler):
    """GET /health"""

    server: "Server"

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


class Server(Serving):
    """A server with one model.

    run: a run folder, a checkpoint, or a model that comes with the kit. queue: the number of
    requests that may wait. timeout: seconds that a request may take, its wait included. port: 0
    takes a free one; `address` says which.
    """

    def __init__(self, run: str | Path, port: int = 0, queue: int = 8, timeout: float = 60):
        self.model, self.tokenizer, _ = load_model(run)
        self.name = Path(run).stem if Path(run).suffix else Path(run).resolve().name
        super().__init__(port)
        self.queue, self.timeout = queue, timeout

    def opened(self) -> None:
        self.writer = Writer(self.model, self.tokenizer, self.queue)

    def closed(self) -> None:
        self.writer.close()

    def routes(self) -> list:
        return [
            (r"/v1/completions", Completions),
            (r"/v1/chat/completions", Chat),
            (r"/v1/models(?:/(.+))?", Models),
            (r"/health", Health),
            (r"/", File, {"start": "serve.html"}),
            (r"/(serve\.js|serve\.css|page\.css)", File),
        ]
