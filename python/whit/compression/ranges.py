"""From real numbers to steps: the quantisation of a range, and the choice of the range.

real = (q - zero_point) * scale with q in [-128, 127] for activations and [-127, 127] for weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whit.compression.settings import Settings, choice, count, number
from whit.ir import Quantization

__all__ = [
    "Calibration",
    "Distribution",
    "activation_quantization",
    "choose_range",
    "kl_threshold",
    "quantize_values",
    "widen_for_bias",
]

#: Steps below this are not told apart from none; keeps products and quotients of scales within f32.
_MIN_SCALE = 2.0**-40
#: A bias stays below this many steps, so that s32 accumulators cannot overflow.
_MAX_BIAS_STEPS = 2.0**30
#: Resolution of the bias of a channel without weights: whole steps that f32 still holds exactly.
_DEAD_CHANNEL_STEPS = 2.0**23
#: Of the histogram of magnitudes behind "kl".
_KL_BINS = 2048


@dataclass(frozen=True)
class Calibration(Settings):
    """How the range of an activation is chosen from what it took on calibration data.

    Attributes:
        method: "mse": the range whose quantisation has the least mean squared error; "minmax": everything seen;
            "percentile": a share of the values is cut off on each side; "kl": the clipped histogram that loses least
            information (`kl_threshold`).
        percentile: for "percentile": the values from (100 - percentile) to percentile are kept.
        bins: of the histogram behind every method but "minmax".
    """

    method: str = choice("mse", "minmax", "percentile", "kl")
    percentile: float = number(99.99, low=50, high=100, above=True)
    bins: int = count(4096, low=256, high=1 << 20)


@dataclass(frozen=True)
class Distribution:
    """What a tensor took: extremes and counted values (bin centres, or the values themselves), ascending."""

    minimum: float
    maximum: float
    values: np.ndarray
    counts: np.ndarray


def activation_quantization(low: float, high: float) -> Quantization:
    """Asymmetric, per tensor, over [low, high] widened to hold 0, which is represented exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return Quantization(np.ones(1, np.float32), np.zeros(1, np.int32))
    scale = np.float32(max((high - low) / 255, _MIN_SCALE))
    zero_point = int(np.clip(np.rint(-128 - low / float(scale)), -128, 127))
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int32))


def widen_for_bias(scale: np.ndarray, weights: np.ndarray, bias: np.ndarray, input_scale: float) -> np.ndarray:
    """Scales of weights, f32 [count], made wider where the bias, in steps of input_scale * scale, would not fit.

    A channel without weights gets a scale that suits its bias.

    Args:
        scale: f32 [count].
        weights: f32 [count, ...].
        bias: f32 [count].
        input_scale: of the layer's input.
    """
    magnitude = np.abs(bias.astype(np.float64)) / input_scale
    widened = np.maximum(scale.astype(np.float64), magnitude / _MAX_BIAS_STEPS)
    dead = ~weights.reshape(len(weights), -1).any(axis=1)
    widened[dead] = np.maximum(magnitude[dead] / _DEAD_CHANNEL_STEPS, _MIN_SCALE)
    result: np.ndarray = widened.astype(np.float32)
    return result


def quantize_values(values: np.ndarray, quantization: Quantization, low: int = -128) -> np.ndarray:
    """s8: clamp(round_half_even(values / scale) + zero_point, low, 127)."""
    scale = quantization.spread(quantization.scale.astype(np.float64), values.shape)
    steps = np.rint(values.astype(np.float64) / scale) + quantization.spread(quantization.zero_point, values.shape)
    result: np.ndarray = np.clip(steps, low, 127).astype(np.int8)
    return result


def choose_range(distribution: Distribution, calibration: Calibration) -> tuple[float, float]:
    """The range of an activation, (low, high) with low <= 0 <= high."""
    low, high = min(distribution.minimum, 0.0), max(distribution.maximum, 0.0)
    if low == high or calibration.method == "minmax":
        return low, high
    if calibration.method == "percentile":
        cut = (100 - calibration.percentile) / 100
        bottom, top = _weighted_quantile(distribution, cut), _weighted_quantile(distribution, 1 - cut)
        return min(max(bottom, low), 0.0), max(min(top, high), 0.0)
    if calibration.method == "kl":
        return _least_divergence(distribution, low, high)
    return _least_squares(distribution, low, high)


