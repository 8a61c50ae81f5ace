"""Runs the suite on this machine."""

from __future__ import annotations

import datetime
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from whit import _core
from whit.dtypes import NUMPY_DTYPES
from whit.format import write
from whit.model import Model, Session, load
from whit.progress import ProgressCallback
from whit.suite.cases import Case
from whit.suite.results import Result, Skipped, SuiteResults
from whit.version import __version__

__all__ = ["Machine", "available_bytes", "run_suite", "thread_counts"]

Array = np.ndarray[Any, np.dtype[Any]]

#: A case whose 90th percentile is this much above its median shared the CPU with something else.
_NOISY = 1.5
#: A sample lasts at least so long, so that reading the clock does not count: several inferences of a small graph.
_SAMPLE_S = 1e-4
_FEWEST_SAMPLES, _MOST_SAMPLES = 3, 500
#: Sampling of one case on one number of threads takes that long, or _FEWEST_SAMPLES; by whether the suite is short.
_BUDGET_S = {False: 0.5, True: 0.15}


class Machine(Protocol):
    """What is asked of the system; the module `whit.cli.system` is one."""

    def cpu_name(self) -> str:
        """The CPU's name."""

    def state(self) -> dict[str, Any]:
        """Clock, temperature, throttling now."""

    def disturbances(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """Why a measurement between two states must not be trusted."""


def thread_counts(cpus: int) -> list[int]:
    """1, 2, 4, ... and all."""
    return sorted({*(1 << i for i in range(cpus.bit_length()) if 1 << i <= cpus), cpus})


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Memory that programs can still have; None if the system does not tell."""
    try:
        lines = meminfo.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def run_suite(
    cases: Sequence[Case],
    threads: Sequence[int],
    machine: Machine,
    *,
    quick: bool = False,
    progress: ProgressCallback | None = None,
    memory: Callable[[], int | None] = available_bytes,
) -> SuiteResults:
    """Runs every case on each number of threads.

    An interruption (Ctrl-C) ends it early: the results are then those measured until then, `complete` is false.

    Args:
        cases: what to run, in this order.
        threads: numbers of threads.
        machine: says whether the machine was disturbed.
        quick: shorter samples.
        progress: called with (label, done, total) before every measurement and at the end.
        memory: says how much memory there is.
    """
    cpu = _core.cpu()
    before = machine.state()
    suite = SuiteResults(
        whit=__version__,
        cpu=machine.cpu_name(),
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        numpy=np.__version__,
        isa=cpu["isa"],
        cpus=cpu["default_threads"],
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        quick=quick,
        before=before,
    )
    start = time.perf_counter()
    total = len(cases) * len(threads)
    done = 0
    try:
        for case in cases:
            report = _reporter(progress, case, done, total)
            _run_case(suite, case, threads, machine, _BUDGET_S[quick], memory, report)
            done += len(threads)
        suite.complete = True
    except KeyboardInterrupt:
        pass
    if progress is not None:
        progress("", total, total)
    suite.seconds = round(time.perf_counter() - start, 1)
    suite.after = machine.state()
    suite.problems = machine.disturbances(before, suite.after)
    suite.valid = not suite.problems and all(result.valid for result in suite.results)
    return suite


def _reporter(progress: ProgressCallback | None, case: Case, done: int, total: int) -> Callable[[int, int], None]:
    def report(index: int, threads: int) -> None:
        if progress is not None:
            what = f"{threads} thread{'s' * (threads != 1)}" if threads else "building"
            progress(f"{case.name} {case.dtype}, {what}", done + index, total)

    return report


def _run_case(
    suite: SuiteResults,
    case: Case,
    threads: Sequence[int],
    machine: Machine,
    budget_s: float,
    memory: Callable[[], int | None],
    report: Callable[[int, int], None],
) -> None:
    there = memory()
    if there is not None and there < case.memory_bytes:
        reason = f"needs about {case.memory_bytes / 1e6:.0f} MB of memory, {there / 1e6:.0f} MB are available"
        suite.skipped.append(Skipped(case.name, case.dtype, reason))
        return
    try:
        report(0, 0)
        model, macs = _load(case, threads[0])
        with model:
            feeds = _feeds(model)
            for index, count in enumerate(threads):
                report(index, count)
                before = machine.state()
                result = _measure(case, model.session(count), feeds, macs, budget_s)
                problems = [*result.problems, *machine.disturbances(before, machine.state())]
                suite.results.append(Result(**{**vars(result), "valid": not problems, "problems": problems}))
    except MemoryError:
        suite.skipped.append(Skipped(case.name, case.dtype, "out of memory"))


def _load(case: Case, threads: int) -> tuple[Model, int]:
    builder = case.graph()
    return load(write(builder.graph), threads), builder.macs


def _feeds(model: Model) -> dict[str, Array]:
    random = np.random.default_rng(1)
    feeds: dict[str, Array] = {}
    for info in model.inputs:
        values = random.standard_normal(info.shape, dtype=np.float32)  # type: ignore[arg-type]  # all sizes are fixed
        feeds[info.name] = values if info.dtype == "f32" else (values * 32).clip(-128, 127).astype(NUMPY_DTYPES["s8"])
    return feeds


def _measure(case: Case, session: Session, feeds: dict[str, Array], macs: int, budget_s: float) -> Result:
    clock, run = time.perf_counter, session.run
    start = clock()
    out = run(feeds)
    first = clock() - start
    start = clock()
    run(feeds, out=out)
    once = clock() - start
    inferences = max(1, round(_SAMPLE_S / max(once, 1e-7)))
    samples: list[float] = []
    end = clock() + budget_s
    while len(samples) < _FEWEST_SAMPLES or (clock() < end and len(samples) < _MOST_SAMPLES):
        start = clock()
        for _ in range(inferences):
            run(feeds, out=out)
        samples.append((clock() - start) / inferences)
    median, high = (float(value) for value in np.percentile(samples, (50, 90)))
    noisy = f"unsteady: the 90th percentile is {high / median:.1f} times the median"
    problems = [noisy] if high > _NOISY * median else []
    nodes = session.kernels()
    return Result(
        name=case.name,
        group=case.group,
        dtype=case.dtype,
        threads=session.threads,
        kernels=list(dict.fromkeys(node["kernel"] for node in nodes if node["kernel"] != "view")),
        count=len(samples),
        inferences=inferences,
        first_ms=first * 1e3,
        median_ms=median * 1e3,
        min_ms=min(samples) * 1e3,
        max_ms=max(samples) * 1e3,
        gops=2 * macs / median / 1e9 if macs else None,
        gb_s=sum(node["bytes"] for node in nodes) / median / 1e9,
        valid=not problems,
        problems=problems,
    )
