"""Counts what one inference costs on emulated ARM cores, for whit and for other runtimes.

    python -m bench.arm [--contenders whit LiteRT ...] [--models ...] [--cpus ...] [--merge]

The first run lays out two ARM systems and downloads the others' wheels (about 500 MB in all) under --work; later runs
use what is there. Results go to bench/results/arm.json and, as tables, into docs/ARM.md, which says what they mean.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.arm import breakdown, costs, environment, report, traces
from bench.arm.contenders import GUEST, LITERT, NAMES, OTHERS, WHIT, setup_of
from bench.arm.cpus import CPUS, Cpu
from bench.arm.models import MODELS, MORE_MODELS, ModelError, ModelFiles

RESULTS = environment.ROOT / "bench" / "results"


@dataclass
class Bench:
    arguments: argparse.Namespace
    plugin: Path
    built: dict[str, Path] = field(default_factory=dict)

    def rows(self) -> Iterator[report.Row]:
        for model in self.arguments.models:
            files = self._files(model)
            for cpu in (CPUS[name] for name in self.arguments.cpus):
                for contender in self.arguments.contenders:
                    yield from self._whit(files, cpu) if contender == WHIT else self._other(contender, files, cpu)

    def macs(self, models: set[str]) -> dict[str, int]:
        return {model: self._files(model).macs() for model in models}

    def _files(self, model: str) -> ModelFiles:
        return ModelFiles(model, self.arguments.shared, self.arguments.work / "models", self._site("arm64"))

    def _built(self, architecture: str) -> Path:
        """run_whit, built once in a run of the bench: the tree may be edited meanwhile."""
        if architecture not in self.built:
            folder = self.arguments.work / f"build-{architecture}"
            self.built[architecture] = environment.build_run_whit(architecture, folder)
        return self.built[architecture]

    def _site(self, architecture: str) -> Path:
        return Path(self.arguments.work / f"site-{architecture}")

    def _whit(self, files: ModelFiles, cpu: Cpu) -> Iterator[report.Row]:
        import whit

        program = self.arguments.run_whit or self._built(cpu.architecture)
        trace = self._trace(WHIT, files, cpu)
        traces.run([str(program), str(files.whit())], cpu, self.plugin, trace, None, {})
        yield self._row(WHIT, "int8", whit.__version__, files, cpu, trace)

    def _other(self, name: str, files: ModelFiles, cpu: Cpu) -> Iterator[report.Row]:
        setup = setup_of(name, cpu.architecture)
        if not setup:
            return
        work, architecture = self.arguments.work, cpu.architecture
        root = environment.emulated_system(architecture, work / f"root-{architecture}")
        site, downloads = self._site(architecture), self.arguments.wheels or work / "wheels"
        environment.wheels([LITERT], "arm64", downloads, self._site("arm64"))
        environment.wheels(setup.wheels, architecture, downloads, site)
        script = [str(root / "usr/bin/python3.11"), str(GUEST / OTHERS[name].script)]
        variables = {"PYTHONPATH": f"{site}:{environment.ROOT}", "OPENBLAS_NUM_THREADS": "1"} | setup.variables
        for variant, arguments in setup.variants.items():
            trace = self._trace(f"{name}-{variant}", files, cpu)
            if not (self.arguments.reuse and trace.exists()):
                call = [*script, *map(str, arguments(files))]
                traces.run(call, cpu, self.plugin, trace, root, variables)
            yield self._row(name, variant, setup.version, files, cpu, trace)

    def _trace(self, label: str, files: ModelFiles, cpu: Cpu) -> Path:
        folder = Path(self.arguments.work / "traces")
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{label}.{files.name}.{cpu.name}.trace"

    def _row(self, contender: str, variant: str, version: str, files: ModelFiles, cpu: Cpu, trace: Path) -> report.Row:
        blocks = costs.without_harness(traces.read(trace))
        if cpu.architecture == "arm64":
            blocks = traces.joined(blocks)
        measured = costs.measure(blocks, cpu, self.arguments.work / "cache")
        row = report.Row(
            files.name,
            cpu.name,
            contender,
            variant,
            version,
            round(measured.cost),
            measured.instructions,
            measured.unmodelled,
            dict(measured.classes.most_common()),
        )
        counts = f"{row.cost / 1e6:9.2f} M {cpu.cost}, {row.instructions / 1e6:.2f} M instructions"
        print(f"{files.name:20} {cpu.name:11} {contender:14} {variant:5} {counts}")
        if self.arguments.breakdown:
            print(breakdown.table(measured, self.arguments.breakdown))
        sys.stdout.flush()
        return row


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.arm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = Path(os.environ.get("WHIT_SHARED", environment.ROOT.parent / "shared"))
    parser.add_argument("--models", nargs="+", choices=(*MODELS, *MORE_MODELS), default=list(MODELS))
    parser.add_argument("--cpus", nargs="+", choices=CPUS, default=list(CPUS))
    parser.add_argument("--contenders", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--merge", action="store_true", help="keep the rows of --out that this run does not measure")
    parser.add_argument("--breakdown", type=int, metavar="N", help="also print the N dearest symbols of each run")
    parser.add_argument("--reuse", action="store_true", help="count others again only where --work has no trace of it")
    parser.add_argument("--out", type=Path, default=RESULTS / "arm.json", help="the JSON file")
    parser.add_argument("--dry-run", action="store_true", help="print, but write no results")
    work = environment.ROOT / "build" / "arm-bench"
    parser.add_argument("--work", type=Path, default=work, help="systems, models, traces; default: build/arm-bench")
    parser.add_argument("--wheels", type=Path, help="where the others' ARM wheels are kept; default: WORK/wheels")
    parser.add_argument("--shared", type=Path, default=shared, help="folder with models/NAME.onnx")
    parser.add_argument("--run-whit", type=Path, help="this program instead of building it (of the CPUs' architecture)")
    arguments = parser.parse_args()
    arguments.work = arguments.work.resolve()

    try:
        architectures = {CPUS[name].architecture for name in arguments.cpus}
        build = WHIT in arguments.contenders and not arguments.run_whit
        environment.check_requirements(architectures, build)
        arguments.work.mkdir(parents=True, exist_ok=True)
        bench = Bench(arguments, traces.build_plugin(arguments.work))
        rows = list(bench.rows())
    except (environment.RequirementError, ModelError, traces.RunError) as error:
        sys.exit(f"bench.arm: {error}")

    if arguments.merge and arguments.out.exists():
        rows = report.merged(report.load(arguments.out), rows)
    tables = report.markdown(rows, bench.macs({row.model for row in rows}))
    print("\n" + tables)
    if not arguments.dry_run:
        about = {"command": "python -m bench.arm", "tools": environment.versions()}
        report.store(arguments.out, rows, about)
        if arguments.out == RESULTS / "arm.json":
            report.insert(environment.ROOT / "docs" / "ARM.md", tables)


if __name__ == "__main__":
    main()
