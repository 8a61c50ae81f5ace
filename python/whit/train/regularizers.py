"""Regularisers for `fine_tune` and `distill`: terms of the loss that make the compressed file small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from whit.errors import InvalidArgumentError
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
    """An estimate of the bits that an entropy coder needs for a weight, times `strength`.

    Every layer's steps are taken as Laplace distributed around 0 with the scale b = mean |w|; a weight costs
    -log2 of the probability of an interval as wide as its quantisation step, around the weight itself, which is
    continuous (Balle et al., "End-to-end Optimized Image Compression", 2017, section 3). Weights go to 0 the more, the
    more of their layer are there.

    Args:
        strength: in units of the loss per bit.
        step: of layers that are not rounded, as a share of the layer's largest weight; else that of `FakeQuantize`.
    """
    _check(strength)

    def term(mirror: TorchGraph) -> Any:
        bits: Any = 0.0
        count = 0
        for name in mirror.weights:
            rounding = next((each for each in mirror.transforms(name) if isinstance(each, FakeQuantize)), None)
            w = mirror.value(name) if rounding is None else mirror.value_before(name, rounding)
            width = w.detach().abs().max() * step
            if rounding is not None and rounding.active:
                scale = rounding.grid(w.detach()).scale.detach()
                width = rounding.blocks.join(scale.expand_as(rounding.blocks.split(w)))
            bits = bits + _laplace_bits(w, width).sum()
            count += w.numel()
        return strength * bits / max(count, 1)

    term.__qualname__ = f"rate({strength!r}, step={step!r})"
    return term


def _laplace_bits(w: Any, width: Any) -> Any:
    """-log2 P(|x - w| <= width / 2) of x Laplace distributed with scale mean |w|."""
    b = w.abs().mean().clamp(min=1e-12)
    x, half = w.abs() / b, width / (2 * b)
    # Away from 0 the interval lies on one side: exp(-x) sinh(half); around 0 it lies on both.
    outside = -x + torch.log(torch.sinh(half.clamp(max=40)) + 1e-30)
    inside = torch.log1p(-torch.exp(-half) * torch.cosh(torch.minimum(x, half)) + 1e-7)
    return -torch.where(x > half, outside, inside) / torch.log(torch.tensor(2.0))


def _check(strength: float) -> None:
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength < float("inf"):
        raise InvalidArgumentError(f"regulariser: strength must be a finite number of at least 0; got {strength!r}")
