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

__all__ = ["Runner", "RunnerFactory", "Statistics", "collect", "engine_runner"]

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

    Attributes:
        minimum, maximum: extremes.
        count: values seen.
        channel_sum: f64 [C], sums over every axis but the last.
        bins: counts of equal bins from minimum to maximum; None after a first pass alone.
    """

    minimum: float = np.inf
    maximum: float = -np.inf
    count: int = 0
    channel_sum: np.ndarray = field(default_factory=lambda: np.zeros(0))
    bins: np.ndarray | None = None
    _kept: list[np.ndarray] = field(default_factory=list)

    def see_extremes(self, values: np.ndarray) -> None:
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))
        self.count += values.size
        last = values.reshape(-1, values.shape[-1] if values.ndim else 1)
        total = last.sum(axis=0, dtype=np.float64)
        # With a dynamic last axis there are no channels to speak of; their mean is then the mean of all.
        if self.channel_sum.size not in (0, total.size):
            self.channel_sum, total = self.channel_sum.sum(keepdims=True), total.sum(keepdims=True)
        self.channel_sum = total if self.channel_sum.size == 0 else self.channel_sum + total

    def see_values(self, values: np.ndarray, bins: int) -> None:
        if self.count <= _EXACT_VALUES:
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
    def channel_mean(self) -> np.ndarray:
        """f64 [C]."""
        mean: np.ndarray = self.channel_sum * (self.channel_sum.size / max(self.count, 1))
        return mean

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


def collect(
    graph: Graph,
    names: Iterable[str],
    data: Dataset,
    *,
    bins: int | None,
    runner: RunnerFactory = engine_runner,
    callback: ProgressCallback | None = None,
) -> dict[str, Statistics]:
    """Statistics of the named f32 tensors over `data`; without `bins` the extremes and means alone.

    Raises:
        CalibrationError: a tensor becomes NaN or infinite; says which, and on which sample.
    """
    names = list(dict.fromkeys(names))
    known = {*graph.inputs, *graph.outputs}
    session = runner(graph, [name for name in names if name not in known])
    statistics = {name: Statistics() for name in names}
    for index, feeds in enumerate(progress(data, len(data), "calibrate: ranges", callback)):
        results = session.run(feeds)
        for name in names:
            values = feeds[name] if name in feeds else results[name]
            if values.size == 0:
                continue
            statistics[name].see_extremes(values)
            if not (np.isfinite(statistics[name].minimum) and np.isfinite(statistics[name].maximum)):
                raise CalibrationError(
                    f"sample {index}: tensor {name!r} becomes NaN or infinite in the f32 model; "
                    "check the sample and its preprocessing"
                )
    for name, found in statistics.items():
        if found.count == 0:
            raise CalibrationError(f"tensor {name!r} is empty on all {len(data)} samples")
    if bins is None:
        return statistics
    for feeds in progress(data, len(data), "calibrate: histograms", callback):
        results = session.run(feeds)
        for name in names:
            statistics[name].see_values(feeds[name] if name in feeds else results[name], bins)
    return statistics
