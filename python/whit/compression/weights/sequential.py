"""Changes layers one after the other, each so that it makes up for what the changes before it did to its inputs.

With x the inputs of a layer W in the original graph and z those in the graph whose earlier layers are changed already,
the weights to aim at are those whose outputs from z are nearest to W x:

    T = W (C_xz + d) (C_zz + d)^-1

with the covariances C of both and d, a share of the mean variance, which holds T near W. The bias takes the means. A
layer that adds a residual r to its sums can make up for what became of that, s, as well:

    T = (W (C_xz + d) + C_(r-s)z) (C_zz + d)^-1

This is the asymmetric reconstruction of Zhang et al., "Accelerating Very Deep Convolutional Networks for Classification
and Detection", 2015, for any change: rounding, pruning, clustering.

It takes two runs over the data for each layer: what one layer makes up for, the next must not make up for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from whit.compression.calibrate import RunnerFactory, engine_runner
from whit.compression.weights.checks import check_share
from whit.compression.weights.covariance import Moments, chosen_positions, columns_of
from whit.compression.weights.products import add_to_bias, find_layer, has_free_bias, weights_of
from whit.data import Dataset, Feeds
from whit.errors import CalibrationError, InvalidArgumentError
from whit.ir import Graph, Node
from whit.optimize.base import clone
from whit.progress import ProgressCallback, progress

__all__ = ["Change", "Paired", "observe_pair", "rework_layers"]

#: Layer, weights to aim at (f32), moments of the inputs that it has now -> the weights that it gets, of the same shape.
Change = Callable[[str, np.ndarray, Moments], np.ndarray]


@dataclass(frozen=True, eq=False)
class Paired:
    """The inputs of a layer in a changed graph (z) and in the original (x).

    Attributes:
        moments: of z.
        cross: mean of x z^T, f64 [groups, K, K].
        mean: of x, f64 [groups, K].
        residual: mean of (r - s) z^T, f64 [groups, O / groups, K]; None without.
        residual_mean: of r - s, f64 [groups, O / groups]; None without.
    """

    moments: Moments
    cross: np.ndarray
    mean: np.ndarray
    residual: np.ndarray | None = None
    residual_mean: np.ndarray | None = None

    def target(self, weights: np.ndarray, damping: float = 0.1) -> np.ndarray:
        """T, f32 of the weights' shape."""
        z = self.moments
        rows = weights.reshape(len(z.mean), -1, z.mean.shape[1]).astype(np.float64)
        own = z.covariance()
        both = self.cross - self.mean[:, :, None] * z.mean[:, None, :]
        variance = np.trace(own, axis1=1, axis2=2) / own.shape[1]
        extra = np.maximum(damping * variance, 1e-9 * max(float(variance.max()), 1e-30))[:, None, None]
        extra = extra * np.eye(own.shape[1])
        wanted = rows @ (both + extra)
        if self.residual is not None and self.residual_mean is not None:
            wanted += self.residual - self.residual_mean[:, :, None] * z.mean[:, None, :]
        solved = np.linalg.solve(own + extra, wanted.transpose(0, 2, 1)).transpose(0, 2, 1)
        result: np.ndarray = solved.reshape(weights.shape).astype(np.float32)
        return result

    def shift(self, weights: np.ndarray, changed: np.ndarray) -> np.ndarray:
        """What to add to the bias, so that the mean of the outputs is that of the original, f64 [O]."""
        z = self.moments
        rows = weights.reshape(len(z.mean), -1, z.mean.shape[1]).astype(np.float64)
        result: np.ndarray = np.einsum("gok,gk->go", rows, self.mean).ravel() - z.mean_output(changed)
        return result if self.residual_mean is None else result + self.residual_mean.ravel()


