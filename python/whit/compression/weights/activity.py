"""How often channels fire: are anything but 0 behind their ReLU, on calibration data."""

from __future__ import annotations

import numpy as np

from whit.compression.calibrate import RunnerFactory, engine_runner
from whit.compression.weights.products import group_of, weights_of
from whit.data import Dataset
from whit.errors import CalibrationError
from whit.ir import PRODUCTS, Graph
from whit.progress import ProgressCallback, progress

__all__ = ["activity_scores"]

#: What the strength of a channel counts beside how often it fires: decides between those that fire equally often.
_STRENGTH = 1e-6


def activity_scores(
    graph: Graph,
    data: Dataset,
    *,
    runner: RunnerFactory = engine_runner,
    callback: ProgressCallback | None = None,
) -> dict[str, np.ndarray]:
    """The share of pixels and samples in which each output channel fires, f64 [O], by layer.

    Hu et al., "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep Architectures", 2016,
    where 1 minus it is called the average percentage of zeros. Layers that never give a 0 (nothing cuts their outputs
    off) are left out: it says nothing of them.

    Raises:
        CalibrationError: an output becomes NaN or infinite.
    """
    layers = {
        node.name: node.outputs[0]
        for node in graph.nodes
        if node.op in PRODUCTS and group_of(node) == 1 and weights_of(graph, node) is not None
    }
    known = {*graph.inputs, *graph.outputs}
    session = runner(graph, [name for name in layers.values() if name not in known])
    fired: dict[str, np.ndarray] = {}
    energy: dict[str, np.ndarray] = {}
    counts = dict.fromkeys(layers, 0)
    for index, feeds in enumerate(progress(data, len(data), "calibrate: activity", callback)):
        results = session.run(feeds)
        for layer, name in layers.items():
            rows = results[name].reshape(-1, results[name].shape[-1])
            if not np.isfinite(rows).all():
                raise CalibrationError(f"sample {index}: the output of layer {layer!r} becomes NaN or infinite")
            fired[layer] = fired.get(layer, 0) + np.count_nonzero(rows, axis=0)
            energy[layer] = energy.get(layer, 0) + np.einsum("nc,nc->c", rows, rows, dtype=np.float64)
            counts[layer] += len(rows)
    return {
        layer: fired[layer] / counts[layer] + _STRENGTH * energy[layer] / max(float(energy[layer].max()), 1e-300)
        for layer in layers
        if counts[layer] and (fired[layer] < counts[layer]).any()
    }
