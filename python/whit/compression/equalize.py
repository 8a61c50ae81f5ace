"""Brings the channels of an activation to one range, so that one scale per tensor serves all of them.

Where channel c of a tensor is computed by one row of weights and read by weights again, that row may be multiplied by
a factor s[c] and the reading weights divided by it: the f32 model stays the same (Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction", 2019). Legal for tensors

* computed by a product (or a pool, a mean over pixels, a change of shape that keeps the channels of such a tensor),
* without activation, or with a clamp from 0; under a finite clamp m, s[c] is at least 1 and keeps the largest value
  seen below a third of m, so that the clamp cuts off nothing that calibration data did not come near,
* read by products alone; tensors tied by a residual addition get the same factors.

How far to go is a matter of balance: large factors move the trouble into the reading weights. For each group of tensors
the factors with the least estimated noise are taken out of a few, "no change" among them.

Factors are powers of 2^(1/4), so that a file can say in one byte per channel what was done.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from whit.compression.calibrate import Statistics
from whit.compression.plan import Plan, has_residual
from whit.ir import PRODUCTS, Graph, Node

__all__ = ["decode_factors", "encode_factors", "equalize"]

#: A channel is never believed to stay smaller than this share of the largest.
_MAX_FACTOR = 32.0
#: Under a finite clamp a channel may become this much larger than it was on calibration data. Less hurts models whose
#: channels are rarely active (EfficientNet-Lite), more takes away what others gain (MobileNetV2).
_HEADROOM = 3.0
#: Estimated noise must fall to this share of what it was.
_WORTHWHILE = 0.9
_ALPHAS = (0.25, 0.5, 0.75, 1.0)
_KEEP_CHANNELS = frozenset(("reduce_mean", "average_pool", "max_pool", "reduce_max", "squeeze", "reshape"))


@dataclass
class _Group:
    """Tensors that share factors."""

    tensors: list[str] = field(default_factory=list)
    writers: list[Node] = field(default_factory=list)
    readers: list[Node] = field(default_factory=list)
    limit: float = math.inf


def equalize(
    graph: Graph, plan: Plan, statistics: Mapping[str, Statistics], kept: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Equalises the planned tensors of a graph, in place, and adjusts the statistics to what they would be now.

    Left alone are the tensors of `kept`, and those next to weights that have codes: scaled, they would lie on no grid.

    Returns:
        Tensor -> its factors, f64 [C].
    """
    result: dict[str, np.ndarray] = {}
    for group in _groups(graph, plan, kept):
        observed = [name for name in group.tensors if name in statistics]
        channels = {statistics[name].low.size for name in observed}
        if not group.readers or len(channels) != 1 or channels == {1}:
            continue
        factors = _choose(graph, group, statistics, observed)
        if np.all(factors == 1):
            continue
        for node in group.writers:
            _scale_rows(graph, node, factors)
        for node in group.readers:
            _scale_columns(graph, node, 1 / factors)
        for name in observed:
            statistics[name].scale(factors)
        result.update(dict.fromkeys(group.tensors, factors))
    return result


