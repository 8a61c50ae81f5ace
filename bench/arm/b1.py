"""What products of bits cost on ARM, beside those of s8 on the same values.

    python -m bench.arm.b1 BUILD_DIR [--work DIR] [--shapes 784x128x128x9 196x512x512x1] [--cpus cortex-a72 ...]

A shape is m x n x k x taps; 9 taps are a 3x3 convolution. BUILD_DIR is a static build of `run_b1` for the cores
(-DWHIT_BUILD_BENCH=ON, -DCMAKE_EXE_LINKER_FLAGS=-static). Costs are estimated as docs/ARM.md says for whole networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from bench.arm import products
from bench.arm.cpus import CPUS

#: The kernels of gemm_s8 and of gemm_b1 on a core.
KERNELS = {
    "cortex-a53": ("4x16k2_neon", "4x16k128_neon"),
    "cortex-a72": ("4x16k2_neon", "4x16k128_neon"),
    "cortex-a76": ("4x16k4_neondot", "4x16k128_neon"),
    "i8mm": ("4x16k8_i8mm", "4x16k128_neon"),
    "armv7": ("4x4k16_neon32", "2x16k128_neon32"),
}
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


def rows(build: Path, work: Path, shapes: Sequence[str], cpus: Sequence[str]) -> Iterator[Row]:
    """A row for each core and shape."""
    bench = products.Bench(build, "run_b1", work)
    for cpu in (CPUS[name] for name in cpus):
        s8, b1 = KERNELS[cpu.name]
        for shape in shapes:
            sizes = shape.split("x")
            dense = bench.cost(cpu, f"gemm_s8s8s32_{s8}", *sizes)
            yield Row(cpu.name, shape, dense, bench.cost(cpu, f"gemm_b1b1s32_{b1}", *sizes), products.unit(cpu))


def main() -> None:
    """Prints the table."""
    parser = products.parser("Costs of products of bits on ARM.", KERNELS)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES))
    options = parser.parse_args()
    products.print_table(HEADER, lambda work: rows(options.build, work, options.shapes, options.cpus), options.work)


if __name__ == "__main__":
    main()
