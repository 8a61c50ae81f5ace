"""What sparse products of s8 cost on ARM, beside dense ones of the same weights.

    python -m bench.arm.spmm BUILD_DIR [--work DIR] [--sizes 256 512 1024] [--pixels 196] [--cpus cortex-a72 ...]

BUILD_DIR is a static aarch64 build of `run_spmm` (-DWHIT_BUILD_BENCH=ON, -DCMAKE_EXE_LINKER_FLAGS=-static). 90 % of the
weights are zeros. Counted is everything from pixels to pixels: to lines, the product, the epilogue. Costs are estimated
as docs/ARM.md says for whole networks.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.arm import costs, traces
from bench.arm.cpus import CPUS, CYCLES, Cpu


@dataclass(frozen=True)
class Case:
    """A pattern of the zeros, and the kernels that it is for, by CPU."""

    name: str
    block: tuple[int, int]
    largest: int
    kernels: dict[str, str]


_PAIRS = {"cortex-a53": "1x1_neon", "cortex-a72": "1x1_neon", "cortex-a76": "1x4_neondot", "i8mm": "1x4_neondot"}
_FOURS = {"cortex-a53": "1x4_neon", "cortex-a72": "1x4_neon", "cortex-a76": "1x4_neondot", "i8mm": "1x4_neondot"}
CASES = (
    Case("1x4", (1, 4), 127, _FOURS),
    Case("unstructured", (1, 1), 127, _PAIRS),
    Case("unstructured, |w| to 7", (1, 1), 7, dict.fromkeys(("cortex-a53", "cortex-a72"), "1x1_short_neon")),
    Case("4x1", (4, 1), 127, dict.fromkeys(("cortex-a53", "cortex-a72"), "4x1_neon")),
)
DENSE = {
    "cortex-a53": "4x16k2_neon",
    "cortex-a72": "4x16k2_neon",
    "cortex-a76": "4x16k4_neondot",
    "i8mm": "4x16k8_i8mm",
}


class Bench:
    """Runs products under the counting emulator."""

    def __init__(self, build: Path, work: Path) -> None:
        self.program = build / "bench/arm/run_spmm"
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        self.plugin = traces.build_plugin(work)

    def cost(self, cpu: Cpu, kernel: str, case: Case, size: int, pixels: int) -> costs.Costs:
        trace = self.work / f"{cpu.name}_{kernel}_{size}_{pixels}_{case.block[0]}x{case.block[1]}_{case.largest}"
        shape = (size, pixels, *case.block, case.largest)
        traces.run([str(self.program), kernel, *map(str, shape)], cpu, self.plugin, trace, None, {})
        return costs.measure(traces.joined(traces.read(trace)), cpu, self.work)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Costs of sparse products of s8 on ARM, 90 % zeros.")
    parser.add_argument("build", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--pixels", type=int, nargs="+", default=[196])
    parser.add_argument("--cpus", nargs="+", choices=DENSE, default=["cortex-a53", "cortex-a72", "cortex-a76"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.build, options.work or Path(folder))
        print("| core | zeros | n = k, pixels | dense | sparse | times less | unit |\n|---|---|---|--:|--:|--:|---|")
        for cpu in (CPUS[name] for name in options.cpus):
            unit = "k cycles" if cpu.cost == CYCLES else "k issue slots"
            for case in CASES:
                for size in options.sizes if cpu.name in case.kernels else []:
                    for pixels in options.pixels:
                        dense = bench.cost(cpu, f"gemm_s8s8s32_{DENSE[cpu.name]}", case, size, pixels).cost
                        sparse = bench.cost(cpu, f"spmm_s8s8s32_{case.kernels[cpu.name]}", case, size, pixels).cost
                        row = f"| {cpu.name} | {case.name} | {size}, {pixels} | {dense / 1e3:.0f} | {sparse / 1e3:.0f} "
                        print(f"{row}| {dense / sparse:.2f} | {unit} |", flush=True)


if __name__ == "__main__":
    main()
