"""What products with weights of 4 to 1 bits cost on ARM, beside those of s8 with the same weights.

    python -m bench.arm.w4 BUILD_DIR [--work DIR] [--shapes 1x1000x1280 196x512x512] [--cpus cortex-a72 ...]

BUILD_DIR is a static build of `run_w4` for the cores (-DWHIT_BUILD_BENCH=ON, -DCMAKE_EXE_LINKER_FLAGS=-static). Costs
are estimated as docs/ARM.md says for whole networks: without caches and memory, which fewer bytes a weight are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.arm import products
from bench.arm.cpus import CPUS

#: The tile of gemm_s8 and gemm_w4 on a core, the level of the kernels for groups, and gemm_w1's if there is one.
KERNELS = {
    "cortex-a53": ("4x16k2_neon", "neon", "1x32k8_neon"),
    "cortex-a72": ("4x16k2_neon", "neon", "1x32k8_neon"),
    "cortex-a76": ("4x16k4_neondot", "neondot", "1x32k8_neon"),
    "i8mm": ("4x16k8_i8mm", "i8mm", "1x32k8_neon"),
    "armv7": ("4x4k16_neon32", "neon32", ""),
}
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


def rows(build: Path, work: Path, shapes: Sequence[str], cpus: Sequence[str]) -> Iterator[Row]:
    """A row for each core, shape and kind of weights."""
    bench = products.Bench(build, "run_w4", work)
    for cpu in (CPUS[name] for name in cpus):
        tile, level, two_values = KERNELS[cpu.name]
        kinds = [
            ("w4", f"gemm_s8w4s32_{tile}", "w4"),
            ("palette", f"gemm_s8w4s32_{tile}", "palette"),
            ("w2", f"gemm_s8w2s32_{tile}", "w2"),
            ("w4, groups of 32", f"gemm_s8w4f32_grouped_{level}", "w4"),
        ]
        if two_values:
            kinds.append(("w1", f"gemm_s8w1s32_{two_values}", "w1"))
        for shape in shapes:
            sizes = shape.split("x")
            dense = bench.cost(cpu, f"gemm_s8s8s32_{tile}", *sizes, "w4")
            for weights, kernel, kind in kinds:
                coded = bench.cost(cpu, kernel, *sizes, kind)
                yield Row(cpu.name, shape, weights, dense, coded, products.unit(cpu))


def main() -> None:
    """Prints the table."""
    parser = products.parser("Costs of products with weights of 4 to 1 bits on ARM.", KERNELS)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES))
    options = parser.parse_args()
    products.print_table(HEADER, lambda work: rows(options.build, work, options.shapes, options.cpus), options.work)


if __name__ == "__main__":
    main()
