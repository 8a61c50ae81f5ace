"""The operators of csrc/model/op_list.inc in torch: f32, differentiable, in whit's layouts.

`BUILDERS` has one small function per operator. It reads the attributes of a node once and returns the function that
computes: tensors in the node's order (None where an optional one is absent), a tensor or a list of them out. Images are
channels-last; convolutions see them through permuted views, which torch runs in its channels_last format, uncopied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from whit.errors import UnsupportedOperatorError
from whit.ir import Node
from whit.optimize.base import attribute_float, attribute_floats, attribute_int, attribute_ints, attribute_str
from whit.train.operators_data import DATA_BUILDERS
from whit.train.signs import binarize
from whit.train.tensor import Tensor

__all__ = ["BUILDERS", "DTYPES", "Operator", "build", "build_parts"]

Operator = Callable[..., Any]


def build(node: Node, dtype: str, sign_gradient: str = "clip") -> Operator:
    """What computes `node`, whose first output is of `dtype`.

    Raises:
        UnsupportedOperatorError: the operator has no f32 form here.
    """
    if node.op == "cast":
        return _cast(dtype)
    if node.op == "binarize":
        return lambda x: binarize(x, sign_gradient)
    if node.op not in BUILDERS:
        reason = "computes with quantised tensors" if node.op in _QUANTISED else "has no counterpart in torch"
        raise UnsupportedOperatorError(
            f"node {node.name!r} ({node.op}) {reason}; train the f32 model and compress the result",
            [(node.name, node.op, reason)],
        )
    return BUILDERS[node.op](node)


_QUANTISED = ("quantize_linear", "dequantize_linear", "requantize")


def build_parts(node: Node) -> tuple[Operator, Operator]:
    """A conv or gemm in two: (x, w) -> sums, and what comes after its bias, (sums, residual) -> result."""
    attributes = {name: value for name, value in node.attributes.items() if name not in _EPILOGUE}
    return BUILDERS[node.op](Node(node.op, node.name, node.inputs, node.outputs, attributes)), _finish(node)


_EPILOGUE = ("activation", "clamp_min", "clamp_max")


def _first(x: Tensor) -> Tensor:
    """[N, spatial..., C] as [N, C, spatial...], a view."""
    return x.movedim(-1, 1)


def _last(x: Tensor) -> Tensor:
    return x.movedim(1, -1)


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    if low == 0 and high == math.inf:
        return F.relu(x)
    if low == -math.inf and high == math.inf:
        return x
    return x.clamp(low, high)


def _clamp_of(node: Node) -> tuple[float, float]:
    return attribute_float(node, "clamp_min", -math.inf), attribute_float(node, "clamp_max", math.inf)


def _finish(node: Node) -> Callable[[Tensor, Tensor | None], Tensor]:
    """What comes after a product and its bias: residual, activation, clamp (csrc/kernels/epilogue.h)."""
    hard_swish = attribute_str(node, "activation") == "hard_swish"
    low, high = _clamp_of(node)

    def finish(y: Tensor, residual: Tensor | None) -> Tensor:
        y = y if residual is None else y + residual
        return clamp(F.hardswish(y) if hard_swish else y, low, high)

    return finish


def _pad_widths(pads: list[int]) -> list[int]:
    """Begins then ends of the spatial axes, as torch wants them for channels-last: last axis first."""
    half = len(pads) // 2
    widths = [0, 0]
    for axis in reversed(range(half)):
        widths += [pads[axis], pads[half + axis]]
    return widths


def _conv(node: Node) -> Operator:
    strides, dilations = attribute_ints(node, "strides"), attribute_ints(node, "dilations")
    pads, group = attribute_ints(node, "pads"), attribute_int(node, "group")
    values = attribute_floats(node, "pad_values")
    half, finish = len(strides), _finish(node)
    convolve = (F.conv1d, F.conv2d)[half - 1]
    plain = pads[:half] == pads[half:] and not values
    padding, widths = pads[:half] if plain else [0] * half, _pad_widths(pads)

    def conv(x: Tensor, w: Tensor, bias: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
        if values:
            padding_value = x.new_tensor(values)
            x = F.pad(x - padding_value, widths) + padding_value
        elif not plain:
            x = F.pad(x, widths)
        y = convolve(_first(x), _first(w), bias, strides, padding, dilations, group)
        return _last(finish(y, None if residual is None else _first(residual)))

    return conv


def _conv_transpose(node: Node) -> Operator:
    strides, dilations = attribute_ints(node, "strides"), attribute_ints(node, "dilations")
    pads, group, more = (
        attribute_ints(node, "pads"),
        attribute_int(node, "group"),
        attribute_ints(node, "output_padding"),
    )
    half, finish = len(strides), _finish(node)
    convolve = (F.conv_transpose1d, F.conv_transpose2d)[half - 1]
    grow = _pad_widths([0] * half + more)
    crop = _pad_widths([-pad for pad in pads])

    def conv_transpose(x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        # [group * O, kernel..., I] -> torch's [group * I, O, kernel...]
        parts = [_first(part).transpose(0, 1) for part in w.chunk(group)]
        y = _last(convolve(_first(x), torch.cat(parts), None, strides, 0, 0, group, dilations))
        y = F.pad(F.pad(y, grow), crop)
        return finish(y if bias is None else y + bias, None)

    return conv_transpose


def _gemm(node: Node) -> Operator:
    finish = _finish(node)

    def gemm(x: Tensor, w: Tensor, bias: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
        return finish(F.linear(x, w, bias), residual)

    return gemm


def _lstm(node: Node) -> Operator:
    direction = attribute_str(node, "direction")

    def lstm(
        x: Tensor,
        w: Tensor,
        r: Tensor,
        bias: Tensor | None = None,
        h0: Tensor | None = None,
        c0: Tensor | None = None,
    ) -> list[Tensor]:
        hidden = r.shape[2]
        zero = x.new_zeros(x.shape[1], hidden)
        outputs, hs, cs = [], [], []
        for d in range(w.shape[0]):
            h, c = zero if h0 is None else h0[d], zero if c0 is None else c0[d]
            both = None if bias is None else bias[d, : 4 * hidden] + bias[d, 4 * hidden :]
            gates = F.linear(x, w[d], both)
            backwards = direction == "reverse" or d == 1
            steps: list[Tensor] = []
            for t in reversed(range(x.shape[0])) if backwards else range(x.shape[0]):
                i, o, f, g = (gates[t] + F.linear(h, r[d])).chunk(4, dim=-1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                steps.append(h)
            outputs.append(torch.stack(steps[::-1] if backwards else steps))
            hs.append(h)
            cs.append(c)
        return [torch.stack(outputs, dim=1), torch.stack(hs), torch.stack(cs)]

    return lstm


# --- element by element ---

#: The torch dtypes of tensors that are computed with as they are.
DTYPES = {"f32": torch.float32, "s32": torch.int32, "s8": torch.int8, "u8": torch.uint8}


def _cast(dtype: str) -> Operator:
    if dtype == "f32":
        return lambda x: x.to(torch.float32)
    limits = torch.iinfo(DTYPES[dtype])

    def cast(x: Tensor) -> Tensor:
        # By way of double, which holds the limits of s32 exactly.
        return torch.nan_to_num(x.double()).trunc().clamp(limits.min, limits.max).to(DTYPES[dtype])

    return cast


def _div(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _plain(function: Operator) -> Callable[[Node], Operator]:
    """An operator without attributes."""
    return lambda _: function


def _clamped(function: Operator) -> Callable[[Node], Operator]:
    """A binary operator that clamps its result."""

    def builder(node: Node) -> Operator:
        low, high = _clamp_of(node)
        if (low, high) == (-math.inf, math.inf):
            return function
        return lambda a, b: clamp(function(a, b), low, high)

    return builder


def _clip(node: Node) -> Operator:
    low, high = _clamp_of(node)
    return lambda x: clamp(x, low, high)


def _leaky_relu(node: Node) -> Operator:
    alpha = attribute_float(node, "alpha")
    return lambda x: torch.where(x < 0, x * alpha, x)


def _elu(node: Node) -> Operator:
    alpha = attribute_float(node, "alpha")
    return lambda x: F.elu(x, alpha)


def _hard_sigmoid(node: Node) -> Operator:
    alpha, beta = attribute_float(node, "alpha"), attribute_float(node, "beta")
    return lambda x: (x * alpha + beta).clamp(0, 1)


def _gelu(node: Node) -> Operator:
    approximate = attribute_str(node, "approximate")
    return lambda x: F.gelu(x, approximate=approximate)


def _softmax(function: Operator) -> Callable[[Node], Operator]:
    def builder(node: Node) -> Operator:
        axis = attribute_int(node, "axis")
        return lambda x: function(x, dim=axis)

    return builder


def _layer_normalization(node: Node) -> Operator:
    axis, epsilon = attribute_int(node, "axis"), attribute_float(node, "epsilon")

    def layer_normalization(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
        y = F.layer_norm(x, x.shape[axis:], None, None, epsilon) * scale
        return y if bias is None else y + bias

    return layer_normalization


BUILDERS: dict[str, Callable[[Node], Operator]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "gemm": _gemm,
    "mat_mul": _plain(torch.matmul),
    "lstm": _lstm,
    "add": _clamped(torch.add),
    "sub": _plain(torch.sub),
    "mul": _clamped(torch.mul),
    "div": _plain(_div),
    "pow": _plain(torch.pow),
    "min": _plain(torch.minimum),
    "max": _plain(torch.maximum),
    "prelu": _plain(lambda x, slope: torch.where(x < 0, x * slope, x)),
    "clip": _clip,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "sigmoid": _plain(torch.sigmoid),
    "tanh": _plain(torch.tanh),
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _plain(F.hardswish),
    "silu": _plain(F.silu),
    "gelu": _gelu,
    "erf": _plain(torch.erf),
    "softplus": _plain(lambda x: torch.logaddexp(x, x.new_zeros(()))),
    "exp": _plain(torch.exp),
    "log": _plain(torch.log),
    "sqrt": _plain(torch.sqrt),
    "reciprocal": _plain(torch.reciprocal),
    "abs": _plain(torch.abs),
    "neg": _plain(torch.neg),
    "floor": _plain(torch.floor),
    "ceil": _plain(torch.ceil),
    "round": _plain(torch.round),
    "sin": _plain(torch.sin),
    "cos": _plain(torch.cos),
    "binarize": _plain(binarize),
    "softmax": _softmax(torch.softmax),
    "log_softmax": _softmax(torch.log_softmax),
    "layer_normalization": _layer_normalization,
    **DATA_BUILDERS,
}
