"""The story of a recorded run: its dense start, and a table of what it reached, when and how."""

from dataclasses import fields, replace

from nanogpt_lib.corpus import split
from nanogpt_lib.machine.paths import data_dir
from nanogpt_lib.milestones import BY_HEART
from nanogpt_lib.plots.curves import arrivals
from nanogpt_lib.runs import catalogue, untrusted
from nanogpt_lib.runs.copying import longest_copy
from nanogpt_lib.runs.untrusted import Recorded
from nanogpt_lib.runs.wording import one_line
from nanogpt_lib.shakespeare import FILE_NAME, SHA256, is_corpus
from nanogpt_lib.training import TrainConfig

COLUMNS = "{:>6}  {:10}  {:>5}  {:24}  {:>4}  {}"


def with_start(recorded: Recorded, run) -> Recorded:
    """A run with its dense start, if a record NAME-start.jsonl lies beside the record NAME.jsonl.

    That record is of the same training, evaluated more often. Its evaluations replace those of the
    run up to its last one. What comes after is later by the time that they took.
    """
    if isinstance(run, untrusted.Record):
        return recorded
    path = catalogue.find(run)
    path = path.with_name(f"{path.stem}-start.jsonl")
    if not path.is_file():
        return recorded
    start = untrusted.read(path)
    common = {p.step: p for p in recorded.history}.keys() & {p.step for p in start.history}
    if not common or not same_training(start, recorded):
        return recorded
    last = max(common)
    first = [point for point in start.history if point.step <= last]
    rest = [point for point in recorded.history if point.step > last]
    (before,) = (point.seconds for point in recorded.history if point.step == last)
    more = first[-1].seconds - before
    history = first + [replace(point, seconds=point.seconds + more) for point in rest]
    return replace(recorded, history=history, seconds=recorded.seconds + more)


def same_training(one: Recorded, other: Recorded) -> bool:
    """Whether two records are of one training: all the settings, and the losses at common steps."""
    evaluated = ("eval_interval", "eval_batches", "max_seconds")
    names = [field.name for field in fields(TrainConfig) if field.name not in evaluated]
    losses = {point.step: point.val_loss for point in other.history}
    return (
        all(getattr(one.config, name) == getattr(other.config, name) for name in names)
        and (one.measured_on, one.n_params) == (other.measured_on, other.n_params)
        and all(losses.get(p.step, p.val_loss) == p.val_loss for p in one.history)
    )


def table(recorded: Recorded) -> str:
    """Each landmark of both splits: where it is reached first, the loss, and what is written there.

    Where the training text is on the disk, rows about learning by heart have the longest piece of
    the sample, in characters, that stands in it word for word.
    """
    found = []
    for name in ("val", "train"):
        for landmark, point in arrivals(recorded.history, name, recorded.rungs).items():
            found.append((point.step, name, landmark, point))
    train_text = text_of(recorded)
    lines = [COLUMNS.format("step", "split", "loss", "landmark", "copy", "sample")]
    for step, name, landmark, point in sorted(found, key=lambda row: (row[0], row[1] == "train")):
        loss = point.val_loss if name == "val" else point.train_loss
        copy = ""
        if landmark in BY_HEART and train_text and point.sample:
            copy = str(len(longest_copy(point.sample.strip(), train_text)))
        sample = one_line(point.sample or "", 40)
        which = "validation" if name == "val" else "training"
        lines.append(COLUMNS.format(f"{step:,}", which, f"{loss:.3f}", landmark, copy, sample))
    return "\n".join(lines)


def text_of(recorded: Recorded) -> str | None:
    """The training text of a record of Tiny Shakespeare, if it is on the disk."""
    path = data_dir() / FILE_NAME
    if recorded.measured_on[0] != SHA256 or not path.is_file():
        return None
    data = path.read_bytes()
    return split(data.decode())[0] if is_corpus(data) else None
