"""What products with weights of 4 and 2 bits cost on ARM, beside those of s8 with the same weights.

    python -m bench.arm.w4 BUILD_DIR [--work DIR] [--shapes 1x1000x1280 196x512x512] [--cpus cortex-a72 ...]

BUILD_DIR is a static aarch64 build of `run_w4` (-DWHIT_BUILD_BENCH=ON, -DCMAKE_EXE_LINKER_FLAGS=-static). Costs are
estimated as docs/ARM.md says for whole networks: without caches and memory, which fewer bytes a weight are for.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.arm import costs, traces
from bench.arm.cpus import CPUS, CYCLES, Cpu

#: What gemm_s8, gemm_w4 and the kernels for groups are called on a core.
KERNELS = {
    "cortex-a53": ("4x16k2_neon", "neon"),
    "cortex-a72": ("4x16k2_neon", "neon"),
    "cortex-a76": ("4x16k4_neondot", "neondot"),
    "i8mm": ("4x16k8_i8mm", "i8mm"),
}
CORES = ("cortex-a53", "cortex-a72", "cortex-a76")
SHAPES = ("1x1000x1280", "1x4096x4096", "196x512x512")
HEADER = "| core | m x n x k | weights | s8 | coded | times less | unit |\n|---|---|---|--:|--:|--:|---|"


@dataclass(frozen=True)
class Row:
    """What a product of s8 and one of codes cost."""

    core: str
    shape: str
    weights: str
    dense: float
    coded: float
    unit: str

    def __str__(self) -> str:
        cells = [self.core, self.shape, self.weights, f"{self.dense / 1e3:.0f}", f"{self.coded / 1e3:.0f}"]
        return f"| {' | '.join([*cells, f'{self.dense / self.coded:.2f}', f'k {self.unit}'])} |"


class Bench:
    """Runs products under the counting emulator."""

    def __init__(self, build: Path, work: Path) -> None:
        self.program = build / "bench/arm/run_w4"
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        self.plugin = traces.build_plugin(work)

    def cost(self, cpu: Cpu, kernel: str, shape: str, weights: str) -> float:
        trace = self.work / f"{cpu.name}_{kernel}_{shape}_{weights}"
        command = [str(self.program), kernel, *shape.split("x"), weights]
        traces.run(command, cpu, self.plugin, trace, None, {})
        return costs.measure(traces.joined(traces.read(trace)), cpu, self.work).cost


def rows(build: Path, work: Path, shapes: Sequence[str], cpus: Sequence[str]) -> Iterator[Row]:
    """A row for each core, shape and kind of weights."""
    bench = Bench(build, work)
    for cpu in (CPUS[name] for name in cpus):
        tile, level = KERNELS[cpu.name]
        for shape in shapes:
            dense = bench.cost(cpu, f"gemm_s8s8s32_{tile}", shape, "w4")
            unit = "cycles" if cpu.cost == CYCLES else "issue slots"
            for weights in ("w4", "palette", "w2"):
                family = "w2" if weights == "w2" else "w4"
                coded = bench.cost(cpu, f"gemm_s8{family}s32_{tile}", shape, weights)
                yield Row(cpu.name, shape, weights, dense, coded, unit)
            coded = bench.cost(cpu, f"gemm_s8w4f32_grouped_{level}", shape, "w4")
            yield Row(cpu.name, shape, "w4, groups of 32", dense, coded, unit)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Costs of products with weights of 4 and 2 bits on ARM.")
    parser.add_argument("build", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES))
    parser.add_argument("--cpus", nargs="+", choices=KERNELS, default=list(CORES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(HEADER)
        for row in rows(options.build, options.work or Path(folder), options.shapes, options.cpus):
            print(row, flush=True)


if __name__ == "__main__":
    main()
