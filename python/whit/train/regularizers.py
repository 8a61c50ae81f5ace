"""Regularisers for `fine_tune` and `distill`: terms of the loss that make the compressed file small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from whit.errors import InvalidArgumentError
from whit.train.entropy import laplace_bits
from whit.train.mirror import TorchGraph
from whit.train.transforms import FakeQuantize

__all__ = ["l1", "rate"]


def l1(strength: float) -> Callable[[TorchGraph], Any]:
    """The sum of |w| over all weights (not biases), times `strength`: draws them to 0."""
    _check(strength)

    def term(mirror: TorchGraph) -> Any:
        return strength * sum(mirror.parameter(name).abs().sum() for name in mirror.weights)

    term.__qualname__ = f"l1({strength!r})"  # tells checkpoints of other strengths apart
    return term


def rate(strength: float, *, step: float = 0.05) -> Callable[[TorchGraph], Any]:
    """An estimate of the bits that an entropy coder needs for a weight (entropy.py), times `strength`.

    Args:
        strength: in units of the loss per bit.
        step: of layers that are not rounded, as a share of the layer's largest weight; else that of `FakeQuantize`,
            which learns from it where steps are learned.
    """
    _check(strength)

    def term(mirror: TorchGraph) -> Any:
        bits: Any = 0.0
        count = 0
        for name in mirror.weights:
            rounding = next((each for each in mirror.transforms(name) if isinstance(each, FakeQuantize)), None)
            w = mirror.value(name) if rounding is None else mirror.value_before(name, rounding)
            if rounding is not None and rounding.active:
                steps = rounding.blocks.split(w) / rounding.grid(w).scale
            else:
                steps = w.reshape(w.shape[0], -1) / (w.detach().abs().max() * step).clamp(min=1e-12)
            bits = bits + laplace_bits(steps).sum()
            count += w.numel()
        return strength * bits / max(count, 1)

    term.__qualname__ = f"rate({strength!r}, step={step!r})"
    return term


def _check(strength: float) -> None:
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength < float("inf"):
        raise InvalidArgumentError(f"regulariser: strength must be a finite number of at least 0; got {strength!r}")
