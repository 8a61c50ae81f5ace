"""whit.kernels: exact products with weights of 4 bits, every check of arguments."""

from __future__ import annotations

import numpy as np
import pytest

import whit
from whit import kernels

RNG = np.random.default_rng(12)


def s8(*shape, low=-128, high=127):
    return RNG.integers(low, high, shape, np.int8, endpoint=True)


def w4(*shape):
    return s8(*shape, low=-8, high=7)


@pytest.mark.parametrize(
    ("m", "n", "k"), [(1, 1, 1), (1, 1000, 257), (4, 65, 32), (5, 65, 3), (33, 17, 129), (200, 64, 64)]
)
@pytest.mark.parametrize("threads", [None, 1, 2, 5])
def test_product_is_exact(m, n, k, threads):
    x, w = s8(m, k), w4(n, k)
    got = kernels.gemm_w4(x, kernels.pack_w4(w), threads=threads)
    np.testing.assert_array_equal(got, x.astype(np.int32) @ w.astype(np.int32).T)
    assert got.dtype == np.int32


@pytest.mark.parametrize("m", [1, 5])
def test_extremes_do_not_saturate(m):
    x, w = np.full((m, 512), -128, np.int8), np.full((40, 512), -8, np.int8)
    assert (kernels.gemm_w4(x, kernels.pack_w4(w)) == 512 * 128 * 8).all()


def test_out_is_filled_and_returned():
    x, packed = s8(4, 8), kernels.pack_w4(w4(3, 8))
    out = np.full((4, 3), 99, np.int32)
    assert kernels.gemm_w4(x, packed, out=out) is out
    np.testing.assert_array_equal(out, kernels.gemm_w4(x, packed))


def test_packed_tells_what_it_is():
    packed = kernels.pack_w4(w4(512, 1024))
    assert packed.shape == (512, 1024)
    assert 512 * 1024 * 0.5 < packed.nbytes <= 512 * 1024 * 0.52
    assert "w4" in packed.kernel


def test_no_rows():
    assert kernels.gemm_w4(np.empty((0, 8), np.int8), kernels.pack_w4(w4(3, 8))).shape == (0, 3)


@pytest.mark.parametrize(
    ("w", "text"),
    [
        (np.zeros((2, 3)), r"pack_w4: w must be C-contiguous int8 \[n, k\]; got float64 \[2, 3\]"),
        (np.zeros(3, np.int8), r"\[n, k\]"),
        (np.zeros((4, 6), np.int8)[:, ::2], "C-contiguous"),
        (np.full((2, 2), 8, np.int8), "from 8 to 8; weights of 4 bits go from -8 to 7"),
        (np.full((2, 2), -9, np.int8), "from -9"),
        (np.zeros((0, 3), np.int8), "empty"),
        ([[1, 2]], "numpy array"),
    ],
)
def test_bad_weights(w, text):
    with pytest.raises(whit.WhitError, match=text):
        kernels.pack_w4(w)


@pytest.mark.parametrize(
    ("x", "options", "text"),
    [
        (np.zeros((2, 8), np.uint8), {}, "uint8"),
        (np.zeros((2, 7), np.int8), {}, "gemm_w4: x must have k = 8"),
        (np.zeros((2, 8), np.int8), {"out": np.zeros((2, 4), np.int32)}, r"int32 \[2, 3\]; got int32 \[2, 4\]"),
        (np.zeros((2, 8), np.int8), {"out": np.zeros((2, 3), np.int64)}, "int64"),
        (np.zeros((2, 8), np.int8), {"threads": 0}, "threads"),
    ],
)
def test_bad_calls(x, options, text):
    with pytest.raises(whit.WhitError, match=text):
        kernels.gemm_w4(x, kernels.pack_w4(w4(3, 8)), **options)


def test_out_may_not_be_x():
    memory = np.zeros(64, np.int8)
    with pytest.raises(whit.InvalidArgumentError, match="overlaps"):
        kernels.gemm_w4(
            memory[:8].reshape(1, 8), kernels.pack_w4(w4(3, 8)), out=memory[:12].view(np.int32).reshape(1, 3)
        )


def test_errors_have_their_types():
    with pytest.raises(whit.ShapeError):
        kernels.gemm_w4(np.zeros((2, 7), np.int8), kernels.pack_w4(w4(3, 8)))
    with pytest.raises(whit.InvalidArgumentError):
        kernels.pack_w4(np.full((2, 2), 8, np.int8))
