"""Multiply-accumulates per cycle of the innermost loops of gemm_s8, as llvm-mca models them.

    python bench/arm/inner_loops.py BUILD_DIR [--objdump aarch64-linux-gnu-objdump] [--mca llvm-mca-19]

BUILD_DIR is an aarch64 build of whit (Release). Every loop whose body multiplies is taken from the disassembly of the
kernels' object files; printed is the best loop of the full tile of each kernel on the CPU that it is meant for. Caches
are not modelled. Exits with 1 if a kernel is below its floor.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MACS = {"smull": 8, "smull2": 8, "smlal": 8, "smlal2": 8, "sdot": 16, "smmla": 32}
ITERATIONS = 100


@dataclass(frozen=True)
class Level:
    """A kernel file, the CPU model to judge it by, and the least MAC per cycle."""

    name: str
    cpu: str
    floor: float


LEVELS = (
    Level("neon", "cortex-a72", 7.5),
    Level("neondot", "neoverse-n1", 30.0),
    Level("i8mm", "neoverse-n2", 60.0),
)


def loops(objdump: str, path: Path) -> list[list[str]]:
    """Bodies of the loops that consist of one basic block, as assembly without addresses."""
    text = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", str(path)], check=True, capture_output=True, text=True
    ).stdout
    code: list[tuple[int, str]] = []
    bodies = []
    for line in text.splitlines():
        match = re.match(r"\s*([0-9a-f]+):\s+(.+)", line)
        if not match:
            continue
        address, instruction = int(match[1], 16), re.sub(r"\s*(//|<).*", "", match[2])
        branch = re.match(r"(?:b\.\w+|cbn?z\s+\w+,|tbn?z\s+\w+, #\d+,)\s+([0-9a-f]+)$", instruction)
        if branch:
            begin = next((i for i, (at, _) in enumerate(code) if at == int(branch[1], 16)), None)
            if begin is not None:
                bodies.append([text for _, text in code[begin:]])
        if re.match(r"(b|b\.\w+|bl|br|ret|cbn?z|tbn?z)\b", instruction):
            code.clear()  # no block goes on after a branch
        else:
            code.append((address, instruction))
    return bodies


def macs(body: list[str]) -> int:
    """Products that one pass through a loop makes."""
    return sum(MACS.get(instruction.split()[0], 0) for instruction in body)


def cycles(mca: str, cpu: str, body: list[str]) -> float:
    """Cycles of one pass through a loop, in the steady state."""
    # Models charge the update of an address to the load beside it; the loop's other additions stand for it.
    plain = [re.sub(r"(\[\w+\]), #-?\d+$", r"\1", re.sub(r"\]!$", "]", line)) for line in body]
    result = subprocess.run(
        [mca, "-mtriple=aarch64", f"-mcpu={cpu}", "-mattr=+dotprod,+i8mm", f"-iterations={ITERATIONS}"],
        check=True,
        input="\n".join(plain) + "\n",
        capture_output=True,
        text=True,
    ).stdout
    match = re.search(r"Total Cycles:\s+(\d+)", result)
    if not match:
        raise RuntimeError(f"no cycle count in the output of {mca}")
    return int(match[1]) / ITERATIONS


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="MAC per cycle of gemm_s8's inner loops, by llvm-mca.")
    parser.add_argument("build", type=Path)
    parser.add_argument("--objdump", default="aarch64-linux-gnu-objdump")
    parser.add_argument("--mca", default="llvm-mca-19")
    options = parser.parse_args()
    failed = False
    print(f"{'kernel':10} {'CPU model':12} {'MAC':>5} {'instructions':>12} {'cycles':>8} {'MAC/cycle':>9}")
    for level in LEVELS:
        files = sorted(options.build.rglob(f"gemm_s8/{level.name}.cc.o"))
        if not files:
            print(f"{level.name}: no object file under {options.build}", file=sys.stderr)
            return 2
        bodies = loops(options.objdump, files[0])
        most = max(macs(body) for body in bodies)
        rows = [
            (macs(body) / (c := cycles(options.mca, level.cpu, body)), body, c) for body in bodies if macs(body) == most
        ]
        rate, body, taken = max(rows, key=lambda row: row[0])
        failed |= rate < level.floor
        print(f"{level.name:10} {level.cpu:12} {most:5} {len(body):12} {taken:8.2f} {rate:9.2f}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
