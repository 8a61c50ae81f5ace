"""Two results of the suite against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from whit.suite.results import Result, SuiteResults

__all__ = ["Comparison", "Pair", "compare"]


@dataclass(frozen=True)
class Pair:
    """One case that both have. `ratio` is A's time over B's: above 1, B is faster."""

    name: str
    group: str
    dtype: str
    threads: int
    a_ms: float
    b_ms: float
    ratio: float
    valid: bool


@dataclass(frozen=True)
class Comparison:
    """What both have, what only one has, and the geometric means of the ratios by (group, dtype, threads)."""

    pairs: list[Pair]
    only_a: list[str]
    only_b: list[str]
    means: list[dict[str, Any]]


def compare(a: SuiteResults, b: SuiteResults) -> Comparison:
    """Matches cases by name, dtype and threads, in the order of A."""
    in_b = {result.key: result for result in b.results}
    keys_a = {result.key for result in a.results}
    pairs = [_pair(result, in_b[result.key]) for result in a.results if result.key in in_b]
    means = []
    for group, dtype, threads in dict.fromkeys((pair.group, pair.dtype, pair.threads) for pair in pairs):
        logs = [math.log(p.ratio) for p in pairs if (p.group, p.dtype, p.threads) == (group, dtype, threads)]
        mean = math.exp(sum(logs) / len(logs))
        means.append({"group": group, "dtype": dtype, "threads": threads, "cases": len(logs), "ratio": mean})
    return Comparison(
        pairs,
        [_label(result) for result in a.results if result.key not in in_b],
        [_label(result) for result in b.results if result.key not in keys_a],
        means,
    )


def _pair(a: Result, b: Result) -> Pair:
    ratio = a.median_ms / b.median_ms
    return Pair(a.name, a.group, a.dtype, a.threads, a.median_ms, b.median_ms, ratio, a.valid and b.valid)


def _label(result: Result) -> str:
    return f"{result.name} {result.dtype}, {result.threads} thread{'s' * (result.threads != 1)}"
