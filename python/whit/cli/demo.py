"""`whit demo`: the main job on a small network and data that come with the package."""

from __future__ import annotations

import argparse
import math
import tempfile
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from whit.cli.common import EXIT_FAILED_CHECK, EXIT_OK, Array, add_json, print_json, size_text, table
from whit.cli.measure import measure
from whit.errors import FileError
from whit.model import Model, load

__all__ = ["add"]

#: What int8 may cost on these 600 images before the demo calls itself failed.
_MAX_DROP_POINTS = 1.0
#: Latency is the median of 200 runs in the best of so many rounds.
_ROUNDS = 10
#: The network takes values of 0 to 16; kept pictures hold 15 times as much, so that people can see them.
_GREY = 15
_PREPROCESS = f"channels=gray,scale=1/{_GREY}"


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "demo",
        help="compress and run a small network that comes with whit",
        description="Compresses a network that reads handwritten digits with every recipe, and shows size, accuracy "
        f"and latency. Exits with 1 if int8 loses more than {_MAX_DROP_POINTS:g} point of accuracy.",
    )
    parser.add_argument(
        "--keep", metavar="DIR", help="keep the model, its .whit files and the data as pictures there, to try by hand"
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.keep:
        folder = Path(arguments.keep)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise FileError(f"--keep {folder}: {problem.strerror}") from problem
        rows = _rows(folder, keep=True)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            rows = _rows(Path(temporary), keep=False)
    drop = rows[0]["accuracy"] - rows[-1]["accuracy"]
    if arguments.json:
        print_json({"models": rows, "accuracy_drop": drop})
    else:
        _print(rows)
        if arguments.keep:
            _print_next(arguments.keep)
    return EXIT_OK if drop <= _MAX_DROP_POINTS else EXIT_FAILED_CHECK


def _rows(folder: Path, keep: bool) -> list[dict[str, Any]]:
    from whit.compression import compress

    assets = resources.files("whit") / "demo"
    with resources.as_file(assets / "digits.npz") as path, np.load(path) as data:
        calibration, images, labels = data["calibration_images"], data["test_images"], data["test_labels"]
    source = (assets / "digits.onnx").read_bytes()
    if keep:
        (folder / "digits.onnx").write_bytes(source)
        _save_pictures(folder / "calibration", calibration)
        _save_pictures(folder / "test", images, labels)
    feeds = images.astype(np.float32)[:, None]
    rows: list[dict[str, Any]] = []
    with ExitStack() as opened:
        models = []
        for recipe in ("f32", "int8-weights", "int8"):
            path = folder / f"digits-{recipe}.whit"
            samples = {"image": calibration.astype(np.float32)} if recipe == "int8" else None
            compress(source, path, recipe, samples, preprocess=_PREPROCESS)
            model = opened.enter_context(load(path, threads=1))
            models.append(model)
            right = sum(_class(model, image) == label for image, label in zip(feeds, labels, strict=True))
            rows.append(
                {
                    "recipe": recipe,
                    "file_bytes": path.stat().st_size,
                    "onnx_bytes": len(source),
                    "accuracy": 100 * int(right) / len(labels),
                    "images": len(labels),
                    "p50_ms": math.inf,
                    "isa": model.isa,
                }
            )
        # In turns, and the best of several: a clock that changes or another program meets all alike.
        for _ in range(_ROUNDS):
            for model, row in zip(models, rows, strict=True):
                row["p50_ms"] = min(row["p50_ms"], measure(model, {"image": feeds[0]}, count=200).p50_ms)
    return rows


def _class(model: Model, image: Array) -> int:
    return int(np.argmax(model(image)))


def _save_pictures(folder: Path, images: Array, labels: Array | None = None) -> None:
    from PIL import Image

    folder.mkdir(exist_ok=True)
    for index, image in enumerate(images):
        ending = "" if labels is None else f"_is_{labels[index]}"
        Image.fromarray(image[0] * np.uint8(_GREY)).save(folder / f"{index:03}{ending}.png")


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


def _print_next(folder: str) -> None:
    print(f"\nTo do the same by hand (the names of the test pictures say what they show):\n\n  cd {folder}")
    print(f"  whit compress digits.onnx -o digits.whit --data calibration --preprocess {_PREPROCESS}")
    print("  whit run digits.whit --input test/000_is_*.png --top 3")
    print("  whit compare digits.onnx digits.whit --data test")
