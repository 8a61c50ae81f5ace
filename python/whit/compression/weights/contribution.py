"""What channels contribute to the layers that read them, on calibration data, and how the others can stand in for them.

Without channel c the outputs of a layer y = W x change least if the weights of the other channels are fitted anew. What
remains is, summed over the outputs, w_c^T B_c w_c with B_c the inverse of the block of C^-1 that belongs to the taps of
the channel, C the covariance of x: Optimal Brain Surgeon (Hassibi and Stork, 1993) for all taps of a channel at once.
The fit itself is He et al., "Channel Pruning for Accelerating Very Deep Neural Networks", 2017, equation 5.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from whit.compression.weights.covariance import Moments, shrink
from whit.compression.weights.dependencies import Dependencies
from whit.compression.weights.products import group_of, weights_of
from whit.errors import InvalidArgumentError, ShapeError
from whit.ir import PRODUCTS, Graph

__all__ = ["channel_costs", "refit", "unit_costs"]

#: Share of the mean variance added to every column's, so that the fit can be solved.
_DAMPING = 1e-3


def unit_costs(graph: Graph, dependencies: Dependencies, moments: Mapping[str, Moments]) -> dict[int, float]:
    """For each unit what its absence costs, as shares of the variance of the outputs of all layers that read it.

    Raises:
        InvalidArgumentError: a product without groups has no moments.
        ShapeError: moments of another layer.
    """
    costs: dict[int, float] = {}
    for node in graph.nodes:
        weights = weights_of(graph, node) if node.op in PRODUCTS else None
        channels = dependencies.channels.get(node.inputs[0])
        if weights is None or channels is None or group_of(node) != 1 or len(channels.numbers) != weights.shape[-1]:
            continue
        if node.name not in moments:
            raise InvalidArgumentError(f"layer {node.name!r}: no moments; observe all products without groups")
        shares = channel_costs(weights, moments[node.name], node.name)
        for unit, share in zip(dependencies.units(channels.numbers).tolist(), shares.tolist(), strict=True):
            costs[unit] = costs.get(unit, 0.0) + share
    return costs


def channel_costs(weights: np.ndarray, moments: Moments, layer: str) -> np.ndarray:
    """For each input channel the share of the outputs' variance that is lost without it, f64 [I]."""
    rows, covariance = _prepared(weights, moments, layer)
    inputs = weights.shape[-1]
    taps = rows.shape[1] // inputs
    inverse = np.linalg.inv(covariance).reshape(taps, inputs, taps, inputs)
    blocks = np.linalg.inv(np.einsum("tcuc->ctu", inverse))
    split = rows.reshape(len(rows), taps, inputs)
    lost = np.einsum("otc,ctu,ouc->c", split, blocks, split, optimize=True)
    total = float(np.einsum("ok,kl,ol->", rows, covariance, rows, optimize=True))
    result: np.ndarray = np.maximum(lost, 0.0) / max(total, 1e-30)
    return result


def refit(weights: np.ndarray, moments: Moments, inputs: np.ndarray, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights for the input channels that stay, f32 [O, kernel..., kept], and what to add to the bias, f64 [O].

    Args:
        weights: of a product without groups, f32 [O, kernel..., I].
        moments: of its inputs, all of them.
        inputs: which stay, bool [I].
        layer: named in errors.

    Raises:
        ShapeError: moments of another layer.
    """
    rows, covariance = _prepared(weights, moments, layer)
    kept = np.flatnonzero(np.tile(inputs, rows.shape[1] // len(inputs)))
    fitted = np.linalg.solve(covariance[np.ix_(kept, kept)], covariance[kept] @ rows.T).T
    result = fitted.astype(np.float32)
    shift = rows @ moments.mean[0] - result.astype(np.float64) @ moments.mean[0, kept]
    return result.reshape(*weights.shape[:-1], -1), shift


def _prepared(weights: np.ndarray, moments: Moments, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows f64 [O, K] and the steadied covariance f64 [K, K]."""
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    if moments.hessian.shape != (1, rows.shape[1], rows.shape[1]):
        raise ShapeError(
            f"layer {layer!r}: moments of shape {moments.hessian.shape} do not fit weights {weights.shape}; "
            "observe this layer"
        )
    covariance = shrink(moments.covariance(), moments.count)[0]
    covariance[np.diag_indices(len(covariance))] += max(_DAMPING * float(np.trace(covariance)) / len(covariance), 1e-30)
    return rows, covariance
