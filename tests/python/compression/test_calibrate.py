"""Statistics of tensors against numpy on all values at once."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import Builder, ReferenceRunner, photos, small_network

from whit.compression.calibrate import Statistics, collect
from whit.data import open_data
from whit.errors import CalibrationError
from whit.ir import Tensor


def observe(parts: list[np.ndarray], bins: int = 1024) -> Statistics:
    statistics = Statistics()
    for part in parts:
        statistics.see_extremes(part)
    for part in parts:
        statistics.see_values(part, bins)
    return statistics


def test_few_values_are_kept() -> None:
    parts = [np.random.default_rng(i).normal(size=(2, 5, 7)).astype(np.float32) for i in range(3)]
    distribution = observe(parts).distribution
    values, counts = np.unique(np.concatenate([part.ravel() for part in parts]), return_counts=True)
    np.testing.assert_array_equal(distribution.values, values)
    np.testing.assert_array_equal(distribution.counts, counts)
    assert (distribution.minimum, distribution.maximum) == (values[0], values[-1])


def test_many_values_fill_a_histogram() -> None:
    parts = [np.random.default_rng(i).normal(size=(1, 100, 200)).astype(np.float32) for i in range(3)]
    statistics = observe(parts)
    everything = np.concatenate([part.ravel() for part in parts])
    wanted, edges = np.histogram(everything.astype(np.float64), 1024)
    distribution = statistics.distribution
    assert distribution.counts.sum() == everything.size
    # values on an edge may fall to either side
    assert np.abs(distribution.counts - wanted).max() <= 3
    centres = (edges[1:] + edges[:-1]) / 2
    far_from_zero = np.abs(centres) > edges[1] - edges[0]
    np.testing.assert_allclose(distribution.values[far_from_zero], centres[far_from_zero], rtol=1e-6)
    assert 0.0 in distribution.values


def test_constant_tensors() -> None:
    statistics = observe([np.full((1, 200, 200), 3, np.float32)])
    assert (statistics.minimum, statistics.maximum) == (3, 3)
    assert statistics.distribution.counts.sum() == 40000


def test_channel_means() -> None:
    parts = [np.random.default_rng(i).normal(i, 1, (1, 3 + i, 4, 6)).astype(np.float32) for i in range(3)]
    wanted = np.concatenate([part.reshape(-1, 6) for part in parts]).astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(observe(parts).channel_mean, wanted, rtol=1e-12)
    changing = [np.ones((2, 3), np.float32), np.full((1, 5), 3, np.float32)]
    np.testing.assert_allclose(observe(changing).channel_mean, [21 / 11])


def test_collect_sees_inputs_outputs_and_what_lies_between() -> None:
    graph = small_network()
    data = open_data(photos(), [graph.tensors["image"]])
    names = ["image", "stem", "probabilities"]
    seen: list[tuple[str, int, int | None]] = []
    statistics = collect(graph, names, data, bins=256, runner=ReferenceRunner, callback=lambda *step: seen.append(step))
    runs = [ReferenceRunner(graph, ["stem"]).run(feeds) | feeds for feeds in data]
    for name in names:
        values = np.stack([run[name] for run in runs])
        assert statistics[name].count == values.size
        assert statistics[name].minimum == values.min()
        assert statistics[name].maximum == values.max()
    assert seen[-1] == ("calibrate: histograms", 8, 8)


def test_order_of_samples_does_not_matter() -> None:
    graph = small_network()
    info = [graph.tensors["image"]]
    found = [
        collect(graph, ["stem"], open_data(samples, info), bins=256, runner=ReferenceRunner)["stem"]
        for samples in (photos(20), photos(20)[::-1])
    ]
    assert found[0].count > 1 << 14
    np.testing.assert_array_equal(found[0].distribution.counts, found[1].distribution.counts)
    np.testing.assert_allclose(found[0].channel_mean, found[1].channel_mean, rtol=1e-12)


def test_infinity_inside_the_model_is_named() -> None:
    b = Builder()
    x = b.input("x", "N", 2)
    graph = b.finish(b.node("reciprocal", [x], ("N", 2), "inverse"))
    data = open_data(np.array([[1, 2], [1, 0]], np.float32), [graph.tensors["x"]])
    with pytest.raises(CalibrationError, match="sample 1: tensor 'inverse' becomes NaN or infinite"):
        collect(graph, ["inverse"], data, bins=None, runner=ReferenceRunner)


def test_tensor_that_is_always_empty() -> None:
    b = Builder()
    x = b.input("x", "N", 4)
    graph = b.finish(b.node("slice", [x], ("N", 0), "none", starts=[0], ends=[0], axes=[1], steps=[1]))
    data = open_data(np.ones((2, 4), np.float32), [Tensor("x", "f32", ("N", 4))])
    with pytest.raises(CalibrationError, match="'none' is empty on all 2 samples"):
        collect(graph, ["none"], data, bins=None, runner=ReferenceRunner)
