"""Removes channels for real: from the layer that computes them, from all that read them, and everywhere between.

Channels that depend on each other (dependencies.py) go together or not at all. Which ones go is decided by scores per
output channel that the caller brings, for instance `weight_scores`, the norm of a channel's weights (Li et al.,
"Pruning Filters for Efficient ConvNets", 2017); scores of channels that go together are averaged (Fang et al.,
"DepGraph", 2023).

With the means of the removed channels on calibration data their average contribution moves into the biases of the
layers that read them; with moments the weights of those layers are fitted anew (contribution.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from whit.compression.weights.checks import check_count, check_share, one_of
from whit.compression.weights.contribution import refit, unit_costs
from whit.compression.weights.covariance import Moments
from whit.compression.weights.dependencies import BINARY, Channels, Dependencies, find_dependencies
from whit.compression.weights.products import add_to_bias, find_layer, group_of, macs, weights_of
from whit.errors import InvalidArgumentError, RecipeError, ShapeError
from whit.ir import PRODUCTS, Graph, Node, verify
from whit.optimize.base import attribute_floats, attribute_ints, clone

__all__ = [
    "ChannelGroup",
    "ChannelRemoval",
    "channel_groups",
    "contribution_scores",
    "remove_channels",
    "weight_scores",
]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels among which some may go.

    Attributes:
        layers: the products that compute them.
        units: for each of the choices the (layer, output channel) pairs that go together.
    """

    layers: tuple[str, ...]
    units: tuple[tuple[tuple[str, int], ...], ...]


@dataclass(frozen=True, eq=False)
class ChannelRemoval:
    """What was removed.

    Attributes:
        graph: a new graph.
        removed: layer -> its output channels that are gone, ascending.
        bytes_before, bytes_after: of all f32 weights of products.
        macs_before, macs_after: multiply-adds of one run; open sizes count as 1.
    """

    graph: Graph
    removed: dict[str, list[int]] = field(default_factory=dict)
    bytes_before: int = 0
    bytes_after: int = 0
    macs_before: int = 0
    macs_after: int = 0


def channel_groups(graph: Graph) -> list[ChannelGroup]:
    """Every channel that may be removed, in the order of the graph.

    Raises:
        InvalidArgumentError: the graph is quantised.
    """
    return [group for group, _ in _groups(graph, _dependencies(graph))]


def weight_scores(graph: Graph) -> dict[str, np.ndarray]:
    """For each product without groups the L2 norm of each output channel's weights, divided by the layer's mean."""
    scores = {}
    for node in graph.nodes:
        weights = weights_of(graph, node) if node.op in PRODUCTS else None
        if weights is not None and group_of(node) == 1:
            norms = np.sqrt(np.square(weights.reshape(len(weights), -1).astype(np.float64)).sum(axis=1))
            scores[node.name] = norms / max(float(norms.mean()), 1e-30)
    return scores


def contribution_scores(graph: Graph, moments: Mapping[str, Moments]) -> dict[str, np.ndarray]:
    """What the layers that read a channel lose without it, after their weights were fitted anew.

    Args:
        graph: f32.
        moments: of the inputs of every product without groups (`covariance.observe_moments`).

    Returns:
        Layer -> for each output channel the lost shares of variance, summed over all that read the channel or one that
        goes with it, f64 [O].

    Raises:
        InvalidArgumentError: moments are missing, or the graph is quantised.
        ShapeError: moments of another layer.
    """
    dependencies = _dependencies(graph)
    costs = unit_costs(graph, dependencies, moments)
    scores = {}
    for layer in dependencies.producers:
        units = dependencies.units(dependencies.channels[find_layer(graph, layer).outputs[0]].numbers)
        scores[layer] = np.array([costs.get(unit, 0.0) for unit in units.tolist()])
    return scores


