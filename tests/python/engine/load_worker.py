"""Loads and runs .whit files, one after the other, in a process that may crash without harm.

python load_worker.py FILE...    prints "FILE\tEXCEPTION\tMESSAGE" for each, before the next one is touched
"""

from __future__ import annotations

import resource
import sys

import numpy as np

import whit
from whit.dtypes import NUMPY_DTYPES

#: Bytes of address space: what does not fit is a MemoryError here, not a machine that swaps.
ADDRESS_SPACE = 4 << 30
#: Elements of an input that are worth running.
ELEMENTS = 1 << 20


def load_and_run(file: str | bytes, threads: int = 2) -> None:
    """Sizes that are known only at run time become 2."""
    with whit.load(file, threads=threads) as model:
        feeds = {}
        for info in model.inputs:
            shape = [2 if isinstance(size, str) else size for size in info.shape]
            if np.prod(shape, dtype=np.float64) > ELEMENTS:
                return
            values = np.random.default_rng(0).integers(-128, 128, shape)
            feeds[info.name] = values.astype(NUMPY_DTYPES[info.dtype])
        model.run(feeds)


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


if __name__ == "__main__":
    limit_memory()
    for path in sys.argv[1:]:
        try:
            load_and_run(path)
            print(path, "fine", "", sep="\t", flush=True)
        except Exception as problem:
            print(path, type(problem).__name__, str(problem).replace("\n", " "), sep="\t", flush=True)
