"""Which operators have an s8 form, and how an f32 node between conversions becomes one.

Activations are quantised per tensor. Input and output may differ in quantisation for: conv, conv_transpose, gemm, add,
sub, mul, the unary operators, average_pool, reduce_mean and linear resize. A constant operand of one element is
quantised without loss, as one step; dividing by one becomes mul.
"""

from __future__ import annotations

import numpy as np

from whit.ir import PRODUCTS, Graph, Node, Quantization, Tensor
from whit.optimize.base import attribute_str, scalar_constant
from whit.optimize.layout_rules import UNARY

__all__ = ["dequantized", "fold_operator", "fold_product", "is_per_tensor_s8", "s8_operands", "s8_weights"]

_ONE_INPUT = (UNARY - {"quantize_linear", "dequantize_linear", "requantize", "cast"}) | {"average_pool", "reduce_mean"}
_TWO_INPUTS = frozenset(("add", "sub", "mul"))

#: A constant operand, quantised without loss.
_Exact = tuple[np.ndarray, Quantization]


def is_per_tensor_s8(tensor: Tensor) -> bool:
    """True for s8 with one scale."""
    quantization = tensor.quantization
    return tensor.dtype == "s8" and quantization is not None and quantization.axis is None


def dequantized(graph: Graph, tensor: str) -> Tensor | None:
    """The s8 tensor (quantised per tensor) that `tensor` is the real value of."""
    producer = graph.producer(tensor)
    if producer is None or producer.op != "dequantize_linear":
        return None
    source = graph.tensors[producer.inputs[0]]
    return source if is_per_tensor_s8(source) else None


def fold_operator(graph: Graph, node: Node, quantize: Node) -> bool:
    """Makes `node`, whose result goes into `quantize` alone, an s8 operator; False if it has no s8 form."""
    if node.op in PRODUCTS:
        return fold_product(graph, node, quantize)
    operands = s8_operands(graph, node)
    if operands is None:
        return False
    for index, operand in enumerate(operands):
        if isinstance(operand, Tensor):
            node.inputs[index] = operand.name
        else:
            node.inputs[index] = graph.add_constant(f"{node.inputs[index]}_quantized", *operand)
    node.op = "mul" if node.op == "div" else node.op
    _take_over(graph, node, quantize)
    return True


def _take_over(graph: Graph, node: Node, quantize: Node) -> None:
    node.outputs = list(quantize.outputs)
    graph.remove_node(quantize)


def s8_operands(graph: Graph, node: Node) -> list[Tensor | _Exact] | None:
    """What the s8 form of `node` would read; None if it has no s8 form or an operand is not quantised."""
    if node.op in PRODUCTS:
        product = _product_operands(graph, node)
        return None if product is None else [product[0]]
    if node.op == "div":
        dividend, divisor = dequantized(graph, node.inputs[0]), _reciprocal(graph, node.inputs[1])
        return None if dividend is None or divisor is None else [dividend, divisor]
    linear = node.op == "resize" and attribute_str(node, "mode") == "linear"
    if node.op not in _ONE_INPUT and node.op not in _TWO_INPUTS and not linear:
        return None
    operands: list[Tensor | _Exact] = []
    for name in node.inputs:
        operand = dequantized(graph, name) or _exact_scalar(graph, name)
        if operand is None:
            return None
        operands.append(operand)
    return operands


def _exact_scalar(graph: Graph, tensor: str) -> _Exact | None:
    value, data = scalar_constant(graph, tensor), graph.constant(tensor)
    return None if value is None or data is None else _one_step(value, data.shape)


def _one_step(value: float, shape: tuple[int, ...]) -> _Exact | None:
    scale = np.array([abs(value) or 1], np.float32)
    if not np.isfinite(scale).all() or not (scale > 0).all():
        return None
    return np.full(shape, np.sign(value), np.int8), Quantization(scale, np.zeros(1, np.int32))


