"""The one thread of a server that writes, and the bounded queue before it."""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from nanogpt_lib.room.web.asked import Answer, write

END = object()  # stands in a stream's queue where nothing follows


class Full(Exception):
    """The queue is full."""


class Writer:
    """The thread that writes, and the queue before it. All methods are called in the event loop."""

    def __init__(self, model, tokenizer, queue: int):
        self.model, self.tokenizer, self.queue = model, tokenizer, queue
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self.pending: set[Job] = set()
        self.counts = {"answered": 0, "refused": 0, "too_late": 0, "left": 0}

    def start(self, answer: Answer) -> "Job":
        """Puts an answer at the end of the queue. Raises Full if there is no room."""
        if len(self.pending) > self.queue:  # one is being written, the others wait
            self.counts["refused"] += 1
            raise Full
        job = Job(answer, asyncio.get_running_loop())
        self.pending.add(job)
        job.future = self.pool.submit(job.work, self.model, self.tokenizer)
        job.future.add_done_callback(
            lambda _: job.loop.call_soon_threadsafe(self.pending.discard, job)
        )
        return job

    def close(self) -> None:
        for job in self.pending:
            job.leave()
        self.pool.shutdown(wait=True, cancel_futures=True)


class Job:
    """An answer on its way: pieces come out of `pieces` in the event loop."""

    def __init__(self, answer: Answer, loop: asyncio.AbstractEventLoop):
        self.answer, self.loop = answer, loop
        self.pieces: asyncio.Queue = asyncio.Queue()  # at most as long as the answer
        self.left = threading.Event()
        self.future: Future | None = None

    def work(self, model, tokenizer) -> None:
        """Runs in the writer's thread. Ends at the next token if nobody waits any more."""
        try:
            for choice, piece in write(self.answer, model, tokenizer):
                if self.left.is_set():
                    return
                if piece or choice.finish:
                    self.put((choice.index, piece, choice.finish))
            self.put(END)
        except Exception as error:
            self.put(error)

    def put(self, thing) -> None:
        self.loop.call_soon_threadsafe(self.pieces.put_nowait, thing)

    def leave(self) -> None:
        """Nobody waits any more: the answer ends at its next token, or never begins."""
        self.left.set()
        if self.future:
            self.future.cancel()
        self.pieces.put_nowait(END)
