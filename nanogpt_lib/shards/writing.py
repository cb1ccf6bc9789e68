"""From texts of any size to a folder of tokens, in little memory.

The folder holds `train.bin` and `val.bin`, tokens one after another as nanoGPT reads them (uint16,
or uint32 for a large vocabulary), and `tokens.json`, which says what they are. The text is read
twice: once to hash it and to learn the vocabulary, once to write its tokens. The second time can be
interrupted: the same call goes on.
"""

import hashlib
import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nanogpt_lib.checks import TextError
from nanogpt_lib.machine import lock
from nanogpt_lib.machine.files import make_folder, whole_file
from nanogpt_lib.machine.stopsign import StopSign
from nanogpt_lib.shakespeare import SHA256
from nanogpt_lib.shards import mapped, vocabulary
from nanogpt_lib.shards.reading import (
    BLOCK,
    blocks,
    files_of,
    keep_standard_input,
    size_of,
)
from nanogpt_lib.shards.vocabulary import Pieces, encoder, kind

UNFINISHED = "unfinished.json"  # what a call that goes on needs to know
STDIN = "stdin.txt"
VAL_SHARE = 0.1  # as `corpus.split`
MOST_VAL = 1_000_000  # tokens: enough for a loss to within 0.005, and quick to evaluate
SAMPLE = 100_000_000  # bytes of text that a vocabulary is learnt from
SMALL = 8_000_000  # bytes of text from which on several processes pay
SAVE_EVERY = 64  # blocks
Count = Callable[[torch.Tensor, torch.Tensor, vocabulary.Tokenizer], dict]


class Interrupted(RuntimeError):
    """The writing was stopped; the same call goes on."""


@dataclass
class Job:
    """What is written, and how far it is; `unfinished.json`."""

    names: list[str]  # the texts as they were named
    wanted: dict  # kind of tokenizer, its size
    sha256: str = ""  # of the whole text
    characters: int = 0
    tokenizer: dict = field(default_factory=dict)
    blocks: int = 0  # whose tokens are on the disk
    tokens: int = 0
    ends: list[int] = field(default_factory=list)  # tokens before each document's end that is known
    cut: int | None = None  # tokens to train on; known once all are written

    def save(self, folder: Path) -> None:
        with whole_file(folder / UNFINISHED) as file:
            file.write(json.dumps(asdict(self)).encode())


def write(
    names,
    folder: str | Path,
    count: Count,
    tokenizer: str = "char",
    vocab: int | None = None,
    max_symbols: int | None = None,
    processes: int = 1,
) -> dict:
    """Writes texts as tokens into a folder; returns what `tokens.json` says.

    names: files, folders of files, or "-" for the standard input. tokenizer: "char", "bpe", or a
    file of GPT-2's merges.
    vocab: number of tokens for "bpe" (1,024). max_symbols: as for `CharTokenizer.train`. count:
    from both splits, mapped, and the tokenizer to what `tokens.json` has to say besides, as
    `runs.texts.counted`. processes: how many of them turn text into ids.

    The first nine tenths are for training, the rest, at most a million tokens, for validation. If
    documents are marked (`reading.blocks`), the cut is moved to the next end of one. The vocabulary
    of "bpe" is learnt from the first nine tenths, of which it sees up to 100 MB, evenly spread.
    Raises FileExistsError if the folder holds tokens already, TextError for what is no text, and
    Interrupted on Ctrl-C.
    """
    folder, names = Path(folder), [str(name) for name in names]
    if (folder / mapped.ABOUT).exists():
        raise FileExistsError(f"{folder} holds tokens already: train on it, or name another folder")
    wanted = {"kind": tokenizer, "vocab": vocab, "max_symbols": max_symbols}
    job = Job([n if n == "-" else str(Path(n).resolve()) for n in names], wanted)
    files = [] if names == ["-"] else files_of(names)
    size_of(files)  # before the folder is made
    make_folder(folder)
    bins = [folder / mapped.TRAIN, folder / mapped.VAL]
    if any(path.exists() for path in bins) and not (folder / UNFINISHED).exists():
        raise FileExistsError(f"{folder} holds tokens that something else made: name a new folder")
    lock.claim(folder)
    try:
        if names == ["-"]:
            files = [keep_standard_input(folder / STDIN)]
        job = begun(folder, job) or first_look(folder, job, files)
        with StopSign("\nStopping ...") as stop:
            tokens_of(job, folder, files, processes, stop)
            divide(job, folder)
        known = mapped.tokenizer_of(job.tokenizer)
        about = described(job, folder, names, known)
        about |= count(*mapped.splits(folder, about, known), known)
        with whole_file(folder / mapped.ABOUT) as file:
            file.write((json.dumps(about, indent=1) + "\n").encode())
        (folder / UNFINISHED).unlink()
        (folder / STDIN).unlink(missing_ok=True)
        return about
    finally:
        lock.release(folder)


