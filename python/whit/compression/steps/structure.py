"""Structured reduction: channels and layers that go for good, and layers that become one."""

from __future__ import annotations

from dataclasses import dataclass

from whit.compression.settings import choice, count, number
from whit.compression.steps.base import State, Step
from whit.compression.steps.products import moments_of, weighted_layers
from whit.compression.weights.activity import activity_scores
from whit.compression.weights.channels import contribution_scores, remove_channels, weight_scores
from whit.compression.weights.layers import remove_layers
from whit.compression.weights.merge import merge_layers
from whit.compression.weights.products import group_of, weights_of
from whit.errors import RecipeError
from whit.ir import PRODUCTS

__all__ = ["MergeLayers", "RemoveChannels", "RemoveLayers"]


@dataclass(frozen=True)
class RemoveChannels(Step):
    """Removes the channels that matter least, with everything that depends on them (`weights/channels.py`).

    Attributes:
        share: of the channels of each group that go.
        scope: "group": the share is taken in each group of layers that depend on each other; "global": over all.
        criterion: "contribution": what the layers that read a channel lose without it on calibration data, once their
            other weights stand in for it, as they then do; "magnitude": the norm of the weights that make it;
            "activity": how often it fires, is not 0 behind its ReLU on calibration data; the others stand in for it,
            and layers without a ReLU keep their channels.
        multiple: how many channels stay is rounded up to a multiple of this; kernels like 8 and 16.
    """

    share: float = number(0.25, low=0, high=1)
    scope: str = choice("group", "global")
    criterion: str = choice("contribution", "magnitude", "activity")
    multiple: int = count(8, low=1, high=1024)

    kind = "remove_channels"

    @property
    def needs_data(self) -> bool:
        return self.criterion != "magnitude"

    def check(self) -> None:
        for values in self.overrides.values():
            if values.keys() - {"share"}:
                raise RecipeError("remove_channels: share alone may differ from layer to layer (overrides)")

    def apply(self, state: State) -> None:
        layers = {node.name: settings for node, settings, _ in weighted_layers(state, self)}
        moments = None
        if self.criterion == "magnitude":
            scores = weight_scores(state.graph)
        else:
            # Of all, since what reads a channel may be none of the step's layers.
            products = [node for node in state.graph.nodes if node.op in PRODUCTS and group_of(node) == 1]
            moments = moments_of(state, [node.name for node in products if weights_of(state.graph, node) is not None])
            if self.criterion == "contribution":
                scores = contribution_scores(state.graph, moments)
            else:
                assert state.data is not None, "recipes that need data are refused without"
                scores = activity_scores(state.graph, state.data, runner=state.runner, callback=state.callback)

        def share(layer: str) -> float:
            return layers[layer].share

        removal = remove_channels(
            state.graph,
            {name: values for name, values in scores.items() if name in layers},
            share=self.share if self.scope == "global" else share,
            scope=self.scope,
            multiple=self.multiple,
            moments=moments,
        )
        state.graph = removal.graph
        state.notes.append(
            f"{sum(map(len, removal.removed.values()))} channels removed: weights of "
            f"{removal.bytes_before / 1e6:.2f} MB became {removal.bytes_after / 1e6:.2f} MB, multiply-adds "
            f"{removal.macs_after / max(removal.macs_before, 1):.0%}"
        )


@dataclass(frozen=True)
class RemoveLayers(Step):
    """Removes layers that do next to nothing on calibration data (`weights/layers.py`).

    Attributes:
        threshold: largest change of the model's outputs, sum of squares over sum of squares.
    """

    threshold: float = number(1e-3, low=0, high=1)

    kind = "remove_layers"
    needs_data = True

    def apply(self, state: State) -> None:
        assert state.data is not None, "recipes that need data are refused without"
        removal = remove_layers(
            state.graph,
            state.data,
            threshold=self.threshold,
            layers=self.names(state.graph),
            runner=state.runner,
            callback=state.callback,
        )
        state.graph = removal.graph
        for shortcut in removal.removed:
            state.notes.append(f"{shortcut.layer}: removed; it changed its output by {shortcut.change:.2%}")


@dataclass(frozen=True)
class MergeLayers(Step):
    """Merges linear layers without an activation between, where one is smaller and cheaper (`weights/merge.py`)."""

    kind = "merge_layers"

    def apply(self, state: State) -> None:
        state.graph, merges = merge_layers(state.graph, self.names(state.graph))
        for merge in merges:
            if merge.reason:
                state.reasons[merge.second] = f"not merged with {merge.first}: {merge.reason}"
            else:
                state.notes.append(f"{merge.first} and {merge.second} are one layer now")
