"""Checkpoints: whole or not there, harmless to load, and refused by name where damaged."""

import copy
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from snapshots import same

from nanogpt_lib.machine.device import Compute
from nanogpt_lib.model import GPT, GPTConfig
from nanogpt_lib.runs import checkpoint
from nanogpt_lib.runs.callbacks import Checkpoints
from nanogpt_lib.runs.checkpoint import CheckpointError
from nanogpt_lib.tokenizer import CharTokenizer
from nanogpt_lib.training import Callback, TrainConfig, new_run, train

CPU = Compute(torch.device("cpu"), torch.float32, "the same everywhere")
TOKENIZER = CharTokenizer("abcdefgh")
ABOUT = {"preset": "smoke", "text": None, "sha256": "0" * 64}


def small_run(compute=CPU, **changes):
    torch.manual_seed(0)
    ids = torch.randint(8, (300,))
    model = GPT(GPTConfig(vocab_size=8, block_size=8, n_layer=1, n_head=1, n_embd=8, dropout=0.1))
    settings = {"max_steps": 4, "batch_size": 2, "eval_interval": 2, "eval_batches": 1}
    return new_run(model, ids[:200], ids[200:], TrainConfig(**settings | changes), compute)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder with last.pt (step 4), previous.pt (step 2) and best.pt; and its run."""
    saved_run = tmp_path_factory.mktemp("run")
    return saved_run, train(small_run(), [Checkpoints(saved_run, TOKENIZER, ABOUT)])


@pytest.fixture
def saved_run(trained, tmp_path):
    """A copy of it to be damaged."""
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


# --- there and back ---


def test_what_is_saved_comes_back_bit_for_bit(trained):
    saved_run, run = trained
    data = checkpoint.load(saved_run / "last.safetensors")
    kept = checkpoint.snapshot(run, TOKENIZER, ABOUT)
    kept["random"]["cpu"] = data["random"]["cpu"]  # this process has drawn numbers since
    assert same(data, kept)
    other = small_run()
    checkpoint.restore(other, data)
    assert same(checkpoint.snapshot(other, TOKENIZER, ABOUT), data)


def test_settings_out_of_numpy_are_saved_like_any_others(tmp_path):
    ids = torch.randint(8, (300,))
    n, rate = np.int64(8), np.float32(1e-3)
    model = GPT(GPTConfig(vocab_size=n, block_size=n, n_layer=1, n_head=1, n_embd=n, dropout=rate))
    config = TrainConfig(max_steps=np.int64(2), batch_size=2, learning_rate=rate, min_lr=rate)
    train(new_run(model, ids, ids, config, CPU), [Checkpoints(tmp_path, TOKENIZER, ABOUT)])
    assert checkpoint.load(tmp_path / "last.safetensors")["step"] == 2


def test_a_restored_run_goes_on_as_the_first_one_does():
    run, other = small_run(), small_run()
    data = {}

    class SaveInTheMiddle(Callback):
        def on_step(self, run):
            if run.step == 3:
                data.update(copy.deepcopy(checkpoint.snapshot(run, TOKENIZER, ABOUT)))

    torch.manual_seed(1)
    first = checkpoint.snapshot(train(run, [SaveInTheMiddle()]), TOKENIZER, ABOUT)
    checkpoint.restore(other, data)
    second = checkpoint.snapshot(train(other), TOKENIZER, ABOUT)
    for name in ("weights", "moments", "random", "step"):
        assert same(first[name], second[name]), name


def test_the_loss_scale_of_float16_is_part_of_a_checkpoint():
    half = Compute(torch.device("cpu"), torch.float16, "as on an older GPU")
    run, other = small_run(half), small_run(half)
    run.scaler.scale(torch.ones(1))
    run.scaler.update(1234.0)
    checkpoint.restore(other, checkpoint.snapshot(run, TOKENIZER, ABOUT))
    other.scaler.scale(torch.ones(1))
    assert other.scaler.get_scale() == 1234.0


def test_best_holds_the_weights_of_the_lowest_loss_and_no_more_than_sampling_needs(trained):
    saved_run, run = trained
    model, tokenizer, data = checkpoint.load_model(saved_run)
    assert data["step"] == run.best.step and not model.training
    assert tokenizer.symbols == TOKENIZER.symbols
    assert "moments" not in data and "moments" in checkpoint.load(saved_run / "last.safetensors")


def test_a_later_and_worse_model_does_not_replace_the_best(tmp_path):
    run = small_run(learning_rate=1e30, warmup_steps=0, max_steps=2)  # a loss of NaN after step 1
    train(run, [Checkpoints(tmp_path, TOKENIZER, ABOUT)])
    assert math.isnan(run.history[-1].val_loss)
    assert checkpoint.load(tmp_path / "best.safetensors")["step"] == 0
    assert checkpoint.load(tmp_path / "last.safetensors")["step"] == 2


def test_sampling_takes_the_best_unless_a_file_is_named(saved_run):
    best = checkpoint.load(saved_run / "best.safetensors")
    checkpoint.save(best | {"step": 1}, saved_run / "best.safetensors")
    assert checkpoint.load_model(saved_run)[2]["step"] == 1
    assert checkpoint.load_model(saved_run / "last.safetensors")[2]["step"] == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_checkpoint_from_a_gpu_loads_on_the_cpu(tmp_path):
    gpu = Compute(torch.device("cuda"), torch.bfloat16, "a GPU")
    train(small_run(gpu), [Checkpoints(tmp_path, TOKENIZER, ABOUT)])
    model, _, _ = checkpoint.load_model(tmp_path)
    assert model.lm_head.weight.device.type == "cpu"
    checkpoint.restore(small_run(), checkpoint.load(tmp_path / "last.safetensors"))


# --- damage ---


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def turn_to_text(path):
    path.write_text("To be, or not to be")


def flip_bytes(path):
    data = bytearray(path.read_bytes())
    for i in range(len(data) // 2, len(data) // 2 + 20):
        data[i] ^= 0xFF
    path.write_bytes(data)


def become_an_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


def become_another_models_weights(path):
    save_file({"weight": torch.ones(3)}, path)


def become_the_old_format(path):
    torch.save({"format": 1, "model": {}}, path)


def become_a_later_format(path):
    checkpoint.save(checkpoint.load(path) | {"format": 99}, path)


DAMAGE = (
    cut_in_half,
    empty,
    turn_to_text,
    flip_bytes,
    become_an_archive,
    become_another_models_weights,
    become_the_old_format,
    become_a_later_format,
)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_by_name_and_the_previous_one_used(
    saved_run, damage, capsys
):
    damage(saved_run / "last.safetensors")
    with pytest.raises(CheckpointError, match=r"last\.safetensors is damaged or not a checkpoint"):
        checkpoint.load(saved_run / "last.safetensors")
    assert checkpoint.load_last(saved_run)["step"] == 2
    said = capsys.readouterr().out
    assert (
        "last.safetensors is damaged" in said
        and "previous.safetensors instead, from step 2" in said
    )


def test_a_format_of_another_version_is_named(saved_run):
    become_a_later_format(saved_run / "last.safetensors")
    with pytest.raises(CheckpointError, match="format 99, this version reads 2"):
        checkpoint.load(saved_run / "last.safetensors")


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_flipped_byte_is_noticed_or_changes_nothing(trained, tmp_path_factory, data):
    good = (trained[0] / "last.safetensors").read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    flips = data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("flipped") / "last.safetensors"
    path.write_bytes(good[:place] + bytes([good[place] ^ flips]) + good[place + 1 :])
    try:
        loaded = checkpoint.load(path)
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert same(loaded, checkpoint.load(trained[0] / "last.safetensors"))


def test_where_both_are_damaged_the_error_names_both_and_the_way_out(saved_run):
    cut_in_half(saved_run / "last.safetensors")
    empty(saved_run / "previous.safetensors")
    with pytest.raises(CheckpointError) as error:
        checkpoint.load_last(saved_run)
    for word in (
        "last.safetensors is damaged",
        "previous.safetensors is damaged",
        "Start a new run: nanogpt train",
    ):
        assert word in str(error.value)


def test_where_the_best_is_damaged_the_last_is_sampled_and_that_is_said(saved_run, capsys):
    flip_bytes(saved_run / "best.safetensors")
    assert checkpoint.load_model(saved_run)[2]["step"] == 4
    assert "best.safetensors is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("load", [checkpoint.load, checkpoint.load_last, checkpoint.load_model])
def test_a_checkpoint_that_is_not_there_is_named(tmp_path, load):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*nowhere"):
        load(tmp_path / "nowhere")


class Bomb:
    """What an attacker would put in a file: loading it the careless way runs a command."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", ["last.pt", "last.safetensors"])
