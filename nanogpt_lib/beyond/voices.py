"""Vowels, sung by a computer, and captions that describe them.

A throat makes a buzz with a pitch and all multiples of it. The mouth lets some frequencies, the
formants, through better than others, and these turn the buzz into an "ah" (source and filter: Fant
1960, "Acoustic Theory of Speech Production").
"""

import math

import torch

from nanogpt_lib.checks import whole_number

RATE = 8000  # samples a second, as on the telephone
SAMPLES = 4352  # half a second, which is 16 frames of `modalities.spectrogram`

# The first three formants in hertz, men's means (Peterson & Barney 1952, table II).
VOWELS = {
    "ee": (270, 2290, 3010),
    "eh": (530, 1840, 2480),
    "ah": (730, 1090, 2440),
    "aw": (570, 840, 2410),
    "oo": (300, 870, 2240),
}
HIGH = 160  # hertz in the middle of the sound; a voice at this pitch or above is high
MOVES = 1.06  # the pitch at the end over that at the start, or its inverse, if it moves: a semitone
WIDTH = 90  # hertz: how sharply a formant stands out


def sing(vowel: list[str], pitch, bend, mouth):
    """Sounds, float32 (N, SAMPLES), from -1 to 1.

    vowel: N keys of VOWELS. pitch: (N,), hertz in the middle. bend: (N,), the pitch at the end over
    that at the start. mouth: (N,), what multiplies the formants: above 1 for a small mouth.
    """
    formants = torch.tensor([VOWELS[v] for v in vowel]) * mouth[:, None]  # (N, 3)
    time = torch.linspace(-0.5, 0.5, SAMPLES)  # (SAMPLES,)
    hertz = pitch[:, None] * bend[:, None] ** time  # (N, SAMPLES)
    phase = 2 * math.pi * hertz.cumsum(dim=1) / RATE
    sound = torch.zeros_like(phase)
    for overtone in range(1, int(RATE / 2 / hertz.min()) + 1):
        f = overtone * hertz  # (N, SAMPLES)
        passes = sum(1 / (1 + ((f - F[:, None]) / WIDTH) ** 2) for F in formants.T)
        passes = passes * (f < RATE / 2)  # a sampled sound holds no more
        sound += passes / overtone * torch.sin(overtone * phase)  # a buzz grows weaker upwards
    sound *= torch.hann_window(SAMPLES) ** 0.25  # fades in and out, so that it does not click
    return sound / sound.abs().amax(dim=1, keepdim=True)


def record(n: int, seed: int):
    """n sounds of all sorts, (n, SAMPLES), with some noise, and their captions.

    A caption is, for example, "ee, low voice, rising". The same seed gives the same sounds.
    """
    n = whole_number(n, "n", 1)
    generator = torch.Generator().manual_seed(whole_number(seed, "seed"))

    def between(low, high):  # evenly in the logarithm: as far up as down
        return low * (high / low) ** torch.rand(n, generator=generator)  # (n,)

    names = list(VOWELS)
    vowel = [names[i] for i in torch.randint(len(names), (n,), generator=generator)]
    pitch, mouth = between(90, 280), between(0.9, 1.2)
    way = torch.randint(-1, 2, (n,), generator=generator)  # down, level, up
    bend = torch.where(way == 0, between(0.97, 1.03), between(1.1, 1.6) ** way)
    noise = torch.randn(n, SAMPLES, generator=generator) * between(0.003, 0.1)[:, None]
    return sing(vowel, pitch, bend, mouth) + noise, describe(vowel, pitch, bend)


def describe(vowel: list[str], pitch, bend) -> list[str]:
    """Captions such as "ee, low voice, rising": N vowels, hertz (N,), ratios (N,) -> N texts."""
    captions = []
    for name, hertz, ratio in zip(vowel, pitch.tolist(), bend.tolist(), strict=True):
        melody = "rising" if ratio > MOVES else "falling" if ratio < 1 / MOVES else "level"
        captions.append(f"{name}, {'high' if hertz >= HIGH else 'low'} voice, {melody}")
    return captions
