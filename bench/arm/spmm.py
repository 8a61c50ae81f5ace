"""What sparse products of s8 and f32 cost on ARM, beside dense ones of the same weights.

    python -m bench.arm.spmm BUILD_DIR [--work DIR] [--sizes 256 512 1024] [--pixels 196] [--cpus cortex-a72 ...]

BUILD_DIR is a static aarch64 build of `run_spmm` (-DWHIT_BUILD_BENCH=ON, -DCMAKE_EXE_LINKER_FLAGS=-static), for
`--cpus armv7`, which has f32 alone, one of armv7. 90 % of the weights are zeros. Counted is everything from pixels to
pixels: to lines, the product, the epilogue. Costs are estimated as docs/ARM.md says for whole networks.
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
    dense: dict[str, str]


_WITHOUT_DOT, _WITH_DOT = ("cortex-a53", "cortex-a72"), ("cortex-a76", "i8mm")
_S8, _F32 = "s8s8s32", "f32"
_DENSE_S8 = {
    "cortex-a53": "4x16k2_neon",
    "cortex-a72": "4x16k2_neon",
    "cortex-a76": "4x16k4_neondot",
    "i8mm": "4x16k8_i8mm",
}


def _kernels(family: str, names: dict[str, str]) -> dict[str, str]:
    return {cpu: f"{family}_{name}" for cpu, name in names.items()}


def _s8(name: str, block: tuple[int, int], without_dot: str, with_dot: str | None, largest: int = 127) -> Case:
    kernels = dict.fromkeys(_WITHOUT_DOT, without_dot)
    if with_dot is not None:
        kernels |= dict.fromkeys(_WITH_DOT, with_dot)
    return Case(name, block, largest, _kernels(f"spmm_{_S8}", kernels), _kernels(f"gemm_{_S8}", _DENSE_S8))


def _f32(name: str, block: tuple[int, int], neon: str, neon32: str) -> Case:
    kernels = dict.fromkeys(products.CORES, f"{neon}_neon") | {"armv7": f"{neon32}_neon32"}
    dense = dict.fromkeys(products.CORES, "8x8_neon") | {"armv7": "6x8_neon32"}
    return Case(f"f32, {name}", block, 127, _kernels(f"spmm_{_F32}", kernels), _kernels(f"gemm_{_F32}", dense))


CASES = (
    _s8("1x4", (1, 4), "1x4_neon", "1x4_neondot"),
    _s8("unstructured", (1, 1), "1x1_neon", "1x1_neondot"),
    _s8("unstructured, |w| to 7", (1, 1), "1x1_short_neon", None, largest=7),
    _s8("4x1", (4, 1), "4x1_neon", "4x1_neondot"),
    _f32("unstructured", (1, 1), "1x32", "1x32"),
    _f32("4x1", (4, 1), "4x20", "4x8"),
    _f32("8x1", (8, 1), "8x12", "8x4"),
)
#: Of one pixel.
COLUMNS = (
    _s8("1x4", (1, 4), "1x4_column_neon", "1x4_column_neondot"),
    _s8("unstructured", (1, 1), "1x1_column_neon", "1x1_column_neon"),
    _f32("unstructured", (1, 1), "8x1", "4x1"),
)

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
                    dense = bench.cost(cpu, case.dense[cpu.name], *shape)
                    sparse = bench.cost(cpu, case.kernels[cpu.name], *shape)
                    yield Row(cpu.name, case.name, size, count, dense, sparse, products.unit(cpu))


def main() -> None:
    """Prints the table."""
    parser = products.parser("Costs of sparse products on ARM, 90 % zeros.", [*_DENSE_S8, "armv7"])
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
