"""What every technique refuses before it starts."""

from __future__ import annotations

import numpy as np

from whit.errors import InvalidArgumentError, RecipeError, ShapeError

__all__ = ["check_count", "check_importance", "check_share", "check_weights", "one_of"]


def check_weights(weights: np.ndarray, layer: str) -> np.ndarray:
    """The weights as rows, f32 [O, K].

    Raises:
        InvalidArgumentError: not f32, or not finite.
        ShapeError: fewer than two axes, or no values.
    """
    if not isinstance(weights, np.ndarray) or weights.dtype != np.float32:
        kind = getattr(weights, "dtype", type(weights).__name__)
        raise InvalidArgumentError(f"layer {layer!r}: weights must be f32; got {kind}. Leave this layer out")
    if weights.ndim < 2 or weights.size == 0:
        raise ShapeError(f"layer {layer!r}: weights must be [out, ..., in] and not empty; got shape {weights.shape}")
    if not np.isfinite(weights).all():
        raise InvalidArgumentError(f"layer {layer!r}: weights hold NaN or infinity; leave this layer out")
    return weights.reshape(len(weights), -1)


def check_importance(importance: np.ndarray | None, shape: tuple[int, ...], layer: str) -> np.ndarray | None:
    """Importance as rows, f64 [O, K], or None.

    Raises:
        ShapeError: it does not broadcast to the weights.
        InvalidArgumentError: negative or not finite.
    """
    if importance is None:
        return None
    try:
        full = np.broadcast_to(np.asarray(importance, np.float64), shape)
    except ValueError:
        raise ShapeError(
            f"layer {layer!r}: importance of shape {np.shape(importance)} does not broadcast to weights {shape}"
        ) from None
    if not np.isfinite(full).all() or (full < 0).any():
        raise InvalidArgumentError(f"layer {layer!r}: importance must be finite and not negative")
    return full.reshape(shape[0], -1)


def one_of(what: str, value: object, known: tuple[str, ...], layer: str) -> None:
    """RecipeError unless `value` is one of `known`."""
    if value not in known:
        raise RecipeError(f"layer {layer!r}: {what} must be one of {', '.join(known)}; got {value!r}")


def check_count(what: str, value: object, low: int, high: int, layer: str) -> int:
    """An integer in low..high, or a RecipeError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise RecipeError(f"layer {layer!r}: {what} must be a whole number in {low}..{high}; got {value!r}")
    return int(value)


def check_share(what: str, value: object, layer: str, low: float = 0.0, high: float = 1.0) -> float:
    """A number in low..high, or a RecipeError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low <= value <= high:
        raise RecipeError(f"layer {layer!r}: {what} must be a number in {low:g}..{high:g}; got {value!r}")
    return float(value)
