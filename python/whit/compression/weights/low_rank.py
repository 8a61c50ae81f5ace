"""Replaces a convolution or matrix product by two or three smaller ones (forms and sources: factors.py).

Padding stays exact: what the padding holds is carried through the first factors as `pad_values`. Bias, activation and
residual stay with the last layer, which keeps name and output of the original.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whit.compression.weights.checks import check_share, one_of
from whit.compression.weights.covariance import Moments, shrink
from whit.compression.weights.factors import Form, Part, forms_of
from whit.compression.weights.products import (
    EPILOGUE,
    bias_of,
    find_layer,
    group_of,
    macs,
    positions,
    spatial_of,
    weights_of,
)
from whit.errors import RecipeError, ShapeError
from whit.ir import Attribute, Dim, Graph, Node, Tensor
from whit.optimize.base import attribute_floats, clone

__all__ = ["FORMS", "Cost", "Factorization", "factorize"]

FORMS = ("auto", "channel", "spatial", "tucker")

#: Multiply-adds and bytes of weights of a layer -> what it costs, in any unit.
Cost = Callable[[int, int], float]


@dataclass(frozen=True, eq=False)
class Factorization:
    """What became of a layer.

    Attributes:
        graph: a new graph; the given one where the layer was left alone.
        layer: its name.
        reason: why it was left alone, or "".
        form: "channel", "spatial" or "tucker" (that of the best attempt where it was left alone), or "".
        ranks: one, or for tucker that of the outputs and that of the inputs.
        energy: share of ||W C^(1/2)||^2 that the form retains by its own count, C drawn to the mean where data are few.
        error: ||(W - W') C^(1/2)||^2 / ||W C^(1/2)||^2 with the covariance C of the inputs: noise over variance of the
            outputs; without moments C = 1.
        macs_before, macs_after, bytes_before, bytes_after: multiply-adds of one run (open sizes count as 1), and bytes
            of the weights in f32.
    """

    graph: Graph
    layer: str
    reason: str = ""
    form: str = ""
    ranks: tuple[int, ...] = ()
    energy: float = 1.0
    error: float = 0.0
    macs_before: int = 0
    macs_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


def _both(macs: int, size: int) -> float:
    return float(macs + size)


def factorize(
    graph: Graph,
    layer: str,
    *,
    form: str = "auto",
    rank: int | tuple[int, int] | None = None,
    energy: float | None = None,
    cost_share: float | None = None,
    cost: Cost = _both,
    moments: Moments | None = None,
) -> Factorization:
    """Factorises one layer, if that makes it smaller and cheaper.

    Exactly one of `rank`, `energy` and `cost_share` says how far to go.

    Args:
        graph: f32; not changed.
        layer: name of a conv or gemm.
        form: one of `FORMS`; "auto": with `energy` the cheapest, else the one of least error.
        rank: for tucker a pair (outputs, inputs); one number there means both.
        energy: the smallest rank that retains this share of the energy.
        cost_share: the largest rank at which the new layers cost at most this share of the old.
        cost: of a layer; default: multiply-adds plus bytes.
        moments: of the layer's inputs; then the error of the outputs counts, not that of the weights, and the bias
            makes up for its mean.

    Raises:
        InvalidArgumentError: no such layer.
        RecipeError: options out of range or contradicting each other, or a form that the layer does not have.
        ShapeError: moments of another layer.
    """
    node = find_layer(graph, layer)
    one_of("form", form, FORMS, layer)
    if sum(each is not None for each in (rank, energy, cost_share)) != 1:
        raise RecipeError(f"layer {layer!r}: give one of rank, energy and cost_share")
    for name, value in (("energy", energy), ("cost_share", cost_share)):
        if value is not None:
            check_share(name, value, layer)
    weights = weights_of(graph, node)
    if node.op not in ("conv", "gemm"):
        return Factorization(graph, layer, f"{node.op} has no low-rank form here")
    if weights is None or weights.size == 0 or not np.isfinite(weights).all():
        return Factorization(graph, layer, "weights are not constant, finite f32")
    if group_of(node) != 1:
        return Factorization(graph, layer, f"a convolution of {group_of(node)} groups is small already")
    columns = weights[0].size
    if moments is not None and moments.hessian.shape != (1, columns, columns):
        raise ShapeError(
            f"layer {layer!r}: moments of shape {moments.hessian.shape} do not fit weights {weights.shape}; "
            "observe this layer"
        )
    has_bias, bias = bias_of(graph, node)
    corrected = moments is not None and (bias is not None or not has_bias)
    hessian = None if moments is None else moments.covariance() if corrected else moments.hessian
    steady = None if hessian is None or moments is None else shrink(hessian, moments.count)[0]
    tried = [each for each in forms_of(weights, steady) if form in ("auto", each.name)]
    if not tried:
        kernel = "x".join(str(size) for size in weights.shape[1:-1]) or "no kernel"
        raise RecipeError(f"layer {layer!r}: form {form!r} needs a larger kernel; this layer has {kernel}")
    before = macs(graph, node), 4 * weights.size
    found = []
    for each in tried:
        ranks = _ranks(
            graph, node, each, rank, energy, None if cost_share is None else cost_share * cost(*before), cost
        )
        if ranks is not None:
            after = _costs(graph, node, each, ranks)
            found.append((each, ranks, after, _error(weights, each.product(ranks), hessian)))
    if not found:
        return Factorization(graph, layer, f"no rank costs at most {cost_share:g} of the layer", form)
    best = min(found, key=lambda item: cost(*item[2]) if energy is not None else item[3])
    chosen, ranks, after, error = best
    reason = _refusal(chosen, ranks, before, after)
    numbers = (chosen.name, ranks, chosen.energy(ranks), error, before[0], after[0], before[1], after[1])
    if reason:
        return Factorization(graph, layer, reason, *numbers)
    result = clone(graph)
    _replace(result, find_layer(result, layer), chosen.parts(ranks))
    if moments is not None and corrected:
        shift = moments.mean_output(weights - chosen.product(ranks).reshape(weights.shape))
        total = shift if bias is None else shift + bias
        find_layer(result, layer).inputs[2:3] = [result.add_constant(f"{layer}_bias", total.astype(np.float32))]
        result.prune()
    return Factorization(result, layer, "", *numbers)


def _ranks(
    graph: Graph,
    node: Node,
    form: Form,
    rank: int | tuple[int, int] | None,
    energy: float | None,
    budget: float | None,
    cost: Cost,
) -> tuple[int, ...] | None:
    """The ranks of a form that were asked for; None if nothing is within the budget."""
    if energy is not None:
        # Ascending levels retain ascending energies; rounding may leave the last a hair below 1.
        return next((each for each in form.levels if form.energy(each) >= energy), form.levels[-1])
    if budget is not None:
        return next((each for each in reversed(form.levels) if cost(*_costs(graph, node, form, each)) <= budget), None)
    assert rank is not None, "one of three is given"
    largest = tuple(max(each[axis] for each in form.levels) for axis in range(len(form.levels[0])))
    wanted = rank if isinstance(rank, tuple) else (rank,) * len(largest)
    fits = len(wanted) == len(largest) and all(
        isinstance(each, int) and 1 <= each <= most for each, most in zip(wanted, largest, strict=True)
    )
    if not fits:
        raise RecipeError(f"layer {node.name!r}: rank of form {form.name!r} must be in 1..{largest}; got {rank!r}")
    return wanted


def _refusal(form: Form, ranks: tuple[int, ...], before: tuple[int, int], after: tuple[int, int]) -> str:
    """Why not, in words; "" if it is smaller and cheaper."""
    what = f"{form.name} form of rank {' x '.join(map(str, ranks))}"
    if after[1] >= before[1]:
        return f"{what} would not be smaller: {after[1]} bytes, {before[1]} before"
    if after[0] >= before[0]:
        return f"{what} would not be cheaper: {after[0]} multiply-adds, {before[0]} before"
    return ""


def _error(weights: np.ndarray, other: np.ndarray, hessian: np.ndarray | None) -> float:
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    change = rows - other.reshape(len(weights), -1)
    if hessian is None:
        noise, signal = float(np.square(change).sum()), float(np.square(rows).sum())
    else:
        noise, signal = (float(np.einsum("ok,ok->", each @ hessian[0], each)) for each in (change, rows))
    return max(noise, 0.0) / signal if signal > 0 else 0.0


# --- the layers ---


def _costs(graph: Graph, node: Node, form: Form, ranks: tuple[int, ...]) -> tuple[int, int]:
    """Multiply-adds and bytes of all parts."""
    shape, total, size = _input_shape(graph, node), 0, 0
    for weights, axes in form.shapes(ranks):
        shape = _next_shape(graph, node, shape, weights[0], axes)
        count = int(np.prod(weights))
        total, size = total + positions(shape) * count, size + 4 * count
    return total, size


def _input_shape(graph: Graph, node: Node) -> tuple[Dim, ...]:
    """Of the layer's input; an open size of pixels counts as the stride, since that of the output counts as 1."""
    shape = graph.tensors[node.inputs[0]].shape
    output = graph.tensors[node.outputs[0]].shape
    if node.op == "gemm" or shape is None:
        return shape or output or (1,)
    strides = spatial_of(node)[0]
    inner = [size if isinstance(size, int) else stride for size, stride in zip(shape[1:-1], strides, strict=True)]
    return (shape[0], *inner, shape[-1])


def _next_shape(
    graph: Graph, node: Node, shape: tuple[Dim, ...], channels: int, axes: tuple[int, ...]
) -> tuple[Dim, ...]:
    """Of a part's output: along `axes` the pixels are those of the original's output."""
    output = graph.tensors[node.outputs[0]].shape
    if output is None or len(output) != len(shape):
        return (*shape[:-1], channels)
    sizes = [output[axis + 1] if axis in axes else size for axis, size in enumerate(shape[1:-1])]
    if node.op == "gemm":
        return (*output[:-1], channels)
    return (shape[0], *sizes, channels)


def _replace(graph: Graph, node: Node, parts: list[Part]) -> None:
    """Puts the parts in the place of a product."""
    shape = graph.tensors[node.inputs[0]].shape
    source, padding = node.inputs[0], np.asarray(attribute_floats(node, "pad_values"), np.float64)
    epilogue = {key: value for key, value in node.attributes.items() if key in EPILOGUE}
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        weights = graph.add_constant(f"{node.inputs[1]}_{index + 1}", part.weights)
        attributes: dict[str, Attribute] = {} if node.op == "gemm" else _attributes(node, part, padding)
        if node.op == "conv" and padding.size:
            padding = part.weights.reshape(len(part.weights), -1, len(padding)).sum(axis=1, dtype=np.float64) @ padding
        if last:
            node.inputs[:2] = [source, weights]
            node.attributes = attributes | epilogue
            return
        if shape is not None:
            shape = _next_shape(graph, node, shape, len(part.weights), part.axes)
        output = graph.add_tensor(Tensor(graph.fresh_name(f"{node.outputs[0]}_rank_{index + 1}"), "f32", shape))
        graph.insert_before(node, [Node(node.op, output, [source, weights], [output], attributes)])
        source = output


def _attributes(node: Node, part: Part, padding: np.ndarray) -> dict[str, Attribute]:
    """Strides, dilations and pads of the original along the part's axes."""
    strides, dilations, pads = spatial_of(node)
    spatial = range(len(strides))
    here = [axis in part.axes for axis in spatial]
    result: dict[str, Attribute] = {
        "strides": [strides[axis] if here[axis] else 1 for axis in spatial],
        "dilations": [dilations[axis] if here[axis] else 1 for axis in spatial],
        "pads": [pad if here[index % len(strides)] else 0 for index, pad in enumerate(pads)],
        "group": 1,
    }
    if padding.size and any(here):
        result["pad_values"] = [float(value) for value in padding]
    return result
