"""How many bits an entropy coder needs for weights, and steps that spend a number of bits where it does most good."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from whit.train.tensor import Tensor

__all__ = ["even_steps", "laplace_bits", "sensitivity"]

#: A row's mean magnitude counts as at least this many steps: adaptive coders spend a little on zeros as well.
_LEAST_SCALE = 0.08


def laplace_bits(steps: Tensor) -> Tensor:
    """Bits for each of some numbers [B, L] that are coded as whole ones, f32 [B, L]; differentiable.

    Every row is taken as Laplace distributed around 0 with the scale b = mean |x|; a number costs -log2 of the
    probability of an interval of length 1 around the number itself, which is continuous (Balle et al., "End-to-end
    Optimized Image Compression", 2017, section 3).
    """
    b = steps.abs().mean(dim=1, keepdim=True).clamp(min=_LEAST_SCALE)
    x, half = steps.abs() / b, 0.5 / b
    # Away from 0 the interval lies on one side: exp(-x) sinh(half); around 0 it lies on both.
    outside = -x + torch.log(torch.sinh(half.clamp(max=40)) + 1e-30)
    inside = torch.log1p(-torch.exp(-half) * torch.cosh(torch.minimum(x, half)) + 1e-7)
    return -torch.where(x > half, outside, inside) / math.log(2)


def sensitivity(weights: Mapping[str, Tensor], run: Callable[[], Sequence[Tensor]], draws: int = 2) -> dict[str, float]:
    """How much noise on each of some weights changes the results, relative to these, by the noise's variance.

    Args:
        weights: what is changed in place, one after the other, and put back.
        run: gives the results with the weights as they are.
        draws: of the noise, a tenth of the weights' root mean square; the mean over them counts.
    """
    found: dict[str, float] = {}
    with torch.no_grad():
        wanted = run()
        size = sum(float(each.double().square().sum()) for each in wanted)
        for number, (name, weight) in enumerate(weights.items()):
            before, generator = weight.clone(), torch.Generator().manual_seed(number)
            deviation = 0.1 * float(before.square().mean().sqrt()) or 1e-6
            change = 0.0
            for _ in range(draws):
                weight.copy_(before + deviation * torch.randn(before.shape, generator=generator))
                pairs = zip(run(), wanted, strict=True)
                change += sum(float((got - want).double().square().sum()) for got, want in pairs) / draws
            weight.copy_(before)
            found[name] = change / max(size, 1e-30) / deviation**2
    return found


def even_steps(
    weights: Mapping[str, Tensor], sensitivities: Mapping[str, float], average_bits: float
) -> dict[str, float]:
    """A step for each of some weights [B, L], with which all of them take `average_bits` a weight in the mean.

    The noise of a step s is s^2 / 12 a weight, and half a bit more a weight takes half of it. What all noise together
    does is least for a number of bits where every weight's share is the same: where s^2 * sensitivity / L B is (reverse
    water-filling; Cover and Thomas, "Elements of Information Theory", section 10.3.3).
    """
    weights = {name: weight.detach() for name, weight in weights.items()}
    total = sum(weight.numel() for weight in weights.values())
    shape = {name: math.sqrt(weight.numel() / max(sensitivities[name], 1e-30)) for name, weight in weights.items()}
    low, high = 1e-9, 1e9
    for _ in range(60):
        middle = math.sqrt(low * high)
        bits = sum(
            float(laplace_bits(torch.round(weight / (middle * shape[name]))).sum()) for name, weight in weights.items()
        )
        low, high = (middle, high) if bits > average_bits * total else (low, middle)
    return {name: high * shape[name] for name in weights}
