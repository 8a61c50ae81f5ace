"""Tensors that share memory: views, results computed in place, outputs, scratch. Nobody may see another's bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builder import quantization
from engine_graphs import EngineBuilder, run_both

import reference
import whit
from whit.format import write

Build = Callable[[EngineBuilder], Any]


def computed(b: EngineBuilder, name: str = "x") -> str:
    """A tensor of the arena: neither an input nor a constant."""
    return b.node("floor", b.node("exp", b.input(name, 2, 3, 4)))


def used_later(b: EngineBuilder) -> str:
    a = computed(b)
    c = b.node("neg", b.node("sqrt", a))
    return b.node("add", b.node("add", c, c), a)


def used_later_through_a_view(b: EngineBuilder) -> list[str]:
    a = computed(b)
    flat = b.node("reshape", a, shape=[24])
    c = b.node("neg", flat)
    return [b.node("mul", c, flat), b.node("abs", a)]


def output_read_by_nodes(b: EngineBuilder) -> list[str]:
    a = computed(b)
    c = b.node("neg", a)
    return [a, b.node("exp", c), c]


def view_of_an_output_changed(b: EngineBuilder) -> list[str]:
    a = computed(b)
    return [b.node("neg", b.node("reshape", a, shape=[6, 4])), a]


def view_of_an_input_changed(b: EngineBuilder) -> list[str]:
    x = b.input("x", 2, 3, 4)
    flat = b.node("unsqueeze", b.node("reshape", x, shape=[24]), axes=[0])
    return [b.node("neg", flat), b.node("add", x, b.node("exp", x))]


def view_of_a_constant_changed(b: EngineBuilder) -> list[str]:
    c = b.random_constant(2, 12)
    x = b.input("x", 2, 3, 4)
    view = b.node("reshape", c, shape=[2, 3, 4])
    return [b.node("neg", view), b.node("mul", x, view), b.node("abs", c)]


def input_and_constant_are_outputs(b: EngineBuilder) -> list[str]:
    x, c = b.input("x", 3, 2), b.constant(np.array([3, 1, 2], np.int32))
    return [x, b.node("neg", x), c]


def views_are_outputs(b: EngineBuilder) -> list[str]:
    x, c, a = b.input("x", 2, 3), b.random_constant(6), computed(b, "z")
    views = [b.node("reshape", name, shape=[3, -1]) for name in (x, c, a)]
    return [*views, a, b.node("squeeze", b.node("unsqueeze", views[2], axes=[0]), axes=[0]), x]


def both_operands_are_the_same(b: EngineBuilder) -> list[str]:
    a = computed(b)
    view = b.node("reshape", a, shape=[2, 3, 4])
    return [b.node("add", b.node("mul", a, a), b.node("sub", view, a))]


def residual_is_the_input(b: EngineBuilder) -> list[str]:
    a = b.node("neg", b.input("x", 1, 6, 6, 5))
    attributes = b.conv_attributes(2, 3)
    w = b.random_constant(5, 3, 3, 5, scale=0.3)
    return [b.node("add", b.node("conv", a, w, "", a, **attributes), a)]


def broadcast_grows(b: EngineBuilder) -> list[str]:
    """The smaller operand must not be written to, though it dies here."""
    row = b.node("exp", b.input("x", 1, 5))
    column = b.node("exp", b.input("y", 4, 1))
    return [b.node("add", row, column)]


def second_operand_dies(b: EngineBuilder) -> list[str]:
    a, c = computed(b), b.node("exp", b.input("y", 4))
    return [b.node("sub", c, a), b.node("exp", c)]


def other_dtype(b: EngineBuilder) -> list[str]:
    a = computed(b)
    q = b.quantize(a, 0.1, -5)
    back = b.dequantize(b.node_as("requantize", [q], quantization(0.2, 7)))
    return [back, b.node_as("cast", [b.node_as("cast", [a], None, "s32")], None, "f32"), q]


def split_and_joined(b: EngineBuilder) -> list[str]:
    left, right = b.nodes("split", computed(b), outputs=2, axis=2, sizes=[])
    joined = b.node("concat", right, b.node("neg", left), right, axis=2)
    return [joined, left]


def scratch_next_to_tensors(b: EngineBuilder) -> list[str]:
    a = b.node("neg", b.input("x", 6, 7))
    product = b.node("mat_mul", a, b.node("transpose", b.node("exp", a), perm=[1, 0]))
    image = b.node("reshape", b.node("softmax", product, axis=1), shape=[1, 6, 6, 1])
    resize = {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "floor"}
    large = b.node("resize", image, scales=[], sizes=[9, 11], **resize)
    return [b.node("add", large, b.node("reduce_mean", large, axes=[1, 2], keepdims=1)), b.node("abs", a)]


def scratch_below_a_large_tensor(b: EngineBuilder) -> list[str]:
    large, small = b.node("neg", b.input("x", 64, 40)), b.node("exp", b.input("y", 40, 3))
    product = b.node("mat_mul", large, small)
    return [b.node("add", product, product), b.node("transpose", large, perm=[1, 0])]


GRAPHS: list[Build] = [
    used_later,
    used_later_through_a_view,
    output_read_by_nodes,
    view_of_an_output_changed,
    view_of_an_input_changed,
    view_of_a_constant_changed,
    input_and_constant_are_outputs,
    views_are_outputs,
    both_operands_are_the_same,
    residual_is_the_input,
    broadcast_grows,
    second_operand_dies,
    other_dtype,
    split_and_joined,
    scratch_next_to_tensors,
    scratch_below_a_large_tensor,
]


def near(graph: Any, feeds: Any, output: str, wanted: np.ndarray) -> Any:
    """Rounding through a few operators; reading the wrong bytes is off by much more."""
    return 1e-4 * (1 + np.abs(wanted)) if wanted.dtype == np.float32 else 0


@pytest.mark.parametrize("build", GRAPHS, ids=[build.__name__ for build in GRAPHS])
def test_shared_memory(build: Build) -> None:
    builder = EngineBuilder(3)
    outputs = build(builder)
    graph = builder.finish(*([outputs] if isinstance(outputs, str) else outputs))
    before = {name: value.copy() for name, value in builder.feeds.items()}
    run_both(graph, builder.feeds, near)
    for name, value in before.items():
        np.testing.assert_array_equal(builder.feeds[name], value, err_msg=f"input {name} was written to")


def test_an_output_is_not_the_input_array() -> None:
    builder = EngineBuilder()
    graph = builder.finish(*input_and_constant_are_outputs(builder))
    with whit.load(write(graph), threads=1) as model:
        first = model.run(builder.feeds)
        wanted = {name: value.copy() for name, value in first.items()}
        for name, value in first.items():
            assert not any(np.shares_memory(value, feed) for feed in builder.feeds.values())
            value[...] = 0
            np.testing.assert_array_equal(model.run(builder.feeds)[name], wanted[name])


def random_graph(seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Up to 25 nodes of exact operators on tensors of 24 elements; any of them may be outputs."""
    b = EngineBuilder(seed)
    rng = np.random.default_rng(seed)
    shapes = ([24], [2, 12], [2, 3, 4], [1, 24], [4, 1, 6], [3, 2, 2, 2])
    for i in range(rng.integers(1, 3)):
        b.feed(f"x{i}", rng.integers(-9, 10, shapes[rng.integers(len(shapes))]).astype(np.float32))
    b.constant(rng.integers(-9, 10, shapes[rng.integers(len(shapes))]).astype(np.float32))
    names = list(b.values)

    def reshaped(x: str, shape: tuple[int, ...]) -> str:
        return x if b.values[x].shape == shape else b.node("reshape", x, shape=list(shape))

    for _ in range(rng.integers(3, 26)):
        recent = names[-6:] if rng.random() < 0.7 else names
        x, y = recent[rng.integers(len(recent))], names[rng.integers(len(names))]
        rank = b.values[x].ndim
        kind = rng.integers(7)
        if kind == 0:
            z = b.node(("neg", "abs", "floor", "hard_swish")[rng.integers(4)], x)
        elif kind == 1:
            z = b.node("clip", x, clamp_min=-20.0, clamp_max=20.0)
        elif kind in (2, 3):
            z = b.node(("add", "sub", "max", "min")[rng.integers(4)], x, reshaped(y, b.values[x].shape))
            z = b.node("clip", z, clamp_min=-50.0, clamp_max=50.0)
        elif kind == 4:
            z = reshaped(x, tuple(shapes[rng.integers(len(shapes))]))
        elif kind == 5:
            z = b.node("transpose", x, perm=[int(axis) for axis in rng.permutation(rank)])
        else:
            parts = b.nodes("split", reshaped(x, (2, 12)), outputs=2, axis=1, sizes=[5, 7])
            z = b.node("concat", *parts[::-1], axis=1)
        names.append(z)
    candidates = list(dict.fromkeys(names))
    count = int(rng.integers(1, min(6, len(candidates)) + 1))
    return b.finish(*(candidates[i] for i in rng.permutation(len(candidates))[:count])), b.feeds


