"""Pictures and sounds in front of the same GPT: what goes in, what is learnt, where it looks."""

import sys

import pytest
import torch

from nanogpt_lib import GPT, CharTokenizer, GPTConfig, TrainConfig
from nanogpt_lib.beyond import digits, voices
from nanogpt_lib.beyond.finetune import IGNORED
from nanogpt_lib.beyond.modalities import (
    PrefixGPT,
    caption,
    encode_captions,
    facts_right,
    fit,
    looks,
    matters,
    patches,
    spectrogram,
    three_parts,
)

pytestmark = pytest.mark.slow

SAYINGS = ["dark, left", "light, right"]
TOKENIZER = CharTokenizer.train("\n".join(SAYINGS))


@pytest.fixture
def prefixed():
    """Two pieces of three numbers before a context of 12; always the same weights."""
    torch.manual_seed(0)
    size = GPTConfig(TOKENIZER.vocab_size, block_size=12, n_layer=2, n_head=2, n_embd=16)
    return PrefixGPT(GPT(size), n_pieces=2, piece_size=3).eval()


def pieces_and_words():
    torch.manual_seed(1)
    return torch.randn(4, 2, 3), torch.randint(TOKENIZER.vocab_size, (4, 12))


def trained(prefixed, pieces, sayings, steps=80):
    idx, targets = encode_captions(TOKENIZER, sayings, prefixed.gpt.config.block_size)
    config = TrainConfig(max_steps=steps, batch_size=8, learning_rate=1e-2, warmup_steps=5)
    return fit(prefixed, pieces, idx, targets, config)


# Doors


def test_patches_are_squares_of_the_picture_row_by_row():
    picture = torch.arange(16).view(1, 4, 4)
    assert patches(picture)[0].tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


def test_a_picture_that_the_squares_do_not_fill_is_refused():
    with pytest.raises(ValueError, match="squares of 3 do not fill a picture of 8 by 8"):
        patches(torch.zeros(1, 8, 8), 3)


def test_a_tone_is_loudest_at_its_own_frequency_in_every_frame():
    time = torch.arange(voices.SAMPLES) / voices.RATE
    frames = spectrogram(torch.sin(2 * torch.pi * 1000 * time)[None])[0]  # (16, 257)
    assert tuple(frames.shape) == (16, 257)
    assert set(frames.argmax(dim=1).tolist()) == {1000 * 512 // voices.RATE}


def test_a_spectrogram_does_not_know_how_near_the_microphone_was():
    sounds, _ = voices.record(3, seed=0)
    loud, soft = spectrogram(sounds), spectrogram(sounds / 100)
    assert torch.allclose(loud, soft, atol=1e-3)
    assert loud.min() >= 0
    assert loud.amax(dim=(1, 2)).tolist() == [1, 1, 1]


def test_silence_has_a_spectrogram_without_nan():
    assert spectrogram(torch.zeros(1, 512)).isfinite().all()


def test_a_sound_shorter_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="needs 512 samples, the sound has 100"):
        spectrogram(torch.zeros(1, 100))


# The model


def test_a_prefix_of_no_pieces_leaves_the_gpt_as_it_is(prefixed):
    _, idx = pieces_and_words()
    blind = PrefixGPT(prefixed.gpt, n_pieces=0, piece_size=3)
    expected, _ = prefixed.gpt(idx)
    logits, _ = blind(torch.zeros(4, 0, 3), idx)
    assert torch.allclose(logits, expected, atol=1e-6)


def test_each_word_sees_all_pieces_and_no_later_word(prefixed):
    pieces, idx = pieces_and_words()
    before, _ = prefixed(pieces, idx)
    for p in range(2):
        other = pieces.clone()
        other[:, p] += 1
        moved = (prefixed(other, idx)[0] - before).abs().amax(dim=(0, 2))  # (T,)
        assert (moved > 1e-6).all()
    later = idx.clone()
    later[:, 7] = (later[:, 7] + 1) % TOKENIZER.vocab_size
    moved = (prefixed(pieces, later)[0] - before).abs().amax(dim=(0, 2))
    assert (moved[:7] == 0).all()
    assert (moved[7:] > 0).any()


