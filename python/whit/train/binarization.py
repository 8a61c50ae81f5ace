"""Layers that shall multiply bits: `binarize` in front of them, and whether they can."""

from __future__ import annotations

import glob
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from whit.errors import InvalidArgumentError, UnsupportedOperatorError
from whit.ir import Graph, Node, Tensor
from whit.optimize.base import attribute_float, attribute_floats, attribute_int, attribute_str, clone
from whit.train.signs import reads_signs
from whit.train.techniques import Binarization

__all__ = ["Layer", "binarized", "layers_of"]

_PRODUCTS = ("conv", "conv_transpose", "gemm", "mat_mul", "lstm")


class Layer:
    """A layer of a graph that `binarized` gave.

    Attributes:
        node: the conv or gemm.
        source: the tensor whose signs it reads.
        shift: the constant [channels] that is added to it before.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        signs = graph.producer(node.inputs[0])
        add = None if signs is None else graph.producer(signs.inputs[0])
        assert add is not None, "binarized made it"
        self.node = node
        self.source, self.shift = add.inputs


def binarized(graph: Graph, technique: Binarization) -> tuple[Graph, Binarization]:
    """A copy in which the layers of the technique read `binarize(x + shift)`, with a shift of 0 for each channel.

    A clamp at 0 (relu) that makes x for them alone is left out: behind it only a shift could tell values apart. Layers
    that read signs already stay as they are.

    Returns:
        The graph, and the technique for these very layers.

    Raises:
        UnsupportedOperatorError: layers that cannot be made binary; the error lists all.
        InvalidArgumentError: a pattern matches no layer.
    """
    graph = clone(graph)
    chosen = _choose(graph, technique)
    for source in dict.fromkeys(node.inputs[0] for node in chosen):
        readers = [node for node in chosen if node.inputs[0] == source]
        if len(readers) == len(graph.consumers(source)):
            _drop_clamp(graph, source)
        _insert(graph, source, readers)
    graph.sort()
    return graph, replace(technique, layers=tuple(glob.escape(node.name) for node in chosen))


def layers_of(graph: Graph, technique: Binarization) -> list[Layer]:
    """The layers of what `binarized` gave, in order."""
    return [Layer(graph, node) for node in graph.nodes if technique.matches([node.name])]


def _names(node: Node) -> list[str]:
    return [node.inputs[1], node.name, *node.outputs]


def _choose(graph: Graph, technique: Binarization) -> list[Node]:
    chosen, refused = [], []
    for node in graph.nodes:
        if node.op not in _PRODUCTS or not technique.matches(_names(node)) or reads_signs(graph, node):
            continue
        reason = _reason_against(graph, node)
        if reason:
            refused.append((node.name, node.op, reason))
        elif node.op == "conv" or technique.layers != ("*",):
            chosen.append(node)
    if refused and (technique.layers != ("*",) or not chosen):
        listed = "; ".join(f"node {name!r} ({op}) {reason}" for name, op, reason in refused)
        raise UnsupportedOperatorError(f"Binarization: {listed}; leave such layers out (layers=)", refused)
    for pattern in technique.layers:
        if not any(fnmatchcase(name, pattern) for node in chosen for name in _names(node)):
            raise InvalidArgumentError(f"Binarization: no layer matches {pattern!r}")
    return chosen


def _reason_against(graph: Graph, node: Node) -> str:
    """Why a layer cannot multiply bits, "" if it can (optimize/fold_bits.py, csrc/ops/binary_product.h)."""
    if node.op not in ("conv", "gemm"):
        return "has no kernel for bits"
    weights, bias = graph.tensors[node.inputs[1]], graph.constant(node.input(2))
    if weights.data is None or weights.dtype != "f32" or not graph.is_single_use(weights.name):
        return "has weights that are computed, quantised or shared"
    if node.input(2) and (bias is None or bias.dtype != np.float32):
        return "has a bias that is computed or quantised"
    if attribute_int(node, "group", 1) != 1:
        return f"has {attribute_int(node, 'group')} groups (depthwise): bits are summed over all channels"
    if not _follows_a_product(graph, node.inputs[0]):
        return "is the first layer: it reads the input itself"
    if weights.data.shape[-1] % 8:
        return f"reads {weights.data.shape[-1]} channels: bits need a multiple of 8"
    if attribute_str(node, "activation") or attribute_int(node, "dynamic", 0):
        return "has an activation other than a clamp, or rounds its rows"
    if node.op == "conv" and any(attribute_floats(node, "pad_values")):
        return "pads with other numbers than 0"
    return ""


def _follows_a_product(graph: Graph, name: str) -> bool:
    pending, seen = [name], set()
    while pending:
        producer = graph.producer(pending.pop())
        if producer is None or producer.name in seen:
            continue
        if producer.op in _PRODUCTS:
            return True
        seen.add(producer.name)
        pending += [each for each in producer.inputs if each]
    return False


def _drop_clamp(graph: Graph, name: str) -> None:
    producer = graph.producer(name)
    while producer is not None and producer.op == "max_pool" and name not in graph.outputs:
        name = producer.inputs[0]
        if not graph.is_single_use(name):
            return
        producer = graph.producer(name)
    if producer is None or name in graph.outputs or "clamp_min" not in producer.attributes:
        return
    if attribute_float(producer, "clamp_min") == 0 and not attribute_str(producer, "activation"):
        producer.attributes.update(clamp_min=-np.inf, clamp_max=np.inf)


def _insert(graph: Graph, source: str, readers: list[Node]) -> None:
    weights = graph.tensors[readers[0].inputs[1]].data
    assert weights is not None, "checked by _reason_against"
    shape = graph.tensors[source].shape
    shift = graph.add_constant(f"{source}_shift", np.zeros(weights.shape[-1], np.float32))
    shifted = graph.add_tensor(Tensor(graph.fresh_name(f"{source}_shifted"), "f32", shape))
    signs = graph.add_tensor(Tensor(graph.fresh_name(f"{source}_signs"), "f32", shape))
    bounds = {"clamp_min": -np.inf, "clamp_max": np.inf}
    new = [Node("add", shifted, [source, shift], [shifted], {**bounds}), Node("binarize", signs, [shifted], [signs])]
    graph.insert_before(readers[0], new)
    for node in readers:
        node.inputs[0] = signs
