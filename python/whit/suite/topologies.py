"""The layers of four well-known networks, described once and built by whoever implements `Builder`.

Sources: MobileNetV1 (Howard et al. 2017, table 1), MobileNetV2 (Sandler et al. 2018, table 2), ResNet-18 and ResNet-50
(He et al. 2015, table 1; the stride of a bottleneck in its 3x3 convolution). All take 224 x 224 images of 3 channels
and give 1000 scores. Batch normalisation is folded into the convolutions, as every runtime does before it runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

__all__ = ["TOPOLOGIES", "Activation", "Builder", "Handle"]

Activation = Literal["relu", "relu6"] | None
#: A tensor of the network that is being built: whatever the builder makes of it.
Handle = Any

_CLASSES = 1000
_SIDE = 224
_FIRST = 32

#: Channels and stride of MobileNetV1's separable convolutions.
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
#: Expansion, channels, repetitions and first stride of MobileNetV2's inverted residuals.
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
#: Channels and first stride of the four stages of a ResNet.
_RESNET = ((64, 1), (128, 2), (256, 2), (512, 2))


class Builder(Protocol):
    """Makes a network of one input and one output. Shapes are those of one image; padding is that of the docstrings."""

    def input(self, channels: int, height: int, width: int) -> Handle:
        """The images."""

    def conv(
        self,
        x: Handle,
        channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: Activation = None,
    ) -> Handle:
        """A square convolution with a bias to `channels`, `kernel // 2` zeros around the image."""

    def add(self, a: Handle, b: Handle, activation: Activation = None) -> Handle:
        """The sum of two tensors of one shape."""

    def max_pool(self, x: Handle, kernel: int, stride: int) -> Handle:
        """The largest value of a square window, with `kernel // 2` of padding."""

    def mean(self, x: Handle) -> Handle:
        """The mean of each channel of an image."""

    def linear(self, x: Handle, features: int) -> Handle:
        """A fully connected layer with a bias on a vector."""

    def output(self, x: Handle) -> None:
        """The result of the network."""


def _mobilenet_v1(build: Builder) -> None:
    x = build.conv(build.input(3, _SIDE, _SIDE), _FIRST, 3, 2, activation="relu")
    inner = _FIRST
    for channels, stride in _V1:
        x = build.conv(x, inner, 3, stride, groups=inner, activation="relu")
        x = build.conv(x, channels, 1, activation="relu")
        inner = channels
    build.output(build.linear(build.mean(x), _CLASSES))


def _mobilenet_v2(build: Builder) -> None:
    x = build.conv(build.input(3, _SIDE, _SIDE), _FIRST, 3, 2, activation="relu6")
    inner = _FIRST
    for expansion, channels, repetitions, first_stride in _V2:
        for index in range(repetitions):
            stride = first_stride if index == 0 else 1
            hidden = inner * expansion
            y = build.conv(x, hidden, 1, activation="relu6") if expansion != 1 else x
            y = build.conv(y, hidden, 3, stride, groups=hidden, activation="relu6")
            y = build.conv(y, channels, 1)
            x = build.add(x, y) if stride == 1 and inner == channels else y
            inner = channels
    x = build.conv(x, 1280, 1, activation="relu6")
    build.output(build.linear(build.mean(x), _CLASSES))


def _basic(build: Builder, x: Handle, channels: int, stride: int) -> Handle:
    y = build.conv(x, channels, 3, stride, activation="relu")
    return build.conv(y, channels, 3)


def _bottleneck(build: Builder, x: Handle, channels: int, stride: int) -> Handle:
    y = build.conv(x, channels, 1, activation="relu")
    y = build.conv(y, channels, 3, stride, activation="relu")
    return build.conv(y, 4 * channels, 1)


def _resnet(
    block: Callable[[Builder, Handle, int, int], Handle], expansion: int, repetitions: tuple[int, ...]
) -> Callable[[Builder], None]:
    def network(build: Builder) -> None:
        x = build.conv(build.input(3, _SIDE, _SIDE), 64, 7, 2, activation="relu")
        x = build.max_pool(x, 3, 2)
        inner = 64
        for (channels, first_stride), count in zip(_RESNET, repetitions, strict=True):
            for index in range(count):
                stride = first_stride if index == 0 else 1
                outer = channels * expansion
                y = block(build, x, channels, stride)
                shortcut = x if stride == 1 and inner == outer else build.conv(x, outer, 1, stride)
                x = build.add(y, shortcut, activation="relu")
                inner = outer
        build.output(build.linear(build.mean(x), _CLASSES))

    return network


#: Name to the function that describes the network to a builder.
TOPOLOGIES: dict[str, Callable[[Builder], None]] = {
    "mobilenet_v1": _mobilenet_v1,
    "mobilenet_v2": _mobilenet_v2,
    "resnet18": _resnet(_basic, 1, (2, 2, 2, 2)),
    "resnet50": _resnet(_bottleneck, 4, (3, 4, 6, 3)),
}
