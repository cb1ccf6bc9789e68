"""Draws the README's moving picture: ten seconds of `nanogpt replay`, as a GIF that plays once.

A picture that moves for ever distracts whoever reads beside it, so it stops at its end.

    python tools/moving_picture.py    # docs/images/replay.gif
"""

import io
import sys
from pathlib import Path

from PIL import Image  # matplotlib brings it

from nanogpt_lib.plots.curves import curve_and_sample
from nanogpt_lib.room import story
from nanogpt_lib.runs import untrusted

ROOT = Path(__file__).resolve().parent.parent
TO = ROOT / "docs" / "images" / "replay.gif"
RUN, SECONDS, FRAMES, COLOURS = "pocket", 10, 30, 64


def frame(history, rungs, most: int) -> Image.Image:
    """The curve up to now, and beside it what the model writes."""
    figure = curve_and_sample(history, rungs, title=f"step {history[-1].step:,}", lines=9)
    figure.axes[0].set_xlim(0, most)  # the same for all frames
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return Image.open(buffer).convert("RGB")


def main() -> int:
    recorded = story.with_start(untrusted.read(RUN), RUN)
    history = recorded.history
    chosen = sorted({round(i * (len(history) - 1) / (FRAMES - 1)) for i in range(FRAMES)})
    frames = [frame(history[: i + 1], recorded.rungs, history[-1].step) for i in chosen]
    palette = frames[-1].quantize(COLOURS, dither=Image.Dither.NONE)
    frames = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    each = SECONDS * 1000 // len(frames)
    frames[0].save(TO, save_all=True, append_images=frames[1:], duration=each, optimize=True)
    print(f"{TO.relative_to(ROOT)}: {len(frames)} frames, {TO.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
