"""`whit profile`: where the time of an inference goes."""

from __future__ import annotations

import argparse
from typing import Any

from whit.cli.common import EXIT_OK, add_json, add_threads, count, print_json, table
from whit.cli.inputs import add_inputs, feeds_of
from whit.model import NodeProfile, load

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "profile",
        help="time every operator of a .whit file",
        description="Times every operator: median milliseconds, share of the sum, bytes read and written, kernel.",
    )
    parser.add_argument("model", metavar="MODEL.whit")
    add_inputs(parser)
    parser.add_argument("--runs", type=count, default=20, metavar="N", help="inferences (default: 20)")
    parser.add_argument("--sort", action="store_true", help="slowest first (default: order of execution)")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with load(arguments.model, arguments.threads) as model:
        profile = model.profile(feeds_of(model, arguments), arguments.runs)
        isa, threads = model.isa, model.threads
    nodes = sorted(profile.nodes, key=lambda node: -node.ms) if arguments.sort else list(profile.nodes)
    operators = _operators(nodes)
    if arguments.json:
        values = {"isa": isa, "threads": threads, "runs": profile.runs, "total_ms": profile.total_ms}
        print_json({**values, "operators": operators})
        return EXIT_OK
    header = ("[node]", "[op]", "[ms]", "[%]", "[cumulative %]", "[kB]", "[kernel]")
    rows = (
        (
            item["name"],
            item["op"],
            f"{item['ms']:.4f}",
            f"{item['percent']:.1f}",
            f"{item['cumulative_percent']:.1f}",
            f"{item['bytes'] / 1000:.1f}",
            item["kernel"],
        )
        for item in operators
    )
    print(table(header, rows))
    reasons = [f"{node.name}: {node.reason}" for node in nodes if node.reason]
    if reasons:
        print("\nsparse or dense:", *reasons, sep="\n  ")
    print(
        f"\n{profile.total_ms:.3f} ms per inference (sum of the operators, median of {profile.runs} runs), "
        f"{threads} thread{'s' * (threads != 1)}, {isa}"
    )
    return EXIT_OK


def _operators(nodes: list[NodeProfile]) -> list[dict[str, Any]]:
    whole = sum(node.ms for node in nodes) or 1.0
    operators: list[dict[str, Any]] = []
    cumulative = 0.0
    for node in nodes:
        cumulative += node.ms
        operators.append(
            {
                "name": node.name,
                "op": node.op,
                "ms": node.ms,
                "percent": 100 * node.ms / whole,
                "cumulative_percent": 100 * cumulative / whole,
                "bytes": node.bytes,
                "kernel": node.kernel,
                "reason": node.reason,
            }
        )
    return operators
