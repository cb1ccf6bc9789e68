"""Real handwritten digits, described in words that are computed from the picture.

The pictures come with scikit-learn: 1,797 of 8 by 8 pixels, by 13 people (Alpaydin & Kaynak 1998,
"Optical Recognition of Handwritten Digits", UCI). Nothing is downloaded.
"""

import torch

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LEANS = 0.1  # pixels to the side for each pixel up; a digit with more leans (6 degrees)
BOLD = 0.3  # share of the full ink; a digit with this much or more is bold (about half are)


def load_images():
    """All pictures, float32 (1797, 8, 8) from 0 (paper) to 1 (ink), and the digits, int64 (1797,).

    Raises ImportError, which says what to install, if scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError(
            "the handwritten digits come with scikit-learn, which is not installed here: "
            "pip install scikit-learn, and restart the kernel"
        ) from None
    bunch = load_digits()
    return torch.tensor(bunch.images, dtype=torch.float32) / 16, torch.tensor(bunch.target)


def lean(images):
    """How far the ink moves to the right for each pixel up: (N, H, W) -> (N,), 0 if upright.

    The slope of the line through the ink: its covariance of across and up over its variance of up,
    which are its second moments (Hu 1962). 0 for an empty picture and for a single row.
    """
    H, W = images.shape[1:]
    share = images / images.sum(dim=(1, 2), keepdim=True).clamp(min=1e-9)  # each sums to 1
    up = -torch.arange(H, dtype=images.dtype).view(1, H, 1)  # row 0 is the top
    across = torch.arange(W, dtype=images.dtype).view(1, 1, W)
    up = up - (share * up).sum(dim=(1, 2), keepdim=True)  # from the centre of the ink
    across = across - (share * across).sum(dim=(1, 2), keepdim=True)
    covariance = (share * across * up).sum(dim=(1, 2))
    return covariance / (share * up**2).sum(dim=(1, 2)).clamp(min=1e-9)


def ink(images):
    """The ink as a share of that of an all-black picture: (N, H, W) -> (N,), from 0 to 1."""
    return images.mean(dim=(1, 2))


def describe(images, digits) -> list[str]:
    """Captions such as "a seven, leaning right, thin": (N, H, W) and (N,) -> N texts."""
    captions = []
    numbers = (torch.as_tensor(digits).tolist(), lean(images).tolist(), ink(images).tolist())
    for digit, slope, amount in zip(*numbers, strict=True):
        name = f"{'an' if digit == 8 else 'a'} {NAMES[digit]}"
        posture = "upright"
        if abs(slope) > LEANS:
            posture = "leaning right" if slope > 0 else "leaning left"
        captions.append(f"{name}, {posture}, {'bold' if amount >= BOLD else 'thin'}")
    return captions


def from_text(drawing: str):
    """Your own picture, (8, 8), from up to eight lines of up to eight signs; "." or space is paper.

    Each sign of ink spreads a little onto its neighbours, as the pen on the scanned forms did.
    Raises ValueError if the drawing is too large or has no ink.
    """
    rows = drawing.strip("\n").split("\n")
    if len(rows) > 8 or max(map(len, rows)) > 8:
        raise ValueError(f"8 lines of 8 signs at most, not {len(rows)} of {max(map(len, rows))}")
    image = torch.zeros(8, 8)
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            image[y, x] = float(sign not in ". ")
    if not image.any():
        raise ValueError("there is no ink in it: draw with any sign but a dot or a space")
    return smudge(image)


def smudge(image):
    """Spreads the ink of a hard-edged picture (H, W) a little."""
    pen = torch.tensor([[0.0, 0.15, 0.0], [0.15, 0.8, 0.15], [0.0, 0.15, 0.0]])
    spread = torch.nn.functional.conv2d(image[None, None], pen[None, None], padding=1)
    return spread[0, 0].clamp(max=1)
