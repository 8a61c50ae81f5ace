"""Linear grids against their formulas written out, and what each way of finding a step promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from whit.compression.ranges import (
    Calibration,
    Distribution,
    activation_quantization,
    choose_range,
    kl_threshold,
    quantize_values,
)
from whit.compression.weights.linear import METHODS, find_linear_grid
from whit.errors import InvalidArgumentError, RecipeError, ShapeError


def weights(seed: int = 0, shape: tuple[int, ...] = (6, 3, 3, 5)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.normal(0, 1, (shape[0], *[1] * (len(shape) - 1))))
    return (rng.standard_t(4, shape) * spread + 0.1).astype(np.float32)


def noise(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Squared error of each output channel."""
    return np.square(found.astype(np.float64) - wanted).reshape(len(wanted), -1).sum(axis=1)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("granularity", ["tensor", "channel", 1, 7, 16, 45, 100])
def test_codes_stand_for_the_nearest_values(bits: int, symmetric: bool, granularity: str | int) -> None:
    w = weights(bits)
    codes = find_linear_grid(w, bits=bits, symmetric=symmetric, granularity=granularity).encode(w)
    assert codes.codes.shape == w.shape
    assert codes.codes.dtype == (np.int8 if symmetric else np.uint8)
    assert codes.scale.dtype == np.float32
    assert codes.zero_point.dtype == np.int32
    rows = w.reshape(6, -1)
    groups = {"tensor": (1,), "channel": (6,)}.get(granularity) or (6, -(-45 // int(granularity)))
    assert codes.scale.shape == codes.zero_point.shape == groups
    reach = (1 << (bits - 1)) - 1
    low, high = (-reach, reach) if symmetric else (0, (1 << bits) - 1)
    assert low <= codes.codes.min() <= codes.codes.max() <= high
    values = codes.dequantize()
    assert values.dtype == np.float32
    for row in range(6):
        for column in range(45):
            place = {"tensor": (0,), "channel": (row,)}.get(granularity) or (row, column // int(granularity))
            scale, zero = codes.scale[place], codes.zero_point[place]
            levels = (np.arange(low, high + 1) - zero).astype(np.float32) * scale
            got = values.reshape(6, -1)[row, column]
            assert got == np.float32(int(codes.codes.reshape(6, -1)[row, column]) - zero) * scale
            best = np.abs(levels.astype(np.float64) - rows[row, column]).min()
            assert abs(float(got) - rows[row, column]) <= best * (1 + 1e-5) + 1e-12
            assert 0 in levels


@pytest.mark.parametrize("granularity", ["tensor", "channel", 8])
def test_minmax_cuts_nothing_off(granularity: str | int) -> None:
    w = weights()
    for symmetric in (True, False):
        codes = find_linear_grid(w, bits=4, symmetric=symmetric, granularity=granularity).encode(w)
        scale = codes.scale if not codes.group else np.repeat(codes.scale, 8, axis=1)[:, :45]
        error = np.abs(codes.dequantize().astype(np.float64) - w).reshape(6, -1)
        # half a step, and for asymmetric codes what rounding the zero point moves
        assert (error <= scale.reshape(len(scale), -1) * (0.5 if symmetric else 1.0) * (1 + 1e-5)).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_mse_is_never_worse_than_minmax_and_near_the_best_of_all_ranges(bits: int, symmetric: bool) -> None:
    w = weights(3)
    found = noise(find_linear_grid(w, bits=bits, symmetric=symmetric, method="mse").encode(w).dequantize(), w)
    plain = noise(find_linear_grid(w, bits=bits, symmetric=symmetric).encode(w).dequantize(), w)
    assert (found <= plain * (1 + 1e-6)).all()
    if bits == 2:
        assert (found < plain).all()
    row = w[0].ravel().astype(np.float64)
    if symmetric:  # every step by brute force
        reach = (1 << (bits - 1)) - 1
        steps = np.abs(row).max() / reach * np.arange(0.05, 1.01, 0.0025)
        best = min(np.square(np.clip(np.rint(row / s), -reach, reach) * s - row).sum() for s in steps)
        assert found[0] <= best * 1.05


def test_mse_weighs_by_importance() -> None:
    w = weights(4)
    importance = np.random.default_rng(1).exponential(size=w.shape) ** 4
    weighted = find_linear_grid(w, bits=3, method="mse", importance=importance).encode(w).dequantize()
    plain = find_linear_grid(w, bits=3, method="mse").encode(w).dequantize()
    error = [
        (importance * np.square(found.astype(np.float64) - w)).reshape(6, -1).sum(axis=1) for found in (weighted, plain)
    ]
    assert (error[0] <= error[1] * (1 + 1e-6)).all()
    assert error[0].sum() < error[1].sum()


def test_finer_groups_have_less_noise() -> None:
    w = weights(5, (8, 256))
    errors = [
        noise(find_linear_grid(w, bits=4, granularity=each, method="mse").encode(w).dequantize(), w).sum()
        for each in ("tensor", "channel", 64, 16)
    ]
    assert errors == sorted(errors, reverse=True)


def test_a_given_step_and_percentiles() -> None:
    w = weights(6)
    codes = find_linear_grid(w, bits=4, step=0.25).encode(w)
    assert (codes.scale == 0.25).all()
    np.testing.assert_array_equal(codes.dequantize(), np.clip(np.rint(w / 0.25), -7, 7) * 0.25)
    codes = find_linear_grid(w, bits=8, method="percentile", percentile=90).encode(w)
    wanted = np.percentile(np.abs(w.reshape(6, -1)), 90, axis=1) / 127
    np.testing.assert_allclose(codes.scale, wanted, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_zeros_constants_and_tiny_values_survive(method: str, symmetric: bool) -> None:
    w = np.zeros((5, 40), np.float32)
    w[1], w[2], w[3, 0], w[4] = 3.0, -2.0, 1e-30, np.linspace(-1, 1, 40)
    values = find_linear_grid(w, method=method, symmetric=symmetric).encode(w).dequantize()
    assert not values[0].any()
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[1:3], w[1:3], rtol=1e-2)


def test_kl_threshold_is_the_least_divergence_written_out() -> None:
    rng = np.random.default_rng(2)
    for seed in range(3):
        counts = np.histogram(np.abs(rng.standard_t(3, 5000)), 200)[0]
        counts[rng.integers(0, 150, 20)] = 0
        levels = 16 + 3 * seed
        divergences = {}
        for kept in range(levels, len(counts) + 1):
            p = counts[:kept].astype(float)
            p[-1] += counts[kept:].sum()
            q = np.zeros(kept)
            edges = [-(-part * kept // levels) for part in range(levels + 1)]
            for begin, end in itertools.pairwise(edges):
                part = counts[begin:end]
                q[begin:end][part > 0] = part.sum() / max((part > 0).sum(), 1)
            if counts[kept - 1] == 0:
                continue
            p, q = p / p.sum(), q / q.sum()
            present = p > 0
            divergences[kept] = (p[present] * np.log(p[present] / q[present])).sum()
        best = min(divergences, key=divergences.__getitem__)
        assert kl_threshold(counts, levels) == best + 0.5


def test_kl_clips_outliers_and_keeps_what_fits() -> None:
    rng = np.random.default_rng(8)
    values = np.append(rng.normal(0, 1, 200_000), 40.0).astype(np.float32).reshape(1, -1)
    grid = find_linear_grid(values, bits=8, granularity="tensor", method="kl")
    assert 2.5 < grid.scale[0] * 127 < 12
    assert kl_threshold(np.ones(100), 128) == 100  # fewer bins than levels
    assert kl_threshold(np.zeros(300), 128) == 300
    assert kl_threshold(np.concatenate([np.ones(150), np.zeros(100)]), 200) == 250


@pytest.mark.parametrize("relu", [False, True])
def test_kl_ranges_of_activations(relu: bool) -> None:
    values = np.append(np.random.default_rng(9).normal(0, 1, 100_000), [30.0, -20.0])
    if relu:
        values = np.maximum(values, 0)
    unique, counts = np.unique(values, return_counts=True)
    distribution = Distribution(values.min(), values.max(), unique, counts)

    low, high = choose_range(distribution, Calibration("kl"))
    assert 2.5 < high < 12
    assert low == 0 if relu else -12 < low < -2.5
    quantization = activation_quantization(low, high)
    back = (quantize_values(values, quantization) - quantization.zero_point[0]) * quantization.scale[0]
    plain = activation_quantization(values.min(), values.max())
    other = (quantize_values(values, plain) - plain.zero_point[0]) * plain.scale[0]
    typical = np.abs(values) < 2.5
    assert np.square(back - values)[typical].mean() < 0.2 * np.square(other - values)[typical].mean()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"bits": 1}, RecipeError, "bits must be a whole number in 2..8"),
        ({"bits": 4.0}, RecipeError, "bits"),
        ({"method": "best"}, RecipeError, "method must be one of minmax"),
        ({"granularity": "row"}, RecipeError, "granularity"),
        ({"granularity": 0}, RecipeError, "granularity"),
        ({"granularity": 8, "method": "kl"}, RecipeError, "use 'mse'"),
        ({"percentile": 20}, RecipeError, "percentile"),
        ({"step": -1.0}, RecipeError, "step"),
        ({"importance": np.ones(3)}, ShapeError, "does not broadcast"),
        ({"importance": -np.ones(5)}, InvalidArgumentError, "not negative"),
    ],
)
def test_bad_options_name_the_layer(options: dict, error: type, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        find_linear_grid(weights(), layer="conv_7", **options)
    assert "'conv_7'" in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (np.ones((2, 2)), InvalidArgumentError),
        (np.full((2, 2), np.nan, np.float32), InvalidArgumentError),
        (np.ones(4, np.float32), ShapeError),
        (np.ones((0, 4), np.float32), ShapeError),
    ],
)
def test_bad_weights_name_the_layer(bad: np.ndarray, error: type) -> None:
    with pytest.raises(error, match="'conv_7'"):
        find_linear_grid(bad, layer="conv_7")
