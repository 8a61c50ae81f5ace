"""Turns f32 operators between dequantize_linear and quantize_linear into s8 operators.

Models arrive, and recipes leave them, as f32 operators whose inputs come out of dequantize_linear and whose results go
into quantize_linear. This pass runs last, when activations, residuals and pads are fused.

Legal cases, in the order in which they are tried until nothing changes:
* quantize of dequantize: nothing if the quantisations agree, else requantize
* quantize of an f32 constant: an s8 constant
* quantize of clip: no clip, if quantising clamps at least as much
* data movement, max_pool, reduce_max, reduce_min and nearest resize of dequantised tensors (of one quantisation) move
  in front of the dequantize; a pad only if its value is a step
* quantize behind concat, or behind movement of something that can be computed in s8, moves in front
* an operator with an s8 form (s8_forms.py) whose result goes into one quantize alone becomes s8

Then, for what has not become s8:
* conv, conv_transpose and gemm of dequantised x and weights: s8 inputs and f32 output
* conv, conv_transpose and gemm of f32 x and dequantised constant weights: s8 weights
* dequantize of a constant: an f32 constant

An operator whose result is an output of the graph, or is read in f32 as well, keeps its conversions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from whit.dtypes import dtype_of
from whit.ir import PRODUCTS, Graph, Node, Quantization, Tensor
from whit.optimize.base import (
    Pass,
    attribute_float,
    attribute_str,
    new_tensor_like,
    redirect,
    same_quantization,
    sole_consumer,
)
from whit.optimize.s8_forms import (
    dequantized,
    fold_operator,
    fold_product,
    is_per_tensor_s8,
    s8_operands,
    s8_weights,
)

__all__ = ["FoldQdq"]

_MOVEMENT = frozenset(
    (
        *("slice", "split", "gather", "reshape", "squeeze", "unsqueeze", "transpose", "expand", "depth_to_space"),
        *("concat", "pad", "max_pool", "reduce_max", "reduce_min"),
    )
)


class FoldQdq(Pass):
    """See the module."""

    name: ClassVar[str] = "fold_qdq"
    requires: ClassVar[tuple[str, ...]] = ("channels_last", "pads_merged", "activations_fused", "residuals_fused")
    ensures: ClassVar[tuple[str, ...]] = ("qdq_folded",)

    def run(self, graph: Graph) -> bool:
        changed = _settle(graph, [_quantize, _move_dequantize_down])
        changed |= _settle(graph, [_to_f32_output, _to_s8_weights])
        return changed | _settle(graph, [_dequantize_constant])


def _settle(graph: Graph, rules: list[Callable[[Graph, Node], bool]]) -> bool:
    changed = False
    while True:
        round_changed = False
        for node in list(graph.nodes):
            for rule in rules:
                if node in graph.nodes and rule(graph, node):
                    round_changed = True
        if not round_changed:
            return changed
        changed = True
        graph.prune()


# --- until nothing changes ---


def _quantize(graph: Graph, node: Node) -> bool:
    if node.op != "quantize_linear" or node.attributes.get("perm"):
        return False
    if not is_per_tensor_s8(graph.tensors[node.outputs[0]]):
        return False
    source = node.inputs[0]
    data, producer = graph.constant(source), graph.producer(source)
    if data is not None:
        return _quantize_constant(graph, node, data)
    if producer is None:
        return False
    if producer.op == "dequantize_linear":
        return _requantize(graph, node, producer)
    if producer.op == "clip" and _is_implied(producer, graph.tensors[node.outputs[0]].quantization):
        node.inputs[0] = producer.inputs[0]
        return True
    if sole_consumer(graph, source) is not node:
        return False
    return fold_operator(graph, producer, node) or _move_quantize_up(graph, node, producer)


def _quantize_constant(graph: Graph, node: Node, data: np.ndarray) -> bool:
    result = node.outputs[0]
    quantization = graph.tensors[result].quantization
    if result in graph.outputs or data.dtype != np.float32 or quantization is None:
        return False
    steps = np.rint(data / quantization.scale[0]).astype(np.float64) + quantization.zero_point[0]
    graph.remove_node(node)
    value = np.clip(steps, -128, 127).astype(np.int8)
    graph.tensors[result] = Tensor(result, "s8", value.shape, quantization, value)
    return True


def _requantize(graph: Graph, node: Node, producer: Node) -> bool:
    source, result = graph.tensors[producer.inputs[0]], graph.tensors[node.outputs[0]]
    if not is_per_tensor_s8(source):
        return False
    if same_quantization(source.quantization, result.quantization) and redirect(graph, result.name, source.name):
        return True
    node.op, node.inputs = "requantize", [source.name]
    return True


def _is_implied(clip: Node, quantization: Quantization | None) -> bool:
    """True if quantising takes every value that the clip changes to the same step anyway."""
    assert quantization is not None, "asked for a quantised tensor"
    zero_point = int(quantization.zero_point[0])
    low, high = (
        np.rint(np.float32(attribute_float(clip, name)) / quantization.scale[0]) + zero_point
        for name in ("clamp_min", "clamp_max")
    )
    return bool(low <= -128 and high >= 127)


def _is_movement(node: Node) -> bool:
    return node.op in _MOVEMENT or (node.op == "resize" and attribute_str(node, "mode") == "nearest")


def _data_inputs(node: Node) -> range:
    return range(1 if node.op == "gather" else len(node.inputs))


def _move_dequantize_down(graph: Graph, node: Node) -> bool:
    if not _is_movement(node):
        return False
    sources = [dequantized(graph, node.inputs[index]) for index in _data_inputs(node)]
    if not sources or any(source is None for source in sources):
        return False
    found = [source for source in sources if source is not None]
    quantization = found[0].quantization
    if quantization is None or not all(same_quantization(quantization, source.quantization) for source in found):
        return False
    if node.op == "pad" and attribute_str(node, "mode") == "constant" and not _is_step(node, quantization):
        return False
    for index, source in enumerate(found):
        node.inputs[index] = source.name
    after = []
    for index, name in enumerate(node.outputs):
        if name:
            quantized = new_tensor_like(graph, name, f"{name}_quantized", dtype="s8", quantization=quantization)
            after.append(Node("dequantize_linear", f"{name}_dequantize", [quantized], [name]))
            node.outputs[index] = quantized
    graph.insert_after(node, after)
    return True


def _is_step(pad: Node, quantization: Quantization) -> bool:
    value, scale, zero_point = attribute_float(pad, "value"), quantization.scale[0], quantization.zero_point[0]
    steps = np.clip(np.rint(np.float32(value) / scale) + zero_point, -128, 127) - zero_point
    return bool(np.float32(steps) * scale == np.float32(value))


def _move_quantize_up(graph: Graph, node: Node, producer: Node) -> bool:
    if not _is_movement(producer) or len(producer.outputs) != 1:
        return False
    inputs = [producer.inputs[index] for index in _data_inputs(producer)]
    if not any(_gains_from_quantize(graph, name) for name in inputs):
        return False
    quantization = graph.tensors[node.outputs[0]].quantization
    before = []
    for index, name in enumerate(inputs):
        quantized = new_tensor_like(graph, name, f"{name}_quantized", dtype="s8", quantization=quantization)
        before.append(Node("quantize_linear", f"{quantized}_quantize", [name], [quantized]))
        producer.inputs[index] = quantized
    producer.outputs = list(node.outputs)
    graph.insert_before(producer, before)
    graph.remove_node(node)
    return True


def _gains_from_quantize(graph: Graph, tensor: str) -> bool:
    """True if a quantize right behind `tensor` would disappear."""
    producer = graph.producer(tensor)
    if producer is None:
        return False
    if dequantized(graph, tensor) is not None:
        return True
    if not graph.is_single_use(tensor):
        return False
    if _is_movement(producer) and len(producer.outputs) == 1:
        return any(_gains_from_quantize(graph, producer.inputs[index]) for index in _data_inputs(producer))
    return s8_operands(graph, producer) is not None


# --- then ---


def _to_f32_output(graph: Graph, node: Node) -> bool:
    return node.op in PRODUCTS and graph.tensors[node.outputs[0]].dtype == "f32" and fold_product(graph, node, None)


def _to_s8_weights(graph: Graph, node: Node) -> bool:
    if node.op not in PRODUCTS or graph.tensors[node.inputs[0]].dtype != "f32":
        return False
    producer = graph.producer(node.inputs[1])
    if producer is None or producer.op != "dequantize_linear":
        return False
    source = graph.tensors[producer.inputs[0]]
    by_groups = source.quantization is not None and source.quantization.group
    weights = source if by_groups else s8_weights(graph, node.inputs[1])
    if weights is None:
        return False
    node.inputs[1] = weights.name
    return True


def _dequantize_constant(graph: Graph, node: Node) -> bool:
    if node.op != "dequantize_linear" or node.outputs[0] in graph.outputs:
        return False
    source, result = graph.tensors[node.inputs[0]], node.outputs[0]
    if source.data is None or source.quantization is None:
        return False
    scale, zero_point = (
        source.quantization.spread(values, source.data.shape)
        for values in (source.quantization.scale, source.quantization.zero_point)
    )
    steps = source.data.astype(np.int64) - zero_point
    value = np.ascontiguousarray(steps.astype(np.float32) * scale).reshape(source.data.shape)
    graph.remove_node(node)
    graph.tensors[result] = Tensor(result, dtype_of(value), value.shape, None, value)
    return True
