"""Quantisation formulas against numpy written out."""

from __future__ import annotations

import numpy as np
import pytest

from whit.compression.ranges import (
    Calibration,
    Distribution,
    activation_quantization,
    choose_range,
    quantize_values,
    widen_for_bias,
)
from whit.compression.weights.linear import find_linear_grid

RNG = np.random.default_rng(7)


def real(q: np.ndarray, quantization) -> np.ndarray:
    return (q.astype(np.float64) - quantization.zero_point[0]) * quantization.scale[0]


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-1, 1), (-3, 0.5), (2, 5), (-7, -2), (-1e-3, 900), (0, 1e-9)])
def test_activations_hold_zero_exactly(low: float, high: float) -> None:
    quantization = activation_quantization(low, high)
    assert quantization.scale.dtype == np.float32
    assert quantization.zero_point.dtype == np.int32
    assert -128 <= quantization.zero_point[0] <= 127
    assert quantization.axis is None
    assert real(quantize_values(np.zeros(1, np.float32), quantization), quantization)[0] == 0
    step = float(quantization.scale[0])
    assert step == pytest.approx(max(max(high, 0) - min(low, 0), 0) / 255, rel=1e-6, abs=2.0**-40)
    values = np.linspace(min(low, 0), max(high, 0), 1000).astype(np.float32)
    assert np.abs(real(quantize_values(values, quantization), quantization) - values).max() <= step * 1.0001


def test_constant_zero_has_a_sane_scale() -> None:
    quantization = activation_quantization(0.0, 0.0)
    assert quantization.scale[0] == 1
    assert quantization.zero_point[0] == 0


def test_scalars_are_exact() -> None:
    for value in (0.5, -3.7, 1e-4, 12345.0):
        quantization = activation_quantization(value, value)
        got = real(quantize_values(np.array([value], np.float32), quantization), quantization)
        assert got[0] == pytest.approx(value, rel=1e-6)


def test_rounding_is_half_to_even() -> None:
    from whit.ir import Quantization

    quantization = Quantization(np.array([2], np.float32), np.array([0], np.int32))
    values = np.array([1, 3, 5, -1, -3, 1e9, -1e9], np.float32)
    np.testing.assert_array_equal(quantize_values(values, quantization), [0, 2, 2, 0, -2, 127, -128])
    np.testing.assert_array_equal(quantize_values(values, quantization, -127), [0, 2, 2, 0, -2, 127, -127])


def test_biases_always_fit_s32() -> None:
    weights = np.array([[1e-12, -1e-12], [1.0, 0.5], [0, 0], [0, 0]], np.float32)
    bias = np.array([1e6, 1.0, 3.7, 0.0], np.float32)
    found = find_linear_grid(weights).scale
    scale = widen_for_bias(found, weights, bias, 1e-3)
    assert (scale[:2] >= found[:2]).all()
    steps = bias / (scale.astype(np.float64) * 1e-3)
    assert np.abs(steps).max() <= 2.0**30 * (1 + 1e-6)
    assert np.isfinite(scale).all()
    assert (scale > 0).all()
    assert scale[1] == np.float32(1 / 127)
    # a channel without weights still gives its bias to one part in a million
    assert np.rint(steps[2]) * scale[2] * 1e-3 == pytest.approx(3.7, rel=1e-6)


def spread(values: np.ndarray) -> Distribution:
    unique, counts = np.unique(values, return_counts=True)
    return Distribution(float(values.min()), float(values.max()), unique, counts)


def test_minmax_and_zero() -> None:
    assert choose_range(spread(np.array([2.0, 5.0])), Calibration("minmax")) == (0.0, 5.0)
    assert choose_range(spread(np.array([-2.0, -1.0])), Calibration("minmax")) == (-2.0, 0.0)


def test_percentile_is_exact() -> None:
    values = np.arange(-1000, 9001, dtype=np.float64)
    low, high = choose_range(spread(values), Calibration("percentile", percentile=99.0))
    ordered = np.sort(values)
    count = len(values)
    assert low == ordered[int(np.ceil(0.01 * count)) - 1]
    assert high == ordered[int(np.ceil(0.99 * count)) - 1]
    assert choose_range(spread(values), Calibration("percentile", percentile=100.0)) == (-1000.0, 9000.0)


def test_percentile_keeps_zero_inside() -> None:
    assert choose_range(spread(np.arange(5.0, 1000.0)), Calibration("percentile", percentile=90.0))[0] == 0.0


@pytest.mark.parametrize("shift", [0.0, 1.0, 30.0])
def test_least_squares_finds_the_best_of_all_grids(shift: float) -> None:
    """No pair of bounds out of a full grid does better than the search by more than a hair."""
    values = np.concatenate([RNG.normal(shift, 1, 4000), [shift + 40, -50.0]])
    calibration = Calibration("mse")
    low, high = choose_range(spread(values), calibration)

    def error(bottom: float, top: float) -> float:
        quantization = activation_quantization(bottom, top)
        return float(np.square(real(quantize_values(values, quantization), quantization) - values).sum())

    shares = np.arange(5, 101, 5) / 100
    best = min(error(values.min() * a, values.max() * b) for a in shares for b in shares)
    assert error(low, high) <= best * 1.02
    assert error(low, high) <= error(values.min(), values.max())


def test_least_squares_clips_outliers_of_many_values() -> None:
    values = np.concatenate([np.abs(RNG.normal(0, 1, 200_000)), [60.0]])
    low, high = choose_range(spread(values), Calibration("mse"))
    assert low == 0
    assert high < 60
