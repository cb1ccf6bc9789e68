"""A load test of `nanogpt serve`: a few clients, too many, and some that hang up.

The server is a process of its own on this machine, and all clients are threads of this one. Each
client asks for a text of 100 tokens as a stream, and for the next one when it has the first. The
number of requests is fixed beforehand.
"""

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

from benchmarks.bench import Table

MODEL, TOKENS, QUEUE = "pocket-long", 100, 8
CLIENTS = (1, 4, 8, 32)  # 32 are more than one that is served and eight that wait
HANG_UPS = 10  # one after the other: a writer that went on would be seen in the next wait
PATIENCE = 120  # seconds that a client waits for anything


def run(args) -> Table:
    requests = args.steps or 96
    command = [sys.executable, "-m", "nanogpt_lib", "serve", MODEL, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        found = re.search(r"http://(\S+:\d+)", server.stdout.readline())
        if not found:
            sys.exit("the server did not start")
        host = urlsplit(f"//{found[1]}").netloc
        ask(host)  # the first text of anything is slow
        figures = {n: load(host, n, requests) for n in CLIENTS}
        after, left = hang_up(host)
    finally:
        server.terminate()
        server.wait()
    rows = []
    for n, (answers, seconds) in figures.items():
        written = [answer for answer in answers if answer["status"] == 200]
        refused = [answer for answer in answers if answer["status"] == 429]
        firsts, wholes = ([a[key] for a in written] for key in ("first", "whole"))
        rows.append(
            [
                f"{n} clients" if n > 1 else "1 client",
                len(written),
                len(refused),
                share(firsts, 0.5),
                share(firsts, 0.99),
                share(wholes, 0.5),
                share(wholes, 0.99),
                TOKENS * len(written) / seconds,
            ]
        )
    refusals = [a["whole"] for a in figures[max(CLIENTS)][0] if a["status"] == 429]
    remarks = [f"The queue holds {QUEUE}. A client that is refused goes on at once."]
    if refusals:
        worst = share(refusals, 0.99)
        remarks.append(f"A refusal takes {1000 * worst:.0f} ms at most, in 99 of 100 cases.")
    remarks.append(
        f"{HANG_UPS} clients asked for 4,096 tokens each and hung up at the first: the next text "
        f"was there after {after:.2f} s. The server says that {left} have left."
    )
    return Table(
        "serve",
        f"{requests} requests for {TOKENS} tokens of `{MODEL}`",
        "no error but a refusal, and no refusal while there is room",
        ["load", "answered", "refused", "first, p50 s", "p99", "whole, p50 s", "p99", "tokens/s"],
        rows,
        remarks,
        {"answers": figures, "after_hang_ups": after, "left": left},
    )


def load(host: str, clients: int, requests: int) -> tuple[list[dict], float]:
    """What each request got, from so many clients at once, and the seconds for all of them."""
    answers: list[dict] = []

    def client():
        for _ in range(requests // clients):
            answers.append(ask(host))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, time.perf_counter() - began


def ask(host: str) -> dict:
    """The status of one request, and the seconds until its first piece and until its end."""
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    began = time.perf_counter()
    connection.request("POST", "/v1/completions", body(TOKENS), headers())
    response = connection.getresponse()
    response.readline()
    first = time.perf_counter() - began
    rest = response.read()
    connection.close()
    whole = response.status != 200 or rest.rstrip().endswith(b"[DONE]")
    status = response.status if whole else -1  # a stream that broke off
    return {"status": status, "first": first, "whole": time.perf_counter() - began}


def hang_up(host: str) -> tuple[float, int]:
    """Seconds for a text after clients have hung up, and the number of them that were noticed."""
    name, port = host.split(":")
    for _ in range(HANG_UPS):
        with socket.create_connection((name, int(port)), timeout=PATIENCE) as line:
            lines = [f"{key}: {value}" for key, value in headers().items()]
            lines += [f"Host: {host}", f"Content-Length: {len(body(4096))}", "", ""]
            line.sendall("\r\n".join(["POST /v1/completions HTTP/1.1", *lines]).encode())
            line.sendall(body(4096))
            line.recv(100)
    after = ask(host)["whole"]
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    connection.request("GET", "/health")
    return after, json.loads(connection.getresponse().read())["left"]


def body(tokens: int) -> bytes:
    return json.dumps({"prompt": "ROMEO:", "max_tokens": tokens, "stream": True}).encode()


def headers() -> dict[str, str]:
    return {"Content-Type": "application/json"}


def share(values: list[float], part: float) -> float:
    """The value that `part` of all values do not exceed."""
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")
