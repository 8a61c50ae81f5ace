"""Second-order rounding and pruning: better where inputs are correlated, plain rounding where they are not."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from whit.compression.weights.clustering import find_palettes
from whit.compression.weights.compensated import prune_compensated, reconstruct, round_compensated
from whit.compression.weights.grid import Grid
from whit.compression.weights.linear import LinearGrid, find_linear_grid
from whit.compression.weights.logarithmic import find_logarithmic_grid
from whit.compression.weights.signs import find_sign_grid
from whit.errors import CalibrationError, InvalidArgumentError, RecipeError, ShapeError
from whit.ir import LinearCodes


def inputs(columns: int, seed: int = 0, groups: int = 1, count: int = 600) -> np.ndarray:
    """Correlated: f64 [groups, count, columns]."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(groups, count, columns)) @ rng.normal(size=(groups, columns, columns)) / columns**0.5
    return mixed + rng.normal(size=(groups, count, 1))


def moments(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 1) @ x / x.shape[1]


def weights(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


GRIDS = {
    "tensor": lambda w: find_linear_grid(w, bits=4, granularity="tensor"),
    "channel": lambda w: find_linear_grid(w, bits=3, method="mse"),
    "group": lambda w: find_linear_grid(w, bits=3, granularity=7, method="mse"),
    "asymmetric": lambda w: find_linear_grid(w, bits=4, symmetric=False, granularity=16),
    "logarithmic": lambda w: find_logarithmic_grid(w, bits=4),
    "ternary": lambda w: find_sign_grid(w),
    "binary": lambda w: find_sign_grid(w, kind="binary"),
    "palette": lambda w: find_palettes(w, entries=8),
    "palettes": lambda w: find_palettes(w, entries=4, channels=3, keep_zero=True),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("groups", [1, 3, 12])
def test_output_error_is_at_most_that_of_nearest_and_usually_far_less(name: str, act_order: bool, groups: int) -> None:
    w = weights(12, 3, 3, 5) if groups < 12 else weights(12, 3, 3, 1)
    columns = w[0].size
    x = inputs(columns, groups=groups)
    grid: Grid = GRIDS[name](w)
    found = round_compensated(w, moments(x), grid, act_order=act_order)
    rows, got = (each.reshape(groups, -1, columns).astype(np.float64) for each in (w, found.weights))
    measured = np.square(x @ (got - rows).transpose(0, 2, 1)).mean(axis=1).ravel()
    np.testing.assert_allclose(found.noise, measured, rtol=1e-6, atol=1e-12)
    nearest = grid.encode(w).dequantize().reshape(rows.shape).astype(np.float64)
    plain = np.square(x @ (nearest - rows).transpose(0, 2, 1)).mean(axis=1).ravel()
    np.testing.assert_allclose(found.nearest_noise, plain, rtol=1e-6, atol=1e-12)
    assert (found.noise <= found.nearest_noise).all()
    np.testing.assert_allclose(found.signal, np.square(x @ rows.transpose(0, 2, 1)).mean(axis=1).ravel(), rtol=1e-9)
    assert found.error < (1 if name == "binary" else 0.75) * found.nearest_error  # two values leave little to choose
    # every weight is a value of the grid
    np.testing.assert_array_equal(grid.encode(found.weights).dequantize(), found.weights)
    np.testing.assert_array_equal(found.codes.dequantize(), found.weights)


@pytest.mark.parametrize("name", GRIDS)
def test_uncorrelated_inputs_round_to_nearest(name: str) -> None:
    w = weights(6, 300)
    grid: Grid = GRIDS[name](w)
    for hessian in (np.eye(300), np.diag(np.random.default_rng(0).exponential(size=300)) + 0.0):
        found = round_compensated(w, hessian, grid)
        np.testing.assert_array_equal(found.weights, grid.encode(w).dequantize())
        assert found.error == pytest.approx(found.nearest_error)


def test_sweep_is_the_step_of_optimal_brain_surgeon() -> None:
    """One row, written out: after column j is fixed, the rest is the least-squares optimum given what is fixed."""
    w = weights(1, 6)
    hessian = moments(inputs(6))[0]
    damped = hessian + 0.01 * np.diagonal(hessian).mean() * np.eye(6)
    grid = find_linear_grid(w, bits=2, method="mse")
    wanted, fixed = w[0].astype(np.float64), np.zeros(6)
    current = wanted.copy()
    for column in range(6):
        fixed[column] = grid.nearest(current[column : column + 1], np.array([column]))[0]
        rest = np.arange(column + 1, 6)
        done = np.arange(column + 1)
        current[: column + 1] = fixed[: column + 1]
        if len(rest):
            change = fixed[done] - wanted[done]
            current[rest] = wanted[rest] - np.linalg.solve(
                damped[np.ix_(rest, rest)], damped[np.ix_(rest, done)] @ change
            )
    noise = (fixed - wanted) @ hessian @ (fixed - wanted)
    found = round_compensated(w, hessian, grid, act_order=False)
    assert found.noise[0] == pytest.approx(min(noise, found.nearest_noise[0]), rel=1e-9)
    if noise < found.nearest_noise[0]:
        np.testing.assert_array_equal(found.weights[0], fixed.astype(np.float32))


def test_order_by_activation_helps_where_inputs_differ() -> None:
    w = weights(64, 96)
    x = inputs(96, seed=5) * np.exp(np.random.default_rng(6).normal(0, 1.5, 96))
    grid = find_linear_grid(w, bits=3)
    errors = [round_compensated(w, moments(x), grid, act_order=each).error for each in (True, False)]
    assert errors[0] < errors[1]


def fitting(size: int, bits: int = 3) -> Callable[..., LinearGrid]:
    return lambda part, rows, columns: find_linear_grid(part, bits=bits, granularity=size, method="mse")


def test_scales_of_groups_are_those_of_what_earlier_columns_left() -> None:
    """Written out: when a group begins, its scales are found for its weights with all errors so far made up for."""
    w = weights(20, 150)
    hessian = moments(inputs(150))[0]
    damped = hessian + 0.01 * np.diagonal(hessian).mean() * np.eye(150)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    work, wanted = w.astype(np.float64), np.empty_like(w)
    for column in range(150):
        if column % 32 == 0:
            group = find_linear_grid(work[:, column : column + 32].astype(np.float32), bits=3, method="mse")
        wanted[:, column] = group.nearest(work[:, column], np.zeros(20, np.intp))
        error = (work[:, column] - wanted[:, column]) / upper[column, column]
        work[:, column:] -= error[:, None] * upper[column, column:]
    grid = find_linear_grid(w, bits=3, granularity=32, method="mse")
    found = round_compensated(w, hessian, grid, act_order=False, refit=fitting(32))
    better = found.noise < found.nearest_noise
    assert better.mean() > 0.9
    np.testing.assert_array_equal(found.weights[better], wanted[better])
    np.testing.assert_array_equal(found.weights[~better], grid.encode(w).dequantize()[~better])


@pytest.mark.parametrize("groups", [1, 3, 12])
@pytest.mark.parametrize(("size", "columns"), [(32, 192), (32, 150), (7, 45), (100, 150), (300, 150)])
def test_scales_found_on_the_way_beat_those_of_the_weights(size: int, columns: int, groups: int) -> None:
    w, x = weights(48, columns), inputs(columns, groups=groups, count=1000)
    grid = find_linear_grid(w, bits=3, granularity=size, method="mse")
    given = round_compensated(w, moments(x), grid)
    found = round_compensated(w, moments(x), grid, refit=fitting(size))
    assert (found.noise <= found.nearest_noise).all()
    assert found.error < (1.05 if 2 * size > columns else 1) * given.error  # one or two have little before them
    rows = (found.weights - w).reshape(groups, -1, columns).astype(np.float64)
    measured = np.square(x @ rows.transpose(0, 2, 1)).mean(axis=1).ravel()
    np.testing.assert_allclose(found.noise, measured, rtol=1e-6)
    np.testing.assert_array_equal(found.codes.dequantize(), found.weights)
    assert isinstance(found.codes, LinearCodes)
    assert found.codes.scale.shape == (48, -(-columns // size))


def test_pruned_weights_stay_zero_in_groups() -> None:
    w = weights(8, 70)
    kept = np.random.default_rng(3).random(w.shape) < 0.4
    kept[:, 32:64] = False
    grid = find_linear_grid(w * kept, bits=4, granularity=32)
    found = round_compensated(w * kept, moments(inputs(70)), grid, kept=kept, refit=fitting(32, bits=4))
    assert not found.weights[~kept].any()
    assert found.error < found.nearest_error


def test_more_columns_than_a_block() -> None:
    w = weights(16, 300)
    x = inputs(300, count=1000)
    found = round_compensated(w, moments(x), find_linear_grid(w, bits=3, method="mse"))
    assert found.error < 0.7 * found.nearest_error


def test_pruned_weights_stay_zero() -> None:
    w = weights(8, 40)
    kept = np.random.default_rng(3).random(w.shape) < 0.4
    for grid in (
        find_linear_grid(w, bits=4, symmetric=False),
        find_palettes(np.where(kept, w, 0).astype(np.float32), entries=8, keep_zero=True),
    ):
        found = round_compensated(w, moments(inputs(40)), grid, kept=kept)
        assert not found.weights[~kept].any()
        assert found.error < found.nearest_error
    without = find_palettes(np.abs(w) + 1, entries=4)
    with pytest.raises(RecipeError, match="keep_zero"):
        round_compensated(w, moments(inputs(40)), without, kept=kept)


@pytest.mark.parametrize("pattern", ["element", "1x4", "4x1", "2:4", "1:5"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("quantized", [False, True])
def test_pruning_keeps_its_pattern_and_makes_up_for_it(pattern: str, groups: int, quantized: bool) -> None:
    w = weights(12, 150)
    x = inputs(150, groups=groups)
    grid = find_linear_grid(w, bits=4, method="mse") if quantized else None
    found = prune_compensated(w, moments(x), sparsity=0.5, pattern=pattern, grid=grid)
    assert not found.weights[~found.kept].any()
    if not quantized:
        assert found.weights[found.kept].all()
    if pattern == "element":
        assert abs(found.kept.mean() - 0.5) < 0.01
    elif ":" in pattern:
        most, size = map(int, pattern.split(":"))
        for begin in range(0, 150, size):
            part = found.kept[:, begin : begin + size]
            assert (part.sum(axis=1) == min(most, part.shape[1])).all()
    else:
        height, width = map(int, pattern.split("x"))
        for row, column in itertools.product(range(0, 12 // groups, height), range(0, 150, width)):
            for group in range(groups):
                begin = group * 12 // groups + row
                part = found.kept[begin : min(begin + height, (group + 1) * 12 // groups), column : column + width]
                assert part.all() or not part.any()
        assert abs(found.kept.mean() - 0.5) < 0.05
    rows, got = (each.reshape(groups, -1, 150).astype(np.float64) for each in (w, found.weights))
    measured = np.square(x @ (got - rows).transpose(0, 2, 1)).mean(axis=1).ravel()
    np.testing.assert_allclose(found.noise, measured, rtol=1e-4)
    assert (found.noise <= found.plain_noise).all()
    assert found.error < 0.6 * found.plain_error
    if grid is not None:
        assert found.codes is not None
        np.testing.assert_array_equal(found.codes.dequantize(), found.weights)


def test_pruning_beats_magnitude_and_inputs_that_are_never_there_go_first() -> None:
    w = weights(10, 64)
    x = inputs(64)
    x[:, :, 5:21] = 0
    found = prune_compensated(w, moments(x), sparsity=0.5)
    assert not found.kept[:, 5:21].any()
    threshold = np.median(np.abs(w))
    magnitude = np.where(np.abs(w) < threshold, 0, w)
    noise = np.square(x @ (magnitude - w.astype(np.float64)).T).mean(axis=1).sum()
    assert found.noise.sum() < 0.3 * noise


@pytest.mark.parametrize("sparsity", [0.0, 1.0])
def test_nothing_and_everything_pruned(sparsity: float) -> None:
    w = weights(4, 20)
    found = prune_compensated(w, moments(inputs(20)), sparsity=sparsity)
    np.testing.assert_array_equal(found.weights, w * (1 - sparsity))


def test_reconstruction_is_the_least_squares_optimum() -> None:
    w = weights(6, 30)
    x = inputs(30)
    hessian = moments(x)
    kept = np.random.default_rng(4).random(w.shape) < 0.5
    kept[2] = kept[1]
    kept[3] = False
    found = reconstruct(w, hessian, kept, damping=0.0)
    assert not found[~kept].any()
    for row in range(6):
        places = np.flatnonzero(kept[row])
        wanted = np.zeros(30)
        if len(places):
            wanted[places] = np.linalg.lstsq(x[0][:, places], x[0] @ w[row].astype(np.float64), rcond=None)[0]
        np.testing.assert_allclose(found[row], wanted, rtol=1e-4, atol=1e-5)
    swept = prune_compensated(w, hessian, sparsity=0.5, damping=1e-6)
    best = reconstruct(w, hessian, swept.kept, damping=1e-6)
    noise = np.square(x[0] @ (best - w.astype(np.float64)).T).mean(axis=0)
    assert (noise <= swept.noise * (1 + 1e-4)).all()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"hessian": np.eye(5)}, ShapeError, "want \\[8, 8\\]"),
        ({"hessian": np.ones((3, 8, 8))}, ShapeError, "for each group"),
        ({"hessian": np.full((8, 8), np.nan)}, CalibrationError, "NaN"),
        ({"hessian": np.ones((8, 8)), "damping": 0.0}, CalibrationError, "more damping"),
        ({"damping": -1.0}, RecipeError, "damping"),
        ({"kept": np.ones((2, 2), bool)}, ShapeError, "mask"),
        ({"weights": np.ones((4, 8))}, InvalidArgumentError, "f32"),
    ],
)
def test_bad_input_names_the_layer(change: dict, error: type, text: str) -> None:
    w = weights(4, 8)
    given = {"weights": w, "hessian": np.eye(8), "grid": find_linear_grid(w, bits=4), "layer": "conv_3"} | change
    with pytest.raises(error, match=text) as caught:
        round_compensated(**given)
    assert "'conv_3'" in str(caught.value)


@pytest.mark.parametrize("options", [{"pattern": "0x4"}, {"pattern": "4:2"}, {"pattern": "row"}, {"sparsity": 1.5}])
def test_bad_patterns_name_the_layer(options: dict) -> None:
    with pytest.raises(RecipeError, match="layer 'conv_3'"):
        prune_compensated(weights(4, 8), np.eye(8), layer="conv_3", **options)
