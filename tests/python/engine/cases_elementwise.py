"""Cases of the operators that work element by element: binary, unary, conversions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from builder import quantization
from engine_graphs import ACTIVATIONS, ROUNDING, Bound, Case, EngineBuilder, exact, ulps

from whit.ir import Graph

BROADCASTS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((2, 3, 4, 5), (2, 3, 4, 5)),
    ((2, 3, 4, 5), (5,)),
    ((2, 3, 4, 5), ()),
    ((1,), (2, 7, 33)),
    ((4, 1, 6), (3, 1)),
    ((2, 3, 1, 1), (1, 1, 4, 5)),
    ((2, 1, 3, 1, 5), (4, 1, 2, 1)),
    ((1, 37, 1, 19), (2, 1, 3, 19)),
    ((1, 1), (1, 1, 1)),
    ((3, 50, 401), (3, 1, 401)),  # large enough for several threads
)

SPECIAL = np.array([0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, 3, -3, 6, 1e-30, -1e-40, 1e30, -1e30, np.inf, -np.inf, np.nan])


def binaries() -> Iterator[Case]:
    for op in ("add", "sub", "mul", "div", "pow", "min", "max", "prelu"):
        for seed, (a, b_shape) in enumerate(BROADCASTS):

            def build(
                b: EngineBuilder, op: str = op, a: tuple[int, ...] = a, b_shape: tuple[int, ...] = b_shape
            ) -> Any:
                x, y = b.input("x", *a), b.input("y", *b_shape)
                if op == "pow":
                    return b.node(op, b.node("abs", x), y)
                outputs = [b.node(op, x, y), b.node(op, y, b.random_constant(*a))]
                if op in ("add", "mul"):
                    outputs.append(b.node(op, x, y, clamp_min=-0.25, clamp_max=0.75))
                return outputs

            bound = ulps(0.501) if op == "pow" else exact
            yield Case(f"f32-{op}-{a}-{b_shape}".replace(" ", ""), op, build, bound, seed=seed)

        def special(b: EngineBuilder, op: str = op) -> str:
            values = SPECIAL.astype(np.float32)
            return b.node(op, b.feed("x", values[:, None]), b.feed("y", values))

        yield Case(f"f32-{op}-special", op, special, ulps(0.501) if op == "pow" else exact)

    for op in ("add", "sub", "mul"):
        for seed, (a, b_shape) in enumerate(BROADCASTS):

            def integers(
                b: EngineBuilder,
                op: str = op,
                a: tuple[int, ...] = a,
                b_shape: tuple[int, ...] = b_shape,
                seed: int = seed,
            ) -> list[str]:
                (sa, za), (sb, zb) = ACTIVATIONS[seed % 4], ACTIVATIONS[(seed + 1) % 4]
                x = b.input_s8("x", *a, scale=sa, zero_point=za)
                y = b.input_s8("y", *b_shape, scale=sb, zero_point=zb)
                outputs = [b.node_as(op, [x, y], quantization(0.07, zb)), b.node_as(op, [y, x], quantization(0.01, za))]
                if op != "sub":
                    outputs.append(b.node_as(op, [x, y], quantization(0.06, 1), clamp_min=-1.0, clamp_max=2.51))
                return outputs

            yield Case(f"s8-{op}-{a}-{b_shape}".replace(" ", ""), op, integers, exact, True, seed)


def near(size: float) -> Bound:
    """Relative to the input: of functions that are products of x with something that is rounded near 0 or 1."""

    def bound(graph: Graph, feeds: dict[str, np.ndarray], output: str, wanted: np.ndarray) -> Any:
        x = np.nan_to_num(feeds["x"].astype(np.float64), posinf=0, neginf=0)
        return 2 * size * ROUNDING * np.abs(x) + 2.0**-148

    return bound


#: operator -> (attributes, bound). The bounds are those of csrc/kernels/math.inc.
UNARY: dict[str, tuple[dict[str, Any], Bound]] = {
    "clip": ({"clamp_min": -0.75, "clamp_max": 1.25}, exact),
    "leaky_relu": ({"alpha": 0.01}, exact),
    "elu": ({"alpha": 0.7}, ulps(2)),
    "sigmoid": ({}, ulps(2.4)),
    "tanh": ({}, ulps(1.4)),
    "hard_sigmoid": ({"alpha": 0.2, "beta": 0.45}, exact),
    "hard_swish": ({}, exact),
    "silu": ({}, ulps(3)),
    "gelu": ({"approximate": "none"}, near(4)),
    "erf": ({}, ulps(1.4)),
    "softplus": ({}, ulps(1.8)),
    "exp": ({}, ulps(1)),
    "log": ({}, ulps(0.9)),
    "sqrt": ({}, exact),
    "reciprocal": ({}, exact),
    "abs": ({}, exact),
    "neg": ({}, exact),
    "floor": ({}, exact),
    "ceil": ({}, exact),
    "round": ({}, exact),
    "sin": ({}, ulps(0.501)),
    "cos": ({}, ulps(0.501)),
    "binarize": ({}, exact),
}
#: More attributes of some of them.
VARIANTS: tuple[tuple[str, dict[str, Any], Bound], ...] = (
    ("gelu", {"approximate": "tanh"}, near(6)),
    ("clip", {"clamp_min": 0.0, "clamp_max": float("inf")}, exact),
    ("leaky_relu", {"alpha": 1.5}, exact),
    ("leaky_relu", {"alpha": -0.5}, exact),
    ("hard_sigmoid", {"alpha": -1.0, "beta": 0.0}, exact),
)


def unaries() -> Iterator[Case]:
    pairs = [(op, attributes, bound) for op, (attributes, bound) in UNARY.items()]
    for number, (op, attributes, bound) in enumerate([*pairs, *VARIANTS]):
        for seed, shape in enumerate(((), (1, 1, 7), (2, 5, 3, 13), (40000,))):

            def build(
                b: EngineBuilder, op: str = op, shape: tuple[int, ...] = shape, attributes: dict[str, Any] = attributes
            ) -> str:
                x = b.input("x", *shape, scale=3)
                if op in ("log", "sqrt"):
                    x = b.node("abs", x)
                return b.node(op, x, **attributes)

            yield Case(f"f32-{op}-{shape}-{number}".replace(" ", ""), op, build, bound, seed=seed)

        def special(b: EngineBuilder, op: str = op, attributes: dict[str, Any] = attributes) -> str:
            # silu and gelu of -infinity are 0 in the limit; numpy's formula says NaN
            values = SPECIAL[~np.isneginf(SPECIAL)] if op in ("silu", "gelu") else SPECIAL
            return b.node(op, b.feed("x", values.astype(np.float32)), **attributes)

        yield Case(f"f32-{op}-special-{number}", op, special, bound)

        for seed, (scale, zero_point) in enumerate(ACTIVATIONS):

            def integers(
                b: EngineBuilder,
                op: str = op,
                attributes: dict[str, Any] = attributes,
                q: tuple[float, int] = (scale, zero_point),
            ) -> list[str]:
                x = b.feed("x", np.arange(-128, 128, dtype=np.int8), quantization(*q))  # the whole table
                y = b.input_s8("y", 3, 7, 11, scale=q[0], zero_point=q[1])
                out = quantization(0.017, -q[1] - (q[1] == -128))
                return [b.node_as(op, [name], out, **attributes) for name in (x, y)]

            yield Case(f"s8-{op}-{scale}-{zero_point}-{number}", op, integers, exact, True, seed)


def conversions() -> Iterator[Case]:
    for seed, shape in enumerate(((), (5,), (2, 3, 4), (1, 2, 3, 37), (3, 20000))):
        for scale, zero_point in ((0.05, 3), (0.9, -128), (0.001, 127)):

            def convert(
                b: EngineBuilder, shape: tuple[int, ...] = shape, scale: float = scale, zero_point: int = zero_point
            ) -> list[str]:
                x = b.input("x", *shape, scale=3)
                y = b.quantize(x, scale, zero_point)
                z = b.node_as("requantize", [y], quantization(scale * 1.7, -zero_point // 2))
                return [y, b.dequantize(y), z, b.node_as("requantize", [z], quantization(scale * 0.3, 2))]

            name = f"{shape}-{scale}".replace(" ", "")
            for op in ("quantize_linear", "dequantize_linear", "requantize"):
                yield Case(f"s8-{op}-{name}", op, convert, exact, True, seed)

    for seed, (shape, axis) in enumerate(
        (((4, 6), 0), ((4, 6), 1), ((2, 3, 5, 7), 3), ((2, 3, 5, 7), 1), ((3, 1, 1), 0))
    ):

        def per_axis(b: EngineBuilder, shape: tuple[int, ...] = shape, axis: int = axis) -> list[str]:
            q = quantization(b.random.uniform(0.01, 0.1, shape[axis]), b.random.integers(-128, 128, shape[axis]), axis)
            y = b.node("quantize_linear", b.input("x", *shape), q=q)
            return [y, b.dequantize(y)]

        def constant_s32(b: EngineBuilder, shape: tuple[int, ...] = shape, axis: int = axis) -> str:
            data = b.random.integers(-(2**31), 2**31, shape).astype(np.int32)
            q = quantization(b.random.uniform(1e-4, 1e-3, shape[axis]), 0, axis)
            return b.node_as("dequantize_linear", [b.feed("x", data, q)], None)

        name = f"axis-{shape}-{axis}".replace(" ", "")
        yield Case(f"s8-quantize_linear-{name}", "quantize_linear", per_axis, exact, True, seed)
        yield Case(f"s8-dequantize_linear-{name}", "dequantize_linear", per_axis, exact, True, seed)
        yield Case(f"s32-dequantize_linear-{name}", "dequantize_linear", constant_s32, exact, seed=seed)

    # Pictures of 2 to 4 channels have a kernel of their own; 512 pixels are one block of it.
    for seed, (shape, perm) in enumerate(
        (
            ((1, 3, 5, 7), [0, 2, 3, 1]),
            ((2, 3, 33, 31), [0, 2, 3, 1]),
            ((2, 2, 32, 33), [0, 2, 3, 1]),
            ((1, 4, 700), [0, 2, 1]),
            ((1, 1, 6, 6), [0, 2, 3, 1]),
            ((1, 5, 16, 17), [0, 2, 3, 1]),
            ((2, 3, 4, 5), [3, 1, 0, 2]),
            ((7, 9), [1, 0]),
            ((2, 3, 4), [0, 1, 2]),
        )
    ):

        def transposed(b: EngineBuilder, shape: tuple[int, ...] = shape, perm: list[int] = perm) -> list[str]:
            x = b.input("x", *shape, scale=3)
            return [
                b.node("quantize_linear", x, q=quantization(s, z), perm=perm) for s, z in ((0.05, 3), (1e-30, -128))
            ]

        name = f"s8-quantize_linear-perm-{shape}-{perm}".replace(" ", "")
        yield Case(name, "quantize_linear", transposed, exact, True, seed)

    for seed, (scale, zero_point, to_scale, to_zero_point) in enumerate(
        ((1.0, 0, 1.0, -128), (0.02, 128, 0.02, 0), (0.02, 255, 0.05, -3), (1.0, 0, 1.0, -127))
    ):

        def from_u8(
            b: EngineBuilder,
            own: tuple[float, int] = (scale, zero_point),
            other: tuple[float, int] = (to_scale, to_zero_point),
        ) -> list[str]:
            every = b.feed("x", np.arange(256, dtype=np.uint8), quantization(*own))
            odd = b.feed("y", b.random.integers(0, 256, (3, 5, 33), np.uint8), quantization(*own))
            return [b.node_as("requantize", [x], quantization(*other)) for x in (every, odd)]

        yield Case(f"u8-requantize-{scale}-{zero_point}-{to_zero_point}", "requantize", from_u8, exact, True, seed)

    def special(b: EngineBuilder) -> str:
        return b.quantize(b.feed("x", SPECIAL.astype(np.float32)), 0.5, -7)

    def halves(b: EngineBuilder) -> str:
        return b.quantize(b.feed("x", np.arange(-200, 200, dtype=np.float32) / 2 * np.float32(0.25)), 0.25, 1)

    yield Case("s8-quantize_linear-special", "quantize_linear", special, exact, True)
    yield Case("s8-quantize_linear-halves", "quantize_linear", halves, exact, True)

    values: dict[str, Any] = {
        "f32": np.array(
            [0, -0.0, 0.9, -0.9, 1.5, -128.7, 127.9, 255.5, 256, -1, 3e9, -3e9, np.inf, -np.inf, np.nan], "f4"
        ),
        "s8": np.array([-128, -1, 0, 1, 127], np.int8),
        "u8": np.array([0, 1, 127, 128, 255], np.uint8),
        "s32": np.array([-(2**31), -129, -128, -1, 0, 127, 128, 255, 256, 2**24 + 1, 2**31 - 1], np.int32),
    }
    for source, data in values.items():
        for target in values:

            def cast(b: EngineBuilder, data: np.ndarray = data, target: str = target) -> str:
                return b.node_as("cast", [b.feed("x", data)], None, target)

            def cast_many(b: EngineBuilder, data: np.ndarray = data, target: str = target) -> str:
                return b.node_as("cast", [b.feed("x", np.resize(data, (3, 7001)))], None, target)

            yield Case(f"{source}-cast-{target}", "cast", cast, exact, source == "s8")
            yield Case(f"{source}-cast-{target}-many", "cast", cast_many, exact, source == "s8")


def cases() -> list[Case]:
    return [*binaries(), *unaries(), *conversions()]
