"""How far a compressed model is from the f32 one, tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whit.compression.calibrate import Runner
from whit.data import Dataset
from whit.ir import Dim
from whit.progress import ProgressCallback, progress

__all__ = ["MAX_SNR_DB", "Difference", "Partner", "counterpart", "is_comparable", "measure"]

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


def is_comparable(shape: Sequence[Dim] | None, other: Sequence[Dim] | None) -> bool:
    """False for tensors whose channels were removed: their sizes differ where both are fixed."""
    if shape is None or other is None or len(shape) != len(other):
        return False
    return all(a == b for a, b in zip(shape, other, strict=True) if isinstance(a, int) and isinstance(b, int))


@dataclass(frozen=True)
class Partner:
    """What holds an f32 tensor's values in a compressed model.

    Attributes:
        name: of the tensor there.
        quantization: as `Model.tensors` says it, per tensor; None for f32.
        factors: by which its channels were multiplied (equalize.py), or None.
    """

    name: str
    quantization: Mapping[str, Any] | None = None
    factors: np.ndarray | None = None

    def real(self, values: np.ndarray) -> np.ndarray:
        """f64: what the values stand for in the f32 model."""
        wide = values.astype(np.float64)
        if self.quantization is not None and values.dtype.kind != "f":
            wide = (wide - int(self.quantization["zero_point"][0])) * float(self.quantization["scale"][0])
        return wide if self.factors is None else wide / self.factors


def measure(
    reference: Runner,
    other: Runner,
    partners: Mapping[str, Partner],
    data: Dataset,
    *,
    label: str = "measure error",
    callback: ProgressCallback | None = None,
) -> dict[str, Difference]:
    """Runs both on the same data and compares the keys of `partners` with what they name."""
    differences = {name: Difference() for name in partners}
    for feeds in progress(data, len(data), label, callback):
        wanted, got = reference.run(feeds), other.run(feeds)
        for name, partner in partners.items():
            differences[name].add(wanted[name], partner.real(got[partner.name]))
    return differences
