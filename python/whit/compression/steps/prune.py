"""Pruning: weights that matter least become 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from whit.compression.error import Difference
from whit.compression.settings import choice, count, flag, number, text
from whit.compression.steps.base import State, Step
from whit.compression.steps.products import moments_of, replace_weights, weighted_layers
from whit.compression.weights.compensated import prune_compensated, reconstruct
from whit.compression.weights.covariance import Moments
from whit.compression.weights.masks import Pattern, block_starts
from whit.compression.weights.products import add_to_bias, find_layer, group_of, has_free_bias
from whit.compression.weights.sequential import rework_layers
from whit.compression.weights.shares import between, shares_by_damage, shares_by_score
from whit.errors import RecipeError
from whit.ir import Graph, Node
from whit.optimize.base import clone
from whit.progress import progress

__all__ = ["Prune"]

#: Shares that a layer is pruned to, alone, to see what that does to the model's outputs; and on how many samples.
_PROBES, _PROBE_SAMPLES = (0.5, 0.7, 0.85, 0.95), 8


@dataclass(frozen=True)
class Prune(Step):
    """Sets a share of the weights to 0.

    Attributes:
        sparsity: the share of zeros.
        scope: of the sparsity. "layer": each layer gets it; "global": all weights compete by what the criterion says
            of them, relative to their layer; "sensitivity": each layer is pruned alone, to several shares, and those
            are chosen that change the model's outputs least. Layers whose overrides name a sparsity keep that.
        criterion: what matters least: "magnitude" |w|; "activation": |w| times the norm of what it multiplies on
            calibration data (Wanda, Sun et al. 2023); "compensated": what later weights can make up for best, and do
            (SparseGPT). "gradient" and "taylor" are those of the step distill: they need a loss.
        pattern: "element"; "1x4", "4x1", ...: blocks of output channels x input channels of one tap; "2:4", ...: 2 of
            every 4 input channels stay, whatever `sparsity` says.
        reconstruct: the weights that stay are fitted to the layer's outputs on calibration data by least squares.
        bias_correction: biases take the mean of what is lost, where the criterion or the fit has seen data.
        sequential: layers are pruned one after the other, and each makes up for what the others before it did to its
            inputs (`weights/sequential.py`); takes two runs over the data for each layer.
        damping: of the fit; see `weights/compensated.py`.
        min_weight_elements: layers with fewer weights are left alone.
    """

    sparsity: float = number(0.5, low=0, high=1)
    scope: str = choice("layer", "global", "sensitivity")
    criterion: str = choice("compensated", "magnitude", "activation")
    pattern: str = text("element")
    reconstruct: bool = flag(False)
    bias_correction: bool = flag(True)
    sequential: bool = flag(False)
    damping: float = number(0.01, low=0, high=10)
    min_weight_elements: int = count(256)

    kind = "prune"

    def check(self) -> None:
        pattern = Pattern.of(self.pattern, "prune.pattern")
        if pattern.some and self.scope != "layer":
            raise RecipeError(f"prune: pattern {self.pattern!r} says how much of every layer goes; use scope 'layer'")
        for values in self.overrides.values():
            for key in ("sequential", "scope"):
                if key in values:
                    raise RecipeError(f"prune: {key} is the same for all layers (overrides)")

    @property
    def needs_data(self) -> bool:
        return self.scope == "sensitivity" or any(step._uses_moments for step in self.variants())

    @property
    def _uses_moments(self) -> bool:
        return self.criterion != "magnitude" or self.reconstruct or self.sequential

    def apply(self, state: State) -> None:
        layers = {
            node.name: _Layer(node, step, weights)
            for node, step, weights in weighted_layers(state, self, self.min_weight_elements)
            if step.sparsity > 0
        }
        in_advance = self.scope != "layer" or not self.sequential
        seen = [name for name, layer in layers.items() if in_advance and layer.step._uses_moments]
        moments = moments_of(state, seen)
        for name, share in self._shares(state, layers, moments).items():
            layers[name] = replace(layers[name], step=replace(layers[name].step, sparsity=share))
        refused = _Refused(state)
        if self.sequential:
            _prune_in_turn(state, layers, refused)
        else:
            for name, layer in layers.items():
                layer.prune(state.graph, moments.get(name), refused)
            state.graph.prune()
        refused.tell(len(layers))

    def _shares(self, state: State, layers: dict[str, _Layer], moments: dict[str, Moments]) -> dict[str, float]:
        """Of the layers that share one sparsity."""
        shared = {name: layer for name, layer in layers.items() if layer.step.sparsity == self.sparsity}
        if self.scope == "layer" or len(shared) < 2:
            return {}
        if self.scope == "global":
            scores = {name: layer.block_scores(moments.get(name)) for name, layer in shared.items()}
            return shares_by_score(scores, self.sparsity)
        sizes = {name: layer.weights.size for name, layer in shared.items()}
        return shares_by_damage(_damage(state, shared, moments), sizes, self.sparsity)


@dataclass(frozen=True)
class _Layer:
    """A layer to be pruned, and how."""

    node: Node
    step: Prune
    weights: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """The columns that blocks begin with."""
        columns = self.weights[0].size
        return block_starts(columns, Pattern.of(self.step.pattern).width, self.weights.shape[-1])

    def block_scores(self, moments: Moments | None) -> tuple[np.ndarray, np.ndarray]:
        """The sum of each block's scores, and its size."""
        sums, tall, wide = Pattern.of(self.step.pattern).sums(self._scores(moments), self.starts)
        return sums.ravel(), np.broadcast_to(tall[:, None] * wide, sums.shape).ravel()

    def _scores(self, moments: Moments | None) -> np.ndarray:
        """What matters, f64 [groups, O / groups, K]."""
        scores = np.square(self.weights.astype(np.float64))
        if self.step.criterion != "magnitude":
            assert moments is not None, "observed for this criterion"
            scores *= moments.importance(self.weights.shape)
        return scores.reshape(group_of(self.node), -1, self.weights[0].size)

    def pruned(self, weights: np.ndarray, moments: Moments | None, *, is_free: bool) -> np.ndarray:
        """The weights with zeros; `is_free`: the bias makes up for the mean of what they lose."""
        step, layer = self.step, self.node.name
        hessian = None if moments is None else moments.covariance() if is_free else moments.hessian
        if step.criterion == "compensated":
            assert hessian is not None, "observed for this criterion"
            found = prune_compensated(
                weights,
                hessian,
                sparsity=step.sparsity,
                pattern=step.pattern,
                channels=weights.shape[-1],
                damping=step.damping,
                layer=layer,
            )
            kept, result = found.kept, found.weights
        else:
            scores = replace(self, weights=weights)._scores(moments)
            kept = Pattern.of(step.pattern).keep(scores, self.starts, step.sparsity).reshape(weights.shape)
            result = np.where(kept, weights, np.float32(0))
        if step.reconstruct:
            assert hessian is not None, "observed for the fit"
            result = reconstruct(weights, hessian, kept, damping=step.damping, layer=layer)
        return result

    def prune(self, graph: Graph, moments: Moments | None, refused: _Refused | None = None) -> None:
        """In a graph that has the layer, unless it is better dense."""
        node = find_layer(graph, self.node.name)
        is_free = moments is not None and self.step.bias_correction and has_free_bias(graph, node)
        result = self.pruned(self.weights, moments, is_free=is_free)
        if refused is not None and refused.stays_dense(node, self.weights, result):
            return
        if is_free:
            assert moments is not None
            add_to_bias(graph, node, moments.mean_output(self.weights - result))
        replace_weights(graph, node, result)


