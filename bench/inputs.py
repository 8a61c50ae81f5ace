"""Inputs on which pretrained networks give something to compare: photos, and pages of text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from whit.preprocess import Preprocess

_SAMPLES = 8
_WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "0123456789", "WHIT"]


def photos(folder: Path, steps: Preprocess) -> np.ndarray | None:
    """Some photos of a folder, f32 [N, C, H, W]; None if it has none."""
    paths = sorted(folder.glob("*.jpg"))
    return steps.batch(paths[:: max(1, len(paths) // _SAMPLES)][:_SAMPLES]) if paths else None


def pages(side: int, steps: Preprocess) -> np.ndarray:
    """Pictures of random words, f32 [N, C, side, side]."""
    from PIL import Image, ImageDraw, ImageFont

    random, made = np.random.default_rng(0), []
    for _ in range(_SAMPLES):
        page = Image.new("RGB", (side, side), tuple(random.integers(180, 256, 3)))
        draw = ImageDraw.Draw(page)
        for top in range(8, side - 40, 48):
            font = ImageFont.load_default(int(random.integers(16, 36)))
            ink = tuple(random.integers(0, 90, 3))
            draw.text((random.integers(4, 60), top), " ".join(random.choice(_WORDS, 3)), fill=ink, font=font)
        made.append(page)
    return steps.batch(made)
