"""How far a compressed model is from the f32 one, tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from whit.compression.calibrate import Runner
from whit.data import Dataset
from whit.progress import ProgressCallback, progress

__all__ = ["MAX_SNR_DB", "Difference", "as_real", "counterpart", "measure"]

#: Reported where two tensors are equal.
MAX_SNR_DB = 200.0


@dataclass
class Difference:
    """Sums over all samples of one tensor.

    Attributes:
        signal, noise: sums of squares of the reference and of the difference.
        max_abs: largest difference.
    """

    signal: float = 0.0
    noise: float = 0.0
    max_abs: float = 0.0

    def add(self, reference: np.ndarray, other: np.ndarray) -> None:
        if reference.size == 0:
            return
        wide = reference.astype(np.float64)
        difference = other.astype(np.float64) - wide
        self.signal += float(np.square(wide).sum())
        self.noise += float(np.square(difference).sum())
        self.max_abs = max(self.max_abs, float(np.abs(difference).max()))

    @property
    def snr_db(self) -> float:
        """Signal-to-noise ratio in decibel, within +-`MAX_SNR_DB`."""
        if self.noise == 0:
            return MAX_SNR_DB
        if self.signal == 0 or not math.isfinite(self.noise):
            return -MAX_SNR_DB
        return float(np.clip(10 * math.log10(self.signal / self.noise), -MAX_SNR_DB, MAX_SNR_DB))


def counterpart(name: str, tensors: Iterable[str] | Mapping[str, Any]) -> str | None:
    """The tensor of a compressed model that holds what `name` holds in the f32 model (see quantize.py, fold_qdq.py)."""
    candidates = (name, f"{name}_s8", f"{name}_f32", f"{name}_f32_quantized")
    return next((other for other in candidates if other in tensors), None)


def as_real(values: np.ndarray, quantization: Mapping[str, Any] | None) -> np.ndarray:
    """f64: what quantised values stand for; others as they are. `quantization` is per tensor."""
    if quantization is None or values.dtype.kind == "f":
        return values.astype(np.float64)
    scale, zero_point = float(quantization["scale"][0]), int(quantization["zero_point"][0])
    return (values.astype(np.float64) - zero_point) * scale


def measure(
    reference: Runner,
    other: Runner,
    pairs: Mapping[str, tuple[str, Mapping[str, Any] | None]],
    data: Dataset,
    *,
    label: str = "measure error",
    callback: ProgressCallback | None = None,
) -> dict[str, Difference]:
    """Runs both on the same data.

    Args:
        reference: gives the keys of `pairs`.
        other: gives their counterparts.
        pairs: f32 tensor -> (its counterpart, that one's quantisation as `Model.tensors` says it).
        data: what to run on.
        label: of the progress bar.
        callback: instead of the progress bar.
    """
    differences = {name: Difference() for name in pairs}
    for feeds in progress(data, len(data), label, callback):
        wanted, got = reference.run(feeds), other.run(feeds)
        for name, (partner, quantization) in pairs.items():
            differences[name].add(wanted[name], as_real(got[partner], quantization))
    return differences
