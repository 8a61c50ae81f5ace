"""Activations as the s8 model will have them: ranges are observed, then values are rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from whit.errors import InvalidArgumentError
from whit.train.rounding import MIN_SCALE, round_to_grid

__all__ = ["FakeQuantizeActivation"]


class FakeQuantizeActivation(nn.Module):
    """Rounds a tensor to s8, per tensor and asymmetric, as compression/ranges.py and quantize_linear do.

    While it observes it follows the range: the extremes of everything seen, or with `momentum` a moving average of each
    batch's extremes (Jacob et al., 2018, section 3.1). Gradients pass straight through within the range.

    Attributes:
        observing, active: whether it follows the range, whether it rounds.
        low, high: the range, f64.
    """

    def __init__(self, momentum: float | None = None) -> None:
        super().__init__()
        if momentum is not None and not 0 < momentum < 1:
            raise InvalidArgumentError(f"momentum must be between 0 and 1; got {momentum!r}")
        self.momentum, self.observing, self.active = momentum, True, True
        self.register_buffer("low", torch.zeros((), dtype=torch.float64))
        self.register_buffer("high", torch.zeros((), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    @property
    def range(self) -> tuple[float, float]:
        """What the codes span before 0 is included."""
        return float(self.low), float(self.high)

    def quantization(self) -> tuple[float, int]:
        """Scale (an f32) and zero point."""
        low, high = min(float(self.low), 0.0), max(float(self.high), 0.0)
        if low == high:
            return 1.0, 0
        scale = np.float32(max((high - low) / 255, MIN_SCALE))
        return float(scale), int(np.clip(np.rint(-128 - low / float(scale)), -128, 127))

    def forward(self, x: Any) -> Any:
        if self.observing and self.training and x.numel():
            self._follow(*torch.aminmax(x.detach()))
        if not self.active or not self.seen:
            return x
        scale, zero_point = (x.new_tensor([[value]]) for value in self.quantization())
        return round_to_grid(x.reshape(1, -1), scale, zero_point, -128, 127, exact=False).reshape(x.shape)

    def _follow(self, low: Any, high: Any) -> None:
        low, high = low.double(), high.double()
        if not self.seen:
            self.seen.fill_(True)
        elif self.momentum is None:
            low, high = torch.minimum(low, self.low), torch.maximum(high, self.high)
        else:
            low = self.momentum * self.low + (1 - self.momentum) * low
            high = self.momentum * self.high + (1 - self.momentum) * high
        self.low.copy_(low)
        self.high.copy_(high)
