"""Binary and ternary weights: a sign and a scale, and 0 where weights are small.

    binary:   value = scale if w >= 0 else -scale
    ternary:  value = sign(w) * scale where |w| > threshold, else 0

Binary: the scale of least squared error is E|w| (Rastegari et al., "XNOR-Net", 2016). Ternary: the threshold is
0.7 E|w| and the scale the mean magnitude above it (Li and Liu, "Ternary Weight Networks", 2016), which is near the
optimum for weights of a normal distribution; or both are those of least squared error. For a scale s the best threshold
is s / 2, so the weights that are not 0 are the largest ones; of the n largest, with importances i, the best scale is
sum(i |w|) / sum(i), which takes sum(i |w|)^2 / sum(i) off the error. The optimum tries every n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whit.compression.weights.checks import check_importance, check_weights, one_of
from whit.ir import LinearCodes

__all__ = ["KINDS", "SignGrid", "find_sign_grid"]

KINDS = ("binary", "ternary")

#: TWN's threshold in mean magnitudes.
_TWN = 0.7
_MIN_SCALE = 2.0**-40


@dataclass(frozen=True, eq=False)
class SignGrid:
    """Weights of one magnitude.

    Attributes:
        scale: f32 [1], or [O] for each index of the first axis.
        threshold: f64, like the scale: magnitudes up to it become 0. None: none do, and 0 becomes the scale.
    """

    scale: np.ndarray
    threshold: np.ndarray | None

    def nearest(self, values: np.ndarray, columns: np.ndarray) -> np.ndarray:  # noqa: ARG002
        result: np.ndarray = self._signs(values[:, None])[:, 0] * self.scale.astype(np.float64)
        return result

    def encode(self, weights: np.ndarray) -> LinearCodes:
        return LinearCodes(self._signs(weights), self.scale, np.zeros(len(self.scale), np.int32))

    def _signs(self, weights: np.ndarray) -> np.ndarray:
        """s8."""
        signs = np.where(weights < 0, -1, 1)
        if self.threshold is not None:
            threshold = self.threshold.reshape(-1, *[1] * (weights.ndim - 1))
            signs = np.where(np.abs(weights.astype(np.float64)) > threshold, signs, 0)
        return signs.astype(np.int8)


def find_sign_grid(
    weights: np.ndarray,
    *,
    kind: str = "ternary",
    granularity: str = "channel",
    method: str = "mse",
    importance: np.ndarray | None = None,
    layer: str = "weights",
) -> SignGrid:
    """Chooses scales and thresholds.

    Args:
        weights: f32 [O, ...].
        kind: one of `KINDS`.
        granularity: "tensor" or "channel".
        method: "twn": a ternary threshold of 0.7 E|w|; "mse": that of least squared error. Binary weights have one way.
        importance: for "mse" and binary weights: how much the squared error of each weight counts; broadcasts to the
            weights.
        layer: named in errors.

    Raises:
        InvalidArgumentError, ShapeError: weights or importance cannot be used.
        RecipeError: an option is out of its range.
    """
    rows = check_weights(weights, layer)
    one_of("kind", kind, KINDS, layer)
    one_of("granularity", granularity, ("tensor", "channel"), layer)
    one_of("method", method, ("twn", "mse"), layer)
    counts = check_importance(importance, weights.shape, layer)
    magnitude = np.abs(rows.astype(np.float64))
    counts = np.ones_like(magnitude) if counts is None else counts
    if granularity == "tensor":
        magnitude, counts = magnitude.reshape(1, -1), counts.reshape(1, -1)
    if kind == "binary":
        return SignGrid(_scale(_mean(magnitude, counts)), None)
    if method == "twn":
        threshold = _TWN * magnitude.mean(axis=1)
        return SignGrid(_scale(_mean(magnitude, (magnitude > threshold[:, None]).astype(np.float64))), threshold)
    order = np.argsort(-magnitude, axis=1, kind="stable")
    magnitude, counts = (np.take_along_axis(each, order, axis=1) for each in (magnitude, counts))
    sums, totals = (magnitude * counts).cumsum(axis=1), counts.cumsum(axis=1)  # of the n largest
    means = np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)
    best = np.argmax(sums * means, axis=1)
    scale = _scale(means[np.arange(len(means)), best])
    return SignGrid(scale, scale.astype(np.float64) / 2)


def _mean(magnitude: np.ndarray, counts: np.ndarray) -> np.ndarray:
    total = counts.sum(axis=1)
    result: np.ndarray = np.divide((magnitude * counts).sum(axis=1), total, out=np.zeros(len(total)), where=total > 0)
    return result


def _scale(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.maximum(values, _MIN_SCALE).astype(np.float32)
    return result
