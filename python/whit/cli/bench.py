"""`whit bench`: latency of a .whit file on this machine."""

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
    add_threads,
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


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "bench",
        help="measure the latency of a .whit file",
        description="Measures single inferences, one after the other, and the state of the machine before and after. "
        "A run that throttling, heat, a falling clock or other programs disturbed is marked invalid.",
    )
    parser.add_argument("model", metavar="MODEL.whit")
    add_inputs(parser)
    parser.add_argument("--count", type=count, default=100, metavar="N", help="inferences that count (default: 100)")
    parser.add_argument("--warmup", type=int, default=5, metavar="N", help="inferences before them (default: 5)")
    parser.add_argument("--format", choices=("text", "json", "csv", "markdown"), default="text")
    parser.add_argument("--max-ms", type=float, metavar="MS", help="exit with 1 if the median is above")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.warmup < 0:
        raise InvalidArgumentError(f"--warmup must be at least 0; got {arguments.warmup}")
    model, load_ms = load_timed(arguments.model, arguments.threads)
    with model:
        result = measure(model, feeds_of(model, arguments), arguments.count, arguments.warmup, load_ms)
    about = {"model": arguments.model, "whit": __version__, "cpu": system.cpu_name()}
    style = "json" if arguments.json else arguments.format
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
