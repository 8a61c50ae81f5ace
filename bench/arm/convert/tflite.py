"""Writes a quantised network as .tflite, with the schema module that the ai-edge-litert wheel holds.

Written as a good converter would: NHWC, per-channel s8 weights, paddings that TFLite's SAME cannot express as a PAD
operator (which XNNPACK folds into the convolution), input and output left in s8.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from bench.arm.convert.qdq import Layer, Network, Tensor

_SCHEMA = "ai_edge_litert/schema_py_generated.py"
_FILE_ID = b"TFL3"


class _Writer:
    def __init__(self, schema: ModuleType, network: Network) -> None:
        self.schema = schema
        self.network = network
        self.indices: dict[str, int] = {}
        self.codes: list[tuple[int, int]] = []  # builtin operator, version
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.buffers = [schema.BufferT()]
        for name, tensor in network.tensors.items():
            shape = _nhwc(tensor.shape)
            self.indices[name] = self._tensor(name, shape, schema.TensorType.INT8, [tensor.scale], [tensor.zero_point])

    def model(self) -> Any:
        for layer in self.network.layers:
            getattr(self, f"_{layer.kind}")(layer)
        self.graph.inputs = [self.indices[self.network.input]]
        self.graph.outputs = [self.indices[self.network.output]]
        model = self.schema.ModelT()
        model.version, model.description = 3, "written by the cost bench of whit"
        model.subgraphs, model.buffers, model.operatorCodes = [self.graph], self.buffers, []
        for builtin, version in self.codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
            model.operatorCodes.append(code)
        return model

    def _conv(self, layer: Layer) -> None:
        source = self.indices[layer.inputs[0]]
        padding = self._padding(layer)
        if padding is None:
            source, padding = self._pad(layer), self.schema.Padding.VALID
        depthwise = layer.group > 1
        axis = 3 if depthwise else 0
        weight = layer.weight.transpose(1, 2, 3, 0) if depthwise else layer.weight.transpose(0, 2, 3, 1)
        if depthwise:
            options = self.schema.DepthwiseConv2DOptionsT()
            options.depthMultiplier = 1
            builtin, kind = self.schema.BuiltinOperator.DEPTHWISE_CONV_2D, "DepthwiseConv2DOptions"
        else:
            options = self.schema.Conv2DOptionsT()
            builtin, kind = self.schema.BuiltinOperator.CONV_2D, "Conv2DOptions"
        options.padding, options.strideW, options.strideH = padding, layer.stride, layer.stride
        self._operator(builtin, 3, [source, *self._weights(layer, weight, axis)], layer.output, kind, options)

    def _dense(self, layer: Layer) -> None:
        """Older versions of TFLite know one scale for all rows only."""
        options = self.schema.FullyConnectedOptionsT()
        real = layer.weight * layer.weight_scale[:, None]
        scale = np.abs(real).max(keepdims=True)[0] / np.float32(127)
        one_scale = replace(
            layer,
            weight=np.rint(real / scale).astype(np.int8),
            weight_scale=scale,
            bias=np.rint(layer.bias * (layer.weight_scale / scale)).astype(np.int32),
        )
        inputs = [self.indices[layer.inputs[0]], *self._weights(one_scale, one_scale.weight, 0)]
        builtin = self.schema.BuiltinOperator.FULLY_CONNECTED
        self._operator(builtin, 4, inputs, layer.output, "FullyConnectedOptions", options)

    def _add(self, layer: Layer) -> None:
        inputs = [self.indices[name] for name in layer.inputs]
        options = self.schema.AddOptionsT()
        self._operator(self.schema.BuiltinOperator.ADD, 2, inputs, layer.output, "AddOptions", options)

    def _mean(self, layer: Layer) -> None:
        axes = self._constant(f"{layer.output}/axes", np.array([1, 2], np.int32))
        options = self.schema.ReducerOptionsT()
        options.keepDims = len(self.network.tensors[layer.output].shape) == 4
        inputs = [self.indices[layer.inputs[0]], axes]
        self._operator(self.schema.BuiltinOperator.MEAN, 2, inputs, layer.output, "ReducerOptions", options)

    def _padding(self, layer: Layer) -> int | None:
        """TFLite's word for these pads, if there is one. SAME puts the odd line at the bottom and on the right."""
        if not any(layer.pads):
            return int(self.schema.Padding.VALID)
        wanted = []
        for size, kernel in zip(self.network.tensors[layer.inputs[0]].shape[2:], layer.weight.shape[2:], strict=True):
            total = max((-(-size // layer.stride) - 1) * layer.stride + kernel - size, 0)
            wanted.append((total // 2, total - total // 2))
        same = (wanted[0][0], wanted[1][0], wanted[0][1], wanted[1][1])
        return int(self.schema.Padding.SAME) if layer.pads == same else None

    def _pad(self, layer: Layer) -> int:
        source = self.network.tensors[layer.inputs[0]]
        top, left, bottom, right = layer.pads
        n, c, h, w = source.shape
        padded = Tensor((n, c, h + top + bottom, w + left + right), source.scale, source.zero_point)
        name = f"{layer.output}/padded"
        int8 = self.schema.TensorType.INT8
        index = self._tensor(name, _nhwc(padded.shape), int8, [source.scale], [source.zero_point])
        self.indices[name] = index
        amounts = self._constant(f"{name}/amounts", np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
        inputs = [self.indices[layer.inputs[0]], amounts]
        self._operator(self.schema.BuiltinOperator.PAD, 2, inputs, name, "PadOptions", self.schema.PadOptionsT())
        return index

    def _weights(self, layer: Layer, weight: np.ndarray, axis: int) -> list[int]:
        scales = layer.weight_scale.astype(np.float64)
        bias_scales = scales * self.network.tensors[layer.inputs[0]].scale
        values = self._constant(f"{layer.output}/weight", np.ascontiguousarray(weight), scales, axis)
        return [values, self._constant(f"{layer.output}/bias", layer.bias, bias_scales, 0)]

    def _constant(self, name: str, values: np.ndarray, scales: Any = (), axis: int = 0) -> int:
        types = {np.dtype(np.int8): self.schema.TensorType.INT8, np.dtype(np.int32): self.schema.TensorType.INT32}
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.buffers.append(buffer)
        index = self._tensor(name, values.shape, types[values.dtype], list(scales), [0] * len(scales), axis)
        self.graph.tensors[index].buffer = len(self.buffers) - 1
        return index

    def _tensor(
        self, name: str, shape: tuple[int, ...], dtype: int, scales: list[float], zero_points: list[int], axis: int = 0
    ) -> int:
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), dtype, 0
        if scales:
            tensor.quantization = self.schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = scales, zero_points
            tensor.quantization.quantizedDimension = axis
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _operator(self, builtin: int, version: int, inputs: list[int], output: str, kind: str, options: Any) -> None:
        code = (builtin, version)
        if code not in self.codes:
            self.codes.append(code)
        operator = self.schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes.index(code), inputs, [self.indices[output]]
        operator.builtinOptionsType, operator.builtinOptions = getattr(self.schema.BuiltinOptions, kind), options
        self.graph.operators.append(operator)


def _nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def convert(network: Network, wheels: Path) -> bytes:
    """The network as the bytes of a .tflite file; `wheels` is the folder where ai-edge-litert is installed.

    That package is for another processor: its schema module is loaded alone.
    """
    import flatbuffers  # type: ignore[import-untyped]

    spec = importlib.util.spec_from_file_location("tflite_schema", wheels / _SCHEMA)
    if not spec or not spec.loader:
        raise FileNotFoundError(wheels / _SCHEMA)
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(_Writer(schema, network).model().Pack(builder), file_identifier=_FILE_ID)
    return bytes(builder.Output())
