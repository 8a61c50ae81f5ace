"""whit.kernels: exact products, every check of arguments."""

from __future__ import annotations

import numpy as np
import pytest

import whit
from whit import kernels

RNG = np.random.default_rng(11)


def s8(*shape, low=-128):
    return RNG.integers(low, 127, shape, np.int8, endpoint=True)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (1, 1000, 257), (7, 65, 3), (33, 17, 129), (200, 64, 64)])
@pytest.mark.parametrize("threads", [None, 1, 2, 5])
def test_product_is_exact(m, n, k, threads):
    x, w = s8(m, k), s8(n, k, low=-127)
    got = kernels.gemm_s8(x, kernels.pack_s8(w), threads=threads)
    np.testing.assert_array_equal(got, x.astype(np.int32) @ w.astype(np.int32).T)
    assert got.dtype == np.int32


def test_extremes_do_not_saturate():
    x, w = np.full((5, 512), -128, np.int8), np.full((40, 512), -127, np.int8)
    assert (kernels.gemm_s8(x, kernels.pack_s8(w)) == 512 * 128 * 127).all()


def test_out_is_filled_and_returned():
    x, packed = s8(4, 8), kernels.pack_s8(s8(3, 8, low=-127))
    out = np.full((4, 3), 99, np.int32)
    assert kernels.gemm_s8(x, packed, out=out) is out
    np.testing.assert_array_equal(out, kernels.gemm_s8(x, packed))


def test_packed_tells_what_it_is():
    packed = kernels.pack_s8(s8(10, 20, low=-127))
    assert packed.shape == (10, 20)
    assert packed.nbytes >= 200
    assert "s8" in packed.kernel


def test_no_rows():
    assert kernels.gemm_s8(np.empty((0, 8), np.int8), kernels.pack_s8(s8(3, 8, low=-127))).shape == (0, 3)


@pytest.mark.parametrize(
    ("w", "text"),
    [
        (np.zeros((2, 3)), r"int8 \[n, k\]; got float64 \[2, 3\]"),
        (np.zeros(3, np.int8), r"\[n, k\]"),
        (np.zeros((4, 6), np.int8)[:, ::2], "C-contiguous"),
        (np.full((2, 2), -128, np.int8), "-128"),
        (np.zeros((0, 3), np.int8), "empty"),
        ([[1, 2]], "numpy array"),
    ],
)
def test_bad_weights(w, text):
    with pytest.raises(whit.WhitError, match=text):
        kernels.pack_s8(w)


@pytest.mark.parametrize(
    ("x", "options", "text"),
    [
        (np.zeros((2, 8), np.uint8), {}, "uint8"),
        (np.zeros((2, 7), np.int8), {}, "k = 8"),
        (np.zeros((2, 8), np.int8), {"out": np.zeros((2, 4), np.int32)}, r"int32 \[2, 3\]; got int32 \[2, 4\]"),
        (np.zeros((2, 8), np.int8), {"out": np.zeros((2, 3), np.int64)}, "int64"),
        (np.zeros((2, 8), np.int8), {"threads": 0}, "threads"),
    ],
)
def test_bad_calls(x, options, text):
    with pytest.raises(whit.WhitError, match=text):
        kernels.gemm_s8(x, kernels.pack_s8(s8(3, 8, low=-127)), **options)


def test_unknown_isa(monkeypatch):
    monkeypatch.setenv("WHIT_ISA", "avx9000")
    with pytest.raises(whit.InvalidArgumentError, match=r"avx9000.*usable here: scalar"):
        kernels.pack_s8(s8(3, 8, low=-127))


def test_isa_of_another_cpu(monkeypatch):
    import platform

    monkeypatch.setenv("WHIT_ISA", "neon" if platform.machine() == "x86_64" else "avx2")
    with pytest.raises(whit.InvalidArgumentError, match=r"this (CPU|build)"):
        kernels.pack_s8(s8(3, 8, low=-127))
