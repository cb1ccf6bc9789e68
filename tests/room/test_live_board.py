"""The class board: hostile learners, a killed board, a lost connection, and both pages."""

import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import made_records
import pytest
import torch
from chromium import CHROMIUM, FLAGS, WITHOUT

from nanogpt_lib.course import exercises as ex
from nanogpt_lib.course import progress
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.room import report
from nanogpt_lib.room.board import compare
from nanogpt_lib.room.web import ledger
from nanogpt_lib.room.web.live_board import BURST, WRONG_CODES, Board
from nanogpt_lib.runs import untrusted
from nanogpt_lib.runs.callbacks import WriteSample
from nanogpt_lib.training import TrainConfig, new_run, train

RUN = "ab" * 8
NAMES = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "../../etc/passwd",
    "a\nb\r\nc",
    "\x1b[31mred\x07",
    "\u202eevil",
    "CON",
    '"; DROP TABLE learners; --',
    "𝕬𝖉𝖆" * 60,
)


def line(**values) -> str:
    return json.dumps(values)


FIRST = json.dumps(made_records.ABOUT)
EVALS = [line(type="eval", **made_records.point(step, 4 - step / 10)) for step in range(10)]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Each test's learners leave their traces in a folder of its own, and leave."""
    monkeypatch.setenv("NANOGPT_RUNS", str(tmp_path / "runs"))
    yield
    report.leave(quiet=True)


@pytest.fixture
def board(tmp_path):
    with Board(tmp_path / "board", exercises=ex.HOMES) as serving:
        yield serving


