"""ONNX Runtime on its CPU provider, with the files of its own quantiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.contenders.base import Contender, Prepared, Runner

if TYPE_CHECKING:
    from bench.files import Files


class OnnxRuntime(Contender):
    name = "onnxruntime"
    module = "onnxruntime"
    distribution = "onnxruntime"
    variants = {"u8s8": "s8", "s8s8": "s8", "f32": "f32"}  # noqa: RUF012

    def prepare(self, files: Files, variant: str) -> Prepared:
        if variant == "f32":
            return files.f32()
        return files.qdq("u8" if variant == "u8s8" else "s8")

    def load(self, prepared: Prepared, threads: int) -> Runner:
        return _Runner(prepared, threads)


class _Runner(Runner):
    """With input and output bound, so that nothing is copied or allocated for them."""

    def __init__(self, prepared: Prepared, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self.prepared = prepared
        self.session = onnxruntime.InferenceSession(prepared.paths[0], options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name
        self.binding = self.session.io_binding()
        self._run = self.session.run_with_iobinding

    def feed(self, x: np.ndarray) -> None:
        import onnxruntime

        (output,) = self.session.get_outputs()
        dtype = {"tensor(float)": np.float32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8}[output.type]
        arrays = (self.prepared.native_input(x), np.empty(output.shape, dtype))
        self.values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
        self.binding.bind_ortvalue_input(self.input, self.values[0])
        self.binding.bind_ortvalue_output(self.output, self.values[1])

    def run(self) -> object:
        return self._run(self.binding)

    def result(self) -> np.ndarray:
        return self.prepared.plain_output(self.values[1].numpy())
