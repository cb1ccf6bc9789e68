"""Damaged and hostile checkpoints: how long it takes to refuse each, and how much memory.

The files are made here, with a fixed seed, out of sound ones; the tests use them too. Most are
signed again after the change, as somebody who means harm would do it.
"""

import io
import json
import math
import random
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks.bench import Table
from nanogpt_lib.machine.host import peak_memory_gib

ODD = (
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    10**400,
    "",
    "x" * 1000,
    "\x1b[2J",
    [],
    [[[]]],
    {},
    {"a": {"b": []}},
    1e308,
)
GIB = 2**30


def take_apart(path: Path) -> tuple[dict, dict, dict]:
    """A checkpoint as (header, {name: (dtype, shape)}, {name: bytes})."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        table, data = json.loads(file.read(length)), file.read()
    header = json.loads(table.pop("__metadata__")["nanogpt"])
    kinds = {name: (entry["dtype"], entry["shape"]) for name, entry in table.items()}
    parts = {name: data[slice(*entry["data_offsets"])] for name, entry in table.items()}
    return header, kinds, parts


def put_together(header, kinds: dict, parts: dict, checksum: str = "0" * 64) -> bytes:
    """The bytes of a checkpoint with these parts, whatever they are."""
    text = header if isinstance(header, str) else json.dumps(header)
    table, place = {"__metadata__": {"nanogpt": text, "sha256": checksum}}, 0
    for name, part in parts.items():
        dtype, shape = kinds[name]
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + len(part)]}
        place += len(part)
    whole = json.dumps(table).encode()
    return struct.pack("<Q", len(whole)) + whole + b"".join(parts.values())


def sign(header, kinds, parts) -> bytes:
    """A checkpoint whose checksum is right."""
    from nanogpt_lib.runs.checkpoint import digest

    text = header if isinstance(header, str) else json.dumps(header)
    unsigned = put_together(text, kinds, parts)
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(unsigned)
        file.flush()
        try:
            return put_together(text, kinds, parts, digest(text, load_file(file.name)))
        except Exception:  # no library reads it: no checksum helps
            return unsigned


def places(thing, path=()):
    """Every place in nested plain data, as a path of keys."""
    pairs = thing.items() if isinstance(thing, dict) else enumerate(thing)
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, (dict, list)) and value:
            yield from places(value, (*path, key))


def put(thing, path, value) -> None:
    for key in path[:-1]:
        thing = thing[key]
    thing[path[-1]] = value


# --- one kind of damage each: (sound file, dice) -> bytes ---


def a_flipped_byte(sound, dice):
    data = bytearray(sound.read_bytes())
    data[dice.randrange(len(data))] ^= dice.randrange(1, 256)
    return bytes(data)


def a_lost_end(sound, dice):
    data = sound.read_bytes()
    return data[: dice.randrange(len(data))]


def a_block_of_zeros(sound, dice):
    data = bytearray(sound.read_bytes())
    start = dice.randrange(len(data))
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    return bytes(data)


def more_at_the_end(sound, dice):
    return sound.read_bytes() + dice.randbytes(dice.randrange(1, 5000))


def noise(sound, dice):
    return dice.randbytes(dice.randrange(5000))


def an_odd_value(sound, dice):
    header, kinds, parts = take_apart(sound)
    put(header, dice.choice(list(places(header))), dice.choice(ODD))
    return sign(header, kinds, parts)


def a_field_less(sound, dice):
    header, kinds, parts = take_apart(sound)
    path = dice.choice(list(places(header)))
    inner = header
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return sign(header, kinds, parts)


def a_huge_model(sound, dice):
    header, kinds, parts = take_apart(sound)
    config = header["model_config"]
    for name in ("n_embd", "n_layer", "vocab_size", "block_size"):
        if dice.random() < 0.5:
            config[name] *= dice.choice([10, 1000, 10**4, 10**9])
    return sign(header, kinds, parts)


def a_tensor_less(sound, dice):
    header, kinds, parts = take_apart(sound)
    del parts[dice.choice(list(parts))]
    return sign(header, kinds, parts)


def a_tensor_renamed(sound, dice):
    header, kinds, parts = take_apart(sound)
    old, new = dice.choice(list(parts)), dice.choice(["", "x", "optimizer/", "random/cpu", "\x1b"])
    parts[new], kinds[new] = parts.pop(old), kinds[old]
    return sign(header, kinds, parts)


def another_shape(sound, dice):
    header, kinds, parts = take_apart(sound)
    name = dice.choice(list(parts))
    dtype, shape = kinds[name]
    kinds[name] = (dtype, dice.choice([shape[::-1], [*shape, 1], [0], [2**40], [-1], [2**62, 4]]))
    return sign(header, kinds, parts)


def another_type(sound, dice):
    header, kinds, parts = take_apart(sound)
    name = dice.choice(list(parts))
    kinds[name] = (dice.choice(["I32", "U8", "F64", "BOOL", "F8_E5M2", "X"]), kinds[name][1])
    return sign(header, kinds, parts)


def a_deep_header(sound, dice):
    _, kinds, parts = take_apart(sound)
    return put_together(dice.choice(["[", '{"a":']) * 100_000, kinds, parts)


def a_header_of_any_length(sound, dice):
    length = dice.choice([0, 1, 2**31, 2**63, 2**64 - 1, 100_000_000])
    return struct.pack("<Q", length) + sound.read_bytes()[8:]


def not_finite_weights(sound, dice):
    header, kinds, parts = take_apart(sound)
    name = dice.choice([n for n in parts if n.startswith("transformer")])
    parts[name] = b"\xff" * len(parts[name])
    return sign(header, kinds, parts)


def doubling_merges(sound, dice):
    header, kinds, parts = take_apart(sound)
    merges = [[97, 97], *([256 + i, 256 + i] for i in range(39))]
    header["tokenizer"] = {"type": "bpe", "merges": merges}
    return sign(header, kinds, parts)


def an_old_one_damaged(sound, dice):
    data = bytearray(old_form())
    for _ in range(dice.randrange(1, 30)):
        data[dice.randrange(len(data))] ^= dice.randrange(1, 256)
    return bytes(data)


def an_old_one_with_an_odd_value(sound, dice):
    data = old_data()
    place = dice.choice([p for p in places(data) if p[0] != "model"])
    put(data, place, dice.choice(ODD))
    return pickled(data)


def a_zip_bomb(sound, dice):
    """A member that says it has 8 GiB, or has a hundred million zeros in a few kilobytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(100_000_000))
    data = packed.getvalue()
    if dice.random() < 0.5:
        size = struct.pack("<I", 100_000_000)
        data = data.replace(size, struct.pack("<I", 2**32 - 1))
    return data


