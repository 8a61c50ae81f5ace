"""What is timed: whole models, and the single layers of shapes.toml."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter

from bench import inputs, onnx_builder
from whit.preprocess import PRESETS, Preprocess
from whit.suite.topologies import TOPOLOGIES, Builder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHAPES = Path(__file__).with_name("shapes.toml")
_PHOTOS = "data/imagenet1k_sample256"
_TEXT = Preprocess(scale=1 / 255, mean=(0.5,), std=(0.5,))
#: Real networks that lie in an optional folder: name -> file in its models/, and inputs for it.
SHARED_MODELS: dict[str, tuple[str, Callable[[Path], np.ndarray | None]]] = {
    "efficientnet_lite0": (
        "efficientnet_lite0.onnx",
        lambda shared: inputs.photos(shared / _PHOTOS, PRESETS["tf"]),
    ),
    "mobilenet_v2_pretrained": (
        "mobilenet_v2.onnx",
        lambda shared: inputs.photos(shared / _PHOTOS, PRESETS["imagenet"]),
    ),
    "ppocrv4_det": ("ppocrv4_det.onnx", lambda _: inputs.pages(320, _TEXT)),
}
_OPSET = 17  # per-channel quantisation needs 13


@dataclass(frozen=True)
class Case:
    """One network to time.

    Attributes:
        layer: a single layer: its quantised forms take and give integers, pictures in the layout that a contender
            likes. Whole models take and give f32 as their ONNX file does.
        make: the f32 ONNX model, of one input and one output.
        samples: inputs f32 [N, C, H, W]; None, or what gives None, stands for random ones.
    """

    name: str
    layer: bool
    make: Callable[[], onnx.ModelProto]
    samples: Callable[[], np.ndarray | None] | None = None


def models(names: list[str] | None, shared: Path | None) -> list[Case]:
    """The topologies of whit.suite, and those networks that `shared` has.

    Raises:
        ValueError: a name that is not known, or whose file is not there.
    """
    cases = [_topology(name) for name in TOPOLOGIES]
    for name, (file, samples) in SHARED_MODELS.items():
        path = shared and shared / "models" / file
        if shared and path and path.exists():
            cases.append(Case(name, False, partial(_load, path), partial(samples, shared)))
    return _chosen(cases, names)


def gemm(names: list[str] | None) -> list[Case]:
    return _chosen([_gemm(**entry) for entry in _entries("gemm")], names)


def conv(names: list[str] | None) -> list[Case]:
    return _chosen([_conv(**entry) for entry in _entries("conv")], names)


def _entries(table: str) -> Iterator[dict[str, Any]]:
    yield from tomllib.loads(SHAPES.read_text())[table]


def _chosen(cases: list[Case], names: list[str] | None) -> list[Case]:
    """Those whose name, or its first word, is among `names`."""
    if names is None:
        return cases
    for name in names:
        if not any(name in (case.name, case.name.split()[0]) for case in cases):
            raise ValueError(f"no case {name!r}; there are: {', '.join(case.name for case in cases)}")
    return [case for case in cases if case.name in names or case.name.split()[0] in names]


def _load(path: Path) -> onnx.ModelProto:
    model = onnx.load(str(path))
    old = any(opset.domain in ("", "ai.onnx") and opset.version < _OPSET for opset in model.opset_import)
    return onnx.version_converter.convert_version(model, _OPSET) if old else model


def _topology(name: str) -> Case:
    return Case(name, False, lambda: onnx_builder.build(name, TOPOLOGIES[name]))


def _gemm(shape: list[int], name: str = "gemm") -> Case:
    rows, features, inner = shape
    name = f"{name} {rows}x{features}x{inner}"

    def make() -> onnx.ModelProto:
        builder = onnx_builder.OnnxBuilder(name)
        builder.output(builder.linear(builder.rows(rows, inner), features))
        return builder.model()

    return Case(name, True, make)


def _conv(name: str, side: int, channels: list[int], kernel: int, stride: int = 1, groups: int | str = 1) -> Case:
    inner, outer = channels
    count = inner if groups == "depthwise" else int(groups)
    label = f"{name} {side}x{side} {inner}" + ("" if groups == "depthwise" else f"-{outer}")

    def describe(build: Builder) -> None:
        build.output(build.conv(build.input(inner, side, side), outer, kernel, stride, count))

    return Case(label, True, lambda: onnx_builder.build(label, describe))
