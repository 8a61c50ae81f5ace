"""Cases of conv, conv_transpose, gemm, mat_mul and lstm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from builder import quantization
from engine_graphs import ACTIVATIONS, ROUNDING, Case, EngineBuilder, exact, sums, winograd

from whit.ir import Graph

#: name -> (x, output channels, kernel, attributes). Channels last.
CONVOLUTIONS: dict[str, tuple[tuple[int, ...], int, tuple[int, ...], dict[str, Any]]] = {
    "1x1": ((2, 5, 7, 9), 11, (1, 1), {}),
    "1x1_one_pixel": ((1, 1, 1, 33), 17, (1, 1), {}),
    "1x1_strided": ((1, 6, 5, 8), 16, (1, 1), {"strides": [2, 2]}),
    "1x1_padded": ((1, 3, 4, 5), 6, (1, 1), {"pads": [1, 0, 2, 1]}),
    "3x3": ((2, 9, 8, 3), 20, (3, 3), {"pads": [1, 1, 1, 1]}),
    "image_stem": ((1, 33, 35, 3), 16, (3, 3), {"strides": [2, 2], "pads": [0, 0, 1, 1]}),
    "image_stem_7x7": ((2, 30, 31, 3), 24, (7, 7), {"strides": [2, 2], "pads": [3, 3, 3, 3]}),
    "3x3_tails": ((1, 7, 13, 17), 65, (3, 3), {}),
    "3x3_transformed": ((2, 12, 13, 32), 40, (3, 3), {"pads": [1, 1, 1, 1]}),
    "3x3_transformed_few_tiles": ((1, 8, 7, 96), 80, (3, 3), {"pads": [1, 0, 1, 2]}),
    "3x3_strided_asymmetric": ((1, 9, 10, 4), 7, (3, 3), {"strides": [2, 3], "pads": [0, 1, 1, 2]}),
    "dilated": ((1, 11, 12, 5), 6, (3, 2), {"dilations": [2, 3], "pads": [2, 1, 2, 2]}),
    "dilated_wide": ((1, 11, 12, 9), 6, (3, 2), {"dilations": [2, 3], "pads": [2, 1, 2, 2]}),
    "kernel_larger_than_image": ((1, 2, 2, 3), 4, (5, 5), {"pads": [2, 2, 2, 2]}),
    "one_by_n": ((1, 1, 20, 6), 8, (1, 7), {"pads": [0, 3, 0, 3]}),
    "grouped": ((2, 6, 7, 12), 18, (3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
    "grouped_wide": ((1, 6, 7, 24), 18, (3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "grouped_1x1": ((1, 4, 5, 16), 32, (1, 1), {"group": 4}),
    "group_of_one_input": ((1, 5, 6, 6), 12, (3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
    "depthwise": ((2, 9, 11, 19), 19, (3, 3), {"group": 19, "pads": [1, 1, 1, 1]}),
    "depthwise_strided": ((1, 10, 9, 67), 67, (3, 3), {"group": 67, "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    "depthwise_dilated_5x5": ((1, 14, 13, 8), 8, (5, 5), {"group": 8, "dilations": [2, 2], "pads": [4, 4, 4, 4]}),
    "depthwise_one_channel": ((1, 6, 6, 1), 1, (3, 3), {"group": 1}),
    "line": ((2, 17, 5), 9, (3,), {"pads": [2, 1]}),
    "line_strided_dilated": ((1, 23, 4), 6, (4,), {"strides": [3], "dilations": [2], "pads": [0, 3]}),
    "line_wide": ((1, 23, 20), 6, (4,), {"strides": [3], "dilations": [2], "pads": [0, 3]}),
    "line_depthwise": ((1, 18, 13), 13, (5,), {"group": 13, "pads": [2, 2]}),
}


def geometry(kernel: tuple[int, ...], attributes: dict[str, Any]) -> dict[str, Any]:
    axes = len(kernel)
    return {"strides": [1] * axes, "dilations": [1] * axes, "pads": [0] * 2 * axes, "group": 1} | attributes


def out_scale(b: EngineBuilder, x: str, w: str, terms: int) -> float:
    """A scale with which most sums stay inside s8 and some do not."""
    return float(b.graph.tensors[x].quantization.scale[0] * 0.006 * 74 * 74 * math.sqrt(terms) / 60)


def convolution(name: str, flavour: str, seed: int) -> Case:
    shape, channels, kernel, given = CONVOLUTIONS[name]
    attributes = geometry(kernel, given)
    w_shape = (channels, *kernel, shape[-1] // attributes["group"])
    terms = math.prod(w_shape[1:])
    is_s8 = flavour.startswith("s8")

    def float_weights(b: EngineBuilder) -> str:
        x = b.input("x", *shape)
        w = b.weights_s8(*w_shape) if "weights" in flavour else b.random_constant(*w_shape, scale=0.3)
        inputs = [x, w, "" if "nobias" in flavour else b.random_constant(channels)]
        more = dict(attributes)
        if "residual" in flavour:
            inputs.append(b.input("r", *plain_shape(b, inputs, attributes)))
        if "clamp" in flavour:
            more |= {"clamp_min": -0.5, "clamp_max": 1.0}
        if "hard_swish" in flavour:
            more |= {"activation": "hard_swish"}
        if "pad_values" in flavour:
            more |= {"pad_values": pad_values(b, shape[-1], 1.0)}
        return b.node("conv", *inputs, **more)

    def integers(b: EngineBuilder) -> str:
        scale, zero_point = ACTIVATIONS[seed % len(ACTIVATIONS)]
        x = b.input_s8("x", *shape, scale=scale, zero_point=zero_point)
        w = b.weights_s8(*w_shape, axis=None if "one_scale" in flavour else 0)
        inputs = [x, w, "" if "nobias" in flavour else b.bias_s32(x, w)]
        more: dict[str, Any] = dict(attributes)
        step = out_scale(b, x, w, terms)
        if "residual" in flavour:
            inputs.append(
                b.input_s8("r", *plain_shape(b, inputs, attributes), scale=step * 0.7, zero_point=-zero_point - 1)
            )
        if "clamp" in flavour:
            more |= {"clamp_min": -20 * step, "clamp_max": 40.4 * step}
        if "hard_swish" in flavour:
            more |= {"activation": "hard_swish"}
        if "pad_values" in flavour:
            more |= {"pad_values": pad_values(b, shape[-1], 100 * scale)}
        q = None if "f32" in flavour else quantization(step, -zero_point - (zero_point == -128))
        return b.node_as("conv", inputs, q, **more)

    # hard_swish is steepest, 1.5, at +-3
    slope = 1.5 if "hard_swish" in flavour else 1
    float_bound = winograd(shape[-1], slope) if "transformed" in name else sums(terms, slope)
    bound = exact if is_s8 else float_bound
    return Case(f"{flavour}-{name}", "conv", integers if is_s8 else float_weights, bound, is_s8, seed)


def pad_values(b: EngineBuilder, channels: int, size: float) -> list[float]:
    """Another one for each channel; some lie outside of what s8 holds."""
    return [float(value) for value in (b.random.standard_normal(channels) * size).astype(np.float32)]


def plain_shape(b: EngineBuilder, inputs: list[str], attributes: dict[str, Any]) -> tuple[int, ...]:
    x, w = b.values[inputs[0]].shape, b.values[inputs[1]].shape
    axes = len(x) - 2
    pads, strides, dilations = (attributes[name] for name in ("pads", "strides", "dilations"))
    spatial = [
        (x[1 + a] + pads[a] + pads[axes + a] - (w[1 + a] - 1) * dilations[a] - 1) // strides[a] + 1 for a in range(axes)
    ]
    return (x[0], *spatial, w[0])


def convolutions() -> Iterator[Case]:
    for seed, name in enumerate(CONVOLUTIONS):
        flavours = ("f32", "f32_residual_clamp", "f32_weights_s8", "s8", "s8_residual_clamp_one_scale")
        for flavour in (*flavours, "f32_pad_values", "s8_pad_values"):
            yield convolution(name, flavour, seed)
    for seed, name in enumerate(("1x1", "3x3", "grouped", "depthwise", "line", "line_depthwise")):
        for flavour in (
            "f32_nobias_clamp",
            "f32_hard_swish_residual",
            "f32_weights_s8_residual_nobias",
            "s8_to_f32_clamp",
            "s8_to_f32_hard_swish_nobias",
            "s8_hard_swish",
            "s8_nobias_hard_swish_residual_clamp",
        ):
            yield convolution(name, flavour, seed + 1)


def gemms() -> Iterator[Case]:
    shapes: tuple[tuple[tuple[int, ...], int], ...] = (
        ((1, 1), 1),
        ((1, 300), 130),
        ((7, 33), 65),
        ((13, 64), 16),
        ((2, 3, 19), 5),
        ((2, 1, 3, 8), 24),
        ((31,), 9),
    )
    for seed, (shape, n) in enumerate(shapes):
        for residual in (False, True):

            def real(b: EngineBuilder, shape: tuple[int, ...] = shape, n: int = n, residual: bool = residual) -> str:
                inputs = [b.input("x", *shape), b.random_constant(n, shape[-1]), b.random_constant(n)]
                if residual:
                    inputs.append(b.input("r", *shape[:-1], n))
                return b.node("gemm", *inputs, **({"clamp_min": 0.0} if residual else {"activation": "hard_swish"}))

            def weights_s8(b: EngineBuilder, shape: tuple[int, ...] = shape, n: int = n) -> str:
                return b.node("gemm", b.input("x", *shape), b.weights_s8(n, shape[-1]))

            def integers(
                b: EngineBuilder,
                shape: tuple[int, ...] = shape,
                n: int = n,
                residual: bool = residual,
                seed: int = seed,
            ) -> list[str]:
                scale, zero_point = ACTIVATIONS[seed % len(ACTIVATIONS)]
                x = b.input_s8("x", *shape, scale=scale, zero_point=zero_point)
                w = b.weights_s8(n, shape[-1])
                step = out_scale(b, x, w, shape[-1])
                inputs = [x, w, b.bias_s32(x, w)]
                real = b.node_as("gemm", inputs, None, clamp_max=3.0)
                if residual:
                    inputs.append(b.input_s8("r", *shape[:-1], n, scale=step, zero_point=-128))
                return [b.node_as("gemm", inputs, quantization(step, 127), activation="hard_swish"), real]

            def dynamic(b: EngineBuilder, shape: tuple[int, ...] = shape, n: int = n, residual: bool = residual) -> str:
                inputs = [b.input("x", *shape), b.weights_s8(n, shape[-1])]
                if residual:
                    return b.node("gemm", *inputs, b.random_constant(n), b.input("r", *shape[:-1], n), dynamic=1)
                return b.node("gemm", *inputs, dynamic=1, activation="hard_swish", clamp_max=2.0)

            name = "x".join(map(str, (*shape, n))) + ("-residual" if residual else "")
            yield Case(f"f32-{name}", "gemm", real, sums(shape[-1], 1.5), seed=seed)
            yield Case(f"s8-{name}", "gemm", integers, exact, True, seed)
            yield Case(f"dynamic-{name}", "gemm", dynamic, exact, True, seed)
            if not residual:
                yield Case(f"f32_weights_s8-{name}", "gemm", weights_s8, sums(shape[-1]), seed=seed)


def dynamic_special() -> Iterator[Case]:
    def build(b: EngineBuilder) -> str:
        x = b.random.standard_normal((9, 40)).astype(np.float32)
        x[0] = 0
        x[1, 7] = np.nan
        x[2, 3], x[3, 39] = np.inf, -np.inf
        x[4], x[5] = np.abs(x[4]), -np.abs(x[5])
        x[6] *= 1e38
        x[7] *= 1e-20
        x[8] = 5
        return b.node("gemm", b.feed("x", x), b.weights_s8(11, 40), b.random_constant(11), dynamic=1)

    yield Case("dynamic-special_rows", "gemm", build, exact, True)


def conv_transposes() -> Iterator[Case]:
    layouts: dict[str, tuple[tuple[int, ...], int, tuple[int, ...], dict[str, Any]]] = {
        "2x2_stride2": ((2, 4, 5, 9), 7, (2, 2), {"strides": [2, 2]}),
        "3x3": ((1, 5, 4, 3), 17, (3, 3), {"pads": [1, 1, 1, 1]}),
        "4x4_stride2": ((1, 3, 5, 8), 6, (4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        "stride_above_kernel": ((1, 3, 3, 4), 5, (2, 1), {"strides": [3, 2], "output_padding": [1, 1]}),
        "asymmetric_dilated": ((1, 4, 3, 5), 4, (3, 2), {"strides": [2, 1], "dilations": [2, 3], "pads": [0, 1, 2, 0]}),
        "output_padding": (
            (1, 3, 4, 6),
            6,
            (3, 3),
            {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 0]},
        ),
        "grouped": ((1, 3, 4, 8), 12, (3, 3), {"strides": [2, 2], "group": 4, "pads": [1, 0, 0, 1]}),
        "depthwise": ((1, 4, 4, 6), 6, (4, 4), {"strides": [2, 2], "group": 6, "pads": [1, 1, 1, 1]}),
        "one_pixel": ((1, 1, 1, 5), 3, (3, 3), {}),
        "line": ((2, 7, 5), 6, (4,), {"strides": [3], "pads": [1, 2]}),
    }
    for seed, (name, (shape, channels, kernel, given)) in enumerate(layouts.items()):
        attributes = {"output_padding": [0] * len(kernel)} | geometry(kernel, given)
        w_shape = (channels, *kernel, shape[-1] // attributes["group"])
        terms = math.prod(w_shape[1:])
        for flavour in ("f32", "f32_weights_s8", "s8"):

            def build(
                b: EngineBuilder,
                flavour: str = flavour,
                shape: tuple[int, ...] = shape,
                w_shape: tuple[int, ...] = w_shape,
                attributes: dict[str, Any] = attributes,
                terms: int = terms,
                seed: int = seed,
            ) -> str | list[str]:
                if flavour != "s8":
                    w = b.weights_s8(*w_shape) if "weights" in flavour else b.random_constant(*w_shape)
                    inputs = [b.input("x", *shape), w, b.random_constant(w_shape[0])]
                    return b.node("conv_transpose", *inputs, clamp_min=-3.0, clamp_max=6.0, **attributes)
                scale, zero_point = ACTIVATIONS[seed % len(ACTIVATIONS)]
                x, w = b.input_s8("x", *shape, scale=scale, zero_point=zero_point), b.weights_s8(*w_shape)
                inputs = [x, w, b.bias_s32(x, w)]
                q = quantization(out_scale(b, x, w, terms), -zero_point // 2)
                return [
                    b.node_as("conv_transpose", inputs, q, activation="hard_swish" if seed % 2 else "", **attributes),
                    b.node_as("conv_transpose", inputs[:2], None, **attributes),
                ]

            bound = exact if flavour == "s8" else sums(terms)
            yield Case(f"{flavour}-{name}", "conv_transpose", build, bound, flavour == "s8", seed)


def mat_muls() -> Iterator[Case]:
    shapes = (
        ((5, 7), (7, 3)),
        ((33,), (33, 20)),
        ((4, 17), (17,)),
        ((9,), (9,)),
        ((2, 3, 6), (2, 6, 18)),
        ((1, 2, 5, 8), (3, 1, 8, 4)),
        ((6, 1, 9), (9, 2)),
        ((3, 4), (2, 2, 4, 5)),
    )
    for seed, (a, b_shape) in enumerate(shapes):

        def build(b: EngineBuilder, a: tuple[int, ...] = a, b_shape: tuple[int, ...] = b_shape) -> list[str]:
            x, y = b.input("x", *a), b.input("y", *b_shape)
            return [b.node("mat_mul", x, y), b.node("mat_mul", x, b.random_constant(*b_shape))]

        yield Case(f"f32-{a}@{b_shape}".replace(" ", ""), "mat_mul", build, sums(a[-1]), seed=seed)


def lstm_bound(graph: Graph, feeds: dict[str, np.ndarray], output: str, wanted: np.ndarray) -> float:
    """Follows the error of one step through the recurrence.

    Gates change by at most d (sigmoid) / 4 and d (tanh); c by the gates' errors times |c| and 1, h by c's and the
    gate's. d is the rounding of the sums, plus what h was off times the largest row of |r|.
    """
    node = graph.nodes[0]
    x, w, r = (np.abs(feeds.get(name, graph.tensors[name].data).astype(np.float64)) for name in node.inputs[:3])
    if (q := graph.tensors[node.inputs[1]].quantization) is not None:
        w = w * q.scale.max()
    bias = 2 * max((np.abs(graph.tensors[name].data).max() for name in node.inputs[3:4] if name), default=0)
    start = max([1.0, *(float(np.abs(feeds[name]).max()) for name in node.inputs[4:])])
    rows = float(r.sum(axis=2).max())
    size = float((x.max() * w.sum(axis=2)).max()) + rows * start + float(bias)
    error_h = error_c = 0.0
    for step in range(x.shape[0]):
        largest_c = start + step
        d = (x.shape[2] + r.shape[2] + 8) * ROUNDING * size + rows * error_h
        error_c += d * (largest_c / 4 + 1.25) + 8 * ROUNDING * (largest_c + 1)
        error_h = error_c + d / 4 + 8 * ROUNDING
    return error_c + error_h


def lstms() -> Iterator[Case]:
    layouts = (
        ("forward", (5, 1, 3), 4, "", ("y", "yh", "yc")),
        ("reverse", (4, 2, 5), 7, "bias", ("y",)),
        ("bidirectional", (6, 3, 4), 5, "bias state", ("y", "yh", "yc")),
        ("forward", (1, 1, 128), 33, "bias state", ("", "yh", "yc")),
        ("bidirectional", (3, 1, 9), 16, "state s8", ("", "", "yc")),
        ("forward", (3, 2, 6), 8, "bias", ("y", "", "yc")),
    )
    for seed, (direction, (steps, batch, width), hidden, extras, names) in enumerate(layouts):

        def build(
            b: EngineBuilder,
            direction: str = direction,
            x_shape: tuple[int, int, int] = (steps, batch, width),
            hidden: int = hidden,
            extras: str = extras,
            names: tuple[str, ...] = names,
        ) -> list[str]:
            d = 2 if direction == "bidirectional" else 1
            w_shape, r_shape, state = (d, 4 * hidden, x_shape[2]), (d, 4 * hidden, hidden), (d, x_shape[1], hidden)
            w = b.weights_s8(*w_shape, axis=1) if "s8" in extras else b.random_constant(*w_shape, scale=0.2)
            inputs = [b.input("x", *x_shape), w, b.random_constant(*r_shape, scale=0.1)]
            inputs.append(b.random_constant(d, 8 * hidden, scale=0.3) if "bias" in extras else "")
            if "state" in extras:
                inputs += [b.input("h0", *state), b.input("c0", *state)]
            outputs = b.nodes("lstm", *inputs, outputs=3, direction=direction)
            node = b.graph.nodes[-1]
            while node.inputs[-1] == "":
                node.inputs.pop()
            node.outputs = [output if name else "" for name, output in zip(names, outputs, strict=False)]
            return [output for output in node.outputs if output]

        yield Case(f"f32-{direction}-{hidden}-{extras}".replace(" ", "_"), "lstm", build, lstm_bound, seed=seed)


def cases() -> list[Case]:
    return [*convolutions(), *gemms(), *dynamic_special(), *conv_transposes(), *mat_muls(), *lstms()]