@pytest.mark.parametrize("seed", range(150))
def test_random_graphs(seed: int) -> None:
    graph, feeds = random_graph(seed)
    feeds = {name: feeds[name] for name in graph.inputs}
    wanted = run_both(graph, feeds)
    # Observing tensors changes where everything lies, and no value.
    produced = [name for node in graph.nodes for name in node.outputs]
    values = reference.run(graph, feeds, produced)
    with whit.load(write(graph), threads=1) as model:
        observed = [name for name in produced if np.random.default_rng(seed).random() < 0.5]
        got = model.session(observe=observed).run(feeds)
        for name in {*observed, *wanted}:
            np.testing.assert_array_equal(got[name], {**values, **wanted}[name], err_msg=name)
        out = {name: np.full(value.shape, 77, value.dtype) for name, value in wanted.items()}
        got = model.run(feeds, out=out)
        for name, value in wanted.items():
            assert got[name] is out[name]
            np.testing.assert_array_equal(out[name], value, err_msg=name)


def test_chains_run_in_the_memory_of_two_tensors() -> None:
    """20 steps on 40 kB: in place where the operator allows it, in turns where not."""
    for op, attributes in (("neg", {}), ("transpose", {"perm": [1, 0]})):
        builder = EngineBuilder()
        x = builder.input("x", 100, 100)
        for _ in range(20):
            x = builder.node(op, x, **attributes)
        graph = builder.finish(x)
        with whit.load(write(graph), threads=1) as model:
            assert model.arena_bytes <= 2 * 40064
