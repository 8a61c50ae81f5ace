"""Removes layers and residual branches that do next to nothing, as measured on calibration data.

A layer whose output has the shape of a tensor that it reads is a candidate to be replaced by that tensor: a residual
addition (of its own, or inside a product) by either side, any other by its input; clamp and activation stay. How much
each changes its own output says which to try first; a layer goes if the outputs of the whole model, with everything
that went before, change by no more than the threshold. That trained residual branches can be left out is Veit et al.,
"Residual Networks Behave Like Ensembles of Relatively Shallow Networks", 2016; doing it by what is measured, Gromov et
al., "The Unreasonable Ineffectiveness of the Deeper Layers", 2024.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whit.compression.calibrate import RunnerFactory, engine_runner
from whit.compression.weights.checks import check_share
from whit.compression.weights.products import EPILOGUE, is_plain
from whit.data import Dataset
from whit.errors import CalibrationError
from whit.ir import Graph, Node, verify
from whit.optimize.base import attribute_str, clone, redirect
from whit.progress import ProgressCallback, progress

__all__ = ["LayerRemoval", "Shortcut", "measure_shortcuts", "remove_layers"]

_CANDIDATES = frozenset(
    {
        *("conv", "conv_transpose", "gemm", "add", "sub", "mul", "div", "max_pool", "average_pool", "resize"),
        *("layer_normalization", "mat_mul", "prelu"),
    }
)


@dataclass(frozen=True)
class Shortcut:
    """A layer that could be replaced by one of its inputs.

    Attributes:
        layer: its name.
        output: the tensor it computes.
        source: the tensor that would take its place, after the layer's activation and clamp.
        position: of that among the layer's inputs.
        change: sum of squares of the difference over that of the output.
    """

    layer: str
    output: str
    source: str
    position: int
    change: float


@dataclass(frozen=True, eq=False)
class LayerRemoval:
    """What was removed.

    Attributes:
        graph: a new graph.
        removed: what was replaced, in the order in which it was done.
        change: of the model's outputs, the largest of all: sum of squares of the difference over that of the output.
    """

    graph: Graph
    removed: tuple[Shortcut, ...]
    change: float


def measure_shortcuts(
    graph: Graph, data: Dataset, *, runner: RunnerFactory = engine_runner, callback: ProgressCallback | None = None
) -> list[Shortcut]:
    """Every candidate of an f32 graph, least change first.

    Raises:
        CalibrationError: a tensor becomes NaN or infinite.
    """
    candidates = _candidates(graph)
    wanted = dict.fromkeys(name for node, source, _ in candidates for name in (node.outputs[0], source))
    known = {*graph.inputs, *graph.outputs}
    session = runner(graph, [name for name in wanted if name not in known])
    noise, signal = np.zeros(len(candidates)), np.zeros(len(candidates))
    for sample, feeds in enumerate(progress(data, len(data), "calibrate: layers", callback)):
        values: Mapping[str, np.ndarray] = {**session.run(feeds), **feeds}
        for index, (node, source, _) in enumerate(candidates):
            output = values[node.outputs[0]].astype(np.float64)
            if output.shape != values[source].shape:
                noise[index] = math.inf
                continue
            noise[index] += float(np.square(output - _epilogue(node, values[source].astype(np.float64))).sum())
            signal[index] += float(np.square(output).sum())
            if not math.isfinite(signal[index]):
                raise CalibrationError(
                    f"sample {sample}: the output of layer {node.name!r} becomes NaN or infinite; "
                    "check the sample and its preprocessing"
                )
    found = [
        Shortcut(node.name, node.outputs[0], source, position, _ratio(float(noise[index]), float(signal[index])))
        for index, (node, source, position) in enumerate(candidates)
    ]
    return sorted(found, key=lambda each: each.change)


def remove_layers(
    graph: Graph,
    data: Dataset,
    *,
    threshold: float = 1e-3,
    layers: Container[str] | None = None,
    runner: RunnerFactory = engine_runner,
    callback: ProgressCallback | None = None,
) -> LayerRemoval:
    """Removes what changes neither its own output nor those of the model by more than `threshold`.

    Args:
        graph: f32; not changed.
        data: calibration data; it runs once for every candidate below the threshold.
        threshold: relative change in sums of squares (0.001: a signal-to-noise ratio of 30 dB).
        layers: names of those that may go; None: all.
        runner: makes what runs the graph.
        callback: of progress.

    Raises:
        RecipeError: threshold out of 0..1.
        CalibrationError: a tensor becomes NaN or infinite.
    """
    check_share("threshold", threshold, "layers")
    shortcuts = measure_shortcuts(graph, data, runner=runner, callback=callback)
    reference: list[dict[str, np.ndarray]] | None = None
    current, removed, change = graph, [], 0.0
    for shortcut in shortcuts:
        if shortcut.change > threshold:
            break
        if layers is not None and shortcut.layer not in layers:
            continue
        trial = clone(current)
        if not _replace(trial, shortcut):
            continue
        if reference is None:
            reference = _outputs(graph, data, runner)
        found = _change(reference, _outputs(trial, data, runner))
        if found <= threshold:
            current, change = trial, found
            removed.append(shortcut)
    if current is not graph:
        verify(current)
    return LayerRemoval(current, tuple(removed), change)


def _candidates(graph: Graph) -> list[tuple[Node, str, int]]:
    found = []
    for node in graph.nodes:
        if node.op not in _CANDIDATES or len([name for name in node.outputs if name]) != 1:
            continue
        output = graph.tensors[node.outputs[0]]
        for position in (0, 1, 3):
            name = node.inputs[position] if position < len(node.inputs) else ""
            tensor = graph.tensors.get(name)
            fits = (
                tensor is not None
                and not tensor.is_constant
                and tensor.dtype == output.dtype == "f32"
                and tensor.shape is not None
                and tensor.shape == output.shape
            )
            # With a residual the product is the branch; its input is no shortcut past both.
            if fits and not (position == 0 and node.input(3)) and _has_operator(node):
                found.append((node, name, position))
    return found


def _has_operator(node: Node) -> bool:
    """Activation and clamp can be done by one operator, or there are none."""
    clamped = any(math.isfinite(_bound(node, name)) for name in ("clamp_min", "clamp_max"))
    return not (clamped and attribute_str(node, "activation"))


def _bound(node: Node, name: str) -> float:
    value = node.attributes.get(name, -math.inf if name == "clamp_min" else math.inf)
    assert isinstance(value, (int, float)), name
    return float(value)


def _epilogue(node: Node, values: np.ndarray) -> np.ndarray:
    """What the layer does to its sums, done to its shortcut."""
    if attribute_str(node, "activation") == "hard_swish":
        return np.asarray(values * np.clip(values + 3, 0, 6) / 6)
    return np.asarray(np.clip(values, _bound(node, "clamp_min"), _bound(node, "clamp_max")))


def _replace(graph: Graph, shortcut: Shortcut) -> bool:
    """Puts the source in the layer's place; False where it cannot be, or the layer is gone already."""
    # By name: redirecting renames tensors.
    node = next((node for node in graph.nodes if node.name == shortcut.layer), None)
    if node is None or len(node.inputs) <= shortcut.position:
        return False
    source = node.inputs[shortcut.position]
    if _is_sum(node):
        if not redirect(graph, node.outputs[0], source):
            return False
    else:
        activation = attribute_str(node, "activation")
        node.op = activation or "clip"
        node.inputs = [source]
        kept = {} if activation else {name: _bound(node, name) for name in EPILOGUE[1:]}
        node.attributes = dict(kept)
    graph.prune()
    return True


def _is_sum(node: Node) -> bool:
    """No activation and no clamp; a residual does not matter here."""
    return is_plain(Node(node.op, node.name, node.inputs[:3], node.outputs, node.attributes))


def _outputs(graph: Graph, data: Dataset, runner: RunnerFactory) -> list[dict[str, np.ndarray]]:
    session = runner(graph, [])
    return [{name: np.array(values) for name, values in session.run(feeds).items()} for feeds in data]


def _change(reference: Sequence[Mapping[str, np.ndarray]], other: Sequence[Mapping[str, np.ndarray]]) -> float:
    """The largest relative change of an output over all samples."""
    noise: dict[str, float] = {}
    signal: dict[str, float] = {}
    for before, after in zip(reference, other, strict=True):
        for name, values in before.items():
            wide = values.astype(np.float64)
            noise[name] = noise.get(name, 0.0) + float(np.square(after[name] - wide).sum())
            signal[name] = signal.get(name, 0.0) + float(np.square(wide).sum())
    return max((_ratio(noise[name], signal[name]) for name in noise), default=0.0)


def _ratio(noise: float, signal: float) -> float:
    if noise == 0:
        return 0.0
    return noise / signal if signal > 0 and math.isfinite(noise) else math.inf
