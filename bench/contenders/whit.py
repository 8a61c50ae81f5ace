"""whit itself: its own int8 recipe, the very QDQ file that others run, and f32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.contenders.base import Contender, Prepared, Runner

if TYPE_CHECKING:
    from bench.files import Files


class Whit(Contender):
    name = "whit"
    module = "whit"
    distribution = "whit"
    variants = {"int8": "s8", "qdq": "s8", "f32": "f32"}  # noqa: RUF012

    def prepare(self, files: Files, variant: str) -> Prepared | None:
        import whit

        if variant == "int8" and files.case.layer:
            return None  # a layer between others: the recipe would leave its ends f32
        source = files.qdq("s8") if variant == "qdq" else files.f32(channels_last=files.case.layer)
        recipe, data = ("int8", files.samples()) if variant == "int8" else ("f32", None)
        # The file depends on the whit that wrote it, which changes: it is written anew by every run of the bench.
        path = files.folder / f"{variant}.whit"
        files.folder.mkdir(parents=True, exist_ok=True)
        whit.compress(source.paths[0], path, recipe, data, progress=lambda *_: None)
        return Prepared([str(path)], source.input, source.output, source.channels_last)

    def load(self, prepared: Prepared, threads: int) -> Runner:
        return _Runner(prepared, threads)

    def environment(self, isa: str | None) -> dict[str, str] | None:
        return {"WHIT_ISA": isa} if isa else {}

    def version(self) -> str:
        import whit

        return whit.__version__


class _Runner(Runner):
    def __init__(self, prepared: Prepared, threads: int) -> None:
        import whit

        self.prepared = prepared
        self.model = whit.load(prepared.paths[0], threads)
        self.feeds: dict[str, np.ndarray] = {}
        (output,) = self.model.outputs
        dtype = {"f32": np.float32, "s8": np.int8, "u8": np.uint8}[output.dtype]
        self.out = {output.name: np.empty([int(size) for size in output.shape], dtype)}
        self._run = self.model.run

    def feed(self, x: np.ndarray) -> None:
        self.feeds = {self.model.inputs[0].name: self.prepared.native_input(x)}

    def run(self) -> object:
        return self._run(self.feeds, out=self.out)

    def result(self) -> np.ndarray:
        return self.prepared.plain_output(self.out[self.model.outputs[0].name])
