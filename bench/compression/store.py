"""From what training gives to the smallest file that says the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import whit
from whit.compression import Recipe
from whit.ir import Graph, LinearCodes
from whit.train import TrainResult

#: Biases are few; 8 bits of the largest of a layer are next to exact.
BIAS_STEPS = 127


def store(result: TrainResult, path: Path, name: str, bias_steps: int = BIAS_STEPS) -> int:
    """Writes the trained network at level archive and returns the size of the file.

    Rounded weights go in as the integers and the step that training ended with, so the file computes with exactly what
    was trained. Biases are rounded here, to multiples of the largest of their layer / `bias_steps`.
    """
    graph = result.graph
    for weight, codes in result.codes.items():
        graph.tensors[weight].codes = codes
    round_biases(graph, bias_steps)
    graph.name, graph.metadata = "", {}
    whit.compress(graph, path, Recipe(name, storage="archive"))
    return path.stat().st_size


def round_biases(graph: Graph, steps: int) -> None:
    """Rounds the biases of all layers, in place."""
    for node in graph.nodes:
        if node.op not in ("conv", "gemm") or len(node.inputs) < 3 or not node.inputs[2]:
            continue
        tensor = graph.tensors[node.inputs[2]]
        if tensor.data is None or tensor.codes is not None or not tensor.data.any():
            continue
        scale = np.float32(np.abs(tensor.data).max() / steps)
        whole = np.rint(tensor.data / scale).astype(np.int8)
        tensor.codes = LinearCodes(whole, np.array([scale]), np.zeros(1, np.int32))
        tensor.data = tensor.codes.dequantize()
