"""`whit compare`: how far a .whit file is from the model that it was made from, and where it is lost."""

from __future__ import annotations

import argparse
from typing import Any

from whit.cli.common import EXIT_FAILED_CHECK, EXIT_OK, add_json, print_json

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser("compare", help="compare a .whit file with its ONNX model, layer by layer")
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("compressed", metavar="OUT.whit")
    parser.add_argument("--data", required=True, metavar="DIR|NPZ", help="samples, as for compress")
    parser.add_argument("--preprocess", metavar="SPEC", help="how pictures become inputs (default: what the file says)")
    parser.add_argument("--samples", type=int, metavar="N", help="use the first N samples only")
    parser.add_argument(
        "--min-agreement",
        type=float,
        metavar="PERCENT",
        help="exit with 1 if the top-1 classes agree on fewer samples",
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from whit.report.compare import compare

    comparison = compare(
        arguments.model,
        arguments.compressed,
        arguments.data,
        preprocess=arguments.preprocess,
        samples=arguments.samples,
    )
    if arguments.json:
        print_json(comparison.to_dict())
    else:
        print(comparison)
    if arguments.min_agreement is not None and comparison.agreement * 100 < arguments.min_agreement:
        return EXIT_FAILED_CHECK
    return EXIT_OK
