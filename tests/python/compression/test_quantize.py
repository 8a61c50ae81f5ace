"""The int8 rewrite on small graphs, run by the numpy reference before and after folding."""

from __future__ import annotations

import fnmatch
from dataclasses import replace

import numpy as np
import pytest
from small_graphs import INF, RELU, Builder, ReferenceRunner, photos, small_network

import reference
from whit.compression.calibrate import observe_histograms, observe_ranges
from whit.compression.error import Difference, Partner, counterpart
from whit.compression.plan import PRODUCTS, Plan, make_plan, observed
from whit.compression.quantize import quantize, quantize_weights
from whit.compression.steps import Calibration, Quantize
from whit.compression.steps.quantize import round_to_nearest
from whit.data import Dataset, open_data
from whit.ir import Graph, verify
from whit.optimize import optimize
from whit.optimize.base import clone

INT8 = Quantize()


def wrap(graph: Graph, data: Dataset, step: Quantize = INT8) -> tuple[Graph, Plan]:
    """An optimised f32 graph -> the same wrapped in conversions, not folded."""
    graph = clone(graph)
    plan = make_plan(graph, step)
    names = [*observed(graph, plan), *(node.inputs[0] for node in graph.nodes if node.op in PRODUCTS)]
    statistics = observe_ranges(graph, names, data, runner=ReferenceRunner)
    observe_histograms(graph, statistics, data, bins=4096, runner=ReferenceRunner)
    quantize(graph, plan, statistics, step, round_to_nearest)
    verify(graph)
    return graph, plan


def snr(reference_graph: Graph, other: Graph, data: Dataset, name: str) -> float:
    partner = counterpart(name, [*other.outputs, *(output for node in other.nodes for output in node.outputs)])
    assert partner is not None
    difference = Difference()
    for feeds in data:
        found = other.tensors[partner].quantization
        got = reference.run(other, feeds, [partner])[partner]
        described = None if found is None else {"scale": found.scale, "zero_point": found.zero_point}
        difference.add(reference.run(reference_graph, feeds, [name])[name], Partner(partner, described).real(got))
    return difference.snr_db


@pytest.fixture(scope="module")
def network() -> tuple[Graph, Dataset]:
    graph = optimize(small_network())
    return graph, open_data(photos(), [graph.tensors["image"]])


def test_everything_between_input_and_classifier_is_s8(network) -> None:
    graph, data = network
    folded = optimize(wrap(graph, data)[0])
    kinds = {node.name: folded.tensors[node.inputs[0]].dtype for node in folded.nodes}
    for node in graph.nodes:
        if node.op not in ("softmax", "transpose"):
            assert kinds[node.name] == "s8", node.name
    assert folded.nodes[0].attributes["perm"] == [0, 2, 3, 1], "quantising does what the transpose did"
    assert [node.op for node in folded.nodes].count("quantize_linear") == 1
    assert "dequantize_linear" not in [node.op for node in folded.nodes]
    classifier = next(node for node in folded.nodes if node.name == "classifier")
    assert folded.tensors[classifier.outputs[0]].dtype == "f32"
    assert (folded.inputs, folded.outputs) == (graph.inputs, graph.outputs)
    assert folded.tensors["image"].dtype == folded.tensors["probabilities"].dtype == "f32"


def test_every_tensor_is_close_and_found_by_name(network) -> None:
    graph, data = network
    folded = optimize(wrap(graph, data)[0])
    for node in graph.nodes:
        assert snr(graph, folded, data, node.outputs[0]) > 25, node.name


