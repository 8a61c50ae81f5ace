"""`whit bench`: latency of a .whit file, or of the suite that comes with whit, on this machine."""

from __future__ import annotations

import argparse
import csv
import sys
from typing import Any

from whit.cli import system
from whit.cli.common import (
    EXIT_FAILED_CHECK,
    EXIT_OK,
    add_json,
    count,
    print_json,
    size_text,
    table,
)
from whit.cli.inputs import add_inputs, feeds_of
from whit.cli.measure import Measurement, load_timed, measure
from whit.errors import InvalidArgumentError
from whit.version import __version__

__all__ = ["add"]


_COUNT, _WARMUP, _FORMAT = 100, 5, "text"


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "bench",
        help="measure the latency of a .whit file, or run the suite",
        description="Measures single inferences, one after the other, and the state of the machine before and after. "
        "A run that throttling, heat, a falling clock or other programs disturbed is marked invalid. --suite needs no "
        "file: it runs known networks and layers of random weights; --compare puts two of its results side by side.",
    )
    parser.add_argument("model", metavar="MODEL.whit", nargs="?")
    add_inputs(parser)
    parser.add_argument("--count", type=count, metavar="N", help=f"inferences that count (default: {_COUNT})")
    parser.add_argument("--warmup", type=int, metavar="N", help=f"inferences before them (default: {_WARMUP})")
    parser.add_argument("--format", choices=("text", "json", "csv", "markdown"), help=f"default: {_FORMAT}")
    parser.add_argument("--max-ms", type=float, metavar="MS", help="exit with 1 if the median is above")
    parser.add_argument("--suite", action="store_true", help="run the suite; writes JSON and, beside it, SVG")
    parser.add_argument("--quick", action="store_true", help="with --suite: about a minute on a small board")
    parser.add_argument("--compare", nargs=2, metavar=("A.json", "B.json"), help="compare two results of --suite")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="of --suite (default: whit-suite.json, and .svg beside it) or --compare (default: whit-compare.svg)",
    )
    parser.add_argument(
        "--threads",
        type=_counts,
        metavar="N",
        help="threads (default: WHIT_NUM_THREADS, else all CPUs); with --suite a list such as 1,4 "
        "(default: 1, 2, 4, ... and all; with --quick 1 and all)",
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _counts(text: str) -> list[int]:
    return sorted({count(part) for part in text.split(",")})


def _run(arguments: argparse.Namespace) -> int:
    if arguments.suite or arguments.compare:
        return _run_suite(arguments)
    if arguments.model is None:
        raise InvalidArgumentError("bench: give a MODEL.whit, --suite, or --compare A.json B.json")
    _refuse(arguments, "a MODEL.whit", "quick", "out")
    threads = arguments.threads or [None]
    if len(threads) != 1:
        raise InvalidArgumentError("--threads: a list goes with --suite; a .whit file is measured on one number")
    inferences = _COUNT if arguments.count is None else arguments.count
    warmup = _WARMUP if arguments.warmup is None else arguments.warmup
    if warmup < 0:
        raise InvalidArgumentError(f"--warmup must be at least 0; got {warmup}")
    model, load_ms = load_timed(arguments.model, threads[0])
    with model:
        result = measure(model, feeds_of(model, arguments), inferences, warmup, load_ms)
    about = {"model": arguments.model, "whit": __version__, "cpu": system.cpu_name()}
    style = "json" if arguments.json else arguments.format or _FORMAT
    if style == "json":
        print_json({**about, **result.to_dict()})
    elif style == "text":
        _print_text(about, result)
    else:
        _print_flat({**about, **result.to_dict()}, style)
    if arguments.max_ms is not None and not result.p50_ms <= arguments.max_ms:
        print(f"whit: the median of {result.p50_ms:.3f} ms is above {arguments.max_ms:g} ms", file=sys.stderr)
        return EXIT_FAILED_CHECK
    return EXIT_OK


def _run_suite(arguments: argparse.Namespace) -> int:
    from whit.cli.bench_suite import run_compare, run_suite

    if arguments.suite and arguments.compare:
        raise InvalidArgumentError("bench: --suite measures, --compare reads; give one of them")
    option = "--suite" if arguments.suite else "--compare"
    _refuse(arguments, option, "model", "input", "shape", "count", "warmup", "format", "max_ms")
    if arguments.suite:
        return run_suite(arguments)
    _refuse(arguments, option, "quick", "threads")
    return run_compare(arguments)


def _refuse(arguments: argparse.Namespace, form: str, *names: str) -> None:
    """Options that would have no effect are errors."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value is not False and value != []:  # 0 counts as given
            what = "MODEL.whit" if name == "model" else f"--{name.replace('_', '-')}"
            raise InvalidArgumentError(f"bench: {what} has no use with {form}; see whit bench --help")


def _print_text(about: dict[str, str], result: Measurement) -> None:
    print(f"{about['model']}: {result.count} inferences after {1 + result.warmup} that do not count")
    print(f"{about['cpu']}, {result.isa}, {result.threads} thread{'s' * (result.threads != 1)}\n")
    times = ("first", "min", "p50", "p90", "p99", "load")
    for name in times:
        print(f"{name:12} {getattr(result, f'{name}_ms'):10.3f} ms")
    for name, size in (
        ("arena", result.arena_bytes),
        ("packed", result.packed_bytes),
        ("peak RSS", result.peak_rss_bytes),
    ):
        value, unit = size_text(size).split()
        print(f"{name:12} {value:>10} {unit}")
    print(f"{'before':12} {system.state_text(result.before)}")
    print(f"{'after':12} {system.state_text(result.after)}")
    for problem in result.problems:
        print(f"INVALID: {problem}")


def _print_flat(values: dict[str, Any], style: str) -> None:
    flat = {key: value for key, value in values.items() if key not in ("before", "after", "problems")}
    flat["problems"] = "; ".join(values["problems"])
    for moment in ("before", "after"):
        flat |= {f"{name}_{moment}": value for name, value in values[moment].items()}
    if style == "markdown":
        print(table(("what", "value"), flat.items(), markdown=True))
        return
    writer = csv.DictWriter(sys.stdout, list(flat), lineterminator="\n")
    writer.writeheader()
    writer.writerow(flat)
