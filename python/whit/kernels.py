"""The kernels that models run on, for use on plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from whit import _core

__all__ = ["PackedS8", "gemm_s8", "pack_s8"]

Array = np.ndarray[Any, np.dtype[Any]]
PackedS8 = _core.PackedS8


def pack_s8(w: Array) -> PackedS8:
    """Lays out s8 weights for `gemm_s8` on this CPU.

    Args:
        w: C-contiguous int8 [n, k], values in [-127, 127]. (-128 is refused: two products of -128 by -128 leave s16,
            in which some CPUs add pairs.)

    Returns:
        The packed weights: `shape` is (n, k), `nbytes` their size, `kernel` the kernel they are for.

    Raises:
        InvalidArgumentError: another dtype, rank or layout, or -128 among the values.
        ShapeError: n or k is 0.
    """
    return PackedS8(w)


def gemm_s8(x: Array, packed: PackedS8, out: Array | None = None, threads: int | None = None) -> Array:
    """out[m, n] = sum over k of x[m, k] * w[n, k], exactly, in s32 (wrapping).

    Args:
        x: C-contiguous int8 [m, k].
        packed: weights from `pack_s8`, of shape (n, k).
        out: C-contiguous int32 [m, n] to write into; None makes a new array.
        threads: None takes WHIT_NUM_THREADS, else the CPUs available. The result does not depend on it.

    Returns:
        int32 [m, n].

    Raises:
        InvalidArgumentError: another dtype or layout, or out overlaps x.
        ShapeError: sizes that do not fit.
    """
    return packed.multiply(x, out, threads)
