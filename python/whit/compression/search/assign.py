"""A candidate for each layer becomes an ordinary recipe with overrides."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from whit.compression.recipe import Recipe
from whit.compression.search.candidates import ADDED, ORDER, Candidate
from whit.compression.steps import STEPS, Quantize, Step
from whit.ir import WEIGHT_INPUTS, Graph, Node

__all__ = ["for_layers", "layers_of", "options_of", "recipe_of"]

#: Smaller weights are left to the recipe.
_MIN_ELEMENTS = 256


def layers_of(reference: Graph) -> list[Node]:
    """The operators that are searched: those with large f32 constants as weights."""
    found = []
    for node in reference.nodes:
        weights = [reference.constant(node.inputs[index]) for index in WEIGHT_INPUTS.get(node.op, ())]
        sizes = [data.size for data in weights if data is not None and data.dtype == np.float32]
        if sizes and sum(sizes) >= _MIN_ELEMENTS:
            found.append(node)
    return found


def options_of(layer: Node, reference: Graph, base: Recipe, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates for a layer: none with a step that the recipe keeps away from it.

    Where the recipe computes in integers, f32 is left for layers that stay as they were, not for other techniques.
    """
    settings = {step.kind: step.for_node(layer, reference) for step in base.steps}
    barred = {kind for kind, found in settings.items() if found is None}
    quantize = settings.get("quantize")
    is_integer = isinstance(quantize, Quantize) and quantize.activations == "s8"
    return [
        candidate
        for candidate in candidates
        if not barred & set(candidate) and (not is_integer or not candidate or "quantize" in candidate)
    ]


def recipe_of(base: Recipe, reference: Graph, chosen: Mapping[str, Candidate]) -> Recipe:
    """The recipe that does to each layer (by its output) what was chosen, and to all others what `base` does."""
    patterns = _patterns(reference)
    steps: list[Step] = []
    present = {step.kind for step in base.steps}
    added = [_added(kind, patterns, chosen) for kind in ORDER if kind not in present]
    made = [step for step in added if step is not None]
    for step in base.steps:
        if step.kind == "quantize":
            steps += made
            made = []
        if step.kind in ORDER:
            step = _overridden(step, reference, patterns, chosen)
        steps.append(step)
    return replace(base, steps=(*steps, *made))


def for_layers(base: Recipe, *, integers: bool) -> Recipe:
    """The recipe in which single layers are measured; recipes that are tried in full are as they were asked for.

    Layers are not rounded one after the other. Unless `integers`, arithmetic is f32: the damage of weights alone,
    without the work of calibrating activations, which lose the same whatever is chosen for the weights.
    """

    def changed(step: Step) -> Step:
        if not isinstance(step, Quantize):
            return step
        rounding = "compensated" if step.rounding == "sequential" else step.rounding
        return replace(step, rounding=rounding, activations=step.activations if integers else "f32")

    return replace(base, steps=tuple(changed(step) for step in base.steps))


def _overridden(step: Step, reference: Graph, patterns: Mapping[str, str], chosen: Mapping[str, Candidate]) -> Step:
    """A step of the base recipe; layers that were chosen to do without are skipped."""
    skipped, overrides = list(step.skip), dict(step.overrides)
    for node in reference.nodes:
        candidate = chosen.get(node.output)
        if candidate is None:
            continue
        if step.kind not in candidate:
            skipped.append(patterns[node.output])
            continue
        usual, wanted = step.for_node(node, reference), dict(candidate[step.kind])
        if getattr(usual, "rounding", "") == "sequential" and wanted.get("rounding") == "compensated":
            del wanted["rounding"]  # what the recipe has is better still
        if any(getattr(usual, key) != value for key, value in wanted.items()):
            overrides[patterns[node.output]] = wanted
    return replace(step, skip=tuple(skipped), overrides=overrides)


def _added(kind: str, patterns: Mapping[str, str], chosen: Mapping[str, Candidate]) -> Step | None:
    """A step that the base recipe lacks, for the layers that were chosen to have it."""
    wanted = {name: dict(candidate[kind]) for name, candidate in chosen.items() if kind in candidate}
    if not wanted:
        return None
    texts = Counter(json.dumps(settings, sort_keys=True) for settings in wanted.values())
    common = json.loads(max(texts, key=lambda text: (texts[text], text)))
    overrides = {patterns[name]: settings for name, settings in wanted.items() if settings != common}
    layers = [patterns[name] for name in wanted]
    return STEPS[kind].from_dict({**ADDED.get(kind, {}), **common, "layers": layers, "overrides": overrides})


def _patterns(reference: Graph) -> dict[str, str]:
    """Output of each operator -> a pattern that matches nothing else: the operator's name, else its output's."""
    uses = Counter(name for node in reference.nodes for name in {node.name, *node.outputs})
    return {
        node.output: _literal(node.name if node.name and uses[node.name] == 1 else node.output)
        for node in reference.nodes
    }


def _literal(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
