"""Reads the quantised image classifiers that onnxruntime's quantiser writes (QDQ, s8) into a list of layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper


class UnsupportedError(Exception):
    """The model holds something that the converters of the bench do not know."""


@dataclass(frozen=True)
class Tensor:
    """A quantised activation: real value = scale * (q - zero_point), q is s8. `shape` is NCHW, or [N, C]."""

    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Layer:
    """One operator on quantised activations. Clamping activations are part of the output's range."""

    kind: Literal["conv", "dense", "add", "mean"]
    inputs: tuple[str, ...]
    output: str
    weight: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))  # s8 [O, I / group, KH, KW] or [O, I]
    weight_scale: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))  # f32 [O], or [1] for all
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # s32 [O], in units of input x weight scale
    stride: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    group: int = 1


@dataclass
class Network:
    input: str
    output: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)


def read(path: Path) -> Network:
    """Reads a QDQ file with s8 activations of Conv, Gemm, Add, mean over the picture, and reshapes.

    Raises:
        UnsupportedError: another operator, or a form of one of these that is not needed here.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    return _Reader(model.graph).network


class _Reader:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        values = (*graph.input, *graph.value_info, *graph.output)
        self.shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
        self.aliases: dict[str, str] = {}  # name -> the activation that it is, quantised or not
        self.weights: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # dequantised name -> integers, scales
        self.network = Network(graph.input[0].name, "")
        for node in graph.node:
            self._read_node(node)
        self.network.output = self._activation(graph.output[0].name)

    def _read_node(self, node: onnx.NodeProto) -> None:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        match node.op_type:
            case "QuantizeLinear":
                source = self._activation(node.input[0])
                scale, zero_point = (self.constants[name] for name in node.input[1:3])
                if zero_point.dtype != np.int8 or scale.size != 1:
                    raise UnsupportedError(f"{node.name}: activations must be s8 with one scale")
                self.aliases[node.output[0]] = source
                if source not in self.network.tensors:
                    self.network.tensors[source] = Tensor(self.shapes[source], float(scale), int(zero_point))
            case "DequantizeLinear" if node.input[0] in self.constants:
                self.weights[node.output[0]] = (self.constants[node.input[0]], self.constants[node.input[1]].ravel())
            case "DequantizeLinear" | "Flatten" | "Reshape":
                self.aliases[node.output[0]] = self._activation(node.input[0])
            case "Conv":
                self._conv(node, attributes)
            case "Gemm" if attributes.get("transB"):
                weight, weight_scale = self.weights[node.input[1]]
                bias, _ = self.weights[node.input[2]]
                self._add("dense", node, 1, weight=weight, weight_scale=weight_scale, bias=bias)
            case "Add":
                self._add("add", node, 2)
            case "GlobalAveragePool" | "ReduceMean":
                self._add("mean", node, 1)
            case other:
                raise UnsupportedError(f"{node.name}: no {other} in the converters of the bench")

    def _conv(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> None:
        weight, weight_scale = self.weights[node.input[1]]
        bias, _ = self.weights[node.input[2]]
        group, stride = attributes["group"], attributes["strides"]
        rest = {"stride": stride[0], "pads": tuple(attributes["pads"]), "group": group}
        if group not in (1, weight.shape[0]) or stride[0] != stride[1] or set(attributes.get("dilations", [1])) != {1}:
            raise UnsupportedError(f"{node.name}: only plain and depthwise convolutions, equal strides, no dilation")
        self._add("conv", node, 1, weight=weight, weight_scale=weight_scale, bias=bias, **rest)

    def _add(self, kind: Any, node: onnx.NodeProto, inputs: int, **rest: Any) -> None:
        sources = tuple(self._activation(name) for name in node.input[:inputs])
        self.network.layers.append(Layer(kind, sources, node.output[0], **rest))

    def _activation(self, name: str) -> str:
        return self.aliases.get(name, name)
