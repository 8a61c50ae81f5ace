"""The runtimes that are compared: which wheels each needs, which file of a model it runs, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.arm.models import ModelFiles

GUEST = Path(__file__).with_name("guest")


@dataclass(frozen=True)
class Setup:
    """A contender on one architecture."""

    #: In the versions that the published table was measured with; the contender's own comes last.
    wheels: list[str]
    #: Name of a variant -> the arguments of the script. The cheapest variant counts.
    variants: dict[str, Callable[[ModelFiles], list[Path]]]
    variables: dict[str, str] = field(default_factory=dict)  # of its environment

    @property
    def version(self) -> str:
        return self.wheels[-1].partition("==")[2]


@dataclass(frozen=True)
class Contender:
    name: str
    script: str  # in guest/
    setups: dict[str, Setup]  # architecture ->


_NUMPY = "numpy==2.4.6"  # on armhf it is Debian's
#: This wheel also holds the schema with which .tflite files are written.
LITERT = "ai-edge-litert==2.3.0"
_NCNN = "ncnn==1.0.20261020"

#: In the order of the tables. whit itself is a native program: see __main__.py.
OTHERS = {
    contender.name: contender
    for contender in (
        Contender(
            "LiteRT",
            "run_litert.py",
            {"arm64": Setup([_NUMPY, LITERT], {"s8": lambda files: [files.tflite()]})},
        ),
        Contender(
            "onnxruntime",
            "run_onnxruntime.py",
            {
                "arm64": Setup(
                    [_NUMPY, "onnxruntime==1.31.1"],
                    {"s8s8": lambda files: [files.qdq("s8")], "u8s8": lambda files: [files.qdq("u8")]},
                )
            },
        ),
        Contender(
            "ncnn",
            "run_ncnn.py",
            {
                "arm64": Setup([_NUMPY, _NCNN], {"s8": ModelFiles.ncnn}),
                # Its depthwise convolutions read past the end of a buffer there: a heap without gaps bears it.
                "armhf": Setup(
                    [_NCNN],
                    {"s8": ModelFiles.ncnn},
                    {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TOP_PAD_": str(64 << 20)},
                ),
            },
        ),
        Contender(
            "tflite-runtime",
            "run_litert.py",
            {"armhf": Setup(["tflite-runtime==2.14.0"], {"s8": lambda files: [files.tflite()]})},
        ),
    )
}
WHIT = "whit"
NAMES = (WHIT, *OTHERS)


def setup_of(contender: str, architecture: str) -> Setup | None:
    return OTHERS[contender].setups.get(architecture)
