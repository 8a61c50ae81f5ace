"""Low rank: a layer becomes two or three smaller ones."""

from __future__ import annotations

from dataclasses import dataclass

from whit.compression.settings import choice, count, flag, number
from whit.compression.steps.base import State, Step
from whit.compression.steps.products import moments_of, weighted_layers
from whit.compression.weights.low_rank import factorize
from whit.compression.weights.products import group_of
from whit.errors import RecipeError

__all__ = ["LowRank"]


@dataclass(frozen=True)
class LowRank(Step):
    """Factorises layers where that makes them smaller and cheaper (`weights/low_rank.py`).

    Attributes:
        form: "channel" (k x k to r channels, then 1 x 1), "spatial" (k x 1, 1 x k), "tucker" (1 x 1, k x k, 1 x 1) or
            "auto": whichever suits the layer best.
        energy: the smallest rank that retains this share of the energy.
        cost_share: if not 0, in place of `energy`: the largest rank at which multiply-adds plus bytes are at most this
            share of the layer's.
        data_aware: the energy is that of the outputs on calibration data, not that of the weights.
        min_weight_elements: layers with fewer weights are left alone.
    """

    form: str = choice("auto", "channel", "spatial", "tucker")
    energy: float = number(0.99, low=0, high=1, above=True)
    cost_share: float = number(0, low=0, high=1)
    data_aware: bool = flag(True)
    min_weight_elements: int = count(4096)

    kind = "low_rank"

    @property
    def needs_data(self) -> bool:
        return any(step.data_aware for step in self.variants())

    def apply(self, state: State) -> None:
        layers = list(weighted_layers(state, self, self.min_weight_elements))
        suited = [node.name for node, settings, _ in layers if settings.data_aware and group_of(node) == 1]
        moments = moments_of(state, suited)
        for node, settings, weights in layers:
            kernel = weights.shape[1:-1]
            form = settings.form
            if form in ("spatial", "tucker") and all(size == 1 for size in kernel):
                state.reasons[node.name] = f"low rank: no {form} form without a kernel"
                continue
            by_cost = settings.cost_share > 0
            try:
                found = factorize(
                    state.graph,
                    node.name,
                    form=form,
                    energy=None if by_cost else settings.energy,
                    cost_share=settings.cost_share if by_cost else None,
                    moments=moments.get(node.name),
                )
            except RecipeError as problem:
                state.reasons[node.name] = f"low rank: {problem}"
                continue
            state.graph = found.graph
            if found.reason:
                state.reasons[node.name] = f"low rank: {found.reason}"
            else:
                ranks = " and ".join(map(str, found.ranks))
                state.notes.append(
                    f"{node.name}: {found.form} form of rank {ranks}, {found.error:.1%} noise, "
                    f"{found.macs_after / found.macs_before:.0%} of the multiply-adds"
                )
