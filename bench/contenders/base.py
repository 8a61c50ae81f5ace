"""What the bench asks of a contender. README.md says how to add one."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from bench.files import Files


@dataclass(frozen=True)
class Quantization:
    """real value = scale * (q - zero_point), q of `dtype` "s8" or "u8"."""

    dtype: str
    scale: float
    zero_point: int

    def quantize(self, x: np.ndarray) -> np.ndarray:
        dtype = np.dtype({"s8": np.int8, "u8": np.uint8}[self.dtype])
        limits = np.iinfo(dtype)
        q = np.rint(x / np.float32(self.scale)) + self.zero_point
        return np.asarray(np.clip(q, limits.min, limits.max).astype(dtype))

    def dequantize(self, q: np.ndarray) -> np.ndarray:
        return np.asarray((q.astype(np.float32) - self.zero_point) * np.float32(self.scale))


@dataclass(frozen=True)
class Prepared:
    """What a worker loads.

    Attributes:
        paths: the files of the model.
        input, output: how its ends are quantised; None for f32.
        channels_last: pictures go in and out as NHWC.
        mode: for the contender's own `load`.
        note: what a reader of the result must know, such as that more is timed than of others.
    """

    paths: list[str]
    input: Quantization | None = None
    output: Quantization | None = None
    channels_last: bool = False
    mode: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Prepared:
        ends = {key: content[key] and Quantization(**content[key]) for key in ("input", "output")}
        return cls(**content | ends)

    def native_input(self, x: np.ndarray) -> np.ndarray:
        """An input f32 in the layout of ONNX, as this model takes it."""
        if self.channels_last and x.ndim == 4:
            x = x.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(self.input.quantize(x) if self.input else x)

    def plain_output(self, y: np.ndarray) -> np.ndarray:
        """An output of this model as f32 in the layout of ONNX."""
        y = self.output.dequantize(y) if self.output else y
        return y.transpose(0, 3, 1, 2) if self.channels_last and y.ndim == 4 else y


class Runner(ABC):
    """A loaded model in a worker."""

    @abstractmethod
    def feed(self, x: np.ndarray) -> None:
        """Keeps the input of the runs to come: f32 in the layout of ONNX. Not timed."""

    @abstractmethod
    def run(self) -> object:
        """One inference. This is what is timed: nothing in it that the runtime does not need."""

    @abstractmethod
    def result(self) -> np.ndarray:
        """The output of the last run, as f32 in the layout of ONNX. Not timed."""


class Contender(ABC):
    """A runtime.

    Attributes:
        name: in tables and on the command line.
        module: what a worker imports.
        distribution: the package on PyPI whose version is reported.
        variants: the ways to run a model: name -> dtype in which it computes, "s8" or "f32". The fastest counts.
        amx: whether it uses AMX where the CPU has it.
        python: the interpreter of its worker. One of another environment needs numpy there, and a module of the
            contender that imports nothing of this one.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    distribution: ClassVar[str]
    variants: ClassVar[dict[str, str]]
    amx: ClassVar[bool] = True
    python: str = sys.executable

    @abstractmethod
    def prepare(self, files: Files, variant: str) -> Prepared | None:
        """Makes the files that a worker will load. Called in the parent; errors become the result's reason.

        None if this variant is none for this case.
        """

    @abstractmethod
    def load(self, prepared: Prepared, threads: int) -> Runner:
        """Loads them. Called in a worker, which has the environment below and may use `threads` CPUs."""

    def environment(self, isa: str | None) -> dict[str, str] | None:
        """Variables for the worker. None if the runtime cannot be kept from using more than `isa` (None: all)."""
        return {} if isa is None else None

    def version(self) -> str:
        return importlib.metadata.version(self.distribution)

    def installed(self) -> bool:
        return importlib.util.find_spec(self.module.partition(".")[0]) is not None

    def imported(self) -> ModuleType:
        return importlib.import_module(self.module)


#: This project's words for instruction sets, in those of oneDNN.
_ONEDNN_ISA = {
    "avx2": "AVX2",
    "avxvnni": "AVX2_VNNI",
    "avx512vnni": "AVX512_CORE_VNNI",
    "avx512icl": "AVX512_CORE_VNNI",
    "amx": "AVX512_CORE_AMX",
}


def onednn_environment(isa: str | None) -> dict[str, str] | None:
    """`Contender.environment` of a runtime that computes with oneDNN."""
    if isa is None:
        return {}
    return {"ONEDNN_MAX_CPU_ISA": _ONEDNN_ISA[isa]} if isa in _ONEDNN_ISA else None
