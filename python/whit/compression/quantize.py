"""Rewrites a planned f32 graph: wraps what computes in s8 into quantize_linear and dequantize_linear.

Every quantised tensor `t` gets `quantize_linear -> dequantize_linear`; weights and biases become dequantize_linear of
an s8 or s32 constant. The values are then those of the integer model and the operators still f32; the pass `fold_qdq`
turns each wrapped operator into one integer operator.

Names: the s8 tensor takes the name `t` itself (what was f32 becomes `t_f32`), so that a compressed file can be compared
with its origin tensor by tensor. Inputs and outputs of the graph keep their names and dtypes; their s8 forms are
`t_s8`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from whit.compression.calibrate import Statistics
from whit.compression.pictures import pixel_quantization
from whit.compression.plan import Plan, data_inputs, has_residual
from whit.compression.ranges import activation_quantization, choose_range, quantize_values, widen_for_bias
from whit.ir import PRODUCTS, WEIGHT_INPUTS, Graph, LinearCodes, Node, Quantization, Tensor
from whit.optimize.base import attribute_floats

if TYPE_CHECKING:
    from whit.compression.steps.quantize import Quantize

__all__ = ["Rounding", "quantize", "quantize_weights", "round_rows_at_run_time"]


#: Rounds the weights of a node, [O, ...], by the settings for it.
Rounding = Callable[["Quantize", Node, np.ndarray], LinearCodes]


def quantize(
    graph: Graph,
    plan: Plan,
    statistics: Mapping[str, Statistics],
    step: Quantize,
    rounding: Rounding,
    trained: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Applies a plan to the graph it was made for, in place.

    Args:
        graph: an optimised f32 graph.
        plan: of `make_plan`.
        statistics: of every tensor that `plan.observed` names; with bias correction also of every product's input.
        step: says how ranges are chosen and whether biases are corrected.
        rounding: rounds weights; here to symmetric codes, a scale for each channel or one for all.
        trained: low and high of tensors that training rounded, in place of a choice.
    """
    quantizations = _activation_quantizations(graph, plan, statistics, step, trained or {})
    products = [node for node in graph.nodes if node in plan.nodes and node.op in PRODUCTS]
    shared: dict[tuple[str, bytes], str] = {}
    for node in products:
        _quantize_product(graph, node, quantizations[node.inputs[0]], statistics, step, rounding, shared)
    for name, quantization in quantizations.items():
        _wrap_tensor(graph, plan, name, quantization)
    graph.sort()
    graph.prune()


def quantize_weights(graph: Graph, step: Quantize, rounding: Rounding) -> dict[str, str]:
    """Rounds f32 weights, in place; arithmetic stays f32. Returns why some were left alone."""
    reasons: dict[str, str] = {}
    done: dict[str, str] = {}
    for node in graph.nodes:
        for position in WEIGHT_INPUTS.get(node.op, ()):
            name = node.inputs[position]
            weights = graph.constant(name)
            settings = step.for_node(node, graph)
            if name in done:
                node.inputs[position] = done[name]
            elif settings is None:
                reasons[node.name] = "left alone by the recipe"
            elif weights is None or weights.dtype != np.float32 or not np.isfinite(weights).all():
                reasons[node.name] = "weights are computed, quantised already or not finite"
            elif weights.size < settings.min_weight_elements:
                reasons[node.name] = f"{weights.size} weights are fewer than {settings.min_weight_elements}"
            else:
                # An LSTM has one matrix per direction: [d, 4h, k]; scales lie along the gates.
                axis = 1 if node.op == "lstm" else 0
                codes = rounding(settings, node, np.moveaxis(weights, axis, 0))
                by_groups = node.op == "gemm" and settings.activations == "dynamic"
                done[name] = node.inputs[position] = _add_weights(graph, name, codes, axis, by_groups)
            if weights is not None and name in done:
                _correct_bias(graph, node, weights, done[name])
    graph.prune()
    return reasons


def round_rows_at_run_time(graph: Graph) -> None:
    """Makes integer products of fully connected and recurrent layers with s8 weights, in place; what they read stays
    f32.
    """
    for node in graph.nodes:
        if node.op not in ("gemm", "lstm") or graph.tensors[node.inputs[0]].dtype != "f32":
            continue
        if all(_fits_rounded_rows(node, graph.tensors[node.inputs[index]]) for index in WEIGHT_INPUTS[node.op]):
            node.attributes["dynamic"] = 1


def _fits_rounded_rows(node: Node, weights: Tensor) -> bool:
    if weights.dtype != "s8" or weights.quantization is None or weights.data is None:
        return False
    if weights.quantization.group:
        return node.op == "gemm" and bool(weights.data.min() >= -8 and weights.data.max() <= 7)
    return not weights.quantization.zero_point.any()


