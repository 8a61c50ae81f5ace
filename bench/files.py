"""The files of one case: the f32 ONNX model and what is derived from it. Each is made on first use and then kept."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench.cases import Case
from bench.contenders.base import Prepared, Quantization
from bench.convert import network

#: What the weights and the calibration hold does not change what an inference costs: a few samples will do.
CALIBRATION_SAMPLES = 4
ActivationType = Literal["s8", "u8"]


class Files:
    """Makes and names the files of a case in `folder`, where those of an earlier run are used again."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.folder = folder / case.name.replace(" ", "_")

    def f32(self, channels_last: bool = False) -> Prepared:
        """The f32 ONNX model; with `channels_last` pictures go in and out as NHWC (single layers only)."""
        path = self.made("f32.onnx", lambda out: onnx.save(self.case.make(), out))
        if not channels_last or not self.is_picture():
            return Prepared([str(path)])
        return Prepared(
            [str(self.made("f32.nhwc.onnx", lambda out: onnx.save(_channels_last(_load(path)), out)))],
            channels_last=True,
        )

    def qdq(self, activations: ActivationType, channels_last: bool = True) -> Prepared:
        """The QDQ model of onnxruntime's static quantiser with per-channel s8 weights.

        That of a single layer takes and gives integers, as between two layers of a network; with `channels_last` its
        pictures are NHWC.
        """
        path = self.quantized(activations)
        if not self.case.layer:
            return Prepared([str(path)])
        channels_last = channels_last and self.is_picture()

        def write(out: Path) -> None:
            model = _integer_ends(_load(path))
            onnx.save(_channels_last(model) if channels_last else model, out)

        layer = self.made(f"{activations}s8.layer.{'nhwc' if channels_last else 'nchw'}.onnx", write)
        return Prepared([str(layer)], *self.ends(activations), channels_last=channels_last)

    def quantized(self, activations: ActivationType) -> Path:
        """The QDQ model as the quantiser wrote it: f32 in and out."""
        return self.made(f"{activations}s8.onnx", lambda out: self._quantize(out, activations))

    def network(self, dtype: str) -> network.Network:
        """The layers of the f32 model or of the s8 one, for contenders that are built layer by layer."""
        return network.read(Path(self.f32().paths[0]) if dtype == "f32" else self.quantized("s8"))

    def ends(self, activations: ActivationType) -> tuple[Quantization, Quantization]:
        """How input and output of the quantised model are quantised."""
        graph = _load(self.quantized(activations)).graph
        constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        first = next(node for node in graph.node if graph.input[0].name in node.input)
        last = next(node for node in graph.node if graph.output[0].name in node.output)
        both = []
        for node in (first, last):
            scale, zero_point = (constants[name] for name in node.input[1:3])
            both.append(Quantization(activations, float(scale), int(zero_point)))
        return both[0], both[1]

    def samples(self) -> np.ndarray:
        """Calibration data without the batch axis: f32 [N, C, H, W], or of matrices [1, M, K]."""
        given = self.case.samples and self.case.samples()
        if given is not None:
            return given
        shape = self.input_shape()
        count = CALIBRATION_SAMPLES if len(shape) == 4 else 1
        values = np.random.default_rng(0).standard_normal((count, *shape), dtype=np.float32)
        return values[:, 0] if len(shape) == 4 else values

    def sample(self) -> np.ndarray:
        """An input f32 on which contenders are compared."""
        return np.asarray(self.samples()[0].reshape(self.input_shape()))

    def reference(self) -> np.ndarray:
        """The output f32 for `sample`, of onnxruntime's f32."""

        def run(out: Path) -> None:
            import onnxruntime

            session = onnxruntime.InferenceSession(self.f32().paths[0], providers=["CPUExecutionProvider"])
            (result,) = session.run(None, {session.get_inputs()[0].name: self.sample()})
            with out.open("wb") as file:
                np.save(file, result)

        return np.asarray(np.load(self.made("reference.npy", run)))

    def input_shape(self) -> tuple[int, ...]:
        return tuple(self._facts()["input"])

    def names(self) -> tuple[str, str]:
        """Of input and output of the f32 model."""
        first, last = self._facts()["names"]
        return first, last

    def is_picture(self) -> bool:
        return len(self.input_shape()) == 4

    def macs(self) -> int:
        """Multiplications of one inference: convolutions and matrix products."""
        return int(self._facts()["macs"])

    def made(self, file: str, make: Callable[[Path], object]) -> Path:
        """The path of `file`, which `make` wrote, now or earlier. It appears complete or not at all."""
        path = self.folder / file
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"part.{file}")
            make(part)
            os.replace(part, path)
        return path

    def _facts(self) -> dict[str, Any]:
        def write(out: Path) -> None:
            model = _load(Path(self.f32().paths[0]))
            shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
            names = [model.graph.input[0].name, model.graph.output[0].name]
            out.write_text(json.dumps({"input": shape, "names": names, "macs": macs(model)}))

        facts: dict[str, Any] = json.loads(self.made("facts.json", write).read_text())
        return facts

    def _quantize(self, out: Path, activations: ActivationType) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        name, _ = self.names()

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self, samples: np.ndarray, shape: tuple[int, ...]) -> None:
                self.feeds: Iterator[dict[str, np.ndarray]] = iter({name: s.reshape(shape)} for s in samples)

            def get_next(self) -> dict[str, np.ndarray] | None:
                return next(self.feeds, None)

        prepared = out.with_suffix(".prepared")
        logging.disable(logging.WARNING)
        try:
            quant_pre_process(self.f32().paths[0], str(prepared))
            quantize_static(
                str(prepared),
                str(out),
                Reader(self.samples(), self.input_shape()),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type={"s8": QuantType.QInt8, "u8": QuantType.QUInt8}[activations],
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.disable(logging.NOTSET)
            prepared.unlink(missing_ok=True)


def _load(path: Path) -> onnx.ModelProto:
    return onnx.load(str(path))


def _integer_ends(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the quantisation of the input and the dequantisation of the output."""
    graph = model.graph
    first = next(node for node in graph.node if graph.input[0].name in node.input)
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    zero_point = next(i for i in graph.initializer if i.name == first.input[2])
    graph.node.remove(first)
    graph.node.remove(last)
    for node in graph.node:
        for names, old, new in ((node.input, first.output[0], "input"), (node.output, last.input[0], "output")):
            for i, name in enumerate(names):
                names[i] = new if name == old else name
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.elem_type = zero_point.data_type
    graph.input[0].name, graph.output[0].name = "input", "output"
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def _channels_last(model: onnx.ModelProto) -> onnx.ModelProto:
    """With a transpose at either end."""
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = {"input": "input_nchw", "output": "output_nchw"}.get(name, name)
    graph.node.insert(0, helper.make_node("Transpose", ["input"], ["input_nchw"], name="to_nchw", perm=[0, 3, 1, 2]))
    graph.node.append(helper.make_node("Transpose", ["output_nchw"], ["output"], name="to_nhwc", perm=[0, 2, 3, 1]))
    for value in (graph.input[0], graph.output[0]):
        sizes = value.type.tensor_type.shape.dim
        n, c, h, w = (size.dim_value for size in sizes)
        for size, number in zip(sizes, (n, h, w, c), strict=True):
            size.dim_value = number
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def macs(model: onnx.ModelProto) -> int:
    """Multiplications of one inference of an f32 model: convolutions and matrix products."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    shapes |= {i.name: list(i.dims) for i in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            # Every weight meets every pixel of the output, or of the input.
            picture = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]]
            total += int(np.prod(picture[2:])) * int(np.prod(shapes[node.input[1]]))
        elif node.op_type in ("Gemm", "MatMul"):
            total += int(np.prod(shapes[node.output[0]])) * shapes[node.input[0]][-1]
    return total
