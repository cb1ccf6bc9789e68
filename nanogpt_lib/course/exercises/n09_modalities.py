"""Exercises of notebook 09: pictures and sounds as a prefix."""

import torch
import torch.nn.functional as F

from nanogpt_lib.beyond import digits, modalities
from nanogpt_lib.course.exercises.base import exercise, question

# Two pictures, (2, 4, 6), with a number of its own in each pixel.
PICTURES = torch.arange(48.0).view(2, 4, 6)

pieces_of_a_photo = question(
    "pieces_of_a_photo",
    question="A photo of 224 by 224 pixels, cut into squares of 16: how many pieces?",
    minutes=2,
    level=1,
    answer=196,
    working="(224 // 16) ** 2",
    hints=["How many squares stand side by side? And how many rows of them are there?"],
    praise="14 rows of 14. Vision transformers began with this number.",
    mistakes={
        14: "that is one row of them; there are as many rows.",
        256: "that is how many pixels a square has, not how many squares there are.",
        3136: "you divided all pixels by 16, and a square holds 16 times 16.",
        50176: "that is all pixels: each square holds many.",
    },
)

digits_by_chance = question(
    "digits_by_chance",
    question="Ten digits, equally frequent, and each picture swapped for another at random: in "
    "which share of the captions will the digit be right?",
    minutes=2,
    level=1,
    answer=0.1,
    hints=["The model reads the wrong picture well. How often do two random pictures agree?"],
    praise="so whatever is above a tenth must have come from the picture.",
    mistakes={
        0: "now and then the other picture shows the same digit. How often?",
        10: "a share is asked for, from 0 to 1.",
        0.5: "right or wrong are two cases, but not equally frequent ones.",
        0.01: "that is how often both are, say, a seven; any digit will do, if it is the same.",
    },
)


