"""Patterns of what stays, and how much of each layer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from whit.compression.weights.masks import Pattern, block_starts
from whit.compression.weights.shares import between, shares_by_damage, shares_by_score
from whit.errors import RecipeError


def scores(groups: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).exponential(size=(groups, rows, columns))


def test_blocks_begin_anew_at_every_tap() -> None:
    assert block_starts(12, 4).tolist() == [0, 4, 8]
    assert block_starts(10, 4).tolist() == [0, 4, 8]
    assert block_starts(18, 4, 6).tolist() == [0, 4, 6, 10, 12, 16]
    assert block_starts(9, 4, 3).tolist() == [0, 3, 6]


@pytest.mark.parametrize("text", ["1x4", "4x1", "8x1", "2x3"])
@pytest.mark.parametrize("channels", [8, 6, 3])
def test_blocks_of_a_tap_stay_or_go_as_one(text: str, channels: int) -> None:
    """3 x 3 taps; no block reaches from one into the next, whatever the number of channels."""
    pattern, values = Pattern.of(text), scores(1, 10, 9 * channels)
    starts = block_starts(9 * channels, pattern.width, channels)
    kept = pattern.keep(values, starts, 0.75)
    by_tap, by_score = kept.reshape(10, 9, channels), values.reshape(10, 9, channels)
    means, there = [], []
    for row, tap, channel in itertools.product(
        range(0, 10, pattern.height), range(9), range(0, channels, pattern.width)
    ):
        block = (slice(row, row + pattern.height), tap, slice(channel, channel + pattern.width))
        assert by_tap[block].all() or not by_tap[block].any()
        means.append(by_score[block].mean())
        there.append(bool(by_tap[block].any()))
    order = np.argsort(means)
    assert np.array(there)[order].tolist() == sorted(there)  # those with the largest means stay
    assert sum(there) == len(there) - round(0.75 * len(there))


def test_some_of_every_few_columns_of_a_tap() -> None:
    values = scores(1, 4, 18)
    kept = Pattern.of("2:4").keep(values, block_starts(18, 4, 6), 0.9).reshape(4, 3, 6)
    assert (kept[:, :, :4].sum(axis=2) == 2).all()
    assert kept[:, :, 4:].all()
    ordered = np.sort(values.reshape(4, 3, 6)[:, :, :4], axis=2)
    np.testing.assert_array_equal(kept[:, :, :4], values.reshape(4, 3, 6)[:, :, :4] >= ordered[:, :, 2:3])


@pytest.mark.parametrize("text", ["", "0x4", "1x", "4:2", "0:4", "rows", "100x1"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(RecipeError, match=r"prune\.pattern"):
        Pattern.of(text, "prune.pattern")


def test_shares_by_score_do_not_depend_on_the_scale_of_a_layer() -> None:
    rng = np.random.default_rng(1)
    layers = {"a": rng.exponential(size=400), "b": rng.exponential(size=100)}
    ones = {name: (values, np.ones(len(values))) for name, values in layers.items()}
    found = shares_by_score(ones, 0.6)
    assert 400 * found["a"] + 100 * found["b"] == pytest.approx(300)
    scaled = shares_by_score(
        {name: (values * 10**6 if name == "b" else values, size) for name, (values, size) in ones.items()}, 0.6
    )
    assert scaled == found


def test_shares_by_score_spare_what_is_dense_in_score() -> None:
    """A layer with a few large scores gives more than one whose scores are alike; none goes altogether."""
    few, alike = np.full(100, 1e-3), np.linspace(1.0, 1.1, 100)
    few[:5] = 1.0
    ones = {"few": (few, np.ones(100)), "alike": (alike, np.ones(100))}
    found = shares_by_score(ones, 0.5)
    assert found["few"] > 0.9 > 0.1 > found["alike"]
    everything = shares_by_score(ones, 0.99)
    assert all(share < 1 for share in everything.values())


def test_shares_by_score_count_weights_not_blocks() -> None:
    sizes = np.array([4.0, 4.0, 1.0])
    found = shares_by_score({"a": (np.array([1.0, 2.0, 3.0]), sizes), "b": (np.ones(1), np.full(1, 9.0))}, 4 / 18)
    assert found == {"a": pytest.approx(4 / 9), "b": 0.0}


def brute_force(damage: dict[str, list[tuple[float, float]]], sizes: dict[str, int], sparsity: float) -> float:
    """The least damage of all combinations of a fine grid of shares that reach the sparsity."""
    grid = np.linspace(0, 0.9, 46)
    best, total = np.inf, sparsity * sum(sizes.values())
    curves = [np.interp(grid, *zip(*points, strict=True)) for points in damage.values()]
    weights = list(sizes.values())
    for places in itertools.product(range(len(grid)), repeat=len(curves)):
        if sum(grid[place] * size for place, size in zip(places, weights, strict=True)) >= total - 1e-9:
            best = min(best, sum(curve[place] for curve, place in zip(curves, places, strict=True)))
    return float(best)


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8])
def test_shares_by_damage_are_the_least_damaging(sparsity: float) -> None:
    """Convex damages: as good as every combination of a grid."""
    damage = {
        "a": [(0.0, 0.0), (0.5, 0.01), (0.9, 0.3)],
        "b": [(0.0, 0.0), (0.5, 0.2), (0.9, 1.5)],
        "c": [(0.0, 0.0), (0.5, 0.05), (0.9, 0.1)],
    }
    sizes = {"a": 1000, "b": 200, "c": 500}
    found = shares_by_damage(damage, sizes, sparsity)
    assert sum(found[name] * sizes[name] for name in sizes) == pytest.approx(sparsity * 1700)
    got = sum(float(np.interp(found[name], *zip(*points, strict=True))) for name, points in damage.items())
    assert got <= brute_force(damage, sizes, sparsity) + 1e-6


def test_damage_grows_as_powers_between_what_is_known() -> None:
    points = [(0.5, 2 * 0.5**3), (0.7, 2 * 0.7**3), (0.9, 2 * 0.9**3)]
    found = between(points)
    shares = [share for share, _ in found]
    assert found[0] == (0.0, 0.0)
    assert shares == sorted(shares)
    assert shares[-1] == 0.9
    assert set(points) <= set(found)
    np.testing.assert_allclose([damage for _, damage in found], [2 * share**3 for share in shares], rtol=1e-9)
    # Never a hump below the first: nothing known says that half of it costs more than half.
    flat = dict(between([(0.5, 1.0), (0.9, 1.0)]))
    assert flat[0.25] == pytest.approx(0.5)
    # No damage at all is no reason to fall over.
    assert all(damage < 1e-200 for _, damage in between([(0.5, 0.0), (0.9, 0.0)]))


def test_shares_by_damage_take_what_there_is() -> None:
    damage = {"a": [(0.0, 0.0), (0.9, 0.3)], "b": [(0.0, 0.0), (0.5, 0.4), (0.9, 0.5)]}  # b: not convex
    assert shares_by_damage(damage, {"a": 10, "b": 10}, 1.0) == {"a": pytest.approx(0.9), "b": pytest.approx(0.9)}
    assert shares_by_damage(damage, {"a": 10, "b": 10}, 0.0) == {"a": 0.0, "b": 0.0}
