"""Where a run spends its cost: by symbol where the program has symbols, else by file."""

from __future__ import annotations

import bisect
import functools
import subprocess
from collections import Counter
from pathlib import Path

from bench.arm.costs import BlockCost, Costs
from bench.arm.disassembly import LLVM


def table(costs: Costs, rows: int) -> str:
    """The dearest symbols: share of the cost, millions of cost and of instructions, name.

    For a symbol with multiplications, also those of its hottest block: s8 MAC per unit of cost.
    """
    cost: Counter[str] = Counter()
    instructions: Counter[str] = Counter()
    hottest: dict[str, BlockCost] = {}
    for one in costs.per_block:
        name = _symbol(one.block.file, one.block.address)
        cost[name] += round(one.cost)
        instructions[name] += one.block.executed
        if name not in hottest or one.cost > hottest[name].cost:
            hottest[name] = one
    lines = []
    for name, value in cost.most_common(rows):
        executed = f"{instructions[name] / 1e6:8.2f} M instructions"
        inner = f"{hottest[name].macs_per_cost:6.2f} MAC" if hottest[name].macs else " " * 10
        lines.append(f"    {100 * value / costs.cost:5.1f} % {value / 1e6:8.2f} M {executed} {inner}  {name}")
    return "\n".join(lines)


def _symbol(file: str, address: int) -> str:
    """The symbol at a guest address of a static program, which is loaded where it was linked."""
    starts, names = _symbols(file)
    index = bisect.bisect_right(starts, address) - 1
    return names[index] if index >= 0 else Path(file).name


@functools.cache
def _symbols(file: str) -> tuple[list[int], list[str]]:
    """Addresses and names of the functions of a static program; nothing for shared libraries and other files."""
    path = Path(file)
    if not path.is_file() or path.read_bytes()[:18][16:18] != b"\x02\x00":  # ET_EXEC
        return [], []
    call = [f"llvm-nm-{LLVM}", "--demangle", "--defined-only", "--numeric-sort", str(path)]
    found = []
    for line in subprocess.run(call, capture_output=True, text=True, check=True).stdout.splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTwWi" and not name.startswith("$"):
            found.append((int(address, 16) & ~1, name))
    return [address for address, _ in found], [name for _, name in found]
