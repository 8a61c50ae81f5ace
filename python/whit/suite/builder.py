"""Networks of random weights as graphs of whit: f32, or s8 in the form that `whit.compress` with recipe int8 writes.

That form: an f32 image in NCHW is quantised, then transposed; activations have one scale, weights one for each output
channel; additions are fused into the convolution before them; the last layer gives f32. A test holds both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from whit.ir import Attribute, Graph, Node, Quantization, Tensor
from whit.suite.topologies import Activation

__all__ = ["Dtype", "GraphBuilder"]

Dtype = Literal["f32", "s8"]
Array = np.ndarray[Any, np.dtype[Any]]

_INFINITY = float("inf")
_CLAMPS: dict[Activation, tuple[float, float]] = {
    None: (-_INFINITY, _INFINITY),
    "relu": (0.0, _INFINITY),
    "relu6": (0.0, 6.0),
}
#: s8 weights are normally distributed with this deviation, as those of trained layers about are.
_WEIGHT_STEPS = 32.0


def _per_tensor(low: float, high: float) -> Quantization:
    scale = (high - low) / 255
    return Quantization(np.array([scale], np.float32), np.array([round(-128 - low / scale)], np.int32))


_POSITIVE, _SIGNED = _per_tensor(0.0, 6.0), _per_tensor(-4.0, 4.0)


def _pooled(size: int, kernel: int, stride: int) -> int:
    return (size + 2 * (kernel // 2) - kernel) // stride + 1


class GraphBuilder:
    """A `whit.suite.topologies.Builder`. Handles are names of tensors; images are channels-last.

    Attributes:
        graph: what was built.
        macs: multiplications and additions of the products, in pairs.
    """

    def __init__(self, name: str, dtype: Dtype, seed: int = 1) -> None:
        self.graph, self.macs = Graph(name), 0
        self._dtype, self._random = dtype, np.random.default_rng(seed)

    # --- inputs and outputs ---

    def input(self, channels: int, height: int, width: int) -> str:
        """An f32 image [1, channels, height, width], as ONNX models take it."""
        x, shape = self.f32_input((1, channels, height, width)), (1, height, width, channels)
        if self._dtype == "s8":
            return self._node("quantize_linear", [x], shape, _SIGNED, perm=[0, 2, 3, 1])
        return self._node("transpose", [x], shape, None, perm=[0, 2, 3, 1])

    def tensor_input(self, *shape: int) -> str:
        """An input of the builder's dtype, already in whit's layout: for single layers."""
        if self._dtype == "f32":
            return self.f32_input(shape)
        return self._add_input(Tensor(self.graph.fresh_name("input"), "s8", shape, _SIGNED))

    def f32_input(self, shape: Sequence[int]) -> str:
        """An f32 input."""
        return self._add_input(Tensor(self.graph.fresh_name("input"), "f32", tuple(shape)))

    def output(self, x: str) -> None:
        """Makes `x` the result."""
        self.graph.outputs.append(x)

    def shape(self, x: str) -> tuple[int, ...]:
        """Sizes of a tensor."""
        shape = self.graph.tensors[x].shape
        assert shape is not None
        return tuple(size for size in shape if isinstance(size, int))

    # --- operators ---

    def conv(
        self, x: str, channels: int, kernel: int, stride: int = 1, groups: int = 1, activation: Activation = None
    ) -> str:
        """A square convolution with a bias, `kernel // 2` zeros around the image."""
        _, height, width, inner = self.shape(x)
        shape = (1, _pooled(height, kernel, stride), _pooled(width, kernel, stride), channels)
        inputs = [x, *self._weights(x, (channels, kernel, kernel, inner // groups))]
        self.macs += int(np.prod(shape)) * kernel * kernel * inner // groups
        attributes: dict[str, Attribute] = {
            "strides": [stride] * 2,
            "dilations": [1, 1],
            "pads": [kernel // 2] * 4,
            "group": groups,
        }
        return self._node("conv", inputs, shape, self._range(activation), **attributes, **_epilogue(activation))

    def linear(self, x: str, features: int) -> str:
        """A fully connected layer with a bias; its result is f32."""
        return self._gemm(x, features, None)

    def matmul(self, x: str, features: int) -> str:
        """The same with a result of the builder's dtype."""
        return self._gemm(x, features, self._range(None))

    def add(self, a: str, b: str, activation: Activation = None) -> str:
        """The sum; the convolution just before it takes it over if it has no activation of its own."""
        last = self.graph.nodes[-1] if self.graph.nodes else None
        quantization = self._range(activation)
        plain = last is not None and last.op == "conv" and len(last.inputs) == 3
        if plain and last is not None and last.outputs[0] in (a, b) and last.attributes["clamp_min"] == -_INFINITY:
            (other,) = {a, b} - set(last.outputs)
            last.inputs.append(other)
            last.attributes.update(_clamp(activation))
            self.graph.tensors[last.outputs[0]].quantization = quantization
            return last.outputs[0]
        return self._node("add", [a, b], self.shape(a), quantization, **_clamp(activation))

    def max_pool(self, x: str, kernel: int, stride: int) -> str:
        """The largest value of a square window, `kernel // 2` of padding."""
        _, height, width, channels = self.shape(x)
        return self._node(
            "max_pool",
            [x],
            (1, _pooled(height, kernel, stride), _pooled(width, kernel, stride), channels),
            self._quantization(x),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            dilations=[1, 1],
            pads=[kernel // 2] * 4,
            ceil_mode=0,
        )

    def mean(self, x: str) -> str:
        """The mean of each channel, [1, channels]."""
        return self._node("reduce_mean", [x], (1, self.shape(x)[-1]), self._quantization(x), axes=[1, 2], keepdims=0)

    def unary(self, op: str, x: str) -> str:
        """An operator on every element."""
        return self._node(op, [x], self.shape(x), self._range(None))

    # --- parts ---

    def _gemm(self, x: str, features: int, quantization: Quantization | None) -> str:
        *rows, k = self.shape(x)
        inputs = [x, *self._weights(x, (features, k))]
        self.macs += int(np.prod(rows)) * k * features
        return self._node("gemm", inputs, (*rows, features), quantization, **_epilogue(None))

    def _add_input(self, tensor: Tensor) -> str:
        self.graph.inputs.append(tensor.name)
        return self.graph.add_tensor(tensor)

    def _node(
        self,
        op: str,
        inputs: list[str],
        shape: Sequence[int],
        quantization: Quantization | None,
        **attributes: Attribute,
    ) -> str:
        name = self.graph.fresh_name(op)
        dtype = "f32" if quantization is None else "s8"
        self.graph.add_tensor(Tensor(name, dtype, tuple(shape), quantization))
        self.graph.nodes.append(Node(op, name, inputs, [name], attributes))
        return name

    def _quantization(self, x: str) -> Quantization | None:
        return self.graph.tensors[x].quantization

    def _range(self, activation: Activation) -> Quantization | None:
        if self._dtype == "f32":
            return None
        return _SIGNED if activation is None else _POSITIVE

    def _weights(self, x: str, shape: tuple[int, ...]) -> list[str]:
        """Weights of a variance that keeps that of the activations (He et al. 2015), and a bias."""
        deviation = float(np.sqrt(2 / np.prod(shape[1:])))
        weights = self._random.standard_normal(shape, dtype=np.float32)
        bias = self._random.standard_normal(shape[0], dtype=np.float32) * np.float32(0.1)
        quantization = self._quantization(x)
        if quantization is None:
            weights *= np.float32(deviation)
            return [self.graph.add_constant("weights", weights), self.graph.add_constant("bias", bias)]
        weights *= np.float32(_WEIGHT_STEPS)
        np.clip(np.rint(weights, out=weights), -127, 127, out=weights)
        scale = np.full(shape[0], deviation / _WEIGHT_STEPS, np.float32)
        per_channel = Quantization(scale, np.zeros(shape[0], np.int32), 0)
        steps = np.rint(bias / (scale * quantization.scale[0])).astype(np.int32)
        return [
            self.graph.add_constant("weights", weights.astype(np.int8), per_channel),
            self.graph.add_constant("bias", steps),
        ]


def _clamp(activation: Activation) -> dict[str, Attribute]:
    low, high = _CLAMPS[activation]
    return {"clamp_min": low, "clamp_max": high}


def _epilogue(activation: Activation) -> dict[str, Attribute]:
    return {"activation": "", **_clamp(activation)}
