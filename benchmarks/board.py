"""A load test of the class board: 300 learners, of whom 30 are processes that train.

Each learner is evaluated every 5 seconds. In the middle the board is killed (SIGKILL) and started
again on its folder. A reader of the projector's events notes when each evaluation can be seen
there. In the end the board's records are compared, line by line, with what the learners have
handed over, and 5,000 hostile requests try to change that. `--steps`: seconds (600).
"""

import http.client
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import quantiles

import psutil

from benchmarks.bench import Table

LEARNERS, PROCESSES = 300, 30
INTERVAL = 5.0  # seconds between two evaluations of a learner
HOSTILE = 5000
AROUND = 30  # seconds after the kill that are judged apart

# One learner that really trains: a tiny model, live, with `join`, as in a notebook.
TRAIN = """
import json, os, sys, time, torch
torch.set_num_threads(1)
from nanogpt_lib import GPT, GPTConfig, TrainConfig, LivePlot, Callback, join, new_run, train
from nanogpt_lib.room import report
address, name, code, seconds, interval, made = sys.argv[1:]
ids = torch.randint(65, (5000,), generator=torch.Generator().manual_seed(0))
model = GPT(GPTConfig(vocab_size=65, block_size=16, n_layer=1, n_head=1, n_embd=16))
steps = round(float(seconds) / float(interval))
config = TrainConfig(max_steps=steps, batch_size=4, eval_interval=1, eval_batches=1)
rungs = [{"k": -1, "name": "uniform guess", "loss": 4.1744}]
class Slowly(Callback):
    def on_step(self, run):
        time.sleep(float(interval))
    def on_eval(self, run):
        with open(made, "a") as file:
            print(json.dumps([run.tokens, time.time()]), file=file)
join(address, name, code, wait=60)
run = new_run(model, ids, ids[:500], config)
train(run, [Slowly(), LivePlot(rungs, file=open(os.devnull, "w"))])
reporter = report.CURRENT[0]
ends = time.monotonic() + 60
while reporter.waiting() and time.monotonic() < ends:
    time.sleep(0.1)
lines = [line for stream in reporter.streams for line in stream.lines if stream.lines]
with open(made + ".lines", "w", encoding="utf-8") as file:
    file.writelines(lines)
"""


class Reader(threading.Thread):
    """Reads the projector's events, as the page does, and notes what it sees first when."""

    def __init__(self, host: str):
        super().__init__(daemon=True)
        self.host, self.seen, self.bytes = host, [], 0  # (name, tokens, time) of each newest point

    def run(self):
        known: dict[str, int] = {}
        while True:
            try:
                line = http.client.HTTPConnection(self.host, timeout=60)
                line.request("GET", "/events")
                answer = line.getresponse()
                while said := answer.readline():
                    now = time.time()
                    self.bytes += len(said)
                    if not said.startswith(b"data: "):
                        continue
                    state = json.loads(said[6:])
                    names = {str(row["id"]): row["name"] for row in state["rows"]}
                    for number, curve in state["curves"].items():
                        tokens = curve["points"][-1][0]
                        if known.get(names[number], -1) < tokens:
                            known[names[number]] = tokens
                            self.seen.append((names[number], tokens, now))
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.2)


