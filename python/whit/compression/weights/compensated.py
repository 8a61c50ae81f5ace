"""Rounding and pruning that later columns make up for.

Columns are rounded one after the other. The error of each is spread over those that are still free so that the outputs
on calibration data change least: the step of Optimal Brain Surgeon, for all rows at once (Frantar et al., "GPTQ:
Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022, algorithm 1; with a mask that is
chosen on the way "SparseGPT", 2023). With H = mean of x x^T, damped, and U the upper triangle of H^-1 = U^T U:

    e = (w_j - q_j) / U_jj;   w_k -= e U_jk  for every k > j

Rows do not depend on each other, so for each the better of this and plain rounding is kept, measured on H itself:
the result is never worse than rounding to nearest. Convolution groups have an H each and are swept side by side.

Where weights share scales in groups of consecutive columns, a group is swept as a whole, and its scales are found when
its first column is reached, for what the columns before have made of its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from whit.compression.weights.checks import check_share, check_weights
from whit.compression.weights.grid import Codes, Grid
from whit.compression.weights.linear import LinearGrid
from whit.compression.weights.masks import Pattern, block_starts
from whit.errors import CalibrationError, RecipeError, ShapeError

__all__ = ["Compensated", "Pruned", "prune_compensated", "reconstruct", "round_compensated"]

#: The grid for some weights f32 [rows, columns] of a layer, which rows and columns they are.
Refit = Callable[[np.ndarray, slice, np.ndarray], LinearGrid]

#: Columns whose updates are gathered before they reach the rest.
_BLOCK = 128


@dataclass(frozen=True, eq=False)
class Compensated:
    """Weights on a grid, and the mean squared change of each output channel on the data behind H, f64 [O].

    Attributes:
        codes: on the grid.
        weights: their values, f32.
        noise: with these weights.
        nearest_noise: with rounding to nearest.
        signal: mean square of the outputs of the given weights, without bias.
    """

    codes: Codes
    weights: np.ndarray
    noise: np.ndarray
    nearest_noise: np.ndarray
    signal: np.ndarray

    @property
    def error(self) -> float:
        """Noise over signal."""
        return _ratio(self.noise, self.signal)

    @property
    def nearest_error(self) -> float:
        """Noise over signal of rounding to nearest."""
        return _ratio(self.nearest_noise, self.signal)


@dataclass(frozen=True, eq=False)
class Pruned:
    """Pruned weights; noises as in `Compensated`.

    Attributes:
        weights: f32, 0 where pruned.
        kept: where they are not, bool.
        codes: if a grid was given.
        noise: with these weights.
        plain_noise: with the same mask and nothing made up for.
        signal: mean square of the outputs of the given weights, without bias.
    """

    weights: np.ndarray
    kept: np.ndarray
    codes: Codes | None
    noise: np.ndarray
    plain_noise: np.ndarray
    signal: np.ndarray

    @property
    def error(self) -> float:
        """Noise over signal."""
        return _ratio(self.noise, self.signal)

    @property
    def plain_error(self) -> float:
        """Noise over signal of the mask alone."""
        return _ratio(self.plain_noise, self.signal)


class _FittedGrid:
    """A linear grid by groups whose scales are found on the way."""

    def __init__(self, grid: Grid, refit: Refit) -> None:
        assert isinstance(grid, LinearGrid), "others have no groups"
        self._given, self._refit = grid, refit
        self.grid = replace(grid, scale=grid.scale.copy(), zero_point=grid.zero_point.copy())

    def fit(self, weights: np.ndarray, columns: np.ndarray) -> None:
        """To the weights [groups, rows, size] of a group, in these columns [groups, size]."""
        rows = weights.shape[1]
        for index, places in enumerate(columns):
            here = slice(index * rows, (index + 1) * rows)
            found = self._refit(weights[index].astype(np.float32), here, places)
            self.grid.scale[here, places[0] // self.grid.group] = found.scale[:, 0]
            self.grid.zero_point[here, places[0] // self.grid.group] = found.zero_point[:, 0]

    def where(self, rows: np.ndarray) -> LinearGrid:
        """As found for these rows, bool [O]; the others as given."""
        mask, found, given = rows[:, None], self.grid, self._given
        return replace(
            found,
            scale=np.where(mask, found.scale, given.scale),
            zero_point=np.where(mask, found.zero_point, given.zero_point),
        )


def round_compensated(
    weights: np.ndarray,
    hessian: np.ndarray,
    grid: Grid,
    *,
    kept: np.ndarray | None = None,
    damping: float = 0.01,
    act_order: bool = True,
    refit: Refit | None = None,
    layer: str = "weights",
) -> Compensated:
    """Rounds weights to a grid.

    Args:
        weights: f32 [O, ...], K columns.
        hessian: mean of x x^T of the layer's inputs, f64 [K, K], or [groups, K, K] (`covariance.Moments.hessian`).
        grid: linear of any granularity, logarithmic, or palettes.
        kept: bool, shaped as the weights: others become 0 (the grid must have it).
        damping: share of the mean of H's diagonal that is added to it.
        act_order: columns with the largest inputs first; with `refit` groups with the largest, and those within them.
        refit: of a linear grid by groups: finds the scales of a group anew for its weights as they are.
        layer: named in errors.

    Raises:
        InvalidArgumentError, ShapeError: arrays that do not fit.
        CalibrationError: H is not finite, or even damped not positive definite.
        RecipeError: damping out of 0..10, or a mask with a grid without 0.
    """
    stack, raw = _open(weights, hessian, layer)
    groups, rows, columns = stack.shape
    mask = np.ones(stack.shape, bool) if kept is None else _mask(kept, weights, layer).reshape(stack.shape)
    fitted = None if refit is None else _FittedGrid(grid, refit)
    size = 1 if fitted is None else fitted.grid.group
    order = np.broadcast_to(np.arange(columns), (groups, columns))
    if act_order:
        order = _largest_first(np.diagonal(raw, axis1=1, axis2=2), size)
    zeros = grid.nearest(np.zeros(groups * rows), np.zeros(groups * rows, np.intp))
    if not mask.all() and zeros.any():
        raise RecipeError(f"layer {layer!r}: pruned weights need a grid that holds 0; use palettes with keep_zero")
    upper = _upper(_permuted(raw, order), damping, layer)
    masks = np.take_along_axis(mask, order[:, None, :], axis=2)

    def choose(column: int, work: np.ndarray) -> np.ndarray:
        part = slice(column, column + size)
        if fitted is not None and column % size == 0:
            fitted.fit(np.where(masks[:, :, part], work[:, :, part], 0.0), order[:, part])
        places = np.repeat(order[:, column], rows)
        values = work[:, :, column].ravel()
        nearest = (grid if fitted is None else fitted.grid).nearest(values, places).reshape(groups, rows)
        return np.where(masks[:, :, column], nearest, 0.0)

    edges = [*range(0, columns, max(_BLOCK // size, 1) * size), columns]  # groups are not divided
    swept = _sweep(np.take_along_axis(stack, order[:, None, :], axis=2), upper, choose, edges)
    compensated = np.empty_like(swept)
    np.put_along_axis(compensated, np.broadcast_to(order[:, None, :], swept.shape), swept, axis=2)
    plain = grid.encode(np.where(mask, stack, 0).reshape(weights.shape).astype(np.float32)).dequantize()
    best, noise, nearest_noise = _better(stack, compensated, plain.reshape(stack.shape).astype(np.float64), raw)
    if fitted is not None:
        grid = fitted.where(noise < nearest_noise)
    codes = grid.encode(best.reshape(weights.shape).astype(np.float32))
    return Compensated(codes, codes.dequantize(), noise, nearest_noise, _power(stack, raw))


def prune_compensated(
    weights: np.ndarray,
    hessian: np.ndarray,
    *,
    sparsity: float = 0.5,
    pattern: str = "element",
    channels: int | None = None,
    grid: Grid | None = None,
    damping: float = 0.01,
    layer: str = "weights",
) -> Pruned:
    """Sets weights to 0, chosen by w^2 / U_jj^2 (what their removal costs), and moves those that stay.

    Args:
        weights: f32 [O, ...], K columns.
        hessian: as in `round_compensated`.
        sparsity: share of zeros, 0 to 1; taken in every 128 columns. Without meaning for n:m.
        pattern: "element"; "1x4", "4x1", ...: blocks of rows x columns that live or die together; or "2:4", ...:
            2 of every 4 consecutive columns of a row stay.
        channels: columns of one tap, at each of which blocks begin anew; None: all.
        grid: also round what stays.
        damping: as in `round_compensated`.
        layer: named in errors.

    Raises:
        InvalidArgumentError, ShapeError, CalibrationError, RecipeError: as `round_compensated`; a pattern is none.
    """
    stack, raw = _open(weights, hessian, layer)
    groups, rows, columns = stack.shape
    check_share("sparsity", sparsity, layer)
    blocks = Pattern.of(pattern, f"layer {layer!r}: pattern")
    starts = block_starts(columns, blocks.width, channels)
    edges = _panels(starts, columns)
    chosen_at = [*starts.tolist(), columns] if blocks.some else edges
    panels = dict(pairwise(chosen_at))
    upper = _upper(raw, damping, layer)
    cost = np.square(np.diagonal(upper, axis1=1, axis2=2))
    cost = np.where(np.diagonal(raw, axis1=1, axis2=2) > 0, cost, np.inf)[:, None, :]  # what nobody sees goes first
    kept = np.ones(stack.shape, bool)

    def choose(column: int, work: np.ndarray) -> np.ndarray:
        values = work[:, :, column]
        if column in panels:
            part = slice(column, panels[column])
            inside = starts[(starts >= column) & (starts < part.stop)] - column
            kept[:, :, part] = blocks.keep(np.square(work[:, :, part]) / cost[:, :, part], inside, sparsity)
        if grid is not None:
            values = grid.nearest(values.ravel(), np.full(groups * rows, column)).reshape(groups, rows)
        return np.where(kept[:, :, column], values, 0.0)

    compensated = _sweep(stack, upper, choose, edges).astype(np.float32).astype(np.float64)
    plain = np.where(kept, stack, 0.0)
    if grid is not None:
        if grid.nearest(np.zeros(groups * rows), np.zeros(groups * rows, np.intp)).any():
            raise RecipeError(f"layer {layer!r}: pruned weights need a grid that holds 0; use palettes with keep_zero")
        plain = grid.encode(plain.reshape(weights.shape).astype(np.float32)).dequantize().reshape(stack.shape)
    best, noise, plain_noise = _better(stack, compensated, plain.astype(np.float64), raw)
    result = best.reshape(weights.shape).astype(np.float32)
    codes = None if grid is None else grid.encode(result)
    return Pruned(result, kept.reshape(weights.shape), codes, noise, plain_noise, _power(stack, raw))


def reconstruct(
    weights: np.ndarray, hessian: np.ndarray, kept: np.ndarray, *, damping: float = 0.01, layer: str = "weights"
) -> np.ndarray:
    """The weights with zeros outside `kept` whose outputs are nearest to those of `weights`, f32.

    Least squares for each row, solved exactly: (H + d) restricted to what is kept. Takes O(kept^3) a row.

    Raises:
        InvalidArgumentError, ShapeError, CalibrationError, RecipeError: as `round_compensated`.
    """
    stack, raw = _open(weights, hessian, layer)
    mask = _mask(kept, weights, layer).reshape(stack.shape)
    damped = _damped(raw, damping, layer)
    result = np.zeros_like(stack)
    for group, whole in enumerate(damped):
        targets = stack[group] @ whole
        patterns, owner = np.unique(mask[group], axis=0, return_inverse=True)
        for index, pattern in enumerate(patterns):
            rows, places = np.flatnonzero(owner.ravel() == index), np.flatnonzero(pattern)
            if len(places):
                try:
                    solved = np.linalg.solve(whole[np.ix_(places, places)], targets[np.ix_(rows, places)].T)
                except np.linalg.LinAlgError:
                    raise _singular(layer) from None
                result[group][np.ix_(rows, places)] = solved.T
    return result.reshape(weights.shape).astype(np.float32)


def _open(weights: np.ndarray, hessian: np.ndarray, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows f64 [groups, O / groups, K] and H f64 [groups, K, K]."""
    rows = check_weights(weights, layer)
    raw = np.asarray(hessian, np.float64)
    raw = raw[None] if raw.ndim == 2 else raw
    columns = rows.shape[1]
    if raw.ndim != 3 or raw.shape[1:] != (columns, columns) or len(raw) == 0 or len(rows) % len(raw):
        raise ShapeError(
            f"layer {layer!r}: H of shape {np.shape(hessian)} does not fit weights {weights.shape}; "
            f"want [{columns}, {columns}], or one for each group"
        )
    if not np.isfinite(raw).all():
        raise CalibrationError(f"layer {layer!r}: H holds NaN or infinity; check the calibration data")
    return rows.astype(np.float64).reshape(len(raw), -1, columns), raw


