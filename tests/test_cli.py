"""The command line: every command with real files, and every mistake answered in one line."""

import ast
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

import nanogpt_lib
from nanogpt_lib import load_model, shakespeare
from nanogpt_lib.cli import build_parser, main
from nanogpt_lib.machine import host
from nanogpt_lib.machine.paths import RECORDED, data_dir
from nanogpt_lib.room import doctor
from nanogpt_lib.runs import pace, record, texts
from nanogpt_lib.runs.wording import duration

pytestmark = pytest.mark.slow

COMMANDS = ("doctor", "data", "train", "resume", "sample", "plot", "replay", "compare", "export")
QUICK = ["train", "--preset", "smoke", "--steps", "4", "--device", "cpu", "--dtype", "float32"]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """What a newcomer does first, in an empty folder: (that folder, what was printed)."""
    folder = tmp_path_factory.mktemp("newcomer")
    command = [sys.executable, "-m", "nanogpt_lib", "train", "--preset", "smoke"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder, done.stdout


@pytest.fixture
def at_home(first_run, monkeypatch):
    """In the folder of the first run."""
    monkeypatch.chdir(first_run[0])
    return first_run[0]


@pytest.fixture
def typed(capsys, tmp_path, monkeypatch):
    """Runs a command in this process, in an empty folder: (exit code, its output, its errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        capsys.readouterr()
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as exit:  # argparse leaves so
            code = exit.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def sample(typed, at_home):
    """`nanogpt sample` from the first run."""
    return lambda *args: typed("sample", "-n", 50, "--seed", 1, *args)


def fails(result, *words, advice=False):
    """The command ended with 2 and one line of error, which holds these words.

    advice: whether lines that belong to it follow, such as a command to type.
    """
    code, _, errors = result
    lines = [line for line in errors.splitlines() if not line.startswith("note: ")]
    assert code == 2 and lines[0].startswith("nanogpt: ") and (len(lines) > 1) == advice, result
    for word in words:
        assert word in "\n".join(lines), result


# --- train ---


@pytest.fixture(scope="module")
def three_runs(text, tmp_path_factory):
    """A folder in which the same training was called with the seeds 1, 1 and 2."""
    folder = tmp_path_factory.mktemp("three")
    (folder / "own.txt").write_text(text[:5000], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in ("1", "1", "2"):
            before = {p: p.read_bytes() for p in (folder / "runs").rglob("*.*")}
            assert main([*QUICK, "--text", "own.txt", "--seed", seed]) == 0
            assert all(path.read_bytes() == data for path, data in before.items())
    return folder


def test_training_again_makes_another_folder_and_touches_nothing(three_runs):
    names = {path.name for path in (three_runs / "runs").iterdir()}
    assert names == {"smoke", "smoke-2", "smoke-3"}


def test_the_seed_decides_weights_and_batches(three_runs):
    one, again, other = (
        [point.val_loss for point in record.read(three_runs / "runs" / name).history]
        for name in ("smoke", "smoke-2", "smoke-3")
    )
    assert one == again
    assert one[0] != other[0]


def test_the_newest_run_is_the_one_written_to_last(typed, three_runs, monkeypatch):
    monkeypatch.chdir(three_runs)
    later = time.time() + 100
    os.utime(three_runs / "runs" / "smoke-2" / "run.jsonl", (later, later))
    assert str(Path("runs", "smoke-2", "loss.png")) in typed("plot")[1]


def test_a_first_run_tells_everything_a_newcomer_needs(first_run):
    folder, output = first_run
    for words in (
        "Preset smoke: seconds",
        "Computing on ",
        "step     0/30  train 4.1",
        "knows nothing",
        "Finished after 30 steps.",
        "Best checkpoint over the whole validation split: 3.",
        "ROMEO:",
        f"The curve: {Path('runs', 'smoke', 'loss.png')}",
        f'nanogpt sample {Path("runs", "smoke")} --prompt "JULIET:"',
    ):
        assert words in output
    made = {path.name for path in (folder / "runs" / "smoke").iterdir()}
    assert made == {
        "run.jsonl",
        "last.safetensors",
        "previous.safetensors",
        "best.safetensors",
        "loss.png",
    }
    assert (folder / "runs" / "smoke" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in folder.iterdir()] == ["runs"]  # and nothing else lies about


def test_its_record_says_what_was_done_where(first_run):
    kept = record.read(first_run[0] / "runs" / "smoke")
    assert kept.about["text"]["sha256"] == shakespeare.SHA256
    assert kept.about["preset"] == "smoke" and len(kept.about["ladder"]) == 7
    assert [point.step for point in kept.history] == [0, 10, 20, 30]
    assert kept.end["stopped"] == "finished"
    assert kept.result["whole_val_loss"] < kept.about["ladder"][0]["loss"]
    assert kept.result["peak_memory_gib"] is None or kept.result["peak_memory_gib"] > 0


def test_the_options_of_train_reach_the_run(typed, tmp_path):
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 30_000)))  # symbols; a cap makes them few
    (tmp_path / "own.txt").write_text(many, encoding="utf-8")
    options = "--batch-size 6 --grad-accum 3 --lr 0.02 --dropout 0.3 --eval-interval 3 --seed 5"
    args = [*QUICK, "--text", "own.txt", "--out", "my run", "--max-symbols", "20"]
    assert typed(*args, *options.split())[0] == 0
    about = record.read("my run").about
    train, model = about["train_config"], about["model"]
    assert (train["batch_size"], train["grad_accum"], train["max_steps"]) == (6, 3, 4)
    assert (train["learning_rate"], train["min_lr"]) == (0.02, 0.002)
    assert (train["eval_interval"], train["seed"]) == (3, 5)
    assert (model["dropout"], model["vocab_size"]) == (0.3, 20)


def test_the_record_holds_the_command_without_the_folders_of_this_machine(typed, text, tmp_path):
    (tmp_path / "deep").mkdir()
    own = tmp_path / "deep" / "my own.txt"
    own.write_text(text[:5000], encoding="utf-8")
    assert typed(*QUICK, "--text", own, "--out", tmp_path / "there", "--lr", "0.002")[0] == 0
    assert record.read(tmp_path / "there").about["command"] == (
        "nanogpt train --text 'my own.txt' --device cpu --dtype float32 --preset smoke --steps 4 "
        "--lr 0.002"
    )


def test_the_command_that_it_says_to_type_next_works_when_pasted(typed, text, tmp_path):
    (tmp_path / "own.txt").write_text(text[:5000], encoding="utf-8")
    output = typed(*QUICK, "--text", "own.txt", "--out", "mein Lauf ä")[1]
    (line,) = [line for line in output.splitlines() if line.startswith("  nanogpt sample ")]
    nanogpt, *words = shlex.split(line)
    assert nanogpt == "nanogpt" and typed(*words, "-n", 5)[0] == 0
    told = typed("export", "mein Lauf ä", "--to", '"b"')[1].splitlines()
    for line in (line for line in told if "from_pretrained" in line):
        assert ast.literal_eval(line.partition("from_pretrained")[2]) == '"b"'
    (line,) = [line for line in told if "pipeline(" in line]
    assert ast.parse(line.strip()).body[0].value.func.args[1].value == '"b"'


def test_a_run_that_diverges_ends_well_and_says_what_to_do(typed, text, tmp_path):
    (tmp_path / "own.txt").write_text(text[:5000], encoding="utf-8")
    code, output, errors = typed(*QUICK, "--text", "own.txt", "--lr", "1e30")
    assert code == 0 and errors == ""
    assert "Diverged" in output and "Lower the learning rate" in output
    kept = record.read(tmp_path / "runs" / "smoke")
    assert math.isnan(kept.history[-1].val_loss) and math.isfinite(kept.history[0].val_loss)
    assert kept.result["step"] == 0  # the best checkpoint is the last one that was sound
    assert typed("sample", "-n", "5")[0] == 0
    assert typed("plot")[0] == 0


def test_a_few_minutes_choose_preset_and_steps(typed, text, tmp_path):
    (tmp_path / "own.txt").write_text(text[:20_000], encoding="utf-8")
    args = ["--minutes", "0.02", "--text", "own.txt", "--device", "cpu", "--dtype", "float32"]
    code, output, _ = typed("train", *args)
    assert code == 0
    assert re.search(r"For 0\.02 minutes here: pocket, [\d,]+ steps?\.", output)
    assert record.read(tmp_path / "runs" / "pocket").end["stopped"] in ("finished", "out of time")
    code, output, _ = typed("train", "--preset", "smoke", *args)
    assert code == 0 and "For 0.02 minutes here: smoke, " in output
    assert record.read(tmp_path / "runs" / "smoke").about["preset"] == "smoke"


@pytest.mark.parametrize(
    "option, words",
    [
        ("--steps -1", "--steps must be a whole number from 0 up, not -1"),
        ("--minutes 0", "--minutes must be a number above 0, not 0"),
        ("--minutes nan", "--minutes must be a number above 0, not nan"),
        ("--minutes inf", "--minutes must be a number above 0, not inf"),
        ("--lr nan", "--lr must be a number above 0, not nan"),
        ("--lr 0", "--lr must be a number above 0, not 0"),
        ("--lr inf", "--lr must be a number above 0, not inf"),
        ("--dropout 2", "--dropout must lie in [0, 1), not 2"),
        ("--dropout nan", "--dropout must lie in [0, 1), not nan"),
        ("--batch-size 0", "--batch-size must be a whole number from 1 up, not 0"),
        ("--grad-accum 0", "--grad-accum must be a whole number from 1 up, not 0"),
        ("--grad-accum 99", "--grad-accum (99) cannot exceed --batch-size (8)"),
        ("--eval-interval 0", "--eval-interval must be a whole number from 1 up, not 0"),
        ("--seed 99999999999999999999", "--seed must be a whole number below 2**63"),
        ("--preset nope", "no preset 'nope'; there are smoke, pocket, laptop, workshop"),
        ("--device tpu", "--device must be"),
        ("--dtype int8", "--dtype must be"),
        ("--max-symbols 1", "--max-symbols must leave room"),
    ],
)
def test_a_silly_option_is_answered_in_one_line(typed, tmp_path, option, words):
    fails(typed(*QUICK, *option.split()), words)
    assert list(tmp_path.iterdir()) == []  # no folder of a run that never was


@pytest.mark.parametrize("option", ["--steps many", "--lr low", "--nonsense", "--unknown oops"])
def test_a_word_where_a_number_should_be_is_answered_at_once(typed, option):
    command = "sample" if "unknown" in option else "train"
    code, _, errors = typed(command, *option.split())
    assert code == 2 and errors.splitlines()[-1].startswith("nanogpt")


def test_no_steps_at_all_show_an_untrained_model(typed, text, tmp_path):
    (tmp_path / "own.txt").write_text(text[:5000], encoding="utf-8")
    code, output, _ = typed(*QUICK, "--text", "own.txt", "--steps", 0)
    assert code == 0 and "Finished after 0 steps." in output


def test_a_folder_that_holds_a_run_is_not_trained_into(typed, at_home):
    fails(typed(*QUICK, "--out", "runs/smoke"), "holds a run already", "name another folder")


def test_a_full_disk_ends_a_run_in_one_line(typed, text, tmp_path, monkeypatch):
    resource = pytest.importorskip("resource", reason="a limit on file sizes, as POSIX has it")
    (tmp_path / "own.txt").write_text(text[:5000], encoding="utf-8")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))  # enough for the first one
    try:
        result = typed(*QUICK, "--text", "own.txt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    fails(result, "next.safetensors could not be written: File too large", "What was saved")
    monkeypatch.chdir(tmp_path.parent)
    assert typed("resume", tmp_path / "runs" / "smoke")[0] == 0  # with space, from anywhere


# --- own texts ---


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r"),
    ],
    ids=["from Windows", "with a byte order mark", "from an old Mac"],
)
def test_a_text_is_the_same_whatever_its_editor_did(typed, text, tmp_path, change):
    plain = text[:5000].encode()
    (tmp_path / "plain.txt").write_bytes(plain)
    (tmp_path / "odd.txt").write_bytes(change(plain))
    outputs = [typed("data", "--text", name)[1] for name in ("plain.txt", "odd.txt")]
    assert outputs[0] == outputs[1] and "4,500 characters to train on" in outputs[0]


def test_an_own_text_is_trained_on_and_sampled_in_its_own_letters(typed, tmp_path):
    greek = "Ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν.\n" * 60
    (tmp_path / "greek.txt").write_text(greek, encoding="utf-8")
    code, output, _ = typed(*QUICK, "--text", "greek.txt")
    assert code == 0 and "ROMEO" not in output and "JULIET" not in output
    code, output, _ = typed("sample", "-n", "30", "--prompt", "λόγος")
    assert code == 0 and output.startswith("λόγος") and set(output) <= set(greek)
    assert record.read(tmp_path / "runs" / "smoke").about["text"]["name"] == "greek.txt"


@pytest.mark.parametrize(
    "data, words",
    [
        (
            "Das Grün der Bäume ist schön.\n".encode("latin-1") * 500,
            ("is not UTF-8", "cp1252", "Das Grün der Bäume", "python -c"),
        ),
        ("To be".encode("utf-16"), ("is not UTF-8", "utf_16  To be", "python -c")),
        (b"to be " * 20, ("too short for a context of 32", "at least 330")),
        (b"", ("is empty",)),
        (
            "".join(map(chr, range(0x4E00, 0x4E00 + 30_000))).encode(),
            ("30,000 distinct characters", "--max-symbols 1000"),
        ),
        (None, ("cannot be read", "No such file")),
    ],
    ids=["latin-1", "utf-16", "too short", "empty", "30,000 symbols", "missing"],
)
def test_a_text_that_cannot_be_trained_on_is_named_with_the_way_out(typed, tmp_path, data, words):
    if data is not None:
        (tmp_path / "own.txt").write_bytes(data)
    fails(typed(*QUICK, "--text", "own.txt"), *words, advice="python -c" in words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("options", ["", "--minutes 5"])
def test_a_text_that_is_too_short_for_a_context_names_the_preset_that_fits(
    typed, tmp_path, options, monkeypatch
):
    monkeypatch.setattr(pace, "seconds_per_step", None)  # nothing is measured before
    (tmp_path / "own.txt").write_text("to be or not " * 50, encoding="utf-8")
    result = typed("train", "--preset", "workshop", "--text", "own.txt", *options.split())
    fails(result, "context of 256", "the preset pocket, with a context of 64", "--preset pocket")
    assert "block_size" not in result[2] and list(tmp_path.iterdir()) == [tmp_path / "own.txt"]


def test_the_minutes_are_measured_with_the_text_s_own_vocabulary(typed, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(pace, "seconds_per_step", lambda *args: asked.append(args) or 10.0)
    (tmp_path / "own.txt").write_text("abcdefgh ijklmnop.\n" * 100, encoding="utf-8")
    typed("train", "--text", "own.txt", "--minutes", "0.01", "--device", "cpu")
    assert [(preset.name, vocab_size) for preset, _, vocab_size in asked] == [("pocket", 19)]
    asked.clear()
    monkeypatch.setattr(pace, "seconds_per_step", lambda *args: asked.append(args) or 1e-9)
    plan = pace.fit_to_time(5, vocab_size=19, val_tokens=190)
    assert plan.name == "laptop"  # the workshop's context is longer than the validation text
    assert [preset.name for preset, *_ in asked] == ["pocket", "laptop"]


def test_what_a_terminal_would_obey_is_never_printed(typed, tmp_path):
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eabc\r "
    (tmp_path / "own.txt").write_text(evil * 400, encoding="utf-8", newline="")
    shown = [typed(*QUICK, "--lr", "0.01", "--text", "own.txt")]
    shown.append(typed("sample", "-n", "100", "--temperature", "2", "--prompt", "\x1b[2J"))
    shown.append(typed("sample", "-n", "100", "--prompt", "\x1b\x85", "--unknown", "error"))
    shown += [typed("data", "--text", "own.txt"), typed("replay", "smoke", "--seconds", "1")]
    assert [code for code, *_ in shown] == [0, 0, 2, 0, 0]
    for _, *streams in shown:
        assert not set("".join(streams)) & set("\x1b\x07\x9b\u202e\x85")


def test_a_text_that_holds_everything_twice_is_not_praised(typed, text, tmp_path):
    (tmp_path / "twice.txt").write_text(2 * text[:20_000], encoding="utf-8")
    code, output, errors = typed(*QUICK, "--eval-interval", "2", "--text", "twice.txt")
    assert code == 0 and "note: 100% of the validation text also stands in the" in errors
    assert "No verdict: 100% of the validation text" in output and "It would sound" not in output
    for command in (["plot"], ["replay", "smoke", "--seconds", "1"]):
        assert "No verdict: 100%" in typed(*command)[1]
    assert "100% of the validation text is in the training text" in typed("compare")[1]
    assert "100.0% of the validation text is in" in typed("data", "--text", "twice.txt")[1]


# --- data, plot, doctor ---


def test_data_shows_the_corpus_and_its_ladder(typed):
    code, output, errors = typed("data")
    assert code == 0 and errors == ""
    assert "1,003,854 characters to train on, 111,540 to validate" in output
    assert "65 distinct:" in output and "4.174  uniform guess" in output
    assert str(data_dir() / shakespeare.FILE_NAME) in output


def test_tokens_of_several_texts_are_made_and_trained_on(typed, text, tmp_path):
    (tmp_path / "plays").mkdir()
    (tmp_path / "plays" / "one.txt").write_text(text[:20_000], encoding="utf-8")
    (tmp_path / "two.txt").write_text(text[20_000:40_000], encoding="utf-8")
    made = ("data", "plays", "two.txt", "--to", "tokens", "--tokenizer", "bpe", "--vocab", "300")
    code, said, errors = typed(*made)
    assert code == 0 and "40,001 characters became" in said, errors
    code, again, errors = typed(*QUICK, "--text", "tokens", "--out", "run")
    assert code == 0 and "bits a character" in again, errors
    first = record.read(tmp_path / "run").about
    assert first["model"]["vocab_size"] == 300 and first["text"]["name"] == "plays + two.txt"
    whole = typed("data", "tokens")[1]
    assert "300 distinct, each 1." in whole and "piece frequencies" in whole
    fails(typed(*made), "holds tokens already")
    fails(typed("train", "--text", "plays"), "nanogpt data plays --to")
    fails(typed(*QUICK, "--text", "tokens", "--vocab", "400"), "leave out --tokenizer, --vocab")


def test_tiny_shakespeare_and_the_standard_input_become_tokens(nanogpt, text, tmp_path):
    nanogpt("data", "--to", "tokens")
    nanogpt("data", "-", "--to", "piped", input=text)
    one, two = (json.loads((tmp_path / d / "tokens.json").read_text()) for d in ("tokens", "piped"))
    assert one == two and one["name"] == "Tiny Shakespeare"
    assert sorted(p.name for p in (tmp_path / "piped").iterdir()) == [
        "tokens.json",
        "train.bin",
        "val.bin",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data", "a.txt", "b.txt"), "name a new folder for them with --to"),
        (("data", "a.txt", "--text", "b.txt"), "name the text once"),
        (("data", "missing.txt", "--to", "tokens"), "missing.txt cannot be read"),
        (("data", "--vocab", "300"), "--vocab must go with --tokenizer bpe"),
        (("data", "--tokenizer", "bpe", "--max-symbols", "9"), "--max-symbols must go with"),
        (("data", "--tokenizer", "bpe", "--vocab", "255"), "from 256 up"),
    ],
)
def test_a_text_that_cannot_become_tokens_is_answered_in_one_line(typed, words, said):
    fails(typed(*words), said)


def test_a_text_too_small_for_its_vocabulary_says_how_many_tokens_were_made(typed, tmp_path):
    (tmp_path / "own.txt").write_text("hear me speak " * 400, encoding="utf-8")
    told = "of the 1,000 tokens that were asked for, 2"
    size = ("--tokenizer", "bpe", "--vocab", "1000")
    code, _, errors = typed(*QUICK, "--text", "own.txt", *size)
    assert code == 0 and told in errors
    assert told in typed("data", "own.txt", *size, "--to", "tokens")[2]


def test_a_run_in_pieces_is_sampled_resumed_exported_and_shown(typed, tmp_path):
    code, said, errors = typed(*QUICK, "--tokenizer", "bpe", "--vocab", "300", "--out", "run")
    assert code == 0 and said.count("bits a character") >= 4, errors
    assert typed("sample", "run", "-n", "20", "--prompt", "naïve 🙂")[1].startswith("naïve 🙂")
    assert typed("resume", "run", "--more-steps", "1")[0] == 0
    assert typed("export", "run", "--to", "hub")[0] == 0
    assert typed("export", "run", "--to", "page.html")[0] == 0
    assert '"bpe"' in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (tmp_path / "hub" / "tokenizer.json").exists()


def test_runs_with_other_tokens_of_one_text_compare_in_bits_a_character(typed, text, tmp_path):
    (tmp_path / "own.txt").write_text(text[:30_000], encoding="utf-8")
    for name in ("one", "two"):
        assert typed(*QUICK, "--text", "own.txt", "--out", name)[0] == 0
    pieces = ("--tokenizer", "bpe", "--vocab", "300", "--out", "three")
    said = typed(*QUICK, "--text", "own.txt", *pieces)[1]
    bits = re.findall(r"([\d.]+) bits a character", said)
    table = typed("compare", "one", "two", "three")[1]
    assert re.search(r"three .* other tokens: [\d.]+ bits a character", table)
    assert re.search(r"other tokens: ([\d.]+)", table)[1] in bits
    assert re.search(r"^(one|two) has [\d.]+ bits a character", table, re.M)


def test_plot_draws_the_newest_run(typed, at_home):
    curve = at_home / "runs" / "smoke" / "loss.png"
    before = curve.read_bytes()
    curve.unlink()
    code, output, _ = typed("plot")
    assert code == 0 and "Step 30: training loss 3." in output
    assert curve.read_bytes() == before


@pytest.mark.parametrize("command", ["resume", "sample", "plot"])
def test_without_any_run_the_way_out_is_named(typed, command):
    fails(typed(command), "there is no run in runs yet: `nanogpt train` makes one")
    fails(typed(command, "nowhere"), "there is no", "nowhere")


def test_doctor_finds_this_machine_ready(typed):
    code, output, _ = typed("doctor", "--device", "cpu")
    assert code == 0, output
    for words in ("Python 3.", "torch 2.", "memory: ", "65 of them distinct", "the past only"):
        assert words in output
    assert re.search(r"a `pocket` step takes \d+ ms: `nanogpt train` takes about \d", output)
    assert "Ready. Paste all of this into a bug report." in output


def test_doctor_says_what_to_fix_and_how(typed, tmp_path, monkeypatch):
    monkeypatch.setattr(host, "PACKAGES", ("torch", "no-such-thing", "nbval-of-the-future"))
    monkeypatch.setattr(doctor, "COURSE", ("nbval-of-the-future",))
    code, output, _ = typed("doctor", "--text", "gone.txt", "--device", "nope")
    assert code == 1
    assert "[FIX ] no-such-thing is missing\n       -> pip install no-such-thing" in output
    assert "[note] nbval-of-the-future is missing: only the notebooks need it" in output
    assert (
        "[FIX ] the text cannot be used\n       -> " in output
        and "gone.txt cannot be read" in output
    )
    assert "[FIX ] the device\n       -> device must be" in output
    assert "3 to fix, see the arrows above." in output


def test_doctor_looks_at_text_memory_disk_and_environment(tmp_path, monkeypatch):
    (tmp_path / "own.txt").write_text("to be or not to be " * 100, encoding="utf-8")
    ((level, what, remedy),) = doctor.examine_text(str(tmp_path / "own.txt"))
    assert level == doctor.NOTE and "1,900 characters, 7 of them" in what and "little" in remedy
    monkeypatch.setenv("NANOGPT_DATA", str(tmp_path / "empty"))
    ((level, _, remedy),) = doctor.examine_text(None)
    assert level == doctor.NOTE and "nanogpt data fetches it" in remedy

    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=2**30))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type(memory)(*[0] * len(memory)))
    _, (level, _, remedy), (fits, what, _), (disk, _, free) = doctor.examine_machine()
    assert fits == doctor.OK and what.endswith("smoke, pocket, laptop, workshop")
    assert level == doctor.NOTE and "close other programs" in remedy
    assert disk == doctor.FIX and "free 1 GiB" in free

    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    _, (level, what, remedy) = doctor.examine_python()
    assert level == doctor.NOTE and "no virtual environment" in what and "make setup" in remedy


def test_the_short_form_for_the_course_shows_no_paths(capsys):
    assert not doctor.report(device="nope", short=True)
    output = capsys.readouterr().out
    assert sys.prefix not in output and "1 to fix, see the arrows above." in output


def test_the_record_s_machine_names_no_person_and_no_path():
    about = json.dumps(host.machine() | host.versions())
    assert str(Path.home()) not in about and os.sep + "home" not in about
    assert host.machine()["cores"] >= 1 and host.machine()["memory_gib"] > 0.5
    assert host.versions()["torch"] == torch.__version__.split("+")[0] or "+" in about


def test_on_other_systems_the_machine_tells_what_it_can(monkeypatch):
    def no_such_file(*args, **kwargs):
        raise FileNotFoundError

    with monkeypatch.context() as mac:  # it has no /proc
        mac.setattr("builtins.open", no_such_file)
        assert isinstance(host.processor(), str)
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    assert host.gpu() == "Tesla T4"
    if sys.platform != "win32":
        assert host.peak_memory_gib() is None


# --- sample ---


def test_sample_writes_so_many_characters_after_the_prompt(sample):
    code, output, errors = sample("--prompt", "ROMEO:")
    assert (code, errors) == (0, "")
    assert output.startswith("ROMEO:") and len(output) == len("ROMEO:") + 50 + len("\n")


def test_a_prompt_may_hold_new_lines_and_be_empty(sample):
    assert sample("--prompt", r"Who?\nI!")[1].startswith("Who?\nI!")
    assert len(sample()[1]) == 51
    assert sample("-n", 0, "--prompt", "Hi")[1] == "Hi\n"


@pytest.mark.parametrize(
    "options",
    ["--greedy", "--temperature 0", "--temperature 1.5", "--top-k 1", "--top-p 0.5", "--no-cache"],
)
def test_every_option_of_sample_works_and_the_same_seed_gives_the_same_text(sample, options):
    one, two = sample(*options.split()), sample(*options.split())
    assert one == two and one[0] == 0 and len(one[1]) == 51


def test_the_likeliest_is_chosen_by_each_option_that_asks_for_it(sample):
    texts = [sample(*o.split())[1] for o in ("--greedy", "--temperature 0", "--top-k 1")]
    assert len(set(texts)) == 1
    assert sample("--no-cache") == sample()
    assert sample("--seed", 2) != sample()
    assert sample("--top-k", "all") == sample("--top-k", 65)


def test_characters_the_model_does_not_know_are_named_before_anything_is_printed(sample):
    result = sample("--prompt", "Zürich")
    fails(result, "'ü' (U+00FC)", "--unknown drop")
    assert result[1] == ""  # on a terminal the error stands on a line of its own
    for unknown in ("drop", "replace"):
        assert sample("--prompt", "Zürich", "--unknown", unknown)[0] == 0


@pytest.mark.parametrize(
    "option, words",
    [
        ("--temperature -1", "--temperature must be"),
        ("--temperature nan", "--temperature must be"),
        ("--top-k 0", "--top-k must be"),
        ("--top-p 0", "--top-p must lie"),
        ("--top-p 1.1", "--top-p must lie"),
        ("-n -5", "-n must be"),
        ("--seed 99999999999999999999", "--seed must be"),
    ],
)
def test_a_silly_option_of_sample_is_answered_in_one_line(sample, option, words):
    result = sample(*option.split())
    fails(result, words)
    assert result[1] == ""


def test_two_dashes_are_a_prompt_like_any_other(sample):
    assert sample("--prompt=--", "-n", 3)[1].startswith("--")


def test_a_note_too_names_the_option_that_was_typed(sample):
    assert sample("--top-k", 1000)[2].startswith("note: --top-k is 1000, but there are only 65")
    assert sample()[2] == ""  # and of the default nothing is said


def test_a_file_that_is_called_like_an_option_keeps_its_name(typed):
    assert "batch_size.txt cannot be read" in typed(*QUICK, "--text", "batch_size.txt")[2]


def test_a_prompt_longer_than_the_context_is_cut_with_a_note(sample):
    code, output, errors = sample("--prompt", "word " * 20)
    assert code == 0 and output.startswith("word " * 20)
    assert errors.startswith("note: the prompt has 100 tokens and the context 32")


def test_a_damaged_checkpoint_is_named(sample, tmp_path):
    (tmp_path / "best.safetensors").write_bytes(b"")
    fails(sample(tmp_path / "best.safetensors"), "best.safetensors is damaged or not a checkpoint")


# --- the program itself ---


def python(*args, **kwargs):
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, **kwargs)


def test_help_and_typing_errors_answer_without_importing_pytorch():
    program = (
        "import sys, nanogpt_lib; from nanogpt_lib.cli import main\n"
        "for args in {}:\n"
        "    try: main(args)\n"
        "    except SystemExit as exit: print('exit', exit.code)\n"
        "print(sorted({{'torch', 'numpy', 'matplotlib'}} & set(sys.modules)))\n"
    )
    asked = [
        ["--version"],
        ["--help"],
        *([command, "--help"] for command in COMMANDS),
        ["trian"],
        [],
    ]
    done = python("-c", program.format(asked))
    lines = done.stdout.splitlines()
    assert lines[-1] == "[]"  # none of them was imported
    exits = [line for line in lines if line.startswith("exit")]
    assert exits == ["exit 0"] * (2 + len(COMMANDS)) + ["exit 2"]
    assert done.stdout.count("first steps:") == 2  # --help, and no command at all
    assert "Traceback" not in done.stderr


def test_every_option_has_a_word_of_help():
    (commands,) = (a for a in build_parser()._actions if a.metavar == "COMMAND")
    assert set(COMMANDS) <= set(commands.choices)
    for parser in commands.choices.values():
        assert all(action.help for action in parser._actions)


def test_names_come_from_the_package_and_are_listed():
    for name in nanogpt_lib.__all__:
        assert getattr(nanogpt_lib, name) and name in dir(nanogpt_lib)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        nanogpt_lib.nonsense  # noqa: B018


def test_a_terminal_that_knows_few_letters_does_not_stop_the_program(tmp_path):
    (tmp_path / "own.txt").write_text("Ἐν ἀρχῇ ἦν ὁ λόγος 語 " * 3, encoding="utf-8")
    env = {**os.environ, "PYTHONIOENCODING": "cp1252"}  # as on Windows
    command = ["-m", "nanogpt_lib", "data", "--text", "own.txt"]
    done = python(*command, cwd=tmp_path, env=env, encoding="utf-8")
    assert done.returncode == 0 and "λ" in done.stdout and done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="closed files, as POSIX has them")
def test_a_closed_output_is_nothing_to_stop_for(at_home):
    command = [sys.executable, "-m", "nanogpt_lib", "plot"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command])
    assert done.returncode == 0
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command, "nowhere"], stdout=-1)
    assert done.returncode == 2 and done.stdout == b""


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe, as POSIX has it")
def test_a_reader_that_has_seen_enough_gets_no_traceback(at_home):
    env = {**os.environ, "PYTHONUNBUFFERED": ""}  # so that all is written at the very end
    command = [sys.executable, "-m", "nanogpt_lib", "plot"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    process.stdout.close()  # as `head -1` does after a line
    assert process.stderr.read() == b""
    assert process.wait() == 1
    process.stderr.close()


def test_ctrl_c_before_the_training_ends_the_program_with_one_word(typed, monkeypatch):
    monkeypatch.setattr(texts, "prepare", lambda text, **more: signal.raise_signal(signal.SIGINT))
    code, _, errors = typed("data")
    assert code == 130 and errors == "\nStopped.\n"


def test_times_are_told_in_words():
    told = [duration(seconds) for seconds in (0.4, 59.4, 59.6, 200, 3599.6, 7500)]
    assert told == ["0 s", "59 s", "1 min 00 s", "3 min 20 s", "1 h 00 min", "2 h 05 min"]


# --- a bare name is one's own run first, then what the kit brings ---


def test_a_bare_name_is_ones_own_run_and_that_is_said(typed, text, tmp_path):
    (tmp_path / "own.txt").write_text("abcdefgh ijklmnop.\n" * 300, encoding="utf-8")
    for out in ("pocket", "mine"):
        assert typed(*QUICK, "--text", "own.txt", "--out", f"runs/{out}")[0] == 0
    mine = load_model(tmp_path / "runs" / "pocket")[1].symbols
    assert load_model("pocket")[1].symbols == mine != load_model_of_the_kit()
    commands = ("sample -n 5", "plot", "resume --more-steps 1", "export --to out", "replay")
    for command in commands:
        verb, *options = command.split()
        code, output, errors = typed(verb, "pocket", *options)
        assert code == 0 and "note: runs/pocket, your own run (the kit has a pocket, too" in (
            errors.replace("\\", "/")
        ), command
        if verb == "export":
            assert "trained on own.txt: " in output and f"{len(mine)} symbols, a" in output
    assert "note: runs/mine, your own run\n" in typed("plot", "mine")[2].replace("\\", "/")
    assert typed("compare", "pocket", "mine")[0] == 0
    fails(typed("sample", "no/such/folder/pocket"), "there is no checkpoint")
    fails(typed("sample", "nobody"), "there is no checkpoint nobody")


def load_model_of_the_kit():
    return load_model(RECORDED / "pocket.safetensors")[1].symbols


def test_what_comes_with_the_kit_is_said_too(typed):
    assert typed("sample", "pocket", "-n", 5)[2] == "note: pocket, which comes with the kit\n"


def test_compare_says_that_there_are_no_runs_and_writes_pictures_only(typed, tmp_path, monkeypatch):
    monkeypatch.setenv("NANOGPT_RUNS", str(tmp_path / "runs"))
    fails(typed("compare"), "there are no runs in", "`nanogpt train` makes one")
    (tmp_path / "precious.txt").write_text("precious")
    fails(typed("compare", "pocket", "--out", "precious.txt"), "end its name with .png")
    assert (tmp_path / "precious.txt").read_text() == "precious"


def test_a_top_k_that_is_none_is_told_in_our_words(typed):
    assert "give a whole number or all, not 'x'" in typed("sample", "pocket", "--top-k", "x")[2]
