"""`whit run`: one inference from files."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from whit.cli.common import EXIT_OK, Array, add_json, add_threads, count, print_json, shape_text, table
from whit.cli.inputs import read_feeds
from whit.cli.output import replacing
from whit.errors import FileError, FormatError, InvalidArgumentError
from whit.model import load

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "run",
        help="run a .whit file on a picture or array",
        description="Runs one inference and prints the outputs. Pictures need a file that was compressed with "
        "--preprocess; arrays are taken as they are.",
    )
    parser.add_argument("model", metavar="MODEL.whit")
    parser.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="[NAME=]FILE",
        help=".npy, picture, or .npz with one array per input; once for each input",
    )
    parser.add_argument("--top", type=count, metavar="K", help="print the K largest values of each sample")
    parser.add_argument("--labels", metavar="FILE", help="text file with the class names, one a line, for --top")
    parser.add_argument("--output", metavar="OUT.npz", help="save all outputs, by name")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.labels and not arguments.top:
        raise InvalidArgumentError("--labels goes with --top K")
    if arguments.output and not arguments.output.endswith(".npz"):
        raise InvalidArgumentError(f"--output {arguments.output}: the name must end in .npz")
    labels = _read_labels(arguments.labels)
    with load(arguments.model, arguments.threads) as model:
        results = model.run(read_feeds(model, arguments.input))
    if arguments.output:
        _save(Path(arguments.output), results)
    if arguments.json:
        print_json({"outputs": {name: _as_json(value, arguments.top, labels) for name, value in results.items()}})
        return EXIT_OK
    for name, value in results.items():
        print(f"{name}: {value.dtype} {shape_text(value.shape)}")
        if not arguments.top:
            print(np.array2string(value, threshold=40, edgeitems=4, precision=5, suppress_small=True))
            continue
        for entries in _top(value, arguments.top, labels):
            header = ("class", "value", "label") if labels else ("class", "value")
            print(table(header, ([entry[key] for key in header] for entry in entries)))
    return EXIT_OK


def _read_labels(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise FileError(f"--labels {path}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise FormatError(f"--labels {path}: not a text file in UTF-8: {problem}") from problem


def _top(value: Array, number: int, labels: list[str]) -> list[list[dict[str, Any]]]:
    """For each sample along the first axis, its largest values."""
    rows = value.reshape(len(value) if value.ndim > 1 else 1, -1)
    return [_top_of(row, number, labels) for row in rows]


def _top_of(row: Array, number: int, labels: list[str]) -> list[dict[str, Any]]:
    order = np.argsort(-row.astype(np.float64), kind="stable")[:number]
    return [{"class": int(i), "value": row[i].item(), "label": labels[i] if i < len(labels) else None} for i in order]


def _as_json(value: Array, top: int | None, labels: list[str]) -> dict[str, Any]:
    item: dict[str, Any] = {"dtype": str(value.dtype), "shape": list(value.shape)}
    item |= {"top": _top(value, top, labels)} if top else {"values": value.tolist()}
    return item


def _save(path: Path, arrays: Mapping[str, Array]) -> None:
    """Writes an .npz, whole or not at all; `numpy.savez` would take outputs named "file" for an argument of its own."""
    with replacing(path, "--output") as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
