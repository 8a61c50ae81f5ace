"""What stands between a parameter and what the graph computes with: masks, rounding, palettes.

Transforms of one weight are composed in the order in which they were attached (`TorchGraph.attach`). Each does nothing
until it is `active`; `fit` is called once, with what comes in from the transforms before it, when it becomes so.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch
from torch import nn

from whit.errors import InvalidArgumentError
from whit.ir import LinearCodes
from whit.train.rounding import (
    MIN_SCALE,
    Blocks,
    Grid,
    code_range,
    grid_of,
    least_squares,
    round_to_grid,
    short_scale,
    straight_through,
)
from whit.train.techniques import BLOCK
from whit.train.tensor import Tensor

__all__ = ["FakeQuantize", "Palette", "Prune", "ScaledSigns", "Signs", "Transform"]


class Transform(nn.Module):
    """The contract of a transform.

    Attributes:
        active: whether it does anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.active = True

    def fit(self, w: Tensor) -> None:
        """Sets itself up for weights that look like this."""

    def forward(self, w: Tensor) -> Tensor:
        return self.apply_to(w) if self.active else w

    def apply_to(self, w: Tensor) -> Tensor:
        raise NotImplementedError


class Prune(Transform):
    """A mask: weights outside of it are 0 and get no gradient.

    Granularities: "element"; "channel": whole indices of the first axis; "RxC", such as "1x4" and "4x1": blocks of R
    indices of the first axis and C of the last one, which lie within one index of the axes between (blocks at the ends
    may be smaller).

    Attributes:
        mask: bool [groups]: what is kept.
        score: what the groups' importances have summed up to since the mask changed, f32 [groups].
    """

    def __init__(self, shape: tuple[int, ...], granularity: str = "element") -> None:
        super().__init__()
        self.shape = tuple(shape)
        found = re.fullmatch(BLOCK, granularity)
        if granularity == "channel":
            self.block = (1, 0)
        elif granularity == "element":
            self.block = (1, 1)
        elif found:
            self.block = (int(found[1]), int(found[2]))
        else:
            raise InvalidArgumentError(f"granularity must be element, channel or RxC; got {granularity!r}")
        # [rows, middle, columns]; channels are blocks of one row and all that is in it.
        first, last = self.shape[0], self.shape[-1] if len(self.shape) > 1 else 1
        middle = math.prod(self.shape) // (first * last)
        if granularity == "channel":
            middle, last = 1, middle * last
            self.block = (1, last)
        self._matrix = (first, middle, last)
        self._groups = (-(-first // self.block[0]), middle, -(-last // self.block[1]))
        self.register_buffer("mask", torch.ones(math.prod(self._groups), dtype=torch.bool))
        self.register_buffer("score", torch.zeros(math.prod(self._groups)))

    def groups(self, w: Tensor) -> Tensor:
        """[groups, members]; what is missing in blocks at the ends is 0."""
        (rows, columns), (first, middle, last) = self.block, self._groups
        missing = (0, last * columns - self._matrix[2], 0, 0, 0, first * rows - self._matrix[0])
        whole = nn.functional.pad(w.reshape(self._matrix), missing)
        return whole.reshape(first, rows, middle, last, columns).permute(0, 2, 3, 1, 4).reshape(-1, rows * columns)

    def elements(self) -> Tensor:
        """The mask of every weight, bool, of the weights' shape."""
        rows, columns = self.block
        wide = self.mask.reshape(self._groups).repeat_interleave(rows, dim=0).repeat_interleave(columns, dim=2)
        return wide[: self._matrix[0], :, : self._matrix[2]].reshape(self.shape)

    def keep(self, mask: Tensor) -> None:
        """Replaces the mask, bool [groups], and forgets the scores."""
        self.mask.copy_(mask)
        self.score.zero_()

    @property
    def sparsity(self) -> float:
        """The share of weights that are 0."""
        return 1 - float(self.elements().double().mean())

    def apply_to(self, w: Tensor) -> Tensor:
        return torch.where(self.elements(), w, w.new_zeros(()))


class FakeQuantize(Transform):
    """Rounds weights to 2 to 8 bits as `whit.compress` does; gradients pass straight through (rounding.py).

    Where the scale comes from: "minmax": from the weights at every step, so nothing is clipped; "mse": found once, when
    training begins to round, and kept; "learned": begins as "mse" and is trained (LSQ), in 11 bits, which a file holds
    as f16.

    Args:
        shape: of the weights, output channels first.
        bits: 2 to 8.
        symmetric: zero point 0.
        granularity: "tensor", "channel", or how many consecutive values of a channel share a scale.
        scale: see above.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        bits: int = 8,
        *,
        symmetric: bool = True,
        granularity: str | int = "channel",
        scale: str = "minmax",
    ) -> None:
        super().__init__()
        if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 8:
            raise InvalidArgumentError(f"bits must be a whole number in 2..8; got {bits!r}")
        if granularity not in ("tensor", "channel") and not (isinstance(granularity, int) and granularity > 0):
            raise InvalidArgumentError(f"granularity must be tensor, channel or a group's size; got {granularity!r}")
        if scale not in ("minmax", "mse", "learned"):
            raise InvalidArgumentError(f"scale must be minmax, mse or learned; got {scale!r}")
        self.bits, self.symmetric, self.method = bits, symmetric, scale
        self.blocks = Blocks.of(tuple(shape), granularity)
        ones = torch.ones(self.blocks.count, 1)
        if scale == "learned":
            # The logarithm is what is trained, so that a step of the optimiser changes every scale by a like share.
            self.log_scale = nn.Parameter(torch.zeros_like(ones))
        elif scale == "mse":
            self.register_buffer("scale", ones)
        self.register_buffer("zero_point", torch.zeros_like(ones, dtype=torch.float64))

    def fit(self, w: Tensor) -> None:
        if self.method == "minmax":
            return
        with torch.no_grad():
            grid = least_squares(self.blocks.split(w), self.bits, self.symmetric)
            self.zero_point.copy_(grid.zero_point)
            if self.method == "learned":
                self.log_scale.copy_(grid.scale.log())
            else:
                self.scale.copy_(grid.scale)

    def start_at(self, rows: Tensor, scale: float) -> None:
        """Steps begin with `scale`, or where that does not reach the largest value of a block [B, L], where it does."""
        with torch.no_grad():
            least = rows.abs().amax(dim=1, keepdim=True) / code_range(self.bits, self.symmetric)[1]
            self.log_scale.copy_(torch.clamp(least, min=scale).log())

    def grid(self, w: Tensor) -> Grid:
        """Where these weights are rounded to."""
        if self.method == "minmax":
            x = self.blocks.split(w.detach())
            return grid_of(x.amin(dim=1, keepdim=True), x.amax(dim=1, keepdim=True), self.bits, self.symmetric)
        low, high = code_range(self.bits, self.symmetric)
        if self.method == "mse":
            return Grid(self.scale, self.zero_point, low, high)
        scale = short_scale(self.log_scale.exp())
        if scale.requires_grad:
            # LSQ section 2.2: keeps the step's gradient in proportion to those of the weights.
            share = 1 / math.sqrt(math.prod(self.blocks.shape) / self.blocks.count * high)
            scale.register_hook(lambda gradient: gradient * share)
        return Grid(scale, self.zero_point, low, high)

    def codes(self, w: Tensor) -> LinearCodes:
        """The codes of weights as they come in."""
        return self.grid(w).codes(self.blocks, w)

    def apply_to(self, w: Tensor) -> Tensor:
        grid, x = self.grid(w), self.blocks.split(w)
        return self.blocks.join(round_to_grid(x, grid.scale, grid.zero_point, grid.low, grid.high, exact=True))


class Signs(Transform):
    """Weights become signs times a scale, and small ones 0 if ternary; gradients pass straight through.

    Scales come from the weights at every step. Binary: E|w| (Rastegari et al., "XNOR-Net", 2016). Ternary: what is not
    above 0.7 E|w| becomes 0, and the scale is the mean magnitude of the rest (Li and Liu, "Ternary Weight Networks",
    2016).

    Args:
        shape: of the weights, output channels first.
        kind: "ternary" or "binary".
        granularity: what shares a scale: "channel" or "tensor".
    """

    def __init__(self, shape: tuple[int, ...], kind: str = "ternary", *, granularity: str = "channel") -> None:
        super().__init__()
        if kind not in ("ternary", "binary"):
            raise InvalidArgumentError(f"kind must be ternary or binary; got {kind!r}")
        if granularity not in ("tensor", "channel"):
            raise InvalidArgumentError(f"granularity must be tensor or channel; got {granularity!r}")
        self.kind = kind
        self.blocks = Blocks.of(tuple(shape), granularity)

    def codes(self, w: Tensor) -> LinearCodes:
        """The codes of weights as they come in."""
        signs, scale = self._signs(w)
        codes = self.blocks.join(signs).numpy().astype(np.int8)
        return LinearCodes(codes, scale.numpy().ravel().copy(), np.zeros(len(scale), np.int32))

    def apply_to(self, w: Tensor) -> Tensor:
        signs, scale = self._signs(w)
        return straight_through(w, self.blocks.join(signs * scale))

    def _signs(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """-1, 0 and 1, and scales, f32 [B, L] and [B, 1]."""
        x = self.blocks.split(w.detach())
        magnitude = x.double().abs()
        signs = torch.where(x < 0, -1.0, 1.0)
        if self.kind == "ternary":
            above = magnitude > 0.7 * magnitude.mean(dim=1, keepdim=True)
            count = above.sum(dim=1, keepdim=True).clamp(min=1)
            scale = (magnitude * above).sum(dim=1, keepdim=True) / count
            return torch.where(above, signs, 0.0), scale.clamp(min=MIN_SCALE).float()
        return signs, magnitude.mean(dim=1, keepdim=True).clamp(min=MIN_SCALE).float()


class ScaledSigns(Signs):
    """Binary weights of a product whose other side is binary too: their scale takes in that of what was rounded there.

    Args:
        shape: of the weights, output channels first.
        learned: the other side's scale is trained, one for each output channel; else it is one number that stays.
    """

    def __init__(self, shape: tuple[int, ...], *, learned: bool = True) -> None:
        super().__init__(shape, "binary")
        self.learned = learned
        if learned:  # the logarithm: a scale stays above 0
            self.log_input_scale = nn.Parameter(torch.zeros(shape[0], 1))
        else:
            self.register_buffer("log_input_scale", torch.zeros(1, 1))

    def start_at(self, scale: float) -> None:
        """The scale of the other side to begin with."""
        with torch.no_grad():
            self.log_input_scale.fill_(math.log(max(scale, MIN_SCALE)))

    def codes(self, w: Tensor) -> LinearCodes:
        signs, scale = self._signs(w)
        scale = self._whole(scale).detach()
        codes = self.blocks.join(signs).numpy().astype(np.int8)
        return LinearCodes(codes, scale.numpy().ravel().copy(), np.zeros(len(scale), np.int32))

    def apply_to(self, w: Tensor) -> Tensor:
        signs, scale = self._signs(w)
        rows = straight_through(self.blocks.split(w), signs)
        return self.blocks.join(rows * self._whole(scale))

    def _whole(self, scale: Tensor) -> Tensor:
        return scale * self.log_input_scale.exp()


class _Lookup(torch.autograd.Function):
    """palettes [P, K] and places in them -> values; a centroid's gradient is the sum over its members."""

    @staticmethod
    def forward(ctx: Any, palettes: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape = palettes.shape
        return palettes.reshape(-1)[places.reshape(-1)].reshape(places.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        sums = torch.bincount(places.reshape(-1), grad.reshape(-1).double(), math.prod(ctx.shape))
        return sums.to(grad.dtype).reshape(ctx.shape), None


class Palette(Transform):
    """Weights share `entries` values; these are trained, which weight has which is not.

    Weights that are 0 when it is fitted (pruned ones) stay exactly 0: one entry is then kept for them. Han et al.,
    "Deep Compression", 2016: centroids start in even steps from the lowest to the highest weight, k-means moves them,
    and the gradient of one is the sum of its members' gradients.

    Args:
        shape: of the weights, output channels first.
        entries: values of a palette, 2 to 256.
        channels: output channels that share a palette; None: all.

    Attributes:
        palettes: the values, a parameter [P, entries].
        codes: index into its palette of every weight.
    """

    def __init__(self, shape: tuple[int, ...], entries: int = 16, channels: int | None = None) -> None:
        super().__init__()
        if isinstance(entries, bool) or not isinstance(entries, int) or not 2 <= entries <= 256:
            raise InvalidArgumentError(f"entries must be a whole number in 2..256; got {entries!r}")
        if channels is not None and (isinstance(channels, bool) or not isinstance(channels, int) or channels < 1):
            raise InvalidArgumentError(f"channels must be at least 1, or None for all; got {channels!r}")
        self.channels = channels or shape[0]
        count = -(-shape[0] // self.channels)
        self.palettes = nn.Parameter(torch.zeros(count, entries))
        self.register_buffer("codes", torch.zeros(tuple(shape), dtype=torch.int64))
        self.register_buffer("keeps_zero", torch.zeros(count, 1, dtype=torch.bool))  # in entry 0

    def fit(self, w: Tensor) -> None:
        with torch.no_grad():
            for index, part in enumerate(w.detach().split(self.channels)):
                codes, palette, zero = _clustered(part.numpy().astype(np.float64), self.palettes.shape[1])
                self.codes[index * self.channels :][: len(part)] = torch.from_numpy(codes)
                self.palettes[index] = torch.from_numpy(palette)
                self.keeps_zero[index] = zero

    def apply_to(self, w: Tensor) -> Tensor:
        count, entries = self.palettes.shape
        fixed = torch.zeros(count, entries, dtype=torch.bool)
        fixed[:, :1] = self.keeps_zero
        owner = torch.arange(w.shape[0]) // self.channels
        places = self.codes + (owner * entries).reshape(-1, *[1] * (w.ndim - 1))
        return _Lookup.apply(torch.where(fixed, 0.0, self.palettes), places)


def _clustered(values: np.ndarray, entries: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Codes, palette [entries], and whether entry 0 is kept for zeros."""
    alive = values != 0
    zero = not alive.all()
    found = _lloyd(values[alive], entries - zero)
    palette = np.zeros(entries)
    palette[zero : zero + len(found)] = found
    palette[zero + len(found) :] = found[-1] if len(found) else 0.0
    codes = np.zeros(values.shape, np.int64)
    if len(found):
        codes[alive] = np.searchsorted((found[1:] + found[:-1]) / 2, values[alive]) + zero
    return codes, palette, zero


def _lloyd(values: np.ndarray, count: int, iterations: int = 100) -> np.ndarray:
    """At most `count` centroids of numbers by k-means, ascending, from even steps between the extremes.

    A centroid that loses all its members goes where the squared error is largest.
    """
    values = np.sort(values)
    count = min(count, len(np.unique(values)))
    if count == 0:
        return np.zeros(0)
    total, squares = (np.concatenate([[0.0], np.cumsum(each)]) for each in (values, values * values))
    centroids = np.linspace(values[0], values[-1], count)
    for _ in range(iterations):
        bounds = np.concatenate([[0], np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2), [values.size]])
        filled = np.diff(bounds) > 0
        first, last = bounds[:-1][filled], bounds[1:][filled]
        moved = (total[last] - total[first]) / (last - first)
        spread = np.maximum((squares[last] - squares[first]) / (last - first) - moved * moved, 0)
        for place in np.argsort(-spread * (last - first), kind="stable")[: count - len(moved)]:
            moved = np.append(moved, moved[place] + np.sqrt(spread[place]))
        moved = np.unique(moved)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids
