"""Pruning: weights that matter least become 0."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whit.compression.settings import choice, count, flag, number, text
from whit.compression.steps.base import State, Step
from whit.compression.steps.products import moments_of, replace_weights, weighted_layers
from whit.compression.weights.compensated import prune_compensated, reconstruct
from whit.compression.weights.covariance import Moments
from whit.compression.weights.masks import keep_blocks, keep_some
from whit.compression.weights.sequential import rework_layers
from whit.errors import RecipeError

__all__ = ["Prune"]


@dataclass(frozen=True)
class Prune(Step):
    """Sets a share of the weights to 0.

    Attributes:
        sparsity: the share of zeros.
        criterion: what matters least: "magnitude" |w|; "activation": |w| times the norm of what it multiplies on
            calibration data (Wanda, Sun et al. 2023); "compensated": what later weights can make up for best, and do
            (SparseGPT).
        pattern: "element"; "1x4", "4x1", ...: blocks of output channels x columns; "2:4", ...: 2 of every 4 columns
            stay, whatever `sparsity` says.
        reconstruct: the weights that stay are fitted to the layer's outputs on calibration data by least squares.
        sequential: layers are pruned one after the other, and each makes up for what the others before it did to its
            inputs (`weights/sequential.py`); takes two runs over the data for each layer.
        damping: of the fit; see `weights/compensated.py`.
        min_weight_elements: layers with fewer weights are left alone.
    """

    sparsity: float = number(0.5, low=0, high=1)
    criterion: str = choice("compensated", "magnitude", "activation")
    pattern: str = text("element")
    reconstruct: bool = flag(False)
    sequential: bool = flag(False)
    damping: float = number(0.01, low=0, high=10)
    min_weight_elements: int = count(256)

    kind = "prune"

    def check(self) -> None:
        if not re.fullmatch(r"element|[1-9]\d?x[1-9]\d?|\d\d?:[1-9]\d?", self.pattern):
            raise RecipeError(f"prune.pattern must be 'element', 'RxC' or 'N:M'; got {self.pattern!r}")
        if any("sequential" in values for values in self.overrides.values()):
            raise RecipeError("prune: sequential is for all layers or none (overrides)")

    @property
    def needs_data(self) -> bool:
        return any(step._uses_moments for step in self.variants())

    @property
    def _uses_moments(self) -> bool:
        return self.criterion != "magnitude" or self.reconstruct or self.sequential

    def apply(self, state: State) -> None:
        layers = list(weighted_layers(state, self, self.min_weight_elements))
        if self.sequential:
            self._apply_in_turn(state, {node.name: settings for node, settings, _ in layers if settings.sparsity > 0})
            return
        moments = moments_of(state, [node.name for node, settings, _ in layers if settings._uses_moments])
        for node, settings, weights in layers:
            if settings.sparsity > 0:
                pruned = settings._prune(weights, moments.get(node.name), node.name)
                replace_weights(state.graph, node, pruned)

    def _apply_in_turn(self, state: State, layers: Mapping[str, Prune]) -> None:
        assert state.data is not None, "recipes that need data are refused without"

        def change(layer: str, weights: np.ndarray, moments: Moments) -> np.ndarray:
            return layers[layer]._prune(weights, moments, layer)

        state.graph = rework_layers(
            state.graph, list(layers), state.data, change, seed=state.seed, runner=state.runner, callback=state.callback
        )

    def _prune(self, weights: np.ndarray, moments: Moments | None, layer: str) -> np.ndarray:
        if self.criterion == "compensated":
            assert moments is not None, "observed for this criterion"
            found = prune_compensated(
                weights,
                moments.hessian,
                sparsity=self.sparsity,
                pattern=self.pattern,
                damping=self.damping,
                layer=layer,
            )
            kept, result = found.kept, found.weights
        else:
            scores = np.square(weights.astype(np.float64))
            if self.criterion == "activation":
                assert moments is not None, "observed for this criterion"
                scores *= moments.importance(weights.shape)
            kept = _mask(scores.reshape(1, len(weights), -1), self.sparsity, self.pattern).reshape(weights.shape)
            result = np.where(kept, weights, np.float32(0))
        if self.reconstruct:
            assert moments is not None, "observed for the fit"
            result = reconstruct(weights, moments.hessian, kept, damping=self.damping, layer=layer)
        return result


def _mask(scores: np.ndarray, sparsity: float, pattern: str) -> np.ndarray:
    """What stays, bool as scores [1, O, K]."""
    if ":" in pattern:
        some, of = map(int, pattern.split(":"))
        return keep_some(scores, some, of)
    height, width = (1, 1) if pattern == "element" else map(int, pattern.split("x"))
    return keep_blocks(scores, height, width, sparsity)
