"""The benched models, and the int8 files of each that the contenders run. Every file is made once and then kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench import onnx_builder
from bench.convert import ncnn, network, tflite
from whit.suite.topologies import TOPOLOGIES

MODELS = ("mobilenet_v1", "mobilenet_v2", "efficientnet_lite0")
#: Known to the bench, but measured only if asked for.
MORE_MODELS = ("resnet18",)
#: Which numbers the weights and the calibration hold does not change what an inference costs: a few samples will do.
CALIBRATION_SAMPLES = 4
INPUT_SHAPE = (1, 3, 224, 224)


class ModelError(Exception):
    """A model that the bench needs is not there."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model. Each method makes its file on first use."""

    name: str
    shared: Path
    folder: Path
    wheels: Path  # where ai-edge-litert is installed, which holds TFLite's schema

    def f32(self) -> Path:
        """The f32 ONNX model: two are made here with random weights, the others come from `shared`/models."""
        if self.name not in ("mobilenet_v1", "resnet18"):
            path = self.shared / "models" / f"{self.name}.onnx"
            if not path.exists():
                raise ModelError(
                    f"no {path}: export {self.name} (224 x 224, batch 1, opset 17, batch norm folded) to ONNX there, "
                    "or give the folder that has models/ as --shared"
                )
            return path
        return self._made(
            f"{self.name}.onnx",
            lambda out: onnx.save(mobilenet_v1() if self.name == "mobilenet_v1" else resnet18(), out),
        )

    def whit(self) -> Path:
        return self._made(f"{self.name}.whit", self._compress)

    def qdq(self, activations: str) -> Path:
        """The QDQ model of onnxruntime's static quantiser; `activations` is "s8" or "u8", the weights are s8."""
        return self._made(f"{self.name}.{activations}s8.onnx", lambda out: self._quantize(out, activations))

    def tflite(self) -> Path:
        def write(out: Path) -> None:
            out.write_bytes(tflite.convert(network.read(self.qdq("s8")), self.wheels))

        return self._made(f"{self.name}.tflite", write)

    def ncnn(self) -> list[Path]:
        """The ncnn model's two files: layers and weights."""

        def write(out: Path) -> None:
            param, weights = ncnn.convert(network.read(self.qdq("s8")))
            out.with_suffix(".bin").write_bytes(weights)
            out.write_text(param)

        param = self._made(f"{self.name}.ncnn.param", write)
        return [param, param.with_suffix(".bin")]

    def macs(self) -> int:
        """Multiplications of one inference: convolutions and matrix products."""
        graph = onnx.shape_inference.infer_shapes(onnx.load(str(self.f32()))).graph
        values = (*graph.value_info, *graph.output)
        shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
        weights = {i.name: list(i.dims) for i in graph.initializer}
        total = 0
        for node in graph.node:
            if node.op_type in ("Conv", "Gemm"):
                rows = int(np.prod(shapes[node.output[0]][2:])) if node.op_type == "Conv" else 1
                total += rows * int(np.prod(weights[node.input[1]]))
        return total

    def _made(self, file: str, make: Callable[[Path], object]) -> Path:
        path = self.folder / file
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            make(path)
        return path

    def _samples(self) -> np.ndarray:
        return np.random.default_rng(0).standard_normal((CALIBRATION_SAMPLES, *INPUT_SHAPE[1:]), dtype=np.float32)

    def _compress(self, out: Path) -> None:
        import whit

        whit.compress(str(self.f32()), out, "int8", self._samples())

    def _quantize(self, out: Path, activations: str) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self, samples: np.ndarray) -> None:
                self.feeds: Iterator[dict[str, np.ndarray]] = iter({"input": sample[None]} for sample in samples)

            def get_next(self) -> dict[str, np.ndarray] | None:
                return next(self.feeds, None)

        prepared = out.with_suffix(".prepared")
        logging.disable(logging.WARNING)
        quant_pre_process(str(self.f32()), str(prepared))
        quantize_static(
            str(prepared),
            str(out),
            Reader(self._samples()),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type={"s8": QuantType.QInt8, "u8": QuantType.QUInt8}[activations],
            weight_type=QuantType.QInt8,
        )
        logging.disable(logging.NOTSET)
        prepared.unlink()


def resnet18() -> onnx.ModelProto:
    """ResNet-18, 224 x 224, batch norm folded, with seeded random weights."""
    return onnx_builder.build("resnet18", TOPOLOGIES["resnet18"])


def mobilenet_v1() -> onnx.ModelProto:
    """MobileNetV1 1.0, 224 x 224, batch norm folded, with seeded random weights that keep activations in range."""
    rng = np.random.default_rng(1)
    nodes: list[onnx.NodeProto] = []
    initializers: list[onnx.TensorProto] = []

    def weight(shape: tuple[int, ...], fan_in: int) -> str:
        values = rng.standard_normal(shape, dtype=np.float32) * np.sqrt(2 / fan_in, dtype=np.float32)
        initializers.append(numpy_helper.from_array(values, f"weight{len(initializers)}"))
        return str(initializers[-1].name)

    def conv(x: str, cin: int, cout: int, kernel: int, stride: int, group: int) -> str:
        fan_in = cin // group * kernel * kernel
        y = f"conv{len(nodes)}"
        inputs = [x, weight((cout, cin // group, kernel, kernel), fan_in), weight((cout,), cout)]
        pads = [kernel // 2] * 4
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads, "group": group}
        nodes.append(helper.make_node("Conv", inputs, [y], name=y, **attributes))
        nodes.append(helper.make_node("Relu", [y], [f"{y}_relu"], name=f"{y}_relu"))
        return f"{y}_relu"

    x, channels = conv("input", 3, 32, 3, 2, 1), 32
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for out_channels, stride in blocks:
        x = conv(x, channels, channels, 3, stride, channels)
        x = conv(x, channels, out_channels, 1, 1, 1)
        channels = out_channels
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], name="flatten"))
    classifier = [weight((1000, channels), channels), weight((1000,), channels)]
    nodes.append(helper.make_node("Gemm", ["features", *classifier], ["logits"], name="classifier", transB=1))
    graph = helper.make_graph(
        nodes,
        "mobilenet_v1",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, INPUT_SHAPE)],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, (1, 1000))],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