def test_two_pieces_that_change_places_are_told_apart(prefixed):
    pieces, idx = pieces_and_words()
    assert not torch.allclose(prefixed(pieces, idx)[0], prefixed(pieces.flip(1), idx)[0], atol=1e-4)


def test_the_loss_is_of_the_words_and_not_of_what_fills_them_up(prefixed):
    pieces, idx = pieces_and_words()
    targets = idx.roll(-1, dims=1)
    targets[:, 5:] = IGNORED
    logits, loss = prefixed(pieces, idx, targets)
    chances = logits[:, :5].log_softmax(-1).gather(2, targets[:, :5, None])
    assert loss.item() == pytest.approx(-chances.mean().item(), abs=1e-5)


def test_pieces_of_another_shape_are_refused_with_both_shapes(prefixed):
    with pytest.raises(ValueError, match=r"\(B, 2, 3\) are expected, not \(4, 3, 2\)"):
        prefixed(torch.zeros(4, 3, 2), torch.zeros(4, 1, dtype=torch.long))


def test_the_attention_that_is_shown_is_the_one_that_is_used(prefixed):
    pieces, idx = pieces_and_words()
    maps = prefixed.attention(pieces, idx)
    assert tuple(maps.shape) == (2, 4, 2, 12, 2)
    first = prefixed.gpt.transformer.h[0]
    stream = prefixed.embed(pieces, idx)
    assert torch.equal(maps[0], first.attn.weights(first.ln_1(stream))[:, :, 2:, :2])
    assert (maps.sum(-1) < 1).all()


# Learning


def test_captions_are_shifted_by_one_and_filled_up():
    idx, targets = encode_captions(CharTokenizer("\nab"), ["ab", "b"], length=4)
    assert idx.tolist() == [[0, 1, 2, 0], [0, 2, 0, 0]]
    assert targets.tolist() == [[1, 2, 0, IGNORED], [2, 0, IGNORED, IGNORED]]


def test_a_caption_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="'abab' needs a context of 5, not 4"):
        encode_captions(CharTokenizer("\nab"), ["abab"], length=4)


def test_it_learns_to_say_what_it_is_shown_and_is_wrong_when_shown_another(prefixed):
    shown = torch.tensor([[[1.0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 1]]])  # (2, P, S)
    prefixed = PrefixGPT(GPT(GPTConfig(TOKENIZER.vocab_size, 16, 2, 2, 16)), 2, 3)
    losses = trained(prefixed, shown, SAYINGS)
    assert losses[-1] < 0.1 < losses[0]
    assert caption(prefixed, TOKENIZER, shown) == SAYINGS
    assert facts_right(caption(prefixed, TOKENIZER, shown.flip(0)), SAYINGS) == [0, 0]


def test_the_same_seed_trains_the_same_model():
    pieces = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(1))
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        size = GPTConfig(TOKENIZER.vocab_size, 16, 1, 2, 8)
        runs.append(trained(PrefixGPT(GPT(size), 2, 3), pieces, SAYINGS, steps=5))
    assert runs[0] == runs[1]


def test_a_frozen_gpt_stays_as_it_is_while_its_eyes_learn(prefixed):
    prefixed.gpt.requires_grad_(False)
    frozen = {k: v.clone() for k, v in prefixed.gpt.state_dict().items()}
    eye = prefixed.encoder.weight.clone()
    trained(prefixed, torch.randn(1, 2, 3), ["dark, left"], steps=3)
    assert all(torch.equal(frozen[k], v) for k, v in prefixed.gpt.state_dict().items())
    assert not torch.equal(eye, prefixed.encoder.weight)