def _mask(kept: np.ndarray, weights: np.ndarray, layer: str) -> np.ndarray:
    if np.shape(kept) != weights.shape or np.asarray(kept).dtype != np.bool_:
        raise ShapeError(f"layer {layer!r}: the mask must be bool {weights.shape}; got {np.shape(kept)}")
    return kept


def _damped(raw: np.ndarray, damping: float, layer: str) -> np.ndarray:
    """H with a larger diagonal, in which inputs that are always 0 have something as well."""
    check_share("damping", damping, layer, 0, 10)
    diagonal = np.diagonal(raw, axis1=1, axis2=2)
    larger = diagonal + damping * diagonal.mean(axis=1, keepdims=True)
    result = raw.copy()
    index = np.arange(raw.shape[1])
    result[:, index, index] = np.where(larger > 0, larger, 1.0)
    return result


def _upper(raw: np.ndarray, damping: float, layer: str) -> np.ndarray:
    """U with H^-1 = U^T U: if H backwards is L L^T, then U backwards is L^-1."""
    backwards = _damped(raw, damping, layer)[:, ::-1, ::-1]
    try:
        result: np.ndarray = np.linalg.inv(np.linalg.cholesky(backwards))[:, ::-1, ::-1]
    except np.linalg.LinAlgError:
        raise _singular(layer) from None
    return result


