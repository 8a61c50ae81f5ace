"""Quantisation: fewer bits for weights, and integer arithmetic."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from whit.compression.calibrate import observe_histograms, observe_ranges
from whit.compression.equalize import equalize
from whit.compression.plan import Plan, make_plan, observed
from whit.compression.quantize import Rounding, quantize, quantize_weights, round_rows_at_run_time
from whit.compression.ranges import Calibration
from whit.compression.settings import choice, count, flag, group, number
from whit.compression.steps.base import State, Step
from whit.compression.steps.products import moments_of, weighted_layers
from whit.compression.weights.compensated import round_compensated
from whit.compression.weights.covariance import Moments
from whit.compression.weights.grid import Codes
from whit.compression.weights.linear import LinearGrid, find_linear_grid
from whit.compression.weights.logarithmic import LogarithmicCodes, LogarithmicGrid, find_logarithmic_grid
from whit.compression.weights.products import weights_of
from whit.compression.weights.sequential import rework_layers
from whit.compression.weights.signs import KINDS, SignGrid, find_sign_grid
from whit.errors import RecipeError
from whit.ir import PRODUCTS, Graph, LinearCodes, Node, Quantization
from whit.optimize import optimize

__all__ = ["Calibration", "Quantize"]


@dataclass(frozen=True)
class Quantize(Step):
    """Rounds weights, and computes in integers where `activations` says so.

    Attributes:
        activations: dtype between layers: "s8" computes in integers, "f32" leaves arithmetic as it was; "dynamic" is
            f32 too, but fully connected and recurrent layers round each row they read to s8, on a grid that spans the
            row while the model runs: integer arithmetic without calibration data (Jacob et al., "Quantization and
            Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018, with ranges that are
            not learned).
        bits: of a weight, 2 to 8, on the logarithmic grid 2 to 4; unused for binary and ternary weights.
        grid: "linear": equal steps; "logarithmic": signed powers of two; "ternary": -scale, 0, scale; "binary": -scale,
            scale (`weights/signs.py`).
        symmetric: 0 in the middle of the codes, or they go from the lowest weight to the highest.
        granularity: what shares a scale: the weights of an output channel, of the layer ("tensor"), or `group_size`
            consecutive ones of a channel. Integer arithmetic wants symmetric weights, by channel or by tensor, or, with
            "dynamic" activations, linear ones of at most 4 bits in groups of 32, whose scales are then numbers of f16.
        group_size: for granularity "group".
        range: what the codes span: all weights ("minmax"), without the outermost ("percentile"), or the span of least
            squared error ("mse") or least Kullback-Leibler divergence ("kl"). Logarithmic: "minmax" is INQ's power of
            two; ternary: "minmax" is a threshold of 0.7 mean magnitudes (TWN).
        percentile: for range "percentile": how much is kept on each side.
        interval: the step of the linear grid, in place of a range; 0: found.
        scale_bits: significant bits of scales; fewer than the 24 of f32 take less of the file, and weights are rounded
            to steps of the scale that is stored.
        rounding: "nearest", or "compensated": the error of each weight is made up for by those rounded after it, so
            that the layer's outputs on calibration data change least (GPTQ); or "sequential": so, one layer after the
            other, and each makes up for what rounding those before it did to its inputs as well, at the price of two
            runs over the data for each layer. Worth their time below 8 bits.
        damping: for "compensated": see `weights/compensated.py`.
        calibration: how activation ranges are found, but for those that training found; unused for f32 activations.
        equalize: scales channels against each other where that leaves the f32 model, and what training rounded, as
            they are.
        bias_correction: adds to every bias what rounding the weights changes in the layer's mean output.
        min_weight_elements: weights with fewer elements stay f32 where activations are f32.
    """

    activations: str = choice("s8", "f32", "dynamic")
    bits: int = count(8, low=2, high=8)
    grid: str = choice("linear", "logarithmic", "ternary", "binary")
    symmetric: bool = flag(True)
    granularity: str = choice("channel", "tensor", "group")
    group_size: int = count(32, low=2)
    range: str = choice("minmax", "percentile", "mse", "kl")
    percentile: float = number(99.99, low=50, high=100, above=True)
    interval: float = number(0, low=0)
    scale_bits: int = count(24, low=2, high=24)
    rounding: str = choice("nearest", "compensated", "sequential")
    damping: float = number(0.01, low=0, high=10)
    calibration: Calibration = group(Calibration)
    equalize: bool = flag(True)
    bias_correction: bool = flag(True)
    min_weight_elements: int = count(256)

    kind = "quantize"

    def check(self) -> None:
        if self._has_integer_groups():
            if not self.symmetric or self.grid != "linear" or self.bits > 4 or self.group_size != Quantization.GROUP:
                raise RecipeError(
                    f"quantize: integer arithmetic with groups needs symmetric linear weights of at most 4 bits in "
                    f"groups of {Quantization.GROUP}; change symmetric, grid, bits and group_size, or the granularity"
                )
        elif self.activations != "f32" and not (self.symmetric and self.granularity != "group"):
            raise RecipeError(
                "quantize: integer arithmetic needs symmetric weights by channel or by tensor; change symmetric and "
                'granularity, or compute in f32 (activations "f32")'
            )
        if self.grid == "logarithmic" and self.bits > 4:
            raise RecipeError(f"quantize: {self.bits} bits of powers of two; s8 holds those of 4 (quantize.bits)")
        if self.grid != "linear" and (
            self.granularity == "group" or not self.symmetric or self.range not in ("minmax", "mse") or self.interval
        ):
            raise RecipeError(
                f"quantize: a {self.grid} grid is symmetric, by channel or tensor, with range minmax or mse and no "
                "interval"
            )
        if self.rounding == "sequential" and self.equalize and self.activations == "s8":
            raise RecipeError("quantize: equalisation would change what sequential rounding did; set equalize = false")
        if self.granularity == "group" and self.range == "kl":
            raise RecipeError("quantize: groups hold too few values for range 'kl'; use 'mse'")

    def _has_integer_groups(self) -> bool:
        return self.activations == "dynamic" and self.granularity == "group"

    def _computes_with(self, codes: LinearCodes) -> bool:
        """Whether arithmetic is of a kind that can use weights that were rounded before."""
        if self.activations == "f32":
            return True
        if codes.group and not (self._has_integer_groups() and codes.group == self.group_size):
            return False
        return codes.codes.dtype == np.int8 and not codes.zero_point.any()

    def find_grid(
        self, weights: np.ndarray, layer: str, importance: np.ndarray | None = None
    ) -> LinearGrid | LogarithmicGrid | SignGrid:
        """The grid for the weights f32 [O, ...] of a layer.

        Args:
            weights: to be rounded.
            layer: named in errors.
            importance: for range "mse": how much the squared error of each weight counts; broadcasts to the weights.
        """
        grid = self._find_grid(weights, layer, importance)
        fraction, exponent = np.frexp(grid.scale)
        steps = np.rint(np.ldexp(fraction, self.scale_bits))
        scale = np.ldexp(steps, exponent - self.scale_bits).astype(np.float32)
        return replace(grid, scale=_halves(scale, layer) if self._has_integer_groups() else scale)

    def _find_grid(
        self, weights: np.ndarray, layer: str, importance: np.ndarray | None
    ) -> LinearGrid | LogarithmicGrid | SignGrid:
        if self.grid in KINDS:
            method = "twn" if self.range == "minmax" else "mse"
            return find_sign_grid(
                weights,
                kind=self.grid,
                granularity=self.granularity,
                method=method,
                importance=importance,
                layer=layer,
            )
        if self.grid == "logarithmic":
            method = "inq" if self.range == "minmax" else "mse"
            return find_logarithmic_grid(
                weights, bits=self.bits, granularity=self.granularity, method=method, importance=importance, layer=layer
            )
        return find_linear_grid(
            weights,
            bits=self.bits,
            symmetric=self.symmetric,
            granularity=self.group_size if self.granularity == "group" else self.granularity,
            method=self.range,
            step=self.interval or None,
            percentile=self.percentile,
            importance=importance,
            layer=layer,
        )

    @property
    def needs_data(self) -> bool:
        return self.activations == "s8" or any(step.rounding != "nearest" for step in self.variants())

    def check_model(self, graph: Graph) -> None:
        super().check_model(graph)
        if self.activations == "s8":
            _check_f32(graph)

    def apply(self, state: State) -> None:
        self._round_in_turn(state)
        if self.activations != "s8":
            state.reasons.update(quantize_weights(state.graph, self, self._rounding(state)))
            if self.activations == "dynamic":
                round_rows_at_run_time(state.graph)
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
            state.factors.update(equalize(graph, plan, statistics, state.ranges))
        if self.calibration.method != "minmax":
            bins = self.calibration.bins
            observe_histograms(graph, statistics, state.data, bins=bins, runner=state.runner, callback=state.callback)
        quantize(graph, plan, statistics, self, self._rounding(state), state.ranges)
        state.graph = optimize(graph)

    def _round_in_turn(self, state: State) -> None:
        layers = {
            node.name: (node, settings)
            for node, settings, weights in weighted_layers(state, self)
            if settings.rounding == "sequential" and weights.size >= settings.min_weight_elements
        }
        if not layers:
            return
        assert state.data is not None, "recipes that need data are refused without"
        done: dict[str, LinearCodes] = {}

        def change(layer: str, weights: np.ndarray, moments: Moments) -> np.ndarray:
            node, settings = layers[layer]
            done[layer] = settings._compensate(node, weights, moments)
            return done[layer].dequantize()

        state.graph = rework_layers(
            state.graph, list(layers), state.data, change, seed=state.seed, runner=state.runner, callback=state.callback
        )
        for node in state.graph.nodes:
            if node.name in done:
                state.graph.tensors[node.inputs[1]].codes = done[node.name]

    def _compensate(self, node: Node, weights: np.ndarray, moments: Moments) -> LinearCodes:
        importance = moments.importance(weights.shape)
        columns = importance.reshape(len(weights), -1)

        def refit(part: np.ndarray, rows: slice, places: np.ndarray) -> LinearGrid:
            grid = self.find_grid(part, node.name, columns[rows][:, places])
            assert isinstance(grid, LinearGrid), "other grids have no groups"
            return grid

        found = round_compensated(
            weights,
            moments.hessian,
            self.find_grid(weights, node.name, importance),
            kept=weights != 0,
            damping=self.damping,
            refit=refit if self.granularity == "group" else None,
            layer=node.name,
        )
        return _linear(found.codes, node)

    def _rounding(self, state: State) -> Rounding:
        """Rounds as each layer's settings say; weights that lie on a grid already stay as they are."""
        graph = state.graph
        known = {node.name: codes for node in graph.nodes for codes in [_codes(graph, node)] if codes}
        products = (node for node in graph.nodes if node.op in PRODUCTS and weights_of(graph, node) is not None)
        chosen = ((node, self.for_node(node, graph)) for node in products)
        moments = moments_of(
            state, [node.name for node, step in chosen if step is not None and step.rounding == "compensated"]
        )

        def round_weights(settings: Quantize, node: Node, weights: np.ndarray) -> LinearCodes:
            codes = known.get(node.name)
            if codes is not None and settings._computes_with(codes) and np.array_equal(codes.dequantize(), weights):
                return codes
            if node.name not in moments or settings.rounding != "compensated":
                return round_to_nearest(settings, node, weights)
            return settings._compensate(node, weights, moments[node.name])

        return round_weights


def _codes(graph: Graph, node: Node) -> LinearCodes | None:
    """Of weights that training or sequential rounding left on a grid."""
    tensor = graph.tensors.get(node.inputs[1]) if node.op in PRODUCTS else None
    return None if tensor is None else tensor.codes


def _halves(scale: np.ndarray, layer: str) -> np.ndarray:
    """The numbers next to scales that f16 has; none becomes 0."""
    if scale.max(initial=0) > np.finfo(np.float16).max:
        raise RecipeError(f"quantize: layer {layer!r} has weights too large for scales in f16; do without groups there")
    result: np.ndarray = np.maximum(scale.astype(np.float16), np.finfo(np.float16).smallest_subnormal)
    return result.astype(np.float32)


def round_to_nearest(settings: Quantize, node: Node, weights: np.ndarray) -> LinearCodes:
    """Rounds the weights of a layer, f32 [O, ...], each for itself."""
    return _linear(settings.find_grid(weights, node.name).encode(weights), node)


def _linear(codes: Codes, node: Node) -> LinearCodes:
    if isinstance(codes, LogarithmicCodes):
        return codes.linear(node.name)
    assert isinstance(codes, LinearCodes), "the grids of this step have no others"
    return codes


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