def test_a_caption_that_never_ends_is_cut_at_the_context(prefixed):
    with torch.no_grad():  # whatever it sees, it writes the same letter
        prefixed.gpt.transformer.ln_f.weight.zero_()
        prefixed.gpt.transformer.ln_f.bias.copy_(prefixed.gpt.transformer.wte.weight[3] * 1000)
    (said,) = caption(prefixed, TOKENIZER, torch.zeros(1, 2, 3))
    assert said == 12 * TOKENIZER.symbols[3]


def test_facts_are_counted_one_by_one_and_a_missing_one_is_wrong():
    true = ["a six, upright, thin"] * 4
    said = ["a six, upright, thin", "a six, leaning left, thin", "a two, upright", ""]
    assert facts_right(said, true) == [0.5, 0.5, 0.5]


def test_where_it_looks_is_read_at_the_places_that_choose_each_fact(prefixed):
    piece = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    rows = looks(prefixed, TOKENIZER, piece, "dark, left")
    assert tuple(rows.shape) == (2, 2)
    assert rows.sum(dim=1).tolist() == pytest.approx([1, 1])
    ids = torch.tensor([TOKENIZER.encode("\ndark, left")])
    weights = prefixed.attention(piece[None], ids).mean(dim=(0, 1, 2))
    # "left" stands at places 7 to 10 and is chosen at the places before its letters, 6 to 9.
    chosen = weights[6:10].mean(dim=0)
    assert torch.allclose(rows[1], chosen / chosen.sum())


def test_what_matters_is_how_far_the_chance_of_a_fact_falls(prefixed):
    piece = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    blank = torch.zeros(2, 3)
    rows = matters(prefixed, TOKENIZER, piece, "dark, left", blank)

    def chance(shown):  # of "left": places 6 to 9 choose its letters
        idx, targets = encode_captions(TOKENIZER, ["dark, left"], 12)
        letters = prefixed(shown[None], idx)[0].log_softmax(-1)[0]
        return sum(letters[t, targets[0, t]] for t in range(6, 10)).item()

    for p in range(2):
        covered = piece.clone()
        covered[p] = 0
        assert rows[1, p].item() == pytest.approx(chance(piece) - chance(covered), abs=1e-4)


def test_a_piece_that_is_blank_already_does_not_matter(prefixed):
    piece = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    assert (matters(prefixed, TOKENIZER, piece, "dark, left", piece) == 0).all()


def test_the_three_parts_share_nothing_and_lose_nothing():
    parts = three_parts(1797)
    assert sorted(torch.cat(parts).tolist()) == list(range(1797))
    assert [len(part) for part in parts] == [1198, 199, 400]
    assert torch.equal(three_parts(1797)[2], parts[2])
    assert not torch.equal(three_parts(1797, seed=2)[2], parts[2])


# Digits


@pytest.fixture(scope="module")
def drawn():
    pytest.importorskip("sklearn")
    return digits.load_images()


def test_the_digits_are_there_all_of_them_and_in_range(drawn):
    images, labels = drawn
    assert tuple(images.shape) == (1797, 8, 8)
    assert (images.min(), images.max()) == (0, 1)
    assert sorted(set(labels.tolist())) == list(range(10))


def test_without_scikit_learn_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # as if it were not installed
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        digits.load_images()


def stroke(shift):
    """A stroke two pixels wide that moves to the right by so many pixels for each pixel up."""
    picture = torch.zeros(1, 8, 20)
    for row in range(8):
        begin = 9 + shift * (3 - row)
        picture[0, row, begin : begin + 2] = 1
    return picture


def test_the_lean_is_the_slope_of_a_stroke():
    assert digits.lean(stroke(1)).item() == pytest.approx(1)
    assert digits.lean(stroke(-1)).item() == pytest.approx(-1)
    assert digits.lean(stroke(0)).item() == 0


def test_the_lean_knows_neither_place_nor_darkness_and_mirrors_with_the_picture(drawn):
    images = drawn[0][:50]
    moved = torch.nn.functional.pad(images, (3, 0, 0, 2))
    assert torch.allclose(digits.lean(moved), digits.lean(images), atol=1e-5)
    assert torch.allclose(digits.lean(images / 3), digits.lean(images), atol=1e-5)
    assert torch.allclose(digits.lean(images.flip(2)), -digits.lean(images), atol=1e-5)