def rework_layers(
    graph: Graph,
    layers: Sequence[str],
    data: Dataset,
    change: Change,
    *,
    damping: float = 0.1,
    positions: int = 128,
    residuals: bool = False,
    seed: int = 0,
    runner: RunnerFactory = engine_runner,
    callback: ProgressCallback | None = None,
) -> Graph:
    """Changes the weights of layers in the order of the graph.

    Args:
        graph: f32; not changed.
        layers: names of conv, conv_transpose and gemm nodes with constant weights; those whose bias is computed are
            changed without being aimed anew.
        data: calibration data.
        change: what is done to a layer.
        damping: share of the mean variance that holds the targets near the given weights, 0 to 10.
        positions: rows or pixels taken of each sample and layer, at most.
        residuals: layers make up for what became of the residuals that are added to them as well.
        seed: of that choice.
        runner: makes what runs the graphs.
        callback: of progress, over layers.

    Raises:
        InvalidArgumentError: a name is no such node, or `change` gives another shape or dtype.
        RecipeError: damping out of its range.
        CalibrationError: an input becomes NaN or infinite.
    """
    check_share("damping", damping, "sequential", 0, 10)
    for name in layers:
        if weights_of(graph, find_layer(graph, name)) is None:
            raise InvalidArgumentError(f"layer {name!r}: it has no constant f32 weights; leave it out")
    result, wanted = clone(graph), set(layers)
    order = [node.name for node in graph.nodes if node.name in wanted]
    for name in progress(order, len(order), "rework layers", callback):
        node = find_layer(result, name)
        weights, is_free = weights_of(result, node), has_free_bias(result, node)
        assert weights is not None, "checked above"
        pair = observe_pair(
            graph, result, node, data, positions=positions, residuals=residuals, seed=seed, runner=runner
        )
        changed = change(name, pair.target(weights, damping) if is_free else weights, pair.moments)
        if changed.shape != weights.shape or changed.dtype != np.float32:
            raise InvalidArgumentError(
                f"layer {name!r}: changed weights must be f32 {weights.shape}; got {changed.dtype} {changed.shape}"
            )
        if is_free:
            add_to_bias(result, node, pair.shift(weights, changed))
        node.inputs[1] = result.add_constant(f"{node.inputs[1]}_changed", changed)
        result.prune()
    return result


def observe_pair(
    original: Graph,
    changed: Graph,
    node: Node,
    data: Dataset,
    *,
    positions: int = 128,
    residuals: bool = False,
    seed: int = 0,
    runner: RunnerFactory = engine_runner,
) -> Paired:
    """Runs both graphs on the data and looks at the input of a layer that both have, and at its residual.

    Raises:
        CalibrationError: it becomes NaN or infinite, or never holds anything.
    """
    before = find_layer(original, node.name)
    places = [0, 3] if residuals and node.input(3) and before.input(3) else [0]
    first = _observing(original, [before.inputs[place] for place in places], runner)
    second = _observing(changed, [node.inputs[place] for place in places], runner)
    totals: list[np.ndarray] | None = None
    count = 0
    for index, feeds in enumerate(data):
        (x_values, *r), (z_values, *s) = first(feeds), second(feeds)
        if not all(np.isfinite(values).all() for values in (x_values, z_values, *r, *s)):
            raise CalibrationError(f"sample {index}: the input of layer {node.name!r} becomes NaN or infinite")
        chosen = chosen_positions(changed, node, z_values, positions, seed, index)
        x, z = (columns_of(changed, node, values, chosen) for values in (x_values, z_values))
        products = [each.transpose(0, 2, 1) @ z for each in (z, x)] + [each.sum(axis=1) for each in (z, x)]
        if r:
            missing = _rows_of(r[0] - s[0], len(z), chosen)
            products += [missing @ z, missing.sum(axis=2)]
        wide = [each.astype(np.float64) for each in products]
        totals = wide if totals is None else [a + b for a, b in zip(totals, wide, strict=True)]
        count += z.shape[1]
    if totals is None or count == 0:
        raise CalibrationError(f"layer {node.name!r}: its input is empty on all {len(data)} samples")
    squares, cross, z_mean, x_mean, *residual = (each / count for each in totals)
    return Paired(Moments(squares, z_mean, count), cross, x_mean, *residual)


def _observing(graph: Graph, names: Sequence[str], runner: RunnerFactory) -> Callable[[Feeds], list[np.ndarray]]:
    """Runs the graph as far as these of its tensors, and returns them."""
    part = clone(graph)
    part.outputs = [name for name in dict.fromkeys(names) if name not in graph.inputs]
    part.prune()
    session = runner(part, []) if part.outputs else None

    def run(feeds: Feeds) -> list[np.ndarray]:
        found = {**(session.run(feeds) if session else {}), **feeds}
        return [found[name] for name in names]

    return run


def _rows_of(values: np.ndarray, groups: int, chosen: np.ndarray | None) -> np.ndarray:
    """Outputs of a product, f32 [groups, O / groups, positions]."""
    rows = values.reshape(-1, values.shape[-1])
    rows = rows if chosen is None else rows[chosen]
    result: np.ndarray = rows.reshape(len(rows), groups, -1).transpose(1, 2, 0)
    return result
