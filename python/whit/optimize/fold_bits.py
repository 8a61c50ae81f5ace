"""Keeps tensors of +1 and -1 as bits, and multiplies them as such.

Legal cases, where channels are the last axis, a multiple of 8, and the tensors in between are no outputs of the graph:
* binarize of what is dequantised, per tensor, reads the s8 tensor
* binarize behind max_pool, which nobody else reads, moves in front of it: there are fewer bits than numbers to look at
* the result of binarize becomes b1 if only conv and gemm with binary weights read it, or max_pool and reshape whose
  results only they read. Weights become s8 of +1 and -1 with a scale for each channel
* binarize or quantize_linear (per tensor) of what such a product gives, which nobody else reads, is done by the product

Weights are binary if those of an output channel have one magnitude above 0, f32 or s8. Products have one group, a
constant f32 bias or none, and no activation but a clamp; a residual that they add becomes an `add` behind them.

Runs when everything else has settled: other passes know no b1.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from whit.ir import Attribute, Graph, Node, Quantization, Tensor
from whit.optimize.base import Pass, attribute_int, attribute_ints, attribute_str, sole_consumer
from whit.optimize.s8_forms import dequantized, is_per_tensor_s8

__all__ = ["FoldBits", "binary_products"]


class FoldBits(Pass):
    """See the module."""

    name: ClassVar[str] = "fold_bits"

    def run(self, graph: Graph) -> bool:
        changed = False
        for node in list(graph.nodes):
            if node.op == "binarize" and node in graph.nodes:
                changed |= _read_s8(graph, node) or _move_in_front(graph, node) or _become_bits(graph, node)
        for node in list(graph.nodes):
            if node.op in ("conv", "gemm") and graph.tensors[node.inputs[0]].dtype == "b1":
                changed |= _take_over(graph, node)
        return changed


def binary_products(graph: Graph) -> set[str]:
    """The names of the products of an f32 graph that will multiply bits."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.op == "binarize":
            found |= {reader.name for reader in _readers(graph, node.outputs[0]) or ()}
    return found


def _read_s8(graph: Graph, node: Node) -> bool:
    source = dequantized(graph, node.inputs[0])
    if source is None:
        return False
    node.inputs = [source.name]
    return True


def _move_in_front(graph: Graph, node: Node) -> bool:
    pool = graph.producer(node.inputs[0])
    if pool is None or not _is_simple_pool(pool) or sole_consumer(graph, node.inputs[0]) is not node:
        return False
    inner = graph.add_tensor(
        Tensor(graph.fresh_name(f"{node.outputs[0]}_bits"), "f32", graph.tensors[pool.inputs[0]].shape)
    )
    graph.insert_before(pool, [Node("binarize", node.name, list(pool.inputs), [inner])])
    pool.inputs, pool.outputs = [inner], list(node.outputs)
    graph.remove_node(node)
    return True


def _become_bits(graph: Graph, node: Node) -> bool:
    if graph.tensors[node.outputs[0]].dtype == "b1":
        return False
    readers = _readers(graph, node.outputs[0])
    if not readers:
        return False
    pending = [node.outputs[0]]
    while pending:
        name = pending.pop()
        tensor = graph.tensors[name]
        graph.tensors[name] = Tensor(name, "b1", tensor.shape)
        pending += [output for reader in graph.consumers(name) if reader not in readers for output in reader.outputs]
    for reader in readers:
        signs = _signs(graph, reader.inputs[1])
        assert signs is not None, "a product that takes bits"
        codes, scale = signs
        quantization = Quantization(scale, np.zeros(len(scale), np.int32), 0)
        reader.inputs[1] = graph.add_constant(f"{reader.inputs[1]}_signs", codes, quantization)
        _split_residual(graph, reader)
    return True


def _split_residual(graph: Graph, node: Node) -> None:
    if not node.input(3):
        return
    result = node.outputs[0]
    sums = graph.add_tensor(Tensor(graph.fresh_name(f"{result}_sums"), "f32", graph.tensors[result].shape))
    found = (name for name in ("clamp_min", "clamp_max") if name in node.attributes)
    bounds: dict[str, Attribute] = {name: node.attributes.pop(name) for name in found}
    graph.insert_after(node, [Node("add", f"{node.name}_residual", [sums, node.inputs[3]], [result], bounds)])
    node.inputs, node.outputs = node.inputs[: 3 if node.input(2) else 2], [sums]


