"""Low-rank forms of the weights of one product, as arrays.

* channel: all taps to r channels, then 1 x 1 (for a gemm: K to r to N): truncated SVD; Zhang et al., "Accelerating Very
  Deep Convolutional Networks for Classification and Detection", 2015.
* spatial: k x 1 to r channels, then 1 x k: Jaderberg et al., "Speeding up Convolutional Neural Networks with Low Rank
  Expansions", 2014, in the closed form of Tai et al., "Convolutional Neural Networks with Low-rank Regularization",
  2016.
* tucker: 1 x 1 to r_in channels, k x k to r_out, 1 x 1: Kim et al., "Compression of Deep Convolutional Neural Networks
  for Fast and Low Power Mobile Applications", 2015.

With H, the mean of x x^T of the inputs, what is minimised is ||(W - W') H^(1/2)||, the error of the outputs: exactly in
the channel form; spatial and tucker take the part of H that their first factor sees, averaged over the taps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Form", "Part", "forms_of"]

#: Share of the mean of H's diagonal added to it, so that its root can be inverted.
_DAMPING = 1e-4


@dataclass(frozen=True, eq=False)
class Part:
    """One layer of a form.

    Attributes:
        weights: f32 [O, kernel..., I], or [N, K] of a gemm.
        axes: spatial axes along which it has the kernel, strides, dilations and pads of the original.
    """

    weights: np.ndarray
    axes: tuple[int, ...] = ()


class Form(ABC):
    """A family of low-rank layers for given weights.

    Attributes:
        name: "channel", "spatial" or "tucker".
        levels: ranks to choose from, ascending.
    """

    name: str
    levels: list[tuple[int, ...]]

    @abstractmethod
    def energy(self, ranks: tuple[int, ...]) -> float:
        """Share of ||W H^(1/2)||^2 that these ranks retain."""

    @abstractmethod
    def parts(self, ranks: tuple[int, ...]) -> list[Part]:
        """The layers, first to last."""

    @abstractmethod
    def shapes(self, ranks: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Shape of the weights and `axes` of each part."""

    def product(self, ranks: tuple[int, ...]) -> np.ndarray:
        """W', the weights that the parts amount to, f64, shaped as the original."""
        return self._product([part.weights.astype(np.float64) for part in self.parts(ranks)])

    @abstractmethod
    def _product(self, weights: Sequence[np.ndarray]) -> np.ndarray: ...


def forms_of(weights: np.ndarray, hessian: np.ndarray | None) -> list[Form]:
    """Every form that weights f32 [O, kernel..., I] (or [N, K]) have; H is f64 [K, K] or None."""
    kernel = weights.shape[1:-1]
    forms: list[Form] = [_Channel(weights, hessian)]
    if len(kernel) == 2 and min(kernel) > 1:
        forms.append(_Spatial(weights, hessian))
    if kernel and max(kernel) > 1:
        forms.append(_Tucker(weights, hessian))
    return forms


class _Svd:
    """matrix [N, K] = left [N, R] right [R, K], the most important columns first; s^2 is the energy of each."""

    def __init__(self, matrix: np.ndarray, hessian: np.ndarray | None) -> None:
        if hessian is None:
            left, values, right = np.linalg.svd(matrix, full_matrices=False)
        else:
            root, inverse = _root(hessian)
            left, values, right = np.linalg.svd(matrix @ root, full_matrices=False)
            right = right @ inverse
        # Half of each singular value to each side: factors of like size quantise best.
        scale = np.sqrt(values)
        self.left, self.right, self.squares = left * scale, right * scale[:, None], np.square(values)

    def energy(self, rank: int) -> float:
        return _share(float(self.squares[:rank].sum()), float(self.squares.sum()))


