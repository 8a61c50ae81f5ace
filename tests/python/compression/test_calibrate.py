"""Statistics of tensors against numpy on all values at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import Builder, ReferenceRunner, photos, small_network

from whit.compression.calibrate import Statistics, observe_histograms, observe_ranges
from whit.data import open_data
from whit.errors import CalibrationError
from whit.ir import Tensor


def observe(parts: list[np.ndarray], bins: int = 1024) -> Statistics:
    statistics = Statistics()
    for part in parts:
        statistics.see_range(part)
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
    np.testing.assert_allclose(observe(parts).mean, wanted, rtol=1e-6)


def test_changing_last_axis_counts_as_one_channel() -> None:
    parts = [np.ones((2, 3), np.float32), np.full((1, 5), 3, np.float32), np.full((4, 3), -2, np.float32)]
    statistics = observe(parts)
    assert statistics.count == 23
    np.testing.assert_allclose(statistics.mean, [(6 + 15 - 24) / 23])
    np.testing.assert_allclose(statistics.squares, [6 + 45 + 48])
    assert (statistics.low, statistics.high) == ([-2], [3])


def test_collect_sees_inputs_outputs_and_what_lies_between() -> None:
    graph = small_network()
    data = open_data(photos(), [graph.tensors["image"]])
    names = ["image", "stem", "probabilities"]
    seen: list[tuple[str, int, int | None]] = []
    options: dict[str, Any] = {"runner": ReferenceRunner, "callback": lambda *step: seen.append(step)}
    statistics = observe_ranges(graph, names, data, **options)
    observe_histograms(graph, statistics, data, bins=256, **options)
    runs = [ReferenceRunner(graph, ["stem"]).run(feeds) | feeds for feeds in data]
    for name in names:
        values = np.stack([run[name] for run in runs])
        found, rows = statistics[name], values.reshape(-1, values.shape[-1]).astype(np.float64)
        assert found.count == len(rows)
        assert (found.minimum, found.maximum) == (rows.min(), rows.max())
        np.testing.assert_array_equal(found.low, rows.min(axis=0))
        np.testing.assert_array_equal(found.high, rows.max(axis=0))
        np.testing.assert_allclose(found.total, rows.sum(axis=0), rtol=1e-6, atol=1e-3)
        np.testing.assert_allclose(found.squares, np.square(rows).sum(axis=0), rtol=1e-6)
        assert found.distribution.counts.sum() == values.size
    assert seen[-1] == ("calibrate: histograms", 8, 8)


def test_order_of_samples_does_not_matter() -> None:
    graph = small_network()
    info = [graph.tensors["image"]]
    found = []
    for samples in (photos(20), photos(20)[::-1]):
        data = open_data(samples, info)
        statistics = observe_ranges(graph, ["stem"], data, runner=ReferenceRunner)
        observe_histograms(graph, statistics, data, bins=256, runner=ReferenceRunner)
        found.append(statistics["stem"])
    assert found[0].bins is not None
    np.testing.assert_array_equal(found[0].bins, found[1].bins)
    np.testing.assert_allclose(found[0].mean, found[1].mean, rtol=1e-12)


def test_infinity_inside_the_model_is_named() -> None:
    b = Builder()
    x = b.input("x", "N", 2)
    graph = b.finish(b.node("reciprocal", [x], ("N", 2), "inverse"))
    data = open_data(np.array([[1, 2], [1, 0]], np.float32), [graph.tensors["x"]])
    with pytest.raises(CalibrationError, match="sample 1: tensor 'inverse' becomes NaN or infinite"):
        observe_ranges(graph, ["inverse"], data, runner=ReferenceRunner)


def test_tensor_that_is_always_empty() -> None:
    b = Builder()
    x = b.input("x", "N", 4)
    graph = b.finish(b.node("slice", [x], ("N", 0), "none", starts=[0], ends=[0], axes=[1], steps=[1]))
    data = open_data(np.ones((2, 4), np.float32), [Tensor("x", "f32", ("N", 4))])
    with pytest.raises(CalibrationError, match="'none' is empty on all 2 samples"):
        observe_ranges(graph, ["none"], data, runner=ReferenceRunner)