def ask(board, path, message=None, secret="1" * 64, raw=None, method="POST", **headers):
    """(status, answer, headers) of a request by hand."""
    where = urlsplit(board.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}", **headers}
    body = json.dumps(message).encode() if raw is None else raw
    connection.request(method, path, body if method == "POST" else None, headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    try:
        return response.status, json.loads(data), response.headers
    except ValueError:
        return response.status, data.decode(), response.headers


def joined(board, name="Ada", secret="1" * 64):
    answer = ask(board, "/join", {"name": name, "code": board.ledger.code}, secret)
    assert answer[0] == 200, answer
    return answer[1]


def send(board, lines, first=0, secret="1" * 64, stream=RUN):
    message = {"stream": stream, "first": first, "lines": lines}
    return ask(board, "/lines", message, secret)[:2]


def state(board, path="/events") -> dict:
    """The newest state that a page gets."""
    where = urlsplit(board.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.request("GET", path)
    text = connection.getresponse().readline().decode()
    connection.close()
    return json.loads(text.removeprefix("data: "))


def until(what, seconds=60):
    """Waits for something that will come."""
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.02)


def test_a_record_arrives_as_an_ordinary_one(board):
    joined(board)
    assert send(board, [FIRST, *EVALS[:4]]) == (200, {"have": 5})
    assert send(board, EVALS[4:], 5) == (200, {"have": 11})
    shown = state(board)
    assert shown["rows"][0]["name"] == "Ada" and shown["rows"][0]["best"] == pytest.approx(3.1)
    compared = compare(board.ledger.folder)
    assert [row.name for row in compared.rows] == ["Ada"] and not compared.skipped
    assert len(untrusted.read(board.ledger.folder / "Ada.jsonl").history) == 10


def test_lines_that_come_twice_or_too_early_change_nothing(board):
    joined(board)
    assert send(board, EVALS[:1], 1)[1]["have"] == 0, "the first line is missing"
    send(board, [FIRST, *EVALS[:4]])
    assert send(board, [FIRST, *EVALS[:4]]) == (200, {"have": 5})
    assert send(board, EVALS[2:6], 3) == (200, {"have": 7}), "two are known, two are new"
    assert send(board, EVALS[8:], 9) == (200, {"have": 7}), "there is a gap"
    assert len(untrusted.read(board.ledger.folder / "Ada.jsonl").history) == 6


def test_nobody_writes_without_the_code_or_to_another_s_run(board):
    secret = "2" * 64
    assert send(board, [FIRST], secret=secret)[0] == 401
    assert ask(board, "/join", {"name": "Eve", "code": "WRONG2"}, secret)[0] == 403
    assert ask(board, "/join", {"name": "Eve", "code": board.ledger.code}, "short")[0] == 401
    joined(board)
    joined(board, "Eve", secret)
    send(board, [FIRST, *EVALS[:2]])
    before = (board.ledger.folder / "Ada.jsonl").read_bytes()
    # The same stream's name, with another secret, is another stream.
    assert send(board, EVALS[2:4], 3, secret) == (200, {"have": 0})
    assert send(board, [FIRST, EVALS[9]], 0, secret) == (200, {"have": 2})
    assert (board.ledger.folder / "Ada.jsonl").read_bytes() == before
    forged = json.dumps({**made_records.ABOUT, "board": {"learner": 1, "stream": RUN}})
    send(board, [forged], 0, secret, "cd" * 8)
    owner = json.loads((board.ledger.folder / "Eve.2.jsonl").read_text())["board"]["learner"]
    assert owner == 2


def test_codes_cannot_be_tried_for_long(board):
    for _ in range(WRONG_CODES):
        assert ask(board, "/join", {"name": "Eve", "code": "AAAAAA"})[0] == 403
    assert ask(board, "/join", {"name": "Eve", "code": board.ledger.code})[0] == 429
    assert ask(board, f"/qr/{board.ledger.code}.svg", method="GET")[0] == 429


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_text_and_stay_in_the_folder(board, name):
    told = joined(board, name)
    assert len(told["name"]) <= 60 and "\n" not in told["name"] and "\x1b" not in told["name"]
    assert send(board, [FIRST, EVALS[0]])[0] == 200
    (path,) = board.ledger.folder.glob("*.jsonl")
    assert path.resolve().parent == board.ledger.folder.resolve()
    assert re.fullmatch(r"[\w-]+\.jsonl", path.name) and path.stem.casefold() != "con"
    assert state(board)["rows"][0]["name"] == told["name"]
    again = ledger.Ledger(board.ledger.folder)
    assert [x.name for x in again.learners.values()] == [told["name"]] and not again.notes


def test_the_same_name_gets_a_number_and_the_same_secret_is_the_same_person(board):
    assert joined(board)["name"] == "Ada"
    assert joined(board, "ada", "2" * 64)["name"] == "ada (2)"
    assert joined(board, "Ada", "1" * 64)["learner"] == 1
    assert len(board.ledger.learners) == 2


BAD_LINES = (
    "",
    "null",
    "[]",
    "{",
    "[" * 20_000,
    '{"type": "eval"}',
    '{"type": "eval", "step": NaN}',
    line(type="eval", **made_records.point(-1)),
    line(type="eval", **made_records.point(10**30)),
    line(type="eval", **(made_records.point(50) | {"step": "50"})),
    line(type="eval", **(made_records.point(50) | {"val_loss": -1})),
    line(type="eval", **(made_records.point(50) | {"sample": 7})),
    line(type="eval", **(made_records.point(50) | {"sample": "x" * ledger.LINE})),
    line(type="check", exercise="encode", status="Right"),
    line(type="other"),
    FIRST,
)


@pytest.mark.parametrize("bad", BAD_LINES, ids=lambda bad: bad[:30] or "empty")
def test_a_wrong_line_is_refused_and_what_stands_before_it_is_kept(board, bad):
    joined(board)
    status, answer = send(board, [FIRST, EVALS[0], bad, EVALS[1]])
    assert status == 422 and len(answer["error"]["message"]) <= 300
    assert len(untrusted.read(board.ledger.folder / "Ada.jsonl").history) == 1
    assert send(board, [EVALS[1]], 2) == (200, {"have": 3}), "the board goes on"


def test_a_line_cannot_hold_two(board):
    joined(board)
    spread = json.dumps(json.loads(EVALS[0]), indent=1)  # JSON in several lines
    assert send(board, [FIRST, spread, EVALS[1]]) == (200, {"have": 3})
    assert (board.ledger.folder / "Ada.jsonl").read_bytes().count(b"\n") == 3


def test_sizes_rates_and_numbers_have_limits(board, monkeypatch):
    joined(board)
    with suppress(ConnectionError):  # hung up on before the end of the message
        assert ask(board, "/lines", raw=b"x" * 600_000)[0] in (400, 413)
    assert send(board, [EVALS[0]] * 201)[0] == 400
    monkeypatch.setattr(ledger, "MOST_STREAMS", 2)
    for n in range(3):
        status, _ = send(board, [FIRST], stream=f"{n:016x}")
        assert status == (200 if n < 2 else 422)
    monkeypatch.setattr(ledger, "MOST_LEARNERS", 1)
    full = ask(board, "/join", {"name": "Bob", "code": board.ledger.code}, "2" * 64)
    assert full[0] == 403 and "full" in full[1]["error"]["message"]
    monkeypatch.setattr(ledger, "MOST_BYTES", 3000)
    send(board, EVALS, 1, stream=f"{0:016x}")
    assert (board.ledger.folder / "Ada.jsonl").stat().st_size <= 3000
    statuses = {send(board, [FIRST])[0] for _ in range(2 * BURST)}
    assert 429 in statuses


def test_other_sites_and_unknown_names_are_refused(board):
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        assert ask(board, "/", method="GET", **headers)[0] == 403
        assert ask(board, "/join", {"name": "a", "code": board.ledger.code}, **headers)[0] == 403
    assert ask(board, "/instructor/wrong", method="GET")[0] == 404
    assert ask(board, "/instructor/wrong/events", method="GET")[0] == 404
    for path in ("/../pyproject.toml", "/serve.js", "/_board/board.json", "/Ada.jsonl"):
        assert ask(board, path, method="GET")[0] == 404
    kinds = {"Content-Type": "text/plain"}  # what a form of another site could send
    assert ask(board, "/join", {"name": "a", "code": board.ledger.code}, **kinds)[0] == 415


def test_pages_are_guarded_and_name_no_address(board):
    joined(board)
    send(board, [FIRST, *EVALS])
    _, page, headers = ask(board, "/", method="GET")
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer" and "Set-Cookie" not in headers
    assert not re.search(r"style=|onclick=|<script>", page)
    told = json.dumps(state(board))
    for secret in ("127.0.0.1", board.ledger.code, board.ledger.key, "1" * 64):
        assert secret not in told + page


def test_it_listens_on_this_machine_alone_unless_asked(tmp_path):
    assert Board(tmp_path).host == "127.0.0.1"


@pytest.mark.slow
def test_thousands_of_hostile_requests(board):
    """None is served wrongly, and the one honest record stays as it is."""
    joined(board)
    send(board, [FIRST, *EVALS])
    honest = (board.ledger.folder / "Ada.jsonl").read_bytes()
    dice = random.Random(1)
    pieces = [*NAMES, *BAD_LINES[:14], "0", "9" * 400, "null", '"lines"', "{", "}", "\x00", RUN]
    paths = ("/join", "/lines", "/", "/events/", "/instructor/x", "/qr/A.svg", "/%2e%2e/x")
    for _ in range(1000):
        raw = "".join(dice.choices(pieces, k=dice.randrange(4))).encode(errors="replace")
        message = {
            "stream": RUN,
            "first": dice.choice([0, -1, 10**9, "0"]),
            "lines": [raw.decode()],
        }
        body = dice.choice([raw, json.dumps(message).encode()])
        status, _, _ = ask(board, dice.choice(paths[:2]), raw=body, secret=dice.choice("23") * 64)
        assert 400 <= status < 500
        status, *_ = ask(board, dice.choice(paths[3:]), method="GET")
        assert 400 <= status < 500
    assert (board.ledger.folder / "Ada.jsonl").read_bytes() == honest
    assert len(list(board.ledger.folder.glob("*.jsonl"))) == 1


def started(folder: Path, port: int = 0):
    """`nanogpt compare --serve` as a process of its own, and its address."""
    command = [sys.executable, "-m", "nanogpt_lib", "compare", "--serve", f"--port={port}"]
    process = subprocess.Popen(
        [*command, f"--folder={folder}"], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    for said in process.stdout:
        if found := re.search(r'join\("(http://\S+)", "Ada", "(\w+)"\)', said):
            return process, found[1], found[2]
    raise AssertionError("the board did not start")


@pytest.mark.slow
def test_a_killed_board_has_lost_nothing_and_doubled_nothing(tmp_path, capsys):
    folder = tmp_path / "board"
    process, address, code = started(folder)
    port = urlsplit(address).port
    try:
        report.join(address, "Ada", code, wait=30)
        reporter = report.CURRENT[0]
        stream = report.Stream()
        reporter.add(stream, FIRST + "\n")
        for n, text in enumerate(EVALS):
            reporter.add(stream, text + "\n")
            if n == 4:
                until(lambda: stream.sent >= 2)
                process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
                process.wait()
                with open(folder / "Ada.jsonl", "ab") as torn:
                    torn.write(b'{"type": "eval", "st')  # a line that was being written
                process, again, same = started(folder, port)
                assert (again, same) == (address, code)
        until(lambda: not reporter.waiting())
    finally:
        report.leave(quiet=True)
        process.kill()
        process.wait()
    kept = (folder / "Ada.jsonl").read_text().splitlines()
    assert [json.loads(text) for text in kept[1:]] == [json.loads(text) for text in EVALS]


def learnt(some, tmp_path):
    """The weights and losses of a little training."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=65, block_size=16, n_layer=1, n_head=1, n_embd=16))
    run = new_run(model, *some, TrainConfig(max_steps=12, batch_size=4, eval_batches=2))
    rungs = made_records.ABOUT["ladder"]
    callbacks = [report.Reports("tiny", made_records.ABOUT["text"], rungs)]
    train(run, callbacks)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    return weights, [asdict(p) | {"seconds": 0} for p in run.history]


def test_training_is_bit_equal_with_a_board_without_one_and_with_a_dead_one(board, some, tmp_path):
    alone = learnt(some, tmp_path)
    report.join(board.address, "Ada", board.ledger.code)
    beside = learnt(some, tmp_path)
    reporter = report.CURRENT[0]
    until(lambda: not reporter.waiting())
    report.leave(quiet=True)
    report.join("http://127.0.0.1:9", "Ada", "ABCDEF", wait=0)  # nobody listens there
    unheard = learnt(some, tmp_path)
    for weights, losses in (beside, unheard):
        assert losses == alone[1]
        assert all(torch.equal(weights[name], alone[0][name]) for name in weights)
    kept = untrusted.read(board.ledger.folder / "Ada.jsonl")
    assert [p.val_loss for p in kept.history] == [p["val_loss"] for p in alone[1]]
    assert kept.stopped == "finished"


def test_what_a_dead_board_missed_is_sent_by_the_next_join(tmp_path, monkeypatch, capsys):
    with Board(tmp_path / "board") as first:
        address, port, code = (
            first.address,
            int(first.address.rpartition(":")[2]),
            first.ledger.code,
        )
        report.join(address, "Ada", code)
    stream = report.Stream()
    for text in (FIRST, *EVALS):
        report.CURRENT[0].add(stream, text + "\n")
    report.CURRENT.pop().close(seconds=0)  # as when the kernel ends
    with Board(tmp_path / "board", port=port) as second:
        report.join(address, "Ada", code)
        until(lambda: report.CURRENT[0].streams)
        until(lambda: not report.CURRENT[0].waiting())
        report.leave(quiet=True)
        assert len(second.ledger.learners) == 1, "it is the same Ada"
    assert len(untrusted.read(tmp_path / "board" / "Ada.jsonl").history) == 10


def test_a_board_that_begins_anew_gets_everything_again(tmp_path, capsys):
    with Board(tmp_path / "old") as old:
        port = int(old.address.rpartition(":")[2])
        report.join(old.address, "Ada", old.ledger.code)
        stream = report.Stream()
        for text in (FIRST, *EVALS[:5]):
            report.CURRENT[0].add(stream, text + "\n")
        until(lambda: stream.sent == 6)
    new = Board(tmp_path / "new", port=port)
    new.ledger.code = old.ledger.code
    with new:
        report.CURRENT[0].add(stream, EVALS[5] + "\n")
        until(lambda: (tmp_path / "new" / "Ada.jsonl").exists())
        until(lambda: len(untrusted.read(tmp_path / "new" / "Ada.jsonl").history) == 6)
        report.leave(quiet=True)


def test_a_wrong_code_is_said_and_harms_nothing(board, some, tmp_path, capsys):
    report.join(board.address, "Ada", "WRONG2", wait=30)
    assert "join code is wrong" in capsys.readouterr().out
    learnt(some, tmp_path)
    assert not board.ledger.learners


@pytest.mark.parametrize("address", ["ftp://x", "http://", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match="address"):
        report.join(address, "Ada")
    with pytest.raises(ValueError, match="name"):
        report.join("http://127.0.0.1:9", " \n ")


def test_live_training_in_a_notebook_reports_by_itself(board, some, tokenizer):
    from nanogpt_lib.room.live import LivePlot

    report.join(board.address, "Ada", board.ledger.code)
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=65, block_size=16, n_layer=1, n_head=1, n_embd=16))
    run = new_run(model, *some, TrainConfig(max_steps=12, batch_size=4, eval_batches=2))
    with open(os.devnull, "w") as nowhere:
        train(run, [WriteSample(tokenizer, max_new_tokens=9), LivePlot(title="mine", file=nowhere)])
    until(lambda: not report.CURRENT[0].waiting())
    kept = untrusted.read(board.ledger.folder / "Ada.jsonl")
    assert kept.preset == "mine" and [p.step for p in kept.history] == [0, 10, 12]
    assert kept.history[-1].sample == run.history[-1].sample


def test_checks_tell_the_instructor_alone_and_never_the_answer(
    board, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(progress, "place", lambda: tmp_path / "mine" / "progress.jsonl")
    report.join(board.address, "Ada", board.ledger.code)

    def no_mask(scores):
        return torch.softmax(scores, dim=-1)  # my secret remark

    ex.causal_weights.check(no_mask)
    ex.even_guess_loss.check("my own words")
    ex.tokens_per_step.check(ex.tokens_per_step.answer)
    until(lambda: not report.CURRENT[0].waiting())
    told = state(board, f"/instructor/{board.ledger.key}/events")
    (ada,) = told["people"]
    assert ada["done"] == 1 and ada["name"] == "Ada"
    kept = next((board.ledger.folder / "_board").glob("*.checks.jsonl")).read_text()
    assert "causal_weights" in kept and "mask" in kept
    assert "secret remark" not in kept and "my own words" not in kept
    assert "causal_weights" not in json.dumps(state(board)), "the projector shows no exercise"
    own = progress.report(ex.HOMES)
    assert "1 of 77" in own and "causal_weights (tried)" not in own.splitlines()[0]
    report.leave(quiet=True)
    assert state(board, f"/instructor/{board.ledger.key}/events")["people"][0]["left"]


def test_who_is_stuck_and_who_is_quiet(board, monkeypatch):
    joined(board)
    joined(board, "Bob", "2" * 64)
    slip = line(type="check", exercise="encode", status="Not yet", mistake="the mask is missing")
    for secret in ("1" * 64, "2" * 64):
        send(board, [line(type="checks"), slip, slip, slip], secret=secret)
    bob = board.ledger.learners[ledger.proof_of("2" * 64)]
    bob.seen -= 700
    told = state(board, f"/instructor/{board.ledger.key}/events")
    assert told["people"][0] | {"run": ""} == {
        "name": "Bob",
        "at": "encode",
        "notebook": "01",
        "tries": 3,
        "done": 0,
        "left": False,
        "mistake": "the mask is missing",
        "quiet": 11,
        "run": "",
    }
    assert told["mistakes"][0]["count"] == 2 and set(told["mistakes"][0]["who"]) == {"Ada", "Bob"}


def test_a_check_with_no_disk_to_write_on_says_nothing(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(progress, "place", lambda: tmp_path / "file" / "progress.jsonl")
    ex.even_guess_loss.check(ex.even_guess_loss.answer)
    assert capsys.readouterr().out.startswith("Right")


def test_progress_survives_a_damaged_file(monkeypatch, tmp_path):
    path = tmp_path / "progress.jsonl"
    path.write_bytes(b'\xff\x00{\nnull\n{"exercise": "encode", "status": "Right"}\n{"exer')
    monkeypatch.setattr(progress, "place", lambda: path)
    assert progress.read() == {"encode": "Right"}
    assert "1 of 77 exercises are done" in progress.report(ex.HOMES)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason=WITHOUT)
def test_both_pages_in_a_browser_show_hostile_text_as_text(board):
    from playwright.sync_api import sync_playwright

    for n, name in enumerate(NAMES):
        secret = f"{n:064x}"
        joined(board, name, secret)
        evil = made_records.point(30, 2.0 + n / 10, sample="<script>alert(2)</script>\n<b>bold</b>")
        send(board, [FIRST, *EVALS[:3], line(type="eval", **evil)], secret=secret)
        slip = line(type="check", exercise="encode", status="Not yet", mistake="<b>x</b>" + name)
        send(board, [line(type="checks"), slip], secret=secret, stream="ef" * 8)
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        wrong = []
        page.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        page.goto(f"{board.address}/#{board.ledger.code}")
        page.locator("#rows tr").nth(len(NAMES) - 1).wait_for()
        assert page.locator("#rows script, #rows img, #sample b, #chart script").count() == 0
        assert "<script>alert(2)</script>" in page.locator("#sample").inner_text()
        assert page.locator("#chart path[stroke-width='3.2']").count() == 1
        page.locator("#how").click()
        until(lambda: page.evaluate("() => document.querySelector('#qr').naturalWidth") > 0)
        assert board.ledger.code in page.locator("#joining").inner_text()
        page.goto(f"{board.address}/instructor/{board.ledger.key}")
        page.locator("#people tr").nth(len(NAMES) - 1).wait_for()
        assert page.locator("#people script, #people img, #mistakes b").count() == 0
        page.goto(f"{board.address}/join#{board.ledger.code}")
        assert f'join("{board.address}", "Ada", "{board.ledger.code}")' in page.inner_text(
            "#notebook"
        )
        assert not wrong
        browser.close()
