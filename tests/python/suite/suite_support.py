"""A result of the suite as it could come from a board."""

from __future__ import annotations

from whit.suite.results import Result, SuiteResults

QUIET = {
    "governor": "performance",
    "frequency_mhz": 1500,
    "temperature_c": 50.0,
    "throttle_events": 0,
    "firmware_flags": 0,
    "load_1m": 0.1,
}


class QuietMachine:
    """Never disturbed."""

    def cpu_name(self) -> str:
        return "Cortex-A72"

    def state(self):
        return dict(QUIET)

    def disturbances(self, before, after):
        return []


class HotMachine(QuietMachine):
    def disturbances(self, before, after):
        return ["hot"]


def result(name="mobilenet_v1", dtype="s8", threads=1, ms=10.0, group="network", **changes) -> Result:
    values = {
        "name": name,
        "group": group,
        "dtype": dtype,
        "threads": threads,
        "kernels": ["gemm_s8s8s32_4x16k4_neondot"],
        "count": 5,
        "inferences": 1,
        "first_ms": 2 * ms,
        "median_ms": ms,
        "min_ms": ms / 2,
        "max_ms": 2 * ms,
        "gops": 1138 / ms,
        "gb_s": 3.0,
        "valid": True,
        "problems": [],
    }
    return Result(**{**values, **changes})


def suite(*results: Result, cpu: str = "Cortex-A72") -> SuiteResults:
    return SuiteResults(
        whit="0.1.0",
        cpu=cpu,
        machine="aarch64",
        system="Linux 6.1",
        python="3.11.2",
        numpy="2.0.0",
        isa="neon",
        cpus=4,
        date="2026-11-22T10:00:00+00:00",
        quick=True,
        before=dict(QUIET),
        after=dict(QUIET),
        seconds=60.0,
        complete=True,
        results=list(results),
    )
