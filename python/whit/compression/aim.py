"""What a file is made for, and whether zeros are worth it there.

A layer that would run slower sparse than dense on the target, or take as many bytes of the file, stays dense: its zeros
would cost accuracy for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whit.compression.steps.base import Step
from whit.compression.steps.quantize import Quantize
from whit.compression.targets import find_target, sparse_gain
from whit.compression.weights.linear import find_linear_grid
from whit.compression.weights.products import group_of
from whit.format.encodings import Encoder
from whit.ir import Graph, Node, Tensor

__all__ = ["Aim", "Refusal"]


@dataclass(frozen=True)
class Refusal:
    """Why a layer stays dense: `kind` in general ("slower sparse", ...), `text` with its numbers."""

    kind: str
    text: str


@dataclass(frozen=True)
class Aim:
    """A core, and how the layers' weights end up.

    Attributes:
        target: of `targets.TARGETS`.
        storage: level of the file.
        steps: of the recipe.
    """

    target: str
    storage: str
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, target: str, storage: str, steps: tuple[Step, ...]) -> Aim:
        """Raises InvalidArgumentError: no such target (the message lists them)."""
        return cls(find_target(target), storage, steps)

    def refusal(self, graph: Graph, node: Node, dense: np.ndarray, sparse: np.ndarray) -> Refusal | None:
        """Why a layer should keep its weights; None if zeros are worth it.

        Args:
            graph: f32, with the layer's shapes.
            node: of PRODUCTS.
            dense: its weights, f32 [O, ...].
            sparse: the same with zeros.
        """
        if node.op == "conv_transpose" or group_of(node) != 1:
            kind = "grouped convolutions" if node.op == "conv" else "transposed convolutions"
            return Refusal("no sparse kernel", f"stays dense: no sparse kernel for {kind}")
        zeros = np.mean(sparse == 0)
        settings = self._quantize(graph, node)
        gain, entry = sparse_gain(graph, node, sparse, self.target, _dtype(settings, node))
        if gain <= 1:
            of = "" if entry == "element" else f", left out as {entry},"
            text = f"stays dense: {zeros:.0%} zeros{of} would take {1 / gain:.2f} times the cycles on {self.target}"
            return Refusal("slower sparse", text)
        before, after = (self._stored(settings, weights) for weights in (dense, sparse))
        if after > before or (after == before and self.storage != "dense"):
            text = f"stays dense: with {zeros:.0%} zeros it would take {after} bytes of the file, now {before}"
            return Refusal("not smaller sparse", text)
        return None

    def _quantize(self, graph: Graph, node: Node) -> Quantize | None:
        last = self.steps[-1] if self.steps else None
        return last.for_node(node, graph) if isinstance(last, Quantize) else None

    def _stored(self, settings: Quantize | None, weights: np.ndarray) -> int:
        """Bytes as the file would have them, rounded to nearest."""
        tensor = Tensor("weights", "f32", weights.shape, data=weights)
        if settings is not None and (settings.activations == "s8" or weights.size >= settings.min_weight_elements):
            codes = find_linear_grid(weights, bits=settings.bits).encode(weights).codes
            tensor = Tensor("weights", "s8", codes.shape, data=codes)
        return Encoder(self.storage).store(tensor).size


def _dtype(settings: Quantize | None, node: Node) -> str:
    """Of what the layer will read."""
    if settings is None or settings.activations == "f32":
        return "f32"
    return "f32" if settings.activations == "dynamic" and node.op not in ("gemm", "lstm") else "s8"
