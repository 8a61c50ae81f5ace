"""Logarithmic quantisation: signed powers of two and 0.

    value = 0 or +- scale * 2^-k, 0 <= k < 2^(bits - 1) - 1

Products with such weights are shifts. Two ways of rounding: to the nearest exponent, round(log2 |w|) (Miyashita et al.,
"Convolutional Neural Networks using Logarithmic Data Representation", 2016), or to the nearest value, so that halfway
between 2^e and 2^(e+1) is 1.5 * 2^e (Zhou et al., "Incremental Network Quantization", 2017); what is below half the
smallest power becomes 0. The scale is INQ's power of two, 2^floor(log2(4/3 max |w|)), or that of least squared error.

With up to 4 bits (7 exponents) the values are s8 codes 0, +-1, +-2, +-4, ... +-64 of a linear scale as well, which s8
kernels run as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whit.compression.weights.checks import check_count, check_importance, check_weights, one_of
from whit.errors import RecipeError
from whit.ir import LinearCodes

__all__ = ["LogarithmicCodes", "LogarithmicGrid", "find_logarithmic_grid"]

#: Exponents that fit into s8 as powers of two.
_LINEAR_EXPONENTS = 7
#: "mse" tries scales of the largest magnitude times 2^(j / 8).
_TRIED = np.arange(4, -41, -1) / 8
_MIN_SCALE = 2.0**-40


@dataclass(frozen=True, eq=False)
class LogarithmicCodes:
    """Signed exponents.

    Attributes:
        codes: s8, of the shape of the values: 0, or +-(k + 1).
        scale: f32 [1], or [O] for each index of the first axis.
        exponents: k is below this.
    """

    codes: np.ndarray
    scale: np.ndarray
    exponents: int

    def dequantize(self) -> np.ndarray:
        """The values, f32, exactly."""
        scale = self.scale.reshape(-1, *[1] * (self.codes.ndim - 1))
        magnitude = np.ldexp(scale, 1 - np.abs(self.codes).astype(np.int32))
        result: np.ndarray = (np.sign(self.codes) * magnitude).astype(np.float32)
        return result

    def linear(self, layer: str = "weights") -> LinearCodes:
        """The same values as s8 codes 0, +-1, +-2, ... +-2^(exponents - 1).

        Raises:
            RecipeError: more than 7 exponents (5 bits).
        """
        if self.exponents > _LINEAR_EXPONENTS:
            raise RecipeError(
                f"layer {layer!r}: {self.exponents} powers of two do not fit into s8; use 4 bits or fewer, or a palette"
            )
        powers = np.left_shift(1, self.exponents - np.maximum(np.abs(self.codes), 1).astype(np.int32))
        codes = (np.sign(self.codes) * powers).astype(np.int8)
        scale = np.ldexp(self.scale, 1 - self.exponents).astype(np.float32)
        return LinearCodes(codes, scale, np.zeros(len(scale), np.int32))


@dataclass(frozen=True, eq=False)
class LogarithmicGrid:
    """Powers of two; `rounding` is "log" or "linear", the other fields as in `LogarithmicCodes`."""

    scale: np.ndarray
    exponents: int
    rounding: str = "linear"

    def nearest(self, values: np.ndarray, columns: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return self.encode(values[:, None]).dequantize()[:, 0].astype(np.float64)

    def encode(self, weights: np.ndarray) -> LogarithmicCodes:
        scale = self.scale.reshape(-1, *[1] * (weights.ndim - 1)).astype(np.float64)
        magnitude = np.abs(weights.astype(np.float64)) / scale
        fraction, power = np.frexp(magnitude)  # magnitude = fraction * 2^power, fraction in [0.5, 1)
        k = np.where(fraction < (0.75 if self.rounding == "linear" else np.sqrt(0.5)), 1 - power, -power)
        alive = magnitude >= np.ldexp(0.5, 1 - self.exponents)
        k = np.clip(k, 0, self.exponents - 1) + 1
        return LogarithmicCodes((np.sign(weights) * alive * k).astype(np.int8), self.scale, self.exponents)


def find_logarithmic_grid(
    weights: np.ndarray,
    *,
    bits: int = 4,
    granularity: str = "channel",
    method: str = "mse",
    rounding: str = "linear",
    importance: np.ndarray | None = None,
    layer: str = "weights",
) -> LogarithmicGrid:
    """Chooses scales.

    Args:
        weights: f32 [O, ...].
        bits: 2 to 5; b bits hold 2^b - 1 values.
        granularity: "tensor" or "channel".
        method: "inq": a power of two by INQ's formula; "mse": any, with the least squared error of those tried.
        rounding: "linear": to the nearest value; "log": to the nearest exponent.
        importance: for "mse": how much the squared error of each weight counts; broadcasts to the weights.
        layer: named in errors.

    Raises:
        InvalidArgumentError, ShapeError: weights or importance cannot be used.
        RecipeError: an option is out of its range.
    """
    rows = check_weights(weights, layer)
    exponents = (1 << (check_count("bits", bits, 2, 5, layer) - 1)) - 1
    one_of("granularity", granularity, ("tensor", "channel"), layer)
    one_of("method", method, ("inq", "mse"), layer)
    one_of("rounding", rounding, ("linear", "log"), layer)
    weighting = check_importance(importance, weights.shape, layer)
    if granularity == "tensor":
        rows, weighting = rows.reshape(1, -1), None if weighting is None else weighting.reshape(1, -1)
    largest = np.abs(rows).max(axis=1).astype(np.float64)
    scale = np.exp2(np.floor(np.log2(np.maximum(largest, _MIN_SCALE) * 4 / 3)))
    if method == "mse":
        least = np.full(len(rows), np.inf)
        for tried in (scale, *(np.maximum(largest, _MIN_SCALE) * 2.0**step for step in _TRIED)):
            found = LogarithmicGrid(tried.astype(np.float32), exponents, rounding).encode(rows).dequantize()
            noise = np.square(found - rows)
            error = (noise if weighting is None else noise * weighting).sum(axis=1)
            better = error < least
            scale, least = np.where(better, tried, scale), np.where(better, error, least)
    return LogarithmicGrid(scale.astype(np.float32), exponents, rounding)
