"""Reads ONNX image classifiers and single layers, f32 or quantised (QDQ, s8), into a list of layers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper


class UnsupportedError(Exception):
    """The model holds something that the converters of the bench do not know."""


@dataclass(frozen=True)
class Tensor:
    """An activation. `shape` is NCHW, or [M, C].

    With a scale it is s8: real value = scale * (q - zero_point). Scale 0 means f32.
    """

    shape: tuple[int, ...]
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class Layer:
    """One operator. Where activations are quantised, clamping is part of the output's range, not of the layer."""

    kind: Literal["conv", "dense", "add", "mean", "max_pool"]
    inputs: tuple[str, ...]
    output: str
    weight: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))  # s8 or f32 [O, I / group, KH, KW], [O, I]
    weight_scale: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))  # f32 [O], [1] for all, or empty
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # [O]: s32 in input x weight scale, or f32
    stride: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    group: int = 1
    kernel: int = 1  # of a max_pool
    activation: Literal["relu", "relu6"] | None = None  # of f32 layers


@dataclass
class Network:
    input: str
    output: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)

    @property
    def quantized(self) -> bool:
        return any(tensor.scale for tensor in self.tensors.values())


def read(path: Path) -> Network:
    """Reads an f32 file, or a QDQ file with s8 activations.

    Known are Conv, Gemm, Add, MaxPool, mean over the picture, Relu, Clip to 0..6, and reshapes.

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
        used = {self.network.input, *(name for layer in self.network.layers for name in (*layer.inputs, layer.output))}
        if not self.network.quantized:
            self.network.tensors = {name: Tensor(self.shapes[name]) for name in used}
        elif missing := used - self.network.tensors.keys():
            raise UnsupportedError(f"not quantised: {', '.join(sorted(missing))}")

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
                self._add("dense", node, 1, **self._parameters(node))
            case "Add":
                self._add("add", node, 2)
            case "MaxPool":
                kernel, stride = attributes["kernel_shape"], attributes["strides"]
                pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
                self._add("max_pool", node, 1, kernel=kernel[0], stride=stride[0], pads=pads)
            case "GlobalAveragePool" | "ReduceMean":
                self._add("mean", node, 1)
            case "Relu":
                self._activate(node, "relu")
            case "Clip":
                limits = tuple(float(self.constants[name]) for name in node.input[1:3]) or tuple(attributes.values())
                if limits != (0.0, 6.0):
                    raise UnsupportedError(f"{node.name}: no Clip to {limits} in the converters of the bench")
                self._activate(node, "relu6")
            case other:
                raise UnsupportedError(f"{node.name}: no {other} in the converters of the bench")

    def _conv(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> None:
        parameters = self._parameters(node)
        group, stride = attributes.get("group", 1), attributes.get("strides", [1, 1])
        rest = {"stride": stride[0], "pads": tuple(attributes.get("pads", (0, 0, 0, 0))), "group": group}
        plain = group in (1, len(parameters["weight"]))
        if not plain or stride[0] != stride[1] or set(attributes.get("dilations", [1])) != {1}:
            raise UnsupportedError(f"{node.name}: only plain and depthwise convolutions, equal strides, no dilation")
        self._add("conv", node, 1, **parameters, **rest)

    def _parameters(self, node: onnx.NodeProto) -> dict[str, np.ndarray]:
        if len(node.input) != 3:
            raise UnsupportedError(f"{node.name}: no bias")
        if node.input[1] in self.weights:
            weight, weight_scale = self.weights[node.input[1]]
            return {"weight": weight, "weight_scale": weight_scale, "bias": self.weights[node.input[2]][0]}
        return {"weight": self.constants[node.input[1]], "bias": self.constants[node.input[2]]}

    def _activate(self, node: onnx.NodeProto, activation: Literal["relu", "relu6"]) -> None:
        """Makes the activation a part of the layer before it, which nothing else may read."""
        source, layers = self._activation(node.input[0]), self.network.layers
        known = [i for i, layer in enumerate(layers) if layer.output == source and layer.activation is None]
        if self.network.quantized or not known or any(source in layer.inputs for layer in layers):
            raise UnsupportedError(f"{node.name}: {node.op_type} that is no part of the layer before it")
        layers[known[0]] = replace(layers[known[0]], output=node.output[0], activation=activation)

    def _add(self, kind: Any, node: onnx.NodeProto, inputs: int, **rest: Any) -> None:
        sources = tuple(self._activation(name) for name in node.input[:inputs])
        self.network.layers.append(Layer(kind, sources, node.output[0], **rest))

    def _activation(self, name: str) -> str:
        return self.aliases.get(name, name)
