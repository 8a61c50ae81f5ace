"""What the suite runs: whole networks, and single layers of the sizes that networks have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whit.suite.builder import Dtype, GraphBuilder
from whit.suite.topologies import TOPOLOGIES

__all__ = ["Case", "cases"]

#: Copies of the weights that are alive while a case is made: arrays, file, the file's sections, packed weights.
_WEIGHT_COPIES = 5
_OTHER_BYTES = 32 << 20


@dataclass(frozen=True)
class Case:
    """One graph to time.

    Attributes:
        name: unique together with `dtype`.
        group: "network", or a kind of layer.
        build: describes it to a builder.
        weights: how many it has, for the memory that it needs.
        quick: part of the short suite.
    """

    name: str
    group: str
    dtype: Dtype
    build: Callable[[GraphBuilder], None]
    weights: int
    quick: bool

    @property
    def memory_bytes(self) -> int:
        """An estimate of what building and running it takes at most."""
        return self.weights * (4 if self.dtype == "f32" else 1) * _WEIGHT_COPIES + _OTHER_BYTES

    def graph(self) -> GraphBuilder:
        """Builds it, always with the same weights."""
        builder = GraphBuilder(self.name, self.dtype)
        self.build(builder)
        return builder


@dataclass(frozen=True)
class _Layer:
    name: str
    group: str
    build: Callable[[GraphBuilder], None]
    weights: int = 0
    quick: bool = False


_DTYPES: tuple[Dtype, ...] = ("s8", "f32")
#: Weights of each, for the estimate of memory.
_NETWORKS = {"mobilenet_v1": 4_232_000, "mobilenet_v2": 3_505_000, "resnet18": 11_690_000, "resnet50": 25_557_000}
_QUICK_NETWORKS = ("mobilenet_v1", "mobilenet_v2", "resnet18")


def cases(quick: bool = False) -> list[Case]:
    """The suite in the order in which it runs; the small cases first, so that an early end has something of each."""
    layers = [
        Case(each.name, each.group, dtype, each.build, each.weights, each.quick)
        for each in _layers()
        for dtype in _DTYPES
    ]
    networks = [
        Case(name, "network", dtype, TOPOLOGIES[name], weights, name in _QUICK_NETWORKS)
        for name, weights in _NETWORKS.items()
        for dtype in _DTYPES
    ]
    return [case for case in (*layers, *networks) if case.quick or not quick]


def _layers() -> list[_Layer]:
    return [
        _Layer("gemm 1x16x16", "call", lambda b: b.output(b.matmul(b.tensor_input(1, 16), 16)), quick=True),
        _first_layer(quick=True),
        *(_conv(side, inner, channels, 1, quick=side == 14) for side, inner, channels in _POINTWISE),
        *(_conv(side, channels, channels, 3, quick=side == 14) for side, channels in _SPATIAL),
        *(_depthwise(*sizes, quick=sizes[0] == 56) for sizes in _DEPTHWISE),
        *(_gemm(m, n, k, quick=m == 512) for m, n, k in _GEMM),
        *(_gemv(n, k, quick=n == 1000) for n, k in _GEMV),
        _elementwise("add", lambda b, x: b.add(x, b.tensor_input(*b.shape(x)), activation="relu"), quick=True),
        _elementwise("hard_swish", lambda b, x: b.unary("hard_swish", x)),
        _elementwise("sigmoid", lambda b, x: b.unary("sigmoid", x)),
        _elementwise("max_pool 3x3s2", lambda b, x: b.max_pool(x, 3, 2)),
        _elementwise("mean", lambda b, x: b.mean(x)),
    ]


#: Side of the image, channels in and out.
_POINTWISE = ((112, 16, 96), (56, 64, 64), (28, 128, 128), (14, 256, 256), (14, 512, 512), (7, 320, 1280))
_SPATIAL = ((56, 64), (28, 128), (14, 256), (7, 512))
#: Side, channels, kernel, stride.
_DEPTHWISE = ((112, 96, 3, 2), (56, 144, 3, 1), (56, 144, 3, 2), (14, 512, 3, 1), (28, 240, 5, 1), (28, 240, 5, 2))
#: m, n, k.
_GEMM = ((3136, 64, 64), (784, 128, 128), (196, 512, 512), (49, 1280, 320), (512, 512, 512))
_GEMV = ((1000, 1280), (4096, 4096))


def _first_layer(quick: bool) -> _Layer:
    def build(b: GraphBuilder) -> None:
        b.output(b.conv(b.tensor_input(1, 224, 224, 3), 32, 3, 2, activation="relu6"))

    return _Layer("first 224x224x3 3x3s2 to 32", "first layer", build, 32 * 27, quick)


def _conv(side: int, inner: int, channels: int, kernel: int, quick: bool) -> _Layer:
    def build(b: GraphBuilder) -> None:
        b.output(b.conv(b.tensor_input(1, side, side, inner), channels, kernel, activation="relu"))

    name = f"conv {kernel}x{kernel} {side}x{side}x{inner} to {channels}"
    return _Layer(name, f"conv {kernel}x{kernel}", build, channels * inner * kernel * kernel, quick)


def _depthwise(side: int, channels: int, kernel: int, stride: int, quick: bool) -> _Layer:
    def build(b: GraphBuilder) -> None:
        x = b.tensor_input(1, side, side, channels)
        b.output(b.conv(x, channels, kernel, stride, groups=channels, activation="relu6"))

    name = f"depthwise {kernel}x{kernel}s{stride} {side}x{side}x{channels}"
    return _Layer(name, "depthwise", build, channels * kernel * kernel, quick)


def _gemm(m: int, n: int, k: int, quick: bool) -> _Layer:
    return _Layer(f"gemm {m}x{n}x{k}", "gemm", lambda b: b.output(b.matmul(b.tensor_input(m, k), n)), n * k, quick)


def _gemv(n: int, k: int, quick: bool) -> _Layer:
    return _Layer(f"gemv {n}x{k}", "gemv", lambda b: b.output(b.matmul(b.tensor_input(1, k), n)), n * k, quick)


def _elementwise(name: str, operator: Callable[[GraphBuilder, str], str], quick: bool = False) -> _Layer:
    def build(b: GraphBuilder) -> None:
        b.output(operator(b, b.tensor_input(1, 56, 56, 64)))

    return _Layer(f"{name} 56x56x64", "elementwise", build, quick=quick)
