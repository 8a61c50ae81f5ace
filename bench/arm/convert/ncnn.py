"""Writes a quantised network as ncnn's .param (text) and .bin (weights).

What ncnn's own quantiser writes: symmetric activations with one scale of a tensor, per-channel weights, and between
two convolutions a requantisation in the first one (scale term 101) so that the tensor between them stays s8. Additions
run in f32, as ncnn has them only so.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator

import numpy as np
from bench.arm.convert.qdq import Layer, Network, Tensor

_MAGIC = 7767517
_S8_WEIGHTS = 0x000D4B38
_RELU = 1


def convert(network: Network) -> tuple[str, bytes]:
    """The network as the text of a .param file and the bytes of a .bin file."""
    writer = _Writer(network)
    return writer.param(), b"".join(writer.weights)


class _Writer:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.weights: list[bytes] = []
        self.lines: list[str] = []
        self.blobs = 0
        self.consumers = Counter(name for layer in network.layers for name in layer.inputs)
        self.names: dict[str, Iterator[str]] = {}  # tensor -> the blob for each consumer in turn
        self._layer("Input", [], network.input, "0=224 1=224 2=3")
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
            8: 101 if requantized else 1,
            9: _RELU if _low(self.network.tensors[layer.output]) == 0 else 0,
        }
        if layer.group > 1:
            settings[7] = layer.group
        kind = "ConvolutionDepthWise" if layer.group > 1 else "Convolution"
        self._layer(kind, layer.inputs, layer.output, " ".join(f"{key}={value}" for key, value in settings.items()))
        self._weights(layer)
        if requantized:
            self._floats([_steps_per_unit(self.network.tensors[layer.output])])

    def _dense(self, layer: Layer) -> None:
        self._layer("InnerProduct", layer.inputs, layer.output, f"0={layer.bias.size} 1=1 2={layer.weight.size} 8=1")
        self._weights(layer)

    def _add(self, layer: Layer) -> None:
        self._layer("BinaryOp", layer.inputs, layer.output, "0=0")

    def _mean(self, layer: Layer) -> None:
        self._layer("Pooling", layer.inputs, layer.output, "0=1 4=1")

    def _weights(self, layer: Layer) -> None:
        source = self.network.tensors[layer.inputs[0]]
        values = layer.weight.tobytes()
        self.weights.append(struct.pack("<I", _S8_WEIGHTS) + values + bytes(-len(values) % 4))
        self._floats(layer.bias * layer.weight_scale * source.scale)
        self._floats(1 / layer.weight_scale)
        self._floats([_steps_per_unit(source)])

    def _floats(self, values: np.ndarray | list[float]) -> None:
        self.weights.append(np.asarray(values, "<f4").tobytes())

    def _stays_s8(self, name: str) -> bool:
        consumers = [layer for layer in self.network.layers if name in layer.inputs]
        return bool(consumers) and all(layer.kind == "conv" for layer in consumers)

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


def _steps_per_unit(tensor: Tensor) -> float:
    return 127 / max(-_low(tensor), tensor.scale * (127 - tensor.zero_point))
