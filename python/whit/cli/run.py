"""`whit run`: one inference from files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from whit.cli.common import EXIT_OK, Array, add_json, add_threads, print_json, read_feeds, table
from whit.errors import InvalidArgumentError
from whit.model import load

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser("run", help="run a .whit file on a picture or array")
    parser.add_argument("model", metavar="MODEL.whit")
    parser.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="[NAME=]FILE",
        help=".npy array or picture; once for each input",
    )
    parser.add_argument("--top", type=int, metavar="K", help="print the K largest values of each output")
    parser.add_argument("--labels", metavar="FILE", help="one class name per line, for --top")
    parser.add_argument("--output", metavar="OUT.npz", help="save all outputs")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.top is not None and arguments.top < 1:
        raise InvalidArgumentError(f"--top must be at least 1; got {arguments.top}")
    labels = _read_labels(arguments.labels)
    with load(arguments.model, arguments.threads) as model:
        results = model.run(read_feeds(model, arguments.input))
    if arguments.output:
        np.savez(arguments.output, **dict(results.items()))
    if arguments.json:
        print_json({name: _as_json(value, arguments.top, labels) for name, value in results.items()})
        return EXIT_OK
    for name, value in results.items():
        print(f"{name}: {value.dtype} {list(value.shape)}")
        if arguments.top:
            rows = [(entry["index"], entry["value"], entry["label"]) for entry in _top(value, arguments.top, labels)]
            print(table(("class", "value", "label"), rows))
        else:
            print(np.array2string(value, threshold=40, edgeitems=4, precision=5))
    return EXIT_OK


def _read_labels(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidArgumentError(f"--labels {path}: {problem}") from problem


def _top(value: Array, count: int, labels: list[str]) -> list[dict[str, Any]]:
    flat = value.reshape(-1)
    order = np.argsort(-flat.astype(np.float64), kind="stable")[:count]
    return [{"index": int(i), "value": float(flat[i]), "label": labels[i] if i < len(labels) else ""} for i in order]


def _as_json(value: Array, top: int | None, labels: list[str]) -> dict[str, Any]:
    item: dict[str, Any] = {"dtype": str(value.dtype), "shape": list(value.shape)}
    item |= {"top": _top(value, top, labels)} if top else {"values": value.tolist()}
    return item
