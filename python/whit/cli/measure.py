"""Latency of a loaded model, with what is needed to trust it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from whit.cli import system
from whit.cli.common import Array
from whit.errors import InvalidArgumentError
from whit.model import Model, load

__all__ = ["Measurement", "load_timed", "measure"]

#: A run whose 90th percentile is this much above its median shared the CPU with something else.
_NOISY = 1.5


@dataclass(frozen=True)
class Measurement:
    """Milliseconds of `count` inferences after `first` (the first one, not counted) and `warmup` more.

    `valid` is False if `problems` (throttling, heat, an unsteady machine) speak against the numbers.
    """

    count: int
    warmup: int
    first_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    load_ms: float | None
    arena_bytes: int
    packed_bytes: int
    peak_rss_bytes: int
    threads: int
    isa: str
    before: dict[str, Any]
    after: dict[str, Any]
    valid: bool
    problems: list[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with stable keys."""
        return asdict(self)


def load_timed(path: str | os.PathLike[str], threads: int | None = None) -> tuple[Model, float]:
    """A loaded model and the milliseconds that loading took."""
    start = time.perf_counter()
    model = load(path, threads)
    return model, (time.perf_counter() - start) * 1e3


def measure(
    model: Model, feeds: Mapping[str, Array], count: int = 100, warmup: int = 5, load_ms: float | None = None
) -> Measurement:
    """Runs the model on the same feeds again and again, into the same output arrays."""
    if count < 1 or warmup < 0:
        raise InvalidArgumentError(f"measure: count must be at least 1 and warmup at least 0; got {count}, {warmup}")
    before = system.state()
    start = time.perf_counter()
    out = model.run(feeds)
    first_ms = (time.perf_counter() - start) * 1e3
    for _ in range(warmup):
        model.run(feeds, out=out)
    times = np.empty(count)
    for i in range(count):
        start = time.perf_counter()
        model.run(feeds, out=out)
        times[i] = (time.perf_counter() - start) * 1e3
    after = system.state()
    p50, p90, p99 = (float(value) for value in np.percentile(times, (50, 90, 99)))
    problems = system.disturbances(before, after)
    if p90 > _NOISY * p50:
        problems.append(f"unsteady: the 90th percentile is {p90 / p50:.1f} times the median")
    return Measurement(
        count,
        warmup,
        first_ms,
        float(times.min()),
        p50,
        p90,
        p99,
        load_ms,
        model.arena_bytes,
        model.packed_bytes,
        system.peak_rss_bytes(),
        model.threads,
        model.isa,
        before,
        after,
        not problems,
        problems,
    )
