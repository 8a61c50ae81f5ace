"""Rounding to a grid of equal steps with gradients: the arithmetic of compression, differentiable.

    value = (code - zero_point) * scale,   code = clip(round_half_even(x / scale) + zero_point, low, high)

Rounding has no useful derivative; the straight-through estimator takes that of the identity where nothing is clipped
and 0 where something is (Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013). The
derivative with respect to a learned scale is that of Esser et al., "Learned Step Size Quantization", 2020, equation 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from whit.ir import LinearCodes
from whit.train.tensor import Tensor

__all__ = [
    "MIN_SCALE",
    "Blocks",
    "Grid",
    "code_range",
    "grid_of",
    "least_squares",
    "round_to_grid",
    "scaled_codes",
    "short_scale",
    "straight_through",
]

#: Steps below this are not told apart from none (compression/ranges.py).
MIN_SCALE = 2.0**-40


class _RoundToGrid(torch.autograd.Function):
    """x [B, L], scale and zero_point [B, 1] -> the values of the nearest codes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int, exact: bool) -> Tensor:
        # Weights are divided in double, as compression does; activations in f32, as the engine does.
        steps = x.double().div_(scale) if exact else x / scale
        rounded = torch.round(steps).to(x.dtype)
        zero_point = zero_point.to(x.dtype)
        clipped = rounded.clamp(low - zero_point, high - zero_point)
        inside = rounded == clipped
        slope = None
        if ctx.needs_input_grad[1]:
            slope = torch.where(inside, (rounded - steps).to(x.dtype), clipped)
        ctx.save_for_backward(inside, slope)
        # Codes are integers, which have one zero: so that -0.0 does not differ from it in a file.
        return clipped.mul_(scale).add_(0.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        inside, slope = ctx.saved_tensors
        grad_scale = None if slope is None else (grad * slope).sum(dim=1, keepdim=True)
        return grad * inside, grad_scale, None, None, None, None


def round_to_grid(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int, *, exact: bool) -> Tensor:
    """The nearest values of the grid, f32 [B, L].

    Args:
        x: f32 [B, L].
        scale: f32 [B, 1]; may need a gradient.
        zero_point: integers in any dtype, [B, 1].
        low: the lowest code.
        high: the highest.
        exact: divide in f64, as weights are quantised; else in f32, as activations are.
    """
    result: Tensor = _RoundToGrid.apply(x, scale, zero_point, low, high, exact)
    return result


class _StraightThrough(torch.autograd.Function):
    """x, and what it becomes: gradients pass as if it stayed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, becomes: Tensor) -> Tensor:  # noqa: ARG004
        return becomes.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return grad, None


def straight_through(x: Tensor, becomes: Tensor) -> Tensor:
    """`becomes`, with the gradient of x."""
    result: Tensor = _StraightThrough.apply(x, becomes.detach())
    return result


def short_scale(scale: Tensor) -> Tensor:
    """Scales that f16 holds, where they are not next to 0: rounded to 11 bits, with gradients straight through."""
    mantissa, exponent = torch.frexp(scale.detach())
    return straight_through(scale, torch.ldexp(torch.round(mantissa * 2048) / 2048, exponent))


@dataclass(frozen=True)
class Blocks:
    """Which weights share a scale: all, those of an index of the first axis, or `group` consecutive ones of it."""

    shape: tuple[int, ...]
    group: int  # 0: no groups
    per_channel: bool

    @classmethod
    def of(cls, shape: tuple[int, ...], granularity: str | int) -> Blocks:
        return cls(shape, 0 if isinstance(granularity, str) else granularity, granularity != "tensor")

    @property
    def count(self) -> int:
        return (
            self.shape[0] * -(-self._columns // self.group) if self.group else self.shape[0] if self.per_channel else 1
        )

    @property
    def _columns(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64))

    def split(self, w: Tensor) -> Tensor:
        """[B, L]; what is missing in the last group of a channel is 0."""
        rows = w.reshape(self.shape[0], -1)
        if not self.group:
            return rows if self.per_channel else rows.reshape(1, -1)
        missing = -self._columns % self.group
        rows = torch.nn.functional.pad(rows, (0, missing)) if missing else rows
        return rows.reshape(-1, self.group)

    def join(self, blocks: Tensor) -> Tensor:
        if self.group:
            blocks = blocks.reshape(self.shape[0], -1)[:, : self._columns]
        return blocks.reshape(self.shape)


@dataclass(frozen=True)
class Grid:
    """Scale f32 [B, 1], zero point f64 [B, 1], and the range of the codes."""

    scale: Tensor
    zero_point: Tensor
    low: int
    high: int

    def codes(self, blocks: Blocks, w: Tensor) -> LinearCodes:
        """The codes of weights; `dequantize` gives what `round_to_grid` gives."""
        x = blocks.split(w.detach())
        steps = torch.round(x.double() / self.scale.detach().double()) + self.zero_point
        codes = blocks.join(steps.clamp(self.low, self.high)).numpy().astype(np.int8 if self.low < 0 else np.uint8)
        shape = (blocks.shape[0], -1) if blocks.group else (-1,)
        scale = self.scale.detach().numpy().reshape(shape).copy()
        return LinearCodes(codes, scale, self.zero_point.numpy().reshape(shape).astype(np.int32), blocks.group)


def scaled_codes(codes: LinearCodes, factor: np.ndarray) -> LinearCodes | None:
    """The codes of weights times a factor for each output channel, f64 [O]; None where they have zero points."""
    if codes.zero_point.any() or codes.codes.dtype != np.int8:
        return None
    channels = len(codes.codes)
    signs = np.where(factor < 0, -1, 1).astype(np.int8).reshape(-1, *[1] * (codes.codes.ndim - 1))
    scale = np.broadcast_to(codes.scale.reshape(len(codes.scale), -1), (channels, codes.scale[0].size))
    scale = np.maximum(scale * np.abs(factor)[:, None], MIN_SCALE).astype(np.float32)
    scale = scale if codes.group else scale.ravel()
    return LinearCodes(codes.codes * signs, scale, np.zeros(scale.shape, np.int32), codes.group)


def code_range(bits: int, symmetric: bool) -> tuple[int, int]:
    """The lowest and the highest code."""
    return (1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1) if symmetric else (0, (1 << bits) - 1)


def grid_of(low: Tensor, high: Tensor, bits: int, symmetric: bool) -> Grid:
    """The grid over ranges [B, 1], widened to hold 0 (compression/weights/linear.py)."""
    first, last = code_range(bits, symmetric)
    low, high = low.double().clamp(max=0), high.double().clamp(min=0)
    span = torch.maximum(high, -low) if symmetric else high - low
    scale = (span / last).clamp(min=MIN_SCALE).float()
    zero_point = torch.zeros_like(low) if symmetric else torch.round(-low / scale.double()).clamp(first, last)
    return Grid(scale, zero_point, first, last)


def least_squares(x: Tensor, bits: int, symmetric: bool) -> Grid:
    """The grid of each block [B, L] whose rounding has the least squared error, out of shares of the full range."""
    low, high = x.amin(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)
    best, least = torch.ones(len(x), 1, dtype=torch.float64), torch.full((len(x), 1), float("inf"), dtype=torch.float64)
    for percent in range(100, 8, -2):
        grid = grid_of(low.double() * percent / 100, high.double() * percent / 100, bits, symmetric)
        rounded = round_to_grid(x, grid.scale, grid.zero_point, grid.low, grid.high, exact=True)
        error = (rounded - x).double().square().sum(dim=1, keepdim=True)
        best = torch.where(error < least, percent / 100, best)
        least = torch.minimum(error, least)
    return grid_of(low * best, high * best, bits, symmetric)