def test_folding_changes_at_most_roundings(network) -> None:
    """The wrapped graph computes in f32 between conversions, the folded one in integers."""
    graph, data = network
    wrapped = wrap(graph, data)[0]
    folded = optimize(wrapped)
    for feeds in data.take(3):
        a, b = (reference.run(each, feeds)["probabilities"] for each in (wrapped, folded))
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_sharing_operators_share(network) -> None:
    graph, data = network
    wrapped, plan = wrap(graph, data)
    for group in (["image", "nhwc"], ["excite", "swish", "join", "pool"]):
        assert len({plan.groups[name] for name in group}) == 1
    join = wrapped.tensors["join"].quantization
    for name in ("excite", "swish", "pool"):
        own = wrapped.tensors[name].quantization
        assert own is not None
        assert join is not None
        np.testing.assert_array_equal(own.scale, join.scale)
        np.testing.assert_array_equal(own.zero_point, join.zero_point)
    # residual inputs keep scales of their own
    assert plan.groups["stem"] != plan.groups["project"]
    assert plan.sources[plan.groups["join"]] == ["excite", "swish"]


def test_weights_and_biases(network) -> None:
    graph, data = network
    wrapped = wrap(graph, data, replace(INT8, bias_correction=False))[0]
    weights, bias = wrapped.tensors["stem_w_s8"], wrapped.tensors["stem_b_s32"]
    f32 = graph.tensors["stem_w"].data
    assert weights.quantization is not None
    assert bias.quantization is not None
    assert weights.quantization.axis == 0
    assert not weights.quantization.zero_point.any()
    wanted = np.abs(f32.reshape(16, -1)).max(axis=1).astype(np.float64) / 127
    np.testing.assert_allclose(weights.quantization.scale, wanted, rtol=1e-6)
    scale = weights.quantization.scale.astype(np.float64)
    steps = np.rint(f32 / scale[:, None, None, None])
    np.testing.assert_array_equal(weights.data, np.clip(steps, -127, 127))
    image = wrapped.tensors["image_s8"].quantization
    assert image is not None
    bias_scale = scale * image.scale[0]
    np.testing.assert_allclose(bias.quantization.scale, bias_scale, rtol=1e-6)
    np.testing.assert_allclose(bias.data, graph.tensors["stem_b"].data / bias_scale, atol=0.6)


def test_relu6_range_stays_inside_the_clamp(network) -> None:
    graph, data = network
    quantization = wrap(graph, data, replace(INT8, calibration=Calibration("minmax")))[0].tensors["stem"].quantization
    assert quantization is not None
    assert quantization.zero_point[0] == -128
    assert quantization.scale[0] * 255 <= 6 * (1 + 1e-6)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_methods(network, method: str) -> None:
    graph, data = network
    folded = optimize(wrap(graph, data, replace(INT8, calibration=Calibration(method)))[0])
    assert snr(graph, folded, data, "classifier") > 20


def test_bias_correction_restores_the_mean() -> None:
    """Coarse weights shift a layer's mean output; the correction takes most of the shift back."""
    shifts = {}
    for correct in (False, True):
        b = Builder(11)
        x = b.input("x", 1, 6, 6, 4)
        y = b.conv(x, 8, 1, name="first", **RELU)
        graph = b.finish(b.conv(y, 8, 1, name="second"))
        # one large weight per channel leaves few steps for the others
        weights = graph.tensors["second_w"].data
        weights[..., 0] = 60.0
        graph.tensors["second_w"].data = weights
        data = open_data(np.random.default_rng(3).normal(1, 1, (16, 6, 6, 4)).astype(np.float32), [graph.tensors["x"]])
        folded = optimize(wrap(graph, data, replace(INT8, bias_correction=correct))[0])
        error = np.concatenate(
            [reference.run(folded, feeds)["second"] - reference.run(graph, feeds)["second"] for feeds in data]
        )
        shifts[correct] = np.abs(error.mean(axis=(0, 1, 2))).mean()
    assert shifts[True] < 0.5 * shifts[False]


@pytest.mark.parametrize("pattern", ["depthwise", "depth*"])
def test_keep_f32(network, pattern: str) -> None:
    graph, data = network
    wrapped, plan = wrap(graph, data, replace(INT8, skip=(pattern,)))
    assert plan.reasons["depthwise"] == "left alone by the recipe"
    folded = optimize(wrapped)
    kinds = {node.name: folded.tensors[node.inputs[0]].dtype for node in folded.nodes}
    assert kinds["depthwise"] == "f32"
    assert kinds["stem"] == kinds["project"] == "s8"
    assert snr(graph, folded, data, "classifier") > 20


