"""`whit compare`: how far a .whit file is from the model that it was made from, and where it is lost."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from whit.cli.common import EXIT_FAILED_CHECK, EXIT_OK, add_json, add_threads, count, print_json
from whit.errors import InvalidArgumentError
from whit.model import load

if TYPE_CHECKING:
    from whit.report import Comparison

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "compare",
        help="compare a .whit file with its ONNX model, layer by layer",
        description="Runs both models on the same samples and shows the signal-to-noise ratio of every layer, worst "
        "first, how often the top-1 classes agree, and what to do. Both run in whit's engine, the original in f32.",
    )
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("compressed", metavar="OUT.whit")
    parser.add_argument("--data", required=True, metavar="DIR|NPZ", help="samples, as for compress")
    parser.add_argument("--preprocess", metavar="SPEC", help="as for compress (default: what OUT.whit says)")
    parser.add_argument("--samples", type=count, metavar="N", help="take N samples, spread over the data")
    parser.add_argument(
        "--min-agreement", type=float, metavar="PERCENT", help="exit with 1 if the top-1 classes agree less often"
    )
    parser.add_argument("--min-snr", type=float, metavar="DB", help="exit with 1 if an output has a lower ratio")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # Here, not above: `import whit.cli` stays light.
    from whit.data import open_data
    from whit.report import compare

    with load(arguments.compressed, arguments.threads) as compressed:
        preprocess = arguments.preprocess or compressed.metadata.get("preprocess")
        data = open_data(arguments.data, compressed.inputs, preprocess)
        if arguments.samples is not None:
            data = data.take(arguments.samples)
        # The samples are inputs already: no preprocessing a second time.
        comparison = compare(arguments.model, compressed, data, preprocess={})
    if arguments.json:
        print_json(comparison.to_dict())
    else:
        print(comparison)
    failures = _failures(comparison, arguments.min_agreement, arguments.min_snr)
    for failure in failures:
        print(f"whit: {failure}", file=sys.stderr)
    return EXIT_FAILED_CHECK if failures else EXIT_OK


def _failures(comparison: Comparison, min_agreement: float | None, min_snr: float | None) -> list[str]:
    failures = []
    if min_agreement is not None:
        agreements = {
            item.name: 100 * item.top1_agreement for item in comparison.outputs if item.top1_agreement is not None
        }
        if not agreements:
            raise InvalidArgumentError("--min-agreement: no output is a vector of classes; use --min-snr")
        failures += [
            f"output {name}: top-1 agreement {percent:.2f} % is below {min_agreement:g} %"
            for name, percent in agreements.items()
            if not percent >= min_agreement
        ]
    if min_snr is not None:
        failures += [
            f"output {item.name}: SNR {item.snr_db:.2f} dB is below {min_snr:g} dB"
            for item in comparison.outputs
            if not item.snr_db >= min_snr
        ]
    return failures
