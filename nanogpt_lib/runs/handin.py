"""A run as one line, to be pasted into a chat: whose it is, how it went, and its record, packed.

    gpt-run Ada | pocket | 1.843 at step 1,500 | eJzNVm1v2zYQ...

The packed part is the record without samples and with a dozen of its evaluations: JSON lines,
deflated (RFC 1951), in base64. It comes from a stranger, so it is unpacked no further than a
record of that kind can be long, and then checked as any record is.
"""

import base64
import binascii
import re
import zlib
from dataclasses import replace
from pathlib import Path

from nanogpt_lib.runs import catalogue, record, untrusted
from nanogpt_lib.runs.record import Record, RecordError
from nanogpt_lib.runs.untrusted import Recorded

POINTS = 12  # evaluations that are kept: enough for a curve
LARGEST = 50_000  # bytes when unpacked; the longest of the kit's own has 4,300
# A chat may put a time and a sender before the line, and a sign of its own behind it.
LINE = re.compile(r"gpt-run (?P<name>.{1,80}?) \| .{1,80}? \| .{1,80}? \| (?P<packed>[\w+/]+=*)")


def hand_in(run: str | Path, name: str) -> str:
    """A run as a line for the class board. name: yours, as the board is to show it.

    run: a run folder, a record file, or the name of a run. Raises record.RecordError if it cannot
    be read or has no evaluation, and ValueError if the name is empty.
    """
    shown = untrusted.clean(str(name), one_line=True).replace("|", "/")[:60].strip()
    if not shown:
        raise ValueError("a name is needed, so that the board can show whose run it is")
    kept = record.read(catalogue.find(run))
    recorded = untrusted.checked(kept, shown)
    points = [replace(point, sample=None) for point in thinned(kept.history)]
    lines = record.lines_of(Record(kept.about, points, kept.end, kept.result))
    packed = base64.b64encode(zlib.compress("".join(lines).encode(), 9)).decode("ascii")
    best = recorded.best
    how = f"{best.val_loss:.3f} at step {best.step:,}" if best else "diverged"
    return f"gpt-run {shown} | {recorded.preset} | {how} | {packed}"


def thinned(history: list) -> list:
    """At most a dozen evaluations, spread evenly; the first, the best and the last among them."""
    losses = [point.val_loss for point in history]
    best = min(range(len(history)), key=lambda i: (losses[i] != losses[i], losses[i]))  # nan last
    last = len(history) - 1
    spread = {round(i * last / (POINTS - 2)) for i in range(POINTS - 1)}
    return [history[i] for i in sorted(spread | {best})]


def handed_in(path: Path) -> list[tuple[str, Recorded | RecordError]]:
    """The runs in a text of such lines, each with its name, or with why it cannot be read."""
    found: list[tuple[str, Recorded | RecordError]] = []
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for match in LINE.finditer(text):
        name = untrusted.clean(match["name"], one_line=True)
        try:
            found.append((name, unpacked(match["packed"], name)))
        except RecordError as error:
            reason = RecordError(f"{name} in {path}: {error}")
            found.append((name, reason))
    return found


def unpacked(packed: str, name: str) -> Recorded:
    """The record in a line. Raises RecordError if there is none, or if it is not true."""
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(base64.b64decode(packed, validate=True), LARGEST)
        if not inflate.eof:
            raise ValueError("too long")
        lines = data.decode().splitlines()
    except (ValueError, binascii.Error, zlib.error):
        raise RecordError("the line is not whole: copy all of it, up to its end") from None
    return untrusted.checked(record.parse(lines, name), name)