def test_f32_operators_in_between() -> None:
    """What has no s8 form, or has no s8 neighbour, stays f32 and says why."""
    b = Builder(2)
    x = b.input("x", 1, 4, 8)
    y = b.gemm(x, 8, "query")
    n = b.node("layer_normalization", [y, b.constant("s", np.ones(8))], (1, 4, 8), "norm", axis=-1, epsilon=1e-5)
    a = b.node("add", [n, b.constant("position", np.random.default_rng(1).normal(size=(4, 8)))], (1, 4, 8), "shifted")
    z = b.gemm(a, 8, "value")
    graph = b.finish(b.node("sigmoid", [z], (1, 4, 8), "out"))
    data = open_data(np.random.default_rng(0).normal(size=(6, 4, 8)).astype(np.float32), [graph.tensors["x"]])
    wrapped, plan = wrap(graph, data)
    assert plan.reasons == {
        "norm": "layer_normalization has no s8 kernel",
        "shifted": "nothing before it is s8",
        "out": "no product in s8 follows",
    }
    assert snr(graph, optimize(wrapped), data, "out") > 25


def test_output_that_is_used_inside_too() -> None:
    b = Builder(4)
    x = b.input("x", 1, 6, 6, 4)
    y = b.conv(x, 8, name="features", **RELU)
    p = b.node(
        "max_pool",
        [y],
        (1, 3, 3, 8),
        "pooled",
        kernel_shape=[2, 2],
        strides=[2, 2],
        dilations=[1, 1],
        pads=[0] * 4,
        ceil_mode=0,
    )
    graph = b.finish("features", "pooled", b.conv(p, 4, name="head"))
    data = open_data(np.random.default_rng(0).normal(size=(6, 6, 6, 4)).astype(np.float32), [graph.tensors["x"]])
    folded = optimize(wrap(graph, data)[0])
    for name in graph.outputs:
        assert folded.tensors[name].dtype == "f32"
        assert snr(graph, folded, data, name) > 30


def test_residual_at_the_end_and_input_used_twice() -> None:
    b = Builder(5)
    x = b.input("x", 1, 6, 6, 4)
    y = b.conv(x, 4, name="first")
    graph = b.finish(b.conv(y, 4, name="last", residual=x))
    data = open_data(np.random.default_rng(0).normal(size=(6, 6, 6, 4)).astype(np.float32), [graph.tensors["x"]])
    folded = optimize(wrap(graph, data)[0])
    assert [node.op for node in folded.nodes] == ["quantize_linear", "conv", "conv", "dequantize_linear"]
    assert snr(graph, folded, data, "last") > 30


def test_constant_operands_and_pads() -> None:
    b = Builder(6)
    x = b.input("x", 1, 6, 6, 4)
    m = b.node("mul", [x, b.constant("half", 0.5)], (1, 6, 6, 4), "scaled")
    s = b.node("sub", [m, b.constant("mean", [0.1, 0.2, 0.3, 0.4])], (1, 6, 6, 4), "centred")
    p = b.node("pad", [s], (1, 8, 8, 4), "padded", mode="constant", pads=[0, 1, 1, 0, 0, 1, 1, 0], value=-9.0)
    y = b.conv(p, 8, name="first")
    e = b.node("concat", [y, b.constant("plane", np.full((1, 8, 8, 1), 0.7))], (1, 8, 8, 9), "joined", axis=3)
    graph = b.finish(b.conv(e, 4, name="last"))
    data = open_data(np.random.default_rng(0).normal(size=(6, 6, 6, 4)).astype(np.float32), [graph.tensors["x"]])
    wrapped, plan = wrap(graph, data)
    assert plan.reasons == {}
    low = wrapped.tensors["padded"].quantization
    assert low is not None
    assert (-128 - low.zero_point[0]) * low.scale[0] <= -9 + low.scale[0]
    folded = optimize(wrapped)
    assert {folded.tensors[node.inputs[0]].dtype for node in folded.nodes if node.op != "quantize_linear"} == {"s8"}
    assert snr(graph, folded, data, "last") > 25


