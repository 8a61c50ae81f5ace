"""Batch normalisation behind products while they are trained."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from whit.train.tensor import Tensor

__all__ = ["BatchNorm"]

_EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Normalises each channel (last axis): y = (x - mean) / sqrt(variance + 1e-5) * gain + shift.

    Mean and variance are those of the batch while it trains, which moving averages follow; else these (Ioffe and
    Szegedy, "Batch Normalization", 2015).

    Args:
        channels: of x.
        momentum: the share of a new batch in the moving averages.

    Attributes:
        gain, shift: parameters [channels].
        mean, variance: the moving averages [channels].
        observing: while it is, x + shift comes out, and `settle` will find what came in.
    """

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.gain = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.observing = False
        self._seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.observing:
            rows = x.detach().reshape(-1, x.shape[-1]).double()
            self._seen.append(torch.stack([rows.mean(dim=0), rows.square().mean(dim=0)]))
            return x + self.shift
        y = F.batch_norm(
            x.movedim(-1, 1), self.mean, self.variance, self.gain, self.shift, self.training, self.momentum, _EPSILON
        )
        return y.movedim(1, -1)

    def settle(self) -> None:
        """Ends observing: it becomes what gives the same on average over the batches seen, and normalises."""
        mean, square = torch.stack(self._seen).mean(dim=0)
        self.observing, self._seen = False, []
        with torch.no_grad():
            self.mean.copy_(mean)
            self.variance.copy_((square - mean.square()).clamp(min=0))
            self.gain.copy_((self.variance + _EPSILON).sqrt())
            self.shift.add_(self.mean)

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Factor and term of each channel that it comes down to after training, f64."""
        with torch.no_grad():
            factor = self.gain.double() / (self.variance.double() + _EPSILON).sqrt()
            term = self.shift.double() - self.mean.double() * factor
        return factor.numpy(), term.numpy()
