"""whit.kernels.CsrMatrix: right products of whatever is given, and every check of arguments."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import whit
from whit.kernels import CsrMatrix

INF, NAN = np.inf, np.nan


def random_matrix(n: int, k: int, density: float, dtype: str, block: tuple[int, int] = (1, 1)) -> np.ndarray:
    """Zeros everywhere but in some blocks."""
    random = np.random.default_rng(n * 1000 + k)
    rows, columns = -(-n // block[0]), -(-k // block[1])
    mask = np.kron(random.random((rows, columns)) < density, np.ones(block, bool))[:n, :k]
    values = random.integers(1, 128, (n, k)) * random.choice([-1, 1], (n, k))
    return np.where(mask, values, 0).astype(dtype) * (np.float32(0.01) if dtype == "float32" else np.int8(1))


def random_lines(k: int, c: int | None, dtype: str) -> np.ndarray:
    random = np.random.default_rng(k)
    values = random.integers(-128, 128, (k,) if c is None else (k, c))
    return values.astype(dtype) / np.float32(64) if dtype == "float32" else values.astype(dtype)


def csr_arrays(w: np.ndarray, index: type = np.int64) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    rows, columns = np.nonzero(w)
    starts = np.searchsorted(rows, np.arange(w.shape[0] + 1))
    return starts.astype(index), columns.astype(index), w[rows, columns], w.shape


def assert_product(got: np.ndarray, w: np.ndarray, x: np.ndarray) -> None:
    if w.dtype == np.int8:
        assert got.dtype == np.int32
        np.testing.assert_array_equal(got, w.astype(np.int64) @ x.astype(np.int64))
        return
    assert got.dtype == np.float32
    exact = w.astype(np.float64) @ x.astype(np.float64)
    bound = np.abs(w).astype(np.float64) @ np.abs(x).astype(np.float64) * w.shape[1] * 2.0**-24
    assert got.shape == exact.shape
    assert (np.abs(got - exact) <= bound + 1e-30).all()


SIZES = [
    (1, 1, 1),
    (3, 5, 7),
    (33, 300, 49),
    (130, 64, 100),
    (700, 90, 16),
    (40, 2000, 3),
    (257, 513, 196),
    (3000, 400, 1),
    (2500, 300, 5),
]


@pytest.mark.parametrize(("n", "k", "c"), SIZES)
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.3, 1.0])
def test_products(n: int, k: int, c: int, dtype: str, density: float) -> None:
    w = random_matrix(n, k, density, dtype)
    matrix = CsrMatrix.from_dense(w)
    assert (matrix.shape, matrix.nnz, matrix.dtype) == ((n, k), np.count_nonzero(w), w.dtype)
    np.testing.assert_array_equal(matrix.to_dense(), w)
    x = random_lines(k, c, dtype)
    product = matrix @ x
    assert_product(product, w, x)
    for threads in (1, 2, 5):
        assert matrix.matmul(x, threads=threads).tobytes() == product.tobytes()
    column = matrix @ np.ascontiguousarray(x[:, 0])
    assert column.shape == (n,)
    assert column.tobytes() == (matrix @ np.ascontiguousarray(x[:, :1])).tobytes()
    assert column.tobytes() == product[:, 0].tobytes()


@pytest.mark.parametrize("block", [(1, 4), (4, 1), (8, 1), (4, 4)])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(("n", "k", "c"), [(64, 128, 49), (30, 50, 17), (500, 260, 1), (9, 4, 300)])
def test_blocks(block: tuple[int, int], dtype: str, n: int, k: int, c: int) -> None:
    w, x = random_matrix(n, k, 0.2, dtype, block), random_lines(k, c, dtype)
    for threads in (1, 3):
        assert_product(
            CsrMatrix(
                *csr_arrays(w),
            ).matmul(x, threads=threads),
            w,
            x,
        )


def test_extremes_do_not_saturate() -> None:
    for value in (-127, 127):
        w, x = np.full((20, 1000), value, np.int8), np.full((1000, 40), -128, np.int8)
        assert (CsrMatrix.from_dense(w) @ x == -128 * value * 1000).all()


@pytest.mark.parametrize("largest", [1, 7, 15, 127])
def test_small_and_large_weights(largest: int) -> None:
    w = np.clip(random_matrix(50, 700, 0.5, "int8"), -largest, largest)
    x = random_lines(700, 33, "int8")
    assert_product(CsrMatrix.from_dense(w) @ x, w, x)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_indices_of_either_width(index: type) -> None:
    w, x = random_matrix(20, 30, 0.2, "float32"), random_lines(30, 8, "float32")
    matrix = CsrMatrix(*csr_arrays(w, index))
    assert_product(matrix @ x, w, x)
    spread = [np.repeat(array, 2)[::2] for array in csr_arrays(w, index)[:3]]
    assert (CsrMatrix(*spread, w.shape) @ x).tobytes() == (matrix @ x).tobytes()


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (4, 6)])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("c", [None, 0, 1, 20])
def test_nothing_in_it(shape: tuple[int, int], dtype: str, c: int | None) -> None:
    n, k = shape
    empty = CsrMatrix(np.zeros(n + 1, np.int32), np.zeros(0, np.int32), np.zeros(0, dtype), shape)
    for matrix in (empty, CsrMatrix.from_dense(np.zeros(shape, dtype))):
        assert (matrix.nnz, matrix.shape, matrix.to_dense().shape) == (0, shape, shape)
        product = matrix @ random_lines(k, c, dtype)
        assert product.shape == ((n,) if c is None else (n, c))
        assert not product.any()


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("c", [None, 3, 70, 500])
@pytest.mark.parametrize("rows", [slice(0, 800), slice(700, 1500), slice(0, 1499), slice(1, 1500), slice(300, 302)])
def test_shares_of_threads_where_rows_are_empty(dtype: str, c: int | None, rows: slice) -> None:
    w, x = random_matrix(1500, 400, 0.4, dtype), random_lines(400, c, dtype)
    w[rows] = 0
    matrix = CsrMatrix.from_dense(w)
    sums = np.float32 if dtype == "float32" else np.int32
    product = matrix.matmul(x, threads=1)
    assert_product(product, w, x)
    for threads in (2, 3, 7):
        out = np.full(product.shape, 99, sums)
        assert matrix.matmul(x, out=out, threads=threads).tobytes() == product.tobytes()


def test_rows_without_values_and_stored_zeros() -> None:
    data = np.array([2.0, 0.0, -1.0], np.float32)
    matrix = CsrMatrix(np.array([0, 0, 2, 2, 3, 3]), np.array([1, 3, 0]), data, (5, 4))
    assert matrix.nnz == 3
    x = np.array([[1.0, 2], [3, 4], [5, 6], [INF, NAN]], np.float32)
    np.testing.assert_array_equal(matrix @ x, [[0, 0], [6, 8], [0, 0], [-1, -2], [0, 0]])


@pytest.mark.parametrize("c", [None, 1, 4, 70])
@pytest.mark.parametrize("block", [(1, 1), (4, 1), (8, 1)])
def test_values_that_are_not_finite(c: int | None, block: tuple[int, int]) -> None:
    """They reach the rows whose values they meet, and no others."""
    w = random_matrix(64, 80, 0.3, "float32", block)
    x = random_lines(80, c, "float32")
    row, column = np.argwhere(w)[40]
    for value in (INF, -INF, NAN):
        changed = w.copy()
        changed[row, column] = value
        got = CsrMatrix.from_dense(changed) @ x
        expected = CsrMatrix.from_dense(w) @ x
        np.testing.assert_array_equal(np.delete(got, row, 0), np.delete(expected, row, 0))
        np.testing.assert_array_equal(got[row], expected[row] + value * x[column])
        lines = x.copy()
        lines[column] = value
        got = CsrMatrix.from_dense(w) @ lines
        is_touched = w[:, column] != 0
        np.testing.assert_array_equal(got[~is_touched], expected[~is_touched])
        assert not np.isfinite(got[is_touched]).any()


def test_blocks_that_are_not_full_keep_their_zeros_out() -> None:
    w = random_matrix(64, 80, 0.3, "float32", (8, 1))
    row, column = np.argwhere(w)[100]
    w[row, column] = 0
    x = random_lines(80, 30, "float32")
    x[column] = NAN
    assert np.isfinite((CsrMatrix.from_dense(w) @ x)[row]).all()


def test_out_is_filled_and_returned() -> None:
    for dtype, sums in (("float32", np.float32), ("int8", np.int32)):
        w = random_matrix(10, 20, 0.2, dtype)
        for c in (None, 1, 13):
            x = random_lines(20, c, dtype)
            out = np.full((10,) if c is None else (10, c), 99, sums)
            matrix = CsrMatrix.from_dense(w)
            assert matrix.matmul(x, out=out) is out
            np.testing.assert_array_equal(out, matrix @ x)


def test_nothing_beside_out_is_written() -> None:
    for dtype, sums in (("float32", np.float32), ("int8", np.int32)):
        w, x = random_matrix(37, 50, 0.3, dtype), random_lines(50, 19, dtype)
        memory = np.full(37 * 19 + 200, 77, sums)
        for threads in (1, 4):
            CsrMatrix.from_dense(w).matmul(x, out=memory[100:-100].reshape(37, 19), threads=threads)
        assert (memory[:100] == 77).all()
        assert (memory[-100:] == 77).all()


def test_the_arrays_are_copied() -> None:
    w, x = random_matrix(10, 20, 0.3, "float32"), random_lines(20, 5, "float32")
    indptr, indices, data, shape = csr_arrays(w)
    matrix = CsrMatrix(indptr, indices, data, shape)
    indptr[:], indices[:], data[:] = -1, 2**40, NAN
    assert_product(matrix @ x, w, x)


def test_many_callers_at_once() -> None:
    for dtype in ("float32", "int8"):
        w = random_matrix(100, 200, 0.1, dtype)
        matrix = CsrMatrix.from_dense(w)
        xs = [random_lines(200, c, dtype) for c in (None, 1, 5, 16, 49, 196)] * 3
        with ThreadPoolExecutor(4) as pool:
            products = list(pool.map(functools.partial(matrix.matmul, threads=2), xs))
        for x, product in zip(xs, products, strict=True):
            assert_product(product, w, x)


def test_it_tells_what_it_is() -> None:
    matrix = CsrMatrix.from_dense(random_matrix(10, 20, 0.5, "int8"))
    assert "spmm_s8" in matrix.kernel
    assert "spmm_f32" in CsrMatrix.from_dense(np.ones((3, 3), np.float32)).kernel
    assert repr(matrix) == f"CsrMatrix(10 x 20, {matrix.nnz} values, int8)"
    before = matrix.nbytes
    assert before >= matrix.nnz * 5
    matrix @ random_lines(20, 30, "int8")
    assert matrix.nbytes > before


GOOD = ([0, 2, 3], [0, 3, 1], np.array([1, 2, 3], np.float32), (2, 4))


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        (0, [0, 2], r"indptr must have n \+ 1 = 3 items; got 2"),
        (0, [0, 2, 3, 3], r"n \+ 1 = 3 items; got 4"),
        (0, [1, 2, 3], "begin with 0; got 1"),
        (0, [-1, 2, 3], "begin with 0"),
        (0, [0, 4, 3], "must not fall; row 1 goes from 4 to 3"),
        (0, [0, -5, 3], "must not fall"),
        (0, [0, 2, 2], "ends with 2, but there are 3 values"),
        (0, [0, 2, 4], "ends with 4"),
        (0, [0, 2, 2**62], "ends with"),
        (0, [[0, 2, 3]], "one axis"),
        (0, np.array([0.0, 2, 3]), "int32 or int64; got float64"),
        (0, np.array([0, 2, 3], np.uint32), "int32 or int64; got uint32"),
        (0, np.array([0, 2, 3], ">i4"), "int32 or int64"),
        (1, [3, 0, 1], "row 0 must ascend; 0 follows 3"),
        (1, [0, 0, 1], "row 0 must ascend; 0 follows 0"),
        (1, [-1, 3, 1], "column -1 in row 0; columns go from 0 to 3"),
        (1, [0, 4, 1], "column 4 in row 0"),
        (1, [0, 3, 2**32], "column 4294967296 in row 1"),
        (1, [0, 3, -(2**63)], "in row 1"),
        (1, [0, 3], "indices has 2 items, data 3"),
        (1, [0, 3, 1, 2], "indices has 4 items"),
        (1, np.array([0, 3, 1], np.int16), "int16"),
        (2, np.array([1, 2], np.float32), "indices has 3 items, data 2"),
        (2, np.array([1.0, 2, 3]), "float32 or int8.*float64"),
        (2, np.array([1, 2, 3], np.uint8), "uint8"),
        (2, np.array([[1, 2, 3]], np.float32), "one axis"),
        (2, np.array([1, -128, 3], np.int8), "-128"),
        (3, (2, 3), "column 3 in row 0; columns go from 0 to 2"),
        (3, (2, 0), "columns go from 0 to -1"),
        (3, (3, 4), r"n \+ 1 = 4"),
        (3, (-1, 4), "from 0 to"),
        (3, (2, 2**31), "from 0 to"),
        (3, (2, 4, 1), "two sizes"),
        (3, (2.0, 4), "two sizes"),
        (3, 8, "two sizes"),
    ],
)
def test_bad_matrices(place: int, value: object, text: str) -> None:
    arguments = [np.array(GOOD[0]), np.array(GOOD[1]), *GOOD[2:]]
    assert CsrMatrix(*arguments).nnz == 3
    arguments[place] = np.array(value) if isinstance(value, list) else value
    with pytest.raises(whit.WhitError, match=text):
        CsrMatrix(*arguments)


def test_what_is_no_array() -> None:
    for place in range(3):
        arguments = [np.array(GOOD[0]), np.array(GOOD[1]), *GOOD[2:]]
        arguments[place] = [1, 2, 3]
        with pytest.raises(whit.InvalidArgumentError, match="numpy array"):
            CsrMatrix(*arguments)


@pytest.mark.parametrize(
    ("w", "text"),
    [
        (np.zeros((2, 3)), "float32 or int8.*float64"),
        (np.zeros(3, np.float32), r"\[n, k\]"),
        (np.zeros((2, 3, 4), np.int8), r"\[n, k\]"),
        (np.full((2, 2), -128, np.int8), "-128"),
        ([[1, 2]], "numpy array"),
    ],
)
def test_bad_dense_matrices(w: object, text: str) -> None:
    with pytest.raises(whit.InvalidArgumentError, match=text):
        CsrMatrix.from_dense(w)


def test_dense_matrices_of_any_layout() -> None:
    w = random_matrix(20, 30, 0.3, "float32")
    for same in (np.asfortranarray(w), np.repeat(w, 2, 1)[:, ::2]):
        np.testing.assert_array_equal(CsrMatrix.from_dense(same).to_dense(), w)


@pytest.mark.parametrize(
    ("x", "options", "error", "text"),
    [
        (np.zeros((4, 2), np.float64), {}, whit.InvalidArgumentError, r"float32 \[k, c\] or \[k\]; got float64"),
        (np.zeros((4, 2), np.int8), {}, whit.InvalidArgumentError, "int8"),
        (np.zeros((2, 4), np.float32).T, {}, whit.InvalidArgumentError, "C-contiguous"),
        (np.zeros(8, np.float32)[::2], {}, whit.InvalidArgumentError, "C-contiguous"),
        (np.zeros((4, 2, 1), np.float32), {}, whit.InvalidArgumentError, r"\[k, c\]"),
        (np.float32(3), {}, whit.InvalidArgumentError, "numpy array"),
        ([1, 2, 3, 4], {}, whit.InvalidArgumentError, "numpy array"),
        (np.zeros((3, 2), np.float32), {}, whit.ShapeError, "k = 4 rows; got float32"),
        (np.zeros(5, np.float32), {}, whit.ShapeError, "k = 4"),
        (np.zeros((4, 2), np.float32), {"out": np.zeros((2, 3), np.float32)}, whit.ShapeError, r"\[2, 2\]; got"),
        (np.zeros((4, 2), np.float32), {"out": np.zeros(2, np.float32)}, whit.ShapeError, r"\[2, 2\]; got"),
        (np.zeros(4, np.float32), {"out": np.zeros((2, 1), np.float32)}, whit.ShapeError, r"\[2\]; got"),
        (np.zeros((4, 2), np.float32), {"out": np.zeros((2, 2))}, whit.ShapeError, "got float64"),
        (np.zeros((4, 2), np.float32), {"out": np.zeros((2, 2), np.int32)}, whit.ShapeError, "got int32"),
        (np.zeros((4, 2), np.float32), {"out": np.zeros((2, 4), np.float32)[:, ::2]}, whit.ShapeError, "C-contiguous"),
        (np.zeros((4, 2), np.float32), {"out": "no"}, whit.InvalidArgumentError, "writable"),
        (np.zeros((4, 2), np.float32), {"threads": 0}, whit.InvalidArgumentError, "threads"),
        (np.zeros((4, 2), np.float32), {"threads": 10**6}, whit.InvalidArgumentError, "threads"),
    ],
)
def test_bad_calls(x: object, options: dict, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        CsrMatrix.from_dense(np.ones((2, 4), np.float32)).matmul(x, **options)


def test_out_that_is_read_only_or_overlaps() -> None:
    matrix = CsrMatrix.from_dense(np.ones((4, 4), np.float32))
    memory = np.zeros((9, 4), np.float32)
    with pytest.raises(whit.InvalidArgumentError, match="overlaps"):
        matrix.matmul(memory[:4], out=memory[3:7])
    matrix.matmul(memory[:4], out=memory[4:8])
    out = np.zeros((4, 4), np.float32)
    out.flags.writeable = False
    with pytest.raises(whit.ShapeError, match="writable"):
        matrix.matmul(memory[:4], out=out)


def test_from_the_other_side() -> None:
    with pytest.raises(TypeError):
        np.zeros((3, 2), np.float32) @ CsrMatrix.from_dense(np.ones((2, 4), np.float32))


class Rows:
    """What scipy's csr_matrix has, of unsorted rows with a column twice."""

    def __init__(self) -> None:
        self.shape = (2, 4)
        self.indptr = np.array([0, 3, 4], np.int32)
        self.indices = np.array([3, 0, 3, 1], np.int32)
        self.data = np.array([1, 2, 3, 4], np.float32)
        self.has_canonical_format = False

    def tocsr(self) -> Rows:
        return self

    def copy(self) -> Rows:
        return Rows()

    def sum_duplicates(self) -> None:
        self.indptr = np.array([0, 2, 3], np.int32)
        self.indices = np.array([0, 3, 1], np.int32)
        self.data = np.array([2, 4, 4], np.float32)