def encode_factors(factors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Tensor -> base64 of one signed byte per channel: 4 * log2(factor)."""
    steps = {name: np.rint(4 * np.log2(values)).astype(np.int8) for name, values in factors.items()}
    return {name: base64.b64encode(values.tobytes()).decode() for name, values in steps.items()}


def decode_factors(stored: object) -> dict[str, np.ndarray]:
    """The reverse; what is not understood is left out."""
    result: dict[str, np.ndarray] = {}
    for name, text in stored.items() if isinstance(stored, Mapping) else ():
        try:
            steps = np.frombuffer(base64.b64decode(text, validate=True), np.int8)
        except (TypeError, ValueError):
            continue
        result[str(name)] = np.exp2(steps / 4.0)
    return result


# --- which tensors ---


def _groups(graph: Graph, plan: Plan, kept: Collection[str]) -> Iterator[_Group]:
    """Groups of tensors that may be scaled, in the order of the graph."""
    parent = {name: name for node in graph.nodes for name in node.outputs if name}
    fixed = {name for name in parent if name in graph.outputs or name in kept or name not in plan.groups}

    def find(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def tie(a: str, b: str) -> None:
        if a not in parent or b not in parent:  # an input of the graph or a constant
            fixed.update(name for name in (a, b) if name in parent)
        else:
            parent[find(a)] = find(b)

    for node in graph.nodes:
        output = node.outputs[0]
        if node.op in PRODUCTS and node in plan.nodes:
            if not _is_scalable(node):
                fixed.add(output)
            if graph.tensors[node.inputs[1]].codes is not None:
                fixed.update(name for name in (node.inputs[0], output) if name in parent)
            if has_residual(node):
                tie(node.inputs[3], output)
        elif node in plan.nodes and node.op in _KEEP_CHANNELS and _keeps_channels(graph, node):
            tie(node.inputs[0], output)
        else:
            fixed.update(name for name in (*node.inputs, *node.outputs) if name in parent)
    roots = {find(name) for name in fixed}
    groups: dict[str, _Group] = {}
    for node in graph.nodes:
        if node.op in PRODUCTS and node.inputs[0] in parent and find(node.inputs[0]) not in roots:
            groups.setdefault(find(node.inputs[0]), _Group()).readers.append(node)
        for name in node.outputs:
            if name and find(name) not in roots:
                group = groups.setdefault(find(name), _Group())
                group.tensors.append(name)
                if node.op in PRODUCTS:
                    group.writers.append(node)
                    group.limit = min(group.limit, _bound(node, "clamp_max", math.inf))
    yield from groups.values()


def _is_scalable(node: Node) -> bool:
    if node.attributes.get("activation", ""):
        return False
    low, high = _bound(node, "clamp_min", -math.inf), _bound(node, "clamp_max", math.inf)
    # What comes after a residual addition may exceed what was seen in other ways; leave finite clamps there alone.
    if has_residual(node) and high < math.inf:
        return False
    return high > 0 and (low == 0 or (low == -math.inf and high == math.inf))


def _keeps_channels(graph: Graph, node: Node) -> bool:
    before, after = graph.tensors[node.inputs[0]].shape, graph.tensors[node.outputs[0]].shape
    if not before or not after or before[-1] != after[-1] or not isinstance(before[-1], int):
        return False
    axes = node.attributes.get("axes", [])
    return isinstance(axes, list) and len(before) - 1 not in axes


def _bound(node: Node, name: str, default: float) -> float:
    value = node.attributes.get(name, default)
    assert isinstance(value, (int, float))
    return float(value)


# --- which factors ---


def _choose(graph: Graph, group: _Group, statistics: Mapping[str, Statistics], observed: list[str]) -> np.ndarray:
    reach = np.max([np.maximum(statistics[name].high, -statistics[name].low) for name in observed], axis=0)
    columns = [_columns(graph, node) for node in group.readers]
    weight_reach = np.max([np.abs(weights).max(axis=1) for weights in columns], axis=0)
    live = (reach > 0) & (weight_reach > 0)
    best = np.ones(len(reach))
    if not live.any():
        return best
    least = _noise(group, columns, statistics, best) * _WORTHWHILE
    for alpha in _ALPHAS:
        factors = np.ones(len(reach))
        factors[live] = weight_reach[live] ** (1 - alpha) / reach[live] ** alpha
        factors[live] *= reach.max() / (factors[live] * reach[live]).max()  # the tensor keeps its range
        low, high = 1 / _MAX_FACTOR, np.full(len(reach), _MAX_FACTOR)
        if group.limit < math.inf:
            low, high[live] = 1.0, np.minimum(_MAX_FACTOR, group.limit / (_HEADROOM * reach[live]))
        factors = np.clip(factors, low, np.maximum(high, low))
        factors = np.exp2(np.floor(4 * np.log2(factors) + 1e-6) / 4)
        factors[~live] = 1
        noise = _noise(group, columns, statistics, factors)
        if noise < least:
            best, least = factors, noise
    return best


def _noise(
    group: _Group, columns: list[np.ndarray], statistics: Mapping[str, Statistics], factors: np.ndarray
) -> float:
    """Estimated noise over signal, summed over the readers: of rounding activations and of rounding weights.

    Rounding to a step adds noise of step^2 / 12. A row's step is taken per tap here; that changes little.
    """
    total = 0.0
    for node, weights in zip(group.readers, columns, strict=True):
        found = statistics[node.inputs[0]]
        low, high = min((found.low * factors).min(), 0.0), max((found.high * factors).max(), 0.0)
        power = found.squares / found.count  # mean square of each channel
        scaled = np.abs(weights) / factors[:, None]
        activation = ((high - low) / 255) ** 2 / 12 * float(np.square(scaled).sum())
        # The channels of one group share rows, and a row has one step: [group, channels, what reads them].
        grouped = scaled.reshape(_group_count(node), -1, scaled.shape[1])
        rounding = np.square(grouped.max(axis=1) / 127) / 12
        moved = (np.square(factors) * power).reshape(len(grouped), -1)
        weight = float((rounding.sum(axis=1) * moved.sum(axis=1)).sum())
        signal = float((np.square(weights) * power[:, None]).sum())
        total += (activation + weight) / max(signal, 1e-30)
    return total


# --- applying them ---


def _columns(graph: Graph, node: Node) -> np.ndarray:
    """The weights that read each channel of the input: f64 [C, what reads it]."""
    weights = graph.constant(node.inputs[1])
    assert weights is not None, "planned products have constant weights"
    wide = weights.astype(np.float64)
    group = _group_count(node)
    if group == 1:
        return np.moveaxis(wide, -1, 0).reshape(wide.shape[-1], -1)
    # [g, O / g, taps, I / g] -> [g, I / g, O / g, taps]
    split = wide.reshape(group, len(wide) // group, -1, wide.shape[-1]).transpose(0, 3, 1, 2)
    return split.reshape(group * wide.shape[-1], -1)


def _scale_columns(graph: Graph, node: Node, factors: np.ndarray) -> None:
    """Multiplies the weights that read channel c by factors[c]."""
    group = _group_count(node)
    shape = graph.tensors[node.inputs[1]].shape
    assert shape is not None
    ones = [1] * (len(shape) - 2)
    rows = np.repeat(factors.reshape(group, -1), int(shape[0]) // group, axis=0)
    _replace(graph, node, 1, rows.reshape(int(shape[0]), *ones, -1))


def _scale_rows(graph: Graph, node: Node, factors: np.ndarray) -> None:
    """Multiplies output channel c by factors[c]."""
    shape = graph.tensors[node.inputs[1]].shape
    assert shape is not None
    _replace(graph, node, 1, factors.reshape(-1, *[1] * (len(shape) - 1)))
    if node.input(2):
        _replace(graph, node, 2, factors)


def _replace(graph: Graph, node: Node, position: int, factors: np.ndarray) -> None:
    """Gives a node a constant of its own: the old one, which others may share, times factors."""
    name = node.inputs[position]
    data = graph.constant(name)
    assert data is not None, "planned products have constant weights and biases"
    node.inputs[position] = graph.add_constant(f"{name}_equalized", (data * factors).astype(np.float32))


def _group_count(node: Node) -> int:
    group = node.attributes["group"] if node.op != "gemm" else 1
    assert isinstance(group, int)
    return group
