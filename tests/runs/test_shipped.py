"""What comes with the kit besides the records: trained models, for whom nothing else works."""

import re
import runpy
from pathlib import Path

import pytest

from nanogpt_lib import cli, generate, load_model
from nanogpt_lib.runs import catalogue, checkpoint, record
from nanogpt_lib.training import evaluate

TOOL = Path(__file__).resolve().parents[2] / "tools" / "ship_model.py"


def test_the_help_names_them_all():
    assert set(re.findall(r'"([^"]+)"', cli.SHIPPED)) == catalogue.shipped_models().keys()


def test_they_are_small():
    most = {"pocket": 4_000_000, "pocket-long": 4_000_000, "talk": 12_000_000}
    assert catalogue.shipped_models().keys() == most.keys()
    for name, path in catalogue.shipped_models().items():
        assert path.stat().st_size < most[name]


def test_the_talks_model_is_the_best_of_its_run_and_8_bits_cost_it_little(ids):
    model, _, data = load_model("talk")
    best = min(record.read(catalogue.find("talk")).history, key=lambda point: point.val_loss)
    assert (data["bits"], data["step"], model.num_params()) == (8, best.step, 10_770_816)
    # Eight windows in float32, where the run evaluated all of them in bfloat16.
    assert evaluate(model, ids[1], n_batches=1, batch_size=8) == pytest.approx(
        best.val_loss, abs=0.1
    )


@pytest.mark.slow
def test_it_is_the_model_of_the_recorded_run_and_as_good(ids):
    model, _, data = load_model("pocket")
    kept = record.read(catalogue.find("pocket"))
    assert data["step"] == kept.result["step"]
    assert evaluate(model, ids[1]) == pytest.approx(kept.result["whole_val_loss"], abs=0.002)


@pytest.mark.slow
def test_the_long_run_made_on_another_machine_is_as_good_as_the_recorded_one(ids):
    model, _, data = load_model("pocket-long")
    kept = record.read(catalogue.find("pocket-long"))
    assert data["step"] > 10_000  # rounding differs, and so does the step that happens to be best
    # 0.012 apart; three seeds of `pocket` on one machine lie 0.013 apart (docs/PERFORMANCE.md).
    assert evaluate(model, ids[1]) == pytest.approx(kept.result["whole_val_loss"], abs=0.02)


def test_it_writes(nanogpt):
    output = nanogpt("sample", "pocket", "--prompt", "ROMEO:", "-n", "20", "--seed", "1").stdout
    model, tokenizer, _ = load_model("pocket")
    assert output == generate(model, tokenizer, "ROMEO:", 20, seed=1) + "\n"


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pocket").mkdir()
    with pytest.raises(checkpoint.CheckpointError, match="there is no checkpoint"):
        load_model("pocket")


def test_the_tool_halves_a_checkpoint_and_keeps_all_that_sampling_needs(tmp_path):
    model, _, data = load_model("pocket")
    data["weights"] = dict(model.named_parameters())  # in float32, as a run saves it
    checkpoint.save(data, tmp_path / "best.safetensors")
    main = runpy.run_path(str(TOOL))["main"]
    small = tmp_path / "small.safetensors"
    assert main(tmp_path, small) == 0
    assert small.stat().st_size < 0.6 * (tmp_path / "best.safetensors").stat().st_size
    assert load_model(small)[2]["step"] == data["step"]


def test_the_tool_makes_a_checkpoint_of_8_bits_too(tmp_path):
    main = runpy.run_path(str(TOOL))["main"]
    assert main(catalogue.shipped_models()["pocket"], tmp_path / "small.safetensors", 8) == 0
    assert load_model(tmp_path / "small.safetensors")[2]["bits"] == 8