def kl_threshold(counts: np.ndarray, levels: int) -> float:
    """Where to clip a histogram of magnitudes, so that coarse levels tell least information about it apart.

    Migacz, "8-bit Inference with TensorRT", 2017: for every number i of bins kept, P is the histogram with all that is
    cut off added to its last bin, Q the first i bins merged into `levels` parts, each spread evenly over those of its
    bins that are not empty; the i of least KL(P || Q) wins. Where Q is 0 and P is not, the divergence is infinite.

    Args:
        counts: of equal bins from 0 to the largest magnitude, [bins].
        levels: steps on one side of 0.

    Returns:
        The threshold in widths of a bin: i + 1/2.
    """
    bins = len(counts)
    if bins <= levels or not counts.any():
        return float(bins)
    wide = counts.astype(np.float64)
    kept = np.arange(levels, bins + 1)
    kept = kept[wide[kept - 1] > 0]  # else Q is 0 in the last bin, or nothing is there that one bin less would lose
    if len(kept) == 0:
        return float(bins)
    edges = -(-np.arange(levels + 1) * kept[:, None] // levels)  # [candidates, levels + 1]
    sums, filled = (np.concatenate([[0], np.cumsum(each)]) for each in (wide, wide > 0))
    entropy = np.concatenate([[0], np.cumsum(wide * np.log(np.maximum(wide, 1)))])
    parts, spread = np.diff(sums[edges], axis=1), np.diff(filled[edges], axis=1)
    inside, total, last = sums[kept], sums[-1], wide[kept - 1]
    outside = total - inside
    logs = np.log(np.maximum(parts, 1e-300) / np.maximum(spread, 1))
    # total * KL, term by term: sum of P log P - sum of P log Q, with P and Q scaled to sums of 1.
    own = entropy[kept] - last * np.log(last) + (last + outside) * np.log(last + outside) - total * np.log(total)
    cross = (parts * logs).sum(axis=1) + outside * logs[:, -1] - total * np.log(inside)
    return float(kept[int(np.argmin(own - cross))]) + 0.5


def _least_divergence(distribution: Distribution, low: float, high: float) -> tuple[float, float]:
    """The range of an activation by `kl_threshold`. Exact zeros do not count: every range represents them."""
    present = distribution.values != 0
    magnitudes, counts = np.abs(distribution.values[present]), distribution.counts[present]
    reach = max(-low, high)
    histogram, _ = np.histogram(magnitudes, _KL_BINS, (0.0, reach), weights=counts)
    levels = 128 if low < 0 < high else 256
    threshold = kl_threshold(histogram, levels) * reach / _KL_BINS
    return max(low, -threshold), min(high, threshold)


def _weighted_quantile(distribution: Distribution, share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    total = np.cumsum(distribution.counts)
    # A hair less than the product: 0.9999 * 10000 must not become one more by rounding.
    index = int(np.searchsorted(total, share * int(total[-1]) * (1 - 1e-12)))
    return float(distribution.values[min(index, len(distribution.values) - 1)])


def _least_squares(distribution: Distribution, low: float, high: float) -> tuple[float, float]:
    """Searches the clip range of least mean squared error: each bound in turn, twice, in steps of 1 %."""
    values, counts = distribution.values.astype(np.float64), distribution.counts.astype(np.float64)

    def error(bottom: float, top: float) -> float:
        quantization = activation_quantization(bottom, top)
        scale, zero_point = float(quantization.scale[0]), int(quantization.zero_point[0])
        steps = np.clip(np.rint(values / scale), -128 - zero_point, 127 - zero_point)
        return float(counts @ np.square(steps * scale - values))

    best, shares = (low, high), np.arange(100, 9, -1) / 100
    least = error(low, high)
    for _ in range(2):
        for side in (1, 0):
            full = (low, high)[side]
            if full == 0:
                continue
            for share in shares:
                candidate = (full * share, best[1]) if side == 0 else (best[0], full * share)
                found = error(*candidate)
                if found < least:
                    best, least = candidate, found
    return float(best[0]), float(best[1])
