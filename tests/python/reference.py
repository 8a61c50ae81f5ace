"""A plain numpy executor of whit's graphs: the independent oracle of the tests.

One small function per operator of csrc/model/op_list.inc. f32 operators compute in double and round once, so they are
the better-known answer; s8 operators follow the arithmetic of csrc/kernels/epilogue.h operation by operation (f32
multiply and add, each rounded, round half to even), so they are the exact one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from whit.dtypes import NUMPY_DTYPES
from whit.ir import Graph, Node, Quantization, Tensor

F32, F64, S32, S64 = np.float32, np.float64, np.int32, np.int64


def run(graph: Graph, feeds: dict[str, np.ndarray], outputs: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Runs `graph` on `feeds` (one array per input) and returns `outputs` (any tensors; default: the graph's outputs).

    Every array that appears is checked against its tensor's dtype and the fixed sizes of its shape.
    """
    values = {name: tensor.data for name, tensor in graph.tensors.items() if tensor.data is not None}
    values[""] = None
    for name in graph.inputs:
        values[name] = feeds[name]
    for name, value in values.items():
        if name:
            _check(value, graph.tensors[name])
    wanted = list(graph.outputs if outputs is None else outputs)
    for node in graph.nodes:
        call = Call(
            node,
            [values[name] for name in node.inputs],
            [graph.tensors[name] if name else None for name in node.inputs],
            [graph.tensors[name] if name else None for name in node.outputs],
        )
        try:
            with np.errstate(all="ignore"):
                results = OPERATORS[node.op](call)
        except Exception as error:
            error.args = (f"node {node.name!r} ({node.op}): {error}",)
            raise
        if not isinstance(results, list):
            results = [results]
        for tensor, result in zip(call.outputs, results, strict=False):
            if tensor is not None:
                _check(result, tensor)
                values[tensor.name] = result
    return {name: values[name] for name in wanted}


def _check(value: np.ndarray, tensor: Tensor) -> None:
    if tensor.dtype in NUMPY_DTYPES and value.dtype != NUMPY_DTYPES[tensor.dtype]:
        raise AssertionError(f"tensor {tensor.name!r} is {tensor.dtype}, its value is {value.dtype}")
    if tensor.shape is None:
        return
    fits = len(value.shape) == len(tensor.shape) and all(
        isinstance(want, str) or want == got for want, got in zip(tensor.shape, value.shape, strict=True)
    )
    if not fits:
        raise AssertionError(f"tensor {tensor.name!r} says shape {tensor.shape}, its value has {value.shape}")


@dataclass
class Call:
    """One node with the values of its inputs and the tensors on both sides."""

    node: Node
    values: list[Any]
    inputs: list[Tensor | None]
    outputs: list[Tensor | None]

    def attribute(self, name: str, default: Any = None) -> Any:
        if default is None:
            return self.node.attributes[name]
        return self.node.attributes.get(name, default)

    def value(self, index: int) -> Any:
        """An input; None if absent."""
        return self.values[index] if index < len(self.values) else None

    def quantization(self, index: int) -> Quantization:
        """Of an input."""
        return _quantization(self.inputs[index])

    @property
    def output(self) -> Tensor:
        assert self.outputs[0] is not None
        return self.outputs[0]

    @property
    def is_s8(self) -> bool:
        return bool(self.values[0].dtype == np.int8)

    @property
    def clamp(self) -> tuple[float, float]:
        return self.attribute("clamp_min", -math.inf), self.attribute("clamp_max", math.inf)


# --- quantisation ---


def _quantization(tensor: Tensor | None) -> Quantization:
    assert tensor is not None, "absent tensors have no quantisation"
    assert tensor.quantization is not None, f"tensor {tensor.name!r} is not quantised"
    return tensor.quantization


def _broadcast(values: np.ndarray, quantization: Quantization, shape: tuple[int, ...]) -> np.ndarray:
    if quantization.group:
        return np.repeat(values, quantization.group, axis=1)[:, : shape[-1]].reshape(shape)
    if quantization.axis is None:
        return values.reshape(())
    return values.reshape([-1 if axis == quantization.axis else 1 for axis in range(len(shape))])


