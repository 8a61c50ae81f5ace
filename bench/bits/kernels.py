"""gemm_b1 and gemm_w4 on each instruction set of this machine, beside its peak and whit's own s8: kernel_bench."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench import kernel_results
from bench.bits.rows import judge
from bench.compression.table import Row

FAMILIES = ("gemm_b1", "gemm_w4")
#: Shapes as kernel_bench names them, of bits and of codes, with what tables call them.
CONVOLUTIONS = ("56x56x64 to 64", "28x28x128 to 128", "14x14x256 to 256", "7x7x512 to 512")
ROW = "1x4096x4096"
BITS = {f"3x3 {shape}": f"3x3 {shape.split()[0]}" for shape in CONVOLUTIONS} | {
    "1x1000x1024": "1x1000x1024",
    ROW: ROW,
}
CODES = ("4 bits", "palette of 16", "2 bits", "1 bit", "4 bits, groups of 32")
CODE_SHAPES = (ROW, "1x1000x1280", "196x512x512", "784x128x128")
#: A loop that XORs, counts and adds each word by itself; others count for two.
_PLAIN = re.compile(r"peak_(xor|v?eor)_")
#: From the least to the most of each architecture; a level has the s8 kernels of those below it.
_LEVELS = ("scalar", "neon32", "neon", "neondot", "i8mm", "avx2", "avxvnni", "avx512vnni", "avx512icl", "amx")


def measure(program: Path) -> dict[str, Any]:
    """What kernel_bench says of both families.

    Raises:
        ValueError: it does not run.
    """
    content: dict[str, Any] = {}
    for family in FAMILIES:
        found = kernel_results.measure(program, "--filter", f"{family} ")
        content = found | {"results": [*content.get("results", []), *found["results"]]}
    return content


def judged(content: dict[str, Any]) -> list[Row]:
    """Per cent of the popcount peak, and 4-bit weights beside s8 ones where memory limits both."""
    shares, of_plain = {}, []
    plain = {peak["isa"]: peak["gops"] for peak in content["peaks"] if _PLAIN.match(peak["name"])}
    for shape in CONVOLUTIONS:
        counting = [line for line in _lines(content, "gemm_b1", f"3x3 {shape}") if line["kernel"].startswith("gemm_b1")]
        # AMX multiplies bits as s8.
        if best := max((line for line in counting if line["isa"] != "amx"), key=_level, default=None):
            shares[shape.split()[0]] = best["percent_of_peak"]
            of_plain.append(100 * best["gops"] / plain[best["isa"]])
    what = "gemm_b1, 3x3 convolutions: per cent of the popcount peak"
    peak = judge("b1_peak", what, shares, 70, 90)
    if of_plain:
        peak.reached += f"; of the loop of a popcount a word: from {min(of_plain):.3g}"
    w4 = {isa: each for isa, each in times_as_fast(content, "gemm_w4", f"{ROW} 4 bits").items() if isa != "scalar"}
    return [peak, judge("w4_x86", f"4-bit weights, {ROW}, beside own s8: times as fast", w4, 1.6, 1.9)]


def times_as_fast(content: dict[str, Any], family: str, shape: str) -> dict[str, float]:
    """level -> the time of s8 over that of its best kernel for these weights, without levels that have none.

    Groups of 32 give f32 and are in no group of s8 kernels: they are compared with s8 of the shape without.
    """
    lines = _lines(content, family, shape)
    dense = [line for line in [*lines, *_lines(content, family, shape.partition(",")[0])] if _is_s8(line)]
    ratios: dict[str, float] = {}
    for line in lines:
        others = [each["median_ms"] for each in dense if _level(each) <= _level(line)]
        if not _is_s8(line) and others:
            ratios[line["isa"]] = max(ratios.get(line["isa"], 0), min(others) / line["median_ms"])
    return dict(sorted(ratios.items(), key=lambda item: _LEVELS.index(item[0])))


def markdown(content: dict[str, Any]) -> str:
    """Times as fast as s8 on the same level: a column for each level."""
    tables = [_table(content, "gemm_b1", "bits", [(shape, name) for shape, name in BITS.items()])]
    for kind in CODES:
        tables.append(_table(content, "gemm_w4", kind, [(f"{shape} {kind}", shape) for shape in CODE_SHAPES]))
    return "\n\n".join(filter(None, tables))


def _table(content: dict[str, Any], family: str, title: str, shapes: list[tuple[str, str]]) -> str:
    found = {name: times_as_fast(content, family, shape) for shape, name in shapes}
    levels = [level for level in _LEVELS if any(level in row for row in found.values())]
    lines = [f"| {title} | {' | '.join(levels)} |", f"|---|{'--:|' * len(levels)}"]
    for name, row in found.items():
        if row:
            lines.append(f"| {name} | {' | '.join(f'{row[level]:.2f}' if level in row else '-' for level in levels)} |")
    return "\n".join(lines) if levels else ""


def _is_s8(line: dict[str, Any]) -> bool:
    return bool(line["kernel"].startswith("gemm_s8s8s32"))


def _level(line: dict[str, Any]) -> int:
    return _LEVELS.index(line["isa"])


def _lines(content: dict[str, Any], family: str, shape: str) -> list[dict[str, Any]]:
    return [each for each in content["results"] if (each["family"], each["shape"]) == (family, shape)]
