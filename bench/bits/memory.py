"""Bytes that a weight of 4 bits takes in a model that runs: what is packed for this CPU, and the scales."""

from __future__ import annotations

from typing import Any

import numpy as np

import whit
from bench.bits.rows import judge
from bench.compression.table import Row
from whit.format import write
from whit.ir import Graph, Node, Quantization, Tensor

#: Outputs and inputs of a fully connected layer.
SHAPES = ((1000, 1280), (4096, 4096))


def measure() -> dict[str, Any]:
    """Bytes a weight, of each way to have scales and each shape."""
    return {
        "per channel": {f"{n}x{k}": per_channel(n, k) for n, k in SHAPES},
        "groups of 32": {f"{n}x{k}": groups(n, k) for n, k in SHAPES},
    }


def judged(content: dict[str, Any]) -> list[Row]:
    """Less is better, so that the largest decides."""
    what = "4-bit weights while running: bytes a weight, scales included"
    return [
        judge("w4_bytes", f"{what}, per channel", content["per channel"], 0.55, 0.52, less=True),
        judge("w4_group_bytes", f"{what}, groups of 32 with f16", content["groups of 32"], 0.60, 0.57, less=True),
    ]


def per_channel(n: int, k: int) -> float:
    """Of a layer of s8 in and s8 out. Its scales, f32, are kept beside the packed weights."""
    codes, graph = _codes(n, k), Graph("w4", inputs=["x"], outputs=["y"])
    graph.add_tensor(Tensor("x", "s8", (1, k), _steps(0.05)))
    graph.add_tensor(Tensor("y", "s8", (1, n), _steps(0.1)))
    scales = Quantization(np.full(n, 0.01, np.float32), np.zeros(n, np.int32), 0)
    graph.nodes = [Node("gemm", "gemm", ["x", graph.add_constant("w", codes, scales)], ["y"])]
    return (_packed_bytes(graph, np.zeros((1, k), np.int8)) + scales.scale.nbytes) / codes.size


def groups(n: int, k: int) -> float:
    """Of a layer of f32 in and out, whose input is rounded while it runs. Its scales are among the packed weights."""
    codes, graph = _codes(n, k), Graph("w4", inputs=["x"], outputs=["y"])
    graph.add_tensor(Tensor("x", "f32", (1, k)))
    graph.add_tensor(Tensor("y", "f32", (1, n)))
    scales = Quantization.by_groups(np.full((n, -(-k // Quantization.GROUP)), 0.125), 2)
    weights = graph.add_constant("w", codes, scales)
    graph.nodes = [Node("gemm", "gemm", ["x", weights], ["y"], {"dynamic": 1})]
    return _packed_bytes(graph, np.zeros((1, k), np.float32)) / codes.size


def _codes(n: int, k: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-8, 8, (n, k)).astype(np.int8)


def _steps(scale: float) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.zeros(1, np.int32))


def _packed_bytes(graph: Graph, x: np.ndarray) -> int:
    with whit.load(write(graph), 1) as model:
        kernels = [node.kernel for node in model.profile({"x": x}, runs=1).nodes]
        assert any("w4" in kernel for kernel in kernels), kernels
        return model.packed_bytes
