"""Larq Compute Engine, in a Python of its own: it wants numpy 1, where others have numpy 2.

Its converter needs TensorFlow, its interpreter does not: the model is written here, as flatbuffers, by the schema that
its package holds. The interpreter's module is loaded alone, since the package imports the converter.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from bench.contenders.base import Contender, Prepared, Runner

_PACKAGE = "larq_compute_engine"
#: Of LceBconv2d: 3x3, stride 1, padding 0 (SAME) with zeros, no activation.
_OPTIONS = {
    "dilation_height_factor": 1,
    "dilation_width_factor": 1,
    "fused_activation_function": 0,
    "pad_values": 0,
    "padding": 0,
    "stride_height": 1,
    "stride_width": 1,
}


class Larq(Contender):
    """One binary 3x3 convolution. `prepare` is not asked: convolutions.py knows the weights."""

    name = "larq"
    module = _PACKAGE
    distribution = "larq-compute-engine"
    #: As its interpreter runs by default, and with the kernels that it has to be asked for. Neither computes in s8.
    variants: ClassVar = {"default": "s8", "indirect": "s8"}
    amx = False

    def __init__(self, python: str = sys.executable) -> None:
        self.python = python

    def prepare(self, files: Any, variant: str) -> Prepared:
        from bench.bits import convolutions

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(
                    file,
                    weights=convolutions.weights(files),
                    bias=convolutions.bias(files),
                    shape=files.input_shape(),
                )

        out = files.made("larq.npz", write)
        note = "gets bits and gives f32: its only output where zeros are padded"
        return Prepared([str(out)], channels_last=True, mode=variant, note=note)

    def load(self, prepared: Prepared, threads: int) -> Runner:
        return _Runner(prepared, threads)

    def installed(self) -> bool:
        return bool(self._ask("importlib.util.find_spec('larq_compute_engine') is not None") == "True")

    def version(self) -> str:
        return self._ask("importlib.metadata.version('larq-compute-engine')")

    def _ask(self, expression: str) -> str:
        call = [self.python, "-c", f"import importlib.metadata, importlib.util; print({expression})"]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()


class _Runner(Runner):
    def __init__(self, prepared: Prepared, threads: int) -> None:
        spec = importlib.util.find_spec(_PACKAGE)
        if not spec or not spec.submodule_search_locations:
            raise ImportError(f"no {_PACKAGE}")
        package = Path(spec.submodule_search_locations[0])
        wrapper = _module("interpreter_wrapper_lite", package / "tflite/python/interpreter_wrapper_lite.so")
        schema = _module("tflite_schema", package / "mlir/python/tflite_schema.py")
        content = np.load(prepared.paths[0])
        model = _model(schema, content["weights"], content["bias"], tuple(content["shape"]))
        self.prepared = prepared
        self.interpreter = wrapper.LiteInterpreter(model, threads, False, prepared.mode == "indirect", False)

    def feed(self, x: np.ndarray) -> None:
        self.inputs = [_bits(self.prepared.native_input(x))]

    def run(self) -> object:
        self.outputs = self.interpreter.predict(self.inputs)
        return self.outputs

    def result(self) -> np.ndarray:
        return self.prepared.plain_output(self.outputs[0])


def _module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if not spec or not spec.loader:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _bits(values: np.ndarray) -> np.ndarray:
    """Signs of the last axis, 32 in an s32: 1 is -1, the first one lowest."""
    return np.ascontiguousarray(np.packbits(values < 0, axis=-1, bitorder="little")).view(np.int32)


def _model(schema: Any, weights: np.ndarray, bias: np.ndarray, shape: tuple[int, ...]) -> bytes:
    """A .tflite file of the convolution of NCHW `shape` with weights +1 and -1 [O, H, W, I] and bias f32 [O]."""
    import flatbuffers  # type: ignore[import-untyped]
    from flatbuffers import flexbuffers

    _, channels, height, width = shape
    count = len(weights)
    options = flexbuffers.Builder()
    with options.Map():
        for key, value in {"channels_in": channels, **_OPTIONS}.items():
            options.Int(key, value)
    graph, buffers, kinds = schema.SubGraphT(), [schema.BufferT()], schema.TensorType
    graph.tensors = []

    def tensor(name: str, of: tuple[int, ...], dtype: int, data: np.ndarray | None = None) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(of), dtype, 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            buffers.append(buffer)
            made.buffer = len(buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    graph.inputs = [tensor("input", (1, height, width, channels // 32), kinds.INT32)]
    packed = _bits(weights)
    constants = [
        tensor("weights", packed.shape, kinds.INT32, packed),
        tensor("multiplier", (count,), kinds.FLOAT32, np.ones(count, np.float32)),
        tensor("bias", (count,), kinds.FLOAT32, bias),
    ]
    graph.outputs = [tensor("output", (1, height, width, count), kinds.FLOAT32)]
    operator, code, model = schema.OperatorT(), schema.OperatorCodeT(), schema.ModelT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [*graph.inputs, *constants, -1], graph.outputs
    operator.customOptions = np.frombuffer(bytes(options.Finish()), np.uint8)
    graph.operators = [operator]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = "LceBconv2d", 1
    model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], buffers, [code]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
