"""The optimum is the optimum, and every other way is no worse than it says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from whit.compression.weights import clustering
from whit.compression.weights.clustering import INITIAL, find_palettes
from whit.compression.weights.kmeans import exact, lloyd, points_of
from whit.compression.weights.linear import find_linear_grid
from whit.errors import InvalidArgumentError, RecipeError, ShapeError


def cost(values: np.ndarray, weights: np.ndarray, centroids: np.ndarray) -> float:
    return float((weights * np.square(values[:, None] - centroids[None]).min(axis=1)).sum())


def brute_force(values: np.ndarray, weights: np.ndarray, count: int, keep_zero: bool) -> float:
    """Least cost over all ways to cut the sorted values into intervals, one of them around 0 if asked for."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    best = np.inf
    for cuts in itertools.combinations_with_replacement(range(len(values) + 1), count - 1):
        bounds = [0, *cuts, len(values)]
        parts = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        around_mean, around_zero = [], []
        for part in parts:
            x, w = values[part], weights[part]
            mean = np.average(x, weights=w) if len(x) else 0.0
            around_mean.append((w * (x - mean) ** 2).sum())
            around_zero.append((w * x**2).sum())
        total = sum(around_mean)
        if keep_zero:
            total += min(b - a for a, b in zip(around_mean, around_zero, strict=True))
        best = min(best, total)
    return best


@pytest.mark.parametrize("keep_zero", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_dynamic_programming_equals_brute_force(count: int, keep_zero: bool) -> None:
    rng = np.random.default_rng(count)
    for _ in range(30):
        n = int(rng.integers(1, 13))
        values = np.round(rng.normal(0.3, 1, n), int(rng.integers(1, 4)))
        weights = rng.exponential(size=n) + 0.01
        centroids = exact(points_of(values, weights), count, keep_zero=keep_zero)
        assert len(centroids) <= count
        assert (np.diff(centroids) > 0).all()
        if keep_zero:
            assert 0.0 in centroids
        best = brute_force(values, weights, count, keep_zero)
        assert cost(values, weights, centroids) == pytest.approx(best, rel=1e-9, abs=1e-12)


def test_dynamic_programming_at_size_beats_many_restarts() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_t(3, 3000)
    points = points_of(values, None)
    best = cost(values, np.ones(3000), exact(points, 12))
    for seed in range(20):
        begin = np.random.default_rng(seed).choice(values, 12, replace=False)
        assert best <= cost(values, np.ones(3000), lloyd(points, begin)) * (1 + 1e-12)


def test_lloyd_never_raises_the_error_and_fills_empty_clusters() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=500)
    points = points_of(values, None)
    begin = np.array([-100.0, -90.0, 50.0, 60.0, 70.0, 0.0])  # most of them own nothing
    errors = [cost(values, np.ones(500), lloyd(points, begin, iterations=each)) for each in range(12)]
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(errors))
    found = lloyd(points, begin)
    owners = np.abs(values[:, None] - found[None]).argmin(axis=1)
    assert len(np.unique(owners)) == 6
    kept = lloyd(points, begin, keep_zero=True)
    assert 0.0 in kept
    assert len(np.unique(kept)) == 6


