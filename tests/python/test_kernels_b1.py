"""whit.kernels: exact products of +1 and -1, as values and as bits, every check of arguments."""

from __future__ import annotations

import numpy as np
import pytest

import whit
from whit import kernels

RNG = np.random.default_rng(13)


def signs(*shape):
    return RNG.choice(np.array([-1, 1], np.int8), shape)


def bits(values):
    return np.packbits(values < 0, axis=1, bitorder="little")


SIZES = [(1, 1, 1), (1, 1000, 257), (4, 65, 32), (5, 65, 3), (33, 17, 129), (70, 24, 1152), (200, 64, 64)]


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
@pytest.mark.parametrize("threads", [None, 1, 2, 5])
def test_product_is_exact(m, n, k, threads):
    x, w = signs(m, k), signs(n, k)
    got = kernels.gemm_b1(x, kernels.pack_b1(w), threads=threads)
    np.testing.assert_array_equal(got, x.astype(np.int32) @ w.astype(np.int32).T)
    assert got.dtype == np.int32


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512icl", "neon", "neon32"])
def test_bits_are_the_same_values_on_every_level(m, n, k, isa, monkeypatch):
    if isa not in whit._core.cpu()["active"]:
        pytest.skip(f"no {isa} here")
    monkeypatch.setenv("WHIT_ISA", isa)
    x, w = signs(m, k), signs(n, k)
    packed = kernels.pack_b1(bits(w), k=k)
    assert packed.kernel.endswith(isa)
    expected = x.astype(np.int32) @ w.astype(np.int32).T
    np.testing.assert_array_equal(kernels.gemm_b1(bits(x), packed), expected)
    np.testing.assert_array_equal(kernels.gemm_b1(x, packed), expected)
    np.testing.assert_array_equal(kernels.gemm_b1(bits(x), kernels.pack_b1(w, k=k)), expected)


@pytest.mark.parametrize("k", [1, 7, 9, 63])
def test_bits_beyond_k_do_not_count(k):
    x, w = signs(5, k), signs(20, k)
    noise = np.uint8(0xFF << k % 8 & 0xFF)
    x_bits, w_bits = bits(x), bits(w)
    x_bits[:, -1] ^= noise
    packed = kernels.pack_b1(w_bits, k)
    np.testing.assert_array_equal(kernels.gemm_b1(x_bits, packed), x.astype(np.int32) @ w.astype(np.int32).T)


def test_extremes():
    ones = np.ones((3, 5000), np.int8)
    packed = kernels.pack_b1(ones)
    assert (kernels.gemm_b1(ones, packed) == 5000).all()
    assert (kernels.gemm_b1(-ones, packed) == -5000).all()


def test_out_is_filled_and_returned():
    x, packed = signs(4, 8), kernels.pack_b1(signs(3, 8))
    out = np.full((4, 3), 99, np.int32)
    assert kernels.gemm_b1(x, packed, out=out) is out
    np.testing.assert_array_equal(out, kernels.gemm_b1(x, packed))


def test_packed_tells_what_it_is():
    packed = kernels.pack_b1(signs(10, 20))
    assert packed.shape == (10, 20)
    assert packed.nbytes >= 30
    assert "b1" in packed.kernel
    assert kernels.pack_b1(np.zeros((10, 3), np.uint8), k=20).shape == (10, 20)


def test_no_rows():
    packed = kernels.pack_b1(signs(3, 8))
    assert kernels.gemm_b1(np.empty((0, 8), np.int8), packed).shape == (0, 3)
    assert kernels.gemm_b1(np.empty((0, 1), np.uint8), packed).shape == (0, 3)


