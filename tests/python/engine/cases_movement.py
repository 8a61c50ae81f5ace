"""Cases of the operators that move data, in every dtype."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from builder import quantization
from engine_graphs import Case, EngineBuilder, exact

DTYPES = ("f32", "s8", "u8", "s32", "s16", "f16")


def feed(b: EngineBuilder, dtype: str, name: str, *shape: int) -> str:
    """Values that are all different as far as the dtype has them; s8 is quantised."""
    if dtype == "s8":
        return b.input_s8(name, *shape, zero_point=-128)
    data = b.random.integers(0, 256, shape)
    kinds = {"f32": np.float32, "u8": np.uint8, "s32": np.int32, "s16": np.int16, "f16": np.float16}
    return b.feed(name, data.astype(kinds[dtype]))


#: operator -> ((shape of x, attributes), ...)
MOVES: dict[str, tuple[tuple[tuple[int, ...], dict[str, Any]], ...]] = {
    "reshape": (
        ((2, 3, 4), {"shape": [6, 4]}),
        ((2, 3, 4), {"shape": [0, -1]}),
        ((1, 1), {"shape": []}),
        ((2, 3, 4, 5), {"shape": [1, 120, 1, 1]}),
    ),
    "squeeze": (((1, 3, 1, 4), {"axes": [0, 2]}), ((1, 1), {"axes": [1]}), ((2, 1, 5), {"axes": [1]})),
    "unsqueeze": (((3, 4), {"axes": [0]}), ((3,), {"axes": [0, 2]}), ((), {"axes": [0]})),
    "transpose": (
        ((3, 4), {"perm": [1, 0]}),
        ((2, 3, 4), {"perm": [2, 0, 1]}),
        ((2, 3, 4, 5), {"perm": [0, 2, 3, 1]}),
        ((2, 3, 4, 5), {"perm": [3, 1, 0, 2]}),
        ((1, 5, 1, 6), {"perm": [2, 1, 0, 3]}),
        ((2, 1, 3, 2, 1, 2), {"perm": [5, 3, 1, 0, 4, 2]}),
        ((4,), {"perm": [0]}),
        ((1, 3, 70, 65), {"perm": [0, 2, 3, 1]}),
        ((17, 129), {"perm": [1, 0]}),
    ),
    "expand": (
        ((3, 1), {"shape": [3, 4]}),
        ((1,), {"shape": [2, 3, 5]}),
        ((2, 1, 3), {"shape": [1, 4, 1]}),
        ((), {"shape": [2, 2]}),
    ),
    "slice": (
        ((7,), {"starts": [1], "ends": [6], "axes": [0], "steps": [2]}),
        ((5, 6), {"starts": [-1], "ends": [-100], "axes": [1], "steps": [-1]}),
        ((4, 5, 6), {"starts": [1, 4], "ends": [3, 0], "axes": [0, 2], "steps": [1, -2]}),
        ((2, 3, 4, 5), {"starts": [0, 1, 2], "ends": [2**62, 3, -1], "axes": [1, 2, 3], "steps": [2, 1, 1]}),
        ((2, 40, 50), {"starts": [3], "ends": [33], "axes": [1], "steps": [1]}),
        ((3, 3), {"starts": [], "ends": [], "axes": [], "steps": []}),
    ),
    "pad": (
        ((3, 4), {"mode": "constant", "pads": [1, 0, 2, 3], "value": 1.5}),
        ((2, 3, 4, 5), {"mode": "constant", "pads": [0, 1, 2, 0, 0, 1, 0, 1], "value": 0.0}),
        ((3, 4), {"mode": "constant", "pads": [0, 0, 0, 0], "value": 9.0}),
        ((3, 5), {"mode": "reflect", "pads": [2, 1, 1, 4], "value": 0.0}),
        ((1, 4, 3, 2), {"mode": "reflect", "pads": [0, 3, 2, 1, 0, 1, 0, 0], "value": 0.0}),
        ((2, 3), {"mode": "edge", "pads": [3, 0, 1, 5], "value": 0.0}),
        ((4,), {"mode": "edge", "pads": [7, 9], "value": 0.0}),
        ((1, 60, 60, 7), {"mode": "constant", "pads": [0, 1, 1, 0, 0, 1, 1, 0], "value": -3.0}),
    ),
    "depth_to_space": (
        ((1, 2, 3, 8), {"blocksize": 2, "mode": "DCR"}),
        ((2, 3, 2, 12), {"blocksize": 2, "mode": "CRD"}),
        ((1, 2, 2, 9), {"blocksize": 3, "mode": "CRD"}),
        ((1, 3, 3, 4), {"blocksize": 1, "mode": "DCR"}),
    ),
}


def moves() -> Iterator[Case]:
    for op, layouts in MOVES.items():
        for seed, (shape, attributes) in enumerate(layouts):
            for dtype in DTYPES:
                if op == "pad" and (dtype == "f16" or (dtype == "u8" and attributes["value"] < 0)):
                    continue  # f16 pads with 0 alone; a value below u8 is clamped, which numpy does not do
                if op == "pad" and dtype not in ("f32", "s8") and attributes["value"] % 1:
                    continue

                def build(
                    b: EngineBuilder,
                    op: str = op,
                    dtype: str = dtype,
                    shape: tuple[int, ...] = shape,
                    attributes: dict[str, Any] = attributes,
                ) -> str:
                    return b.node(op, feed(b, dtype, "x", *shape), **attributes)

                yield Case(f"{dtype}-{op}-{seed}", op, build, exact, dtype == "s8", seed)


def joins() -> Iterator[Case]:
    concats: tuple[tuple[tuple[tuple[int, ...], ...], int], ...] = (
        (((2, 3), (2, 5)), 1),
        (((2, 3), (1, 3), (4, 3)), 0),
        (((2, 3, 4, 5), (2, 3, 4, 1), (2, 3, 4, 7)), 3),
        (((1, 2, 1), (1, 2, 1)), 2),
        (((3,),), 0),
        (((1, 9, 9, 70), (1, 9, 9, 33)), 3),
    )
    splits: tuple[tuple[tuple[int, ...], int, list[int], int], ...] = (
        ((6, 4), 0, [], 3),
        ((2, 9), 1, [2, 3, 4], 3),
        ((2, 3, 8, 5), 2, [1, 7], 2),
        ((1, 5, 6), 1, [5], 1),
        ((2, 40, 66), 2, [], 2),
    )
    gathers: tuple[tuple[tuple[int, ...], list[Any], int], ...] = (
        ((5, 3), [4, 0, -1], 0),
        ((2, 6, 3), [[1, 1], [-6, 5]], 1),
        ((2, 3, 4, 5), [2], 3),
        ((4,), 3, 0),  # type: ignore[arg-type]
        ((3, 200, 70), list(range(0, 200, 3)), 1),
    )
    for dtype in DTYPES:
        for seed, (shapes, axis) in enumerate(concats):

            def concat(b: EngineBuilder, dtype: str = dtype, shapes: tuple[Any, ...] = shapes, axis: int = axis) -> str:
                names = [feed(b, dtype, f"x{i}", *shape) for i, shape in enumerate(shapes)]
                return b.node("concat", *names, axis=axis)

            yield Case(f"{dtype}-concat-{seed}", "concat", concat, exact, dtype == "s8", seed)
        for seed, (shape, axis, sizes, parts) in enumerate(splits):

            def split(
                b: EngineBuilder,
                dtype: str = dtype,
                shape: tuple[int, ...] = shape,
                axis: int = axis,
                sizes: list[int] = sizes,
                parts: int = parts,
            ) -> list[str]:
                outputs = b.nodes("split", feed(b, dtype, "x", *shape), outputs=parts, axis=axis, sizes=sizes)
                if parts == 3:  # nobody wants the one in the middle
                    outputs[1] = ""
                b.graph.nodes[-1].outputs = outputs
                return [output for output in outputs if output]

            yield Case(f"{dtype}-split-{seed}", "split", split, exact, dtype == "s8", seed)
        for seed, (shape, indices, axis) in enumerate(gathers):

            def gather(
                b: EngineBuilder,
                dtype: str = dtype,
                shape: tuple[int, ...] = shape,
                indices: Any = indices,
                axis: int = axis,
            ) -> list[str]:
                x, at = feed(b, dtype, "x", *shape), np.array(indices, np.int32)
                return [b.node("gather", x, name, axis=axis) for name in (b.constant(at), b.feed("at", at))]

            yield Case(f"{dtype}-gather-{seed}", "gather", gather, exact, dtype == "s8", seed)


def pads_of_s8() -> Iterator[Case]:
    """The value is real: its nearest step, clamped."""
    for seed, value in enumerate((0.0, 0.26, -100.0, 100.0, float("-inf"))):

        def build(b: EngineBuilder, value: float = value) -> str:
            x = b.feed("x", b.any_s8(2, 3), quantization(0.5, -9))
            return b.node("pad", x, mode="constant", pads=[1, 1, 1, 1], value=value)

        yield Case(f"s8-pad-value-{value}", "pad", build, exact, True, seed)


def cases() -> list[Case]:
    return [*moves(), *joins(), *pads_of_s8()]
