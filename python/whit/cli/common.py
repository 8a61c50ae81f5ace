"""What several verbs share: exit codes, arguments, tables."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "EXIT_BAD_FILE",
    "EXIT_FAILED_CHECK",
    "EXIT_OK",
    "EXIT_UNSUPPORTED",
    "EXIT_USAGE",
    "Array",
    "add_json",
    "add_threads",
    "count",
    "print_json",
    "shape_text",
    "size_text",
    "table",
]

EXIT_OK, EXIT_FAILED_CHECK, EXIT_USAGE, EXIT_BAD_FILE, EXIT_UNSUPPORTED = range(5)

Array = np.ndarray[Any, np.dtype[Any]]


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: machine-readable output with stable keys."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text (keys: docs/CLI.md)")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """`--threads N`."""
    parser.add_argument("--threads", type=count, metavar="N", help="threads (default: WHIT_NUM_THREADS, else all CPUs)")


def count(text: str) -> int:
    """An argument that is a whole number from 1 up."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1 up, got {text!r}")
    return value


def print_json(values: object) -> None:
    """Prints one JSON document; infinity and NaN, which JSON lacks, become null."""
    try:
        text = json.dumps(values, indent=2, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(values), indent=2, allow_nan=False)
    print(text)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def size_text(size: float) -> str:
    """`12.3 kB`; 1 kB is 1000 bytes."""
    for unit in ("B", "kB", "MB"):
        if abs(size) < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def shape_text(shape: Iterable[int | str]) -> str:
    """`[N, 3, 224, 224]`."""
    return "[" + ", ".join(map(str, shape)) + "]"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], markdown: bool = False) -> str:
    """A table of text; columns whose cells are all numbers or sizes are set to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    narrowest = 3 if markdown else 0  # Markdown wants a dash in every column's rule
    widths = [max([narrowest, len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(header)]
    right = [all(_is_number(row[i]) for row in texts) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True)]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    rule = [("-" * (w - 1) + ":" if r and markdown else "-" * w) for w, r in zip(widths, right, strict=True)]
    return "\n".join([line(list(header)), line(rule), *(line(row) for row in texts)])


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


_UNITS = ("%", "B", "kB", "MB", "GB", "us", "ms")


def _is_number(text: str) -> bool:
    number, _, unit = text.partition(" ")
    if unit and unit not in _UNITS:
        return False
    try:
        float(number or 0)
    except ValueError:
        return False
    return True
