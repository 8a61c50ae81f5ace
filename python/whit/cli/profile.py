"""`whit profile`: where the time of an inference goes."""

from __future__ import annotations

import argparse
from typing import Any

from whit.cli.common import EXIT_OK, add_json, add_threads, print_json, random_feeds, read_feeds, table
from whit.model import load

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser("profile", help="time every operator of a .whit file")
    parser.add_argument("model", metavar="MODEL.whit")
    parser.add_argument("--input", action="append", default=[], metavar="[NAME=]FILE", help="default: random values")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x224x224", help="for sizes not fixed")
    parser.add_argument("--runs", type=int, default=20, metavar="N")
    parser.add_argument("--sort", action="store_true", help="slowest first (default: order of execution)")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with load(arguments.model, arguments.threads) as model:
        feeds = read_feeds(model, arguments.input) if arguments.input else random_feeds(model, arguments.shape)
        profile = model.profile(feeds, arguments.runs)
        isa, threads = model.isa, model.threads
    nodes = sorted(profile.nodes, key=lambda node: -node.ms) if arguments.sort else list(profile.nodes)
    whole = sum(node.ms for node in nodes) or 1.0
    rows: list[dict[str, Any]] = []
    cumulative = 0.0
    for node in nodes:
        cumulative += node.ms
        rows.append(
            {
                "name": node.name,
                "op": node.op,
                "ms": node.ms,
                "percent": 100 * node.ms / whole,
                "cumulative_percent": 100 * cumulative / whole,
                "kb": node.bytes / 1000,
                "kernel": node.kernel,
            }
        )
    if arguments.json:
        print_json(
            {"isa": isa, "threads": threads, "runs": profile.runs, "total_ms": profile.total_ms, "operators": rows}
        )
        return EXIT_OK
    header = ("[node]", "[op]", "[ms]", "[%]", "[cumulative %]", "[kB]", "[kernel]")
    print(
        table(
            header,
            (
                (
                    row["name"],
                    row["op"],
                    row["ms"],
                    f"{row['percent']:.1f}",
                    f"{row['cumulative_percent']:.1f}",
                    f"{row['kb']:.1f}",
                    row["kernel"],
                )
                for row in rows
            ),
        )
    )
    print(f"\n{profile.total_ms:.3f} ms per inference, median of {profile.runs} runs, {threads} threads, {isa}")
    return EXIT_OK
