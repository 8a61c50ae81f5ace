"""Channels that never fire go first, and going costs nothing."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import RELU, Builder, ReferenceRunner

from whit.compression.steps import RemoveChannels, State
from whit.compression.weights.activity import activity_scores
from whit.data import Dataset, open_data
from whit.errors import CalibrationError
from whit.ir import Graph

SAMPLES = np.random.default_rng(0).normal(0.3, 1, size=(12, 6, 6, 3)).astype(np.float32)
SILENT = (1, 4, 7)


def network() -> Graph:
    """Three channels of the first layer never get past its ReLU; the second one has none."""
    b = Builder(1)
    a = b.conv(b.input("x", 1, 6, 6, 3), 8, name="first", **RELU)
    b.graph.tensors["first_b"].data[list(SILENT)] = -1e3
    c = b.conv(a, 6, 1, name="linear")
    return b.finish(b.conv(c, 4, 1, name="last", **RELU))


def data(graph: Graph, samples: np.ndarray = SAMPLES) -> Dataset:
    return open_data(samples, [graph.tensors["x"]])


def test_shares_are_counted() -> None:
    graph = network()
    scores = activity_scores(graph, data(graph), runner=ReferenceRunner)
    assert set(scores) == {"first", "last"}  # nothing cuts off what "linear" gives
    runner = ReferenceRunner(graph, ["first"])
    values = np.concatenate([runner.run({"x": sample[None]})["first"] for sample in SAMPLES])
    np.testing.assert_allclose(scores["first"], (values > 0).mean(axis=(0, 1, 2)), atol=2e-6)
    assert not scores["first"][list(SILENT)].any()


def test_channels_that_never_fire_go_for_nothing() -> None:
    graph = network()
    wanted = [ReferenceRunner(graph).run({"x": sample[None]})["last"] for sample in SAMPLES]
    state = State(network(), graph, data(graph), ReferenceRunner, lambda *_: None)
    # The last layer's channels are outputs, which stay; those of "linear" have no scores.
    RemoveChannels(share=3 / 8, criterion="activity", multiple=1).apply(state)
    weights = {node.name: state.graph.constant(node.inputs[1]) for node in state.graph.nodes}
    assert weights["first"].shape[0] == 5
    assert weights["linear"].shape == (6, 1, 1, 5)
    kept = np.delete(graph.constant("first_w"), SILENT, axis=0)
    np.testing.assert_array_equal(weights["first"], kept)
    got = [ReferenceRunner(state.graph).run({"x": sample[None]})["last"] for sample in SAMPLES]
    # The fit of the others is damped a little.
    np.testing.assert_allclose(got, wanted, atol=0.05)


def test_of_channels_that_fire_equally_often_the_weakest_goes() -> None:
    b = Builder(2)
    graph = b.finish(b.conv(b.conv(b.input("x", 1, 4, 4, 2), 3, 1, name="first", **RELU), 2, 1, name="last"))
    graph.tensors["first_w"].data[:] = np.array([[2, 2], [1, 1], [3, 3]], np.float32).reshape(3, 1, 1, 2)
    graph.tensors["first_b"].data[:] = 0
    samples = np.random.default_rng(3).normal(size=(4, 4, 4, 2)).astype(np.float32)
    scores = activity_scores(graph, data(graph, samples), runner=ReferenceRunner)["first"]
    assert list(np.argsort(scores)) == [1, 0, 2]


def test_outputs_that_are_not_finite() -> None:
    graph = network()
    graph.tensors["first_b"].data[0] = np.inf
    with pytest.raises(CalibrationError, match="sample 0: the output of layer 'first'"):
        activity_scores(graph, data(graph), runner=ReferenceRunner)