def test_constant_operands_that_are_not_finite_stay() -> None:
    b = Builder(6)
    y = b.conv(b.input("x", 1, 2, 2, 4), 4, 1, name="first")
    m = b.node("mul", [y, b.constant("factor", [1, INF, 1, 1])], (1, 2, 2, 4), "scaled")
    graph = b.finish(b.conv(m, 4, 1, name="last"))
    assert make_plan(graph, INT8).reasons == {"scaled": "a constant operand is not finite"}


def test_no_activation_is_quantised_without_a_product() -> None:
    b = Builder(6)
    x = b.input("x", 1, 4)
    graph = b.finish(b.node("clip", [x], (1, 4), "y", clamp_min=0.0, clamp_max=1.0))
    plan = make_plan(graph, INT8)
    assert not plan.nodes
    assert not plan.groups


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda g: g.tensors["first_w"].data.__setitem__((0, 0, 0, 0), np.nan), "not finite"),
        (lambda g: g.tensors["first_b"].data.__setitem__(0, np.inf), "not finite"),
        (lambda g: g.nodes[0].inputs.__setitem__(1, "x"), "computed"),
    ],
)
def test_products_that_cannot(change, says: str) -> None:
    b = Builder(6)
    graph = b.finish(b.conv(b.input("x", 1, 4, 4, 4), 4, name="first"))
    change(graph)
    assert says in make_plan(graph, INT8).reasons["first"]


def test_dynamic_sizes_and_gemm_with_leading_axes() -> None:
    b = Builder(8)
    x = b.input("x", "N", "T", 6)
    y = b.gemm(x, 12, "up", **RELU)
    graph = b.finish(b.gemm(y, 3, "down"))
    samples = [np.random.default_rng(i).normal(size=(1, 2 + i, 6)).astype(np.float32) for i in range(5)]
    data = open_data(samples, [graph.tensors["x"]])
    assert snr(graph, optimize(wrap(graph, data)[0]), data, "down") > 25


def test_conv_transpose_groups_and_shared_weights() -> None:
    b = Builder(9)
    x = b.input("x", 1, 4, 4, 4)
    y = b.conv(x, 4, name="grouped", group=2)
    w = b.constant("up_w", b.rng.normal(0, 0.4, (4, 2, 2, 4)))
    attributes = {"strides": [2, 2], "dilations": [1, 1], "pads": [0] * 4, "output_padding": [0, 0], "group": 1}
    u = b.node("conv_transpose", [y, w, b.constant("up_b", np.ones(4))], (1, 8, 8, 4), "up", **attributes)
    v = b.node("conv_transpose", [u, w], (1, 16, 16, 4), "again", **attributes)
    graph = b.finish(b.conv(v, 2, 1, name="last"))
    data = open_data(np.random.default_rng(0).normal(1, 1, (6, 4, 4, 4)).astype(np.float32), [graph.tensors["x"]])
    wrapped = wrap(graph, data)[0]
    assert (
        sum(fnmatch.fnmatch(name, "up_w_s8*") and wrapped.tensors[name].dtype == "s8" for name in wrapped.tensors) == 1
    )
    folded = optimize(wrapped)
    assert {folded.tensors[node.inputs[0]].dtype for node in folded.nodes if node.op in PRODUCTS} == {"s8"}
    assert snr(graph, folded, data, "last") > 25


def test_weights_alone(network) -> None:
    graph, data = network
    result = clone(graph)
    reasons = quantize_weights(
        result, Quantize(activations="f32", min_weight_elements=100, skip=("swish",)), round_to_nearest
    )
    verify(result)
    assert result.tensors["stem_w_s8"].dtype == "s8"
    assert "swish_w_s8" not in result.tensors
    assert reasons["swish"] == "left alone by the recipe"
    assert "64 weights are fewer than 100" in reasons["reduce"]
    assert snr(graph, optimize(result), data, "classifier") > 35
