"""OpenVINO's CPU plugin, with the QDQ files of ONNX Runtime's quantiser."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bench.contenders.base import Contender, Prepared, Runner, onednn_environment

if TYPE_CHECKING:
    from bench.files import Files


class OpenVino(Contender):
    name = "openvino"
    module = "openvino"
    distribution = "openvino"
    variants = {"u8s8": "s8", "s8s8": "s8", "f32": "f32"}  # noqa: RUF012

    def prepare(self, files: Files, variant: str) -> Prepared:
        # Transposes at the ends of a single layer would keep it from computing in integers.
        own = files.f32() if variant == "f32" else files.qdq("u8" if variant == "u8s8" else "s8", channels_last=False)
        return replace(own, note="reorders its NCHW ends") if files.case.layer and files.is_picture() else own

    def load(self, prepared: Prepared, threads: int) -> Runner:
        return _Runner(prepared, threads)

    def environment(self, isa: str | None) -> dict[str, str] | None:
        return onednn_environment(isa)


class _Runner(Runner):
    def __init__(self, prepared: Prepared, threads: int) -> None:
        self.openvino = importlib.import_module("openvino")
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # of what is not quantised: never bf16
            "ENABLE_CPU_PINNING": False,  # the worker's affinity holds
        }
        self.prepared = prepared
        self.request = self.openvino.compile_model(prepared.paths[0], "CPU", settings).create_infer_request()

    def feed(self, x: np.ndarray) -> None:
        self.native = self.prepared.native_input(x)
        self.request.set_input_tensor(self.openvino.Tensor(self.native, shared_memory=True))

    def run(self) -> object:
        return self.request.infer()

    def result(self) -> np.ndarray:
        return self.prepared.plain_output(np.array(self.request.get_output_tensor().data))
