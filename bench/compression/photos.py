"""The 1000 photos, one of each class of ImageNet in the order of the classes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from whit.preprocess import Preprocess
from whit.progress import progress


def read(shared: Path, steps: Preprocess, every: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Photos f32 [N, 3, H, W] as `steps` make them, and their classes."""
    folder = shared / "data" / "imagenet1k_sample256"
    paths = sorted(folder.glob("*.jpg"))[every]
    if not paths:
        sys.exit(f"no photos in {folder}")
    images = np.stack([steps.apply(path) for path in progress(paths, label="decode photos")])
    return images, np.array([int(path.name[:4]) for path in paths])