@pytest.mark.parametrize("form", ["PyTorch's", "a bare pickle"])
def test_loading_never_runs_code(tmp_path, form, name):
    target, path = tmp_path / "the bomb went off", tmp_path / name
    if form == "a bare pickle":
        path.write_bytes(pickle.dumps({"format": 1, "model": Bomb(target)}))
    else:
        torch.save({"format": 1, "model": Bomb(target)}, path)
    for load in (checkpoint.load, checkpoint.load_model):
        with pytest.raises(CheckpointError, match="is damaged or not a checkpoint"):
            load(path)
    assert not target.exists()
    if form != "a bare pickle":
        torch.load(path.rename(tmp_path / "bomb.pt"), weights_only=False)
        assert target.exists()  # the bomb was a real one


# --- the disk ---


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on file sizes, as POSIX has it")
def test_a_full_disk_leaves_the_old_checkpoints_whole_and_says_what_to_do(saved_run):
    import resource

    before = {path.name: path.read_bytes() for path in saved_run.iterdir()}
    data = checkpoint.load(saved_run / "last.safetensors")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = len(before["last.safetensors"])
    try:
        for room in (0, 1000, size // 2, size - 1):  # so much still fits
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
            with pytest.raises(CheckpointError) as error:
                checkpoint.save_last(data, saved_run)
            assert "could not be written: File too large" in str(error.value)
            assert "What was saved before is untouched" in str(error.value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in saved_run.iterdir()} == before
    checkpoint.save_last(data, saved_run)  # with space again it goes on
    assert checkpoint.load(saved_run / "last.safetensors")["step"] == 4


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "run").write_text("a file where the folder should be")
    data = checkpoint.snapshot(small_run(), TOKENIZER, ABOUT)
    with pytest.raises(
        CheckpointError, match=r"last\.safetensors could not be written: the folder"
    ):
        checkpoint.save(data, tmp_path / "run" / "last.safetensors")


def test_what_a_killed_program_left_half_written_is_swept_away(saved_run):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (saved_run / f"next.safetensors.{gone.pid}.part").write_bytes(b"half a checkpoint")
    other = saved_run / f"next.safetensors.{os.getppid()}.part"  # of a program that is alive
    other.write_bytes(b"half a checkpoint")
    run = small_run()
    checkpoint.restore(run, checkpoint.load_last(saved_run))
    train(run, [Checkpoints(saved_run, TOKENIZER, ABOUT)])
    assert other.exists()
    other.unlink()
    names = {"last.safetensors", "previous.safetensors", "best.safetensors"}
    assert {path.name for path in saved_run.iterdir()} == names


def test_a_run_that_is_stopped_between_evaluations_is_saved_where_it_stopped(tmp_path):
    run = small_run(eval_interval=3)
    checkpoints = Checkpoints(tmp_path, TOKENIZER, ABOUT)
    checkpoints.on_step = lambda run: signal.raise_signal(signal.SIGINT)  # Ctrl-C
    train(run, [checkpoints])
    assert checkpoint.load(tmp_path / "last.safetensors")["step"] == run.step == 1
