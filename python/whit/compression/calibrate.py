"""Runs a graph on calibration data and counts what its tensors take.

The graph runs in whit's own engine, twice: once for the extremes, once to fill histograms between them. So memory does
not grow with the data and the outcome does not depend on its order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from whit.compression.ranges import Distribution
from whit.data import Dataset, Feeds
from whit.errors import CalibrationError
from whit.ir import Graph
from whit.progress import ProgressCallback, progress

__all__ = ["Runner", "RunnerFactory", "Statistics", "engine_runner", "observe_histograms", "observe_ranges"]

#: Up to so many values of a tensor are kept as they are, so that small sets give exact percentiles.
_EXACT_VALUES = 1 << 14


class Runner(Protocol):
    """Runs a graph; a `whit.Session` is one."""

    def run(self, feeds: Feeds) -> Mapping[str, np.ndarray]:
        """The outputs and the observed tensors by name."""
        ...


#: Makes a runner of a graph that also returns the named tensors.
RunnerFactory = Callable[[Graph, Sequence[str]], Runner]


@dataclass
class Statistics:
    """What one tensor took over all calibration data.

    Channels are the indices of the last axis. Where its size changes from sample to sample, all count as one.

    Attributes:
        low, high: extremes of each channel, f64 [C].
        total, squares: sums of the values and of their squares, f64 [C].
        count: values per channel.
        bins: counts of equal bins from the lowest to the highest value, once histograms were filled.
    """

    low: np.ndarray = field(default_factory=lambda: np.zeros(0))
    high: np.ndarray = field(default_factory=lambda: np.zeros(0))
    total: np.ndarray = field(default_factory=lambda: np.zeros(0))
    squares: np.ndarray = field(default_factory=lambda: np.zeros(0))
    count: int = 0
    bins: np.ndarray | None = None
    _kept: list[np.ndarray] = field(default_factory=list)

    @property
    def minimum(self) -> float:
        return float(self.low.min())

    @property
    def maximum(self) -> float:
        return float(self.high.max())

    @property
    def mean(self) -> np.ndarray:
        """Of each channel, f64 [C]."""
        return self.total / self.count

    def scale(self, factors: np.ndarray) -> None:
        """Makes the ranges and sums those of values times factors[c] > 0."""
        self.low, self.high, self.total = self.low * factors, self.high * factors, self.total * factors
        self.squares = self.squares * np.square(factors)

    def see_range(self, values: np.ndarray) -> None:
        rows = values.reshape(-1, values.shape[-1] if values.ndim else 1)
        if self.low.size not in (0, rows.shape[1]):
            self._merge_channels()
            rows = rows.reshape(-1, 1)
        sums = rows.sum(axis=0, dtype=np.float64), np.einsum("nc,nc->c", rows, rows, dtype=np.float64)
        low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
        if self.count == 0:
            self.low, self.high, (self.total, self.squares) = low, high, sums
        else:
            self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
            self.total, self.squares = self.total + sums[0], self.squares + sums[1]
        self.count += len(rows)

    def _merge_channels(self) -> None:
        self.count *= self.low.size
        self.low, self.high = self.low.min(keepdims=True), self.high.max(keepdims=True)
        self.total, self.squares = self.total.sum(keepdims=True), self.squares.sum(keepdims=True)

    def see_values(self, values: np.ndarray, bins: int) -> None:
        if self.count * self.low.size <= _EXACT_VALUES:
            self._kept.append(values.ravel().copy())
            return
        if self.bins is None:
            self.bins = np.zeros(bins, np.int64)
        span = self.maximum - self.minimum
        if span <= 0:
            self.bins[0] += values.size
            return
        index = ((values.ravel() - np.float32(self.minimum)) * np.float32(bins / span)).astype(np.intp)
        self.bins += np.bincount(np.clip(index, 0, bins - 1), minlength=bins)

    @property
    def distribution(self) -> Distribution:
        if self._kept:
            values, counts = np.unique(np.concatenate(self._kept), return_counts=True)
        elif self.bins is not None:
            width = (self.maximum - self.minimum) / len(self.bins)
            values, counts = self.minimum + width * (np.arange(len(self.bins)) + 0.5), self.bins
            if self.minimum <= 0 <= self.maximum and width > 0:
                # The bin that holds 0 is mostly exact zeros (relu), which every quantisation represents.
                values[min(int(-self.minimum / width), len(values) - 1)] = 0.0
        else:
            values, counts = np.array([self.minimum, self.maximum]), np.array([1, 1])
        return Distribution(self.minimum, self.maximum, values, counts)


def engine_runner(graph: Graph, observe: Sequence[str]) -> Runner:
    """Runs `graph` in whit's engine."""
    from whit.format import write
    from whit.model import load

    session: Runner = load(write(graph)).session(observe=list(observe))
    return session


def observe_ranges(
    graph: Graph,
    names: Iterable[str],
    data: Dataset,
    *,
    runner: RunnerFactory = engine_runner,
    callback: ProgressCallback | None = None,
) -> dict[str, Statistics]:
    """Ranges and sums of the named f32 tensors over `data`.

    Raises:
        CalibrationError: a tensor becomes NaN or infinite (says which, and on which sample), or is always empty.
    """
    statistics = {name: Statistics() for name in names}
    session = _runner_of(graph, statistics, runner)
    for index, feeds in enumerate(progress(data, len(data), "calibrate: ranges", callback)):
        results = session.run(feeds)
        for name, found in statistics.items():
            values = feeds[name] if name in feeds else results[name]
            if values.size == 0:
                continue
            found.see_range(values)
            if not (np.isfinite(found.minimum) and np.isfinite(found.maximum)):
                raise CalibrationError(
                    f"sample {index}: tensor {name!r} becomes NaN or infinite in the f32 model; "
                    "check the sample and its preprocessing"
                )
    for name, found in statistics.items():
        if found.count == 0:
            raise CalibrationError(f"tensor {name!r} is empty on all {len(data)} samples")
    return statistics


def observe_histograms(
    graph: Graph,
    statistics: Mapping[str, Statistics],
    data: Dataset,
    *,
    bins: int,
    runner: RunnerFactory = engine_runner,
    callback: ProgressCallback | None = None,
) -> None:
    """Fills histograms between the ranges that `observe_ranges` found on the same graph and data."""
    session = _runner_of(graph, statistics, runner)
    for feeds in progress(data, len(data), "calibrate: histograms", callback):
        results = session.run(feeds)
        for name, found in statistics.items():
            found.see_values(feeds[name] if name in feeds else results[name], bins)


def _runner_of(graph: Graph, names: Iterable[str], runner: RunnerFactory) -> Runner:
    known = {*graph.inputs, *graph.outputs}
    return runner(graph, [name for name in names if name not in known])
