"""The contract of a grid: the values that the weights of one layer may take."""

from __future__ import annotations

from typing import Protocol

import numpy as np

__all__ = ["Codes", "Grid"]


class Codes(Protocol):
    """Weights on a grid: `LinearCodes`, `PaletteCodes`, `LogarithmicCodes`."""

    def dequantize(self) -> np.ndarray:
        """The values, f32, of the weights' shape."""
        ...


class Grid(Protocol):
    """Says which values are allowed."""

    def nearest(self, values: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The allowed values next to one value of each row.

        Args:
            values: f64 [O].
            columns: which column each of them stands in, integers [O].

        Returns:
            f64 [O]; each is an f32 that `encode` gives back.
        """
        ...

    def encode(self, weights: np.ndarray) -> Codes:
        """Rounds f32 weights [O, ...] to nearest."""
        ...
