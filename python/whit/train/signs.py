"""Signs of activations, and products of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from whit.ir import Graph, Node
from whit.train.tensor import Tensor

__all__ = ["SIGN_GRADIENTS", "binarize", "reads_signs", "scaled_rows"]

#: What stands in for the derivative of the sign, which is 0: of clip(x, -1, 1) (Hubara et al., "Binarized Neural
#: Networks", 2016), or of a polynomial of degree 2 that is closer to the sign (Liu et al., "Bi-Real Net", 2018, eq. 6).
SIGN_GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "clip": lambda x: torch.le(x.abs(), 1, out=torch.empty_like(x)),
    "polynomial": lambda x: x.abs().mul_(-2).add_(2).clamp_(min=0),
}


class _Binarize(torch.autograd.Function):
    """In few passes over memory: activations are large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gradient: str) -> Tensor:
        ctx.save_for_backward(x)
        ctx.gradient = gradient
        return torch.lt(x, 0, out=torch.empty_like(x)).mul_(-2).add_(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return SIGN_GRADIENTS[ctx.gradient](x).mul_(grad), None


def binarize(x: Tensor, gradient: str = "clip") -> Tensor:
    """-1 below 0, else +1 (of NaN too); backwards one of SIGN_GRADIENTS."""
    result: Tensor = _Binarize.apply(x, gradient)
    return result


def reads_signs(graph: Graph, node: Node) -> bool:
    """True for a conv or gemm of what `binarize` gives, through max_pool and reshape too."""
    if node.op not in ("conv", "gemm"):
        return False
    producer = graph.producer(node.inputs[0])
    while producer is not None and producer.op in ("max_pool", "reshape"):
        producer = graph.producer(producer.inputs[0])
    return producer is not None and producer.op == "binarize"


def scaled_rows(w: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [O, ...] as rows of at most 1 and their scales [O]; binary rows become +1 and -1, exactly."""
    scale = w.detach().abs().amax(dim=tuple(range(1, w.ndim)))
    scale = torch.where(scale > 0, scale, 1.0)
    return w / scale.reshape(-1, *[1] * (w.ndim - 1)), scale