def _readers(graph: Graph, name: str) -> list[Node] | None:
    """The products that read a tensor, at once or through max_pool and reshape; None if something else does."""
    shape = graph.tensors[name].shape
    last = shape[-1] if shape else None
    if name in graph.outputs or not isinstance(last, int) or last % 8:
        return None
    found: list[Node] = []
    for node in graph.consumers(name):
        if node.op in ("conv", "gemm"):
            if not _takes_bits(graph, node, name):
                return None
            found.append(node)
        elif _is_simple_pool(node) or node.op == "reshape":
            behind = _readers(graph, node.outputs[0])
            if behind is None:
                return None
            found += behind
        else:
            return None
    return found


def _is_simple_pool(node: Node) -> bool:
    """Every window has a pixel."""
    if node.op != "max_pool" or attribute_int(node, "ceil_mode"):
        return False
    kernel, dilations = attribute_ints(node, "kernel_shape"), attribute_ints(node, "dilations")
    return set(dilations) <= {1} and all(
        pad < size for pad, size in zip(attribute_ints(node, "pads"), kernel * 2, strict=True)
    )


def _takes_bits(graph: Graph, node: Node, x: str) -> bool:
    if node.inputs.count(x) != 1 or node.inputs[0] != x or attribute_str(node, "activation"):
        return False
    if node.input(3) and graph.tensors[node.input(3)].dtype != "f32":
        return False
    if node.op == "gemm" and attribute_int(node, "dynamic"):
        return False
    if node.op == "conv" and (attribute_int(node, "group") != 1 or not _pads_fit(node)):
        return False
    bias = graph.tensors[node.inputs[2]] if node.input(2) else None
    if bias is not None and (bias.data is None or bias.dtype != "f32"):
        return False
    return graph.tensors[node.outputs[0]].dtype == "f32" and _signs(graph, node.inputs[1]) is not None


def _pads_fit(node: Node) -> bool:
    """Padding of zeros, or of +1 and -1."""
    values = node.attributes.get("pad_values") or []
    assert isinstance(values, list), "a list of numbers"
    return not any(values) or all(abs(float(value)) == 1 for value in values)


def _signs(graph: Graph, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights [O, ...] as s8 +1 and -1 and a scale f32 [O]; None if they are not binary."""
    producer = graph.producer(name)
    if producer is not None and producer.op == "dequantize_linear":
        name = producer.inputs[0]
    tensor = graph.tensors[name]
    data, quantization = tensor.data, tensor.quantization
    if data is None or data.size == 0:
        return None
    rows = data.reshape(len(data), -1)
    magnitude = np.abs(rows[:, :1].astype(np.float32))
    if not (magnitude > 0).all() or not (np.abs(rows.astype(np.float32)) == magnitude).all():
        return None
    scale = magnitude[:, 0]
    if tensor.dtype == "s8" and quantization is not None and quantization.axis in (None, 0):
        if quantization.zero_point.any():
            return None
        scale = scale * quantization.scale
    elif tensor.dtype != "f32":
        return None
    if not np.isfinite(scale).all() or not (scale > 0).all():
        return None
    return np.where(data < 0, -1, 1).astype(np.int8), scale.astype(np.float32)


def _take_over(graph: Graph, node: Node) -> bool:
    """Lets a product of bits do the binarize or quantize_linear behind it."""
    result = node.outputs[0]
    after = sole_consumer(graph, result)
    if after is None or graph.tensors[result].dtype != "f32":
        return False
    target = graph.tensors[after.outputs[0]]
    channels = target.shape[-1] if target.shape else None
    bits = after.op == "binarize" and target.dtype == "b1" and isinstance(channels, int) and channels % 8 == 0
    steps = after.op == "quantize_linear" and not after.attributes.get("perm") and is_per_tensor_s8(target)
    if not bits and not steps:
        return False
    node.outputs = list(after.outputs)
    graph.remove_node(after)
    return True
