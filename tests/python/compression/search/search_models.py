"""A small classifier whose layers differ in how much they bear, and samples of it."""

from __future__ import annotations

import numpy as np

from whit.ir import Graph, Node, Tensor

CLASSES, INPUTS, HIDDEN = 5, 32, 48


def model(names: tuple[str, str, str] = ("first", "middle", "last"), seed: int = 0) -> Graph:
    """Three dense layers; the middle one is of low rank, and its weights hardly count."""
    rng = np.random.default_rng(seed)
    graph = Graph("small", inputs=["x"], outputs=["scores"])
    graph.add_tensor(Tensor("x", "f32", ("N", INPUTS)))
    sizes = (INPUTS, HIDDEN, HIDDEN, CLASSES)
    source = "x"
    for index, name in enumerate(names):
        inputs, outputs = sizes[index : index + 2]
        weights = rng.normal(0, (2 / inputs) ** 0.5, (outputs, inputs))
        if index == 1:
            weights = np.eye(outputs) + rng.normal(0, 0.02, (outputs, 2)) @ rng.normal(0, 0.3, (2, inputs))
        out = "scores" if index == 2 else f"hidden{index}"
        graph.add_tensor(Tensor(out, "f32", ("N", outputs)))
        constants = [
            graph.add_constant(f"w{index}", weights.astype(np.float32)),
            graph.add_constant(f"b{index}", rng.normal(0, 0.1, outputs).astype(np.float32)),
        ]
        limits = {} if index == 2 else {"clamp_min": 0.0, "clamp_max": float("inf")}
        graph.nodes.append(Node("gemm", name, [source, *constants], [out], limits))
        source = out
    return graph


def samples(count: int = 64, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 1, INPUTS)).astype(np.float32)


#: Enough to choose from, quick to try, no data needed.
FEW = (
    {"quantize": {"bits": 8}},
    {"quantize": {"bits": 4}},
    {"quantize": {"bits": 2}},
    {"cluster": {"entries": 4}},
    {},
)
OPTIONS = {"recipe": {"name": "int8-weights", "storage": "coded"}, "candidates": FEW, "samples": 8, "threads": 1}
