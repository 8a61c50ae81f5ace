"""Tries recipes one after the other, in several processes, or on several machines; the points are the same."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from whit.compression.recipe import Recipe
from whit.compression.search.points import Context, Point, try_recipe
from whit.errors import InvalidArgumentError

__all__ = ["Task", "Worker", "open_workers"]

#: How long a scheduler may take to answer.
_DASK_TIMEOUT = "10s"

#: Kind, what was changed, and the recipe.
Task = tuple[str, str, Recipe]
#: Yields (index of the task, its point) as they are ready.
Worker = Callable[[Sequence[Task]], Iterator[tuple[int, Point]]]


@contextlib.contextmanager
def open_workers(context: Context, jobs: int = 1, dask: str | None = None) -> Iterator[Worker]:
    """What tries recipes.

    Args:
        context: of the search.
        jobs: processes on this machine (joblib), each with one thread; 1 works in this process.
        dask: address of a Dask scheduler, in place of `jobs`. Its workers need whit of the same version.

    Raises:
        InvalidArgumentError: joblib or Dask is not installed, or there is no scheduler at that address.
    """
    if dask is not None:
        with _dask(context, dask) as worker:
            yield worker
    elif jobs > 1:
        with _joblib(context, jobs) as worker:
            yield worker
    else:
        yield lambda tasks: ((index, try_recipe(context, *task)) for index, task in enumerate(tasks))


@contextlib.contextmanager
def _joblib(context: Context, jobs: int) -> Iterator[Worker]:
    try:
        import joblib
    except ImportError as problem:
        raise InvalidArgumentError("jobs: several processes need joblib: pip install 'whit[search]'") from problem

    # Written once: each process maps the arrays of that file.
    with tempfile.TemporaryDirectory(prefix="whit-search-") as folder:
        path = str(Path(folder) / "context")
        joblib.dump(context.portable(threads=1), path)
        with joblib.Parallel(n_jobs=jobs, return_as="generator_unordered") as parallel:

            def run(tasks: Sequence[Task]) -> Iterator[tuple[int, Point]]:
                yield from parallel(joblib.delayed(_from_file)(path, index, task) for index, task in enumerate(tasks))

            yield run


@functools.lru_cache(maxsize=1)
def _loaded(path: str) -> Context:
    import joblib

    context: Context = joblib.load(path, mmap_mode="r")
    return context


def _from_file(path: str, index: int, task: Task) -> tuple[int, Point]:
    return index, try_recipe(_loaded(path), *task)


@contextlib.contextmanager
def _dask(context: Context, address: str) -> Iterator[Worker]:
    try:
        from distributed import Client, as_completed
    except ImportError as problem:
        raise InvalidArgumentError("dask: needs Dask: pip install 'whit[search]'") from problem
    try:
        client: Any = Client(address, timeout=_DASK_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as problem:
        raise InvalidArgumentError(f"dask: no scheduler at {address!r}: {problem}") from problem
    with client:
        sent = client.scatter(context.portable(threads=1), broadcast=True, hash=False)

        def run(tasks: Sequence[Task]) -> Iterator[tuple[int, Point]]:
            futures = [client.submit(_with_index, sent, index, task, pure=False) for index, task in enumerate(tasks)]
            for future in as_completed(futures, loop=client.loop):
                yield future.result()

        yield run


def _with_index(context: Context, index: int, task: Task) -> tuple[int, Point]:
    return index, try_recipe(context, *task)
