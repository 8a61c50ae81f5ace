"""Sparse products of s8 beside whit's own dense ones, on each instruction set of this machine: kernel_bench."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER = (
    "| instructions | n = k, pixels | zeros | dense, ms | sparse, ms | times as fast | kernel |\n"
    "|---|---|---|--:|--:|--:|---|"
)


def rows(program: Path) -> Iterator[dict[str, Any]]:
    """The fastest sparse kernel of each instruction set beside the dense one, for each shape and pattern.

    Raises:
        ValueError: the program does not run.
    """
    try:
        done = subprocess.run([program, "--filter", "spmm_s8", "--json"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        raise ValueError(f"{program}: {problem}") from problem
    cases: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for result in json.loads(done.stdout)["results"]:
        kinds = cases.setdefault((result["shape"], result["isa"]), {})
        kind = "dense" if result["kernel"].startswith("gemm_s8") else "sparse"
        if kind not in kinds or result["median_ms"] < kinds[kind]["median_ms"]:
            kinds[kind] = result
    for (shape, isa), kinds in cases.items():
        if len(kinds) < 2:
            continue
        pixels, size, pattern = re.fullmatch(r"(\d+)x(\d+)x\d+ (.*)", shape).groups()  # type: ignore[union-attr]
        yield {
            "isa": isa,
            "n": int(size),
            "pixels": int(pixels),
            "zeros": pattern,
            "dense, ms": kinds["dense"]["median_ms"],
            "sparse, ms": kinds["sparse"]["median_ms"],
            "kernel": kinds["sparse"]["kernel"],
        }


def line(row: dict[str, Any]) -> str:
    """A row of the table in Markdown."""
    dense, sparse = row["dense, ms"], row["sparse, ms"]
    cells = [row["isa"], f"{row['n']}, {row['pixels']}", row["zeros"], f"{dense:.4f}", f"{sparse:.4f}"]
    return f"| {' | '.join(cells)} | {dense / sparse:.2f} | {row['kernel']} |"