def _reciprocal(graph: Graph, tensor: str) -> _Exact | None:
    """1 / tensor for an f32 constant of one element, or an s8 one that is dequantised."""
    value, data, source = scalar_constant(graph, tensor), graph.constant(tensor), dequantized(graph, tensor)
    if source is not None and source.data is not None and source.data.size == 1 and source.quantization is not None:
        data = source.data
        steps = int(data.reshape(-1)[0]) - int(source.quantization.zero_point[0])
        value = float(np.float32(steps) * source.quantization.scale[0])
    return _one_step(1 / value, data.shape) if value and data is not None else None


# --- products ---


def s8_weights(graph: Graph, tensor: str) -> Tensor | None:
    """The s8 constant behind weights, if quantised per tensor or along axis 0."""
    producer = graph.producer(tensor)
    name = producer.inputs[0] if producer is not None and producer.op == "dequantize_linear" else tensor
    found = graph.tensors[name]
    if found.data is None or found.dtype != "s8" or found.quantization is None:
        return None
    return found if found.quantization.axis in (None, 0) else None


def fold_product(graph: Graph, node: Node, quantize: Node | None) -> bool:
    """The same for conv, conv_transpose and gemm; without `quantize` the output stays f32."""
    operands = _product_operands(graph, node)
    if operands is None or (quantize is None and operands[3] is not None):
        return False
    x, weights, bias, residual = operands
    names = [x.name, weights.name]
    if bias is not None:
        names.append(graph.add_constant(f"{node.name}_bias_s32", bias))
    if residual is not None:
        names += [""] * (3 - len(names)) + [residual.name]
    node.inputs = names
    if quantize is not None:
        _take_over(graph, node, quantize)
    return True


def _product_operands(graph: Graph, node: Node) -> tuple[Tensor, Tensor, np.ndarray | None, Tensor | None] | None:
    """x, weights, bias (in steps of x's scale times the weights', so it says none) and residual of the s8 form."""
    x, weights = dequantized(graph, node.inputs[0]), s8_weights(graph, node.inputs[1])
    if x is None or weights is None or weights.data is None or weights.quantization is None:
        return None
    if weights.quantization.zero_point.any() or (weights.data == -128).any():
        return None
    residual = None
    if node.input(3):
        residual = dequantized(graph, node.inputs[3])
        if residual is None:
            return None
    assert x.quantization is not None, "dequantized gives quantised tensors"
    steps = np.float64(x.quantization.scale[0]) * weights.quantization.scale.astype(np.float64)
    steps = np.broadcast_to(steps, weights.data.shape[:1])
    if not node.input(2):
        return x, weights, None, residual
    bias = _bias_in_steps(graph, node.inputs[2], steps)
    if bias is None:
        return None
    # The accumulator is s32: bias and the largest sum of products must fit together.
    reach = np.abs(weights.data.astype(np.int64)).reshape(len(weights.data), -1).sum(axis=1) * 255
    if (np.abs(bias) + reach >= 2**31).any():
        return None
    return x, weights, bias.astype(np.int32), residual


def _bias_in_steps(graph: Graph, tensor: str, steps: np.ndarray) -> np.ndarray | None:
    """A constant bias as whole numbers (f64) of steps, f64 [n]; None if it is no constant or too large."""
    producer = graph.producer(tensor)
    if producer is not None and producer.op == "dequantize_linear":
        source = graph.tensors[producer.inputs[0]]
        if source.data is None or source.dtype != "s32" or source.quantization is None:
            return None
        own = source.quantization.scale.astype(np.float64)
        if np.allclose(own, steps, rtol=1e-6, atol=0):
            return source.data.astype(np.float64)
        real = source.data * own
    else:
        data = graph.constant(tensor)
        if data is None or data.dtype != np.float32:
            return None
        real = data.astype(np.float64)
    with np.errstate(all="ignore"):
        whole = np.rint(real / steps)
    return whole if (np.abs(whole) < 2**31).all() else None
