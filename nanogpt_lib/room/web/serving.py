"""What every server of this kit has in common: it listens where it was told, and to no other site.

A server answers from a thread of its own (`start`, `stop`, `with`), or until it is cancelled
(`run`). Pages may load nothing but what lies beside them, and no page of another site may ask.
"""

import asyncio
import threading
from typing import ClassVar
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from nanogpt_lib.room.web.frames import read as read_file

HOST = "127.0.0.1"  # this machine, and no other
# For what a client sends: bytes, and seconds for the body, and between two requests.
LIMITS = {"max_body_size": 1_000_000, "body_timeout": 30, "idle_connection_timeout": 60}
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"  # what a page may load


class Handler(RequestHandler):
    """What all addresses have in common."""

    def initialize(self, server, start: str = ""):
        self.server, self.start = server, start

    def set_default_headers(self):
        self.set_header("Server", "nanogpt")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", POLICY)

    def prepare(self):
        """Refuses what a page of another site has asked for, by the names that it cannot forge."""
        origin = self.request.headers.get("Origin")
        host = urlsplit(f"//{self.request.host}").hostname
        if not self.server.is_ours(host) or (
            origin and urlsplit(origin).netloc != self.request.host
        ):
            self.refuse(403, self.server.elsewhere, "forbidden")

    def refuse(self, status: int, message: str, kind: str, param: str | None = None) -> None:
        """An error as OpenAI's clients read it."""
        self.set_status(status)
        error = {"message": message, "type": kind, "param": param, "code": None}
        self.finish({"error": error})

    def write_error(self, status_code, **kwargs):
        self.refuse(status_code, self._reason, "server_error" if status_code >= 500 else "invalid")


class File(Handler):
    """A page, a script or a style that lies beside this file."""

    def get(self, path: str = ""):
        path = path or self.start
        kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
        self.set_header("Content-Type", f"{kinds[path.rpartition('.')[2]]}; charset=utf-8")
        self.finish(read_file(path))


class Serving:
    """A server. port: 0 takes a free one; `address` says which. host: where it listens."""

    limits: ClassVar = LIMITS
    elsewhere = "this server answers on this machine only"

    def __init__(self, port: int = 0, host: str = HOST):
        self.port, self.host = port, host
        self.address = ""
        self.thread: threading.Thread | None = None

    def routes(self) -> list:
        """(pattern, handler) or (pattern, handler, arguments) of each address."""
        raise NotImplementedError

    def opened(self) -> None:
        """Called in the event loop before the first request."""

    def closed(self) -> None:
        """Called in the event loop after the last one."""

    def is_ours(self, host: str | None) -> bool:
        """Whether a request that names this host is meant for this server."""
        return host in (HOST, "localhost")

    async def run(self, ready=None) -> None:
        """Answers until it is cancelled, or until `stop`. ready: called once it listens."""
        self.loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        self.opened()
        routes = [(one, two, {"server": self, **dict(*rest)}) for one, two, *rest in self.routes()]
        # What is asked, and by whom, is nobody's business: nothing is logged.
        application = Application(routes, log_function=lambda handler: None)
        server = HTTPServer(application, **self.limits)
        try:
            sockets = self.listen()
            self.address = f"http://{self.host}:{sockets[0].getsockname()[1]}"
            server.add_sockets(sockets)
            if ready:
                ready()
            await self.over.wait()
        finally:
            server.stop()
            self.closed()
            await server.close_all_connections()

    def listen(self) -> list:
        """Sockets of the host's address. Raises OSError if the port is taken."""
        try:
            return bind_sockets(self.port, self.host)
        except OSError as error:
            words = f"port {self.port} cannot be used ({error.strerror}): port 0 takes a free one"
            raise OSError(words) from None

    def start(self):
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

    def __enter__(self):
        return self.start()

    def __exit__(self, *error) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends a server that runs in a thread."""
        if self.thread:
            self.loop.call_soon_threadsafe(self.over.set)
            self.thread.join()