def _singular(layer: str) -> CalibrationError:
    return CalibrationError(
        f"layer {layer!r}: the covariance of its inputs is not positive definite; use more damping or more data"
    )


def _largest_first(diagonals: np.ndarray, size: int) -> np.ndarray:
    """Columns in the order in which they are rounded, [groups, K]: `size` columns that follow each other stay together.

    The last ones, which may be fewer, come last.
    """
    full = diagonals.shape[1] // size * size
    parts = diagonals[:, :full].reshape(len(diagonals), -1, size)
    outer = np.argsort(-parts.max(axis=2), axis=1, kind="stable")[:, :, None]
    inner = np.take_along_axis(np.argsort(-parts, axis=2, kind="stable"), outer, axis=1)
    rest = full + np.argsort(-diagonals[:, full:], axis=1, kind="stable")
    result: np.ndarray = np.concatenate([(outer * size + inner).reshape(len(diagonals), -1), rest], axis=1)
    return result


def _permuted(matrices: np.ndarray, order: np.ndarray) -> np.ndarray:
    groups = np.arange(len(matrices))[:, None, None]
    result: np.ndarray = matrices[groups, order[:, :, None], order[:, None, :]]
    return result


def _panels(starts: np.ndarray, columns: int) -> list[int]:
    """Edges of runs of whole blocks, about `_BLOCK` columns each; the last one is `columns`."""
    edges = [0]
    for begin, end in zip(starts, [*starts[1:], columns], strict=True):
        if end - edges[-1] > _BLOCK and begin > edges[-1]:
            edges.append(int(begin))
    return [*edges, columns]


