"""Powers of two against the formulas of the two papers."""

from __future__ import annotations

import numpy as np
import pytest

from whit.compression.weights.logarithmic import find_logarithmic_grid
from whit.errors import InvalidArgumentError, RecipeError


def weights(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.laplace(size=(5, 3, 3, 8)) * np.exp(rng.normal(size=(5, 1, 1, 1)))).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("method", ["inq", "mse"])
def test_values_are_the_nearest_powers_of_two(bits: int, granularity: str, method: str) -> None:
    w = weights(bits)
    codes = find_logarithmic_grid(w, bits=bits, granularity=granularity, method=method).encode(w)
    exponents = 2 ** (bits - 1) - 1
    assert codes.exponents == exponents
    assert codes.codes.dtype == np.int8
    assert np.abs(codes.codes).max() <= exponents
    assert codes.scale.shape == ((1,) if granularity == "tensor" else (5,))
    values = codes.dequantize()
    assert values.dtype == np.float32
    for row in range(5):
        scale = float(codes.scale[row % len(codes.scale)])
        powers = scale * 2.0 ** -np.arange(exponents)
        levels = np.concatenate([-powers, [0], powers])
        nearest = np.abs(w[row].ravel()[:, None].astype(np.float64) - levels[None]).min(axis=1)
        got = values[row].ravel().astype(np.float64)
        assert np.isin(got, levels).all()
        np.testing.assert_allclose(np.abs(got - w[row].ravel()), nearest, rtol=1e-12)


def test_inq_bounds() -> None:
    """n1 = floor(log2(4 s / 3)) of Zhou et al., equation 3."""
    w = weights()
    grid = find_logarithmic_grid(w, method="inq")
    largest = np.abs(w.reshape(5, -1)).max(axis=1).astype(np.float64)
    np.testing.assert_array_equal(grid.scale, 2.0 ** np.floor(np.log2(4 * largest / 3)))


def test_rounding_of_exponents() -> None:
    """round(log2 |w|) of Miyashita et al., equation 2."""
    w = weights(1)
    codes = find_logarithmic_grid(w, bits=5, rounding="log", method="inq").encode(w)
    scale = codes.scale.reshape(5, 1, 1, 1).astype(np.float64)
    power = np.clip(np.rint(np.log2(np.abs(w) / scale)), -14, 0)
    present = np.abs(w) >= scale * 2.0**-15
    np.testing.assert_array_equal(codes.dequantize()[present], (np.sign(w) * scale * 2.0**power)[present])
    assert not codes.dequantize()[~present].any()


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_linear_codes_are_the_same_values(bits: int) -> None:
    codes = find_logarithmic_grid(weights(2), bits=bits).encode(weights(2))
    linear = codes.linear()
    assert linear.codes.dtype == np.int8
    assert set(np.abs(linear.codes).ravel().tolist()) <= {0, *(1 << k for k in range(2 ** (bits - 1) - 1))}
    np.testing.assert_array_equal(linear.dequantize(), codes.dequantize())


def test_five_bits_are_no_s8_codes() -> None:
    with pytest.raises(RecipeError, match=r"'conv'.*use 4 bits or fewer, or a palette"):
        find_logarithmic_grid(weights(), bits=5).encode(weights()).linear("conv")


def test_searched_scales_are_never_worse() -> None:
    w = weights(3)
    importance = np.random.default_rng(0).exponential(size=w.shape)
    for each in (None, importance):
        errors = [
            ((1 if each is None else each) * np.square(found.dequantize().astype(np.float64) - w))
            .reshape(5, -1)
            .sum(axis=1)
            for found in (
                find_logarithmic_grid(w, method="mse", importance=each).encode(w),
                find_logarithmic_grid(w, method="inq").encode(w),
            )
        ]
        assert (errors[0] <= errors[1] * (1 + 1e-6)).all()
        assert errors[0].sum() < errors[1].sum()


def test_zeros_and_nearest() -> None:
    w = weights(4).reshape(5, -1)
    w[0] = 0
    grid = find_logarithmic_grid(w, bits=3)
    values = grid.encode(w).dequantize()
    assert not values[0].any()
    for column in range(w.shape[1]):
        got = grid.nearest(w[:, column].astype(np.float64), np.full(5, column))
        np.testing.assert_array_equal(got.astype(np.float32), values[:, column])


@pytest.mark.parametrize(
    "options", [{"bits": 1}, {"bits": 6}, {"granularity": "group"}, {"method": "max"}, {"rounding": "up"}]
)
def test_bad_options_name_the_layer(options: dict) -> None:
    with pytest.raises(RecipeError, match="layer 'fc1'"):
        find_logarithmic_grid(weights(), layer="fc1", **options)


def test_bad_weights_name_the_layer() -> None:
    with pytest.raises(InvalidArgumentError, match="layer 'fc1'"):
        find_logarithmic_grid(np.full((2, 2), np.inf, np.float32), layer="fc1")
