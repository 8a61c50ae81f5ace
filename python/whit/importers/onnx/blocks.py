"""DequantizeLinear with `block_size` (opset 21): weights with a scale for every 32 values along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from whit.ir import Quantization

__all__ = ["Blocks", "blocks_of"]

_DTYPES = frozenset({ir.DataType.INT4, ir.DataType.INT8})


@dataclass(frozen=True)
class Blocks:
    """A matrix of s8 values; `scale`, f32, has an entry for each block of 32 along one of its axes."""

    values: np.ndarray
    scale: np.ndarray

    def transposed(self, perm: Sequence[int]) -> Blocks:
        return Blocks(self.values.transpose(perm), self.scale.transpose(perm))

    def arranged(self, arrange: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, Quantization] | None:
        """A constant and its quantisation; None if the blocks do not lie along the last axis of `arrange`'s result."""
        values, scale = np.ascontiguousarray(arrange(self.values)), np.ascontiguousarray(arrange(self.scale))
        if scale.shape != (len(values), -(-values.shape[-1] // Quantization.GROUP)):
            return None
        return values, Quantization.by_groups(scale, values.ndim)

    def real(self) -> np.ndarray:
        """As f32."""
        scale = self.scale
        for axis, size in enumerate(self.values.shape):
            if scale.shape[axis] != size:
                scale = np.repeat(scale, Quantization.GROUP, axis=axis).take(range(size), axis=axis)
        result: np.ndarray = self.values.astype(np.float32) * scale
        return result


def blocks_of(node: ir.Node) -> Blocks | None:
    """What a DequantizeLinear of a constant means; None if whit's files cannot say it like that."""
    block, (x, scale, *zero_point) = node.attributes.get("block_size"), node.inputs
    if block is None or block.as_int() != Quantization.GROUP:
        return None
    if any(value is not None and (value.const_value is None or value.is_graph_input()) for value in node.inputs):
        return None
    values, scales = x.const_value, scale.const_value.numpy()
    if values.dtype not in _DTYPES or len(values.shape) != 2 or values.size == 0:
        return None
    if zero_point and zero_point[0] is not None and zero_point[0].const_value.numpy().astype(np.int32).any():
        return None
    halves = scales.astype(np.float16)
    if (halves != scales).any() or not (np.isfinite(halves).all() and (halves > 0).all()):
        return None
    axis = node.attributes["axis"].as_int() % 2 if "axis" in node.attributes else 1
    wanted = [-(-size // Quantization.GROUP) if at == axis else size for at, size in enumerate(values.shape)]
    if list(scales.shape) != wanted:
        return None
    return Blocks(values.numpy().astype(np.int8), scales.astype(np.float32))
