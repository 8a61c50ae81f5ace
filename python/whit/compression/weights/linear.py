"""Linear quantisation: equal steps, symmetric or asymmetric, 2 to 8 bits.

    value = (code - zero_point) * scale

Symmetric codes are s8 in [-(2^(b-1) - 1), 2^(b-1) - 1] with zero point 0, asymmetric ones u8 in [0, 2^b - 1]; 0 is
always exact (Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018). One scale serves the tensor, an output channel, or g consecutive values of an output channel.

The range that the codes span is one of

* minmax: everything there is;
* percentile: without the outermost values;
* mse: the range whose rounding has the least (weighted) squared error, out of shares of the full one, for each scale
  on its own (Choukroun et al., "Low-bit Quantization of Neural Networks for Efficient Inference", 2019);
* kl: the threshold of least Kullback-Leibler divergence (`ranges.kl_threshold`);
* or the step is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whit.compression.ranges import kl_threshold
from whit.compression.weights.checks import check_count, check_importance, check_share, check_weights, one_of
from whit.errors import RecipeError
from whit.ir import LinearCodes

__all__ = ["METHODS", "LinearGrid", "find_linear_grid"]

METHODS = ("minmax", "percentile", "mse", "kl")

#: Steps below this are not told apart from none (see ranges.py).
_MIN_SCALE = 2.0**-40
#: Shares of the full range that "mse" tries.
_SHARES = np.arange(100, 8, -2) / 100
#: Factors on the best of them that it tries next.
_REFINED = 1 + np.arange(-8, 9) / 400
_KL_BINS = 2048


@dataclass(frozen=True, eq=False)
class LinearGrid:
    """Where linear codes may lie.

    Attributes:
        scale, zero_point, group: as in `LinearCodes`.
        low, high: of the codes.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    low: int
    high: int
    group: int = 0

    def nearest(self, values: np.ndarray, columns: np.ndarray) -> np.ndarray:
        rows = np.arange(len(values))
        place = (rows, columns // self.group) if self.group else (rows if self.scale.size > 1 else np.zeros_like(rows))
        scale, zero_point = self.scale[place].astype(np.float64), self.zero_point[place].astype(np.float64)
        steps = np.clip(np.rint(values / scale) + zero_point, self.low, self.high) - zero_point
        result: np.ndarray = (steps.astype(np.float32) * self.scale[place]).astype(np.float64)
        return result

    def encode(self, weights: np.ndarray) -> LinearCodes:
        rows = weights.reshape(len(weights), -1)
        scale, zero_point = self.scale.reshape(len(self.scale), -1), self.zero_point.reshape(len(self.scale), -1)
        if self.group:
            scale = np.repeat(scale, self.group, axis=1)[:, : rows.shape[1]]
            zero_point = np.repeat(zero_point, self.group, axis=1)[:, : rows.shape[1]]
        steps = np.rint(rows.astype(np.float64) / scale.astype(np.float64)) + zero_point
        codes = np.clip(steps, self.low, self.high).astype(np.int8 if self.low < 0 else np.uint8)
        return LinearCodes(codes.reshape(weights.shape), self.scale, self.zero_point, self.group)


def find_linear_grid(
    weights: np.ndarray,
    *,
    bits: int = 8,
    symmetric: bool = True,
    granularity: str | int = "channel",
    method: str = "minmax",
    step: float | None = None,
    percentile: float = 99.99,
    importance: np.ndarray | None = None,
    layer: str = "weights",
) -> LinearGrid:
    """Chooses scales and zero points.

    Args:
        weights: f32 [O, ...].
        bits: 2 to 8.
        symmetric: zero point 0, or the codes go from the lowest value to the highest.
        granularity: "tensor", "channel", or how many consecutive values of a channel share a scale.
        method: one of `METHODS`.
        step: the scale, instead of a method.
        percentile: for that method: how much of the values is kept on each side, 50 to 100.
        importance: for "mse": how much the squared error of each weight counts; broadcasts to the weights.
        layer: named in errors.

    Raises:
        InvalidArgumentError, ShapeError: weights or importance cannot be used.
        RecipeError: an option is out of its range, or "kl" is asked for groups.
    """
    rows = check_weights(weights, layer)
    check_count("bits", bits, 2, 8, layer)
    one_of("method", method, METHODS, layer)
    check_share("percentile", percentile, layer, 50, 100)
    weighting = check_importance(importance, weights.shape, layer)
    if isinstance(granularity, str):
        one_of("granularity", granularity, ("tensor", "channel"), layer)
        group = 0
    else:
        group = check_count("granularity", granularity, 1, 1 << 20, layer)
        if method == "kl" and step is None:
            raise RecipeError(f"layer {layer!r}: groups hold too few values for method 'kl'; use 'mse'")
    low, high = (1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1) if symmetric else (0, (1 << bits) - 1)
    blocks = _blocks(rows, granularity)
    weightings = [None] * len(blocks) if weighting is None else _blocks(weighting, granularity)
    found = []
    for block, each in zip(blocks, weightings, strict=True):
        bottom, top = np.minimum(block.min(axis=1), 0).astype(np.float64), np.maximum(block.max(axis=1), 0)
        top = top.astype(np.float64)
        if step is not None:
            check_share("step", step, layer, _MIN_SCALE, 1e30)
            scale = np.full(len(block), step, np.float32)
            found.append((scale, _zero_points(bottom, scale, low, high)))
            continue
        if method == "percentile":
            bottom, top = _percentiles(block, percentile, symmetric)
        elif method == "kl":
            threshold = np.array([_kl_threshold(row, high if symmetric else (high + 1) // 2) for row in block])
            bottom, top = np.maximum(bottom, -threshold), np.minimum(top, threshold)
        elif method == "mse":
            bottom, top = _least_squares(block, each, bottom, top, low, high)
        found.append(_steps(bottom, top, low, high))
    if not group:
        scale, zero_point = found[0]
    else:
        scale = np.concatenate([part.reshape(len(rows), -1) for part, _ in found], axis=1)
        zero_point = np.concatenate([part.reshape(len(rows), -1) for _, part in found], axis=1)
    return LinearGrid(scale, zero_point, low, high, group)


def _blocks(rows: np.ndarray, granularity: str | int) -> list[np.ndarray]:
    """What shares a scale as rows: one array, or for groups those that are full and the last, shorter ones."""
    if granularity == "tensor":
        return [rows.reshape(1, -1)]
    if isinstance(granularity, str):
        return [rows]
    full = rows.shape[1] // granularity * granularity
    parts = [rows[:, :full].reshape(-1, granularity)] if full else []
    return parts + ([rows[:, full:]] if full < rows.shape[1] else [])


def _steps(bottom: np.ndarray, top: np.ndarray, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale f32 [n] and zero point s32 [n] for ranges [n] that hold 0."""
    span = np.maximum(top, -bottom) / high if low < 0 else (top - bottom) / high
    scale = np.maximum(span, _MIN_SCALE).astype(np.float32)
    return scale, _zero_points(bottom, scale, low, high)


def _zero_points(bottom: np.ndarray, scale: np.ndarray, low: int, high: int) -> np.ndarray:
    if low < 0:
        return np.zeros(len(scale), np.int32)
    result: np.ndarray = np.clip(np.rint(-bottom / scale.astype(np.float64)), low, high).astype(np.int32)
    return result


def _percentiles(rows: np.ndarray, percentile: float, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
    if symmetric:
        top = np.percentile(np.abs(rows), percentile, axis=1).astype(np.float64)
        return -top, top
    bottom, top = np.percentile(rows, [100 - percentile, percentile], axis=1)
    return np.minimum(bottom, 0).astype(np.float64), np.maximum(top, 0).astype(np.float64)


def _kl_threshold(row: np.ndarray, levels: int) -> float:
    magnitudes = np.abs(row[row != 0]).astype(np.float64)  # every grid holds 0
    reach = float(magnitudes.max(initial=0.0))
    if reach == 0:
        return 0.0
    counts, _ = np.histogram(magnitudes, _KL_BINS, (0, reach))
    return min(kl_threshold(counts, levels) * reach / _KL_BINS, reach)


def _least_squares(
    rows: np.ndarray, importance: np.ndarray | None, bottom: np.ndarray, top: np.ndarray, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each row the range of least squared error: both ends shrunk alike, then, if asymmetric, each on its own."""
    weighting = None if importance is None else importance.astype(np.float32)
    best_bottom, best_top = bottom.copy(), top.copy()
    least = np.full(len(rows), np.inf)

    def consider(candidate_bottom: np.ndarray, candidate_top: np.ndarray) -> None:
        scale, zero_point = (each[:, None] for each in _steps(candidate_bottom, candidate_top, low, high))
        zero = zero_point.astype(np.float32)
        steps = np.clip(np.rint(rows / scale), low - zero, high - zero)
        noise = np.square(steps * scale - rows)
        error = (noise if weighting is None else noise * weighting).sum(axis=1)
        better = error < least
        least[better] = error[better]
        best_bottom[better], best_top[better] = candidate_bottom[better], candidate_top[better]

    for share in _SHARES:
        consider(bottom * share, top * share)
    if low == 0:
        for share in _SHARES:
            consider(bottom * share, best_top.copy())
        for share in _SHARES:
            consider(best_bottom.copy(), top * share)
    coarse_bottom, coarse_top = best_bottom.copy(), best_top.copy()
    for factor in _REFINED:
        consider(coarse_bottom * factor, coarse_top * factor)
    return best_bottom, best_top
