"""Writes a network as .tflite, with the schema module that the ai-edge-litert wheel holds.

Written as a good converter would: NHWC, per-channel s8 weights, paddings that TFLite's SAME cannot express as a PAD
operator (which XNNPACK folds into the convolution). Input and output of a quantised network are s8, or f32 if wished.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bench.convert.network import Layer, Network, Tensor

_SCHEMA = "ai_edge_litert/schema_py_generated.py"
_FILE_ID = b"TFL3"


class _Writer:
    def __init__(self, schema: ModuleType, network: Network, float_io: bool) -> None:
        self.schema = schema
        self.network = network
        self.float_io = float_io and network.quantized
        self.indices: dict[str, int] = {}
        self.codes: list[tuple[int, int]] = []  # builtin operator, version
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.buffers = [schema.BufferT()]
        for name, tensor in network.tensors.items():
            self.indices[name] = self._activation(name, tensor)

    def model(self) -> Any:
        self.graph.inputs = [self._float_end(self.network.input)]
        if self.float_io:
            options = self.schema.QuantizeOptionsT()
            self._operator("QUANTIZE", 1, self.graph.inputs, self.network.input, "QuantizeOptions", options)
        for layer in self.network.layers:
            getattr(self, f"_{layer.kind}")(layer)
        self.graph.outputs = [self._float_end(self.network.output)]
        if self.float_io:
            options, source = self.schema.DequantizeOptionsT(), self.indices[self.network.output]
            output = f"{self.network.output}/f32"
            self._operator("DEQUANTIZE", 2, [source], output, "DequantizeOptions", options)
        model = self.schema.ModelT()
        model.version, model.description = 3, "written by the cost bench of whit"
        model.subgraphs, model.buffers, model.operatorCodes = [self.graph], self.buffers, []
        for builtin, version in self.codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
            model.operatorCodes.append(code)
        return model

    def _float_end(self, name: str) -> int:
        """An input or output of the file: the tensor itself, or its f32 form."""
        if not self.float_io:
            return self.indices[name]
        self.indices[f"{name}/f32"] = self._activation(f"{name}/f32", Tensor(self.network.tensors[name].shape))
        return self.indices[f"{name}/f32"]

    def _conv(self, layer: Layer) -> None:
        source = self.indices[layer.inputs[0]]
        padding = self._padding(layer, layer.weight.shape[2])
        if padding is None:
            source, padding = self._pad(layer), self.schema.Padding.VALID
        depthwise = layer.group > 1
        axis = 3 if depthwise else 0
        weight = layer.weight.transpose(1, 2, 3, 0) if depthwise else layer.weight.transpose(0, 2, 3, 1)
        if depthwise:
            options = self.schema.DepthwiseConv2DOptionsT()
            options.depthMultiplier = 1
            builtin, kind = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"
        else:
            options = self.schema.Conv2DOptionsT()
            builtin, kind = "CONV_2D", "Conv2DOptions"
        options.padding, options.strideW, options.strideH = padding, layer.stride, layer.stride
        options.fusedActivationFunction = self._fused(layer)
        self._operator(builtin, 3, [source, *self._weights(layer, weight, axis)], layer.output, kind, options)

    def _dense(self, layer: Layer) -> None:
        options = self.schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = self._fused(layer)
        if layer.weight_scale.size:
            layer = _with_one_scale(layer)
        inputs = [self.indices[layer.inputs[0]], *self._weights(layer, layer.weight, 0)]
        self._operator("FULLY_CONNECTED", 4, inputs, layer.output, "FullyConnectedOptions", options)

    def _add(self, layer: Layer) -> None:
        inputs = [self.indices[name] for name in layer.inputs]
        options = self.schema.AddOptionsT()
        options.fusedActivationFunction = self._fused(layer)
        self._operator("ADD", 2, inputs, layer.output, "AddOptions", options)

    def _max_pool(self, layer: Layer) -> None:
        """Padding with zeros does no harm where activations are at least zero, and others are not known here."""
        source = self.indices[layer.inputs[0]]
        padding = self._padding(layer, layer.kernel)
        if padding is None:
            source, padding = self._pad(layer), self.schema.Padding.VALID
        options = self.schema.Pool2DOptionsT()
        options.padding, options.strideW, options.strideH = padding, layer.stride, layer.stride
        options.filterWidth = options.filterHeight = layer.kernel
        self._operator("MAX_POOL_2D", 2, [source], layer.output, "Pool2DOptions", options)

    def _mean(self, layer: Layer) -> None:
        axes = self._constant(f"{layer.output}/axes", np.array([1, 2], np.int32))
        options = self.schema.ReducerOptionsT()
        options.keepDims = len(self.network.tensors[layer.output].shape) == 4
        inputs = [self.indices[layer.inputs[0]], axes]
        self._operator("MEAN", 2, inputs, layer.output, "ReducerOptions", options)

    def _fused(self, layer: Layer) -> int:
        kinds = self.schema.ActivationFunctionType
        return int({None: kinds.NONE, "relu": kinds.RELU, "relu6": kinds.RELU6}[layer.activation])

    def _padding(self, layer: Layer, kernel: int) -> int | None:
        """TFLite's word for these pads, if there is one. SAME puts the odd line at the bottom and on the right."""
        if not any(layer.pads):
            return int(self.schema.Padding.VALID)
        wanted = []
        for size in self.network.tensors[layer.inputs[0]].shape[2:]:
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
        index = self.indices[name] = self._activation(name, padded)
        amounts = self._constant(f"{name}/amounts", np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
        inputs = [self.indices[layer.inputs[0]], amounts]
        self._operator("PAD", 2, inputs, name, "PadOptions", self.schema.PadOptionsT())
        return index

    def _weights(self, layer: Layer, weight: np.ndarray, axis: int) -> list[int]:
        scales = layer.weight_scale.astype(np.float64)
        bias_scales = scales * self.network.tensors[layer.inputs[0]].scale
        values = self._constant(f"{layer.output}/weight", np.ascontiguousarray(weight), scales, axis)
        return [values, self._constant(f"{layer.output}/bias", layer.bias, bias_scales, 0)]

    def _constant(self, name: str, values: np.ndarray, scales: Any = (), axis: int = 0) -> int:
        kinds = self.schema.TensorType
        types = {np.dtype(np.int8): kinds.INT8, np.dtype(np.int32): kinds.INT32, np.dtype(np.float32): kinds.FLOAT32}
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.buffers.append(buffer)
        index = self._tensor(name, values.shape, types[values.dtype], list(scales), [0] * len(scales), axis)
        self.graph.tensors[index].buffer = len(self.buffers) - 1
        return index

    def _activation(self, name: str, tensor: Tensor) -> int:
        kinds, shape = self.schema.TensorType, _nhwc(tensor.shape)
        if not tensor.scale:
            return self._tensor(name, shape, kinds.FLOAT32, [], [])
        return self._tensor(name, shape, kinds.INT8, [tensor.scale], [tensor.zero_point])

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

    def _operator(self, builtin: str, version: int, inputs: list[int], output: str, kind: str, options: Any) -> None:
        code = (int(getattr(self.schema.BuiltinOperator, builtin)), version)
        if code not in self.codes:
            self.codes.append(code)
        operator = self.schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes.index(code), inputs, [self.indices[output]]
        operator.builtinOptionsType, operator.builtinOptions = getattr(self.schema.BuiltinOptions, kind), options
        self.graph.operators.append(operator)


def _with_one_scale(layer: Layer) -> Layer:
    """Older versions of TFLite know one scale for all rows only."""
    real = layer.weight * layer.weight_scale[:, None]
    scale = np.abs(real).max(keepdims=True)[0] / np.float32(127)
    return replace(
        layer,
        weight=np.rint(real / scale).astype(np.int8),
        weight_scale=scale,
        bias=np.rint(layer.bias * (layer.weight_scale / scale)).astype(np.int32),
    )


def _nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def convert(network: Network, wheels: Path, float_io: bool = False) -> bytes:
    """The network as the bytes of a .tflite file; `wheels` is the folder where ai-edge-litert is installed.

    With `float_io` a quantised network takes and gives f32.

    That package is for another processor: its schema module is loaded alone.
    """
    import flatbuffers  # type: ignore[import-untyped]

    spec = importlib.util.spec_from_file_location("tflite_schema", wheels / _SCHEMA)
    if not spec or not spec.loader:
        raise FileNotFoundError(wheels / _SCHEMA)
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(_Writer(schema, network, float_io).model().Pack(builder), file_identifier=_FILE_ID)
    return bytes(builder.Output())
