"""MNIST: images, a split for choices, distortions, and the test error of a .whit file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

import whit

#: Training images that nothing is trained on: choices are made on these.
HELD_OUT = 5_000


@dataclass(frozen=True)
class Mnist:
    """Images f32 [N, 1, 28, 28] in 0..1 and classes."""

    images: np.ndarray
    labels: np.ndarray
    held_images: np.ndarray
    held_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load(shared: Path) -> Mnist:
    """Reads data/mnist.npz; the last training images are held out."""
    with np.load(shared / "data" / "mnist.npz") as file:
        images, labels = _images(file["x_train"]), file["y_train"].astype(np.int64)
        test_images, test_labels = _images(file["x_test"]), file["y_test"].astype(np.int64)
    return Mnist(
        images[:-HELD_OUT], labels[:-HELD_OUT], images[-HELD_OUT:], labels[-HELD_OUT:], test_images, test_labels
    )


def _images(pixels: np.ndarray) -> np.ndarray:
    return (pixels.astype(np.float32) / 255).reshape(-1, 1, 28, 28)


def distort(batch: Any, generator: Any) -> Any:
    """Turns, scales, shears and shifts every image, and bends it a little.

    Simard et al., "Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis", 2003; the
    bends are smooth displacements from a coarse grid instead of filtered noise.

    Args:
        batch: [N, 1, 28, 28] or [N, 784].
        generator: of the random numbers.
    """
    images = batch.reshape(-1, 1, 28, 28)
    count = len(images)

    def uniform(limit: float) -> Any:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle, across, along, shear = uniform(math.radians(10)), 1 + uniform(0.1), 1 + uniform(0.1), uniform(0.15)
    cos, sin = angle.cos(), angle.sin()
    pixel = 2 / 28
    rows = [
        torch.stack([cos * across, -sin + shear, uniform(1.5 * pixel)], 1),
        torch.stack([sin, cos * along, uniform(1.5 * pixel)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), [count, 1, 28, 28], align_corners=False)
    bend = (torch.rand(count, 2, 5, 5, generator=generator) * 2 - 1) * (1.2 * pixel)
    grid = grid + functional.interpolate(bend, size=(28, 28), mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
    return functional.grid_sample(images, grid, align_corners=False).reshape(batch.shape)


def error_percent(model: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images that a .whit file gets wrong in whit's engine, in percent."""
    loaded = whit.load(model)
    wrong = 0
    for index in range(0, len(images)):
        wrong += int(np.asarray(loaded(images[index : index + 1])).argmax() != labels[index])
    return 100 * wrong / len(images)
