"""Clustering: few shared values, and for every weight the index of one of them.

Weight sharing by k-means with linear, density-based or random initial centroids is Han et al., "Deep Compression",
2016; weighting by the Hessian's diagonal, which is how much a weight's error counts in the loss, is Choi et al.,
"Towards the Limit of Network Quantization", 2017. One palette serves a layer, or each so many output channels.

The default finds the optimum (kmeans.py) where that is cheap. Where it is not, the optimum for equal bins is what
Lloyd's iteration begins with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whit.compression.weights.checks import check_count, check_importance, check_weights, one_of
from whit.compression.weights.kmeans import Points, exact, lloyd, points_of

__all__ = ["INITIAL", "PaletteCodes", "PaletteGrid", "find_palettes"]

INITIAL = ("exact", "linear", "density", "random")

#: Points times centroids up to which the optimum is computed as it is; about two seconds.
_EXACT_WORK = 1 << 20


@dataclass(frozen=True, eq=False)
class PaletteCodes:
    """Indices into palettes.

    Attributes:
        codes: u8, of the shape of the values.
        palettes: f32 [P, K], each ascending; where fewer values differ the last one is repeated.
        channels: output channels that share a palette (the last palette may serve fewer).
    """

    codes: np.ndarray
    palettes: np.ndarray
    channels: int

    def dequantize(self) -> np.ndarray:
        """The values, f32."""
        owner = np.arange(len(self.codes)) // self.channels
        result: np.ndarray = self.palettes[owner.reshape(-1, *[1] * (self.codes.ndim - 1)), self.codes]
        return result


@dataclass(frozen=True, eq=False)
class PaletteGrid:
    """Palettes without indices; fields as in `PaletteCodes`."""

    palettes: np.ndarray
    channels: int

    def nearest(self, values: np.ndarray, columns: np.ndarray) -> np.ndarray:  # noqa: ARG002
        owner = np.arange(len(values)) // self.channels
        if len(self.palettes) == 1:
            shared: np.ndarray = self.palettes[0, _indices(self.palettes[0], values)].astype(np.float64)
            return shared
        wide = self.palettes.astype(np.float64)
        between = (wide[:, 1:] + wide[:, :-1]) / 2
        result: np.ndarray = wide[owner, (values[:, None] > between[owner]).sum(axis=1)]
        return result

    def encode(self, weights: np.ndarray) -> PaletteCodes:
        codes = np.empty(weights.shape, np.uint8)
        for index, palette in enumerate(self.palettes):
            part = slice(index * self.channels, (index + 1) * self.channels)
            codes[part] = _indices(palette, weights[part])
        return PaletteCodes(codes, self.palettes, self.channels)


def find_palettes(
    weights: np.ndarray,
    *,
    entries: int = 16,
    channels: int | None = None,
    init: str = "exact",
    importance: np.ndarray | None = None,
    keep_zero: bool = False,
    seed: int = 0,
    iterations: int = 100,
    layer: str = "weights",
) -> PaletteGrid:
    """Finds the palettes of a layer.

    Args:
        weights: f32 [O, ...].
        entries: values of a palette, 2 to 256.
        channels: output channels that share a palette; None: all.
        init: "exact": the optimum, or where that is not cheap nearly; else what Lloyd's iteration starts from:
            "linear": even steps from the lowest to the highest weight, "density": even steps of the cumulative
            distribution, "random": weights picked at random.
        importance: how much the squared error of each weight counts; broadcasts to the weights.
        keep_zero: one value is exactly 0, and weights that are 0 (pruned ones) stay so.
        seed: of "random".
        iterations: of Lloyd, at most.
        layer: named in errors.

    Raises:
        InvalidArgumentError, ShapeError: weights or importance cannot be used.
        RecipeError: an option is out of its range.
    """
    check_weights(weights, layer)
    check_count("entries", entries, 2, 256, layer)
    check_count("iterations", iterations, 0, 1_000_000, layer)
    check_count("seed", seed, 0, 1 << 62, layer)
    one_of("init", init, INITIAL, layer)
    channels = len(weights) if channels is None else check_count("channels", channels, 1, 1 << 20, layer)
    weighting = check_importance(importance, weights.shape, layer)
    rows, rng, palettes = weights.reshape(len(weights), -1), np.random.default_rng(seed), []
    for begin in range(0, len(weights), channels):
        part = slice(begin, begin + channels)
        palettes.append(
            _palette(
                points_of(rows[part], None if weighting is None else weighting[part]),
                entries,
                init,
                keep_zero,
                rng,
                iterations,
            )
        )
    return PaletteGrid(np.stack(palettes), channels)


def _palette(
    points: Points, entries: int, init: str, keep_zero: bool, rng: np.random.Generator, iterations: int
) -> np.ndarray:
    """One palette, f32 [entries]."""
    if init == "exact" and len(points) * entries <= _EXACT_WORK:
        centroids = exact(points, entries, keep_zero=keep_zero)
    else:
        if init == "exact":
            begin = exact(points.binned(_EXACT_WORK // entries), entries, keep_zero=keep_zero)
        else:
            begin = _initial(points, entries - keep_zero, init, rng)
            begin = np.append(begin, 0.0) if keep_zero else begin
        centroids = lloyd(points, begin, keep_zero=keep_zero, iterations=iterations)
    palette = np.unique(centroids.astype(np.float32))
    return np.pad(palette, (0, entries - len(palette)), mode="edge")


def _initial(points: Points, count: int, init: str, rng: np.random.Generator) -> np.ndarray:
    if init == "linear":
        return np.linspace(points.values[0], points.values[-1], count)
    if init == "density":
        total = np.cumsum(points.weights)
        quantiles = np.searchsorted(total, (np.arange(count) + 0.5) / count * total[-1])
        return np.asarray(points.values[quantiles])
    return rng.choice(points.values, count, replace=len(points) < count)


def _indices(palette: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of the nearest entries; the lower one of two as near."""
    wide = palette.astype(np.float64)
    return np.searchsorted((wide[1:] + wide[:-1]) / 2, values.astype(np.float64))
