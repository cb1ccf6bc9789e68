"""The clinic: its faults are real, its records show them, and its command makes the records."""

import json

import pytest
import torch
import torch.nn.functional as F

from experiments.__main__ import main as experiments
from nanogpt_lib import plots
from nanogpt_lib.course import clinic
from nanogpt_lib.course import exercises as ex
from nanogpt_lib.course.clinic import CASES, PATIENTS, Unmasked, Unshifted, recorded
from nanogpt_lib.machine.device import check_causality, leak, pick_compute
from nanogpt_lib.milestones import FLOOR, verdict
from nanogpt_lib.runs import record
from nanogpt_lib.training import new_run

CPU = pick_compute("cpu", "float32")
EVERY = pytest.mark.parametrize("name", CASES)
idx = torch.arange(12).view(2, 6)


def started(tiny):
    ids = torch.arange(200) % 65
    return new_run(tiny, ids, ids, clinic.TRAINING, CPU)


# The faults


def test_a_model_without_its_mask_sees_the_future_and_is_refused_at_the_start(tiny):
    assert leak(tiny, CPU) == 0
    run = started(tiny)
    clinic.take_the_mask_away(run)
    assert leak(tiny, CPU) > 0
    with pytest.raises(RuntimeError, match="causal mask"):
        check_causality(tiny, CPU)


def test_unmasked_attention_is_a_softmax_over_the_whole_window(tiny):
    attention = tiny.transformer.h[0].attn
    x = torch.randn(2, 5, 16)
    q, k, v = attention.heads(x)
    weights = (q @ k.transpose(-2, -1) / q.size(-1) ** 0.5).softmax(-1)
    expected = attention.c_proj((weights @ v).transpose(1, 2).reshape(x.shape))
    assert not torch.allclose(attention(x), expected, atol=1e-5)
    attention.__class__ = Unmasked
    assert torch.allclose(attention(x), expected, atol=1e-6)


def test_unshifted_targets_are_the_inputs_and_nothing_else_changes(tiny):
    logits, _ = tiny(idx)
    clinic.forget_to_shift(started(tiny))
    assert type(tiny) is Unshifted
    again, none = tiny(idx)
    _, loss = tiny(idx, idx + 1)
    assert none is None
    assert torch.equal(again, logits)
    assert loss.item() == pytest.approx(F.cross_entropy(logits.flatten(0, 1), idx.flatten()).item())


def test_a_broken_model_has_the_weights_of_a_sound_one(tiny):
    run = started(tiny)
    names = list(tiny.state_dict())
    clinic.take_the_mask_away(run)
    clinic.forget_to_shift(run)
    assert list(tiny.state_dict()) == names
    _, loss = tiny(idx, idx)
    loss.backward()
    assert all(p.grad is not None for p in tiny.parameters())