def test_an_empty_picture_has_no_lean_and_no_ink():
    empty = torch.zeros(1, 8, 8)
    assert digits.lean(empty).item() == digits.ink(empty).item() == 0


def test_a_caption_says_the_digit_its_lean_and_its_ink():
    pictures = torch.cat((stroke(1), stroke(-1), stroke(0), torch.ones(1, 8, 20)))
    assert digits.describe(pictures, [7, 8, 1, 0]) == [
        "a seven, leaning right, thin",
        "an eight, leaning left, thin",
        "a one, upright, thin",
        "a zero, upright, bold",
    ]


def test_a_drawing_of_signs_becomes_a_picture_with_soft_edges():
    picture = digits.from_text("..##\n..##\n")
    assert tuple(picture.shape) == (8, 8)
    assert picture[0, 2] == 1
    assert 0 < picture[0, 1] < 0.5
    assert picture[5:].sum() == 0


@pytest.mark.parametrize(
    ("drawing", "told"), [("." * 9, "8 lines of 8 signs"), ("....\n  ", "there is no ink")]
)
def test_a_drawing_that_cannot_be_read_says_why(drawing, told):
    with pytest.raises(ValueError, match=told):
        digits.from_text(drawing)


# Voices


def one(vowel="ah", pitch=120.0, bend=1.0, mouth=1.0):
    values = (torch.tensor([x]) for x in (pitch, bend, mouth))
    return voices.sing([vowel], *values)  # (1, SAMPLES)


def strongest(sound, low, high):
    """The strongest frequency between two others, in hertz, over the whole sound."""
    power = torch.fft.rfft(sound[0] * torch.hann_window(voices.SAMPLES)).abs()
    hertz = torch.fft.rfftfreq(voices.SAMPLES, 1 / voices.RATE)
    inside = (hertz > low) & (hertz < high)
    return hertz[inside][power[inside].argmax()].item()


def test_a_voice_sings_at_its_pitch():
    for pitch in (100.0, 220.0):
        assert strongest(one(pitch=pitch), 50, 1.5 * pitch) == pytest.approx(pitch, abs=3)


def test_the_overtones_nearest_to_a_formant_are_the_strongest_around_it():
    for vowel, (_, second, _) in voices.VOWELS.items():
        found = strongest(one(vowel, pitch=100.0), 0.9 * second, 1.15 * second)
        assert found == pytest.approx(second, abs=100), vowel


def test_a_rising_voice_ends_higher_than_it_began():
    sound = one("oo", pitch=150.0, bend=1.5)
    first, last = sound.clone(), sound.clone()
    first[:, 1000:], last[:, :-1000] = 0, 0
    assert strongest(last, 90, 250) > 1.2 * strongest(first, 90, 250)


def test_sounds_are_as_loud_as_can_be_and_begin_and_end_softly():
    sound = one()
    assert sound.abs().max() == 1
    assert sound[0, 0].abs() < 0.01


def test_the_same_seed_records_the_same_and_all_facts_occur():
    sounds, captions = voices.record(60, seed=3)
    again, _ = voices.record(60, seed=3)
    assert torch.equal(sounds, again)
    assert not torch.equal(sounds, voices.record(60, seed=4)[0])
    vowels, registers, melodies = map(set, zip(*(c.split(", ") for c in captions), strict=True))
    assert vowels == set(voices.VOWELS)
    assert registers == {"low voice", "high voice"}
    assert melodies == {"rising", "falling", "level"}


def test_a_voice_is_described_by_what_it_was_sung_from():
    pitch, bend = torch.tensor([100.0, 200.0, 159.0]), torch.tensor([1.3, 0.7, 1.02])
    assert voices.describe(["ee", "ah", "oo"], pitch, bend) == [
        "ee, low voice, rising",
        "ah, high voice, falling",
        "oo, low voice, level",
    ]
