"""Marks the counted inference for the instruction counter. All files of this folder run in the emulated Python."""

import contextlib
import os
from collections.abc import Callable

WARM_UP_RUNS = 2


def mark(tag: int) -> None:
    with contextlib.suppress(OSError):
        os.close(-7000000 - tag)


def count(run: Callable[[], object]) -> None:
    """Runs a few times to warm up, then once between the marks 1 and 2."""
    for _ in range(WARM_UP_RUNS):
        run()
    mark(1)
    run()
    mark(2)