def an_old_one_with_a_huge_tensor(sound, dice):
    data = old_data()
    name = dice.choice(list(data["model"]))
    data["model"][name] = torch.zeros(1).expand(10**6, 10**6)  # one number on the disk
    return pickled(data)


def old_data() -> dict:
    """What a checkpoint of version 0.1 held."""
    from dataclasses import asdict

    from nanogpt_lib import GPT, GPTConfig, TrainConfig

    torch.manual_seed(1)
    config = GPTConfig(vocab_size=8, block_size=8, n_layer=1, n_head=1, n_embd=8)
    return {
        "format": 1,
        "model_config": asdict(config),
        "train_config": asdict(TrainConfig()),
        "tokenizer": {"type": "char", "symbols": "abcdefgh"},
        "about": {"preset": "smoke", "text": None},
        "step": 3,
        "seconds": 1.0,
        "history": [],
        "model": GPT(config).state_dict(),
    }


def pickled(data: dict) -> bytes:
    file = io.BytesIO()
    torch.save(data, file)
    return file.getvalue()


def old_form() -> bytes:
    return pickled(old_data())


NEW = (
    a_flipped_byte,
    a_lost_end,
    a_block_of_zeros,
    more_at_the_end,
    noise,
    an_odd_value,
    an_odd_value,
    an_odd_value,
    a_field_less,
    a_huge_model,
    a_tensor_less,
    a_tensor_renamed,
    another_shape,
    another_type,
    a_deep_header,
    a_header_of_any_length,
    not_finite_weights,
    doubling_merges,
)
OLD = (
    an_old_one_damaged,
    an_old_one_with_an_odd_value,
    a_zip_bomb,
    an_old_one_with_a_huge_tensor,
)


