"""Which weights stay, given how much each matters.

Columns are those of weights [O, K]: of a convolution taps x input channels, the channels of a tap side by side. Blocks
begin anew at each tap, since kernels that leave blocks out go through the channels of one tap after the other; where a
tap's channels are no multiple of a block, its last one is narrower.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from whit.errors import RecipeError

__all__ = ["Pattern", "block_starts"]


def block_starts(columns: int, width: int, channels: int | None = None) -> np.ndarray:
    """The columns that blocks of so many columns begin with; `channels`: columns of a tap (None: all)."""
    run = channels or columns
    return np.concatenate([np.arange(begin, min(begin + run, columns), width) for begin in range(0, columns, run)])


@dataclass(frozen=True)
class Pattern:
    """What is kept or dropped as one.

    Attributes:
        height, width: of a block, in rows (output channels) and columns (input channels of one tap).
        some: of the `width` columns of a row so many stay, whatever the sparsity; 0: blocks stay or go.
    """

    height: int = 1
    width: int = 1
    some: int = 0

    @classmethod
    def of(cls, text: str, where: str = "pattern") -> Pattern:
        """From "element", "1x4" (rows x columns), or "2:4" (2 of every 4 columns stay).

        Raises:
            RecipeError: it is none of these.
        """
        block = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", "1x1" if text == "element" else text)
        if block is not None:
            return cls(int(block[1]), int(block[2]))
        share = re.fullmatch(r"(\d\d?):([1-9]\d?)", text)
        if share is None or int(share[1]) > int(share[2]):
            raise RecipeError(f"{where} must be 'element', 'RxC' or 'N:M' (N <= M); got {text!r}")
        if int(share[1]) == 0:
            raise RecipeError(f"{where}: {text!r} keeps nothing; N is at least 1")
        return cls(1, int(share[2]), int(share[1]))

    def sums(self, scores: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the blocks of scores [groups, rows, columns]: their sums [groups, R, C], heights [R] and widths [C]."""
        rows = np.arange(0, scores.shape[1], self.height)
        sums = np.add.reduceat(np.add.reduceat(scores, rows, axis=1), starts, axis=2)
        return sums, np.diff([*rows, scores.shape[1]]), np.diff([*starts, scores.shape[2]])

    def keep(self, scores: np.ndarray, starts: np.ndarray, sparsity: float) -> np.ndarray:
        """Keeps what has the largest mean scores, bool as scores [groups, rows, columns].

        Args:
            scores: f64, at least 0.
            starts: as `block_starts` gives them for `width`.
            sparsity: the share of blocks that go; without meaning for n:m.
        """
        if self.some:
            parts = [_largest(part, self.some) for part in np.split(scores, starts[1:], axis=2)]
            return np.concatenate(parts, axis=2)
        sums, tall, wide = self.sums(scores, starts)
        means = sums / (tall[:, None] * wide)
        kept = np.ones(means.size, bool)
        kept[np.argsort(means, axis=None, kind="stable")[: round(sparsity * means.size)]] = False
        return np.repeat(np.repeat(kept.reshape(means.shape), tall, axis=1), wide, axis=2)


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` largest of the last axis; of equal ones the first."""
    rank = np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1, kind="stable")
    return np.asarray(rank < count)