def _add_weights(graph: Graph, name: str, codes: LinearCodes, axis: int, by_groups: bool) -> str:
    """A constant of rounded weights: s8 where a quantisation can say what they are, else f32 that the file codes.

    `by_groups`: codes in groups are of a matrix that is multiplied in integers.
    """
    if codes.group and by_groups:
        return graph.add_constant(f"{name}_s8", codes.codes, Quantization.by_groups(codes.scale, codes.codes.ndim))
    zero_point = np.broadcast_to(codes.zero_point, codes.scale.shape)
    if codes.group or codes.codes.dtype != np.int8 or zero_point.any():
        if axis != 0:
            values = np.ascontiguousarray(np.moveaxis(codes.dequantize(), 0, axis))
            return graph.add_constant(f"{name}_rounded", values)
        constant = graph.add_constant(f"{name}_rounded", codes.dequantize())
        graph.tensors[constant].codes = codes
        return constant
    count = codes.codes.shape[0]
    quantization = Quantization(np.broadcast_to(codes.scale, count).copy(), np.zeros(count, np.int32), axis)
    return graph.add_constant(f"{name}_s8", np.ascontiguousarray(np.moveaxis(codes.codes, 0, axis)), quantization)


def _activation_quantizations(
    graph: Graph,
    plan: Plan,
    statistics: Mapping[str, Statistics],
    step: Quantize,
    trained: Mapping[str, tuple[float, float]],
) -> dict[str, Quantization]:
    """The quantisation of every planned tensor."""
    ranges: dict[str, tuple[float, float]] = {}
    for group, sources in plan.sources.items():
        low, high = 0.0, 0.0
        for name in sources:
            constant = graph.constant(name)
            if constant is not None:
                bottom, top = (float(constant.min()), float(constant.max())) if constant.size else (0.0, 0.0)
            else:
                bottom, top = trained.get(name) or choose_range(statistics[name].distribution, step.calibration)
            low, high = min(low, bottom), max(high, top)
        for value in plan.fixed.get(group, []):
            low, high = min(low, value), max(high, value)
        ranges[group] = low, high
    for name, (low, high) in trained.items():  # those that repeat a source's values too: training saw them so
        if name in plan.groups:
            bottom, top = ranges[plan.groups[name]]
            ranges[plan.groups[name]] = min(low, bottom), max(high, top)
    by_group = {group: activation_quantization(*found) for group, found in ranges.items()}
    for group, sources in plan.sources.items():
        for known in filter(None, (pixel_quantization(graph, name) for name in sources)):
            by_group[group] = known
    return {name: by_group[group] for name, group in plan.groups.items()}


def _quantize_product(
    graph: Graph,
    node: Node,
    input_quantization: Quantization,
    statistics: Mapping[str, Statistics],
    step: Quantize,
    rounding: Rounding,
    shared: dict[tuple[str, bytes], str],
) -> None:
    """Makes s8 weights and an s32 bias."""
    weights, settings = graph.constant(node.inputs[1]), step.for_node(node, graph)
    assert weights is not None, "the plan holds products with constant weights only"
    assert settings is not None, "the plan holds the step's layers only"
    bias = graph.constant(node.input(2))
    input_scale = float(input_quantization.scale[0])
    codes = rounding(settings, node, weights)
    values, scale = codes.codes, np.broadcast_to(codes.scale, len(weights)).copy()
    if bias is not None:
        wide = widen_for_bias(scale, weights, bias, input_scale)
        if (wide != scale).any():
            scale = wide
            values = quantize_values(codes.dequantize(), Quantization(scale, np.zeros(len(scale), np.int32), 0), -127)
    quantization = Quantization(scale, np.zeros(len(scale), np.int32), 0)
    if settings.bias_correction:
        error = values.astype(np.float64) * scale.astype(np.float64).reshape([-1] + [1] * (weights.ndim - 1)) - weights
        shift = _mean_output(node, error, statistics[node.inputs[0]].mean)
        bias = (-shift if bias is None else bias - shift).astype(np.float32)
    key = (node.inputs[1], scale.tobytes())
    if key not in shared:
        constant = graph.add_constant(f"{node.inputs[1]}_s8", values, quantization)
        shared[key] = _dequantize(graph, node, constant, f"{constant}_dq", weights.shape)
    weights_name = node.inputs[1]
    node.inputs[1] = shared[key]
    if bias is None:
        return
    bias_scale = (scale.astype(np.float64) * input_scale).astype(np.float32)
    bias_quantization = Quantization(bias_scale, np.zeros(len(bias_scale), np.int32), 0)
    steps = np.rint(bias.astype(np.float64) / bias_scale.astype(np.float64))
    limit = 2**30
    hint = f"{node.input(2) or weights_name + '_bias'}_s32"
    constant = graph.add_constant(hint, np.clip(steps, -limit, limit).astype(np.int32), bias_quantization)
    node.inputs[2:3] = [_dequantize(graph, node, constant, f"{constant}_dq", bias.shape)]