def centred(q: np.ndarray, quantization: Quantization) -> np.ndarray:
    """q - zero_point as s64."""
    return q.astype(S64) - _broadcast(quantization.zero_point, quantization, q.shape)


def dequantize(q: np.ndarray, quantization: Quantization) -> np.ndarray:
    """S8 or s32 -> f32."""
    return centred(q, quantization).astype(F32) * _broadcast(quantization.scale, quantization, q.shape).astype(F32)


def quantize(x: np.ndarray, quantization: Quantization) -> np.ndarray:
    """f32 -> s8; not a number becomes the zero point."""
    steps = x.astype(F32) / _broadcast(quantization.scale, quantization, x.shape).astype(F32)
    zero_point = _broadcast(quantization.zero_point, quantization, x.shape)
    return store_s8(np.where(np.isnan(steps), F32(0), steps), zero_point)


def store_s8(steps: np.ndarray, zero_point: Any) -> np.ndarray:
    """f32 in steps of the output -> s8; not a number becomes the lower bound."""
    low, high = (-128 - np.asarray(zero_point)).astype(F32), (127 - np.asarray(zero_point)).astype(F32)
    steps = np.where(steps > low, steps, low)
    steps = np.where(steps < high, steps, high)
    return (np.rint(steps).astype(S64) + zero_point).astype(np.int8)


def scalar(values: np.ndarray) -> Any:
    assert values.size == 1, "per-tensor quantisation expected"
    return values.reshape(-1)[0]


def scale_of(quantization: Quantization) -> float:
    """As double, where a quotient of two scales is exact enough to be rounded to f32 once."""
    return float(scalar(quantization.scale))


def zero_of(quantization: Quantization) -> int:
    return int(scalar(quantization.zero_point))


# --- the end of conv, conv_transpose and gemm ---


def clamp(t: np.ndarray, low: float, high: float) -> np.ndarray:
    """A not-a-number stays one, as in EpilogueF32."""
    t = np.where(t < low, t.dtype.type(low), t)
    return np.where(t > high, t.dtype.type(high), t)


def hard_swish(t: np.ndarray, alpha: Any) -> np.ndarray:
    kind = t.dtype.type
    return t * clamp(t * kind(alpha) + kind(0.5), 0, 1)


def finish(call: Call, accumulator: np.ndarray, residual: np.ndarray | None) -> np.ndarray:
    """From sums without bias (s64 for s8 inputs, else f64), channels last, to the output."""
    activation, (low, high), bias = call.attribute("activation", ""), call.clamp, call.value(2)
    if not call.is_s8:
        t = accumulator if bias is None else accumulator + bias
        t = t if residual is None else t + residual
        t = hard_swish(t, 1 / 6) if activation == "hard_swish" else t
        return clamp(t, low, high).astype(F32)
    if bias is not None:
        accumulator = accumulator + bias.astype(S64)
    assert accumulator.size == 0 or np.abs(accumulator).max() < 2**31, "s32 accumulators overflow"
    scale = F32(scale_of(call.quantization(0))) * call.quantization(1).scale.astype(F32)
    if call.output.dtype == "f32":
        assert residual is None
        t = accumulator.astype(F32) * scale
        t = hard_swish(t, 1 / 6) if activation == "hard_swish" else t
        return clamp(t, F32(low), F32(high))
    out = _quantization(call.output)
    out_scale, out_zero = scale_of(out), zero_of(out)
    t = accumulator.astype(F32) * (scale / F32(out_scale))
    if residual is not None:
        t = t + centred(residual, call.quantization(3)).astype(F32) * F32(scale_of(call.quantization(3)) / out_scale)
    t = hard_swish(t, out_scale / 6) if activation == "hard_swish" else t
    return store_s8(clamp(t, *steps_clamp(low, high, out)), out_zero)


def steps_clamp(low: float, high: float, quantization: Quantization) -> tuple[float, float]:
    """A clamp of real numbers as integers in steps of the output, zero point not yet added."""
    scale, zero = scale_of(quantization), zero_of(quantization)
    limits = -128 - zero, 127 - zero
    return tuple(float(np.clip(np.rint(bound / scale), *limits)) for bound in (low, high))  # type: ignore[return-value]


