"""LiteRT, TensorFlow Lite's successor, with XNNPACK."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contenders.base import Contender, Prepared, Runner

if TYPE_CHECKING:
    from bench.files import Files


class LiteRt(Contender):
    name = "litert"
    module = "ai_edge_litert.interpreter"
    distribution = "ai-edge-litert"
    variants = {"s8": "s8", "f32": "f32"}  # noqa: RUF012

    def prepare(self, files: Files, variant: str) -> Prepared:
        from bench.convert import tflite

        spec = importlib.util.find_spec("ai_edge_litert")
        if not spec or not spec.submodule_search_locations:
            raise ImportError("no ai_edge_litert")
        wheels = Path(spec.submodule_search_locations[0]).parent

        def write(out: Path) -> None:
            out.write_bytes(tflite.convert(files.network(variant), wheels, float_io=not files.case.layer))

        path = files.made(f"{variant}.tflite", write)
        first, last = files.ends("s8") if variant == "s8" and files.case.layer else (None, None)
        return Prepared([str(path)], first, last, channels_last=files.is_picture())

    def load(self, prepared: Prepared, threads: int) -> Runner:
        return _Runner(prepared, self.imported().Interpreter(model_path=prepared.paths[0], num_threads=threads))


class _Runner(Runner):
    def __init__(self, prepared: Prepared, interpreter: Any) -> None:
        interpreter.allocate_tensors()
        self.prepared, self.interpreter = prepared, interpreter

    def feed(self, x: np.ndarray) -> None:
        self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], self.prepared.native_input(x))

    def run(self) -> object:
        return self.interpreter.invoke()

    def result(self) -> np.ndarray:
        return self.prepared.plain_output(
            self.interpreter.get_tensor(self.interpreter.get_output_details()[0]["index"])
        )