def remove_channels(
    graph: Graph,
    scores: Mapping[str, np.ndarray],
    *,
    share: float | Callable[[str], float] = 0.5,
    scope: str = "group",
    multiple: int = 1,
    means: Mapping[str, np.ndarray] | None = None,
    moments: Mapping[str, Moments] | None = None,
) -> ChannelRemoval:
    """Removes the channels of least score.

    Args:
        graph: f32; not changed.
        scores: layer -> importance of each of its output channels, [O]. Layers without scores keep theirs, and so
            does everything that depends on them.
        share: of the channels of each group that go, 0 to 1, or a function of a layer's name (of a group the least of
            its layers counts). At least one channel of each group stays.
        scope: "group": in each group; "global": over all groups together (then `share` is a number).
        multiple: how many channels stay is rounded up to a multiple of this.
        means: tensor -> mean of each channel on calibration data, f64 [C] (`Statistics.mean`): corrects biases.
        moments: layer -> of its inputs: weights and biases are fitted anew; goes before `means`.

    Raises:
        InvalidArgumentError: the graph is quantised, or a score names no layer or is not finite.
        ShapeError: scores or means of another length than the channels.
        RecipeError: an option out of its range.
    """
    one_of("scope", scope, ("group", "global"), "channels")
    check_count("multiple", multiple, 1, 1024, "channels")
    if callable(share) and scope == "global":
        raise RecipeError("channels: scope 'global' takes one share for all; give a number or scope 'group'")
    dependencies = _dependencies(graph)
    for name, values in scores.items():
        weights = weights_of(graph, find_layer(graph, name))
        if weights is None or np.shape(values) != (len(weights),):
            raise ShapeError(f"layer {name!r}: scores of shape {np.shape(values)} are not one for each output channel")
        if not np.isfinite(values).all():
            raise InvalidArgumentError(f"layer {name!r}: scores hold NaN or infinity")
    groups, importance = [], []
    for group, numbers in _groups(graph, dependencies):
        if all(layer in scores for layer in group.layers):
            groups.append((group, numbers))
            means_of = [float(np.mean([scores[layer][channel] for layer, channel in unit])) for unit in group.units]
            importance.append(np.array(means_of))
    counts = _counts([group for group, _ in groups], importance, share, scope)
    gone: set[int] = set()
    removed: dict[str, list[int]] = {}
    for (group, numbers), values, count in zip(groups, importance, counts, strict=True):
        keep = max(len(values) - count, 1)
        keep = min(math.ceil(keep / multiple) * multiple, len(values))
        for index in np.argsort(values, kind="stable")[: len(values) - keep]:
            gone.add(numbers[index])
            for layer, channel in group.units[index]:
                removed.setdefault(layer, []).append(channel)
    result = clone(graph)
    before = _totals(graph)
    if gone:
        _remove(result, dependencies, gone, means or {}, moments or {})
        result.prune()
        verify(result)
    after = _totals(result)
    ordered = {layer: sorted(channels) for layer, channels in removed.items()}
    return ChannelRemoval(result, ordered, before[0], after[0], before[1], after[1])


def _counts(
    groups: list[ChannelGroup], importance: list[np.ndarray], share: float | Callable[[str], float], scope: str
) -> list[int]:
    """How many units of each group go."""
    if callable(share):
        shares = [min(check_share("share", share(layer), layer) for layer in group.layers) for group in groups]
        return [int(each * len(values)) for each, values in zip(shares, importance, strict=True)]
    share = check_share("share", share, "channels")
    if scope == "group" or not groups:
        return [int(share * len(values)) for values in importance]
    every = np.concatenate(importance)
    owner = np.repeat(np.arange(len(groups)), [len(values) for values in importance])
    least = np.argsort(every, kind="stable")[: int(share * len(every))]
    return [int(count) for count in np.bincount(owner[least], minlength=len(groups))]


def _dependencies(graph: Graph) -> Dependencies:
    quantized = next((name for name, tensor in graph.tensors.items() if tensor.quantization is not None), None)
    if quantized is not None:
        raise InvalidArgumentError(
            f"channels: tensor {quantized!r} is quantised already; remove channels before quantisation"
        )
    return find_dependencies(graph)


def _groups(graph: Graph, dependencies: Dependencies) -> list[tuple[ChannelGroup, list[int]]]:
    """Groups, and for each of their units its number."""
    fixed = dependencies.fixed_units()
    members: dict[int, list[tuple[str, int]]] = {}
    outputs = {node.name: node.outputs[0] for node in graph.nodes}
    for layer in dependencies.producers:
        units = dependencies.units(dependencies.channels[outputs[layer]].numbers)
        for channel, unit in enumerate(units.tolist()):
            if unit not in fixed:
                members.setdefault(unit, []).append((layer, channel))
    groups: dict[tuple[str, ...], list[int]] = {}
    for unit, pairs in members.items():
        groups.setdefault(tuple(dict.fromkeys(layer for layer, _ in pairs)), []).append(unit)
    return [
        (ChannelGroup(layers, tuple(tuple(members[unit]) for unit in units)), units) for layers, units in groups.items()
    ]


def _totals(graph: Graph) -> tuple[int, int]:
    products = [node for node in graph.nodes if node.op in PRODUCTS]
    sizes = [
        (weights.size, macs(graph, node))
        for node in products
        for weights in [weights_of(graph, node)]
        if weights is not None
    ]
    return 4 * sum(size for size, _ in sizes), sum(work for _, work in sizes)


# --- removing them ---


def _remove(
    graph: Graph,
    dependencies: Dependencies,
    gone: set[int],
    means: Mapping[str, np.ndarray],
    moments: Mapping[str, Moments],
) -> None:
    gone_units = np.array(sorted(gone), np.intp)
    kept = {
        name: ~np.isin(dependencies.units(channels.numbers), gone_units)
        for name, channels in dependencies.channels.items()
    }
    for node in graph.nodes:
        if node.op in PRODUCTS:
            _cut_product(graph, node, kept, means, moments)
        elif node.op in BINARY:
            _cut_constants(graph, node, dependencies.channels, kept)
        elif node.op == "split":
            _cut_split(graph, node, dependencies.channels, kept)
        elif node.op == "pad":
            _cut_pad(node, dependencies.channels, kept)
        elif node.op in ("reshape", "expand"):
            _cut_shape(graph, node, dependencies.channels, kept)
    for name, mask in kept.items():
        tensor = graph.tensors[name]
        if tensor.shape is not None and not mask.all():
            axis = dependencies.channels[name].axis
            tensor.shape = (*tensor.shape[:axis], int(mask.sum()), *tensor.shape[axis + 1 :])


