"""`whit compress`: an ONNX model becomes a .whit file."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from whit.cli.auto import add_auto, add_evaluation, check, find, to_dict, write_report
from whit.cli.common import EXIT_OK, add_json, print_json
from whit.cli.inputs import add_shape, parse_shapes
from whit.errors import FileError, InvalidArgumentError

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "compress",
        help="compress an ONNX model into a .whit file",
        description="Compresses an ONNX model into a .whit file and reports size and error of every layer. "
        "The output file is written in one step at the end; on an error it stays as it was.",
    )
    parser.add_argument("model", nargs="?", metavar="MODEL.onnx")
    parser.add_argument("-o", "--output", metavar="OUT.whit")
    parser.add_argument(
        "--recipe",
        default="int8",
        metavar="NAME|FILE.toml",
        help="int8: integer arithmetic, needs --data; int8-weights: f32 arithmetic, weights of a quarter the size; "
        "f32: no loss; int4, small, tiny: smaller and smaller; or a recipe of your own (default: int8)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="change the recipe: storage=archive, quantize.calibration.method=kl, ...; may be repeated",
    )
    parser.add_argument(
        "--print-recipe", action="store_true", help="print the recipe as TOML, with what --set changes, and stop"
    )
    parser.add_argument(
        "--data",
        metavar="DIR|NPZ",
        help="calibration samples, about 100 of what the model will meet: a folder of pictures or .npy files, "
        "or an .npz with one array per input, samples along the first axis",
    )
    parser.add_argument(
        "--preprocess",
        metavar="SPEC",
        help="how pictures become inputs; stored in the file. A preset (imagenet, imagenet-bicubic, tf, keras, unit) "
        "or KEY=VALUE,... such as resize=256,crop=224,scale=1/255,mean=.485:.456:.406,std=.229:.224:.225",
    )
    parser.add_argument(
        "--inputs",
        choices=("f32", "u8"),
        help="u8: the model takes pictures as they are, u8 [N, H, W, C]; scale, mean and std of --preprocess become "
        "part of the first convolution (default: the recipe's, f32)",
    )
    parser.add_argument(
        "--calibration",
        choices=("minmax", "percentile", "mse", "kl"),
        help="how activation ranges are found (default: the recipe's, mse)",
    )
    parser.add_argument(
        "--keep-f32",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave the layers with such names in f32 (*, ? and [...] match); may be repeated",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="training (a distill step) saves to it, and the same command goes on from it after it was killed",
    )
    parser.add_argument(
        "--target",
        metavar="CORE",
        help="what the file is for: cortex-a53, cortex-a72, cortex-a76, x86-avx2, x86-avx512vnni, or this machine "
        "(this). Pruning leaves layers dense that would be slower sparse there, or no smaller in the file. With "
        "--auto: what --max-ms is for; this is measured, the others are estimated",
    )
    add_shape(parser, "fix the sizes of an input that the model leaves open; may be repeated")
    add_evaluation(parser)
    add_auto(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # Here, not above: `import whit.cli` stays light.
    from whit.compression import Recipe, compress

    recipe = Recipe.of(arguments.recipe)
    if arguments.inputs:
        recipe = replace(recipe, inputs=arguments.inputs)
    if arguments.calibration:
        recipe = recipe.with_settings([f"quantize.calibration.method={arguments.calibration}"])
    if arguments.keep_f32:
        recipe = recipe.with_settings([f"quantize.skip={json.dumps(arguments.keep_f32)}"])
    recipe = recipe.with_settings(arguments.settings)
    if arguments.print_recipe:
        print(recipe.to_toml(), end="")
        return EXIT_OK
    if arguments.model is None or arguments.output is None:
        raise InvalidArgumentError("compress: give MODEL.onnx and -o OUT.whit (whit compress --help)")
    check(arguments)
    model, output = Path(arguments.model), Path(arguments.output)
    if not model.exists():
        raise FileError(f"{model}: no such file")
    if output.exists() and output.samefile(model):
        raise InvalidArgumentError(f"{output} is the model itself; give another name to -o")
    shapes = parse_shapes(arguments.shape) or None
    found = find(arguments, recipe, shapes) if arguments.auto else None
    report = compress(
        model,
        output,
        recipe if found is None else found.recipe,
        arguments.data,
        preprocess=arguments.preprocess,
        input_shapes=shapes,
        evaluation=arguments.data if found and not arguments.eval else arguments.eval,
        labels=arguments.labels,
        times=arguments.times or str(arguments.report).lower().endswith(".html"),
        target=None if arguments.auto else arguments.target,
        checkpoint=arguments.checkpoint,
    )
    if arguments.report:
        write_report(arguments.report, report, found)
    if arguments.json:
        print_json(to_dict(report, found))
    else:
        if found is not None:
            print(found, end="\n\n")
        print(report)
    return EXIT_OK