class _Channel(Form):
    name = "channel"

    def __init__(self, weights: np.ndarray, hessian: np.ndarray | None) -> None:
        self.shape = weights.shape
        self.svd = _Svd(weights.reshape(len(weights), -1).astype(np.float64), hessian)
        self.levels = [(rank,) for rank in range(1, len(self.svd.squares) + 1)]

    def energy(self, ranks: tuple[int, ...]) -> float:
        return self.svd.energy(ranks[0])

    def shapes(self, ranks: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        spatial = len(self.shape) - 2
        first = (ranks[0], *self.shape[1:]), tuple(range(spatial))
        return [first, ((self.shape[0], *[1] * spatial, ranks[0]), ())]

    def parts(self, ranks: tuple[int, ...]) -> list[Part]:
        arrays = self.svd.right[: ranks[0]], self.svd.left[:, : ranks[0]]
        return [_part(array, *shape) for array, shape in zip(arrays, self.shapes(ranks), strict=True)]

    def _product(self, weights: Sequence[np.ndarray]) -> np.ndarray:
        rank = len(weights[0])
        result: np.ndarray = (weights[1].reshape(-1, rank) @ weights[0].reshape(rank, -1)).reshape(self.shape)
        return result


class _Spatial(Form):
    name = "spatial"

    def __init__(self, weights: np.ndarray, hessian: np.ndarray | None) -> None:
        self.shape = weights.shape
        o, kh, kw, i = weights.shape
        if hessian is not None:  # [(y, i), (y, i)] of one column of taps, averaged over the columns
            hessian = np.einsum("yxizxj->yizj", hessian.reshape(kh, kw, i, kh, kw, i)).reshape(kh * i, kh * i) / kw
        matrix = weights.astype(np.float64).transpose(0, 2, 1, 3).reshape(o * kw, kh * i)
        self.svd = _Svd(matrix, hessian)
        self.levels = [(rank,) for rank in range(1, len(self.svd.squares) + 1)]

    def energy(self, ranks: tuple[int, ...]) -> float:
        return self.svd.energy(ranks[0])

    def shapes(self, ranks: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        o, kh, kw, i = self.shape
        return [((ranks[0], kh, 1, i), (0,)), ((o, 1, kw, ranks[0]), (1,))]

    def parts(self, ranks: tuple[int, ...]) -> list[Part]:
        arrays = self.svd.right[: ranks[0]], self.svd.left[:, : ranks[0]]
        return [_part(array, *shape) for array, shape in zip(arrays, self.shapes(ranks), strict=True)]

    def _product(self, weights: Sequence[np.ndarray]) -> np.ndarray:
        result: np.ndarray = np.einsum("ryi,oxr->oyxi", weights[0][:, :, 0], weights[1][:, 0])
        return result


class _Tucker(Form):
    name = "tucker"

    def __init__(self, weights: np.ndarray, hessian: np.ndarray | None) -> None:
        self.shape = weights.shape
        o, i = weights.shape[0], weights.shape[-1]
        wide = weights.astype(np.float64).reshape(o, -1, i)
        inverse = np.eye(i)
        if hessian is not None:  # of the channels, averaged over the taps
            taps = wide.shape[1]
            root, inverse = _root(np.einsum("titj->ij", hessian.reshape(taps, i, taps, i)) / taps)
            wide = wide @ root
        out, out_values, _ = np.linalg.svd(wide.reshape(o, -1), full_matrices=False)
        into, in_values, _ = np.linalg.svd(wide.transpose(2, 0, 1).reshape(i, -1), full_matrices=False)
        core = np.einsum("oti,or,is->rts", wide, out, into, optimize=True)
        self.core, self.out, self.into = core, out, into.T @ inverse
        self.retained = np.square(core).sum(axis=1).cumsum(axis=0).cumsum(axis=1)
        self.levels = _pairs(np.square(out_values), np.square(in_values))

    def energy(self, ranks: tuple[int, ...]) -> float:
        return _share(float(self.retained[ranks[0] - 1, ranks[1] - 1]), float(self.retained[-1, -1]))

    def shapes(self, ranks: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        kernel, ones = self.shape[1:-1], [1] * (len(self.shape) - 2)
        return [
            ((ranks[1], *ones, self.shape[-1]), ()),
            ((ranks[0], *kernel, ranks[1]), tuple(range(len(kernel)))),
            ((self.shape[0], *ones, ranks[0]), ()),
        ]

    def parts(self, ranks: tuple[int, ...]) -> list[Part]:
        r_out, r_in = ranks
        arrays = self.into[:r_in], self.core[:r_out, :, :r_in], self.out[:, :r_out]
        return [_part(array, *shape) for array, shape in zip(arrays, self.shapes(ranks), strict=True)]

    def _product(self, weights: Sequence[np.ndarray]) -> np.ndarray:
        into, core, out = (weights[0].reshape(len(weights[0]), -1), weights[1], weights[2].reshape(self.shape[0], -1))
        flat = core.reshape(len(core), -1, core.shape[-1])
        result: np.ndarray = np.einsum("or,rts,si->oti", out, flat, into, optimize=True).reshape(self.shape)
        return result


def _part(array: np.ndarray, shape: tuple[int, ...], axes: tuple[int, ...]) -> Part:
    return Part(np.ascontiguousarray(array.reshape(shape), np.float32), axes)


def _pairs(out: np.ndarray, into: np.ndarray) -> list[tuple[int, ...]]:
    """Ranks (out, in) at which both modes retain the same share of the energy, for every share at which one changes."""
    shares = [np.cumsum(each) / max(float(each.sum()), 1e-300) for each in (out, into)]
    wanted = np.unique(np.concatenate(shares))
    ranks = [np.minimum(np.searchsorted(each, wanted * (1 - 1e-12)) + 1, len(each)) for each in shares]
    return [(int(a), int(b)) for a, b in np.unique(np.stack(ranks, axis=1), axis=0)]


def _root(hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A square root R of H = R R^T, slightly damped, and its inverse."""
    values, vectors = np.linalg.eigh(hessian)
    floor = max(_DAMPING * float(np.trace(hessian)) / len(hessian), 1e-30)
    scale = np.sqrt(np.maximum(values, 0) + floor)
    return vectors * scale, vectors.T / scale[:, None]


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 1.0