def damaged(sound: Path, number: int, seed: int = 1):
    """Yields (kind, name of the file, bytes) of so many damaged files, always the same ones."""
    dice = random.Random(seed)
    kinds = [*NEW, *OLD]
    for i in range(number):
        kind = kinds[i % len(kinds)]
        name = "last.pt" if kind in OLD else "last.safetensors"
        yield kind.__name__, name, kind(sound, dice)


def sparse(path: Path, size: int) -> None:
    """A sound-looking checkpoint of `size` bytes that takes no space on the disk."""
    from dataclasses import asdict

    from nanogpt_lib import GPTConfig
    from nanogpt_lib.runs.families import shapes

    header, _, _ = take_apart(path)
    width = 64
    while True:  # as wide as fits
        header["model_config"] |= {"n_embd": width, "n_head": 1, "n_layer": 1, "vocab_size": 8}
        config = GPTConfig(**header["model_config"])
        header["model_config"] = asdict(config)
        weights = shapes("gpt", config)
        sizes = {name: 4 * math.prod(shape) for name, shape in weights.items()}
        if sum(sizes.values()) > size:
            break
        width *= 2
    table, place = {}, 0
    for name, shape in weights.items():
        ends = [place, place + sizes[name]]
        table[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": ends}
        place += sizes[name]
    table["__metadata__"] = {"nanogpt": json.dumps(header), "sha256": "0" * 64}
    whole = json.dumps(table).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(whole)) + whole)
        file.truncate(8 + len(whole) + place)


def answers(path: Path) -> tuple[bool, str]:
    """Whether a file was refused in our words, and those words; "" if it was accepted."""
    from nanogpt_lib import generate, load_model
    from nanogpt_lib.runs.checkpoint import CheckpointError

    try:
        model, tokenizer, _ = load_model(path)
        generate(model, tokenizer, "", 2, unknown="replace")
        return True, ""
    except CheckpointError as error:
        return str(path) in str(error) and "\n" not in str(error), str(error)
    except ValueError as error:  # weights that are no numbers
        return "not finite" in str(error), str(error)
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"


def run(args) -> Table:
    from nanogpt_lib import load_model

    files = args.steps or 300
    tried, refused, longest = Counter(), Counter(), defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder, "sound.safetensors")
        make_sound(sound)
        load_model(sound)  # imports are not counted
        before = peak_memory_gib()
        for kind, name, data in damaged(sound, files):
            path = Path(folder, name)
            path.write_bytes(data)
            began = time.perf_counter()
            right, words = answers(path)
            longest[kind] = max(longest[kind], time.perf_counter() - began)
            tried[kind] += 1
            refused[kind] += bool(words)
            if not right:
                print(f"{kind}: {words}", file=sys.stderr)
        rows = [[k, tried[k], refused[k], f"{1000 * longest[k]:.0f} ms"] for k in tried]
    more = (peak_memory_gib() or 0) - (before or 0)
    rows.append(["all", sum(tried.values()), sum(refused.values()), f"{more:.2f} GiB more"])
    return Table(
        "damage",
        "Damaged and hostile checkpoints: tried, refused in our words, longest time",
        "none takes a second; what is not refused is sound",
        ["kind", "tried", "refused", "longest"],
        rows,
        figures={"longest": dict(longest)},
    )


def make_sound(path: Path) -> None:
    """A small complete checkpoint."""
    from nanogpt_lib import GPT, CharTokenizer, GPTConfig, TrainConfig, checkpoint, new_run, train

    torch.manual_seed(1)
    ids = torch.randint(8, (300,))
    size = GPTConfig(vocab_size=8, block_size=8, n_layer=1, n_head=1, n_embd=8)
    config = TrainConfig(max_steps=2, batch_size=2, eval_interval=1, eval_batches=1)
    run = train(new_run(GPT(size), ids, ids, config))
    about = {"preset": "smoke", "sha256": "0" * 64, "text": "own.txt"}
    checkpoint.save(checkpoint.snapshot(run, CharTokenizer("abcdefgh"), about), path)
