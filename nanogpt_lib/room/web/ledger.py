"""What a class board has on disk: who has joined, and everybody's records, line by line.

    board/Ada.jsonl              a run, an ordinary record; Ada's second run is Ada.2.jsonl
    board/_board/learners.jsonl  who has joined, with the hash of each one's secret
    board/_board/Ada.checks.jsonl, board.json    checks; the join code and the instructor's key

A line is acknowledged only when the disk has it. The files are the whole state: a board that was
killed reads them again, cuts off a line that is not whole, and has lost nothing it has promised.
"""

import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nanogpt_lib.machine.files import make_folder, sync_folder, whole_file
from nanogpt_lib.runs import record, schema, untrusted
from nanogpt_lib.runs.record import Record, in_turn

LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # none that is taken for another
MOST_LEARNERS = 400
MOST_STREAMS = 40  # of a learner: runs, and one of checks for each `join`
MOST_BYTES = untrusted.LARGEST  # of a record, as `compare` reads it
LINE = 100_000  # bytes; a line with a sample of a thousand characters has 2,000
RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}


class Wrong(ValueError):
    """What a learner sent is not a line of a record, or more than there is room for."""


class Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Check(Form):
    """A learner has checked an answer."""

    type: Literal["check"]
    exercise: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,59}$")]
    status: Literal["Right", "Right; now by hand", "Not yet", "Not attempted yet"]
    mistake: Annotated[str, Field(max_length=300)] = ""
    received: float = 0.0


class Left(Form):
    type: Literal["left"]
    received: float = 0.0


CHECK: TypeAdapter[Any] = TypeAdapter(Annotated[Check | Left, Field(discriminator="type")])


@dataclass
class Learner:
    id: int
    name: str  # as shown; no two are alike
    slug: str  # begins the names of this learner's files
    proof: str  # sha256 of the secret
    seen: float = 0.0  # when something was heard, seconds since 1970
    left: bool = False
    streams: list["Stream"] = field(default_factory=list)


@dataclass
class Stream:
    """A file that grows."""

    id: str
    learner: Learner
    path: Path
    count: int = 0  # lines on the disk
    size: int = 0
    kept: Record | None = None  # of a run
    checks: list = field(default_factory=list)


def plain(line: str, stream: Stream, number: int, last) -> tuple[str, Any]:
    """A line as it will stand on the disk, and what it says. Raises Wrong.

    last: the evaluation before it, or None.
    """
    if len(line.encode(errors="replace")) > LINE:
        raise Wrong(f"line {number + 1} is longer than {LINE:,} bytes")
    try:
        data = json.loads(line)
        if not isinstance(data, dict):
            raise Wrong(f"line {number + 1} is no line of a record")
        if number == 0:
            return first(data, stream)
        if stream.kept is None and "_board" in stream.path.parts[-2:]:
            data["received"] = round(time.time(), 1)
            said = CHECK.validate_python(data)
            return json.dumps(said.model_dump()) + "\n", said
        text = record.as_json(data)
        said = schema.line(text)
        if isinstance(said, schema.EvalLine):
            in_turn(said.evaluation(), [last] if last else [])
        elif not isinstance(said, (schema.ResumedLine, schema.EndLine, schema.ResultLine)):
            raise Wrong("only one run has a place in a record")
        return text, said
    except (ValueError, RecursionError, TypeError) as error:
        why = schema.in_words(error) if isinstance(error, ValidationError) else str(error)
        raise Wrong(untrusted.clean(f"line {number + 1}: {why}", one_line=True)) from None


def first(data: dict, stream: Stream) -> tuple[str, Any]:
    """The first line, which says what the record is of, with the owner's name in it."""
    if data.get("type") == "checks":
        return json.dumps({"type": "checks", "stream": stream.id}) + "\n", None
    data["board"] = {"learner": stream.learner.id, "stream": stream.id}
    text = record.as_json(data)
    said = schema.line(text)
    if not isinstance(said, schema.RunLine):
        raise Wrong("a record begins with a line about the run")
    return text, json.loads(text)


