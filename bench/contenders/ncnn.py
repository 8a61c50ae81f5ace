"""ncnn, with files as its own quantiser writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contenders.base import Contender, Prepared, Quantization, Runner

if TYPE_CHECKING:
    from bench.files import Files


class Ncnn(Contender):
    name = "ncnn"
    module = "ncnn"
    distribution = "ncnn"
    variants = {"s8": "s8", "f32": "f32"}  # noqa: RUF012
    amx = False

    def prepare(self, files: Files, variant: str) -> Prepared:
        from bench.convert import ncnn

        network = files.network(variant)
        integers = variant == "s8" and files.case.layer

        param, weights = ncnn.convert(network, s8_output=integers)
        paths = [
            str(files.made(f"{variant}.ncnn.param", lambda out: out.write_text(param))),
            str(files.made(f"{variant}.ncnn.bin", lambda out: out.write_bytes(weights))),
        ]
        packing = "packs its input and unpacks its output" if files.case.layer and files.is_picture() else ""
        if not integers:
            return Prepared(paths, note=packing)
        first = Quantization("s8", 1 / ncnn.steps_per_unit(network.tensors[network.input]), 0)
        if network.layers[-1].kind == "dense":
            return Prepared(paths, first, note="its output is f32")
        last = Quantization("s8", 1 / ncnn.steps_per_unit(network.tensors[network.output]), 0)
        return Prepared(paths, first, last, note=packing)

    def load(self, prepared: Prepared, threads: int) -> Runner:
        return _Runner(self.imported(), prepared, threads)


class _Runner(Runner):
    def __init__(self, ncnn: Any, prepared: Prepared, threads: int) -> None:
        self.ncnn, self.prepared = ncnn, prepared
        self.net = ncnn.Net()
        options = self.net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        if self.net.load_param(prepared.paths[0]) or self.net.load_model(prepared.paths[1]):
            raise ValueError(f"ncnn cannot read {prepared.paths[0]}")
        self.input, self.output = self.net.input_names()[0], self.net.output_names()[0]

    def feed(self, x: np.ndarray) -> None:
        self.shape = x.shape
        self.native = self.prepared.native_input(x[0] if x.ndim == 4 else x)
        if self.native.ndim == 2 and len(self.native) == 1:
            self.native = self.native[0]
        self.mat = self.ncnn.Mat(self.native)

    def run(self) -> object:
        extractor = self.net.create_extractor()
        extractor.input(self.input, self.mat)
        self.status, self.extracted = extractor.extract(self.output)
        return self.extracted

    def result(self) -> np.ndarray:
        if self.status:
            raise ValueError(f"ncnn's extract returned {self.status}")
        y = np.array(self.extracted)
        return self.prepared.plain_output(y[None] if y.ndim in (1, 3) else y)
