"""Operators that pool, reduce, resize and move data, in torch. See `operators.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from whit.ir import Node
from whit.optimize.base import attribute_float, attribute_floats, attribute_int, attribute_ints, attribute_str
from whit.train.tensor import Tensor

__all__ = ["DATA_BUILDERS"]

Operator = Callable[..., Any]


# --- pools and reductions ---


class _Windows:
    """The geometry of a pool: what to add around an image so that whole windows fill it."""

    def __init__(self, node: Node) -> None:
        self.kernel, self.strides = attribute_ints(node, "kernel_shape"), attribute_ints(node, "strides")
        self.half = len(self.kernel)
        self.dilations = attribute_ints(node, "dilations") if "dilations" in node.attributes else [1] * self.half
        self.pads, self.ceil = attribute_ints(node, "pads"), attribute_int(node, "ceil_mode")

    def counts(self, sizes: Sequence[int]) -> list[int]:
        """Windows along each axis."""
        result = []
        for a, size in enumerate(sizes):
            begin, end, stride = self.pads[a], self.pads[self.half + a], self.strides[a]
            span = (self.kernel[a] - 1) * self.dilations[a] + 1
            room = size + begin + end - span
            count = (-(-room // stride) if self.ceil else room // stride) + 1
            # With ceil_mode a window must not start in the padding at the end.
            result.append(count - 1 if self.ceil and (count - 1) * stride >= size + begin else count)
        return result

    def pad(self, x: Tensor, value: float) -> Tensor:
        """X [N, spatial..., C] with padding; what lies behind the last window is cut off."""
        sizes = list(x.shape[1:-1])
        widths = [0, 0]
        for a, count in reversed(list(enumerate(self.counts(sizes)))):
            used = (count - 1) * self.strides[a] + (self.kernel[a] - 1) * self.dilations[a] + 1
            widths += [self.pads[a], used - sizes[a] - self.pads[a]]
        return F.pad(x, widths, value=value) if any(widths) else x


def _max_pool(node: Node) -> Operator:
    windows = _Windows(node)
    pool = (F.max_pool1d, F.max_pool2d)[windows.half - 1]

    def max_pool(x: Tensor) -> Tensor:
        x = windows.pad(x, -math.inf).movedim(-1, 1)
        return pool(x, windows.kernel, windows.strides, 0, windows.dilations).movedim(1, -1)

    return max_pool


def _average_pool(node: Node) -> Operator:
    windows, include = _Windows(node), attribute_int(node, "count_include_pad")
    pool = (F.avg_pool1d, F.avg_pool2d)[windows.half - 1]

    def shares(sizes: Sequence[int]) -> Any:
        """Window size / elements that count, [out..., 1]: what ceil_mode adds at the end never counts."""
        result = np.ones((1,) * (windows.half + 1))
        for a, count in enumerate(windows.counts(sizes)):
            begin, end = (windows.pads[a], windows.pads[windows.half + a]) if include else (0, 0)
            start = np.arange(count) * windows.strides[a] - windows.pads[a]
            inside = np.minimum(start + windows.kernel[a], sizes[a] + end) - np.maximum(start, -begin)
            result = result * (windows.kernel[a] / inside).reshape(
                [-1 if b == a else 1 for b in range(windows.half + 1)]
            )
        return result

    def average_pool(x: Tensor) -> Tensor:
        share = shares(x.shape[1:-1])
        y = pool(windows.pad(x, 0.0).movedim(-1, 1), windows.kernel, windows.strides).movedim(1, -1)
        return y if (share == 1).all() else y * torch.from_numpy(share).to(y.dtype)

    return average_pool


def _reduce(function: Operator) -> Callable[[Node], Operator]:
    def builder(node: Node) -> Operator:
        axes, keep = attribute_ints(node, "axes"), bool(attribute_int(node, "keepdims"))
        return lambda x: function(x, axes, keep).to(x.dtype)

    return builder


def _arg_max(node: Node) -> Operator:
    axis, keep = attribute_int(node, "axis"), bool(attribute_int(node, "keepdims"))
    return lambda x: torch.argmax(x, axis, keep).to(torch.int32)


# --- resize ---


def _coordinates(mode: str, size: int, out: int, scale: np.float32) -> np.ndarray:
    """Where each output index lies in the input, f32 as onnxruntime computes it."""
    index = np.arange(out, dtype=np.float32)
    if mode == "align_corners":
        return index * np.float32(size - 1) / np.float32(out - 1) if out > 1 else index * np.float32(0)
    if mode == "asymmetric":
        return index / scale
    if mode == "pytorch_half_pixel" and out == 1:
        return index * np.float32(0)
    return (index + np.float32(0.5)) / scale - np.float32(0.5)


_NEAREST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda place: np.ceil(place - np.float32(0.5)),
    "round_prefer_ceil": lambda place: np.floor(place + np.float32(0.5)),
}


def _resize(node: Node) -> Operator:
    linear, mode = attribute_str(node, "mode") == "linear", attribute_str(node, "coordinate_transformation_mode")
    scales, sizes = attribute_floats(node, "scales"), attribute_ints(node, "sizes")
    nearest = _NEAREST[attribute_str(node, "nearest_mode")] if not linear else np.floor

    def resize(x: Tensor) -> Tensor:
        for a in range(x.ndim - 2):
            size = x.shape[1 + a]
            out = sizes[a] if sizes else math.floor(np.float32(size) * np.float32(scales[a]))
            scale = np.float32(out) / np.float32(size) if sizes else np.float32(scales[a])
            place = _coordinates(mode, size, out, scale)
            place = np.clip(place, np.float32(0), np.float32(size - 1)) if linear else place
            low = np.clip(nearest(place).astype(np.int64), 0, size - 1)
            below = x.index_select(1 + a, torch.from_numpy(low))
            if linear:
                above = x.index_select(1 + a, torch.from_numpy(np.minimum(low + 1, size - 1)))
                part = torch.from_numpy(place - low.astype(np.float32))
                below = torch.lerp(below, above, part.reshape([-1 if b == a + 1 else 1 for b in range(x.ndim)]))
            x = below
        return x

    return resize


# --- moving data ---


def _pad(node: Node) -> Operator:
    mode, pads, value = attribute_str(node, "mode"), attribute_ints(node, "pads"), attribute_float(node, "value", 0.0)
    half = len(pads) // 2
    pairs = list(zip(pads[:half], pads[half:], strict=True))

    def constant(x: Tensor) -> Tensor:
        return F.pad(x, [width for pair in reversed(pairs) for width in pair], value=value)

    def repeat(x: Tensor) -> Tensor:
        for axis, pair in enumerate(pairs):
            if any(pair):
                index = np.pad(np.arange(x.shape[axis]), pair, mode="reflect" if mode == "reflect" else "edge")
                x = x.index_select(axis, torch.from_numpy(index))
        return x

    return constant if mode == "constant" else repeat


def _slice(node: Node) -> Operator:
    names = ("axes", "starts", "ends", "steps")
    pieces = list(zip(*(attribute_ints(node, name) for name in names), strict=True))

    def cut(x: Tensor) -> Tensor:
        for axis, start, end, step in pieces:
            size = x.shape[axis]
            start, end = (value + size if value < 0 else value for value in (start, end))
            if step > 0:
                start, end = min(max(start, 0), size), min(max(end, 0), size)
                x = x[(slice(None),) * axis + (slice(start, end, step),)]
            else:
                index = torch.arange(min(max(start, 0), size - 1), min(max(end, -1), size - 1), step)
                x = x.index_select(axis, index)
        return x

    return cut


def _concat(node: Node) -> Operator:
    axis = attribute_int(node, "axis")
    return lambda *parts: torch.cat(parts, dim=axis)


def _split(node: Node) -> Operator:
    axis, sizes, count = attribute_int(node, "axis"), attribute_ints(node, "sizes"), len(node.outputs)
    return lambda x: list(torch.split(x, sizes or x.shape[axis] // count, dim=axis))


def _gather(node: Node) -> Operator:
    axis = attribute_int(node, "axis")

    def gather(x: Tensor, indices: Tensor) -> Tensor:
        size, index = x.shape[axis], indices.long()
        index = torch.where(index < 0, index + size, index).clamp(0, size - 1)
        taken = x.index_select(axis, index.reshape(-1))
        return taken.reshape([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])

    return gather


def _reshape(node: Node) -> Operator:
    shape = attribute_ints(node, "shape")
    return lambda x: x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)])


def _squeeze(node: Node) -> Operator:
    axes = attribute_ints(node, "axes")
    return lambda x: torch.squeeze(x, axes) if axes else torch.squeeze(x)


def _unsqueeze(node: Node) -> Operator:
    axes = sorted(attribute_ints(node, "axes"))

    def unsqueeze(x: Tensor) -> Tensor:
        for axis in axes:
            x = x.unsqueeze(axis)
        return x

    return unsqueeze


def _transpose(node: Node) -> Operator:
    perm = attribute_ints(node, "perm")
    return lambda x: x.permute(perm)


def _expand(node: Node) -> Operator:
    shape = attribute_ints(node, "shape")
    return lambda x: x.expand(torch.broadcast_shapes(x.shape, shape))


def _depth_to_space(node: Node) -> Operator:
    b, crd = attribute_int(node, "blocksize"), attribute_str(node, "mode") == "CRD"

    def depth_to_space(x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        depth = c // (b * b)
        if crd:
            y = x.reshape(n, h, w, depth, b, b).permute(0, 1, 4, 2, 5, 3)
        else:
            y = x.reshape(n, h, w, b, b, depth).permute(0, 1, 3, 2, 4, 5)
        return y.reshape(n, h * b, w * b, depth)

    return depth_to_space


DATA_BUILDERS: dict[str, Callable[[Node], Operator]] = {
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "reduce_mean": _reduce(torch.mean),
    "reduce_sum": _reduce(torch.sum),
    "reduce_max": _reduce(torch.amax),
    "reduce_min": _reduce(torch.amin),
    "arg_max": _arg_max,
    "resize": _resize,
    "pad": _pad,
    "slice": _slice,
    "concat": _concat,
    "split": _split,
    "gather": _gather,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "transpose": _transpose,
    "expand": _expand,
    "depth_to_space": _depth_to_space,
}
