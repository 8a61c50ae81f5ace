"""Writes a network as ncnn's .param (text) and .bin (weights).

Quantised, it is what ncnn's own quantiser writes: symmetric activations with one scale of a tensor, weights with one
of a channel, and between two convolutions a requantisation in the first one (scale term 101) so that the tensor between
them stays s8. Additions run in f32, as ncnn has them only so.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Literal

import numpy as np

from bench.convert.network import Layer, Network, Tensor

_MAGIC = 7767517
_S8_WEIGHTS = 0x000D4B38
_F32_WEIGHTS = 0
_SETTINGS_ALONE = {"relu": "", "relu6": "0=0.0 1=6.0"}
_ACTIVATIONS = {None: "9=0", "relu": "9=1", "relu6": "9=3 -23310=2,0.0,6.0"}


def convert(network: Network, s8_output: bool = False) -> tuple[str, bytes]:
    """The network as the text of a .param file and the bytes of a .bin file.

    With `s8_output` a convolution at the end gives integers.
    """
    writer = _Writer(network, s8_output)
    return writer.param(), b"".join(writer.weights)


class _Writer:
    def __init__(self, network: Network, s8_output: bool) -> None:
        self.network = network
        self.s8_output = s8_output
        self.weights: list[bytes] = []
        self.lines: list[str] = []
        self.blobs = 0
        self.consumers = Counter(name for layer in network.layers for name in layer.inputs)
        self.names: dict[str, Iterator[str]] = {}  # tensor -> the blob for each consumer in turn
        shape = network.tensors[network.input].shape
        sizes = (
            (*reversed(shape[2:]), shape[1]) if len(shape) == 4 else (shape[1], *(shape[:1] if shape[0] > 1 else ()))
        )
        keys = ("0", "1", "2")
        settings = " ".join(f"{key}={size}" for key, size in zip(keys, sizes, strict=False))
        self._layer("Input", [], network.input, settings)
        for layer in network.layers:
            getattr(self, f"_{layer.kind}")(layer)

    def param(self) -> str:
        return "\n".join([str(_MAGIC), f"{len(self.lines)} {self.blobs}", *self.lines]) + "\n"

    def _conv(self, layer: Layer) -> None:
        channels, _, kernel_height, kernel_width = layer.weight.shape
        top, left, bottom, right = layer.pads
        requantized = self._stays_s8(layer.output)
        settings = {
            0: channels,
            1: kernel_width,
            11: kernel_height,
            3: layer.stride,
            4: left,
            14: top,
            15: right,
            16: bottom,
            5: 1,
            6: layer.weight.size,
            8: (101 if requantized else 1) if layer.weight_scale.size else 0,
        }
        if layer.group > 1:
            settings[7] = layer.group
        kind = "ConvolutionDepthWise" if layer.group > 1 else "Convolution"
        words = [*(f"{key}={value}" for key, value in settings.items()), _ACTIVATIONS[self._activation(layer)]]
        self._layer(kind, layer.inputs, layer.output, " ".join(words))
        self._weights(layer)
        if requantized:
            self._floats([steps_per_unit(self.network.tensors[layer.output])])

    def _dense(self, layer: Layer) -> None:
        settings = f"0={layer.bias.size} 1=1 2={layer.weight.size} 8={int(layer.weight_scale.size > 0)}"
        self._layer("InnerProduct", layer.inputs, layer.output, f"{settings} {_ACTIVATIONS[layer.activation]}")
        self._weights(layer)

    def _add(self, layer: Layer) -> None:
        activation = self._activation(layer)
        name = f"{layer.output}/sum" if activation else layer.output
        self.consumers[name] = 1 if activation else self.consumers[name]
        self._layer("BinaryOp", layer.inputs, name, "0=0")
        if activation:
            self._layer("ReLU" if activation == "relu" else "Clip", [name], layer.output, _SETTINGS_ALONE[activation])

    def _max_pool(self, layer: Layer) -> None:
        top, left, bottom, right = layer.pads
        sizes = f"1={layer.kernel} 2={layer.stride} 3={left} 13={top} 14={right} 15={bottom}"
        self._layer("Pooling", layer.inputs, layer.output, f"0=0 {sizes} 5=1")

    def _mean(self, layer: Layer) -> None:
        self._layer("Pooling", layer.inputs, layer.output, "0=1 4=1")

    def _activation(self, layer: Layer) -> Literal["relu", "relu6"] | None:
        output = self.network.tensors[layer.output]
        return "relu" if output.scale and _low(output) == 0 else layer.activation

    def _weights(self, layer: Layer) -> None:
        source = self.network.tensors[layer.inputs[0]]
        values = layer.weight.tobytes()
        form = _S8_WEIGHTS if layer.weight_scale.size else _F32_WEIGHTS
        self.weights.append(struct.pack("<I", form) + values + bytes(-len(values) % 4))
        if not layer.weight_scale.size:
            self._floats(layer.bias)
            return
        self._floats(layer.bias * layer.weight_scale * source.scale)
        self._floats(np.broadcast_to(1 / layer.weight_scale, layer.bias.shape))
        self._floats([steps_per_unit(source)])

    def _floats(self, values: np.ndarray | list[float]) -> None:
        self.weights.append(np.asarray(values, "<f4").tobytes())

    def _stays_s8(self, name: str) -> bool:
        if name == self.network.output:
            return self.s8_output
        consumers = [layer for layer in self.network.layers if name in layer.inputs]
        return self.network.quantized and bool(consumers) and all(layer.kind == "conv" for layer in consumers)

    def _layer(self, kind: str, inputs: tuple[str, ...] | list[str], output: str, settings: str) -> None:
        sources = [next(self.names[name]) for name in inputs]
        blob = self._line(kind, sources, 1, settings)
        if self.consumers[output] > 1:
            blob = self._line("Split", blob, self.consumers[output], "")
        self.names[output] = iter(blob)

    def _line(self, kind: str, sources: list[str], outputs: int, settings: str) -> list[str]:
        blobs = [f"b{self.blobs + i}" for i in range(outputs)]
        self.blobs += outputs
        words = [kind, f"layer{len(self.lines)}", str(len(sources)), str(outputs), *sources, *blobs, settings]
        self.lines.append(" ".join(words).rstrip())
        return blobs


def _low(tensor: Tensor) -> float:
    return tensor.scale * (-128 - tensor.zero_point)


def steps_per_unit(tensor: Tensor) -> float:
    """ncnn's scale of a tensor: q = round(real value x this), symmetric."""
    return 127 / max(-_low(tensor), tensor.scale * (127 - tensor.zero_point))