def started(folder: Path, port: int = 0):
    """The board as a process of its own: (process, host:port, code)."""
    command = [sys.executable, "-m", "nanogpt_lib", "compare", "--serve", f"--port={port}"]
    process = subprocess.Popen(
        [*command, f"--folder={folder}"], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout
    for said in process.stdout:
        if found := re.search(r'join\("http://(\S+)", "Ada", "(\w+)"\)', said):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, found[1], found[2]
    sys.exit("the board did not start")


class Watch(threading.Thread):
    """Notes the board's processor time and memory, once a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.process, self.cpu, self.memory = None, [], []

    def run(self):
        while True:
            time.sleep(1)
            try:
                self.cpu.append(self.process.cpu_percent())
                self.memory.append(self.process.memory_info().rss / 2**20)
            except psutil.Error:
                continue


def run(args) -> Table:
    seconds = float(args.steps or 600)
    with tempfile.TemporaryDirectory() as name:
        return measured(Path(name), seconds)


def measured(where: Path, seconds: float) -> Table:
    os.environ["NANOGPT_RUNS"] = str(where / "learners")
    from nanogpt_lib.room.report import Reporter

    folder = where / "board"
    board, host, code = started(folder)
    watch, reader = Watch(), Reader(host)
    watch.process = psutil.Process(board.pid)
    watch.start()
    reader.start()
    processes = [real(where, host, code, n, seconds) for n in range(PROCESSES)]
    give_up = time.monotonic() + 300
    while len(list(where.glob("real *.made"))) < PROCESSES and time.monotonic() < give_up:
        time.sleep(0.5)  # thirty imports of PyTorch at once take a while
    made: dict[tuple[str, int], float] = {}
    reporters = []
    for n in range(LEARNERS - PROCESSES):
        reporters.append(Reporter(host, f"learner {n:03}", code))
        time.sleep(0.02)
    threads = [
        threading.Thread(target=pretend, args=(r, n, seconds, made))
        for n, r in enumerate(reporters)
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 2)
    board.kill()
    board.wait()
    killed = time.time()
    board, *_ = started(folder, int(host.rpartition(":")[2]))
    back = time.time()
    watch.process = psutil.Process(board.pid)
    for thread in threads:
        thread.join()
    for process in processes:
        process.wait()
    ends = time.monotonic() + 60
    while any(r.waiting() for r in reporters) and time.monotonic() < ends:
        time.sleep(0.1)
    time.sleep(2)
    handed = {r.name: "".join(r.streams[0].lines) for r in reporters}
    for path in where.glob("real *.made.lines"):
        handed[path.name.split(".")[0]] = path.read_text(encoding="utf-8")
    for path in where.glob("real *.made"):
        for line in path.read_text().splitlines():
            tokens, moment = json.loads(line)
            made[path.name.split(".")[0], tokens] = moment
    lost, doubled = differences(folder, handed)
    statuses = hostile(host)
    after = differences(folder, handed)
    changed = after != (lost, doubled) or len(list(folder.glob("*.jsonl"))) != len(handed)
    board.terminate()
    board.wait()
    for reporter in reporters:
        reporter.ended = True
    waits, during = latencies(reader.seen, made, killed)
    served = {status: n for status, n in statuses.items() if not 400 <= status < 500}
    rows = [
        ["evaluations seen on the page", len(waits) + len(during), f"of {len(made):,}"],
        ["to the page, s", at(waits, 50), f"p99 {at(waits, 99):.2f}, most {max(waits):.2f}"],
        ["the same, made near the kill, s", at(during, 50), f"most {max(during):.1f}"],
        ["the board was away, s", back - killed, ""],
        ["processor, % of a core", sum(watch.cpu) / len(watch.cpu), f"most {max(watch.cpu):.0f}"],
        ["memory, MiB", max(watch.memory), ""],
        ["lines handed over", sum(text.count("\n") for text in handed.values()), ""],
        ["lines lost, doubled", f"{lost}, {doubled}", ""],
        ["hostile requests", sum(statuses.values()), f"{dict(sorted(statuses.items()))}"],
        ["served wrongly", sum(served.values()) + changed, ""],
    ]
    return Table(
        "board",
        f"{LEARNERS} learners, {PROCESSES} of them processes that train, for {seconds:.0f} s",
        "nothing lost or doubled, no hostile request served, a curve on the page within a second",
        ["", "figure", "more"],
        rows,
        [f"Killed in the middle. {len(handed)} records were compared, line by line."],
        {"latencies": waits, "near_the_kill": during, "cpu": watch.cpu, "memory": watch.memory},
    )


def real(where: Path, host: str, code: str, n: int, seconds: float) -> subprocess.Popen:
    """A process that trains and reports."""
    name = f"real {n:02}"
    words = [f"http://{host}", name, code, str(seconds), str(INTERVAL), str(where / f"{name}.made")]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "NANOGPT_RUNS": str(where / f"runs{n}")}
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, *words], stdout=subprocess.DEVNULL, env=settings
    )


def pretend(reporter, n: int, seconds: float, made: dict) -> None:
    """Hands over the record of a run that is like no other, an evaluation every few seconds."""
    from nanogpt_lib.room.report import Stream
    from nanogpt_lib.runs import catalogue, record

    dice = random.Random(n)
    stream = Stream()
    about = record.read(catalogue.find("talk")).about
    reporter.add(stream, record.as_json({**about, "learner": n}))
    time.sleep(dice.uniform(0, INTERVAL))
    began = time.monotonic()
    for step in range(int(seconds / INTERVAL)):
        loss = 1.6 + 2.5 / (1 + step / 10) + dice.uniform(0, 0.1)
        point = {"step": step, "tokens": step * 100 + n, "seconds": step * INTERVAL, "lr": 1e-3}
        losses = {
            "train_loss": loss,
            "val_loss": loss,
            "sample": f"{n} at {step}: " + "to be " * 20,
        }
        made[reporter.name, point["tokens"]] = time.time()
        reporter.add(stream, record.as_json({"type": "eval", **point, **losses}))
        time.sleep(max(0, began + (step + 1) * INTERVAL - time.monotonic()))


def differences(folder: Path, handed: dict[str, str]) -> tuple[int, int]:
    """The lines that a record lacks, and those that it has beyond what was handed over."""
    lost = doubled = 0
    for name, text in handed.items():
        path = folder / f"{name.replace(' ', '-')}.jsonl"
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        ours, theirs = (Counter(map(same, t.splitlines())) for t in (text, kept))
        lost += (ours - theirs).total()
        doubled += (theirs - ours).total()
    return lost, doubled


def same(line: str) -> str:
    """A line without what the board has put into it."""
    data = json.loads(line)
    data.pop("board", None)
    return json.dumps(data, sort_keys=True)


def latencies(seen, made, killed: float) -> tuple[list[float], list[float]]:
    """Seconds from each evaluation to the page: usually, and for those made near the kill."""
    own: dict[str, list[tuple[int, float]]] = {}
    for (name, tokens), moment in made.items():
        own.setdefault(name, []).append((tokens, moment))
    usual, near, done = [], [], set()
    for name, tokens, now in seen:
        for other, moment in own.get(name, []):
            if other <= tokens and (name, other) not in done:
                done.add((name, other))
                close = killed - INTERVAL <= moment <= killed + AROUND
                (near if close else usual).append(now - moment)
    return usual or [float("nan")], near or [float("nan")]


def at(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1] if len(values) > 1 else values[0]


def hostile(host: str) -> Counter:
    """The statuses of requests by people without a code, with wrong ones, and with nonsense."""
    dice, statuses = random.Random(0), Counter()
    names = ("<script>", "../../x", "\x00", "a" * 5000, "\u202e", "real 00", "learner 001")
    for n in range(HOSTILE):
        name, secret = dice.choice(names), f"{dice.randrange(2**256):064x}"
        line = json.dumps({"type": "run", "name": name})
        bodies = {
            "/join": [
                {"name": name, "code": dice.choice(["", "AAAAAA", "' OR 1=1"])},
                [name],
                None,
            ],
            "/lines": [{"stream": "ab" * 8, "first": dice.choice([0, -1, 2]), "lines": [line]}, 7],
        }
        path = dice.choice(["/join", "/lines", "/instructor/" + "A" * 20, "/_board/board.json"])
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}
        if n % 5 == 0:
            headers["Origin"] = "http://elsewhere.example"
        message = json.dumps(dice.choice(bodies[path])) if path in bodies else None
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request("POST" if message else "GET", path, message, headers)
        statuses[connection.getresponse().status] += 1
        connection.close()
    return statuses