class _Refused:
    """Layers that stay dense, since the target of the file would gain nothing."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.names: dict[str, list[str]] = {}

    def stays_dense(self, node: Node, dense: np.ndarray, sparse: np.ndarray) -> bool:
        if self.state.aim is None:
            return False
        found = self.state.aim.refusal(self.state.graph, node, dense, sparse)
        if found is not None:
            self.names.setdefault(found.kind, []).append(node.name)
            self.state.reasons[node.name] = found.text
        return found is not None

    def tell(self, layers: int) -> None:
        """Into the notes of the report; those of the layers have the numbers."""
        if self.state.aim is None:
            return
        dense = sum(map(len, self.names.values()))
        self.state.notes.append(
            f"prune for {self.state.aim.target}: {layers - dense} layers sparse, {dense} stay dense"
        )
        for kind, names in self.names.items():
            self.state.notes.append(f"{kind}: {', '.join(names)}")


def _prune_in_turn(state: State, layers: dict[str, _Layer], refused: _Refused) -> None:
    assert state.data is not None, "recipes that need data are refused without"
    free = {name: has_free_bias(state.graph, layer.node) for name, layer in layers.items()}

    def change(layer: str, weights: np.ndarray, moments: Moments) -> np.ndarray:
        result = layers[layer].pruned(weights, moments, is_free=free[layer])
        return weights if refused.stays_dense(layers[layer].node, weights, result) else result

    state.graph = rework_layers(
        state.graph,
        list(layers),
        state.data,
        change,
        residuals=True,
        seed=state.seed,
        runner=state.runner,
        callback=state.callback,
    )


def _noise(
    got: Sequence[Mapping[str, np.ndarray]], wanted: Sequence[Mapping[str, np.ndarray]], outputs: Sequence[str]
) -> float:
    """Over signal, the mean of the outputs."""
    found = []
    for name in outputs:
        difference = Difference()
        for one, other in zip(wanted, got, strict=True):
            difference.add(one[name], other[name])
        found.append(difference.noise / max(difference.signal, 1e-30))
    return float(np.mean(found))


def _damage(
    state: State, layers: dict[str, _Layer], moments: dict[str, Moments]
) -> dict[str, list[tuple[float, float]]]:
    """For each layer shares, and what they change of the model's outputs: noise over signal, the mean of them."""
    assert state.data is not None, "recipes that need data are refused without"
    samples = list(state.data.take(_PROBE_SAMPLES))
    wanted = [state.runner(state.graph, []).run(feeds) for feeds in samples]
    found = {}
    for name in progress(layers, len(layers), "prune: sensitivity", state.callback):
        points = []
        for share in _PROBES:
            graph, layer = clone(state.graph), layers[name]
            replace(layer, step=replace(layer.step, sparsity=share)).prune(graph, moments.get(name))
            session = state.runner(graph, [])
            points.append((share, _noise([session.run(feeds) for feeds in samples], wanted, graph.outputs)))
        found[name] = between(points)
    return found
