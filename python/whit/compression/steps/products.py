"""What the steps share that change weights of convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from whit.compression.steps.base import State, Step
from whit.compression.weights.covariance import Moments, observe_moments
from whit.compression.weights.products import weights_of
from whit.ir import PRODUCTS, Graph, Node

__all__ = ["moments_of", "replace_weights", "weighted_layers"]

T = TypeVar("T", bound=Step)


def weighted_layers(state: State, step: T, min_elements: int = 0) -> Iterator[tuple[Node, T, np.ndarray]]:
    """The layers with constant f32 weights that a step is for, its settings for each, and the weights [O, ...].

    Why others are left alone goes into `state.reasons`.
    """
    for node in list(state.graph.nodes):
        if node.op not in PRODUCTS:
            continue
        settings, weights = step.for_node(node, state.graph), weights_of(state.graph, node)
        if settings is None:
            continue
        if weights is None or not np.isfinite(weights).all():
            state.reasons[node.name] = "weights are computed, quantised already or not finite"
        elif weights.size < min_elements:
            state.reasons[node.name] = f"{weights.size} weights are fewer than {min_elements}"
        else:
            yield node, settings, weights


def moments_of(state: State, layers: Sequence[str]) -> dict[str, Moments]:
    """Of the inputs of these layers on calibration data."""
    if not layers:
        return {}
    assert state.data is not None, "recipes that need data are refused without"
    return observe_moments(
        state.graph, layers, state.data, seed=state.seed, runner=state.runner, callback=state.callback
    )


def replace_weights(graph: Graph, node: Node, weights: np.ndarray) -> None:
    """Gives a layer other weights of the same shape; layers that shared the old ones keep those."""
    name = node.inputs[1]
    if graph.is_single_use(name):
        graph.tensors[name] = replace(graph.tensors[name], data=weights, codes=None)
    else:
        node.inputs[1] = graph.add_constant(name, weights)
