"""What products of bits cost on ARM, beside those of s8 on the same values.

    python -m bench.arm.b1 BUILD_DIR [--work DIR] [--shapes 784x128x128x9 196x512x512x1] [--cpus cortex-a72 ...]

A shape is m x n x k x taps; 9 taps are a 3x3 convolution. BUILD_DIR is a static build of `run_b1` for the cores
(-DWHIT_BUILD_BENCH=ON, -DCMAKE_EXE_LINKER_FLAGS=-static). Costs are estimated as docs/ARM.md says for whole networks.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from bench.arm import costs, traces
from bench.arm.cpus import CPUS, Cpu

#: The kernels of gemm_s8 and of gemm_b1 on a core.
KERNELS = {
    "cortex-a53": ("4x16k2_neon", "4x16k128_neon"),
    "cortex-a72": ("4x16k2_neon", "4x16k128_neon"),
    "cortex-a76": ("4x16k4_neondot", "4x16k128_neon"),
    "i8mm": ("4x16k8_i8mm", "4x16k128_neon"),
    "armv7": ("4x4k16_neon32", "2x16k128_neon32"),
}
CORES = ("cortex-a53", "cortex-a72", "cortex-a76")
SHAPES = ("3136x64x64x9", "784x128x128x9", "196x256x256x9", "196x512x512x1", "1x1000x1024x1")
HEADER = "| core | m x n x k x taps | s8 | b1 | times less | products | unit |\n|---|---|--:|--:|--:|--:|---|"


@dataclass(frozen=True)
class Row:
    """What a product of s8 and one of bits cost."""

    core: str
    shape: str
    s8: float
    b1: float
    unit: str

    def __str__(self) -> str:
        each = prod(map(int, self.shape.split("x"))) / self.b1
        cells = [self.core, self.shape, f"{self.s8 / 1e3:.0f}", f"{self.b1 / 1e3:.0f}", f"{self.s8 / self.b1:.2f}"]
        return f"| {' | '.join([*cells, f'{each:.0f} each', f'k {self.unit}'])} |"


class Bench:
    """Runs products under the counting emulator."""

    def __init__(self, build: Path, work: Path) -> None:
        self.program = build / "bench/arm/run_b1"
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        self.plugin = traces.build_plugin(work)

    def cost(self, cpu: Cpu, kernel: str, shape: str) -> float:
        trace = self.work / f"{cpu.name}_{kernel}_{shape}"
        traces.run([str(self.program), kernel, *shape.split("x")], cpu, self.plugin, trace, None, {})
        blocks = traces.read(trace)
        return costs.measure(traces.joined(blocks) if cpu.architecture == "arm64" else blocks, cpu, self.work).cost


def rows(build: Path, work: Path, shapes: Sequence[str], cpus: Sequence[str]) -> Iterator[Row]:
    """A row for each core and shape."""
    bench = Bench(build, work)
    for cpu in (CPUS[name] for name in cpus):
        s8, b1 = KERNELS[cpu.name]
        for shape in shapes:
            dense = bench.cost(cpu, f"gemm_s8s8s32_{s8}", shape)
            yield Row(cpu.name, shape, dense, bench.cost(cpu, f"gemm_b1b1s32_{b1}", shape), cpu.cost)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Costs of products of bits on ARM.")
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
