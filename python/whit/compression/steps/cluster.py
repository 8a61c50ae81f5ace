"""Clustering: the weights of a layer share a few values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whit.compression.settings import choice, count, flag, number
from whit.compression.steps.base import State, Step
from whit.compression.steps.products import moments_of, replace_weights, weighted_layers
from whit.compression.weights.clustering import PaletteGrid, find_palettes
from whit.compression.weights.compensated import round_compensated

__all__ = ["Cluster"]


@dataclass(frozen=True)
class Cluster(Step):
    """Replaces weights by the nearest of a few centroids, which the file stores once (`weights/clustering.py`).

    Attributes:
        entries: centroids of a palette; 16 take 4 bits a weight.
        channels: output channels that share a palette; 0: all of the layer.
        init: "exact": the optimum; else what Lloyd's iteration starts from: "linear", "density" or "random".
        weighted: errors count by the energy of what each weight multiplies on calibration data.
        rounding: "nearest" centroid, or "compensated": later weights make up for the error of earlier ones (GPTQ).
        keep_zero: weights that are 0 (pruned ones) stay so.
        min_weight_elements: layers with fewer weights are left alone.
    """

    entries: int = count(16, low=2, high=256)
    channels: int = count(0)
    init: str = choice("exact", "linear", "density", "random")
    weighted: bool = flag(False)
    rounding: str = choice("nearest", "compensated")
    damping: float = number(0.01, low=0, high=10)
    keep_zero: bool = flag(True)
    min_weight_elements: int = count(256)

    kind = "cluster"

    @property
    def needs_data(self) -> bool:
        return any(step._uses_moments for step in self.variants())

    @property
    def _uses_moments(self) -> bool:
        return self.weighted or self.rounding == "compensated"

    def apply(self, state: State) -> None:
        layers = list(weighted_layers(state, self, self.min_weight_elements))
        moments = moments_of(state, [node.name for node, settings, _ in layers if settings._uses_moments])
        for node, settings, weights in layers:
            found = moments.get(node.name)
            importance = found.importance(weights.shape) if found and settings.weighted else None
            grid = settings._find(weights, importance, state.seed, node.name)
            if found and settings.rounding == "compensated":
                kept = weights != 0 if settings._keeps_zero(weights) else None
                rounded = round_compensated(
                    weights, found.hessian, grid, kept=kept, damping=settings.damping, layer=node.name
                ).weights
            else:
                rounded = grid.encode(weights).dequantize()
            replace_weights(state.graph, node, rounded)

    def _find(self, weights: np.ndarray, importance: np.ndarray | None, seed: int, layer: str) -> PaletteGrid:
        return find_palettes(
            weights,
            entries=self.entries,
            channels=self.channels or None,
            init=self.init,
            importance=importance,
            keep_zero=self._keeps_zero(weights),
            seed=seed,
            layer=layer,
        )

    def _keeps_zero(self, weights: np.ndarray) -> bool:
        return self.keep_zero and bool((weights == 0).any())
