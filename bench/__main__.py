"""Times whit beside other runtimes on the same work, in one interleaved run.

    python -m bench models    whole networks
    python -m bench gemm      matrix products and matrix-vector products of shapes.toml
    python -m bench conv      convolutions of shapes.toml
    python -m bench startup   fresh processes: import, load, first inference, memory, size
    python -m bench kernels   every kernel of whit beside the peak of the core (needs kernel_bench)

README.md in this folder says what is measured and how. Results go to
bench/results/COMMAND.json, and one picture for each table.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from bench import cases, kernel_results, machine, picture, report, startup
from bench.contenders import contenders
from bench.contenders.base import Contender
from bench.files import Files
from bench.run import Bench, Options
from bench.workers import usable_cpus

_ISAS = ("avx2", "avxvnni", "avx512vnni", "avx512icl", "neon", "neondot")
_STARTUP_RUNS = 7


def main(arguments: list[str] | None = None) -> int:
    """Returns an exit code."""
    known = contenders()
    options = _parser(known).parse_args(arguments)
    about = {
        "command": shlex.join(["python", "-m", "bench", *(sys.argv[1:] if arguments is None else arguments)]),
        "date": machine.now(),
        "commit": machine.commit(),
        "machine": machine.facts(),
    }
    if options.command == "kernels":
        return _kernels(options, about)
    chosen = {name: known[name] for name in known if name == report.WHIT or name in options.peers}
    if max(options.threads) > len(usable_cpus()):
        print(f"bench: {max(options.threads)} threads, but {len(usable_cpus())} CPUs", file=sys.stderr)
        return 2
    rounds = options.rounds or (_STARTUP_RUNS if options.command == "startup" else Options.rounds)
    settings = Options(options.threads, options.dtypes, options.seconds or Options.seconds, rounds, options.isa)
    bench = Bench(chosen, settings, options.work)
    try:
        todo = _cases(options)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    path = options.results / f"{options.command}.json"
    if options.command == "startup":
        _startup(bench, todo, path, options.merge, about)
    else:
        _interleaved(bench, todo, path, options.merge, about)
    return 130 if bench.interrupted else 0


def _kernels(options: argparse.Namespace, about: dict[str, Any]) -> int:
    try:
        content = kernel_results.measure(options.program)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    kernel_results.store(options.results / "kernels.json", content, about)
    print("\n".join(kernel_results.lines(content)))
    return 0


def _interleaved(bench: Bench, todo: list[cases.Case], path: Path, merge: bool, about: dict[str, Any]) -> None:
    rows = []
    for row in bench.rows(todo):
        row.measured, row.commit = str(about["date"]), str(about["commit"])
        rows.append(row)
        print(_line(row), file=sys.stderr)
    print(report.markdown(rows))
    if not rows:
        return
    keep = (merge or bench.interrupted) and path.exists()
    everything = report.merged(report.load(path), rows) if keep else rows
    report.store(path, everything, about)
    for name, drawn in picture.of_tables(path.stem, everything).items():
        (path.parent / f"{name}.svg").write_text(drawn)


def _startup(bench: Bench, todo: list[cases.Case], path: Path, merge: bool, about: dict[str, Any]) -> None:
    rows: list[startup.Startup] = []
    for case in todo:
        for dtype in bench.options.dtypes:
            for threads in bench.options.threads:
                if not bench.interrupted:
                    rows += startup.rows(bench, Files(case, bench.work), dtype, threads, bench.options.rounds)
    for row in rows:
        row.measured, row.commit = str(about["date"]), str(about["commit"])
    print(startup.markdown(rows))
    keep = (merge or bench.interrupted) and path.exists()
    everything = startup.merged(startup.load(path), rows) if keep else rows
    startup.store(path, everything, about)
    for name, drawn in picture.of_startup(path.stem, everything).items():
        (path.parent / f"{name}.svg").write_text(drawn)


def _line(row: report.Row) -> str:
    who = f"{row.case:28} {row.dtype:3} {row.threads}t {row.contender:12} {row.variant:5}"
    if row.median is None:
        return f"{who} {row.error}"
    snr = "exact" if row.snr_db is None else f"{row.snr_db:.1f} dB"
    return f"{who} {row.median * 1e3:9.4f} ms  {row.gops:7.1f} GOP/s  {snr}"


def _cases(options: argparse.Namespace) -> list[cases.Case]:
    if options.command in ("models", "startup"):
        default = ["mobilenet_v2"] if options.command == "startup" else None
        return cases.models(options.models or default, options.shared)
    return {"gemm": cases.gemm, "conv": cases.conv}[options.command](options.shapes)


def _parser(known: dict[str, Contender]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    others = [name for name in known if name != report.WHIT]
    results = machine.ROOT / "bench" / "results"
    kernels = commands.add_parser("kernels")
    kernels.add_argument("--program", type=Path, default=kernel_results.PROGRAM, help="kernel_bench")
    kernels.add_argument("--results", type=Path, default=results)
    for command in ("models", "gemm", "conv", "startup"):
        sub = commands.add_parser(command)
        if command in ("models", "startup"):
            sub.add_argument("--models", nargs="+", metavar="NAME", help="default: all; mobilenet_v2 for startup")
            shared = Path(os.environ.get("WHIT_SHARED", machine.ROOT.parent / "shared"))
            sub.add_argument(
                "--shared", type=Path, default=shared, help="folder with models/NAME.onnx of more networks"
            )
        else:
            sub.add_argument("--shapes", nargs="+", metavar="NAME", help='such as "gemv", "dw3x3" or a full name')
        sub.add_argument("--peers", nargs="*", choices=others, default=others, help="beside whit; default: all")
        sub.add_argument("--threads", nargs="+", type=_positive, default=[1])
        dtypes, rounds = (["s8"], _STARTUP_RUNS) if command == "startup" else (["s8", "f32"], Options.rounds)
        sub.add_argument("--dtypes", nargs="+", choices=["s8", "f32"], default=dtypes)
        sub.add_argument("--rounds", type=_positive, help=f"samples of each; default: {rounds}")
        if command != "startup":
            sub.add_argument(
                "--seconds", type=float, help=f"timed for each contender and case; default: {Options.seconds}"
            )
        else:
            sub.set_defaults(seconds=None)
        sub.add_argument("--isa", choices=_ISAS, help="withhold what is above it, from those that let themselves")
        sub.add_argument("--results", type=Path, default=results)
        sub.add_argument("--work", type=Path, default=machine.ROOT / "build" / "bench", help="where models are kept")
        sub.add_argument("--merge", action="store_true", help="keep the stored results that this run does not repeat")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
