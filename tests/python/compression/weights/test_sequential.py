"""Layers that know what came before them: the targets are least squares, and the model ends up nearer."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import INF, Builder, ReferenceRunner

import reference
from whit.compression.weights.compensated import prune_compensated, round_compensated
from whit.compression.weights.covariance import Moments, columns_of, observe_moments
from whit.compression.weights.linear import find_linear_grid
from whit.compression.weights.sequential import observe_pair, rework_layers
from whit.data import Dataset, open_data
from whit.errors import CalibrationError, InvalidArgumentError, RecipeError
from whit.ir import Graph, verify
from whit.optimize.base import clone

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(4, 4))
SAMPLES = (RNG.normal(0.3, 1, size=(60, 6, 6, 4)) @ MIX).astype(np.float32)
LAYERS = ["first", "depthwise", "second", "third", "classifier"]


def network() -> Graph:
    b = Builder(1)
    relu = {"clamp_min": 0.0, "clamp_max": INF}
    a = b.conv(b.input("x", 1, 6, 6, 4), 16, name="first", **relu)
    d = b.conv(a, 16, name="depthwise", group=16, **relu)
    c = b.conv(d, 16, 1, name="second", residual=a)
    e = b.conv(c, 12, name="third", **relu)
    m = b.node("reduce_mean", [e], (1, 12), "mean", axes=[1, 2], keepdims=0)
    return b.finish(b.gemm(m, 6, "classifier"))


def data_of(graph: Graph, samples: np.ndarray = SAMPLES[:40]) -> Dataset:
    return open_data(samples, [graph.tensors["x"]])


def coarse(name: str, weights: np.ndarray, moments: Moments) -> np.ndarray:
    return round_compensated(weights, moments.hessian, find_linear_grid(weights, bits=3, method="mse")).weights


def sparse(name: str, weights: np.ndarray, moments: Moments) -> np.ndarray:
    return prune_compensated(weights, moments.hessian, sparsity=0.4).weights


def noise(graph: Graph, other: Graph) -> float:
    """On samples that nothing has seen, over the variance of the outputs."""
    found = [
        np.concatenate([reference.run(each, {"x": sample[None]})["classifier"] for sample in SAMPLES[40:]])
        for each in (graph, other)
    ]
    return float(np.square(found[1] - found[0].astype(np.float64)).mean() / found[0].var(axis=0).mean())


@pytest.mark.parametrize("change", [coarse, sparse])
def test_the_model_ends_up_nearer_than_with_each_layer_alone(change) -> None:
    graph = network()
    data = data_of(graph)
    found = rework_layers(graph, LAYERS, data, change, positions=36, runner=ReferenceRunner)
    verify(found)
    moments = observe_moments(graph, LAYERS, data, runner=ReferenceRunner)
    alone = clone(graph)
    for node in alone.nodes:
        if node.name in moments:
            weights, bias = graph.constant(node.inputs[1]), graph.constant(node.inputs[2])
            changed = change(node.name, weights, moments[node.name])
            shift = moments[node.name].mean_output(weights - changed)
            node.inputs[1] = alone.add_constant("changed", changed)
            node.inputs[2] = alone.add_constant("bias", (bias + shift).astype(np.float32))
    assert noise(graph, found) < 0.95 * noise(graph, alone)
    if change is sparse:
        for node in found.nodes:
            if node.name in LAYERS:
                assert (found.constant(node.inputs[1]) == 0).mean() > 0.3


@pytest.mark.parametrize("layer", ["depthwise", "third", "classifier"])
def test_targets_are_least_squares_and_biases_keep_the_mean(layer: str) -> None:
    graph = network()
    changed = clone(graph)
    weights = changed.constant("first_w")
    changed.tensors["first_w"].data = (weights + RNG.normal(0, 0.1, weights.shape)).astype(np.float32)
    node = next(node for node in changed.nodes if node.name == layer)
    data = data_of(graph)
    pair = observe_pair(graph, changed, node, data, positions=10_000, runner=ReferenceRunner)
    x, z = (
        np.concatenate(
            [columns_of(of, node, reference.run(of, feeds, [node.inputs[0]])[node.inputs[0]]) for feeds in data], axis=1
        ).astype(np.float64)
        for of in (graph, changed)
    )
    given = graph.constant(node.inputs[1])
    target = pair.target(given, damping=0.0)
    shift = pair.shift(given, target)
    rows, got = (each.reshape(len(x), -1, x.shape[2]).astype(np.float64) for each in (given, target))
    for group in range(len(x)):
        wanted = x[group] @ rows[group].T
        columns = np.column_stack([z[group], np.ones(z.shape[1])])
        best = columns @ np.linalg.lstsq(columns, wanted, rcond=None)[0] - wanted
        found = z[group] @ got[group].T + shift.reshape(len(x), -1)[group] - wanted
        np.testing.assert_allclose(np.square(found).sum(), np.square(best).sum(), rtol=1e-2)
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    # much damping leaves the weights as they are
    np.testing.assert_allclose(pair.target(given, damping=10.0), given, atol=0.1)


@pytest.mark.parametrize("positions", [10_000, 20])
def test_targets_make_up_for_residuals(positions: int) -> None:
    """The best of all weights for what is missing of the sums, the residual's part of it as well."""
    graph = network()
    changed = clone(graph)
    weights = changed.constant("first_w")
    changed.tensors["first_w"].data = (weights + RNG.normal(0, 0.2, weights.shape)).astype(np.float32)
    node = next(node for node in changed.nodes if node.name == "second")
    data = data_of(graph)
    given = graph.constant(node.inputs[1])
    errors = {}
    for residuals in (False, True):
        pair = observe_pair(
            graph, changed, node, data, positions=positions, residuals=residuals, runner=ReferenceRunner
        )
        found = clone(changed)
        found.tensors["second_w"].data = pair.target(given, damping=0.0)
        shift = pair.shift(given, found.constant("second_w"))
        found.tensors["second_b"].data = (found.constant("second_b") + shift).astype(np.float32)
        pairs = [[reference.run(each, feeds, ["second"])["second"] for feeds in data] for each in (graph, found)]
        difference = np.concatenate(pairs[1]).astype(np.float64) - np.concatenate(pairs[0])
        errors[residuals] = float(np.square(difference).mean())
        if residuals and positions > 36:
            np.testing.assert_allclose(difference.mean(axis=(0, 1, 2)), 0, atol=1e-5)
            z = np.concatenate([reference.run(changed, feeds, ["depthwise"])["depthwise"] for feeds in data])
            slope = np.einsum("nhwo,nhwk->ok", difference, z.astype(np.float64)) / difference[..., 0].size
            np.testing.assert_allclose(slope, 0, atol=1e-4)  # nothing that z could explain is left
    assert errors[True] < 0.9 * errors[False]


def test_nothing_changed_changes_nothing() -> None:
    graph = network()
    found = rework_layers(graph, LAYERS, data_of(graph), lambda name, weights, moments: weights, runner=ReferenceRunner)
    assert noise(graph, found) < 1e-8
    assert [node.name for node in found.nodes] == [node.name for node in graph.nodes]


def test_bad_input() -> None:
    graph = network()
    data = data_of(graph)
    for layers, change, damping, error, text in (
        (["fourth"], coarse, 0.1, InvalidArgumentError, "'fourth'"),
        (["mean"], coarse, 0.1, InvalidArgumentError, "'mean'"),
        (["first"], lambda *_: np.zeros(3, np.float32), 0.1, InvalidArgumentError, "'first'"),
        (["first"], coarse, -1.0, RecipeError, "damping"),
    ):
        with pytest.raises(error, match=text):
            rework_layers(graph, layers, data, change, damping=damping, runner=ReferenceRunner)
    graph.tensors["first_b"].data = np.full(16, np.nan, np.float32)
    with pytest.raises(CalibrationError, match="'third'"):
        rework_layers(graph, ["third"], data, coarse, runner=ReferenceRunner)
