"""Runs kernel_bench, the C++ program that times every kernel beside the core's peak, and keeps what it says.

The program is pinned to one CPU, the last of those this process may use: others' work tends to begin with the first.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from bench import machine

PROGRAM = machine.ROOT / "build" / "bench" / "bench" / "kernels" / "kernel_bench"


def measure(program: Path, *options: str) -> dict[str, Any]:
    """What the program prints as JSON, with these options.

    Raises:
        ValueError: it is missing, fails, or prints something else; says what to do.
    """
    if not program.exists():
        raise ValueError(
            f"{program} is missing: cmake -S . -B build/bench -DWHIT_BUILD_BENCH=ON && "
            "cmake --build build/bench --target kernel_bench (or --program)"
        )
    last = max(os.sched_getaffinity(0))
    done = subprocess.run(
        [program, "--json", *options],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {last}),
    )
    if done.returncode != 0:
        raise ValueError(f"{program} failed with code {done.returncode}: {done.stderr.strip()[-500:]}")
    try:
        content: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError as problem:
        raise ValueError(f"{program} printed no JSON: {problem}") from problem
    return content


def store(path: Path, content: dict[str, Any], about: dict[str, Any]) -> None:
    """Writes the result with what it was measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about | content, indent=1, allow_nan=False) + "\n")


def lines(content: dict[str, Any]) -> list[str]:
    """The table of the kernels, as Markdown."""
    made = [
        f"Peaks of one core in GOP/s ({content['isa']}): "
        + ", ".join(f"{peak['name'].removeprefix('peak_')} {peak['gops']:.0f}" for peak in content["peaks"])
        + ". It reads, in GB/s: "
        + ", ".join(f"{level['level']} {level['gb_s']:.0f}" for level in content["bandwidths"])
        + ".",
        "",
        "| shape | kernel | ms | GOP/s | of the peak | of the memory's bandwidth |",
        "|---|---|--:|--:|--:|--:|",
    ]
    shown = ("gemm_s8", "gemm_f32", "dwconv_s8", "dwconv_f32")
    return made + [_line(result) for result in content["results"] if result["family"] in shown]


def _line(result: dict[str, Any]) -> str:
    memory = f"{result['percent_of_level']:.0f} % of {result['level']}" if result.get("memory_bound") else ""
    peak = f"{result['percent_of_peak']:.0f} %" if result.get("percent_of_peak") else ""
    cells = [
        f"{result['family']} {result['shape']}",
        f"`{result['kernel']}`",
        f"{result['median_ms']:.3g}",
        f"{result['gops']:.0f}",
        peak,
        memory,
    ]
    return "| " + " | ".join(cells) + " |"
