"""What sparse products of s8 cost on ARM, beside dense ones of the same weights.

    python -m bench.arm.spmm BUILD_DIR [--work DIR] [--sizes 256 512 1024] [--pixels 196] [--cpus cortex-a72 ...]

BUILD_DIR is a static aarch64 build of `run_spmm` (-DWHIT_BUILD_BENCH=ON, -DCMAKE_EXE_LINKER_FLAGS=-static). 90 % of the
weights are zeros. Counted is everything from pixels to pixels: to lines, the product, the epilogue. Costs are estimated
as docs/ARM.md says for whole networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.arm import products
from bench.arm.cpus import CPUS


@dataclass(frozen=True)
class Case:
    """A pattern of the zeros, and the kernels that it is for, by CPU."""

    name: str
    block: tuple[int, int]
    largest: int
    kernels: dict[str, str]


_WITHOUT_DOT, _WITH_DOT = ("cortex-a53", "cortex-a72"), ("cortex-a76", "i8mm")


def _by_cpu(without_dot: str, with_dot: str) -> dict[str, str]:
    return dict.fromkeys(_WITHOUT_DOT, without_dot) | dict.fromkeys(_WITH_DOT, with_dot)


CASES = (
    Case("1x4", (1, 4), 127, _by_cpu("1x4_neon", "1x4_neondot")),
    Case("unstructured", (1, 1), 127, _by_cpu("1x1_neon", "1x1_neondot")),
    Case("unstructured, |w| to 7", (1, 1), 7, dict.fromkeys(_WITHOUT_DOT, "1x1_short_neon")),
    Case("4x1", (4, 1), 127, _by_cpu("4x1_neon", "4x1_neondot")),
)
#: Of one pixel.
COLUMNS = (
    Case("1x4", (1, 4), 127, _by_cpu("1x4_column_neon", "1x4_column_neondot")),
    Case("unstructured", (1, 1), 127, _by_cpu("1x1_column_neon", "1x1_column_neon")),
)
DENSE = {
    "cortex-a53": "4x16k2_neon",
    "cortex-a72": "4x16k2_neon",
    "cortex-a76": "4x16k4_neondot",
    "i8mm": "4x16k8_i8mm",
}

HEADER = "| core | zeros | n = k, pixels | dense | sparse | times less | unit |\n|---|---|---|--:|--:|--:|---|"


@dataclass(frozen=True)
class Row:
    """What a dense and a sparse product cost."""

    core: str
    zeros: str
    size: int
    pixels: int
    dense: float
    sparse: float
    unit: str

    def __str__(self) -> str:
        cells = [self.core, self.zeros, f"{self.size}, {self.pixels}", f"{self.dense / 1e3:.0f}"]
        cells += [f"{self.sparse / 1e3:.0f}", f"{self.dense / self.sparse:.2f}", f"k {self.unit}"]
        return f"| {' | '.join(cells)} |"


def rows(build: Path, work: Path, sizes: Sequence[int], pixels: Sequence[int], cpus: Sequence[str]) -> Iterator[Row]:
    """A row for each core, pattern, size and number of pixels."""
    bench = products.Bench(build, "run_spmm", work)
    for cpu in (CPUS[name] for name in cpus):
        for count in pixels:
            for case in COLUMNS if count == 1 else CASES:
                for size in sizes if cpu.name in case.kernels else []:
                    shape = (size, count, *case.block, case.largest)
                    dense = bench.cost(cpu, f"gemm_s8s8s32_{DENSE[cpu.name]}", *shape)
                    sparse = bench.cost(cpu, f"spmm_s8s8s32_{case.kernels[cpu.name]}", *shape)
                    yield Row(cpu.name, case.name, size, count, dense, sparse, products.unit(cpu))


def main() -> None:
    """Prints the table."""
    parser = products.parser("Costs of sparse products of s8 on ARM, 90 % zeros.", DENSE)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--pixels", type=int, nargs="+", default=[196])
    options = parser.parse_args()
    products.print_table(
        HEADER,
        lambda work: rows(options.build, work, options.sizes, options.pixels, options.cpus),
        options.work,
    )


if __name__ == "__main__":
    main()