class Ledger:
    """A board's folder. One thread writes; see `live_board.Board`."""

    def __init__(self, folder: Path):
        self.folder, self.own = Path(folder), Path(folder) / "_board"
        make_folder(self.own)
        self.learners: dict[str, Learner] = {}  # by the hash of the secret
        self.notes: list[str] = []  # what could not be read
        self.code, self.key = self.keys()
        self.read()

    def keys(self) -> tuple[str, str]:
        """The join code and the instructor's key: the same after a restart."""
        path = self.own / "board.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            return kept["code"], kept["key"]
        code = "".join(secrets.choice(LETTERS) for _ in range(6))
        key = secrets.token_urlsafe(16)
        with whole_file(path) as file:
            file.write(json.dumps({"code": code, "key": key}).encode())
        path.chmod(0o600)
        return code, key

    def read(self) -> None:
        """Everything on the disk, as it was when the last line was acknowledged."""
        path = self.own / "learners.jsonl"
        for line in lines_of(path):
            kept = json.loads(line)
            self.learners[kept["proof"]] = Learner(**kept)
        by_id = {learner.id: learner for learner in self.learners.values()}
        for path in [
            *sorted(self.folder.glob("*.jsonl")),
            *sorted(self.own.glob("*.checks*.jsonl")),
        ]:
            try:
                self.read_stream(path, lines_of(path), by_id)
            except (ValueError, KeyError, TypeError) as error:
                self.notes.append(f"{path} is left out: {str(error)[:200]}")

    def read_stream(self, path: Path, lines: list[str], by_id: dict[int, Learner]) -> None:
        if not lines:
            path.unlink()
            return
        begins = json.loads(lines[0])
        if begins.get("type") == "checks":
            owner = next(x for x in by_id.values() if path.name.startswith(f"{x.slug}.checks"))
            stream = Stream(begins["stream"], owner, path)
            stream.checks = [CHECK.validate_json(line) for line in lines[1:]]
            times = [said.received for said in stream.checks]
            owner.left = bool(stream.checks) and isinstance(stream.checks[-1], Left)
        elif "board" not in begins:  # a record that somebody has put into the folder
            name = untrusted.clean(path.stem, one_line=True)[:40]
            owner = Learner(
                -len(self.learners) - 1, name, path.stem, f"file {path.name}", left=True
            )
            self.learners[owner.proof] = owner
            stream, times = Stream(path.stem, owner, path, kept=record.parse(lines, path.name)), []
        else:
            owner = by_id[begins["board"]["learner"]]
            stream = Stream(begins["board"]["stream"], owner, path)
            stream.kept, times = record.parse(lines, path.name), [path.stat().st_mtime]
        stream.count, stream.size = len(lines), path.stat().st_size
        owner.streams.append(stream)
        owner.seen = max([owner.seen, *times])

    def join(self, proof: str, name: str) -> Learner:
        """The learner with this secret, who may be new. Raises Wrong if there is no room."""
        if proof in self.learners:
            return self.learners[proof]
        if len(self.learners) >= MOST_LEARNERS:
            raise Wrong(f"the board is full: it has room for {MOST_LEARNERS}")
        name = untrusted.clean(name, one_line=True)[:40].strip() or "somebody"
        name = unlike(name, {x.name.casefold() for x in self.learners.values()}, " ({})")
        slug = "".join(c if c.isalnum() else "-" for c in name).strip("-")[:30] or "somebody"
        slug = f"{slug}-" if slug.casefold() in RESERVED else slug
        slug = unlike(slug, {x.slug.casefold() for x in self.learners.values()}, "-{}")
        learner = Learner(len(self.learners) + 1, name, slug, proof, time.time())
        kept = {"id": learner.id, "name": name, "slug": slug, "proof": proof}
        append(self.own / "learners.jsonl", [json.dumps(kept, ensure_ascii=False) + "\n"])
        self.learners[proof] = learner
        return learner

    def stream(self, learner: Learner, id: str, line: str) -> Stream:
        """A learner's stream; a new one if there is none of that id. line: its first one."""
        for stream in learner.streams:
            if stream.id == id:
                return stream
        if len(learner.streams) >= MOST_STREAMS:
            raise Wrong(f"a learner may have {MOST_STREAMS} runs on the board")
        checks = '"checks"' in line[:30]
        parent, end = (self.own, ".checks") if checks else (self.folder, "")
        names = (f"{learner.slug}{end}{f'.{n}' if n > 1 else ''}.jsonl" for n in range(1, 10_000))
        used = {s.path for s in learner.streams}
        path = next(
            p for p in (parent / name for name in names) if p not in used and not p.exists()
        )
        return Stream(id, learner, path)

    def take(self, learner: Learner, id: str, at: int, lines: list[str]) -> int:
        """Appends lines that belong at a place; returns how many the disk has then.

        Lines that it has already are passed over. If lines before these are missing, none is
        taken: the answer says from where to send. Raises Wrong, after taking what stands before
        the wrong line.
        """
        stream = self.stream(learner, id, lines[0] if lines and not at else "")
        if at > stream.count or stream.count >= at + len(lines):
            return stream.count
        history = stream.kept.history if stream.kept else []
        last, good, wrong = history[-1] if history else None, [], None
        size = stream.size
        for number, line in enumerate(lines[stream.count - at :], start=stream.count):
            try:
                text, said = plain(line, stream, number, last)
                size += len(text.encode())
                if size > MOST_BYTES:
                    raise Wrong(f"a record may have {MOST_BYTES:,} bytes")
            except Wrong as error:
                wrong = error
                break
            last = said.evaluation() if isinstance(said, schema.EvalLine) else last
            good.append((text, said))
        if good:
            append(stream.path, [text for text, _ in good], stream.size)
            self.apply(stream, good)
        if wrong:
            raise wrong
        return stream.count

    def apply(self, stream: Stream, good: list[tuple[str, Any]]) -> None:
        """What the disk has is now known here, too."""
        learner = stream.learner
        if stream not in learner.streams:
            learner.streams.append(stream)
        for text, said in good:
            if isinstance(said, dict):
                stream.kept = Record(said)
            elif isinstance(said, schema.EvalLine):
                assert stream.kept
                stream.kept.history.append(said.evaluation())
            elif isinstance(said, (schema.EndLine, schema.ResultLine)):
                setattr(stream.kept, said.type, json.loads(text))
            elif isinstance(said, (Check, Left)):
                stream.checks.append(said)
            stream.count += 1
            stream.size += len(text.encode())
        learner.seen = time.time()
        learner.left = isinstance(good[-1][1], Left)


def proof_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def unlike(name: str, taken: set[str], number: str) -> str:
    """The name, or the name with a number behind it: no two learners have the same."""
    found, n = name, 1
    while found.casefold() in taken:
        n += 1
        found = name + number.format(n)
    return found


def lines_of(path: Path) -> list[str]:
    """The whole lines of a file. An incomplete last one, which nobody was promised, is cut off."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    return data[:whole].decode("utf-8", "replace").split("\n")[:-1]


def append(path: Path, lines: list[str], size: int | None = None) -> None:
    """Appends lines; they are on the disk when this returns. If it fails, none of them is.

    size: bytes that the file has had, if that is known.
    """
    fresh = not path.exists()
    before = size if size is not None else (0 if fresh else path.stat().st_size)
    with open(path, "ab") as file:
        try:
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, before)
            raise
    if fresh:
        sync_folder(path.parent)
