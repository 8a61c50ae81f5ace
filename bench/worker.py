"""The process of one contender: loads a model, then does what the parent asks, one line of JSON for each answer.

    python -m bench.worker < orders

So that nobody's threads disturb another's, each contender has its own, and the parent stops it while others are timed.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.contenders import defined_in
from bench.contenders.base import Contender, Prepared, Runner

_STEADY_RUNS = 30


def main() -> None:
    # Answers go where stdout was; what a runtime prints must not.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    order = json.loads(sys.stdin.readline())
    os.sched_setaffinity(0, order["cpus"])
    contender = _contender(order["module"], order["contender"])
    prepared, threads = Prepared.from_dict(order["prepared"]), order["threads"]

    def load() -> Runner:
        return contender.load(prepared, threads)

    if order["startup"]:
        answers.write(json.dumps(_answer(lambda: _startup(contender, load, np.load(order["input"])))) + "\n")
        return
    loaded: list[Runner] = []

    def keep() -> dict[str, Any]:
        loaded.append(load())
        return {}

    answers.write(json.dumps(_answer(keep)) + "\n")
    if not loaded:
        return
    gc.disable()
    for line in sys.stdin:
        answers.write(json.dumps(_answer(lambda: _do(loaded[0], json.loads(line)))) + "\n")  # noqa: B023


def _contender(module: str, name: str) -> Contender:
    return next(one for one in defined_in(importlib.import_module(module)) if one.name == name)


def _answer(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:  # whatever a runtime throws is a result
        return {"error": f"{type(error).__name__}: {error}"}


def _do(runner: Runner, order: dict[str, Any]) -> dict[str, Any]:
    if order["do"] == "check":
        runner.feed(np.load(order["input"]))
        runner.run()
        np.save(order["output"], runner.result())
        return {}
    return {"seconds": _timed(runner, order["warm"], order["count"])}


def _timed(runner: Runner, warm: int, count: int) -> float:
    """Seconds of `count` inferences, after `warm` that bring code and data back into the caches."""
    run = runner.run
    for _ in range(warm):
        run()
    start = time.perf_counter()
    for _ in range(count):
        run()
    return time.perf_counter() - start


def _startup(contender: Contender, load: Callable[[], Runner], x: np.ndarray) -> dict[str, Any]:
    """Milliseconds and MB of what happens once, on top of an interpreter that has imported numpy."""
    before = _status("VmRSS")
    start = time.perf_counter()
    contender.imported()
    imported = time.perf_counter()
    runner = load()
    loaded = time.perf_counter()
    runner.feed(x)
    fed = time.perf_counter()
    runner.run()
    first = time.perf_counter()
    peak = _status("VmHWM") - before
    steady = [_timed(runner, 0, 1) for _ in range(_STEADY_RUNS)]
    return {
        "import_ms": 1e3 * (imported - start),
        "load_ms": 1e3 * (loaded - imported),
        "first_ms": 1e3 * (first - fed),
        "steady_ms": 1e3 * float(np.median(steady)),
        "peak_rss_mb": peak / 1e3,
    }


def _status(key: str) -> float:
    """A size of this process in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1])
    raise KeyError(key)


if __name__ == "__main__":
    main()
