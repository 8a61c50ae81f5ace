"""`whit compress`: an ONNX model becomes a .whit file."""

from __future__ import annotations

import argparse
from typing import Any

from whit.cli.common import EXIT_OK, add_json, print_json

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser("compress", help="compress an ONNX model into a .whit file")
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.whit")
    parser.add_argument("--recipe", default="int8", help="f32, int8 or int8-weights (default: int8)")
    parser.add_argument(
        "--data",
        metavar="DIR|NPZ",
        help="calibration samples: a folder of pictures or .npy files, or an .npz with one array per input",
    )
    parser.add_argument(
        "--preprocess",
        metavar="SPEC",
        help="how pictures become inputs, stored in the file: a preset (imagenet, ...) or resize=256,crop=224,...",
    )
    parser.add_argument(
        "--calibration", choices=("minmax", "percentile", "mse"), help="how ranges are found (default: the recipe's)"
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from whit.compression import Recipe, compress

    recipe = Recipe.preset(arguments.recipe)
    if arguments.calibration:
        recipe = recipe.replace(calibration=arguments.calibration)
    report = compress(arguments.model, arguments.output, recipe, arguments.data, preprocess=arguments.preprocess)
    if arguments.json:
        print_json(report.to_dict())
    else:
        print(report)
    return EXIT_OK
