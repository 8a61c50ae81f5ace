"""Quantisation: fewer bits for weights, and integer arithmetic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from whit.compression.calibrate import observe_histograms, observe_ranges
from whit.compression.equalize import equalize
from whit.compression.plan import PRODUCTS, Plan, make_plan, observed
from whit.compression.quantize import quantize, quantize_weights
from whit.compression.ranges import Calibration
from whit.compression.settings import choice, count, flag, group
from whit.compression.steps.base import State, Step
from whit.errors import RecipeError
from whit.ir import Graph
from whit.optimize import optimize

__all__ = ["Calibration", "Quantize"]


@dataclass(frozen=True)
class Quantize(Step):
    """Rounds weights, and computes in integers where `activations` says so.

    Attributes:
        activations: dtype between layers: "s8" computes in integers, "f32" leaves arithmetic as it was.
        calibration: how activation ranges are found; unused for f32 activations.
        equalize: scales channels against each other where that leaves the f32 model as it is.
        bias_correction: adds to every bias what rounding the weights changes in the layer's mean output.
        min_weight_elements: weights with fewer elements stay f32 where activations are f32.
    """

    activations: str = choice("s8", "f32")
    calibration: Calibration = group(Calibration)
    equalize: bool = flag(True)
    bias_correction: bool = flag(True)
    min_weight_elements: int = count(256)

    kind = "quantize"

    @property
    def needs_data(self) -> bool:
        return self.activations == "s8"

    def check_model(self, graph: Graph) -> None:
        super().check_model(graph)
        if self.activations == "s8":
            _check_f32(graph)

    def apply(self, state: State) -> None:
        if self.activations == "f32":
            state.reasons.update(quantize_weights(state.graph, self))
            return
        plan = make_plan(state.graph, self)
        state.reasons.update(plan.reasons)
        state.notes += _notes(state.graph, plan)
        self._quantize(state, plan)

    def _quantize(self, state: State, plan: Plan) -> None:
        assert state.data is not None, "recipes that need data are refused without"
        graph = state.graph
        names = list(observed(graph, plan))
        if self.bias_correction:
            names += [node.inputs[0] for node in graph.nodes if node in plan.nodes and node.op in PRODUCTS]
        statistics = observe_ranges(graph, names, state.data, runner=state.runner, callback=state.callback)
        if self.equalize:
            state.factors.update(equalize(graph, plan, statistics))
        if self.calibration.method != "minmax":
            bins = self.calibration.bins
            observe_histograms(graph, statistics, state.data, bins=bins, runner=state.runner, callback=state.callback)
        quantize(graph, plan, statistics, self)
        state.graph = optimize(graph)


def _check_f32(graph: Graph) -> None:
    quantized = next((tensor.name for tensor in graph.tensors.values() if tensor.quantization is not None), None)
    if quantized is not None:
        raise RecipeError(
            f"quantize: needs an f32 model; this one is quantised already (tensor {quantized!r}). "
            "Recipe 'f32' keeps it as it is, in integers"
        )


def _notes(graph: Graph, plan: Plan) -> list[str]:
    if not any(node.op in PRODUCTS for node in plan.nodes):
        return ["no layer computes in s8: " + "; ".join(sorted(set(plan.reasons.values())))]
    left = Counter(f"{node.op} ({plan.reasons[node.name]})" for node in graph.nodes if node.name in plan.reasons)
    return [f"{count} x {what} stays f32" for what, count in left.most_common()]
