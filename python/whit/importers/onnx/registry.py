"""Which ONNX operators whit knows: handlers register here by decorator, and errors name what is near."""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from whit.importers.onnx.context import Context, Operation

__all__ = ["MICROSOFT", "Handler", "find_handler", "handles", "reason", "suggestions", "supported_operators"]

MICROSOFT = "com.microsoft"

#: Emits whit nodes for one ONNX node and returns the names of the tensors that are its outputs.
Handler = Callable[["Context", "Operation"], "str | Sequence[str]"]
_H = TypeVar("_H", bound=Handler)

_handlers: dict[tuple[str, str], Handler] = {}

#: For operators whose name does not lead to what does the same.
_HINTS = {
    "Acos": ("Sin", "Cos"),
    "Atan": ("Sin", "Cos"),
    "BitShift": ("Mul",),
    "ConvInteger": ("QLinearConv", "QuantizeLinear", "DequantizeLinear"),
    "CumSum": ("ReduceSum",),
    "DynamicQuantizeLinear": ("QuantizeLinear",),
    "Einsum": ("MatMul", "Transpose", "Reshape"),
    "Equal": ("Clip", "Relu", "Max", "Min"),
    "GRU": ("LSTM",),
    "GatherElements": ("Gather",),
    "GatherND": ("Gather",),
    "GlobalLpPool": ("ReduceL2", "GlobalAveragePool"),
    "GridSample": ("Resize",),
    "If": ("Clip", "Max", "Min"),
    "Loop": ("LSTM",),
    "LpPool": ("AveragePool", "MaxPool"),
    "MatMulInteger": ("QLinearMatMul", "QuantizeLinear", "DequantizeLinear"),
    "MultiHeadAttention": ("MatMul", "Softmax"),
    "Attention": ("MatMul", "Softmax"),
    "NonMaxSuppression": ("ArgMax",),
    "NonZero": ("ArgMax",),
    "RNN": ("LSTM",),
    "ReduceProd": ("ReduceSum", "Log", "Exp"),
    "RoiAlign": ("Resize",),
    "Scan": ("LSTM",),
    "ScatterElements": ("Concat", "Slice", "Pad"),
    "ScatterND": ("Concat", "Slice", "Pad"),
    "Tan": ("Sin", "Cos", "Div"),
    "TopK": ("ArgMax", "ReduceMax"),
    "Where": ("Clip", "Relu", "Max", "Min", "Mul"),
}


_AT_RUN_TIME = "it computes sizes at run time; fix the open sizes with input_shapes"
_LOGIC = "there are no boolean tensors"
#: Why whit has no such operator, where there is more to say than that.
_REASONS = {
    **dict.fromkeys(("Shape", "Size", "ConstantOfShape", "Range", "NonZero"), _AT_RUN_TIME),
    **dict.fromkeys(("If", "Loop", "Scan"), "control flow that depends on the input is not supported"),
    "Equal": _LOGIC,
    **dict.fromkeys(("And", "Or", "Not", "Xor", "IsNaN", "IsInf"), _LOGIC),
    **dict.fromkeys(
        ("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul"),
        "dynamic quantisation is not supported; quantise statically, or import the f32 model and let whit quantise it",
    ),
}


def handles(*op_types: str, domain: str = "") -> Callable[[_H], _H]:
    """Registers a function as the handler of ONNX operators."""

    def register(handler: _H) -> _H:
        for op_type in op_types:
            _handlers[domain, op_type] = handler
        return handler

    return register


def find_handler(domain: str, op_type: str) -> Handler | None:
    """The handler of an ONNX operator, None if it is not supported."""
    _load()
    return _handlers.get(("" if domain == "ai.onnx" else domain, op_type))


def reason(op_type: str) -> str:
    """Why an operator without a handler is not supported."""
    return _REASONS.get(op_type, "whit has no such operator")


def supported_operators() -> list[str]:
    """Names of all operators with a handler, sorted; "domain.Operator" outside the ONNX domain."""
    _load()
    return sorted(f"{domain}.{op_type}" if domain else op_type for domain, op_type in _handlers)


def suggestions(op_type: str) -> list[str]:
    """Supported operators that may do what `op_type` was meant to do, best first."""
    _load()
    near = difflib.get_close_matches(op_type, [name for _, name in _handlers if name != op_type], n=3, cutoff=0.7)
    return list(dict.fromkeys([*_HINTS.get(op_type, ()), *near]))


@functools.cache
def _load() -> None:
    from whit.importers.onnx import operators

    for module in pkgutil.iter_modules(operators.__path__):
        importlib.import_module(f"{operators.__name__}.{module.name}")
