"""Low-rank layers: their error is the tail of the spectrum, and full rank is the layer itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import INF, Builder, ReferenceRunner

import reference
from whit.compression.calibrate import engine_runner
from whit.compression.weights.covariance import Moments, observe_moments
from whit.compression.weights.factors import forms_of
from whit.compression.weights.low_rank import factorize
from whit.data import open_data
from whit.errors import InvalidArgumentError, RecipeError, ShapeError
from whit.ir import Graph, verify

SAMPLES = np.random.default_rng(0).normal(0.3, 1, size=(8, 9, 11, 6)).astype(np.float32)


def conv_graph(kernel: tuple[int, int] = (3, 3), channels: int = 12, residual: bool = False, **changes: Any) -> Graph:
    b = Builder(4)
    x = b.input("x", 1, 9, 11, 6)
    w = b.constant("conv_w", b.rng.normal(0, 0.2, (channels, *kernel, 6)))
    attributes = {"strides": [1, 1], "dilations": [1, 1], "pads": [kernel[0] // 2, kernel[1] // 2] * 2, "group": 1}
    attributes |= {"clamp_min": 0.0, "clamp_max": INF} | changes
    spans = [(size - 1) * d + 1 for size, d in zip(kernel, attributes["dilations"], strict=True)]
    pads, strides = attributes["pads"], attributes["strides"]
    out = [(size + pads[a] + pads[a + 2] - spans[a]) // strides[a] + 1 for a, size in enumerate((9, 11))]
    inputs = [x, w, b.constant("conv_b", b.rng.normal(0, 0.1, channels))]
    if residual:
        side = b.node(
            "conv",
            [x, b.constant("side_w", b.rng.normal(size=(channels, 1, 1, 6)))],
            (1, *out, channels),
            "side",
            strides=strides,
            dilations=[1, 1],
            pads=[0, 0, 0, 0],
            group=1,
        )
        inputs.append(side)
    graph = b.finish(b.node("conv", inputs, (1, *out, channels), "conv", **attributes))
    verify(graph)
    return graph


def gemm_graph(n: int = 30, k: int = 40) -> Graph:
    b = Builder(5)
    return b.finish(b.gemm(b.input("x", "batch", k), n, "fc", activation="hard_swish"))


def moments_of(graph: Graph, layer: str, values: np.ndarray = SAMPLES) -> Moments:
    data = open_data(values, [graph.tensors["x"]])
    return observe_moments(graph, [layer], data, runner=ReferenceRunner)[layer]


def hessian_of(columns: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(300, columns)) * np.linspace(0.1, 2, columns)
    x = x @ (np.eye(columns) + np.random.default_rng(seed + 1).normal(0, 0.3, (columns, columns)))
    return x.T @ x / len(x)


@pytest.mark.parametrize("aware", [False, True])
def test_channel_error_is_the_tail_of_the_singular_values(aware: bool) -> None:
    w = np.random.default_rng(1).normal(size=(20, 3, 3, 4)).astype(np.float32)
    hessian = hessian_of(36) if aware else None
    form = forms_of(w, hessian)[0]
    root = np.linalg.cholesky(hessian) if aware else np.eye(36)
    values = np.linalg.svd(w.reshape(20, 36) @ root, compute_uv=False)
    for rank in (1, 3, 10, 20):
        change = (form.product((rank,)) - w).reshape(20, 36)
        tail = np.square(values[rank:]).sum()
        assert np.square(change @ root).sum() == pytest.approx(tail, rel=5e-3, abs=1e-6)
        assert form.energy((rank,)) == pytest.approx(1 - tail / np.square(values).sum(), abs=1e-3)


def test_spatial_error_is_the_tail_of_its_matrix() -> None:
    w = np.random.default_rng(2).normal(size=(10, 3, 5, 4)).astype(np.float32)
    form = next(each for each in forms_of(w, None) if each.name == "spatial")
    values = np.linalg.svd(w.transpose(0, 2, 1, 3).reshape(50, 12), compute_uv=False)
    assert len(form.levels) == 12
    for rank in (1, 4, 12):
        noise = np.square(form.product((rank,)) - w).sum()
        assert noise == pytest.approx(np.square(values[rank:]).sum(), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("aware", [False, True])
def test_tucker_energy_is_what_its_core_holds(aware: bool) -> None:
    w = np.random.default_rng(3).normal(size=(10, 3, 3, 8)).astype(np.float32)
    hessian = np.kron(np.eye(9), hessian_of(8)) if aware else None
    form = next(each for each in forms_of(w, hessian) if each.name == "tucker")
    root = np.linalg.cholesky(hessian) if aware else np.eye(72)
    signal = np.square(w.reshape(10, 72) @ root).sum()
    energies = []
    for ranks in form.levels:
        noise = np.square((form.product(ranks) - w).reshape(10, 72) @ root).sum()
        assert form.energy(ranks) == pytest.approx(1 - noise / signal, abs=1e-3)
        energies.append(form.energy(ranks))
    assert energies == sorted(energies)
    assert form.levels[-1] == (10, 8)
    # a tensor of low multilinear rank is found exactly
    core, out, into = (np.random.default_rng(6).normal(size=shape) for shape in ((2, 9, 3), (10, 2), (3, 8)))
    low = np.einsum("rts,or,si->oti", core, out, into).reshape(10, 3, 3, 8).astype(np.float32)
    form = next(each for each in forms_of(low, None) if each.name == "tucker")
    np.testing.assert_allclose(form.product((2, 3)), low, atol=1e-4)


GEOMETRIES: dict[str, dict[str, Any]] = {
    "same": {},
    "strided": {"strides": [2, 3], "pads": [1, 0, 0, 2]},
    "dilated": {"dilations": [2, 1], "pads": [2, 1, 1, 1]},
    "padded": {"pad_values": [0.5, -1.0, 2.0, 0.0, 3.0, 1.0], "pads": [1, 2, 1, 1]},
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("form", ["channel", "spatial", "tucker"])
@pytest.mark.parametrize("runner", [ReferenceRunner, engine_runner], ids=["numpy", "engine"])
def test_full_rank_is_the_layer_itself(geometry: str, form: str, runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whit.compression.weights.low_rank._refusal", lambda *_: "")
    graph = conv_graph(**GEOMETRIES[geometry])
    full = {"channel": 12, "spatial": 18, "tucker": (12, 6)}[form]
    found = factorize(graph, "conv", form=form, rank=full)
    verify(found.graph)
    assert len(found.graph.nodes) == (3 if form == "tucker" else 2)
    assert found.error < 1e-10
    assert found.graph.nodes[-1].name == "conv"
    for sample in SAMPLES[:2]:
        wanted = reference.run(graph, {"x": sample[None]})["conv"]
        got = runner(found.graph, []).run({"x": sample[None]})["conv"]
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=2e-5)


def test_bias_residual_and_activation_stay_last() -> None:
    graph = conv_graph(residual=True)
    found = factorize(graph, "conv", form="channel", rank=8)
    verify(found.graph)
    assert not found.reason
    last = found.graph.nodes[-1]
    assert last.inputs[2:] == ["conv_b", "side"]
    assert last.attributes["clamp_min"] == 0
    assert "clamp_min" not in found.graph.nodes[-2].attributes
    # the output is what the product of the factors gives
    plain = conv_graph(residual=True)
    plain.tensors["conv_w"].data = forms_of(graph.constant("conv_w"), None)[0].product((8,)).astype(np.float32)
    for sample in SAMPLES[:2]:
        wanted, got = (reference.run(each, {"x": sample[None]})["conv"] for each in (plain, found.graph))
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    assert [node.op for node in graph.nodes] == ["conv", "conv"]  # the given graph is as it was


def test_gemm_and_numbers() -> None:
    graph = gemm_graph()
    found = factorize(graph, "fc", rank=5)
    verify(found.graph)
    assert (found.form, found.ranks, found.reason) == ("channel", (5,), "")
    assert (found.bytes_before, found.bytes_after) == (4 * 1200, 4 * 5 * 70)
    assert (found.macs_before, found.macs_after) == (1200, 350)
    assert found.graph.nodes[1].attributes == {"activation": "hard_swish"}
    values = np.linalg.svd(graph.constant("fc_w"), compute_uv=False)
    assert found.error == pytest.approx(np.square(values[5:]).sum() / np.square(values).sum(), rel=1e-4)


def test_multiply_adds_of_each_form() -> None:
    graph = conv_graph(channels=24, strides=[2, 2])
    out = 5 * 6
    for form, rank, wanted in (
        ("channel", 4, out * (4 * 54 + 24 * 4)),
        ("spatial", 4, 5 * 11 * 4 * 18 + out * 24 * 12),
        ("tucker", (4, 3), 99 * 18 + out * (4 * 27 + 24 * 4)),
    ):
        found = factorize(graph, "conv", form=form, rank=rank)
        assert not found.reason, found.reason
        assert found.macs_after == wanted
        assert found.macs_before == out * 24 * 54
        stored = sum(
            node_weights.size for node_weights in map(found.graph.constant, [n.inputs[1] for n in found.graph.nodes])
        )
        assert found.bytes_after == 4 * stored
        verify(found.graph)


def test_energy_and_cost_choose_the_rank() -> None:
    graph = gemm_graph(60, 60)
    weights = graph.constant("fc_w")
    squares = np.square(np.linalg.svd(weights, compute_uv=False))
    shares = np.cumsum(squares) / squares.sum()
    found = factorize(graph, "fc", energy=0.6)
    assert found.ranks == (int(np.searchsorted(shares, 0.6)) + 1,)
    found = factorize(graph, "fc", cost_share=0.5)
    assert found.ranks == (15,)  # 120 r <= 0.5 * 3600
    found = factorize(graph, "fc", cost_share=0.5, cost=lambda macs, size: macs**2)
    assert found.ranks == (21,)  # 120 r <= 0.707 * 3600


def test_auto_takes_the_form_of_least_error_at_a_cost() -> None:
    graph = conv_graph(channels=24)
    each = {form: factorize(graph, "conv", form=form, cost_share=0.6) for form in ("channel", "spatial", "tucker")}
    best = factorize(graph, "conv", cost_share=0.6)
    assert best.error == min(found.error for found in each.values())
    cheapest = factorize(graph, "conv", energy=0.7)
    costs = [factorize(graph, "conv", form=form, energy=0.7) for form in each]
    assert cheapest.macs_after + cheapest.bytes_after == min(each.macs_after + each.bytes_after for each in costs)


@pytest.mark.parametrize("form", ["channel", "spatial", "tucker"])
def test_covariance_lowers_the_error_of_the_outputs(form: str) -> None:
    rng = np.random.default_rng(7)
    mix = rng.normal(size=(6, 6)) * np.array([3, 1, 1, 0.2, 0.1, 0.05])[:, None]
    values = (SAMPLES @ mix).astype(np.float32)
    graph = conv_graph(channels=24, clamp_min=-INF)
    moments = moments_of(graph, "conv", values)
    rank: Any = (6, 3) if form == "tucker" else 5
    aware, blind = (factorize(graph, "conv", form=form, rank=rank, moments=each) for each in (moments, None))
    outputs = [
        np.concatenate([reference.run(each.graph, {"x": value[None]})["conv"] for value in values])
        for each in (aware, blind)
    ]
    wanted = np.concatenate([reference.run(graph, {"x": value[None]})["conv"] for value in values])
    noise = [np.square(found.astype(np.float64) - wanted).sum() for found in outputs]
    assert noise[0] < 0.8 * noise[1]
    signal = np.square(wanted - wanted.mean(axis=(0, 1, 2), dtype=np.float64)).sum()
    assert aware.error == pytest.approx(noise[0] / signal, rel=1e-3)
    # the bias makes up for the mean
    np.testing.assert_allclose(outputs[0].mean(axis=(0, 1, 2)), wanted.mean(axis=(0, 1, 2)), atol=1e-4)


def test_few_samples_are_not_taken_at_their_word() -> None:
    """20 samples of 40 columns: the covariance alone would say that half of the inputs never vary."""
    rng = np.random.default_rng(8)
    mix = rng.normal(size=(40, 40)) * np.append(np.full(4, 3.0), np.full(36, 0.6))[:, None]
    values = (rng.normal(size=(500, 40)) @ mix).astype(np.float32)
    graph = gemm_graph(60, 40)
    moments = moments_of(graph, "fc", values[:20])
    weights = graph.constant("fc_w").astype(np.float64)
    covariance = np.cov(values[20:].T)

    def error(product: np.ndarray) -> float:
        change = product - weights
        return float(np.einsum("ok,kl,ol->", change, covariance, change))

    found = factorize(graph, "fc", rank=20, moments=moments).graph
    product = found.constant(found.nodes[1].inputs[1]).astype(np.float64) @ found.constant(found.nodes[0].inputs[1])
    trusting = forms_of(weights.astype(np.float32), moments.covariance()[0])[0].product((20,))
    blind = forms_of(weights.astype(np.float32), None)[0].product((20,))
    assert error(product) < 0.9 * error(trusting)
    assert error(product) < 0.9 * error(blind)


def test_refusals_say_why_and_leave_the_graph() -> None:
    graph = conv_graph()
    for options, text in (
        ({"rank": 12, "form": "channel"}, "would not be smaller"),
        ({"cost_share": 0.0}, "no rank costs at most 0"),
    ):
        found = factorize(graph, "conv", **options)
        assert text in found.reason
        assert found.graph is graph
    b = Builder(1)
    x = b.input("x", 1, 9, 11, 6)
    grouped = b.finish(b.node("relu_like", [b.conv(x, 6, name="depthwise", group=6)], (1,)))
    assert "6 groups" in factorize(grouped, "depthwise", rank=1).reason
    assert "no low-rank form" in factorize(grouped, "relu_like", rank=1).reason


def test_smaller_but_not_cheaper_is_refused() -> None:
    graph = conv_graph((3, 3), channels=12, strides=[3, 3], pads=[0, 0, 0, 0])
    # 1 x 1 on all 99 pixels to save work on 9
    found = factorize(graph, "conv", form="tucker", rank=(6, 6))
    assert found.bytes_after < found.bytes_before
    assert "would not be cheaper" in found.reason
    assert found.graph is graph


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, RecipeError, "one of rank, energy and cost_share"),
        ({"rank": 2, "energy": 0.5}, RecipeError, "one of"),
        ({"rank": 0}, RecipeError, "rank"),
        ({"rank": 99}, RecipeError, "1..(12,)"),
        ({"rank": (1, 2), "form": "channel"}, RecipeError, "rank"),
        ({"energy": 2.0}, RecipeError, "energy"),
        ({"rank": 1, "form": "cp"}, RecipeError, "form"),
    ],
)
def test_bad_options_name_the_layer(options: dict, error: type, text: str) -> None:
    with pytest.raises(error) as caught:
        factorize(conv_graph(), "conv", **options)
    assert "'conv'" in str(caught.value)
    assert text in str(caught.value)


def test_bad_layers_and_moments() -> None:
    with pytest.raises(InvalidArgumentError, match="no layer 'fc9'"):
        factorize(gemm_graph(), "fc9", rank=1)
    with pytest.raises(RecipeError, match="larger kernel"):
        factorize(gemm_graph(), "fc", form="tucker", rank=1)
    with pytest.raises(ShapeError, match="'fc'"):
        factorize(gemm_graph(), "fc", rank=1, moments=Moments(np.eye(3)[None], np.zeros((1, 3)), 1))