@pytest.mark.parametrize(
    ("w", "options", "error", "text"),
    [
        (np.ones((2, 3)), {}, whit.InvalidArgumentError, r"int8 \[n, k\].*got float64 \[2, 3\]"),
        (np.ones(3, np.int8), {}, whit.InvalidArgumentError, r"\[n, k\].*got int8 \[3\]"),
        (np.ones((4, 6), np.int8)[:, ::2], {}, whit.InvalidArgumentError, "C-contiguous"),
        ([[1, -1]], {}, whit.InvalidArgumentError, "numpy array"),
        (np.array([[1, -1], [1, 0]], np.int8), {}, whit.InvalidArgumentError, r"has 0 at \[1, 1\]; .*numpy.where"),
        (np.array([[1, 1, -128]], np.int8), {}, whit.InvalidArgumentError, r"has -128 at \[0, 2\]"),
        (np.array([[1, 3]], np.int8), {}, whit.InvalidArgumentError, r"has 3 at \[0, 1\]"),
        (np.array([[-3, 1]], np.int8), {}, whit.InvalidArgumentError, r"has -3 at \[0, 0\]"),
        (np.zeros((2, 3), np.uint8), {}, whit.InvalidArgumentError, "k="),
        (np.zeros((2, 3), np.uint8), {"k": 25}, whit.ShapeError, r"4 bytes a row for k = 25; got uint8 \[2, 3\]"),
        (np.zeros((2, 3), np.uint8), {"k": 16}, whit.ShapeError, "2 bytes a row for k = 16"),
        (np.ones((2, 3), np.int8), {"k": 4}, whit.ShapeError, "4 values a row for k = 4"),
        (np.zeros((2, 0), np.uint8), {"k": 0}, whit.ShapeError, "k must be from 1"),
        (np.zeros((2, 1), np.uint8), {"k": -8}, whit.ShapeError, "k must be from 1"),
        (np.zeros((2, 1), np.uint8), {"k": 2**40}, whit.ShapeError, "2\\^31"),
        (np.zeros((0, 3), np.int8), {}, whit.ShapeError, "empty"),
        (np.zeros((3, 0), np.int8), {}, whit.ShapeError, "k must be from 1"),
    ],
)
def test_bad_weights(w, options, error, text):
    with pytest.raises(error, match=text):
        kernels.pack_b1(w, **options)


@pytest.mark.parametrize(
    ("x", "options", "error", "text"),
    [
        (np.ones((2, 20), np.float32), {}, whit.InvalidArgumentError, r"gemm_b1: x .*got float32 \[2, 20\]"),
        (np.ones((2, 19), np.int8), {}, whit.ShapeError, "20 values a row for k = 20"),
        (np.ones((2, 20), np.uint8), {}, whit.ShapeError, "3 bytes a row for k = 20"),
        (np.zeros((2, 20), np.int8), {}, whit.InvalidArgumentError, r"x has 0 at \[0, 0\]"),
        (np.ones((2, 20), np.int8), {"out": np.zeros((2, 4), np.int32)}, whit.ShapeError, r"int32 \[2, 3\]; got"),
        (np.ones((2, 20), np.int8), {"out": np.zeros((2, 3), np.int64)}, whit.ShapeError, "int64"),
        (np.ones((2, 20), np.int8), {"out": [0]}, whit.InvalidArgumentError, "gemm_b1: out"),
        (np.ones((2, 20), np.int8), {"threads": 0}, whit.InvalidArgumentError, "threads"),
    ],
)
def test_bad_calls(x, options, error, text):
    packed = kernels.pack_b1(signs(3, 20))
    with pytest.raises(error, match=text):
        kernels.gemm_b1(x, packed, **options)


def test_out_must_not_overlap():
    packed = kernels.pack_b1(signs(3, 96))
    memory = np.zeros((4, 12), np.uint8)
    with pytest.raises(whit.InvalidArgumentError, match="out overlaps x"):
        kernels.gemm_b1(memory, packed, out=memory.view(np.int32))


def test_level_of_this_cpu_is_told_and_taken(monkeypatch):
    """avx512icl lies above avx512vnni, below amx."""
    found = whit._core.cpu()
    if "avx512icl" not in found["detected"]:
        pytest.skip("no such CPU")
    assert "avx512icl" in found["compiled"]
    monkeypatch.setenv("WHIT_ISA", "avx512icl")
    active = whit._core.cpu()["active"]
    assert active[-1] == "avx512icl"
    assert "avx512vnni" in active
    monkeypatch.setenv("WHIT_ISA", "avx512vnni")
    assert "avx512icl" not in whit._core.cpu()["active"]
    assert kernels.pack_b1(signs(3, 8)).kernel.endswith("avx2")
