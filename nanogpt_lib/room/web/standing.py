"""What the pages of a class board show: the curves and the table, and who needs help."""

import math
import time
from collections import Counter

from nanogpt_lib.milestones import helpful, read_loss
from nanogpt_lib.room.board import Row, ranking
from nanogpt_lib.room.web.ledger import Check, Learner, Ledger, Stream
from nanogpt_lib.runs import untrusted
from nanogpt_lib.runs.record import RecordError
from nanogpt_lib.runs.untrusted import Recorded

QUIET = 600  # seconds without a word: somebody may need help
POINTS = 120  # of a curve on the page; more cannot be told apart
SAMPLE = 400  # characters
RECENT = 1800  # seconds in which a mistake counts as one of right now


class Standing:
    """The state of a room, computed anew when something has come in."""

    def __init__(self, ledger: Ledger):
        self.ledger = ledger
        self.marks: dict[tuple[str, str], str] = {}  # each run's landmark
        self.latest: dict | None = None
        self.known: dict[int, tuple[int, Recorded | None]] = {}  # by the stream's identity

    def recorded(self, stream: Stream) -> Recorded | None:
        """A run as `compare` reads it; None before its first evaluation."""
        kept, count = self.known.get(id(stream), (0, None))
        if kept != stream.count:
            try:
                count = untrusted.checked(stream.kept, stream.learner.name) if stream.kept else None
            except RecordError:
                count = None
            self.known[id(stream)] = stream.count, count
        return count

    def projector(self) -> dict:
        """What everybody may see: names, losses, samples. No address, no code, no exercise."""
        newest: dict[int, Recorded] = {}
        runs: list[Recorded] = []
        owners: dict[int, Learner] = {}
        devices: dict[int, str] = {}
        for learner in list(self.ledger.learners.values()):
            for stream in learner.streams:
                if run := self.recorded(stream):
                    newest[learner.id] = run
                    owners[id(run)] = learner
                    runs.append(run)
                    kind = (stream.kept.about if stream.kept else {}).get("device", "")
                    devices[id(run)] = untrusted.clean(str(kind), one_line=True)[:12]
        rows: list[dict] = []
        curves: dict[int, dict] = {}
        seen: set[int] = set()
        ranked = ranking(runs) if runs else []
        ranks = {id(row.recorded): row for row in ranked}
        for row in ranked:
            learner = owners[id(row.recorded)]
            if learner.id in seen:
                continue
            seen.add(learner.id)
            now = newest[learner.id]
            rank = 1 + sum(r["rank"] is not None for r in rows) if row.rank else None
            rows.append(cells(row, rank, learner, now, devices[id(now)]))
            curves[learner.id] = curve(now, ranks[id(now)].rank is not None)
        best = ranked[0].recorded if ranked else None
        rungs = helpful(best.rungs) if best else []
        return {
            "text": best.text if best else "",
            "joined": len(self.ledger.learners),
            "rungs": [{"name": rung["name"], "loss": rung["loss"]} for rung in rungs],
            "rows": rows,
            "curves": curves,
            "news": self.news(newest, owners),
        }

    def news(self, newest: dict[int, Recorded], owners: dict[int, Learner]) -> dict | None:
        """The sample of whoever has passed a landmark last."""
        for run in newest.values():
            if not (best := run.best):
                continue
            landmark = read_loss(best.val_loss, "val", run.rungs).landmark
            key = run.name, run.started
            if self.marks.get(key) != landmark:
                self.marks[key] = landmark
                if best.sample:
                    self.latest = {
                        "name": owners[id(run)].name,
                        "landmark": landmark,
                        "step": best.step,
                        "loss": round(best.val_loss, 3),
                        "sample": best.sample.strip()[:SAMPLE],
                    }
        return self.latest

    def instructor(self, exercises: dict[str, str]) -> dict:
        """Who is where, what goes wrong, and who is quiet. exercises: name -> notebook."""
        now, order = time.time(), list(exercises)
        people: list[dict] = []
        slips: Counter[tuple[str, str]] = Counter()
        stuck: dict[tuple[str, str], list[str]] = {}
        done_by: Counter[str] = Counter()
        at_by: Counter[str] = Counter()
        for learner in list(self.ledger.learners.values()):
            if learner.id < 0:
                continue  # a file that was put into the folder
            checks = [c for s in learner.streams for c in s.checks if isinstance(c, Check)]
            checks.sort(key=lambda check: check.received)
            done = {c.exercise for c in checks if c.status.startswith("Right")}
            done_by.update(done)
            last = checks[-1] if checks else None
            at, tries = last.exercise if last else "", 0
            for check in reversed(checks):
                if check.exercise != at or check.status != "Not yet":
                    break
                tries += 1
            if last and at in done and tries == 0:
                after = order[order.index(at) + 1 :] if at in order else []
                at = next((name for name in after if name not in done), at)
            if at and at not in done:
                at_by[at] += 1
            if last and last.mistake and last.status == "Not yet" and now - last.received < RECENT:
                slips[last.exercise, last.mistake] += 1
                stuck.setdefault((last.exercise, last.mistake), []).append(learner.name)
            quiet = now - learner.seen
            people.append(
                {
                    "name": learner.name,
                    "at": at,
                    "notebook": exercises.get(at, ""),
                    "tries": tries,
                    "mistake": last.mistake if last and tries else "",
                    "done": len(done),
                    "left": learner.left,
                    "quiet": int(quiet / 60) if quiet >= QUIET and not learner.left else 0,
                    "run": self.of_run(learner),
                }
            )
        people.sort(key=lambda p: (p["left"], -bool(p["quiet"]), -p["tries"], p["name"].casefold()))
        mistakes = [
            {"exercise": e, "mistake": m, "count": n, "who": stuck[e, m]}
            for (e, m), n in slips.most_common(12)
        ]
        busy = [name for name in order if at_by[name] or done_by[name]]
        table = [
            {"name": n, "notebook": exercises[n], "at": at_by[n], "done": done_by[n]} for n in busy
        ]
        return {"people": people, "mistakes": mistakes, "exercises": table, "all": len(order)}

    def of_run(self, learner: Learner) -> str:
        runs = [run for stream in learner.streams if (run := self.recorded(stream))]
        if not runs:
            return ""
        run = runs[-1]
        state = run.stopped or "training"
        return f"{state}, step {run.history[-1].step:,} of {run.config.max_steps:,}"


def cells(row: Row, rank: int | None, learner: Learner, now: Recorded, device: str) -> dict:
    last = now.history[-1]
    return {
        "id": learner.id,
        "rank": rank,
        "name": learner.name,
        "best": row.loss,
        "step": row.step,
        "now": last.val_loss if math.isfinite(last.val_loss) else None,
        "speed": last.tokens / last.seconds if last.seconds else None,
        "device": device,
        "reached": row.reached,
        "over": now.stopped,
    }


def curve(run: Recorded, ranked: bool) -> dict:
    """A run's validation losses over tokens."""
    points = [[p.tokens, round(p.val_loss, 4)] for p in run.history if math.isfinite(p.val_loss)]
    stride = math.ceil(len(points) / POINTS) or 1
    return {"points": points[::-stride][::-1], "ranked": ranked}