@EVERY
def test_the_texts_are_apart_except_where_they_are_to_leak(name, text):
    trained, measured, unseen = clinic.texts(CASES[name], text)
    middle = unseen[len(unseen) // 2 :][:100]
    assert middle not in trained
    assert clinic.training_text(name) == trained
    if CASES[name].illness == "validation leaked":
        assert measured in trained
        assert measured not in unseen
    else:
        assert measured == unseen


# The records


@EVERY
def test_a_record_is_small_and_says_how_it_was_made(name):
    path = clinic.FOLDER / f"{name}.jsonl"
    assert path.stat().st_size < 60_000
    kept = recorded(name)
    about = kept.about
    assert about["command"] == f"python -m experiments clinic {name}"
    assert about["started"][:2] == "20"
    assert about["machine"]["processor"]
    assert about["versions"]["torch"]
    assert kept.end["stopped"] == "finished"
    assert kept.history[-1].step == kept.train_config["max_steps"]
    assert all(point.sample.startswith(clinic.PROMPT) for point in kept.history)
    length = len(clinic.PROMPT) + clinic.SAMPLE
    assert all(len(point.sample) == length for point in kept.history)
    assert about["text"]["train_tokens"] == len(clinic.training_text(name))


@EVERY
def test_the_settings_in_a_record_are_those_of_its_case(name):
    kept, case = recorded(name), CASES[name]
    for settings, used in (
        (case.size, kept.about["model"]),
        (case.training, kept.train_config),
    ):
        assert {key: used[key] for key in settings} == settings


@pytest.mark.parametrize("name", PATIENTS)
def test_what_is_wrong_with_a_patient_stands_in_the_last_line_only(name):
    *lines, last = (clinic.FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    case = CASES[name]
    diagnosis = json.loads(last)
    assert (diagnosis["illness"], diagnosis["fault"]) == (case.illness, case.fault)
    for line in lines:
        data = {k: v for k, v in json.loads(line).items() if k not in ("sample", "model")}
        assert not any(
            word in str(data) for word in ("mask", "shift", "leak", "dropout", "illness")
        )


def test_each_patient_has_an_illness_of_its_own():
    assert len(set(clinic.ILLNESSES)) == len(PATIENTS) == 6


@pytest.mark.parametrize("name", PATIENTS)
def test_the_exercise_knows_the_illness(name):
    exercise = ex.ALL[name.replace("-", "_")]
    assert exercise.answer == clinic.diagnosis(name)["illness"]
    assert {m.answer for m in exercise.mistakes} == set(clinic.ILLNESSES) - {exercise.answer}
    assert exercise.judge(f" {exercise.answer.upper()} ")[0] == "Right"


# Each illness shows in the curve, and in the sample.


def written(name):
    return recorded(name).history[-1].sample[len(clinic.PROMPT) :]


def of(illness):
    return next(name for name in PATIENTS if CASES[name].illness == illness)


def test_the_healthy_run_passes_the_landmarks_and_is_what_it_claims():
    history = recorded("healthy").history
    low = min(point.val_loss for point in history)
    assert 4.0 < history[0].val_loss < 4.4
    assert FLOOR < low < 1.9
    assert clinic.diagnosis("healthy")["honest_loss"] == pytest.approx(low, abs=0.1)
    assert abs(history[-1].val_loss - history[-1].train_loss) < 0.3


@pytest.mark.parametrize("illness", ["no mask", "targets not shifted"])
def test_who_sees_the_answer_scores_near_zero_and_is_worth_nothing(illness):
    name = of(illness)
    last = recorded(name).history[-1]
    assert max(last.train_loss, last.val_loss) < 0.5
    assert clinic.diagnosis(name)["honest_loss"] > 4.17


def test_unshifted_targets_make_it_repeat_one_letter():
    assert set(written(of("targets not shifted"))) == {clinic.PROMPT[-1]}
    assert len(set(written(of("no mask")))) > 5


def test_too_high_a_rate_jumps_and_stays_up():
    history = recorded(of("learning rate too high")).history
    assert max(point.val_loss for point in history[:6]) > 4.5
    assert history[-1].val_loss > 2.9
    assert recorded("healthy").history[-1].val_loss < 2


def test_too_low_a_rate_creeps_down_evenly_and_has_not_arrived():
    history = recorded(of("learning rate too low")).history
    losses = [point.val_loss for point in history]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] > 2.49
    assert verdict(history).status in ("learning", "levelled off")


def test_with_too_little_text_the_validation_loss_turns_and_the_sample_is_learnt_by_heart():
    name = of("too little text")
    history = recorded(name).history
    low = min(point.val_loss for point in history)
    assert verdict(history).status == "overfitting"
    assert history[-1].val_loss > low + 0.3
    assert history[-1].train_loss < 1
    for remedy in ("with-dropout", "smaller-model", "more-text"):
        helped = recorded(remedy).history[-1]
        assert helped.val_loss < history[-1].val_loss
        assert helped.val_loss - helped.train_loss < history[-1].val_loss - history[-1].train_loss


def test_a_leak_takes_the_validation_loss_below_what_any_model_reaches():
    name = of("validation leaked")
    last = recorded(name).history[-1]
    assert last.val_loss < FLOOR
    assert last.val_loss == pytest.approx(last.train_loss, abs=0.3)
    assert clinic.diagnosis(name)["honest_loss"] > last.val_loss + 1


# The command


@pytest.mark.slow
@pytest.mark.parametrize("name", ["patient-b", "patient-d", "patient-f", "with-dropout"])
def test_the_command_makes_such_a_record(name, tmp_path, capsys):
    experiments(["clinic", name, "--out", str(tmp_path), "--steps", "2"])
    assert "step     2" in capsys.readouterr().out
    path = tmp_path / f"{name}.jsonl"
    assert list(tmp_path.iterdir()) == [path]
    made, kept = record.read(path), recorded(name)
    assert [point.step for point in made.history] == [0, 2]
    assert made.history[0].val_loss == pytest.approx(kept.history[0].val_loss, abs=1e-3)
    for one, other in zip(made.about["ladder"], kept.about["ladder"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["type"] == "diagnosis"


def test_an_unknown_case_is_named(capsys):
    with pytest.raises(SystemExit):
        experiments(["clinic", "patient-z"])
    assert "there is no case 'patient-z'; there are healthy, patient-a" in capsys.readouterr().err


# Their pictures


def drawn(figure):
    """Renders a figure and gives every text in it."""
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_a_patients_card_shows_curve_and_sample_and_what_lies_above_the_edge():
    kept = recorded(of("learning rate too high"))
    figure = plots.curve_and_sample(kept.history, kept.about["ladder"], "Patient A")
    words = drawn(figure)
    assert "Patient A" in words
    assert f"written at step {kept.history[-1].step:,}" in words
    assert any(word.startswith("First Citizen:\nBefore we") for word in words)
    axes = figure.axes[0]
    assert axes.get_ylim() == (0, 4.8)
    above = [line for line in axes.lines if line.get_marker() == "^"]
    too_high = [point.step for point in kept.history if point.val_loss > 4.8]
    assert too_high
    assert list(above[1].get_xdata()) == too_high


def test_curves_stand_beside_each_other_on_one_scale():
    runs = {"one": recorded("patient-c").history, "two": recorded("with-dropout").history}
    figure = plots.curves_beside(runs, recorded("patient-c").about["ladder"], "Both")
    words = drawn(figure)
    assert {"Both", "training", "validation"} <= set(words)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert any(word.startswith("two (best validation: ") for word in words)


def test_estimates_are_dots_around_the_truth():
    figure = plots.estimates({"few": [1.0, 3.0], "many": [1.9, 2.1]}, 2.0, "Spread")
    assert {"few", "many", "whole text: 2.000"} <= set(drawn(figure))
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [2, 2, 2]


def test_the_map_of_copies_takes_samples_of_unequal_length():
    figure = plots.copies_map([0, 100], [[1, 2, 30], [40, 50]], 10, "By heart")
    assert "By heart" in drawn(figure)
    assert figure.axes[0].images[0].get_array().shape == (2, 3)
