"""The kernels that models run on, for use on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from whit import _core
from whit.errors import InvalidArgumentError, ShapeError

__all__ = [
    "CsrMatrix",
    "PackedB1",
    "PackedS8",
    "PackedW4",
    "gemm_b1",
    "gemm_s8",
    "gemm_w4",
    "pack_b1",
    "pack_s8",
    "pack_w4",
]

Array = np.ndarray[Any, np.dtype[Any]]
PackedB1 = _core.PackedB1
PackedS8 = _core.PackedS8
PackedW4 = _core.PackedW4


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


def pack_w4(w: Array) -> PackedW4:
    """Lays out weights of 4 bits for `gemm_w4` on this CPU, in a little more than half a byte each.

    A byte holds the codes `w + 8` of two weights: in its low bits the one that comes first where this CPU's kernel
    wants them, in the high bits one that comes a register later. So packed weights are for this CPU and for no file.

    Args:
        w: C-contiguous int8 [n, k], values in [-8, 7].

    Returns:
        The packed weights: `shape` is (n, k), `nbytes` their size, `kernel` the kernel they are for.

    Raises:
        InvalidArgumentError: another dtype, rank or layout, or values that 4 bits do not hold.
        ShapeError: n or k is 0.
    """
    return PackedW4(w)


def gemm_w4(x: Array, packed: PackedW4, out: Array | None = None, threads: int | None = None) -> Array:
    """out[m, n] = sum over k of x[m, k] * w[n, k], exactly, in s32 (wrapping): as `gemm_s8`, from half the memory.

    Args:
        x: C-contiguous int8 [m, k].
        packed: weights from `pack_w4`, of shape (n, k).
        out: C-contiguous int32 [m, n] to write into; None makes a new array.
        threads: None takes WHIT_NUM_THREADS, else the CPUs available. The result does not depend on it.

    Returns:
        int32 [m, n].

    Raises:
        InvalidArgumentError: another dtype or layout, or out overlaps x.
        ShapeError: sizes that do not fit.
    """
    return packed.multiply(x, out, threads)


def pack_b1(w: Array, k: int | None = None) -> PackedB1:
    """Lays out weights of +1 and -1, a bit each, for `gemm_b1` on this CPU.

    A bit of 1 is -1, the sign of the value. Value i of a row is bit i % 8, from the lowest, of byte i // 8, as
    `numpy.packbits(w < 0, axis=1, bitorder="little")` has them; the bits of the last byte beyond k do not count.

    Args:
        w: C-contiguous int8 [n, k], values +1 and -1; or uint8 [n, ceil(k / 8)], their bits.
        k: values of a row; needed for bits, else the columns of w.

    Returns:
        The packed weights: `shape` is (n, k), `nbytes` their size, `kernel` the kernel they are for.

    Raises:
        InvalidArgumentError: another dtype, rank or layout; a value other than +1 and -1; bits without k.
        ShapeError: n or k is 0, or rows of another length than k asks for.
    """
    return PackedB1(w, k)


def gemm_b1(x: Array, packed: PackedB1, out: Array | None = None, threads: int | None = None) -> Array:
    """out[m, n] = sum over k of x[m, k] * w[n, k], of +1 and -1, exactly, in s32.

    Args:
        x: C-contiguous int8 [m, k], values +1 and -1; or uint8 [m, ceil(k / 8)], their bits as `pack_b1` says, which
            saves making them.
        packed: weights from `pack_b1`, of shape (n, k).
        out: C-contiguous int32 [m, n] to write into; None makes a new array.
        threads: None takes WHIT_NUM_THREADS, else the CPUs available. The result does not depend on it.

    Returns:
        int32 [m, n]: k - 2 * (number of places where the bits of the rows differ).

    Raises:
        InvalidArgumentError: another dtype or layout, a value other than +1 and -1, or out overlaps x.
        ShapeError: sizes that do not fit.
    """
    return packed.multiply(x, out, threads)


class CsrMatrix:
    """A sparse matrix [n, k] in compressed rows, f32 or s8, to multiply dense matrices with: `csr @ x`.

    It keeps copies of what it is made from. What the kernels want is packed when a product first needs it, and kept.
    Any number of threads may multiply with one matrix at the same time.

    Args:
        indptr: int32 or int64 [n + 1]: where the values of each row begin, from 0 on, and end; never falling.
        indices: int32 or int64: the column of each value, ascending within a row, from 0 to k - 1.
        data: float32, or int8 in [-127, 127]: the values. f32 values may be infinite or NaN; zeros are allowed.
        shape: (n, k); both may be 0.

    Raises:
        InvalidArgumentError: another dtype or rank; `indptr` that does not begin with 0, or falls; columns that are
            not in the matrix, not in order, or twice in a row; -128 among int8 values.
        ShapeError: lengths that do not fit each other or the shape, or a shape that is not two sizes below 2**31.
    """

    __slots__ = ("_matrix",)
    # x @ csr is a TypeError: numpy must not take this for an object of its own.
    __array_ufunc__ = None

    def __init__(self, indptr: Array, indices: Array, data: Array, shape: Sequence[int]) -> None:
        try:
            n, k = (size.__index__() for size in shape)
        except (TypeError, ValueError, AttributeError):
            raise ShapeError(f"CsrMatrix: shape must be two sizes, (n, k); got {shape!r:.100}") from None
        if not 0 <= n < 2**31 or not 0 <= k < 2**31:
            raise ShapeError(f"CsrMatrix: shape must be two sizes from 0 to 2^31 - 1; got ({n}, {k})")
        arrays = (_in_order(indptr, "indptr"), _in_order(indices, "indices"), _in_order(data, "data"))
        self._matrix = _core.CsrMatrix(*arrays, n, k)

    @classmethod
    def from_dense(cls, w: Array) -> CsrMatrix:
        """The values of a matrix that are not 0.

        Args:
            w: float32, or int8 in [-127, 127], [n, k], of any layout. NaN is not 0; -0 is.

        Raises:
            InvalidArgumentError: another dtype or rank, or -128 among int8 values.
        """
        matrix = cls.__new__(cls)
        matrix._matrix = _core.CsrMatrix(_in_order(w, "w"))
        return matrix

    @classmethod
    def from_scipy(cls, matrix: Any) -> CsrMatrix:
        """From a sparse matrix or array of scipy, of any format; or what else has `tocsr()`.

        Args:
            matrix: float32 or int8, two axes. Values that stand in one place are added up, as scipy does it; the matrix
                itself is not changed.

        Raises:
            InvalidArgumentError: not such an object, or what the constructor refuses.
            ShapeError: as of the constructor.
        """
        try:
            rows = matrix.tocsr()
            if not getattr(rows, "has_canonical_format", True):
                rows = rows.copy()
                rows.sum_duplicates()
            parts = rows.indptr, rows.indices, rows.data, rows.shape
        except AttributeError as problem:
            raise InvalidArgumentError(
                f"CsrMatrix.from_scipy: {type(matrix).__name__} is not a sparse matrix ({problem})"
            ) from problem
        return cls(*parts)

    def matmul(self, x: Array, out: Array | None = None, threads: int | None = None) -> Array:
        """out[n, c] = sum over k of w[n, k] * x[k, c]; int8 exactly, in s32 (wrapping).

        Zeros of the matrix take no part, stored or not: their products with infinities and NaN in `x` are not seen.
        Each f32 sum adds up in one order, whatever `threads` and the other columns are.

        Args:
            x: C-contiguous, the dtype of the matrix, [k, c], or [k] for one column.
            out: C-contiguous, float32 or (of int8) int32, [n, c] or [n], to write into; None makes a new array.
            threads: None takes WHIT_NUM_THREADS, else the CPUs available; small products take fewer. The result does
                not depend on it.

        Returns:
            [n, c] or [n]; float32, or int32 of int8.

        Raises:
            InvalidArgumentError: another dtype or layout of x, or out overlaps x.
            ShapeError: sizes that do not fit; out of another dtype, shape or layout; more values than a packed form
                holds (4 GiB).
        """
        return self._matrix.matmul(x, out, threads)

    def __matmul__(self, x: Array) -> Array:
        return self._matrix.matmul(x)

    def to_dense(self) -> Array:
        """As an array [n, k]."""
        return self._matrix.to_dense()

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)."""
        return self._matrix.shape

    @property
    def nnz(self) -> int:
        """Stored values."""
        return self._matrix.nnz

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or int8."""
        return self._matrix.dtype

    @property
    def nbytes(self) -> int:
        """Bytes held: the rows, and what has been packed so far."""
        return self._matrix.nbytes

    @property
    def kernel(self) -> str:
        """The kernel for many columns on this CPU."""
        return self._matrix.kernel

    def __repr__(self) -> str:
        n, k = self.shape
        return f"CsrMatrix({n} x {k}, {self.nnz} values, {self.dtype})"


def _in_order(array: Array, name: str) -> Array:
    if not isinstance(array, np.ndarray):
        raise InvalidArgumentError(f"CsrMatrix: {name} must be a numpy array; got {type(array).__name__}")
    return array if array.flags.c_contiguous else array.copy()
