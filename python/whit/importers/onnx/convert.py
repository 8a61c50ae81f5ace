"""The last step: every ONNX node goes to its handler; what has none, or is refused, is reported together."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from whit.errors import FormatError, UnsupportedOperatorError, WhitError
from whit.importers.onnx.context import Context, Operation, Unknown, Unsupported
from whit.importers.onnx.registry import find_handler, reason, suggestions, supported_operators
from whit.ir import Graph, Tensor, verify

__all__ = ["convert"]

_INPUT_DTYPES = ("f32", "s32", "s8", "u8")


def convert(model: ir.Model, source: dict[str, object]) -> Graph:
    """Translates a prepared model; `source` becomes the metadata of that name."""
    graph = Graph(name=str(model.graph.name or ""), metadata={"source": source})
    context = Context(model, graph)
    refused = _Refusals()
    _add_inputs(model, context, refused)
    for node in model.graph:
        _convert_node(node, model, context, refused)
    if not refused.nodes:
        _add_outputs(model, context, refused)
    refused.raise_any()
    if context.notes:
        graph.metadata["import_notes"] = context.notes
    graph.prune()
    try:
        verify(graph)
    except WhitError as error:
        raise FormatError(f"the ONNX model contradicts itself: {error}") from error
    return graph


class _Refusals:
    """What could not be translated, and which values follow from it."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, str, str]] = []
        self._tainted: set[ir.Value] = set()

    def add(self, name: str, op_type: str, reason: str) -> None:
        self.nodes.append((name, op_type, reason))

    def taint(self, node: ir.Node) -> None:
        self._tainted.update(node.outputs)

    def follows(self, node: ir.Node) -> bool:
        return any(value in self._tainted for value in node.inputs)

    def raise_any(self) -> None:
        if not self.nodes:
            return
        count = len(self.nodes)
        lines = [f"whit cannot import {count} node{'s' if count > 1 else ''} of this model:"]
        for name, op_type, why in self.nodes:
            near = suggestions(op_type.rpartition(".")[2])
            instead = f" [near to it: {', '.join(near)}]" if near else ""
            lines.append(f"  '{name}' ({op_type}): {why}{instead}")
        lines.append(f"Supported operators: {', '.join(supported_operators())}")
        raise UnsupportedOperatorError("\n".join(lines), self.nodes)


def _add_inputs(model: ir.Model, context: Context, refused: _Refusals) -> None:
    for value in model.graph.inputs:
        name = str(value.name)
        try:
            dtype = context.dtype(value)
        except Unsupported as error:
            refused.add(name, "graph input", str(error))
            dtype = "f32"
        context.graph.add_tensor(Tensor(name, dtype, context.shape(value)))
        context.graph.inputs.append(name)
        context.bind(value, name)


def _convert_node(node: ir.Node, model: ir.Model, context: Context, refused: _Refusals) -> None:
    domain = "" if node.domain == "ai.onnx" else node.domain
    operation = Operation(node, model.opset_imports.get(domain, 0))
    label = f"{domain}.{node.op_type}" if domain else str(node.op_type)
    handler = find_handler(domain, node.op_type)
    try:
        if handler is None:
            raise Unsupported(reason(str(node.op_type)))
        context.begin(operation.name)
        start = len(context.graph.nodes)
        results = handler(context, operation)
        _bind_outputs(node, [results] if isinstance(results, str) else results, context, start)
        return
    except Unknown as error:
        if not refused.follows(node):
            refused.add(operation.name, label, str(error))
    except Unsupported as error:
        refused.add(operation.name, label, str(error))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # The checker looks at nodes one by one; operands and attributes may still not fit together.
        raise FormatError(f"node '{operation.name}' ({label}) of the ONNX model contradicts itself: {error}") from error
    # So that the nodes behind it can still be looked at.
    refused.taint(node)
    for value in node.outputs:
        dims = () if value.shape is None else context.shape(value)
        context.bind(value, context.graph.add_tensor(Tensor(context.fresh("refused"), "f32", dims)))


def _bind_outputs(node: ir.Node, results: Sequence[str], context: Context, start: int) -> None:
    """Gives the tensors that a handler made the names of the ONNX outputs that they are."""
    made = {name for new in context.graph.nodes[start:] for name in new.outputs}
    for value, result in zip(node.outputs, results, strict=False):
        if not result or not value.name:
            continue
        name = str(value.name)
        if result in made and name not in context.graph.tensors:
            context.rename(result, name, start)
            made.discard(result)
            result = name
        context.bind(value, result)


def _add_outputs(model: ir.Model, context: Context, refused: _Refusals) -> None:
    graph = context.graph
    for value in model.graph.outputs:
        name = str(value.name)
        context.begin(name)
        try:
            dtype = context.dtype(value)
            tensor = context.tensor(value)
        except Unsupported as error:
            refused.add(name, "graph output", str(error))
            continue
        if context.is_offset(tensor):
            if tensor == name:
                context.rename(tensor, tensor := context.fresh(f"{name}/s8"))
            tensor = context.from_offset(tensor, dtype)
        if tensor != name:
            # An input, a constant or another output under a second name needs a node of its own.
            if graph.producer(tensor) is None or tensor in graph.outputs:
                shape = context.shape_of(tensor)
                tensor = context.reshape(tensor, [0] * len(shape), shape)
            context.rename(tensor, name)
        graph.outputs.append(name)