def begun(folder: Path, job: Job) -> Job | None:
    """The job as an earlier call left it. Raises FileExistsError if that was another one."""
    try:
        found = Job(**json.loads((folder / UNFINISHED).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        raise FileExistsError(f"{folder / UNFINISHED} is damaged: name another folder") from None
    if (found.names, found.wanted) != (job.names, job.wanted):
        raise FileExistsError(
            f"{folder} holds the beginning of other texts, or of other tokens: finish it with the "
            "command that began it, or name another folder"
        )
    if found.blocks:
        say(f"Going on after {found.tokens:,} tokens.")
    return found


def first_look(folder: Path, job: Job, files: list[Path]) -> Job:
    """Hashes the text, and learns its vocabulary."""
    total, sha = size_of(files), hashlib.sha256()
    learner = vocabulary.learner(**job.wanted)
    every, last = 1, total  # every character needs its symbol
    if isinstance(learner, Pieces):
        every, last = max(1, round(total / SAMPLE)), round(total * (1 - VAL_SHARE))
    with bar("reading", total) as shown:
        for i, block in enumerate(blocks(files, block_size(total))):
            sha.update(block.text.encode())
            job.characters += len(block.text)
            if i % every == 0 and (block.place <= last or i == 0):
                learner.add(block.text)
            shown.update(block.place - shown.n)
    if not job.characters:
        raise TextError("the text is empty: give a text of 1,000 characters or more")
    if isinstance(learner, Pieces) and total > SMALL:
        say(f"Learning {learner.vocab_size:,} tokens from what was read: a minute, for 100 MB ...")
    tokenizer = learner.learn()
    if isinstance(learner, Pieces):
        vocabulary.tell(learner.vocab_size, tokenizer.vocab_size)
    job.sha256, job.tokenizer = sha.hexdigest(), tokenizer.to_dict()
    job.save(folder)
    return job


def block_size(total: int) -> int:
    """Characters a block: of a short text fewer, so that a document's end is known more exactly."""
    return min(BLOCK, max(1000, total // 100))


def tokens_of(job: Job, folder: Path, files: list[Path], processes: int, stop: StopSign) -> None:
    """Writes all tokens behind those that are there already, and reads the text as before."""
    if job.cut is not None:
        return
    total, sha = size_of(files), hashlib.sha256()
    tokenizer = mapped.tokenizer_of(job.tokenizer)
    size = np.dtype(kind(tokenizer.vocab_size)).itemsize
    path, done = folder / mapped.TRAIN, job.blocks

    def all_blocks():
        for i, block in enumerate(blocks(files, block_size(total))):
            sha.update(block.text.encode())  # of those that are done, too: it is the same text
            if i >= done:
                yield block

    with open(path, "ab") as file, bar("writing tokens", total) as shown:
        file.truncate(job.tokens * size)
        for block, ids in encoded(all_blocks(), tokenizer, processes if total > SMALL else 1):
            file.write(ids.tobytes())
            job.blocks += 1
            job.tokens += len(ids)
            if block.document_ends:
                job.ends.append(job.tokens)
            shown.update(block.place - shown.n)
            if stop or job.blocks % SAVE_EVERY == 0:
                on_the_disk(job, folder, file)
            if stop:
                raise Interrupted(f"stopped after {job.tokens:,} tokens: the same command goes on")
        if sha.hexdigest() != job.sha256:
            raise TextError("the text has changed since it was first read: begin in a new folder")
        job.cut = where_to_cut(job)
        on_the_disk(job, folder, file)


def on_the_disk(job: Job, folder: Path, file) -> None:
    """First the tokens, then the note that they are there."""
    file.flush()
    os.fsync(file.fileno())
    job.save(folder)


def encoded(work: Iterator, tokenizer, processes: int) -> Iterator:
    """Each block with its ids, in order; at most two blocks a process are on their way."""
    if processes < 2:
        encode = encoder(tokenizer)
        for block in work:
            yield block, encode(block.text)
        return
    start = get_context("spawn")
    with ProcessPoolExecutor(processes, start, prepare_worker, (tokenizer.to_dict(),)) as pool:
        waiting: deque = deque()
        try:
            for block in work:
                waiting.append((block, pool.submit(work_on, block.text)))
                block.text = ""  # the worker has it
                if len(waiting) > 2 * processes:
                    block, ids = waiting.popleft()
                    yield block, ids.result()
            for block, ids in waiting:
                yield block, ids.result()
        finally:
            pool.shutdown(cancel_futures=True)


def prepare_worker(tokenizer: dict) -> None:
    """In a process of its own: Ctrl-C is for the one that started it, and it ends with that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    global encode_here
    encode_here = encoder(mapped.tokenizer_of(tokenizer))


def end_with_parent() -> None:
    """Else a worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def work_on(text: str) -> np.ndarray:
    return encode_here(text)


encode_here: Callable[[str], np.ndarray]


def where_to_cut(job: Job) -> int:
    """The number of tokens to train on."""
    val = min(job.tokens - int(job.tokens * (1 - VAL_SHARE)), MOST_VAL)
    cut = job.tokens - val
    return next((end for end in job.ends if cut <= end < job.tokens), cut)


def divide(job: Job, folder: Path) -> None:
    """Moves the last tokens to `val.bin`. Killed at any moment, it can be done again."""
    assert job.cut is not None
    dtype = np.dtype(kind(mapped.tokenizer_of(job.tokenizer).vocab_size))
    train = folder / mapped.TRAIN
    if train.stat().st_size == job.tokens * dtype.itemsize:
        with open(train, "rb") as source, whole_file(folder / mapped.VAL) as val:
            source.seek(job.cut * dtype.itemsize)
            while data := source.read(2**20):
                val.write(data)
        with open(train, "r+b") as file:
            file.truncate(job.cut * dtype.itemsize)
            file.flush()
            os.fsync(file.fileno())


def described(job: Job, folder: Path, names: list[str], tokenizer) -> dict:
    """What `tokens.json` says before anything is counted."""
    assert job.cut is not None
    name = " + ".join("standard input" if n == "-" else Path(n).name for n in names)
    if job.sha256 == SHA256:
        name = "Tiny Shakespeare"
    dtype = kind(tokenizer.vocab_size)
    val = mapped.parts(np.memmap(folder / mapped.VAL, dtype, "r")) if job.cut < job.tokens else ()
    return {
        "format": 1,
        "name": name[:200],
        "sha256": job.sha256,
        "characters": job.characters,
        "dtype": np.dtype(dtype).name,
        "train_tokens": job.cut,
        "val_tokens": job.tokens - job.cut,
        "val_characters": vocabulary.count_characters(val, tokenizer),
        "tokenizer": job.tokenizer,
    }


def bar(what: str, total: int) -> tqdm:
    """A progress bar with the time left; none if the output is not a terminal."""
    return tqdm(total=total, desc=what, unit="B", unit_scale=True, disable=None, leave=False)


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
