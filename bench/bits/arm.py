"""Products of bits and of codes beside those of s8 on ARM cores: bench/arm/b1.py and w4.py, and what memory adds.

Counted costs leave memory out, which fewer bytes a weight are for. One row of inputs reads every weight once, so its
time is at least that of reading them: an estimate is the longer of the counted cycles and of bytes / bytes a cycle.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

from bench.arm import b1, w4
from bench.arm.cpus import CPUS
from bench.arm.products import CORES, Bench
from bench.bits import convolutions
from bench.bits.convolutions import Bits
from bench.bits.rows import judge
from bench.compression.table import Row
from bench.contenders.whit import Whit
from bench.files import Files

CONVOLUTIONS = ("3136x64x64x9", "784x128x128x9", "196x256x256x9", "49x512x512x9")
BITS = (*CONVOLUTIONS, "1x1000x1024x1")
ROW = "1x4096x4096"
CODES = (ROW, "1x1000x1280", "196x512x512")
#: Bytes that a core reads from memory in a cycle. Raspberry Pi 4: what STREAM copies, 5.6 GB/s at 1.8 GHz. 5: all that
#: its memory has, 17 GB/s at 2.4 GHz, which no core reaches.
BYTES_A_CYCLE = {"cortex-a72": 3.1, "cortex-a76": 7.1}
#: Of a weight.
BYTES = {"s8": 1.0, "w4": 0.5, "palette": 0.5, "w2": 0.25, "w1": 0.125, "w4, groups of 32": 0.5625}


def measure(build: Path, build32: Path | None, models: Path, work: Path) -> dict[str, Any]:
    """What run_b1, run_w4 and the layers of convolutions.py cost; `build32` is the build for 32-bit ARM, `models` where
    models are kept.

    Raises:
        bench.arm.traces.RunError: they do not run.
    """
    content: dict[str, Any] = {"b1": [], "w4": [], "layers": list(_shown(_layers(build, models, work)))}
    for folder, cpus in ((build, (*CORES, "i8mm")), (build32, ("armv7",))):
        if folder:
            content["b1"] += map(asdict, _shown(b1.rows(folder, work, BITS, cpus)))
            content["w4"] += map(asdict, _shown(w4.rows(folder, work, CODES, cpus)))
    return content


def _layers(build: Path, models: Path, work: Path) -> Iterator[dict[str, Any]]:
    """Whole convolutions in the engine: of s8 as it likes best, and of bits, which are packed from s8."""
    bench = Bench(build, "run_whit", work)
    for cpu in (CPUS[name] for name in CORES):
        for shape, case in zip(CONVOLUTIONS, convolutions.cases(), strict=True):
            files = Files(case, models)
            costs = {
                name: bench.cost(cpu, prepared.paths[0])
                for name, prepared in (("s8", Whit().prepare(files, "qdq")), ("b1", Bits().prepare(files, "b1")))
                if prepared
            }
            yield {"core": cpu.name, "shape": shape, **costs}


def judged(content: dict[str, Any]) -> list[Row]:
    """Bits on the A72, and 4-bit weights of one row on both cores with their boards' memory."""
    bits = {
        row["shape"]: row["s8"] / row["b1"]
        for row in content["b1"]
        if row["core"] == "cortex-a72" and row["shape"] in CONVOLUTIONS
    }
    codes = {
        core: with_memory(row, BYTES_A_CYCLE[core])
        for core in BYTES_A_CYCLE
        for row in content["w4"]
        if (row["core"], row["shape"], row["weights"]) == (core, ROW, "w4")
    }
    a72 = "bits beside own s8, 3x3 convolutions, Cortex-A72 (counted and modelled): times less"
    row = f"4-bit weights, {ROW}, beside own s8, ARM (counted, and with memory): times less"
    found = judge("b1_a72", a72, bits, 5, 8)
    layers = [row["s8"] / row["b1"] for row in content["layers"] if row["core"] == "cortex-a72"]
    if layers:
        found.reached += f"; whole layers, s8 by Winograd's transforms where these suit: from {min(layers):.3g}"
    return [found, judge("w4_arm", row, codes, 1.6, 1.9)]


def with_memory(row: dict[str, Any], bytes_a_cycle: float) -> float:
    """s8 over codes, each limited by its weights' way from memory too."""
    weights = prod(map(int, row["shape"].split("x")[1:]))

    def cycles(counted: float, of_a_weight: float) -> float:
        return max(counted, weights * of_a_weight / bytes_a_cycle)

    return cycles(row["dense"], BYTES["s8"]) / cycles(row["coded"], BYTES[row["weights"]])


def markdown(content: dict[str, Any]) -> str:
    """Times less than s8, a column for each core; at last one row of inputs with memory."""
    tables = [
        _table("bits", content["b1"], lambda row: row["s8"] / row["b1"]),
        _table("bits, whole layers", content["layers"], lambda row: row["s8"] / row["b1"]),
    ]
    for weights in (kind for kind in BYTES if kind != "s8"):
        rows = [row for row in content["w4"] if row["weights"] == weights]
        tables.append(_table(weights, rows, lambda row: row["dense"] / row["coded"]))
    boards = [row for row in content["w4"] if row["core"] in BYTES_A_CYCLE and row["shape"] == ROW]
    named = [row | {"shape": row["weights"]} for row in boards]
    by_kind = {(row["core"], row["weights"]): with_memory(row, BYTES_A_CYCLE[row["core"]]) for row in boards}
    tables.append(_table(f"{ROW} with memory", named, lambda row: by_kind[row["core"], row["shape"]]))
    return "\n\n".join(tables)


def _table(title: str, rows: list[dict[str, Any]], value: Any) -> str:
    cores, shapes = dict.fromkeys(row["core"] for row in rows), dict.fromkeys(row["shape"] for row in rows)
    lines = [f"| {title} | {' | '.join(cores)} |", f"|---|{'--:|' * len(cores)}"]
    for shape in shapes:
        found = {row["core"]: value(row) for row in rows if row["shape"] == shape}
        cells = [f"{found[core]:.2f}" if core in found else "-" for core in cores]
        lines.append(f"| {shape} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(rows: Iterator[Any]) -> Iterator[Any]:
    for row in rows:
        print(row, file=sys.stderr)
        yield row
