"""Single products under the counting emulator: what spmm.py, w4.py and b1.py have in common."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from bench.arm import costs, traces
from bench.arm.cpus import Cpu

#: Of the 64-bit boards.
CORES = ("cortex-a53", "cortex-a72", "cortex-a76")


class Bench:
    """Runs a program that has markers, as those of run_product.h have; `build` is a static build of it
    (-DWHIT_BUILD_BENCH=ON, -DCMAKE_EXE_LINKER_FLAGS=-static), `work` a folder for what was counted.
    """

    def __init__(self, build: Path, program: str, work: Path) -> None:
        self.program = build / "bench" / "arm" / program
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        self.plugin = traces.build_plugin(work)

    def cost(self, cpu: Cpu, *arguments: object) -> float:
        """Of what the program does with these arguments, in the unit of the CPU."""
        words = [str(each) for each in arguments]
        trace = self.work / "_".join([cpu.name, *words]).replace("/", "_")
        traces.run([str(self.program), *words], cpu, self.plugin, trace, None, {})
        blocks = traces.read(trace)
        return costs.measure(traces.joined(blocks) if cpu.architecture == "arm64" else blocks, cpu, self.work).cost


def unit(cpu: Cpu) -> str:
    """What `Bench.cost` counts, as a word for a table."""
    return cpu.cost.removeprefix("estimated ")


def parser(description: str, cpus: Collection[str]) -> argparse.ArgumentParser:
    """Of a command that prints a table: `cpus` are those that it knows."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("build", type=Path)
    made.add_argument("--work", type=Path)
    made.add_argument("--cpus", nargs="+", choices=list(cpus), default=list(CORES))
    return made


def print_table(header: str, rows: Callable[[Path], Iterable[object]], work: Path | None) -> None:
    """Prints what `rows` makes in a folder, `work` or one that is removed, as it comes."""
    with tempfile.TemporaryDirectory() as folder:
        print(header)
        for row in rows(work or Path(folder)):
            print(row, flush=True)
