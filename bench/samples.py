"""What is said about samples, and how alike two outputs are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Seconds of one inference over `samples` samples."""

    median: float
    min: float
    max: float
    samples: int


def summarize(seconds: Sequence[float]) -> Summary:
    """Raises ValueError without samples."""
    if not seconds:
        raise ValueError("no samples")
    return Summary(statistics.median(seconds), min(seconds), max(seconds), len(seconds))


def batch(seconds_of_one: float, seconds_of_sample: float) -> int:
    """How many inferences make a sample of about that length."""
    return max(1, round(seconds_of_sample / max(seconds_of_one, 1e-9)))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two arrays of the same size; 0 if one of them is constant or not finite."""
    x, y = (v.astype(np.float64).ravel() - v.astype(np.float64).mean() for v in (a, b))
    if x.size != y.size:
        raise ValueError(f"{x.size} values beside {y.size}")
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if np.isfinite(norm) and norm > 0 else 0.0


def snr_db(value: np.ndarray, reference: np.ndarray) -> float:
    """Signal-to-noise ratio in decibels; infinite where both are equal."""
    truth = reference.astype(np.float64).ravel()
    noise = float(np.square(value.astype(np.float64).ravel() - truth).sum())
    signal = float(np.square(truth).sum())
    return float(10 * np.log10(signal / noise)) if noise > 0 and signal > 0 else float("inf" if noise == 0 else "-inf")
