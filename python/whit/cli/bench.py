"""`whit bench`: latency of a .whit file on this machine."""

from __future__ import annotations

import argparse
import csv
import sys
from typing import Any

from whit.cli.common import (
    EXIT_FAILED_CHECK,
    EXIT_OK,
    add_json,
    add_threads,
    print_json,
    random_feeds,
    read_feeds,
    table,
)
from whit.cli.measure import Measurement, load_timed, measure

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser("bench", help="measure the latency of a .whit file")
    parser.add_argument("model", metavar="MODEL.whit")
    parser.add_argument("--input", action="append", default=[], metavar="[NAME=]FILE", help="default: random values")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x224x224", help="for sizes not fixed")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="inferences that count (default: 100)")
    parser.add_argument("--warmup", type=int, default=5, metavar="N", help="inferences before them (default: 5)")
    parser.add_argument("--format", choices=("text", "json", "csv", "markdown"), default="text")
    parser.add_argument("--max-ms", type=float, metavar="MS", help="exit with 1 if the median is above")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    model, load_ms = load_timed(arguments.model, arguments.threads)
    with model:
        feeds = read_feeds(model, arguments.input) if arguments.input else random_feeds(model, arguments.shape)
        result = measure(model, feeds, arguments.count, arguments.warmup, load_ms)
    _print(result, "json" if arguments.json else arguments.format)
    if arguments.max_ms is not None and result.p50_ms > arguments.max_ms:
        print(f"whit: median {result.p50_ms:.3f} ms is above {arguments.max_ms} ms", file=sys.stderr)
        return EXIT_FAILED_CHECK
    return EXIT_OK


def _print(result: Measurement, style: str) -> None:
    values = result.to_dict()
    if style == "json":
        print_json(values)
        return
    flat = {key: value for key, value in values.items() if key not in ("before", "after", "problems")}
    for moment in ("before", "after"):
        flat |= {f"{name}_{moment}": value for name, value in values[moment].items()}
    if style == "csv":
        writer = csv.DictWriter(sys.stdout, list(flat), lineterminator="\n")
        writer.writeheader()
        writer.writerow(flat)
        return
    print(table(("what", "value"), flat.items(), markdown=style == "markdown"))
    for problem in result.problems:
        print(f"\nINVALID: {problem}")