def _correct_bias(graph: Graph, node: Node, weights: np.ndarray, rounded: str) -> None:
    """Keeps what a convolution gives for the padding, the pixel that was 0 before its normalisation was folded.

    Pixels lie around it, not around 0, so without data this stands for the mean.
    """
    if node.op != "conv" or not node.attributes.get("pad_values"):
        return
    error = _real(graph.tensors[rounded]) - weights
    bias = graph.constant(node.input(2))
    if bias is None and node.input(2):
        return  # computed
    shift = _mean_output(node, error, np.asarray(attribute_floats(node, "pad_values")))
    corrected = (-shift if bias is None else bias - shift).astype(np.float32)
    node.inputs[2:3] = [graph.add_constant(f"{node.name}_bias", corrected)]


def _real(tensor: Tensor) -> np.ndarray:
    """The values of rounded weights [O, ...], f64."""
    assert tensor.data is not None, "a constant"
    if tensor.quantization is None:
        return tensor.data.astype(np.float64)
    scale = tensor.quantization.scale.astype(np.float64)
    return np.asarray(tensor.data * scale.reshape([-1] + [1] * (tensor.data.ndim - 1)))


def _mean_output(node: Node, weights: np.ndarray, channel_mean: np.ndarray) -> np.ndarray:
    """The mean of a product's outputs over its input's channel means, f64 [out_channels]; padding is ignored."""
    if node.op == "gemm":
        rows: np.ndarray = weights @ np.broadcast_to(channel_mean, weights.shape[1:])
        return rows
    group = node.attributes["group"]
    assert isinstance(group, int)
    taps = weights.reshape(len(weights), -1, weights.shape[-1]).sum(axis=1)  # [O, I / group]
    means = np.broadcast_to(channel_mean, (group * weights.shape[-1],)).reshape(group, 1, -1)
    result: np.ndarray = (taps.reshape(group, -1, weights.shape[-1]) * means).sum(axis=2).ravel()
    if node.op == "conv_transpose":
        strides = node.attributes["strides"]
        assert isinstance(strides, list)
        result = result / float(np.prod(strides))  # each output meets one tap in so many
    return result


def _dequantize(graph: Graph, before: Node, source: str, hint: str, shape: tuple[int, ...]) -> str:
    """Adds dequantize_linear of a constant before a node; returns its output."""
    name = graph.add_tensor(Tensor(graph.fresh_name(hint), "f32", shape))
    graph.insert_before(before, [Node("dequantize_linear", name, [source], [name])])
    return name


def _wrap_tensor(graph: Graph, plan: Plan, name: str, quantization: Quantization) -> None:
    """Routes the consumers of a tensor through its quantised form."""
    tensor = graph.tensors[name]
    readers = [node for node in graph.nodes if node in plan.nodes and name in _read(node)]
    if tensor.data is not None:
        values = quantize_values(tensor.data, quantization)
        constant = graph.add_constant(f"{name}_s8", values, quantization)
        for node in readers:
            _reroute(node, name, _dequantize(graph, node, constant, f"{constant}_dq", tensor.data.shape))
        return
    producer = graph.producer(name)
    integer_producer = producer is not None and producer in plan.nodes
    is_output = name in graph.outputs
    f32, s8, dq = name, f"{name}_s8", f"{name}_dq"
    if is_output and producer is not None and integer_producer and _always_s8(producer):
        f32, dq = f"{name}_f32", name  # the output is what the s8 operator gives, as f32
    elif producer is not None and not is_output:
        f32, s8 = f"{name}_f32", name
    f32 = f32 if f32 == name else graph.fresh_name(f32)
    s8 = s8 if s8 == name else graph.fresh_name(s8)
    dq = dq if dq == name else graph.fresh_name(dq)
    del graph.tensors[name]
    graph.add_tensor(Tensor(f32, "f32", tensor.shape))
    graph.add_tensor(Tensor(s8, "s8", tensor.shape, quantization))
    graph.add_tensor(Tensor(dq, "f32", tensor.shape))
    for node in graph.nodes:
        if node in readers or (integer_producer and not is_output):
            _reroute(node, name, dq)
        else:
            _reroute(node, name, f32)
    pair = [Node("quantize_linear", s8, [f32], [s8]), Node("dequantize_linear", dq, [s8], [dq])]
    if producer is None:
        graph.nodes[:0] = pair
    else:
        producer.outputs = [f32 if output == name else output for output in producer.outputs]
        graph.insert_after(producer, pair)


def _always_s8(node: Node) -> bool:
    return node.op not in PRODUCTS or has_residual(node)


def _read(node: Node) -> list[str]:
    return [node.inputs[index] for index in data_inputs(node)]


def _reroute(node: Node, old: str, new: str) -> None:
    node.inputs = [new if name == old else name for name in node.inputs]
