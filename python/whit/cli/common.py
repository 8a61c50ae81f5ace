"""What several verbs share: exit codes, arguments, tables, inputs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whit.dtypes import NUMPY_DTYPES
from whit.errors import InvalidArgumentError
from whit.model import Model, TensorInfo
from whit.preprocess import IMAGE_SUFFIXES, Preprocess

__all__ = [
    "EXIT_BAD_FILE",
    "EXIT_FAILED_CHECK",
    "EXIT_OK",
    "EXIT_UNSUPPORTED",
    "EXIT_USAGE",
    "Array",
    "add_json",
    "add_threads",
    "print_json",
    "random_feeds",
    "read_feeds",
    "size_text",
    "table",
]

EXIT_OK, EXIT_FAILED_CHECK, EXIT_USAGE, EXIT_BAD_FILE, EXIT_UNSUPPORTED = range(5)

Array = np.ndarray[Any, np.dtype[Any]]


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: machine-readable output with stable keys."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """`--threads N`."""
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: WHIT_NUM_THREADS, else all CPUs)")


def print_json(values: object) -> None:
    """Prints one JSON document."""
    json.dump(values, sys.stdout, indent=2)
    print()


def size_text(size: float) -> str:
    """`12.3 KB`; 1 KB is 1000 bytes."""
    for unit in ("B", "KB", "MB"):
        if abs(size) < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], markdown: bool = False) -> str:
    """A table of text; columns whose cells are all numbers are set to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(header)]
    right = [all(_is_number(row[i]) for row in texts) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True)]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    rule = [("-" * (w - 1) + ":" if r and markdown else "-" * w) for w, r in zip(widths, right, strict=True)]
    return "\n".join([line(list(header)), line(rule), *(line(row) for row in texts)])


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    return not text or text.replace(".", "", 1).replace("-", "", 1).replace("%", "", 1).strip().isdigit()


def read_feeds(model: Model, arguments: Sequence[str]) -> dict[str, Array]:
    """Inputs from `X.npy`, `PICTURE` or `NAME=FILE` arguments, one for each input of the model.

    A picture goes through the preprocessing that is stored in the file; a .npy file is taken as it is, with a batch
    axis of 1 added if it lacks one.
    """
    by_name = {info.name: info for info in model.inputs}
    feeds: dict[str, Array] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or name not in by_name:
            if len(by_name) != 1:
                raise InvalidArgumentError(
                    f"--input {argument}: the model has several inputs; give NAME=FILE for each of {', '.join(by_name)}"
                )
            name, path = model.inputs[0].name, argument
        feeds[name] = _read_input(by_name[name], Path(path), model.metadata)
    return feeds


def _read_input(info: TensorInfo, path: Path, metadata: Mapping[str, Any]) -> Array:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        stored = metadata.get("preprocess", {}).get(info.name)
        if stored is None:
            raise InvalidArgumentError(
                f"{path}: the file does not say how input {info.name!r} wants its pictures; "
                "compress with --preprocess, or give a .npy file"
            )
        array = Preprocess.from_dict(stored).apply(path)
    elif path.suffix.lower() == ".npy":
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as problem:
            raise InvalidArgumentError(f"{path}: {problem}") from problem
    else:
        raise InvalidArgumentError(f"{path}: wanted a .npy file or a picture ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return array[None] if array.ndim == len(info.shape) - 1 else array


def random_feeds(model: Model, shapes: Sequence[str] = (), seed: int = 0) -> dict[str, Array]:
    """Random arrays for all inputs. `shapes` holds NAME=1x3x224x224 for sizes that are not fixed (else 1)."""
    given = dict(_parse_shape(text) for text in shapes)
    unknown = set(given) - {info.name for info in model.inputs}
    if unknown:
        raise InvalidArgumentError(f"--shape: the model has no input named {sorted(unknown)[0]!r}")
    generator = np.random.default_rng(seed)
    return {info.name: _random_array(info, given.get(info.name), generator) for info in model.inputs}


def _random_array(info: TensorInfo, shape: tuple[int, ...] | None, generator: np.random.Generator) -> Array:
    sizes = shape or tuple(size if isinstance(size, int) else 1 for size in info.shape)
    dtype = NUMPY_DTYPES[info.dtype]
    if dtype.kind == "f":
        return generator.standard_normal(sizes).astype(dtype)
    if dtype.itemsize == 1:
        return generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, sizes, dtype, endpoint=True)
    return np.zeros(sizes, dtype)


def _parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(size) for size in sizes.split("x"))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise InvalidArgumentError(f"--shape {text}: wanted NAME=1x3x224x224")
    return name, shape
