"""A binary 3x3 convolution beside Larq Compute Engine's and beside everybody's in s8, in one interleaved run.

The network is one convolution of inputs +1 and -1 with padding of zeros, as f32 ONNX. Its weights are spread about +1
and -1. In s8 they are weights like others, and computed with as the README of the bench says; in bits they are signs
alone. whit takes s8 signs, which it packs, and gives s8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench import machine, report
from bench.bits.larq import Larq
from bench.bits.rows import judge
from bench.cases import Case
from bench.compression.table import Row
from bench.contenders import contenders
from bench.contenders.base import Prepared, Quantization
from bench.contenders.whit import Whit
from bench.files import Files
from bench.run import Bench, Options
from whit.format import write
from whit.ir import Graph, Node, Tensor
from whit.ir import Quantization as Steps
from whit.optimize import optimize

#: Pixels of a side, channels in and out.
SHAPES = ((56, 64), (28, 128), (14, 256), (7, 512))
#: What withholds AMX and nothing else, in whit's words.
WITHOUT_AMX = "avx512icl"
_SAMPLES = 4
_WHAT = "binary 3x3 convolution beside"


class Bits(Whit):
    """whit in bits; in its results they are no s8, which Bench knows no other word for."""

    name = "whit b1"
    variants: ClassVar = {"b1": "s8"}

    def prepare(self, files: Files, variant: str) -> Prepared:  # noqa: ARG002
        _, output = files.ends("s8")
        path = files.folder / "b1.whit"
        path.write_bytes(_file(files, output))
        return Prepared([str(path)], Quantization("s8", 1.0, 0), output, channels_last=True, note="packs its s8 input")


def cases() -> list[Case]:
    return [
        Case(
            f"b1 3x3 {side}x{side}x{channels}", True, partial(_network, side, channels), partial(_signs, channels, side)
        )
        for side, channels in SHAPES
    ]


def weights(files: Files) -> np.ndarray:
    """The signs of those of the convolution, s8 [O, H, W, I]."""
    return np.ascontiguousarray(np.where(_constant(files, "weight").transpose(0, 2, 3, 1) < 0, -1, 1).astype(np.int8))


def bias(files: Files) -> np.ndarray:
    """Of the convolution, f32 [O]."""
    return _constant(files, "bias")


def _constant(files: Files, name: str) -> np.ndarray:
    found = onnx.load(files.f32().paths[0]).graph.initializer
    return np.asarray(numpy_helper.to_array(next(each for each in found if each.name == name)))


def measure(threads: int, larq: str, work: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """Rows of `bench.report`, twice where there is AMX: withheld, and for all."""
    everybody = {"whit b1": Bits(), "larq": Larq(larq), **contenders()}
    rows: list[report.Row] = []
    for isa in [WITHOUT_AMX, None] if machine.has_amx() else [None]:
        options = Options((threads,), ("s8",), seconds, rounds, isa)
        rows += Bench(everybody, options, work).rows(cases())
    return {"amx": machine.has_amx(), "rows": [asdict(row) for row in rows]}


def judged(content: dict[str, Any]) -> list[Row]:
    """Each row by the shape where whit does worst."""
    isa = WITHOUT_AMX if content["amx"] else ""
    larq = judge("larq", f"{_WHAT} Larq Compute Engine: times as fast", _against(content, isa, is_larq), 20, 60)
    if indirect := _against(content, isa, lambda row: row.variant == "indirect"):
        larq.reached += f"; beside its indirect kernels, which it runs if asked: {min(indirect.values()):.2f}"
    found = [larq]
    s8 = _against(content, isa, is_s8)
    found.append(judge("s8", f"{_WHAT} the best s8, AMX withheld: times as fast", s8, 1.5, 2.5))
    with_amx = _against(content, "", is_s8) if content["amx"] else {}
    found.append(
        judge("s8_amx", f"{_WHAT} the best s8, AMX for all: times as fast", with_amx, 1.0, 1.3, "this CPU has no AMX")
    )
    return found


def is_larq(row: report.Row) -> bool:
    """As it runs unless it is asked otherwise."""
    return row.contender == "larq" and row.variant == "default"


def is_s8(row: report.Row) -> bool:
    return row.contender not in ("larq", "whit b1")


def rows_of(content: dict[str, Any], isa: str) -> dict[str, list[report.Row]]:
    """case -> what was timed in it. Whoever could not be kept to `isa` is left out."""
    found: dict[str, list[report.Row]] = {}
    for row in (report.Row(**row) for row in content["rows"]):
        if row.isa == isa and row.median and "cannot be kept" not in row.note:
            found.setdefault(row.case, []).append(row)
    return found


def _against(content: dict[str, Any], isa: str, whom: Callable[[report.Row], bool]) -> dict[str, float]:
    """shape -> the least time of `whom` over that of whit in bits; nothing if a shape is missing."""
    ratios = {}
    for case, rows in rows_of(content, isa).items():
        mine, others = report.best(rows, "whit b1"), [row.median for row in rows if whom(row) and row.median]
        if mine and mine.median and others:
            ratios[case.split()[-1]] = min(others) / mine.median
    return ratios if len(ratios) == len(SHAPES) else {}


def markdown(content: dict[str, Any]) -> str:
    """Microseconds and GOP/s, a row for each contender."""
    lines = []
    for isa in [WITHOUT_AMX, ""] if content["amx"] else [""]:
        of_cases = rows_of(content, isa)
        names = dict.fromkeys(f"{row.contender} {row.variant}" for rows in of_cases.values() for row in rows)
        head = "AMX withheld" if isa else "AMX for all" if content["amx"] else "no AMX"
        lines += [
            f"| {head}: us, GOP/s | {' | '.join(case.split()[-1] for case in of_cases)} |",
            f"|---|{'--:|' * len(of_cases)}",
        ]
        for name in names:
            cells = []
            for rows in of_cases.values():
                row = next((row for row in rows if f"{row.contender} {row.variant}" == name), None)
                cells.append(f"{row.median * 1e6:.0f}, {row.gops:.0f}" if row and row.median else "-")
            lines.append(f"| {name.replace('whit b1 b1', 'whit b1')} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _network(side: int, channels: int) -> onnx.ModelProto:
    random = np.random.default_rng(1)
    bias = random.integers(-9, 10, channels).astype(np.float32)
    weight = _signs(channels, 3, seed=2, count=channels)
    weight *= random.uniform(0.75, 1.25, weight.shape).astype(np.float32)
    constants = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")]
    shape = (1, channels, side, side)
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("input", "output")]
    window = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1]}
    node = helper.make_node("Conv", ["input", "weight", "bias"], ["output"], **window)
    graph = helper.make_graph([node], "binary", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _signs(channels: int, side: int, seed: int = 0, count: int = _SAMPLES) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.where(random.random((count, channels, side, side)) < 0.5, -1, 1).astype(np.float32)


def _file(files: Files, output: Quantization) -> bytes:
    """The convolution as a .whit file: s8 of +1 and -1 to s8, NHWC."""
    _, channels, height, width = files.input_shape()
    shape = (1, height, width, channels)

    def steps(scale: float, zero_point: int) -> Steps:
        return Steps(np.array([scale], np.float32), np.array([zero_point], np.int32))

    graph = Graph("binary", inputs=["x"], outputs=["y"])
    graph.add_tensor(Tensor("x", "s8", shape, steps(1, 0)))
    graph.add_tensor(Tensor("y", "s8", shape, steps(output.scale, output.zero_point)))
    for name in ("numbers", "signs", "sums"):
        graph.add_tensor(Tensor(name, "f32", shape))
    constants = [
        graph.add_constant("weight", weights(files).astype(np.float32)),
        graph.add_constant("bias", bias(files)),
    ]
    window: dict[str, Any] = {"strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1], "group": 1}
    graph.nodes = [
        Node("dequantize_linear", "from_s8", ["x"], ["numbers"]),
        Node("binarize", "signs", ["numbers"], ["signs"]),
        Node("conv", "conv", ["signs", *constants], ["sums"], window),
        Node("quantize_linear", "to_s8", ["sums"], ["y"]),
    ]
    return write(optimize(graph))
