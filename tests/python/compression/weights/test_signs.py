"""Binary and ternary weights against the formulas of the two papers, and against every threshold there is."""

from __future__ import annotations

import numpy as np
import pytest

from whit.compression.weights.signs import find_sign_grid
from whit.errors import InvalidArgumentError, RecipeError


def weights(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(5, 3, 3, 8)) * np.exp(rng.normal(size=(5, 1, 1, 1)))).astype(np.float32)


def rows_of(w: np.ndarray, granularity: str) -> np.ndarray:
    return w.reshape(1 if granularity == "tensor" else len(w), -1).astype(np.float64)


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_binary_weights_are_signs_times_the_mean_magnitude(granularity: str) -> None:
    """Equation 6 of Rastegari et al."""
    w = weights()
    w[0, 0, 0, 0] = 0
    codes = find_sign_grid(w, kind="binary", granularity=granularity).encode(w)
    np.testing.assert_array_equal(codes.codes, np.where(w >= 0, 1, -1))
    np.testing.assert_allclose(codes.scale, np.abs(rows_of(w, granularity)).mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_ternary_weights_by_twn(granularity: str) -> None:
    """Equations 5 and 6 of Li and Liu: a threshold of 0.7 E|w|, and the mean magnitude above it."""
    w = weights(1)
    codes = find_sign_grid(w, granularity=granularity, method="twn").encode(w)
    rows, got = rows_of(w, granularity), codes.codes.reshape(len(codes.scale), -1)
    for row, code, scale in zip(rows, got, codes.scale, strict=True):
        above = np.abs(row) > 0.7 * np.abs(row).mean()
        np.testing.assert_array_equal(code, np.sign(row) * above)
        np.testing.assert_allclose(scale, np.abs(row)[above].mean(), rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_ternary_weights_of_least_squared_error(weighted: bool) -> None:
    """No threshold with its best scale does better."""
    w = weights(2).reshape(5, -1)
    importance = np.random.default_rng(0).exponential(size=w.shape) if weighted else np.ones(w.shape)
    values = find_sign_grid(w, importance=importance if weighted else None).encode(w).dequantize().astype(np.float64)
    for row, counts, value in zip(w.astype(np.float64), importance, values, strict=True):
        least = np.inf
        for threshold in np.abs(row):
            kept = np.abs(row) >= threshold
            scale = (np.abs(row) * counts)[kept].sum() / counts[kept].sum()
            least = min(least, (counts * np.square(np.sign(row) * kept * scale - row)).sum())
        np.testing.assert_allclose((counts * np.square(value - row)).sum(), least, rtol=1e-6)


def test_least_squares_are_not_worse_than_twn() -> None:
    w = weights(3)
    errors = [
        np.square(find_sign_grid(w, method=method).encode(w).dequantize() - w).reshape(5, -1).sum(axis=1)
        for method in ("mse", "twn")
    ]
    assert (errors[0] <= errors[1] * (1 + 1e-6)).all()
    assert errors[0].sum() < errors[1].sum()


@pytest.mark.parametrize("options", [{"kind": "binary"}, {"method": "twn"}, {"method": "mse"}])
def test_zeros_and_nearest(options: dict) -> None:
    w = weights(4).reshape(5, -1)
    w[0] = 0
    grid = find_sign_grid(w, **options)
    values = grid.encode(w).dequantize()
    assert np.isfinite(values).all()
    assert np.abs(values[0]).max() <= 1e-12
    for column in range(w.shape[1]):
        got = grid.nearest(w[:, column].astype(np.float64), np.full(5, column))
        np.testing.assert_array_equal(got.astype(np.float32), values[:, column])


@pytest.mark.parametrize("options", [{"kind": "quaternary"}, {"granularity": "group"}, {"method": "max"}])
def test_bad_options_name_the_layer(options: dict) -> None:
    with pytest.raises(RecipeError, match="layer 'fc1'"):
        find_sign_grid(weights(), layer="fc1", **options)


def test_bad_weights_name_the_layer() -> None:
    with pytest.raises(InvalidArgumentError, match="layer 'fc1'"):
        find_sign_grid(np.full((2, 2), np.inf, np.float32), layer="fc1")
