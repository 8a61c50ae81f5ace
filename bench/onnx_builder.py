"""Builds the topologies of whit.suite as ONNX models with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from whit.suite.topologies import Activation, Builder

_OPSET = 17
_IR_VERSION = 8


def build(name: str, describe: Callable[[Builder], None]) -> onnx.ModelProto:
    """The f32 ONNX model of a topology, or of a single layer, that `describe` gives to a builder. Input and output are
    called `input` and `output`; the same name gives the same weights.
    """
    builder = OnnxBuilder(name)
    describe(builder)
    return builder.model()


class OnnxBuilder:
    """Implements `whit.suite.topologies.Builder`. A handle is the name of a tensor.

    Weights are drawn from a normal distribution whose variance keeps the scale of activations from layer to layer
    (He et al., "Delving Deep into Rectifiers", section 2.2; half of it where no rectifier follows).
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._random = np.random.default_rng(list(name.encode()))
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._output = ""

    def input(self, channels: int, height: int, width: int) -> str:
        return self._named_input((1, channels, height, width))

    def rows(self, count: int, features: int) -> str:
        """Instead of `input`: a matrix f32 [count, features] for `linear`."""
        return self._named_input((count, features))

    def conv(
        self, x: str, channels: int, kernel: int, stride: int = 1, groups: int = 1, activation: Activation = None
    ) -> str:
        n, inner, height, width = self._shapes[x]
        pad = kernel // 2
        weight = (channels, inner // groups, kernel, kernel)
        sides = ((side + 2 * pad - kernel) // stride + 1 for side in (height, width))
        attributes: dict[str, Any] = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        inputs = [x, *self._parameters(weight, activation)]
        y = self._node("Conv", inputs, (n, channels, *sides), group=groups, **attributes)
        return self._activate(y, activation)

    def add(self, a: str, b: str, activation: Activation = None) -> str:
        return self._activate(self._node("Add", [a, b], self._shapes[a]), activation)

    def max_pool(self, x: str, kernel: int, stride: int) -> str:
        n, channels, height, width = self._shapes[x]
        pad = kernel // 2
        sides = ((side + 2 * pad - kernel) // stride + 1 for side in (height, width))
        attributes: dict[str, Any] = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return self._node("MaxPool", [x], (n, channels, *sides), **attributes)

    def mean(self, x: str) -> str:
        n, channels = self._shapes[x][:2]
        pooled = self._node("GlobalAveragePool", [x], (n, channels, 1, 1))
        return self._node("Flatten", [pooled], (n, channels))

    def linear(self, x: str, features: int) -> str:
        rows, inner = self._shapes[x]
        inputs = [x, *self._parameters((features, inner), None)]
        return self._node("Gemm", inputs, (rows, features), transB=1)

    def output(self, x: str) -> None:
        self._output = x

    def model(self) -> onnx.ModelProto:
        self._nodes[-1].output[0] = "output"  # the result of the last layer, which nothing else reads
        self._shapes["output"] = self._shapes[self._output]
        ends = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, self._shapes[name])
            for name in ("input", "output")
        ]
        graph = helper.make_graph(self._nodes, self._name, ends[:1], ends[1:], self._weights)
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)

    def _named_input(self, shape: tuple[int, ...]) -> str:
        self._shapes["input"] = shape
        return "input"

    def _parameters(self, shape: tuple[int, ...], activation: Activation) -> list[str]:
        variance = (2.0 if activation else 1.0) / float(np.prod(shape[1:]))
        weight = self._random.standard_normal(shape, np.float32) * np.float32(np.sqrt(variance))
        bias = self._random.standard_normal(shape[0], np.float32) * np.float32(0.1)
        names = [f"weight{len(self._weights)}", f"bias{len(self._weights)}"]
        self._weights += [numpy_helper.from_array(v, n) for v, n in zip((weight, bias), names, strict=True)]
        return names

    def _activate(self, x: str, activation: Activation) -> str:
        if activation is None:
            return x
        if activation == "relu":
            return self._node("Relu", [x], self._shapes[x])
        limits = {"relu6_low": 0.0, "relu6_high": 6.0}
        if not any(weight.name in limits for weight in self._weights):
            self._weights += [numpy_helper.from_array(np.float32(v), n) for n, v in limits.items()]
        return self._node("Clip", [x, *limits], self._shapes[x])

    def _node(self, kind: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        self._shapes[name] = shape
        return name
