"""How many weights of each layer go, where the share of all of them is given."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["between", "shares_by_damage", "shares_by_score"]

#: Shares between which damage is taken to lie on straight lines.
_GRID = np.arange(5, 100, 5) / 100


def shares_by_score(scores: Mapping[str, tuple[np.ndarray, np.ndarray]], sparsity: float) -> dict[str, float]:
    """The shares that go if blocks of all layers compete.

    What a block counts is its score over the sum of those of its layer that are not smaller: layers of other scales can
    be compared, and none goes altogether (Lee et al., "Layer-Adaptive Sparsity for the Magnitude-Based Pruning", 2021,
    equation 2, for any score).

    Args:
        scores: layer -> sums of the blocks' scores, f64 [B], at least 0, and how many weights each block has, [B].
        sparsity: share of all weights that go.
    """
    if not scores:
        return {}
    relative = np.concatenate([_relative(values) for values, _ in scores.values()])
    sizes = np.concatenate([size for _, size in scores.values()])
    owner = np.repeat(np.arange(len(scores)), [len(values) for values, _ in scores.values()])
    order = np.argsort(relative, kind="stable")
    gone = order[: int(np.searchsorted(np.cumsum(sizes[order]), sparsity * sizes.sum(), side="right"))]
    lost = np.bincount(owner[gone], weights=sizes[gone], minlength=len(scores))
    return {name: float(lost[i] / size.sum()) for i, (name, (_, size)) in enumerate(scores.items())}


def _relative(scores: np.ndarray) -> np.ndarray:
    order = np.argsort(scores, kind="stable")
    rest = np.cumsum(scores[order][::-1])[::-1]
    result = np.empty(len(scores))
    result[order] = scores[order] / np.maximum(rest, 1e-300)
    return result


def between(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """More points of a curve of damage: a power of the share from one known point to the next, as noise grows.

    Args:
        points: (share, damage) of shares above 0, ascending; two or more.

    Returns:
        Those and more, from (0, 0) to the last of them.
    """
    logs = np.log(np.maximum(points, 1e-300))
    (x, y), (slope_x, slope_y) = logs[0], logs[1] - logs[0]
    first = max(slope_y / slope_x, 1.0)
    known = [share for share, _ in points]
    shares = np.setdiff1d(_GRID[known[-1] > _GRID], known)
    grid = np.log(shares)
    values = np.exp(np.where(grid < x, y + first * (grid - x), np.interp(grid, logs[:, 0], logs[:, 1])))
    return [(0.0, 0.0), *sorted([*points, *zip(shares.tolist(), values.tolist(), strict=True)])]


def shares_by_damage(
    damage: Mapping[str, Sequence[tuple[float, float]]], sizes: Mapping[str, int], sparsity: float
) -> dict[str, float]:
    """The shares of least damage in sum, if damages add up and lie on straight lines between those that are known.

    Takes next what adds least for each weight that goes, along the lower convex hull of each layer: optimal for what
    the lines say (Everett 1963; Shoham and Gersho 1988).

    Args:
        damage: layer -> (share, damage), ascending, from share 0 on; the last share is the largest allowed.
        sizes: layer -> how many weights it has.
        sparsity: share of all weights that go; as many as allowed if that is less.
    """
    hulls = {name: _hull(points) for name, points in damage.items()}
    shares = dict.fromkeys(hulls, 0.0)
    left = sparsity * sum(sizes[name] for name in hulls)
    places = {name: index for index, name in enumerate(hulls)}
    waiting = [(_slope(hull, 0, sizes[name]), places[name], 0, name) for name, hull in hulls.items() if len(hull) > 1]
    heapq.heapify(waiting)
    while waiting and left > 0:
        _, place, index, name = heapq.heappop(waiting)
        hull = hulls[name]
        step = min((hull[index + 1][0] - hull[index][0]) * sizes[name], left)
        shares[name] = hull[index][0] + step / sizes[name]
        left -= step
        if index + 2 < len(hull):
            heapq.heappush(waiting, (_slope(hull, index + 1, sizes[name]), place, index + 1, name))
    return shares


def _slope(hull: Sequence[tuple[float, float]], index: int, size: int) -> float:
    (low, before), (high, after) = hull[index], hull[index + 1]
    return (after - before) / ((high - low) * size)


def _hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lower convex hull of points with ascending shares."""
    hull: list[tuple[float, float]] = []
    for x, y in points:
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (x - hull[-2][0]) >= (y - hull[-2][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    return hull