def weights(call: Call) -> tuple[np.ndarray, np.ndarray]:
    """x (minus its zero point) and w in the type to multiply in: double holds both kinds exactly."""
    x, w = call.values[0], call.values[1]
    if call.is_s8:
        assert not call.quantization(1).zero_point.any(), "weights must be symmetric"
        return centred(x, call.quantization(0)).astype(F64), w.astype(F64)
    if w.dtype == np.int8:
        w = dequantize(w, call.quantization(1))
    return x.astype(F64), w.astype(F64)


def sums(call: Call, accumulator: np.ndarray) -> np.ndarray:
    return accumulator.astype(S64) if call.is_s8 else accumulator


# --- convolution ---


def windows(x: np.ndarray, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> np.ndarray:
    """x [n, spatial..., c] -> [n, out..., c, kernel...]."""
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    axes = range(1, 1 + len(spans))
    view = sliding_window_view(x, spans, axis=tuple(axes))
    steps = [slice(None), *(slice(None, None, stride) for stride in strides), slice(None)]
    return view[(*steps, *(slice(None, None, dilation) for dilation in dilations))]


def padded_by(call: Call, x: np.ndarray) -> np.ndarray:
    """x of a conv (minus its zero point) with its padding around it."""
    pads, values = call.attribute("pads"), np.asarray(call.attribute("pad_values", []), F32)
    if values.size == 0:
        return pad_spatial(x, pads)
    if call.is_s8:
        own = call.quantization(0)
        steps = np.rint(values.astype(F64) / float(own.scale[0])) + zero_of(own)
        values = np.clip(steps, -128, 127) - zero_of(own)
    inside = pad_spatial(np.ones(x.shape, bool), pads, False)
    return np.where(inside, pad_spatial(x, pads), values.astype(F64))


def pad_spatial(x: np.ndarray, pads: Sequence[int], value: Any = 0) -> np.ndarray:
    half = len(pads) // 2
    return np.pad(x, [(0, 0), *zip(pads[:half], pads[half:], strict=True), (0, 0)], constant_values=value)


def conv(call: Call) -> np.ndarray:
    x, w = weights(call)
    group, kernel = call.attribute("group"), w.shape[1:-1]
    x = padded_by(call, x)
    patches = windows(x, kernel, call.attribute("strides"), call.attribute("dilations"))
    n, out, spatial = x.shape[0], patches.shape[1 : 1 + len(kernel)], len(kernel)
    channels = x.shape[-1] // group
    # [n, out..., g, c/g, kernel...] -> [g, n * out, kernel * c/g]
    patches = patches.reshape(n, *out, group, channels, *kernel)
    order = [spatial + 1, *range(spatial + 1), *range(spatial + 3, 2 * spatial + 3), spatial + 2]
    patches = patches.transpose(order).reshape(group, n * math.prod(out), -1)
    w = w.reshape(group, w.shape[0] // group, -1).transpose(0, 2, 1)
    y = np.matmul(patches, w).transpose(1, 0, 2).reshape(n, *out, -1)
    return finish(call, sums(call, y), call.value(3))


def conv_transpose(call: Call) -> np.ndarray:
    x, w = weights(call)
    group, kernel = call.attribute("group"), w.shape[1:-1]
    strides, dilations, pads = call.attribute("strides"), call.attribute("dilations"), call.attribute("pads")
    axes = range(len(kernel))
    full = [
        (x.shape[1 + a] - 1) * strides[a] + (kernel[a] - 1) * dilations[a] + 1 + call.attribute("output_padding")[a]
        for a in axes
    ]
    y = np.zeros((x.shape[0], *full, group, w.shape[0] // group))
    x = x.reshape(*x.shape[:-1], group, -1)
    w = w.reshape(group, w.shape[0] // group, *w.shape[1:])
    for index in itertools.product(*map(range, kernel)):
        here = [slice(index[a] * dilations[a], None, strides[a]) for a in axes]
        here = [slice(h.start, h.start + (x.shape[1 + a] - 1) * h.step + 1, h.step) for a, h in enumerate(here)]
        y[(slice(None), *here)] += np.einsum("...gi,goi->...go", x, w[(slice(None), slice(None), *index)])
    crop = [slice(pads[a], full[a] - pads[len(kernel) + a]) for a in axes]
    y = y[(slice(None), *crop)]
    return finish(call, sums(call, y.reshape(*y.shape[:-2], -1)), None)


def gemm(call: Call) -> np.ndarray:
    if call.attribute("dynamic", 0):
        return dynamic_gemm(call)
    x, w = weights(call)
    return finish(call, sums(call, x @ w.T), call.value(3))


def dynamic_gemm(call: Call) -> np.ndarray:
    """Each row of x on a grid of its own, in the operations of csrc/kernels/convert/convert.h."""
    t = dynamic_product(call.values[0], call.values[1], call.quantization(1))
    t = t if call.value(2) is None else t + call.value(2)
    t = t if call.value(3) is None else t + call.value(3)
    t = hard_swish(t, F32(1 / 6)) if call.attribute("activation", "") == "hard_swish" else t
    return np.asarray(clamp(t, *map(F32, call.clamp)))


def dynamic_product(x: np.ndarray, w: np.ndarray, own: Quantization) -> np.ndarray:
    assert not own.zero_point.any(), "weights must be symmetric"
    known = np.where(np.isnan(x), F32(0), x)
    low, high = known.min(-1, keepdims=True, initial=F32(0)), known.max(-1, keepdims=True, initial=F32(0))
    scale = high / F32(255) - low / F32(255)
    scale = np.where(scale < F32(2.0**-60), F32(1), scale)
    zero_point = np.where(np.isinf(scale), 0, np.clip(np.rint(F32(-128) - low / scale), -128, 127)).astype(S64)
    steps = x / scale
    rows = store_s8(np.where(np.isnan(steps), F32(0), steps), zero_point).astype(S64) - zero_point
    if own.group:
        t = np.zeros((*x.shape[:-1], len(w)), F32)
        for group, column in enumerate(range(0, x.shape[-1], own.group)):
            part = slice(column, column + own.group)
            t = t + (rows[..., part] @ w[:, part].T.astype(S64)).astype(F32) * own.scale[:, group].astype(F32)
        t = t * scale
    else:
        t = (rows @ w.T.astype(S64)).astype(F32) * scale * own.scale
    return t


def mat_mul(call: Call) -> np.ndarray:
    return np.matmul(call.values[0].astype(F64), call.values[1].astype(F64)).astype(F32)


# --- elementwise ---


def binary(function: Callable[[Any, Any], Any]) -> Callable[[Call], np.ndarray]:
    def compute(call: Call) -> np.ndarray:
        a, b = call.values
        if not np.issubdtype(a.dtype, np.floating):
            assert not call.is_s8, f"{call.node.op} has no s8 form"
            return np.asarray(function(a, b)).astype(a.dtype)
        return clamp(np.asarray(function(a, b)).astype(F32), *call.clamp)

    return compute


def binary_s8(call: Call, f32: Callable[[Call], np.ndarray]) -> np.ndarray:
    if not call.is_s8:
        return f32(call)
    (a, b), qa, qb, out = call.values, call.quantization(0), call.quantization(1), _quantization(call.output)
    a, b = centred(a, qa).astype(F32), centred(b, qb).astype(F32)
    if call.node.op == "mul":
        t = (a * b) * (F32(scale_of(qa) * scale_of(qb)) / F32(scale_of(out)))
    else:
        a, b = a * F32(scale_of(qa) / scale_of(out)), b * F32(scale_of(qb) / scale_of(out))
        t = a - b if call.node.op == "sub" else a + b
    return store_s8(clamp(t, *steps_clamp(*call.clamp, out)), zero_of(out))


def power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.power(a.astype(F64), b.astype(F64))


def unary(function: Callable[[Call, np.ndarray], np.ndarray]) -> Callable[[Call], np.ndarray]:
    """f32 -> f32; for s8 the same function on real values: a table of 256 entries."""

    def compute(call: Call) -> np.ndarray:
        if not call.is_s8:
            x = call.values[0]
            return function(call, x.astype(F64) if x.dtype == F32 else x).astype(x.dtype)
        real = dequantize(call.values[0], call.quantization(0))
        return quantize(function(call, real.astype(F64)).astype(F32), _quantization(call.output))

    return compute


def in_f32(function: Callable[[Call, np.ndarray], np.ndarray]) -> Callable[[Call], np.ndarray]:
    """As `unary`, for operators of plain additions and multiplications: the same bits as in C++."""
    return unary(lambda call, x: function(call, x.astype(F32)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[F64])(x)


def hard_sigmoid(call: Call, x: np.ndarray) -> np.ndarray:
    return clamp(x * F32(call.attribute("alpha")) + F32(call.attribute("beta")), 0, 1)


def gelu(call: Call, x: np.ndarray) -> np.ndarray:
    if call.attribute("approximate") == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def elu(call: Call, x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, call.attribute("alpha") * np.expm1(x), x)


# --- pools and reductions ---


def pool_windows(call: Call, value: Any, x: np.ndarray) -> np.ndarray:
    """Windows of the padded input; with ceil_mode the end is padded further with `value`."""
    kernel, strides, pads = call.attribute("kernel_shape"), call.attribute("strides"), list(call.attribute("pads"))
    half = len(kernel)
    dilations = call.node.attributes.get("dilations", [1] * half)
    for a in range(half if call.attribute("ceil_mode") else 0):
        size = x.shape[1 + a]
        span = (kernel[a] - 1) * dilations[a] + 1
        count = -(-(size + pads[a] + pads[half + a] - span) // strides[a]) + 1
        if (count - 1) * strides[a] >= size + pads[a]:  # a window must not start in the padding at the end
            count -= 1
        pads[half + a] = max(pads[half + a], (count - 1) * strides[a] + span - size - pads[a])
    return windows(pad_spatial(x, pads, value), kernel, strides, dilations)


def max_pool(call: Call) -> np.ndarray:
    x = call.values[0]
    lowest = -np.inf if x.dtype == F32 else np.iinfo(x.dtype).min
    view = pool_windows(call, lowest, x)
    return view.max(axis=tuple(range(x.ndim, view.ndim)))


def average_pool(call: Call) -> np.ndarray:
    x = call.values[0]
    real = centred(x, call.quantization(0)).astype(F64) if call.is_s8 else x.astype(F64)
    view = pool_windows(call, 0, real)
    return mean(call, view.sum(axis=tuple(range(x.ndim, view.ndim))), _pool_counts(call, view.shape, x.shape))


def _pool_counts(call: Call, out: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Elements that each window counts, [1, out..., 1]: what ceil_mode adds at the end never counts."""
    kernel, strides, pads = call.attribute("kernel_shape"), call.attribute("strides"), call.attribute("pads")
    half = len(kernel)
    counts = np.ones([1] * len(shape))
    for a in range(half):
        begin, end = (pads[a], pads[half + a]) if call.attribute("count_include_pad") else (0, 0)
        start = np.arange(out[1 + a]) * strides[a] - pads[a]
        inside = np.minimum(start + kernel[a], shape[1 + a] + end) - np.maximum(start, -begin)
        counts = counts * inside.reshape([-1 if axis == a + 1 else 1 for axis in range(len(shape))])
    return counts


def mean(call: Call, total: np.ndarray, count: Any) -> np.ndarray:
    """total is exact (double); s8: f32(total) * (in_scale / (out_scale * count))."""
    if not call.is_s8:
        return (total / count).astype(F32)
    own, out = call.quantization(0), _quantization(call.output)
    factor = scale_of(own) / (scale_of(out) * np.asarray(count, F64))
    return store_s8(total.astype(F32) * factor.astype(F32), zero_of(out))


def reduce_mean(call: Call) -> np.ndarray:
    x, axes = call.values[0], tuple(call.attribute("axes"))
    real = centred(x, call.quantization(0)).astype(F64) if call.is_s8 else x.astype(F64)
    count = math.prod(x.shape[axis] for axis in axes)
    return mean(call, real.sum(axis=axes, keepdims=bool(call.attribute("keepdims"))), count)


def reduce(function: Any) -> Callable[[Call], np.ndarray]:
    def compute(call: Call) -> np.ndarray:
        x = call.values[0]
        wide = x.astype(F64) if x.dtype == F32 else x
        axes, keep = tuple(call.attribute("axes")), bool(call.attribute("keepdims"))
        return np.asarray(function(wide, axis=axes, keepdims=keep)).astype(x.dtype)

    return compute


def arg_max(call: Call) -> np.ndarray:
    axis = call.attribute("axis")
    index = np.argmax(call.values[0], axis=axis)
    return (np.expand_dims(index, axis) if call.attribute("keepdims") else index).astype(S32)


def softmax(call: Call) -> np.ndarray:
    return np.exp(_log_softmax(call)).astype(F32)


def _log_softmax(call: Call) -> np.ndarray:
    x, axis = call.values[0].astype(F64), call.attribute("axis")
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def layer_normalization(call: Call) -> np.ndarray:
    x, axis = call.values[0].astype(F64), call.attribute("axis")
    axes = tuple(range(axis % x.ndim, x.ndim))
    x = x - x.mean(axis=axes, keepdims=True)
    y = x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + call.attribute("epsilon")) * call.values[1]
    return (y if call.value(2) is None else y + call.values[2]).astype(F32)


# --- resize and moving data ---


def resize_coordinates(call: Call, axis: int, size: int) -> tuple[np.ndarray, int]:
    """Where each output index of a spatial axis lies in the input, and the output's size. f32, as onnxruntime."""
    scales, sizes = call.attribute("scales"), call.attribute("sizes")
    out = int(sizes[axis]) if sizes else math.floor(F32(size) * F32(scales[axis]))
    scale = F32(out) / F32(size) if sizes else F32(scales[axis])
    index = np.arange(out, dtype=F32)
    mode = call.attribute("coordinate_transformation_mode")
    if mode == "align_corners":
        return (index * F32(size - 1) / F32(out - 1) if out > 1 else index * F32(0)), out
    if mode == "asymmetric":
        return index / scale, out
    if mode == "pytorch_half_pixel" and out == 1:
        return index * F32(0), out
    return (index + F32(0.5)) / scale - F32(0.5), out


def resize(call: Call) -> np.ndarray:
    x = call.values[0]
    if call.attribute("mode") == "nearest":
        for axis in range(x.ndim - 2):
            place, _ = resize_coordinates(call, axis, x.shape[1 + axis])
            rounding: dict[str, Callable[[np.ndarray], np.ndarray]] = {
                "floor": np.floor,
                "ceil": np.ceil,
                "round_prefer_floor": lambda p: np.ceil(p - F32(0.5)),
                "round_prefer_ceil": lambda p: np.floor(p + F32(0.5)),
            }
            index = np.clip(rounding[call.attribute("nearest_mode")](place).astype(S64), 0, x.shape[1 + axis] - 1)
            x = np.take(x, index, axis=1 + axis)
        return x
    kind = F32 if call.is_s8 else F64
    y = centred(x, call.quantization(0)).astype(kind) if call.is_s8 else x.astype(kind)
    for axis in range(x.ndim - 2):
        size = x.shape[1 + axis]
        place, _ = resize_coordinates(call, axis, size)
        place = np.clip(place, F32(0), F32(size - 1))
        low = np.floor(place).astype(S64)
        high = np.minimum(low + 1, size - 1)
        part = (place - low.astype(F32)).astype(kind).reshape([-1 if a == axis + 1 else 1 for a in range(x.ndim)])
        y = np.take(y, low, axis=1 + axis) * (1 - part) + np.take(y, high, axis=1 + axis) * part
    if not call.is_s8:
        return y.astype(F32)
    own, out = call.quantization(0), _quantization(call.output)
    return store_s8(y.astype(F32) * F32(scale_of(own) / scale_of(out)), zero_of(out))


def pad(call: Call) -> np.ndarray:
    x, pads, mode = call.values[0], call.attribute("pads"), call.attribute("mode")
    widths = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
    if mode != "constant":
        return np.pad(x, widths, mode=mode)
    value = F32(call.attribute("value"))
    if call.is_s8:
        value = quantize(np.asarray(value), call.quantization(0))[()]
    return np.pad(x, widths, constant_values=value)


def slice_(call: Call) -> np.ndarray:
    x = call.values[0]
    index = [slice(None)] * x.ndim
    names = ("axes", "starts", "ends", "steps")
    for axis, start, end, step in zip(*(call.attribute(name) for name in names), strict=True):
        size = x.shape[axis]
        start, end = (value + size if value < 0 else value for value in (start, end))
        if step > 0:
            index[axis] = slice(min(max(start, 0), size), min(max(end, 0), size), step)
        else:
            start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
            index[axis] = slice(start, None if end < 0 else end, step)
    return x[tuple(index)]


def concat(call: Call) -> np.ndarray:
    return np.concatenate(call.values, axis=call.attribute("axis"))


def split(call: Call) -> list[np.ndarray]:
    x, axis, sizes = call.values[0], call.attribute("axis"), call.attribute("sizes")
    if not sizes:
        return list(np.split(x, len(call.outputs), axis=axis))
    assert sum(sizes) == x.shape[axis]
    return list(np.split(x, np.cumsum(sizes)[:-1], axis=axis))


def gather(call: Call) -> np.ndarray:
    x, indices, axis = call.values[0], call.values[1], call.attribute("axis")
    return np.take(x, np.where(indices < 0, indices + x.shape[axis], indices), axis=axis)


def reshape(call: Call) -> np.ndarray:
    x = call.values[0]
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(call.attribute("shape"))])


def expand(call: Call) -> np.ndarray:
    x = call.values[0]
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(call.attribute("shape")))).copy()


def depth_to_space(call: Call) -> np.ndarray:
    x, b = call.values[0], call.attribute("blocksize")
    n, h, w, c = x.shape
    if call.attribute("mode") == "DCR":
        y = x.reshape(n, h, w, b, b, c // (b * b)).transpose(0, 1, 3, 2, 4, 5)
    else:
        y = x.reshape(n, h, w, c // (b * b), b, b).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, h * b, w * b, c // (b * b))


def move(function: Callable[[Call, np.ndarray], np.ndarray]) -> Callable[[Call], np.ndarray]:
    return lambda call: function(call, call.values[0])


def lstm(call: Call) -> list[np.ndarray]:
    dynamic = call.attribute("dynamic", 0)
    x, w, r = (
        (dequantize(value, call.quantization(index)) if value.dtype == np.int8 else value).astype(F64)
        for index, value in enumerate(call.values[:3])
    )
    directions, hidden = w.shape[0], r.shape[2]
    bias, h0, c0 = (call.value(index) for index in (3, 4, 5))
    y = np.zeros((x.shape[0], directions, x.shape[1], hidden))
    last_h, last_c = np.zeros(y.shape[1:]), np.zeros(y.shape[1:])
    for d in range(directions):
        h = np.zeros((x.shape[1], hidden)) if h0 is None else h0[d].astype(F64)
        c = np.zeros((x.shape[1], hidden)) if c0 is None else c0[d].astype(F64)
        both = np.zeros(4 * hidden) if bias is None else bias[d, : 4 * hidden] + bias[d, 4 * hidden :].astype(F64)
        backwards = call.attribute("direction") == "reverse" or d == 1
        for t in reversed(range(x.shape[0])) if backwards else range(x.shape[0]):
            if dynamic:
                sums = dynamic_product(x[t].astype(F32), call.values[1][d], call.quantization(1)) + both.astype(F32)
                sums = dynamic_product(h.astype(F32), call.values[2][d], call.quantization(2)) + sums
            else:
                sums = x[t] @ w[d].T + h @ r[d].T + both
            i, o, f, g = np.split(sums.astype(F64), 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            y[t, d] = h
        last_h[d], last_c[d] = h, c
    return [y.astype(F32), last_h.astype(F32), last_c.astype(F32)]


# --- between dtypes ---


def quantize_linear(call: Call) -> np.ndarray:
    y, perm = quantize(call.values[0], _quantization(call.output)), call.attribute("perm", [])
    return y.transpose(perm) if perm else y


def dequantize_linear(call: Call) -> np.ndarray:
    return dequantize(call.values[0], call.quantization(0))


def requantize(call: Call) -> np.ndarray:
    own, out = call.quantization(0), _quantization(call.output)
    return store_s8(centred(call.values[0], own).astype(F32) * F32(scale_of(own) / scale_of(out)), zero_of(out))


def cast(call: Call) -> np.ndarray:
    x, dtype = call.values[0], NUMPY_DTYPES[call.output.dtype]
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        x = np.clip(np.trunc(np.nan_to_num(x.astype(F64))), limits.min, limits.max)
    return x.astype(dtype)


OPERATORS: dict[str, Callable[[Call], Any]] = {
    "conv": conv,
    "conv_transpose": conv_transpose,
    "gemm": gemm,
    "mat_mul": mat_mul,
    "add": lambda call: binary_s8(call, binary(np.add)),
    "sub": lambda call: binary_s8(call, binary(np.subtract)),
    "mul": lambda call: binary_s8(call, binary(np.multiply)),
    "div": binary(np.divide),
    "pow": binary(power),
    "min": binary(np.minimum),
    "max": binary(np.maximum),
    "prelu": binary(lambda x, slope: np.where(x < 0, x * slope, x)),
    "clip": in_f32(lambda call, x: clamp(x, *call.clamp)),
    "leaky_relu": in_f32(lambda call, x: np.where(x < 0, x * F32(call.attribute("alpha")), x)),
    "elu": unary(elu),
    "sigmoid": unary(lambda call, x: sigmoid(x)),
    "tanh": unary(lambda call, x: np.tanh(x)),
    "hard_sigmoid": in_f32(hard_sigmoid),
    "hard_swish": in_f32(lambda call, x: hard_swish(x, F32(1) / F32(6))),
    "silu": unary(lambda call, x: x * sigmoid(x)),
    "gelu": unary(gelu),
    "erf": unary(lambda call, x: erf(x)),
    "softplus": unary(lambda call, x: np.logaddexp(x, 0)),
    "exp": unary(lambda call, x: np.exp(x)),
    "log": unary(lambda call, x: np.log(x)),
    "sqrt": unary(lambda call, x: np.sqrt(x)),
    "reciprocal": unary(lambda call, x: 1 / x),
    "abs": unary(lambda call, x: np.abs(x)),
    "neg": unary(lambda call, x: -x),
    "floor": unary(lambda call, x: np.floor(x)),
    "ceil": unary(lambda call, x: np.ceil(x)),
    "round": unary(lambda call, x: np.rint(x)),
    "sin": unary(lambda call, x: np.sin(x)),
    "cos": unary(lambda call, x: np.cos(x)),
    "binarize": unary(lambda call, x: np.where(x < 0, -1.0, 1.0)),
    "max_pool": max_pool,
    "average_pool": average_pool,
    "reduce_mean": reduce_mean,
    "reduce_sum": reduce(np.sum),
    "reduce_max": reduce(np.max),
    "reduce_min": reduce(np.min),
    "arg_max": arg_max,
    "softmax": softmax,
    "log_softmax": lambda call: _log_softmax(call).astype(F32),
    "layer_normalization": layer_normalization,
    "resize": resize,
    "pad": pad,
    "slice": slice_,
    "concat": concat,
    "split": split,
    "gather": gather,
    "reshape": reshape,
    "squeeze": move(lambda call, x: np.squeeze(x, tuple(call.attribute("axes")))),
    "unsqueeze": move(lambda call, x: np.expand_dims(x, tuple(call.attribute("axes")))),
    "transpose": move(lambda call, x: x.transpose(call.attribute("perm"))),
    "expand": expand,
    "depth_to_space": depth_to_space,
    "lstm": lstm,
    "quantize_linear": quantize_linear,
    "dequantize_linear": dequantize_linear,
    "requantize": requantize,
    "cast": cast,
}
