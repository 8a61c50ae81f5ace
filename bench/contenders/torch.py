"""PyTorch as TorchScript: its quantised operators (engine x86: oneDNN and FBGEMM), and f32 optimised for inference."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contenders.base import Contender, Prepared, Quantization, Runner, onednn_environment

if TYPE_CHECKING:
    from bench.convert.network import Layer, Network
    from bench.files import Files

#: Its activations are u8.
_SHIFT = 128


class Torch(Contender):
    name = "torch"
    module = "torch"
    distribution = "torch"
    variants = {"u8s8": "s8", "frozen": "f32", "optimized": "f32"}  # noqa: RUF012

    def prepare(self, files: Files, variant: str) -> Prepared:
        network = files.network(self.variants[variant])
        float_io = not (variant == "u8s8" and files.case.layer)

        def write(out: Path) -> None:
            import torch

            torch.backends.quantized.engine = "x86"
            _traced(network, float_io, files.input_shape()).save(str(out))

        path = files.made(f"{self.variants[variant]}.torch", write)
        if float_io:
            uneven = any(layer.pads[:2] != layer.pads[2:] for layer in network.layers)
            note = "pads in an operator of its own, which is slow where it is quantised" if uneven else ""
            return Prepared([str(path)], mode=variant, note=note)
        ends = (network.tensors[network.input], network.tensors[network.output])
        first, last = (Quantization("u8", tensor.scale, tensor.zero_point + _SHIFT) for tensor in ends)
        return Prepared([str(path)], first, last)

    def load(self, prepared: Prepared, threads: int) -> Runner:
        return _Runner(self.imported(), prepared, threads)

    def environment(self, isa: str | None) -> dict[str, str] | None:
        return onednn_environment(isa)


class _Runner(Runner):
    def __init__(self, torch: Any, prepared: Prepared, threads: int) -> None:
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        torch.backends.quantized.engine = "x86"
        self.torch, self.prepared = torch, prepared
        self.module = torch.jit.freeze(torch.jit.load(prepared.paths[0]).eval())
        if prepared.mode == "optimized":  # helps networks, harms single layers
            self.module = torch.jit.optimize_for_inference(self.module)

    def feed(self, x: np.ndarray) -> None:
        torch, end = self.torch, self.prepared.input
        self.input = torch.from_numpy(np.ascontiguousarray(x))
        if x.ndim == 4:
            self.input = self.input.contiguous(memory_format=torch.channels_last)
        if end:
            self.input = torch.quantize_per_tensor(self.input, end.scale, end.zero_point, torch.quint8)

    def run(self) -> object:
        self.output = self.module(self.input)
        return self.output

    def result(self) -> np.ndarray:
        y = self.output.dequantize() if self.output.is_quantized else self.output
        return np.array(y.contiguous().numpy())


def _traced(network: Network, float_io: bool, shape: tuple[int, ...]) -> Any:
    import torch

    quantized = network.quantized

    class Step(torch.nn.Module):  # type: ignore[misc]
        """One layer; what it needs besides its inputs are attributes, so that the trace can be stored."""

        def __init__(self, layer: Layer) -> None:
            super().__init__()
            self.kind, self.activation = layer.kind, layer.activation
            self.stride, self.group, self.kernel = layer.stride, layer.group, layer.kernel
            top, left, bottom, right = layer.pads
            # Convolutions pad both sides alike, or a padding comes first.
            self.around = None if (top, left) == (bottom, right) else (left, right, top, bottom)
            self.pads = (0, 0) if self.around else (top, left)
            tensor = network.tensors[layer.output]
            self.scale, self.zero_point = tensor.scale, tensor.zero_point + _SHIFT
            if layer.weight.size and quantized:
                source = network.tensors[layer.inputs[0]]
                scales = np.broadcast_to(layer.weight_scale, layer.bias.shape).astype(np.float64)
                weight = torch._make_per_channel_quantized_tensor(
                    torch.from_numpy(layer.weight.copy()),
                    torch.from_numpy(scales.copy()),
                    torch.zeros(len(scales), dtype=torch.int64),
                    0,
                )
                bias = torch.from_numpy((layer.bias * scales * source.scale).astype(np.float32))
                ops = torch.ops.quantized
                self.packed = (
                    ops.conv2d_prepack(weight, bias, [self.stride] * 2, list(self.pads), [1, 1], self.group)
                    if layer.kind == "conv"
                    else ops.linear_prepack(weight, bias)
                )
            elif layer.weight.size:
                self.register_buffer("weight", torch.from_numpy(layer.weight.copy()))
                self.register_buffer("bias", torch.from_numpy(layer.bias.copy()))

        def forward(self, x: Any, other: Any = None) -> Any:
            functional, ops = torch.nn.functional, torch.ops.quantized
            if self.around:
                x = functional.pad(x, self.around).contiguous(memory_format=torch.channels_last)
            if self.kind == "mean":
                return x.mean([2, 3])
            if self.kind == "max_pool":
                return torch.max_pool2d(x, self.kernel, self.stride, self.pads[0])
            if quantized and self.kind == "add":
                return ops.add(x, other, self.scale, self.zero_point)
            if quantized:
                apply = ops.conv2d if self.kind == "conv" else ops.linear
                return apply(x, self.packed, self.scale, self.zero_point)
            if self.kind == "conv":
                y = functional.conv2d(x, self.weight, self.bias, self.stride, self.pads, 1, self.group)
            else:
                y = x + other if self.kind == "add" else functional.linear(x, self.weight, self.bias)
            return {None: lambda v: v, "relu": torch.relu, "relu6": functional.relu6}[self.activation](y)

    class Whole(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps = torch.nn.ModuleList(Step(layer) for layer in network.layers)

        def forward(self, x: Any) -> Any:
            if quantized and float_io:
                first = network.tensors[network.input]
                x = torch.quantize_per_tensor(x, first.scale, first.zero_point + _SHIFT, torch.quint8)
            values = {network.input: x}
            for step, layer in zip(self.steps, network.layers, strict=True):
                values[layer.output] = step(*(values[name] for name in layer.inputs))
            y = values[network.output]
            return y.dequantize() if quantized and float_io else y

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # TorchScript and quantised tensors are deprecated
        x = torch.zeros(shape)
        if len(shape) == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        if quantized and not float_io:
            first = network.tensors[network.input]
            x = torch.quantize_per_tensor(x, first.scale, first.zero_point + _SHIFT, torch.quint8)
        return torch.jit.trace(Whole().eval(), x, check_trace=False)