def _cut_product(
    graph: Graph,
    node: Node,
    kept: Mapping[str, np.ndarray],
    means: Mapping[str, np.ndarray],
    moments: Mapping[str, Moments],
) -> None:
    weights, source, group = weights_of(graph, node), node.inputs[0], group_of(node)
    inputs, outputs = kept.get(source), kept.get(node.outputs[0])
    if weights is None or inputs is None or outputs is None or (inputs.all() and outputs.all()):
        return
    cut = weights
    if group == 1:
        if node.name in moments and not inputs.all():
            cut, shift = refit(weights, moments[node.name], inputs, node.name)
            add_to_bias(graph, node, shift)
        else:
            if source in means and not inputs.all():
                _correct_bias(graph, node, weights, inputs, np.asarray(means[source], np.float64))
            cut = cut[..., inputs]
    else:
        node.attributes["group"] = int(inputs.sum())
    node.inputs[1] = graph.add_constant(f"{node.inputs[1]}_cut", cut[outputs])
    if node.input(2):
        bias = graph.constant(node.inputs[2])
        assert bias is not None, "dependencies hold on to layers whose bias is computed"
        node.inputs[2] = graph.add_constant(f"{node.inputs[2]}_cut", bias[outputs])
    padding = attribute_floats(node, "pad_values")
    if padding:
        node.attributes["pad_values"] = [value for value, stays in zip(padding, inputs, strict=True) if stays]


def _correct_bias(graph: Graph, node: Node, weights: np.ndarray, inputs: np.ndarray, means: np.ndarray) -> None:
    """Adds what the channels that go contribute on average; the padding is taken for a pixel like the others."""
    if means.shape != inputs.shape:
        raise ShapeError(f"tensor {node.inputs[0]!r}: means of shape {means.shape} for {len(inputs)} channels")
    taps = weights.reshape(len(weights), -1, weights.shape[-1]).sum(axis=1, dtype=np.float64)
    shift = taps[:, ~inputs] @ means[~inputs]
    if node.op == "conv_transpose":
        shift = shift / float(np.prod(attribute_ints(node, "strides")))  # each output meets one tap in so many
    add_to_bias(graph, node, shift)


def _cut_constants(graph: Graph, node: Node, channels: Mapping[str, Channels], kept: Mapping[str, np.ndarray]) -> None:
    """Cuts constants that have a value for each channel."""
    output = node.outputs[0]
    shape = graph.tensors[output].shape
    if output not in kept or kept[output].all() or shape is None:
        return
    for position, name in enumerate(node.inputs):
        data = graph.constant(name)
        axis = channels[output].axis - len(shape) + (0 if data is None else data.ndim)
        if data is not None and axis >= 0 and data.shape[axis] != 1:
            node.inputs[position] = graph.add_constant(f"{name}_cut", np.compress(kept[output], data, axis))


def _cut_split(graph: Graph, node: Node, channels: Mapping[str, Channels], kept: Mapping[str, np.ndarray]) -> None:
    source = channels.get(node.inputs[0])
    shape = graph.tensors[node.inputs[0]].shape
    axis = node.attributes["axis"]
    if source is None or shape is None or not isinstance(axis, int) or axis % len(shape) != source.axis:
        return
    if not kept[node.inputs[0]].all():
        node.attributes["sizes"] = [int(kept[name].sum()) for name in node.outputs]


def _cut_pad(node: Node, channels: Mapping[str, Channels], kept: Mapping[str, np.ndarray]) -> None:
    """Padding that is channels."""
    mask, pads = kept.get(node.outputs[0]), attribute_ints(node, "pads")
    if mask is not None and not mask.all():
        axis, rank = channels[node.outputs[0]].axis, len(pads) // 2
        begin, end = pads[axis], pads[rank + axis]
        pads[axis], pads[rank + axis] = int(mask[:begin].sum()), int(mask[len(mask) - end :].sum())
        node.attributes["pads"] = pads


def _cut_shape(graph: Graph, node: Node, channels: Mapping[str, Channels], kept: Mapping[str, np.ndarray]) -> None:
    """The shape that reshape and expand ask for."""
    output = node.outputs[0]
    rank = len(graph.tensors[output].shape or ())
    if output not in kept or kept[output].all():
        return
    sizes = attribute_ints(node, "shape")
    place = channels[output].axis + len(sizes) - rank  # expand may leave out leading axes
    keeps = -1 if node.op == "reshape" else 1
    if place >= 0 and sizes[place] != keeps:
        sizes[place] = int(kept[output].sum())
        node.attributes["shape"] = sizes
