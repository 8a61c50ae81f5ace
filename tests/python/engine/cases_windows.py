"""Cases of pooling, reductions, arg_max, softmax, layer_normalization and resize."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from builder import quantization
from engine_graphs import ACTIVATIONS, ROUNDING, Case, EngineBuilder, exact, sums

from whit.ir import Graph

POOLS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "2x2": ((2, 6, 8, 5), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "3x3_padded": ((1, 7, 9, 19), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "3x2_asymmetric": ((1, 8, 7, 3), {"kernel_shape": [3, 2], "strides": [1, 2], "pads": [0, 1, 2, 0]}),
    "ceil": ((1, 8, 9, 4), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "ceil_padded": ((1, 6, 6, 33), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    "ceil_one_pixel": ((1, 1, 1, 3), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "ceil_below_window": ((2, 2, 3, 5), {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1}),
    "whole_image": ((2, 5, 4, 70), {"kernel_shape": [5, 4], "strides": [1, 1]}),
    "1x1": ((1, 3, 3, 2), {"kernel_shape": [1, 1], "strides": [2, 1]}),
    "line": ((2, 11, 6), {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}),
    "line_ceil": ((1, 10, 1), {"kernel_shape": [4], "strides": [3], "pads": [1, 1], "ceil_mode": 1}),
    "large": ((1, 40, 40, 40), {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]}),
}


def pools() -> Iterator[Case]:
    for seed, (name, (shape, given)) in enumerate(POOLS.items()):
        axes = len(shape) - 2
        attributes: dict[str, Any] = {"pads": [0] * 2 * axes, "ceil_mode": 0} | given
        dilations = [[1] * axes] + ([[2] * axes] if name in ("large", "line", "3x3_padded") else [])
        for dilation in dilations:

            def largest(
                b: EngineBuilder,
                shape: tuple[int, ...] = shape,
                attributes: dict[str, Any] = attributes | {"dilations": dilation},
            ) -> str:
                return b.node("max_pool", b.input("x", *shape), **attributes)

            def largest_s8(
                b: EngineBuilder,
                shape: tuple[int, ...] = shape,
                attributes: dict[str, Any] = attributes | {"dilations": dilation},
            ) -> str:
                return b.node("max_pool", b.input_s8("x", *shape), **attributes)

            yield Case(f"f32-max_pool-{name}-{dilation[0]}", "max_pool", largest, exact, seed=seed)
            yield Case(f"s8-max_pool-{name}-{dilation[0]}", "max_pool", largest_s8, exact, True, seed)
        for include in (0, 1):
            more = attributes | {"count_include_pad": include}

            def average(b: EngineBuilder, shape: tuple[int, ...] = shape, more: dict[str, Any] = more) -> str:
                return b.node("average_pool", b.input("x", *shape), **more)

            def average_s8(
                b: EngineBuilder, shape: tuple[int, ...] = shape, more: dict[str, Any] = more, seed: int = seed
            ) -> str:
                scale, zero_point = ACTIVATIONS[seed % 4]
                x = b.input_s8("x", *shape, scale=scale, zero_point=zero_point)
                return b.node_as("average_pool", [x], quantization(scale * 0.61, -zero_point // 3), **more)

            terms = math.prod(attributes["kernel_shape"])
            yield Case(f"f32-average_pool-{name}-{include}", "average_pool", average, sums(terms), seed=seed)
            yield Case(f"s8-average_pool-{name}-{include}", "average_pool", average_s8, exact, True, seed)


REDUCTIONS: tuple[tuple[tuple[int, ...], list[int]], ...] = (
    ((2, 3, 4, 5), [3]),
    ((2, 3, 4, 5), [0]),
    ((2, 3, 4, 5), [1, 2]),
    ((2, 3, 4, 5), [0, 2]),
    ((2, 3, 4, 5), [1, 3]),
    ((2, 3, 4, 5), [0, 1, 2, 3]),
    ((1, 7, 7, 70), [1, 2]),
    ((4, 1, 6), [1]),
    ((3, 1, 1), [1, 2]),
    ((6, 257), [1]),
    ((1, 5, 1, 9, 1, 4), [1, 4, 5]),
    ((40, 30, 50), [1]),
)


def reductions() -> Iterator[Case]:
    for op in ("reduce_mean", "reduce_sum", "reduce_max", "reduce_min"):
        for seed, (shape, axes) in enumerate(REDUCTIONS):
            attributes = {"axes": axes, "keepdims": seed % 2}
            terms = math.prod(shape[axis] for axis in axes)

            def real(
                b: EngineBuilder, op: str = op, shape: tuple[int, ...] = shape, attributes: dict[str, Any] = attributes
            ) -> str:
                return b.node(op, b.input("x", *shape), **attributes)

            def integers(
                b: EngineBuilder,
                op: str = op,
                shape: tuple[int, ...] = shape,
                attributes: dict[str, Any] = attributes,
                seed: int = seed,
            ) -> str:
                scale, zero_point = ACTIVATIONS[seed % 4]
                x = b.input_s8("x", *shape, scale=scale, zero_point=zero_point)
                if op == "reduce_mean":
                    return b.node_as(op, [x], quantization(scale * 0.37, zero_point // 2), **attributes)
                return b.node(op, x, **attributes)

            name = f"{op}-{shape}-{axes}".replace(" ", "")
            bound = sums(terms) if op in ("reduce_mean", "reduce_sum") else exact
            yield Case(f"f32-{name}", op, real, bound, seed=seed)
            if op != "reduce_sum":
                yield Case(f"s8-{name}", op, integers, exact, True, seed)

    for seed, (shape, axis) in enumerate(
        (((5,), 0), ((3, 7), 1), ((3, 7), 0), ((2, 5, 9, 4), 2), ((2, 1, 40), 1), ((9, 600), 1))
    ):
        for keep in (0, 1):

            def first_largest(
                b: EngineBuilder, shape: tuple[int, ...] = shape, axis: int = axis, keep: int = keep
            ) -> list[str]:
                x = b.feed("x", b.random.integers(0, 4, shape).astype(np.float32))  # many are equal
                y = b.feed("y", b.random.integers(-3, 0, shape).astype(np.int8), quantization(0.1, 4))
                return [b.node("arg_max", name, axis=axis, keepdims=keep) for name in (x, y)]

            yield Case(
                f"s8-arg_max-{shape}-{axis}-{keep}".replace(" ", ""), "arg_max", first_largest, exact, True, seed
            )


def softmax_bound(graph: Graph, feeds: dict[str, np.ndarray], output: str, wanted: np.ndarray) -> Any:
    """exp of x - max: the difference is rounded once, exp to 1 ulp, the sum of n adds n roundings, the division one."""
    node = next(node for node in graph.nodes if node.outputs[0] == output)
    x = feeds[node.inputs[0]].astype(np.float64)
    axis = node.attributes["axis"]
    depth = x.max(axis=axis, keepdims=True) - x
    relative = (2 * depth + x.shape[axis] + 8) * ROUNDING
    if node.op == "softmax":
        return relative * wanted + 2.0**-148
    return relative + 4 * ROUNDING * (np.abs(wanted) + depth)


def layer_norm_bound(graph: Graph, feeds: dict[str, np.ndarray], output: str, wanted: np.ndarray) -> Any:
    """Mean and variance are sums of n terms; x - mean is off by n roundings of max |x|, which is then scaled."""
    node = graph.nodes[0]
    x = feeds[node.inputs[0]].astype(np.float64)
    axes = tuple(range(node.attributes["axis"] % x.ndim, x.ndim))
    n = math.prod(x.shape[axis] for axis in axes)
    deviation = np.sqrt(x.var(axis=axes, keepdims=True) + node.attributes["epsilon"])
    size = np.abs(x).max(axis=axes, keepdims=True) / deviation
    scale = np.abs(graph.tensors[node.inputs[1]].data)
    return (2 * n + 16) * ROUNDING * (size * scale + np.abs(wanted))


def normalizations() -> Iterator[Case]:
    for seed, (shape, axis) in enumerate(
        (
            ((7,), 0),
            ((1, 1), 1),
            ((3, 10), -1),
            ((2, 4, 17), 1),
            ((2, 3, 5, 8), 3),
            ((2, 33, 4, 1), 1),
            ((4, 1000), 1),
            ((50, 9, 70), 1),
        )
    ):
        for op in ("softmax", "log_softmax"):

            def build(b: EngineBuilder, op: str = op, shape: tuple[int, ...] = shape, axis: int = axis) -> list[str]:
                small, large = b.input("x", *shape), b.input("y", *shape, scale=30)
                return [b.node(op, name, axis=axis % len(shape)) for name in (small, large)]

            yield Case(f"f32-{op}-{shape}-{axis}".replace(" ", ""), op, build, softmax_bound, seed=seed)

    for seed, (shape, axis) in enumerate(
        (((3, 10), 1), ((2, 5, 33), 2), ((2, 5, 6), 1), ((1, 4, 4, 8), -1), ((2, 3, 1), 2), ((300, 64), 1))
    ):
        for bias in (False, True):

            def layer(b: EngineBuilder, shape: tuple[int, ...] = shape, axis: int = axis, bias: bool = bias) -> str:
                own = shape[axis:]
                inputs = [b.input("x", *shape, scale=3), b.random_constant(*own)]
                inputs += [b.random_constant(*own)] if bias else []
                return b.node("layer_normalization", *inputs, axis=axis, epsilon=1e-5)

            name = f"f32-layer_normalization-{shape}-{axis}-{bias}".replace(" ", "")
            yield Case(name, "layer_normalization", layer, layer_norm_bound, seed=seed)


def resizes() -> Iterator[Case]:
    coordinates = ("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners")
    roundings = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    targets: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
        ((1, 3, 4, 5), {"scales": [2.0, 2.0], "sizes": []}),
        ((2, 5, 7, 3), {"scales": [], "sizes": [9, 4]}),
        ((1, 6, 5, 1), {"scales": [0.5, 1.7], "sizes": []}),
        ((1, 4, 4, 18), {"scales": [], "sizes": [1, 1]}),
        ((1, 1, 1, 7), {"scales": [], "sizes": [3, 2]}),
        ((2, 6, 4), {"scales": [1.5], "sizes": []}),
        ((1, 5, 2), {"scales": [], "sizes": [12]}),
        ((1, 30, 30, 12), {"scales": [2.0, 2.0], "sizes": []}),
    )
    for seed, (shape, target) in enumerate(targets):
        for coordinate in coordinates:
            modes = [("nearest", rounding) for rounding in roundings] + [("linear", "floor")]
            for mode, rounding in modes:
                attributes = {"mode": mode, "coordinate_transformation_mode": coordinate, "nearest_mode": rounding}

                def build(
                    b: EngineBuilder, shape: tuple[int, ...] = shape, attributes: dict[str, Any] = attributes | target
                ) -> str:
                    return b.node("resize", b.input("x", *shape), **attributes)

                def integers(
                    b: EngineBuilder,
                    shape: tuple[int, ...] = shape,
                    attributes: dict[str, Any] = attributes | target,
                    seed: int = seed,
                ) -> str:
                    scale, zero_point = ACTIVATIONS[seed % 4]
                    x = b.input_s8("x", *shape, scale=scale, zero_point=zero_point)
                    if attributes["mode"] == "nearest":
                        return b.node("resize", x, **attributes)
                    return b.node_as("resize", [x], quantization(scale * 0.83, -zero_point // 2), **attributes)

                name = f"resize-{mode}-{coordinate}-{rounding}-{seed}"
                yield Case(f"f32-{name}", "resize", build, exact if mode == "nearest" else sums(4), seed=seed)
                yield Case(f"s8-{name}", "resize", integers, exact, True, seed)


def cases() -> list[Case]:
    return [*pools(), *reductions(), *normalizations(), *resizes()]
