"""k-means of numbers: the optimum by dynamic programming, and Lloyd's iteration.

Clusters of sorted numbers are intervals, so the best k of them follow from the best k - 1 of every beginning (Wang and
Song, "Ckmeans.1d.dp: Optimal k-means Clustering in One Dimension by Dynamic Programming", 2011). Where an interval
begins never moves left as its end moves right, so each layer takes O(n log n) (Grønlund et al., "Fast Exact k-Means,
k-Medians and Bregman Divergence Clustering in 1D", 2017).

A centroid fixed at 0 adds one interval whose cost is taken around 0; the clusters on both of its sides are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Points", "exact", "lloyd", "points_of"]


@dataclass(frozen=True, eq=False)
class Points:
    """Distinct numbers, ascending, each with a positive weight: f64 [n] both."""

    values: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def binned(self, bins: int) -> Points:
        """At most `bins` points that stand for all: the weighted means of what falls into equal bins."""
        low, high = self.values[0], self.values[-1]
        index = np.minimum(((self.values - low) * (bins / (high - low))).astype(np.intp), bins - 1)
        weights = np.bincount(index, self.weights, bins)
        sums = np.bincount(index, self.weights * self.values, bins)
        filled = weights > 0
        return Points(sums[filled] / weights[filled], weights[filled])


def points_of(values: np.ndarray, weights: np.ndarray | None) -> Points:
    """Merges equal numbers and drops those without weight; if none has any, all count alike."""
    flat = values.ravel().astype(np.float64)
    if weights is None or not weights.any():
        distinct, counts = np.unique(flat, return_counts=True)
        return Points(distinct, counts.astype(np.float64))
    heavy = weights.ravel() > 0
    distinct, index = np.unique(flat[heavy], return_inverse=True)
    return Points(distinct, np.bincount(index.ravel(), weights.ravel()[heavy], len(distinct)))


class _Sums:
    """Sums over intervals [begin, end) of points in O(1)."""

    def __init__(self, points: Points) -> None:
        self.values = points.values
        # Around the mean, so that squares cancel less.
        self.centre = float(np.average(points.values, weights=points.weights))
        centred = points.values - self.centre
        products = (points.weights, points.weights * centred, points.weights * np.square(centred))
        self.weight, self.first, self.second = (np.concatenate([[0.0], np.cumsum(each)]) for each in products)

    def cost(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Weighted squared error around the mean; 0 for an empty interval."""
        weight = self.weight[end] - self.weight[begin]
        first = self.first[end] - self.first[begin]
        second = self.second[end] - self.second[begin]
        result: np.ndarray = np.maximum(second - first * first / np.where(weight > 0, weight, 1.0), 0.0)
        return result

    def means(self, bounds: np.ndarray) -> np.ndarray:
        """Of the intervals between bounds; NaN where one is empty."""
        weight, first = np.diff(self.weight[bounds]), np.diff(self.first[bounds])
        counts = np.diff(bounds)
        means = np.where(counts > 0, first / np.where(counts > 0, weight, 1.0) + self.centre, np.nan)
        return np.where(counts == 1, self.values[np.minimum(bounds[:-1], len(self.values) - 1)], means)


def exact(points: Points, count: int, *, keep_zero: bool = False) -> np.ndarray:
    """The centroids of least weighted squared error, ascending; fewer than `count` if fewer points differ.

    With `keep_zero` one of them is 0.
    """
    n, sums = len(points), _Sums(points)
    if not keep_zero:
        _, begins = _layers(sums, n, count)
        means = sums.means(_trace(begins, count, n))
        return np.asarray(means[np.isfinite(means)])
    if count == 1:
        return np.zeros(1)
    mirrored = _Sums(Points(-points.values[::-1], points.weights[::-1]))
    left_costs, left_begins = _layers(sums, n, count - 1)
    right_costs, right_begins = _layers(mirrored, n, count - 1)
    around_zero = np.concatenate([[0.0], np.cumsum(points.weights * np.square(points.values))])
    best = (np.inf, 0, 0, 0)
    for left in range(count):
        # First begin <= end of the zero cluster: clusters end at begin on the left, start at end on the right.
        before = left_costs[left] - around_zero
        after = right_costs[count - 1 - left][::-1] + around_zero
        running = np.minimum.accumulate(before)
        end = int(np.argmin(running + after))
        if running[end] + after[end] < best[0]:
            best = (float(running[end] + after[end]), left, int(np.argmin(before[: end + 1])), end)
    _, left, begin, end = best
    low = sums.means(_trace(left_begins, left, begin))
    high = -mirrored.means(_trace(right_begins, count - 1 - left, n - end))
    means = np.concatenate([low, high])
    return np.unique(np.append(means[np.isfinite(means)], 0.0))


