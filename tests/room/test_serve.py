"""The server: OpenAI's own client, a full queue, time limits, clients that hang up, other sites."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import openai
import pytest
import torch
from chromium import CHROMIUM, FLAGS, WITHOUT

from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.room.web import asked
from nanogpt_lib.room.web.serve import NO_CHAT, Server
from nanogpt_lib.runs.checkpoint import save_model
from nanogpt_lib.runs.template import MARKS, MarkedTokenizer, reply
from nanogpt_lib.sampling import generate
from nanogpt_lib.tokenizer import CharTokenizer

pytestmark = pytest.mark.slow
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server():
    with Server("pocket") as serving:
        yield serving


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)


def ask(server, path="/v1/completions", method="POST", headers=JSON, raw=None, **settings):
    """(status, answer, headers) of a request by hand."""
    where = urlsplit(server.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    content = json.dumps(settings).encode() if raw is None else raw
    connection.request(method, path, content if method == "POST" else None, headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    try:
        return response.status, json.loads(data), response.headers
    except ValueError:
        return response.status, data.decode(), response.headers


def health(server) -> dict:
    return ask(server, "/health", "GET", {})[1]


def wait_until(true, seconds=30):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.01)


class Gate:
    """Holds the writer before its first token until it is opened: no test depends on speed."""

    def __init__(self, monkeypatch):
        self.open, self.at_work, self.written = threading.Event(), threading.Event(), 0
        real = asked.write

        def held(answer, model, tokenizer):
            self.at_work.set()
            assert self.open.wait(60)
            for each in real(answer, model, tokenizer):
                self.written += 1
                yield each

        monkeypatch.setattr("nanogpt_lib.room.web.writer.write", held)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


# --- a client that knows nothing of us ---


def test_openais_client_gets_a_completion(client, pocket):
    settings = {"prompt": "ROMEO:", "max_tokens": 40, "temperature": 0.7, "seed": 1}
    done = client.completions.create(model="pocket", **settings)
    ours = generate(*pocket, "ROMEO:", 40, temperature=0.7, top_k=None, seed=1)
    assert "ROMEO:" + done.choices[0].text == ours
    assert done.choices[0].finish_reason == "length"
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (6, 40)
    assert done.object == "text_completion" and done.model == "pocket"


def test_openais_client_gets_the_same_piece_by_piece(client):
    settings = {"model": "pocket", "prompt": "ROMEO:", "max_tokens": 40, "seed": 1}
    whole = client.completions.create(**settings).choices[0].text
    options = {"include_usage": True}
    *pieces, usage = client.completions.create(**settings, stream=True, stream_options=options)
    assert "".join(piece.choices[0].text for piece in pieces) == whole
    assert len(pieces) >= 40  # one a token, not one for all
    assert [p.choices[0].finish_reason for p in pieces if p.choices[0].finish_reason] == ["length"]
    assert usage.choices == [] and usage.usage.completion_tokens == 40


def test_openais_client_finds_the_model(client):
    assert [model.id for model in client.models.list()] == ["pocket"]
    assert client.models.retrieve("pocket").id == "pocket"


def test_openais_client_raises_its_own_errors(client):
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-9' here"):
        client.completions.create(model="gpt-9", prompt="a")
    with pytest.raises(openai.BadRequestError, match="never seen") as caught:
        client.completions.create(model="pocket", prompt="é")
    assert caught.value.param == "prompt"
    with pytest.raises(openai.NotFoundError, match=re.escape(NO_CHAT)):
        client.chat.completions.create(model="pocket", messages=[])
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


# --- a model that answers requests ---


@pytest.fixture(scope="module")
def chatting(tmp_path_factory):
    """A random model with marks: what it answers makes no sense, and ends by a mark or a limit."""
    tokenizer = MarkedTokenizer(CharTokenizer.train("Speak, ROMEO. <|end|>é\n"), MARKS)
    torch.manual_seed(7)
    model = GPT(GPTConfig(tokenizer.vocab_size, block_size=96, n_layer=1, n_head=2, n_embd=32))
    folder = tmp_path_factory.mktemp("tuned") / "romeo"
    save_model(model, tokenizer, folder)
    with Server(folder) as serving:
        yield serving


@pytest.fixture
def talker(chatting):
    client = openai.OpenAI(base_url=f"{chatting.address}/v1", api_key="none", max_retries=0)
    return lambda words, **more: client.chat.completions.create(
        model="romeo", messages=[{"role": "user", "content": words}], **more
    )


@pytest.mark.parametrize("words", ["Speak.", "Speak <|end|>"])
def test_a_chat_answers_as_the_library_does_at_once_or_in_pieces(chatting, talker, words):
    kinds = set()
    for seed in range(6):
        settings = {"temperature": 1.0, "seed": seed}
        expected = "".join(reply(chatting.model, chatting.tokenizer, words, top_k=None, **settings))
        whole = talker(words, **settings).choices[0]
        assert whole.message.role == "assistant" and whole.message.content == expected
        pieces = [event.choices[0] for event in talker(words, stream=True, **settings)]
        assert "".join(piece.delta.content for piece in pieces) == expected
        assert pieces[-1].finish_reason == whole.finish_reason
        assert whole.finish_reason == "stop" or len(expected) == 96 - len(words) - 2
        kinds.add(whole.finish_reason)
    assert "stop" in kinds  # a mark has ended some


def test_a_chat_stops_where_it_is_told_to(talker):
    short = talker("Speak.", seed=1, max_tokens=3)
    assert short.usage.completion_tokens <= 3
    assert len(talker("Speak.", seed=1, n=3).choices) == 3


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "messages"),
        ([{"role": "system", "content": "Be kind."}], "messages.0.role"),
        ([{"role": "user", "content": "Speak."}] * 2, "messages"),
        ([{"role": "user", "content": " "}], "the request is empty"),
        ([{"role": "user", "content": "Sing!"}], "never seen"),
        ([{"role": "user", "content": "e" * 90}], "no room for an answer"),
    ],
)
def test_what_a_chat_cannot_read_is_refused_by_name(chatting, messages, told):
    status, answer, _ = ask(chatting, "/v1/chat/completions", messages=messages)
    assert status == 400 and told in answer["error"]["message"]


def test_a_chat_refuses_pages_of_other_sites(chatting):
    headers = JSON | {"Origin": "http://example.com"}
    message = {"role": "user", "content": "Speak."}
    status, *_ = ask(chatting, "/v1/chat/completions", headers=headers, messages=[message])
    assert status == 403


# --- when it is too much ---


def test_a_full_queue_refuses_at_once_and_the_others_get_their_text(gate):
    with Server("pocket", queue=2) as server:
        found = []

        def one():
            found.append(ask(server, prompt="A", max_tokens=3)[0])

        threads = [threading.Thread(target=one) for _ in range(3)]
        for i, thread in enumerate(threads):  # one is written, two wait
            thread.start()
            wait_until(lambda i=i: len(server.writer.pending) == i + 1)
        status, answer, headers = ask(server, prompt="A", max_tokens=3)
        assert (status, answer["error"]["type"]) == (429, "queue_full")
        assert headers["Retry-After"] == "1"
        assert health(server) | {"waiting": 2, "refused": 1} == health(server)
        client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)
        with pytest.raises(openai.RateLimitError):
            client.completions.create(model="pocket", prompt="A")
        gate.open.set()
        for thread in threads:
            thread.join()
        assert found == [200, 200, 200]
        wait_until(lambda: not server.writer.pending)
        assert ask(server, prompt="A", max_tokens=3)[0] == 200  # there is room again


def test_openais_client_comes_again_when_the_queue_was_full(gate):
    with Server("pocket", queue=0) as server:
        first = threading.Thread(target=ask, args=(server,), kwargs={"prompt": "A"})
        first.start()
        assert gate.at_work.wait(30)
        threading.Timer(0.2, gate.open.set).start()
        client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=5)
        done = client.completions.create(model="pocket", prompt="A", max_tokens=3)
        assert len(done.choices[0].text) == 3
        first.join()
        assert server.writer.counts["refused"] >= 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_takes_too_long_is_told_so_and_not_written_further(gate, stream):
    with Server("pocket", timeout=0.3) as server:
        status, answer, _ = ask(server, prompt="A", max_tokens=4000, stream=stream)
        assert (status, answer["error"]["type"]) == (503, "timeout")
        gate.open.set()
        wait_until(lambda: not server.writer.pending)
        assert gate.written <= 1
        assert server.writer.counts["too_late"] == 1


def test_a_stream_that_takes_too_long_ends_with_an_error(monkeypatch):
    def slowly(answer, model, tokenizer):
        for each in asked.write(answer, model, tokenizer):
            yield each
            time.sleep(0.05)

    monkeypatch.setattr("nanogpt_lib.room.web.writer.write", slowly)
    with Server("pocket", timeout=0.5) as server:
        client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)
        pieces = client.completions.create(model="pocket", prompt="A", max_tokens=999, stream=True)
        with pytest.raises(openai.APIError, match=r"time limit of 0\.5 s is over"):
            assert all(piece.choices for piece in pieces)


# --- clients that go away ---


def hang_up(server, **settings) -> None:
    """Asks, reads the first bytes of a stream, and closes the connection."""
    where = urlsplit(server.address)
    with socket.create_connection((where.hostname, where.port), timeout=60) as line:
        body = json.dumps(settings).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {where.netloc}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        line.sendall(head.encode() + body)
        if settings.get("stream"):
            assert line.recv(100)
        else:
            wait_until(lambda: server.writer.pending)


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_is_written_for_a_client_that_has_hung_up(server, stream):
    before = server.writer.counts["left"]
    hang_up(server, prompt="A", max_tokens=asked.MOST_TOKENS, stream=stream)
    wait_until(lambda: not server.writer.pending)  # far sooner than 4,096 tokens take
    assert server.writer.counts["left"] == before + 1
    assert ask(server, prompt="A", max_tokens=3)[0] == 200


def test_who_hangs_up_while_waiting_leaves_the_queue(gate):
    with Server("pocket", queue=1) as server:
        first = threading.Thread(target=ask, args=(server,), kwargs={"prompt": "A"})
        first.start()
        assert gate.at_work.wait(30)
        where = urlsplit(server.address)
        body = json.dumps({"prompt": "A"}).encode()
        with socket.create_connection((where.hostname, where.port)) as line:
            head = f"POST /v1/completions HTTP/1.1\r\nHost: {where.netloc}\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            line.sendall(head.encode() + body)
            wait_until(lambda: len(server.writer.pending) == 2)
        wait_until(lambda: len(server.writer.pending) == 1)  # its place is free at once
        gate.open.set()
        first.join()


# --- what is not for us ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (JSON | {"Host": "example.com"}, 403),  # a name that was made to point here
        (JSON | {"Origin": "http://example.com"}, 403),  # a page of another site
        (JSON | {"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),  # what a page may send without asking first
    ],
)
def test_pages_of_other_sites_are_refused(server, headers, status):
    found, answer, got = ask(server, headers=headers, prompt="A", max_tokens=1)
    assert found == status and "error" in answer
    assert "Access-Control-Allow-Origin" not in got


def test_the_own_page_may_ask(server):
    headers = JSON | {"Origin": server.address}
    assert ask(server, headers=headers, prompt="A", max_tokens=1)[0] == 200


def test_what_is_too_large_or_no_json_is_refused_and_the_server_goes_on(server):
    assert ask(server, raw=b"{")[0] == 400
    with pytest.raises((ConnectionError, http.client.HTTPException, AssertionError)):
        assert ask(server, raw=b" " * 1_100_000)[0] == 400
        raise AssertionError  # a clean 400 is as good as a closed connection
    assert ask(server, "/nowhere", "GET", {})[0] == 404
    assert ask(server, "/v1/completions", "GET", {})[0] == 405
    assert health(server)["status"] == "ok"


def test_it_listens_on_this_machine_only(server):
    assert urlsplit(server.address).hostname == "127.0.0.1"


def test_a_port_that_is_taken_is_named(server):
    taken = urlsplit(server.address).port
    with pytest.raises(OSError, match=f"port {taken} cannot be used"), Server("pocket", taken):
        pass


# --- the command, and its page ---


@pytest.fixture
def command(tmp_path):
    """`nanogpt serve pocket` as a process of its own; gives the process and its address."""
    words = [sys.executable, "-m", "nanogpt_lib", "serve", "pocket", "--port", "0"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
    address = re.search(r"http://\S+:\d+", process.stdout.readline())[0]
    yield process, address
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_command_serves_until_ctrl_c_also_while_it_writes(command):
    process, address = command
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")
    pieces = client.completions.create(model="pocket", prompt="A", max_tokens=4096, stream=True)
    next(iter(pieces))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("pocket", "--port", "99999"), "--port must be at most 65535"),
        (("pocket", "--timeout", "0"), "--timeout must be a number above 0"),
        (("pocket", "--queue", "-1"), "--queue must be"),
        (("nowhere",), "there is no checkpoint nowhere"),
    ],
)
def test_settings_that_make_no_sense_are_named(nanogpt, words, told):
    done = nanogpt("serve", *words, check=False)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_the_page_writes_in_a_real_browser_and_shows_markup_as_text(server):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        trouble = []
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(server.address)
        page.get_by_text("It serves pocket.").wait_for()
        page.fill("#prompt", "<b>ROMEO</b>:")
        page.fill("#tokens", "40")
        page.click("#write")
        page.wait_for_function("() => document.querySelector('#write').disabled === false")
        page.get_by_text(re.compile(r"\d+ pieces in ")).wait_for()
        shown = page.text_content("#text")
        assert shown.startswith("<b>ROMEO</b>:") and len(shown) == len("<b>ROMEO</b>:") + 40
        assert page.locator("#text b").count() == 0
        page.fill("#tokens", "4096")
        page.click("#write")
        page.click("#stop")
        page.get_by_text("Stopped.").wait_for()
        assert trouble == []
        browser.close()


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_the_page_of_a_tuned_model_is_a_chat(chatting):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(chatting.address)
        page.get_by_text("nothing is remembered").wait_for()
        assert page.text_content("#named") == "Request"
        page.fill("#prompt", "<|end|> Speak.")
        with page.expect_response("**/v1/chat/completions") as answered:
            page.click("#write")
        assert answered.value.status == 200
        page.get_by_text(re.compile(r"\d+ pieces in ")).wait_for()
        page.get_by_role("button", name="Send").wait_for()
        assert "<|user|>" not in page.text_content("#text")
        browser.close()
