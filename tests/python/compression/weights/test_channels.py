"""Channels go everywhere or nowhere, and what is left computes what it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_graphs import RELU, Builder, small_network

import reference
from whit.compression.calibrate import Statistics, engine_runner
from whit.compression.weights.channels import channel_groups, remove_channels, weight_scores
from whit.errors import InvalidArgumentError, RecipeError, ShapeError
from whit.ir import Graph, Quantization, verify


def silence(graph: Graph, units: tuple[tuple[tuple[str, int], ...], ...]) -> None:
    """Zero weights and biases for these output channels, and no biases in depthwise layers that could wake them."""
    zero: dict[str, set[int]] = {}
    for layer, channel in (pair for unit in units for pair in unit):
        zero.setdefault(layer, set()).add(channel)
    for node in graph.nodes:
        depthwise = node.attributes.get("group", 1) != 1
        for name in node.inputs[1:3] if node.name in zero else node.inputs[2:3] if depthwise else []:
            data = graph.constant(name).copy()
            data[... if depthwise else sorted(zero[node.name])] = 0
            graph.tensors[name].data = data


def with_shape(b: Builder, op: str, x: str, shape: tuple[Any, ...], name: str, wanted: list[int]) -> str:
    """A node whose attribute `shape` is `wanted`."""
    result = b.node(op, [x], shape, name)
    b.graph.nodes[-1].attributes["shape"] = list(wanted)
    return result


def feeds_of(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {
        name: [2 if isinstance(size, str) else size for size in graph.tensors[name].shape] for name in graph.inputs
    }
    return {name: rng.normal(0.3, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def check_silent_removal(graph: Graph, share: float = 0.5) -> tuple[Graph, dict[str, list[int]]]:
    """Silences the lower half of each group's units, removes them, and compares outputs.

    In double arithmetic nothing but zeros is missing from the sums, so reference outputs agree to the last rounding of
    each layer. `test_bounds_of_one_sum` holds the engine to a bound.
    """
    verify(graph)
    groups = channel_groups(graph)
    assert groups
    scores = {layer: np.zeros(0) for group in groups for layer in group.layers}
    outputs = {node.name: len(graph.constant(node.inputs[1])) for node in graph.nodes if node.name in scores}
    scores = {layer: np.ones(outputs[layer]) for layer in scores}
    for group in groups:
        count = int(share * len(group.units))
        silence(graph, group.units[:count])
        for unit in group.units[:count]:
            for layer, channel in unit:
                scores[layer][channel] = 0
    feeds = feeds_of(graph)
    wanted = reference.run(graph, feeds)
    found = remove_channels(graph, scores, share=share)
    verify(found.graph)
    assert found.removed
    assert found.bytes_after < found.bytes_before
    assert found.macs_after < found.macs_before
    got, engine = reference.run(found.graph, feeds), engine_runner(found.graph, []).run(feeds)
    for name, values in wanted.items():
        scale = max(float(np.abs(values).max()), 1.0)
        np.testing.assert_allclose(got[name], values, rtol=1e-5, atol=1e-6 * scale, err_msg=name)
        np.testing.assert_allclose(engine[name], values, rtol=1e-4, atol=1e-4 * scale, err_msg=name)
    return found.graph, found.removed


def chain() -> Graph:
    b = Builder(1)
    a = b.conv(b.input("x", 1, 6, 6, 3), 8, name="first", **RELU)
    d = b.conv(a, 8, name="depthwise", group=8, **RELU)
    return b.finish(b.conv(d, 5, 1, name="last"))


def multiplier() -> Graph:
    """A depthwise convolution with two outputs for each input, padded with something else than 0."""
    b = Builder(2)
    a = b.conv(b.input("x", 1, 6, 6, 3), 6, name="first", **RELU)
    d = b.conv(a, 12, name="depthwise", group=6, pad_values=[0.0] * 6)
    return b.finish(b.conv(d, 5, 3, name="last", pad_values=[0.0] * 12))


def residual() -> Graph:
    b = Builder(3)
    a = b.conv(b.input("x", 1, 6, 6, 3), 8, name="stem")
    m = b.conv(a, 12, 1, name="inner", **RELU)
    r = b.conv(m, 8, name="fused", residual=a)
    s = b.conv(r, 8, 1, name="side", **RELU)
    t = b.node("add", [r, s], (1, 6, 6, 8), "sum", **RELU)
    return b.finish(b.conv(t, 5, 1, name="head"))


def branches() -> Graph:
    """Concat, split, per-channel constants, prelu, a gate."""
    b = Builder(4)
    x = b.input("x", 1, 6, 6, 3)
    a, c = b.conv(x, 4, name="left"), b.conv(x, 6, name="right")
    j = b.node("concat", [a, c], (1, 6, 6, 10), "join", axis=3)
    n = b.node("mul", [j, b.constant("gain", b.rng.normal(1, 0.2, 10))], (1, 6, 6, 10), "gain_out")
    n = b.node("prelu", [n, b.constant("slope", b.rng.normal(0.2, 0.1, (1, 1, 10)))], (1, 6, 6, 10), "prelu")
    n = b.node("div", [n, b.constant("two", [2.0])], (1, 6, 6, 10), "half")
    for name, count in (("part1", 7), ("part2", 3)):
        b.graph.add_tensor(type(b.graph.tensors["x"])(name, "f32", (1, 6, 6, count)))
    from whit.ir import Node

    b.graph.nodes.append(Node("split", "split", [n], ["part1", "part2"], {"axis": 3, "sizes": [7, 3]}))
    g = b.node("reduce_mean", ["part1"], (1, 1, 1, 7), "squeeze", axes=[1, 2], keepdims=1)
    g = b.node("sigmoid", [b.conv(g, 7, 1, name="gate")], (1, 1, 1, 7), "sigmoid")
    m = b.node("mul", ["part1", g], (1, 6, 6, 7), "excite")
    return b.finish(b.conv(m, 5, 1, name="out1"), b.conv("part2", 2, 1, name="out2"))


def flattened(shape: list[int], channels_first: bool, batch: int | str = 1) -> Graph:
    b = Builder(5)
    a = b.conv(b.input("x", batch, 6, 6, 3), 8, name="first", **RELU)
    p = b.max_pool(a)
    if channels_first:
        p = b.node("transpose", [p], (batch, 8, 3, 3), "nchw", perm=[0, 3, 1, 2])
    f = with_shape(b, "reshape", p, (batch, 72), "flat", shape)
    h = b.gemm(f, 10, "hidden", **RELU)
    return b.finish(b.gemm(h, 4, "classifier"))


def shapes_and_moves() -> Graph:
    b = Builder(6)
    a = b.conv(b.input("x", 1, 6, 6, 3), 8, name="first")
    a = b.node("pad", [a], (1, 8, 8, 8), "pad", mode="constant", pads=[0, 1, 1, 0, 0, 1, 1, 0], value=0.0)
    a = b.node("slice", [a], (1, 4, 8, 8), "slice", starts=[0], ends=[8], axes=[1], steps=[2])
    a = b.node(
        "resize",
        [a],
        (1, 8, 16, 8),
        "resize",
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
        scales=[2.0, 2.0],
        sizes=[],
    )
    a = b.node(
        "average_pool",
        [a],
        (1, 4, 8, 8),
        "average",
        kernel_shape=[2, 2],
        strides=[2, 2],
        pads=[0] * 4,
        ceil_mode=0,
        count_include_pad=0,
    )
    a = b.node("reduce_max", [a], (1, 8, 8), "lines", axes=[1], keepdims=0)
    a = b.node("unsqueeze", [a], (1, 1, 8, 8), "unsqueeze", axes=[1])
    a = with_shape(b, "expand", a, (1, 3, 8, 8), "expand", [1, 3, 8, 8])
    a = b.node("gelu", [a], (1, 3, 8, 8), "gelu", approximate="none")
    return b.finish(b.gemm(a, 4, "classifier"))


def upsampling() -> Graph:
    b = Builder(7)
    a = b.conv(b.input("x", 1, 6, 6, 3), 8, name="first", **RELU)
    up = {"strides": [2, 2], "dilations": [1, 1], "pads": [0] * 4, "output_padding": [0, 0]}
    for name, group in (("up", 1), ("up_depthwise", 6)):
        c, (_, h, w, _) = b.shape(a)[-1], b.shape(a)
        weights = b.constant(f"{name}_w", b.rng.normal(0, 0.3, (6, 2, 2, c // group)))
        bias = b.constant(f"{name}_b", b.rng.normal(size=6))
        a = b.node("conv_transpose", [a, weights, bias], (1, 2 * h, 2 * w, 6), name, group=group, **up)
    return b.finish(b.conv(a, 2, 1, name="last"))


def widening() -> Graph:
    """The shortcut of small ResNets: every second pixel, and zeros for the channels that it lacks."""
    b = Builder(10)
    x = b.input("x", 1, 6, 6, 3)
    a = b.conv(x, 4, name="stem", **RELU)
    narrow = b.conv(b.conv(a, 4, name="inner1", **RELU), 4, name="outer1", residual=a, **RELU)
    s = b.node("slice", [narrow], (1, 3, 3, 4), "slice", starts=[0, 0], ends=[6, 6], axes=[1, 2], steps=[2, 2])
    s = b.node("pad", [s], (1, 3, 3, 8), "pad", mode="constant", pads=[0, 0, 0, 2, 0, 0, 0, 2], value=0.0)
    i = b.max_pool(narrow)
    wide = b.conv(i, 8, name="wide", residual=s, **RELU)
    return b.finish(b.conv(wide, 5, 1, name="head"))


GRAPHS: dict[str, tuple[Callable[[], Graph], set[str]]] = {
    "chain": (chain, {"first"}),
    "multiplier": (multiplier, {"first"}),
    "residual": (residual, {"stem", "inner", "fused", "side"}),
    "branches": (branches, {"left", "right", "gate"}),
    "flattened": (lambda: flattened([1, 72], False), {"first", "hidden"}),
    "flattened -1": (lambda: flattened([0, -1], False), {"first", "hidden"}),
    "flattened, open batch": (lambda: flattened([-1, 72], False, "batch"), {"first", "hidden"}),
    "flattened, channels first": (lambda: flattened([1, 72], True), {"first", "hidden"}),
    "shapes and moves": (shapes_and_moves, {"first"}),
    "upsampling": (upsampling, {"first", "up"}),
    "widening": (widening, {"stem", "inner1", "outer1", "wide"}),
    "network": (small_network, {"stem", "project", "reduce", "expand", "swish"}),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_silent_channels_leave_no_trace(name: str) -> None:
    make, layers = GRAPHS[name]
    graph = make()
    _, removed = check_silent_removal(graph)
    assert set(removed) == layers


def test_bounds_of_one_sum() -> None:
    """The engine's sum over half of the columns, the rest being zeros, against its sum over all.

    Each is within eps * (k + 1) * max|a| * max|b| * k of the exact one, whatever the order.
    """
    b = Builder(11)
    k = 96
    hidden = b.gemm(b.input("x", 7, 33), k, "hidden", **RELU)
    graph = b.finish(b.gemm(hidden, 11, "last"), hidden + "_twin")
    twin = b.node("gemm", ["x", "hidden_w", "hidden_b"], (7, k), "hidden_twin", **RELU)
    graph.outputs = ["last", twin]
    (group,) = channel_groups(graph)
    silence(graph, group.units[: k // 2])
    scores = {"hidden": np.arange(k, dtype=float)}
    feeds = feeds_of(graph)
    before = engine_runner(graph, []).run(feeds)
    after = engine_runner(remove_channels(graph, scores).graph, []).run(feeds)
    largest = np.abs(before[twin]).max() * np.abs(graph.constant("last_w")).max()
    bound = 2 * np.finfo(np.float32).eps * (k + 1) * k * largest
    assert np.abs(after["last"] - before["last"]).max() <= bound
    assert bound < 0.1 * np.abs(before["last"]).max()


def test_what_goes_together() -> None:
    groups = {group.layers: len(group.units) for group in channel_groups(residual())}
    assert groups == {("stem", "fused", "side"): 8, ("inner",): 12}
    _, removed = check_silent_removal(residual())
    assert removed["stem"] == removed["fused"] == removed["side"] == [0, 1, 2, 3]
    groups = {group.layers: len(group.units) for group in channel_groups(branches())}
    # the gate is tied to the first seven of the joined ten channels
    assert groups == {("left", "gate"): 4, ("right", "gate"): 3, ("right",): 3}


def test_shapes_and_attributes_follow() -> None:
    graph, _ = check_silent_removal(chain())
    depthwise = next(node for node in graph.nodes if node.name == "depthwise")
    assert depthwise.attributes["group"] == 4
    assert graph.tensors["depthwise"].shape == (1, 6, 6, 4)
    assert graph.constant(depthwise.inputs[1]).shape == (4, 3, 3, 1)
    graph, _ = check_silent_removal(branches())
    split = next(node for node in graph.nodes if node.op == "split")
    assert split.attributes["sizes"] == [4, 2]
    graph, removed = check_silent_removal(flattened([1, 72], True))
    assert next(node for node in graph.nodes if node.op == "reshape").attributes["shape"] == [1, 36]
    assert removed["first"] == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["output", "input", "softmax", "grouped", "computed weights", "shuffle", "constants"])
def test_what_must_stay(kind: str) -> None:
    b = Builder(8)
    x = b.input("x", 1, 6, 6, 4)
    a = b.conv(x, 8, name="first")
    outputs = []
    if kind == "output":
        outputs = [a]
    elif kind == "input":
        a = b.node("add", [b.conv(x, 4, name="same"), x], (1, 6, 6, 4), "sum")
        b.graph.nodes[0].name = "unused"
    elif kind == "softmax":
        a = b.node("softmax", [a], (1, 6, 6, 8), "softmax", axis=-1)
    elif kind == "grouped":
        a = b.conv(a, 8, name="grouped", group=2)
    elif kind == "computed weights":
        m = b.node("mat_mul", [a, b.node("transpose", [a], (1, 6, 8, 6), "t", perm=[0, 1, 3, 2])], (1, 6, 6, 6), "m")
        a = m
    elif kind == "shuffle":
        a = with_shape(b, "reshape", a, (1, 6, 6, 2, 4), "r", [1, 6, 6, 2, 4])
        a = b.node("transpose", [a], (1, 6, 6, 4, 2), "t", perm=[0, 1, 2, 4, 3])
        a = with_shape(b, "reshape", a, (1, 6, 6, 8), "s", [1, 6, 6, 8])
    elif kind == "constants":
        a = b.node("concat", [a, b.constant("c", np.ones((1, 6, 6, 2)))], (1, 6, 6, 10), "concat", axis=3)
    outputs.append(b.conv(a, 5, 1, name="last"))
    graph = b.finish(*outputs)
    graph.prune()
    verify(graph)
    assert channel_groups(graph) == []
    found = remove_channels(graph, weight_scores(graph))
    assert found.removed == {}
    np.testing.assert_equal(reference.run(found.graph, feeds_of(graph)), reference.run(graph, feeds_of(graph)))


def test_least_scores_go_and_counts_are_rounded() -> None:
    graph = chain()
    scores = {"first": np.array([5.0, 1, 7, 2, 8, 3, 6, 4])}
    assert remove_channels(graph, scores, share=0.5).removed == {"first": [1, 3, 5, 7]}
    assert remove_channels(graph, scores, share=0.3).removed == {"first": [1, 3]}
    assert remove_channels(graph, scores, share=0.3, multiple=4).removed == {}
    assert remove_channels(graph, scores, share=0.6, multiple=4).removed == {"first": [1, 3, 5, 7]}
    assert remove_channels(graph, scores, share=1.0).removed == {"first": [0, 1, 2, 3, 5, 6, 7]}
    assert remove_channels(graph, scores, share=lambda layer: {"first": 0.25}[layer]).removed == {"first": [1, 3]}
    assert remove_channels(graph, {}).removed == {}  # nothing is known about it


def test_scores_of_what_goes_together_are_averaged_and_global_scope_ranks_all() -> None:
    graph = residual()
    scores = {name: np.ones(count) for name, count in (("stem", 8), ("fused", 8), ("side", 8), ("inner", 12))}
    scores["stem"][2], scores["side"][5], scores["fused"][5] = -3.0, -1.0, -1.0
    scores["inner"][:] = 0.5
    found = remove_channels(graph, scores, share=0.05, scope="global")  # one of twenty
    assert found.removed == {"stem": [2], "fused": [2], "side": [2]}
    found = remove_channels(graph, scores, share=0.7, scope="global")  # 2 of the tied ones, then inner: one stays
    assert found.removed["stem"] == [2, 5]
    assert len(found.removed["inner"]) == 11


def test_weight_scores() -> None:
    graph = chain()
    scores = weight_scores(graph)
    assert set(scores) == {"first", "last"}
    norms = np.linalg.norm(graph.constant("first_w").reshape(8, -1).astype(np.float64), axis=1)
    np.testing.assert_allclose(scores["first"], norms / norms.mean())


def test_means_correct_biases() -> None:
    """1 x 1 and gemm: the mean of the outputs stays exactly what it was."""
    b = Builder(9)
    a = b.conv(b.input("x", 1, 6, 6, 3), 8, name="first", **RELU)
    graph = b.finish(b.conv(a, 5, 1, name="last"))
    feeds = [feeds_of(graph, seed) for seed in range(6)]
    found = Statistics()
    for each in feeds:
        found.see_range(reference.run(graph, each, ["first"])["first"])
    corrected = remove_channels(graph, weight_scores(graph), means={"first": found.mean})
    plain = remove_channels(graph, weight_scores(graph))

    def mean(of: Graph) -> np.ndarray:
        return np.mean(
            [reference.run(of, each)["last"].astype(np.float64).mean(axis=(0, 1, 2)) for each in feeds], axis=0
        )

    np.testing.assert_allclose(mean(corrected.graph), mean(graph), rtol=1e-4, atol=1e-5)
    assert np.abs(mean(plain.graph) - mean(graph)).max() > 0.01
    with pytest.raises(ShapeError, match="'first'"):
        remove_channels(graph, weight_scores(graph), means={"first": np.zeros(3)})


@pytest.mark.parametrize(
    ("scores", "options", "error", "text"),
    [
        ({"firs": np.ones(8)}, {}, InvalidArgumentError, "no layer 'firs'"),
        ({"first": np.ones(7)}, {}, ShapeError, "'first'"),
        ({"first": np.full(8, np.nan)}, {}, InvalidArgumentError, "'first'"),
        ({"first": np.ones(8)}, {"share": 1.5}, RecipeError, "share"),
        ({"first": np.ones(8)}, {"scope": "layer"}, RecipeError, "scope"),
        ({"first": np.ones(8)}, {"multiple": 0}, RecipeError, "multiple"),
        ({"first": np.ones(8)}, {"share": lambda layer: 0.5, "scope": "global"}, RecipeError, "one share"),
    ],
)
def test_bad_input(scores: Any, options: dict, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        remove_channels(chain(), scores, **options)


def test_quantized_graphs_are_refused() -> None:
    graph = chain()
    graph.tensors["first_w"].quantization = Quantization(np.ones(1, np.float32), np.zeros(1, np.int32))
    with pytest.raises(InvalidArgumentError, match="before quantisation"):
        channel_groups(graph)