def _layers(sums: _Sums, n: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For 0..count clusters of the first 0..n points: the least cost, and where the last cluster begins."""
    costs, begins = np.full((count + 1, n + 1), np.inf), np.zeros((count + 1, n + 1), np.intp)
    costs[0, 0] = 0.0
    if count:
        ends = np.arange(n + 1)
        costs[1] = sums.cost(np.zeros(n + 1, np.intp), ends)
    for layer in range(2, count + 1):
        _layer(sums, costs[layer - 1], costs[layer], begins[layer])
    return costs, begins


def _layer(sums: _Sums, previous: np.ndarray, costs: np.ndarray, begins: np.ndarray) -> None:
    """costs[end] = min over begin of previous[begin] + cost(begin, end).

    Ends are taken at ever finer steps, each within what its neighbours found.
    """
    n = len(costs) - 1
    costs[0] = 0.0
    step = 1 << max(n - 1, 1).bit_length()
    while step:
        ends = np.arange(step, n + 1, 2 * step)
        low = begins[ends - step]
        above = ends + step
        high = np.where(above <= n, np.minimum(begins[np.minimum(above, n)], ends), ends)
        high = np.maximum(high, low)  # whatever rounding did to ties
        lengths = high - low + 1
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        if len(ends):
            # One flat array of all candidates: for every end its possible beginnings.
            owner = np.repeat(np.arange(len(ends)), lengths)
            begin = np.arange(lengths.sum()) - starts[owner] + low[owner]
            found = previous[begin] + sums.cost(begin, ends[owner])
            least = np.minimum.reduceat(found, starts)
            hits = np.flatnonzero(found == least[owner])[::-1]
            costs[ends], chosen = least, np.zeros(len(ends), np.intp)
            chosen[owner[hits]] = begin[hits]  # the first of equal ones stays
            begins[ends] = chosen
        step //= 2


def _trace(begins: np.ndarray, count: int, end: int) -> np.ndarray:
    """The bounds of `count` clusters of the first `end` points, [count + 1]."""
    bounds = [end]
    for layer in range(count, 0, -1):
        end = int(begins[layer, end])
        bounds.append(end)
    return np.array(bounds[::-1])


def lloyd(points: Points, centroids: np.ndarray, *, keep_zero: bool = False, iterations: int = 100) -> np.ndarray:
    """Moves centroids to the means of what is nearest to them until nothing changes.

    A centroid that nothing is nearest to moves to the point that costs most.

    Args:
        points: what to cluster.
        centroids: to begin with, f64 [k]; with `keep_zero` one of them is 0 and stays.
        keep_zero: see there.
        iterations: at most.

    Returns:
        Ascending, f64 [k]. The error is never larger than that of the beginning.
    """
    sums, current = _Sums(points), np.sort(centroids.astype(np.float64))
    for _ in range(iterations):
        bounds = _bounds(points, current)
        means = sums.means(bounds)
        empty = np.isnan(means)
        updated = np.where(empty, current, means)
        if keep_zero:
            zero = int(np.argmin(np.abs(current)))
            updated[zero], empty[zero] = 0.0, False
        if empty.any():
            error = points.weights * np.square(points.values - np.repeat(updated, np.diff(bounds)))
            for index in np.flatnonzero(empty):
                worst = int(np.argmax(error))
                if error[worst] > 0:
                    updated[index], error[worst] = points.values[worst], 0.0
        updated.sort()
        if np.array_equal(updated, current):
            break
        current = updated
    return current


def _bounds(points: Points, centroids: np.ndarray) -> np.ndarray:
    """Where the points nearest to each centroid begin and end, [k + 1]."""
    between = np.searchsorted(points.values, (centroids[1:] + centroids[:-1]) / 2, side="right")
    return np.concatenate([[0], between, [len(points)]])