@pytest.mark.parametrize("init", INITIAL)
@pytest.mark.parametrize("keep_zero", [False, True])
@pytest.mark.parametrize("channels", [None, 1, 4])
def test_palettes(init: str, keep_zero: bool, channels: int | None) -> None:
    rng = np.random.default_rng(2)
    w = rng.standard_t(4, (6, 3, 3, 4)).astype(np.float32)
    if keep_zero:
        w[rng.random(w.shape) < 0.6] = 0
    codes = find_palettes(w, entries=8, init=init, keep_zero=keep_zero, channels=channels).encode(w)
    assert codes.codes.shape == w.shape
    assert codes.codes.dtype == np.uint8
    assert codes.palettes.dtype == np.float32
    assert codes.palettes.shape == ({None: 1, 1: 6, 4: 2}[channels], 8)
    values = codes.dequantize()
    for row in range(6):
        palette = codes.palettes[row // (channels or 6)].astype(np.float64)
        assert (np.diff(palette) >= 0).all()
        nearest = np.abs(w[row].ravel()[:, None].astype(np.float64) - palette[None]).min(axis=1)
        np.testing.assert_array_equal(np.abs(values[row].ravel().astype(np.float64) - w[row].ravel()), nearest)
    if keep_zero:
        assert (codes.palettes == 0).any(axis=1).all()
        assert not values[w == 0].any()


def test_optimum_is_never_worse_than_the_other_ways_or_a_uniform_grid() -> None:
    rng = np.random.default_rng(3)
    for bits in (2, 3, 4):
        w = rng.standard_t(4, (5, 300)).astype(np.float32)
        errors = {
            init: np.square(found.encode(w).dequantize().astype(np.float64) - w).sum()
            for init in INITIAL
            for found in [find_palettes(w, entries=1 << bits, init=init)]
        }
        assert errors["exact"] <= min(errors.values()) * (1 + 1e-6)
        for symmetric in (True, False):
            for method in ("minmax", "mse"):
                grid = find_linear_grid(w, bits=bits, symmetric=symmetric, granularity="tensor", method=method)
                assert errors["exact"] <= np.square(grid.encode(w).dequantize().astype(np.float64) - w).sum()


def test_many_weights_come_close_to_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    w = np.random.default_rng(4).laplace(size=(20, 500)).astype(np.float32)

    def error() -> float:
        return float(np.square(find_palettes(w, entries=16).encode(w).dequantize().astype(np.float64) - w).sum())

    best = error()
    monkeypatch.setattr(clustering, "_EXACT_WORK", 1 << 13)
    assert best <= error() <= best * 1.01


def test_importance_moves_centroids() -> None:
    rng = np.random.default_rng(5)
    w = rng.normal(size=(8, 64)).astype(np.float32)
    importance = rng.exponential(size=(1, 64)) ** 3

    def error(values: np.ndarray) -> float:
        return float((importance * np.square(values.astype(np.float64) - w)).sum())

    weighted = find_palettes(w, entries=4, importance=importance).encode(w)
    plain = find_palettes(w, entries=4).encode(w)
    assert error(weighted.dequantize()) < error(plain.dequantize())
    # without any weight all count alike
    none = find_palettes(w, entries=4, importance=np.zeros(64)).encode(w)
    np.testing.assert_array_equal(none.palettes, plain.palettes)


def test_seeds_repeat() -> None:
    w = np.random.default_rng(6).normal(size=(4, 100)).astype(np.float32)
    found = [find_palettes(w, entries=8, init="random", seed=seed, iterations=1).palettes for seed in (1, 1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize("init", INITIAL)
def test_fewer_values_than_entries(init: str) -> None:
    w = np.tile(np.array([-1, 0, 2], np.float32), (4, 2))
    for keep_zero in (False, True):
        codes = find_palettes(w, entries=16, init=init, keep_zero=keep_zero).encode(w)
        np.testing.assert_array_equal(codes.dequantize(), w)
    one = np.full((2, 3), 0.25, np.float32)
    np.testing.assert_array_equal(find_palettes(one, entries=2, init=init).encode(one).dequantize(), one)


def test_nearest_is_what_encode_gives() -> None:
    rng = np.random.default_rng(7)
    w = rng.normal(size=(6, 50)).astype(np.float32)
    for channels in (None, 2):
        grid = find_palettes(w, entries=5, channels=channels)
        values = grid.encode(w).dequantize()
        for column in range(50):
            got = grid.nearest(w[:, column].astype(np.float64), np.full(6, column))
            np.testing.assert_array_equal(got.astype(np.float32), values[:, column])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"entries": 1}, RecipeError),
        ({"entries": 257}, RecipeError),
        ({"init": "kmeans++"}, RecipeError),
        ({"channels": 0}, RecipeError),
        ({"iterations": -1}, RecipeError),
        ({"importance": np.ones((2, 2, 2))}, ShapeError),
        ({"importance": np.full(4, np.nan)}, InvalidArgumentError),
    ],
)
def test_bad_options_name_the_layer(options: dict, error: type) -> None:
    with pytest.raises(error, match="layer 'fc1'"):
        find_palettes(np.ones((3, 4), np.float32), layer="fc1", **options)