def test_what_looks_like_a_matrix_of_scipy() -> None:
    rows = Rows()
    np.testing.assert_array_equal(CsrMatrix.from_scipy(rows).to_dense(), [[2, 0, 0, 4], [0, 4, 0, 0]])
    assert rows.indices.tolist() == [3, 0, 3, 1]
    rows.has_canonical_format = True
    with pytest.raises(whit.InvalidArgumentError, match="must ascend"):
        CsrMatrix.from_scipy(rows)
    for other in (np.zeros((2, 2), np.float32), None, [1]):
        with pytest.raises(whit.InvalidArgumentError, match="is not a sparse matrix"):
            CsrMatrix.from_scipy(other)


def test_matrices_of_scipy() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    for dtype in ("float32", "int8"):
        w, x = random_matrix(30, 40, 0.2, dtype), random_lines(40, 9, dtype)
        for form in ("csr", "csc", "coo", "lil", "dok", "bsr"):
            assert_product(CsrMatrix.from_scipy(sparse.csr_matrix(w).asformat(form)) @ x, w, x)
        assert_product(CsrMatrix.from_scipy(sparse.csr_array(w)) @ x, w, x)
    twice = sparse.coo_matrix((np.ones(3, np.float32), ([0, 0, 1], [2, 2, 0])), (2, 3))
    np.testing.assert_array_equal(CsrMatrix.from_scipy(twice).to_dense(), [[0, 0, 2], [1, 0, 0]])
    with pytest.raises(whit.InvalidArgumentError, match=r"astype\(numpy.float32\)"):
        CsrMatrix.from_scipy(sparse.eye(3))


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512vnni"])
def test_instruction_sets(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHIT_ISA", isa)
    for dtype in ("float32", "int8"):
        w, x = random_matrix(70, 300, 0.1, dtype), random_lines(300, 49, dtype)
        try:
            matrix = CsrMatrix.from_dense(w)
        except whit.InvalidArgumentError:
            pytest.skip(f"this CPU has no {isa}")
        assert_product(matrix @ x, w, x)
        assert_product(matrix @ np.ascontiguousarray(x[:, 1]), w, x[:, 1])