def _sweep(
    stack: np.ndarray,
    upper: np.ndarray,
    choose: Callable[[int, np.ndarray], np.ndarray],
    edges: Sequence[int] | None = None,
) -> np.ndarray:
    """Rounds column after column; `choose` gives a column's values, [groups, rows].

    What a column's error does to those behind the next one of `edges` is gathered until then.
    """
    work, result = stack.copy(), np.empty_like(stack)
    columns = stack.shape[2]
    edges = edges or [*range(0, columns, _BLOCK), columns]
    for begin, end in pairwise(edges):
        errors = np.zeros((*stack.shape[:2], end - begin))
        for column in range(begin, end):
            chosen = choose(column, work)
            result[:, :, column] = chosen
            error = (work[:, :, column] - chosen) / upper[:, column, column][:, None]
            work[:, :, column + 1 : end] -= error[:, :, None] * upper[:, None, column, column + 1 : end]
            errors[:, :, column - begin] = error
        work[:, :, end:] -= errors @ upper[:, begin:end, end:]
    return result


def _power(rows: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Mean of (row x)^2, f64 [O]."""
    result: np.ndarray = np.maximum(np.einsum("gok,gok->go", rows @ hessian, rows).ravel(), 0.0)
    return result


def _better(
    rows: np.ndarray, compensated: np.ndarray, plain: np.ndarray, hessian: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row the one with less noise; its noise, and that of `plain`."""
    noise, plain_noise = _power(compensated - rows, hessian), _power(plain - rows, hessian)
    worse = noise >= plain_noise
    best = np.where(worse.reshape(*rows.shape[:2], 1), plain, compensated)
    return best, np.where(worse, plain_noise, noise), plain_noise


def _ratio(noise: np.ndarray, signal: np.ndarray) -> float:
    total = float(signal.sum())
    return float(noise.sum()) / total if total > 0 else 0.0
