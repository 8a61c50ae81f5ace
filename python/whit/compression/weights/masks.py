"""Which weights stay, given how much each matters."""

from __future__ import annotations

import numpy as np

__all__ = ["keep_blocks", "keep_some"]


def keep_blocks(scores: np.ndarray, height: int, width: int, sparsity: float) -> np.ndarray:
    """Keeps the blocks of rows x columns with the largest mean scores; bool as scores [groups, rows, columns]."""
    rows, columns = np.arange(0, scores.shape[1], height), np.arange(0, scores.shape[2], width)
    sums = np.add.reduceat(np.add.reduceat(scores, rows, axis=1), columns, axis=2)
    tall, wide = np.diff([*rows, scores.shape[1]]), np.diff([*columns, scores.shape[2]])
    means = sums / (tall[:, None] * wide)
    kept = np.ones(means.size, bool)
    kept[np.argsort(means, axis=None, kind="stable")[: round(sparsity * means.size)]] = False
    return np.repeat(np.repeat(kept.reshape(means.shape), tall, axis=1), wide, axis=2)


def keep_some(scores: np.ndarray, count: int, of: int) -> np.ndarray:
    """Keeps the `count` largest of every `of` consecutive columns; bool as scores [groups, rows, columns]."""
    columns = scores.shape[2]
    padded = np.pad(scores, ((0, 0), (0, 0), (0, -columns % of)), constant_values=-np.inf)
    parts = padded.reshape(*scores.shape[:2], -1, of)
    rank = np.argsort(np.argsort(-parts, axis=3, kind="stable"), axis=3, kind="stable")
    result: np.ndarray = (rank < count).reshape(padded.shape)[:, :, :columns]
    return result