@exercise(
    question="Cut pictures into squares, row by row: (N, H, W) -> (N, P, size * size).",
    minutes=10,
    level=2,
    inputs=[(PICTURES, 2), (PICTURES[:, :3, :3], 3), (PICTURES[:1, :, :4], 2)],
    hints=[
        "Give each side two dimensions: which square, and where in it. H becomes H // size, size.",
        "images.view(N, H // size, size, W // size, size): now bring the two that count squares "
        "together, and the two that count pixels.",
        "transpose(2, 3) does; then .reshape(N, -1, size * size).",
    ],
    library=modalities.patches,
    praise="the picture is a sequence now, and a sequence is what a GPT reads.",
)
def to_patches(images, size):
    N, H, W = images.shape
    grid = images.reshape(N, H // size, size, W // size, size)
    return grid.transpose(2, 3).reshape(N, -1, size * size)


@to_patches.mistake(
    "those are strips, not squares: without the transpose a piece takes pixels that follow each "
    "other in one row. Bring the two square-counting dimensions together first."
)
def strips(images, size):
    return images.reshape(len(images), -1, size * size)


@to_patches.mistake(
    "the squares come column by column: the one to the right should follow the first, not the one "
    "below it."
)
def patches_column_first(images, size):
    N, H, W = images.shape
    grid = images.reshape(N, H // size, size, W // size, size)
    return grid.permute(0, 3, 1, 2, 4).reshape(N, -1, size * size)


@to_patches.mistake("the squares are right, but each is mirrored: inside, too, go row by row.")
def patches_transposed_inside(images, size):
    N, H, W = images.shape
    grid = images.reshape(N, H // size, size, W // size, size)
    return grid.permute(0, 1, 3, 4, 2).reshape(N, -1, size * size)


@to_patches.mistake(
    "the squares are right and still a table of rows and columns: make one list of them, "
    "(N, P, size * size)."
)
def patches_in_a_table(images, size):
    N, H, W = images.shape
    return images.reshape(N, H // size, size, W // size, size).transpose(2, 3)


# A stroke that leans right, and one that leans left and is thicker below, (5, 4) each.
RIGHT = torch.tensor([[0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]]).float()
LEFT = torch.tensor(
    [[0.5, 0, 0, 0], [1, 0.5, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
).float()


@exercise(
    question="How far the ink of a picture (H, W) moves to the right for each pixel up: a number.",
    minutes=12,
    level=3,
    inputs=[(RIGHT,), (LEFT,)],
    hints=[
        "Each pixel has a place, `across` (its column) and `up` (minus its row), and a weight: its "
        "share of all ink, which sums to 1.",
        "The centre of the ink is (share * up).sum() and (share * across).sum(). Measure places "
        "from there.",
        "It is the slope of a line through a cloud of points: the mean of across * up, over the "
        "mean of up * up.",
    ],
    library=digits.lean,
    praise="three weighted means. A picture's facts need no model, so nobody had to label them.",
)
def lean_of(image):
    H, W = image.shape
    share = image / image.sum()  # (H, W), sums to 1
    up = -torch.arange(H).view(H, 1)  # row 0 is the top
    across = torch.arange(W).view(1, W)
    up = up - (share * up).sum()  # from the centre of the ink
    across = across - (share * across).sum()
    return (share * across * up).sum() / (share * up**2).sum()


@lean_of.mistake(
    "the sign is wrong: rows are counted downwards, so a stroke to the upper right has its small "
    "row numbers at its right end. Up is minus the row."
)
def lean_upside_down(image):
    return -lean_of.answer(image)


@lean_of.mistake(
    "it is measured from the corner of the picture: take the centre of the ink off first, from "
    "`up` and from `across`."
)
def lean_not_centred(image):
    H, W = image.shape
    share = image / image.sum()
    up, across = -torch.arange(H).view(H, 1), torch.arange(W).view(1, W)
    return (share * across * up).sum() / (share * up**2).sum()


@lean_of.mistake(
    "the ink is not made to shares: divide the picture by its sum first, or the centre of the ink "
    "lies outside of it, and a bold digit leans more than a thin one."
)
def lean_without_shares(image):
    H, W = image.shape
    up, across = -torch.arange(H).view(H, 1), torch.arange(W).view(1, W)
    up = up - (image * up).sum()
    across = across - (image * across).sum()
    return (image * across * up).sum() / (image * up**2).sum()


@lean_of.mistake(
    "the centre is that of the picture, not of its ink: weight each place with its share, "
    "(share * up).sum()."
)
def lean_from_the_middle(image):
    H, W = image.shape
    share = image / image.sum()
    up = (H - 1) / 2 - torch.arange(H).view(H, 1)
    across = torch.arange(W).view(1, W) - (W - 1) / 2
    return (share * across * up).sum() / (share * up**2).sum()


@lean_of.mistake(
    "you divide by how far the ink spreads across: that tells how far it moves up for each pixel "
    "to the right. Divide by the spread up and down."
)
def lean_on_its_side(image):
    return lean_of.answer(-image.T)


@lean_of.mistake(
    "that is the covariance alone: a tall digit gets more of it than a low one with the same "
    "lean. Divide by the mean of up * up."
)
def lean_not_divided(image):
    H, W = image.shape
    share = image / image.sum()
    up, across = -torch.arange(H).view(H, 1), torch.arange(W).view(1, W)
    return (share * across * up).sum() - (share * across).sum() * (share * up).sum()


_dice = torch.Generator().manual_seed(1)
LOGITS = torch.randn(2, 7, 5, generator=_dice)  # (B, P + T, V) with P = 3, T = 4
TARGETS = torch.tensor([[1, 4, 0, 2], [3, 0, -100, -100]])  # (B, T), -100 after a caption's end


@exercise(
    question="The mean loss over the words: logits (B, P + T, V), targets (B, T) -> a scalar.",
    minutes=8,
    level=2,
    inputs=[(LOGITS, TARGETS, 3), (LOGITS[:, 1:], TARGETS, 2), (LOGITS[:, :5], TARGETS[:, :2], 3)],
    hints=[
        "The pieces come first and have nothing to predict: which of the P + T places are words?",
        "F.cross_entropy wants (B * T, V) and (B * T,): flatten(0, 1) and flatten().",
        "F.cross_entropy leaves out targets of -100 by itself.",
    ],
    library=modalities.PrefixGPT.forward,
    praise="the gradient still reaches the pieces, through the attention of the words.",
)
def caption_loss(logits, targets, n_pieces):
    words = logits[:, n_pieces:]  # (B, T, V)
    return F.cross_entropy(words.flatten(0, 1), targets.flatten())


@caption_loss.mistake(
    "those are the first T places, and the pieces stand there: the words come after them."
)
def loss_of_the_first(logits, targets, n_pieces):
    words = logits[:, : targets.size(1)]
    return F.cross_entropy(words.flatten(0, 1), targets.flatten())


@caption_loss.mistake(
    "one place too early: `targets` are already one symbol ahead of what is read, so the place of "
    "word t predicts target t."
)
def loss_one_too_early(logits, targets, n_pieces):
    words = logits[:, n_pieces - 1 : -1]
    return F.cross_entropy(words.flatten(0, 1), targets.flatten())


@caption_loss.mistake(
    "the -100 were made symbol 0, so the model would have to write it after each caption: leave "
    "them as they are."
)
def loss_with_the_filling(logits, targets, n_pieces):
    words = logits[:, n_pieces:]
    return F.cross_entropy(words.flatten(0, 1), targets.clamp(min=0).flatten())


@caption_loss.mistake(
    "the mean is over all places, also those that are left out: divide by the number of targets "
    "that are not -100, as F.cross_entropy's own mean does."
)
def loss_over_masked_places(logits, targets, n_pieces):
    return loss_summed(logits, targets, n_pieces) / targets.numel()


@caption_loss.mistake(
    "each caption's mean is taken first, then the mean of these: a word of a short caption would "
    "count more than one of a long caption. Take one mean over all words."
)
def loss_by_caption(logits, targets, n_pieces):
    rows = [F.cross_entropy(z[n_pieces:], y) for z, y in zip(logits, targets, strict=True)]
    return torch.stack(rows).mean()


@caption_loss.mistake(
    "that is the sum: long captions would count more, and the learning rate would depend on the "
    "batch. Take the mean."
)
def loss_summed(logits, targets, n_pieces):
    words = logits[:, n_pieces:]
    return F.cross_entropy(words.flatten(0, 1), targets.flatten(), reduction="sum")


_time = torch.arange(64.0)
# Two tones that do not fit a frame of 16 exactly, and a hiss, (64,) each.
TONES = torch.sin(1.1 * _time) + 0.3 * torch.sin(2.3 * _time)
HISS = torch.randn(64, generator=_dice)


@exercise(
    question="A sound (samples,) as the logarithm of its power: (frames, window / 2 + 1).",
    minutes=10,
    level=2,
    inputs=[(TONES, 16, 8), (HISS, 16, 4)],
    hints=[
        "sound.unfold(0, window, hop) gives the frames, (frames, window).",
        "Fade each frame in and out with torch.hann_window(window), then torch.fft.rfft.",
        "Power is .abs() ** 2; .clamp(min=1e-12) keeps the logarithm, log10, from silence.",
    ],
    library=modalities.spectrogram,
    praise="each frame is a row of numbers now, as a patch is: the GPT sees no difference.",
)
def log_frames(sound, window, hop):
    frames = sound.unfold(0, window, hop) * torch.hann_window(window)  # (frames, window)
    power = torch.fft.rfft(frames).abs() ** 2  # (frames, window / 2 + 1)
    return power.clamp(min=1e-12).log10()


@log_frames.mistake(
    "the frames have hard edges, and an edge sounds at all frequencies: multiply each frame by "
    "torch.hann_window(window) first."
)
def frames_with_edges(sound, window, hop):
    frames = sound.unfold(0, window, hop)
    return (torch.fft.rfft(frames).abs() ** 2).clamp(min=1e-12).log10()


@log_frames.mistake(
    "the window is symmetric, periodic=False: it fades to 0 at both ends. For a spectrum take "
    "torch.hann_window(window) as it is; its next value would be the 0 of the next frame."
)
def frames_of_a_symmetric_window(sound, window, hop):
    frames = sound.unfold(0, window, hop) * torch.hann_window(window, periodic=False)
    return (torch.fft.rfft(frames).abs() ** 2).clamp(min=1e-12).log10()


@log_frames.mistake("that is the logarithm of the amplitude, half of what is asked for: square it.")
def frames_of_amplitude(sound, window, hop):
    frames = sound.unfold(0, window, hop) * torch.hann_window(window)
    return torch.fft.rfft(frames).abs().clamp(min=1e-6).log10()


@log_frames.mistake(
    "that is the power itself: one loud frequency drowns all others. Take log10 of it."
)
def frames_without_log(sound, window, hop):
    frames = sound.unfold(0, window, hop) * torch.hann_window(window)
    return torch.fft.rfft(frames).abs() ** 2


@log_frames.mistake("that is the natural logarithm: log10 counts powers of ten, so a 10 is a 1.")
def frames_in_nats(sound, window, hop):
    return log_frames.answer(sound, window, hop) * torch.log(torch.tensor(10.0))


@log_frames.mistake(
    "the frames do not overlap: step on by `hop`, not by `window`, or what falls between two "
    "frames is faded away in both."
)
def frames_side_by_side(sound, window, hop):
    return log_frames.answer(sound, window, window)
