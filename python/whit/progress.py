"""A progress bar for long work: on stderr, only on a terminal, or wherever the caller wants it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["ProgressCallback", "progress"]

T = TypeVar("T")

#: Called with (label, done, total) at the start and after every item; total is None where it is not known.
ProgressCallback = Callable[[str, int, int | None], None]


def progress(
    iterable: Iterable[T], total: int | None = None, label: str = "", callback: ProgressCallback | None = None
) -> Iterator[T]:
    """Yields the items of `iterable` and shows how far it is.

    With `callback` that is called and nothing is printed. Without, a bar of tqdm is drawn on stderr if stderr is a
    terminal and tqdm is installed; otherwise it is silent.
    """
    if total is None:
        length = getattr(iterable, "__len__", None)
        total = length() if callable(length) else None
    if callback is None:
        yield from _bar(iterable, total, label)
        return
    callback(label, 0, total)
    for done, item in enumerate(iterable, 1):
        yield item
        callback(label, done, total)


def _bar(iterable: Iterable[T], total: int | None, label: str) -> Iterable[T]:
    # sys.stderr is None in programs without a console.
    if sys.stderr is None or not sys.stderr.isatty():
        return iterable
    try:
        from tqdm import tqdm
    except ImportError:
        return iterable
    bar: Iterable[T] = tqdm(iterable, total=total, desc=label or None, file=sys.stderr, leave=False)
    return bar
