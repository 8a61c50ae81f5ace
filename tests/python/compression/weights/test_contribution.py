"""What a channel contributes is what cannot be made up for, and the fit makes up for the rest."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import RELU, Builder, ReferenceRunner

import reference
from whit.compression.weights.channels import contribution_scores, remove_channels, weight_scores
from whit.compression.weights.contribution import channel_costs, refit
from whit.compression.weights.covariance import Moments, observe_moments, shrink
from whit.data import open_data
from whit.errors import InvalidArgumentError, ShapeError
from whit.ir import Graph

SAMPLES = np.random.default_rng(0).normal(0.3, 1, size=(40, 6, 6, 3)).astype(np.float32)


def moments_of_random(columns: int, count: int = 400) -> tuple[Moments, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(0.5, 1, (count, columns)) @ (np.eye(columns) + rng.normal(0, 0.5, (columns, columns)))
    return Moments((x.T @ x / count)[None], x.mean(axis=0)[None], count), x


def network() -> Graph:
    b = Builder(1)
    a = b.conv(b.input("x", 1, 6, 6, 3), 12, name="first", **RELU)
    d = b.conv(a, 12, name="depthwise", group=12, **RELU)
    c = b.conv(d, 8, name="middle", **RELU)
    m = b.node("reduce_mean", [c], (1, 8), "mean", axes=[1, 2], keepdims=0)
    return b.finish(b.conv(c, 4, 1, name="last"), b.gemm(m, 5, "classifier"))


def observed(graph: Graph) -> dict[str, Moments]:
    names = [node.name for node in graph.nodes if node.op in ("conv", "gemm") and node.name != "depthwise"]
    return observe_moments(graph, names, open_data(SAMPLES, [graph.tensors["x"]]), runner=ReferenceRunner)


def outputs(graph: Graph) -> dict[str, np.ndarray]:
    found = [reference.run(graph, {"x": sample[None]}) for sample in SAMPLES]
    return {name: np.concatenate([each[name] for each in found]).astype(np.float64) for name in graph.outputs}


@pytest.mark.parametrize("kernel", [(), (1, 1), (3, 2)])
def test_costs_are_what_the_best_fit_leaves(kernel: tuple[int, ...]) -> None:
    inputs = 5
    w = np.random.default_rng(2).normal(size=(7, *kernel, inputs)).astype(np.float32)
    rows = w.reshape(7, -1).astype(np.float64)
    moments, _ = moments_of_random(rows.shape[1])
    covariance = shrink(moments.covariance(), moments.count)[0]
    covariance += 1e-3 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    total = np.einsum("ok,kl,ol->", rows, covariance, rows)
    found = channel_costs(w, moments, "layer")
    assert found.shape == (inputs,)
    for channel in range(inputs):
        stays = np.arange(inputs) != channel
        fitted, _ = refit(w, moments, stays, "layer")
        full = np.zeros_like(w, dtype=np.float64)
        full[..., stays] = fitted
        change = full.reshape(7, -1) - rows
        assert np.einsum("ok,kl,ol->", change, covariance, change) / total == pytest.approx(found[channel], rel=1e-4)


def test_refit_is_least_squares_with_a_free_bias() -> None:
    moments, x = moments_of_random(12, 50_000)
    w = np.random.default_rng(3).normal(size=(4, 12)).astype(np.float32)
    stays = np.arange(12) % 3 != 0
    fitted, shift = refit(w, moments, stays, "layer")
    columns, targets = np.column_stack([x[:, stays], np.ones(len(x))]), x @ w.T.astype(np.float64)
    best = columns @ np.linalg.lstsq(columns, targets, rcond=None)[0] - targets
    found = x[:, stays] @ fitted.T.astype(np.float64) + shift - targets
    assert np.square(found).sum() <= np.square(best).sum() * 1.02
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)


def test_removal_with_a_fit_keeps_more_than_without() -> None:
    graph = network()
    moments = observed(graph)
    wanted = outputs(graph)

    def noise(of: Graph) -> float:
        got = outputs(of)
        return sum(np.square(got[name] - values).sum() / values.var() / values.size for name, values in wanted.items())

    scores = contribution_scores(graph, moments)
    assert set(scores) == {"first", "middle", "last", "classifier"}
    assert not scores["last"].any()  # nobody reads the outputs
    fitted = noise(remove_channels(graph, scores, share=0.34, moments=moments).graph)
    assert fitted < 0.6 * noise(remove_channels(graph, scores, share=0.34).graph)
    assert fitted < 0.9 * noise(remove_channels(graph, weight_scores(graph), share=0.34, moments=moments).graph)


def test_a_channel_that_others_repeat_is_free() -> None:
    """first[7] = 2 first[3], through relu and a depthwise convolution without bias: either can go."""
    graph = network()
    for name in ("first_w", "first_b", "depthwise_w", "depthwise_b"):
        data = graph.constant(name).copy()
        data[7] = data[3] * (2 if name.startswith("first") else 1)
        if name == "depthwise_b":
            data[:] = 0
        graph.tensors[name].data = data
    moments = observed(graph)
    scores = contribution_scores(graph, moments)
    assert set(np.argsort(scores["first"])[:2]) == {3, 7}
    assert scores["first"][3] < 0.2 * np.sort(scores["first"])[2]
    found = remove_channels(graph, {"first": scores["first"]}, share=1 / 12 + 1e-9, moments=moments)
    assert found.removed["first"] in ([3], [7])
    for name, values in outputs(graph).items():
        got = outputs(found.graph)[name]
        assert np.square(got - values).mean() < 1e-3 * values.var()


def test_bad_moments_name_the_layer() -> None:
    graph = network()
    moments = observed(graph)
    without = {name: each for name, each in moments.items() if name != "middle"}
    with pytest.raises(InvalidArgumentError, match="'middle'"):
        contribution_scores(graph, without)
    wrong = moments | {"middle": moments["last"]}
    with pytest.raises(ShapeError, match="'middle'"):
        contribution_scores(graph, wrong)
    with pytest.raises(ShapeError, match="'middle'"):
        remove_channels(graph, weight_scores(graph), moments=wrong)
