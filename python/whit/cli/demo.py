"""`whit demo`: the main job on a small network and data that come with the package."""

from __future__ import annotations

import argparse
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from whit.cli.common import EXIT_FAILED_CHECK, EXIT_OK, Array, add_json, print_json, size_text, table
from whit.cli.measure import measure
from whit.model import load

__all__ = ["add"]

#: What int8 may cost on these 600 images before the demo calls itself failed.
_MAX_DROP_POINTS = 1.0


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser("demo", help="compress and run a small network that comes with whit")
    parser.add_argument("--keep", metavar="DIR", help="keep the .whit files there")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(arguments.keep) if arguments.keep else Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        rows = _rows(target)
    drop = rows[0]["accuracy"] - rows[-1]["accuracy"]
    if arguments.json:
        print_json({"models": rows, "accuracy_drop": drop})
    else:
        _print(rows)
    return EXIT_OK if drop <= _MAX_DROP_POINTS else EXIT_FAILED_CHECK


def _rows(target: Path) -> list[dict[str, Any]]:
    from whit.compression import compress

    assets = resources.files("whit") / "demo"
    with resources.as_file(assets / "digits.npz") as path, np.load(path) as data:
        calibration = data["calibration_images"].astype(np.float32)
        images, labels = data["test_images"].astype(np.float32), data["test_labels"]
    source = (assets / "digits.onnx").read_bytes()
    rows = []
    for recipe in ("f32", "int8-weights", "int8"):
        path = target / f"digits-{recipe}.whit"
        compress(source, path, recipe, {"image": calibration} if recipe == "int8" else None)
        with load(path, threads=1) as model:
            right = sum(int(_class(model, image) == label) for image, label in zip(images, labels, strict=True))
            timing = measure(model, {"image": images[:1]}, count=200)
        rows.append(
            {
                "recipe": recipe,
                "file_bytes": path.stat().st_size,
                "onnx_bytes": len(source),
                "accuracy": 100 * right / len(labels),
                "images": len(labels),
                "p50_ms": timing.p50_ms,
                "isa": timing.isa,
            }
        )
    return rows


def _class(model: Any, image: Array) -> int:
    return int(np.argmax(model(image[None])))


def _print(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    print(f"Handwritten digits, 8 x 8 pixels: a convolutional network of {size_text(first['onnx_bytes'])} (ONNX),")
    print(f"tested on {first['images']} images that it was not trained on, one thread, {first['isa']}.\n")
    header = ("recipe", "file", "of ONNX", "accuracy", "latency")
    body = [
        (
            row["recipe"],
            size_text(row["file_bytes"]),
            f"{100 * row['file_bytes'] / row['onnx_bytes']:.0f} %",
            f"{row['accuracy']:.2f} %",
            f"{row['p50_ms'] * 1e3:.0f} us",
        )
        for row in rows
    ]
    print(table(header, body))
