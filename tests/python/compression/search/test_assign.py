"""Candidates become recipes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from search_models import model, samples

from whit.compression import compress
from whit.compression.recipe import PRESETS, Recipe
from whit.compression.search.assign import for_layers, layers_of, options_of, recipe_of
from whit.compression.search.candidates import CANDIDATES, describe, usable
from whit.compression.steps import STEPS
from whit.errors import RecipeError
from whit.optimize import optimize

NAMES = ("first", "[a]*?", "last")
OUTPUTS = ("hidden0", "hidden1", "scores")


def settings(recipe: Recipe, kind: str) -> dict[str, object]:
    """What the step does to each layer; None where it leaves it alone."""
    (step,) = [step for step in recipe.steps if step.kind == kind]
    return {node.name: step.for_node(node, model(NAMES)) for node in model(NAMES).nodes}


def test_overrides_and_skips_of_a_step_that_is_there() -> None:
    chosen = {"hidden0": {"quantize": {"bits": 4}}, "hidden1": {}, "scores": {"quantize": {"bits": 8}}}
    recipe = recipe_of(PRESETS["int8-weights"], model(NAMES), chosen)
    found = settings(recipe, "quantize")
    assert found["first"].bits == 4
    assert found["[a]*?"] is None
    assert found["last"].bits == 8
    assert found["first"].activations == "f32"


def test_overrides_win_over_those_of_the_recipe() -> None:
    base = PRESETS["int8-weights"].with_settings(["quantize.bits=5", 'quantize.overrides={"*last" = {bits = 8}}'])
    chosen = {"hidden0": {"quantize": {"bits": 5}}, "scores": {"quantize": {"bits": 5}}}
    found = settings(recipe_of(base, model(NAMES), chosen), "quantize")
    assert found["first"].bits == 5
    assert found["last"].bits == 5


def test_rounding_one_layer_after_the_other_is_for_whole_recipes() -> None:
    base = PRESETS["int8"].with_settings(["quantize.rounding=compensated", "quantize.equalize=false"])
    base = base.with_settings(["quantize.rounding=sequential"])
    chosen = {"hidden0": {"quantize": {"bits": 3, "rounding": "compensated"}}}
    assert settings(recipe_of(base, model(NAMES), chosen), "quantize")["first"].rounding == "sequential"
    found = settings(recipe_of(for_layers(base, integers=False), model(NAMES), chosen), "quantize")["first"]
    assert (found.rounding, found.activations, found.bits) == ("compensated", "f32", 3)
    assert for_layers(base, integers=True).steps[0].activations == "s8"


def test_steps_that_are_added_come_before_quantisation() -> None:
    pruned = {"prune": {"sparsity": 0.5}, "quantize": {"bits": 8}}
    chosen = {
        "hidden0": pruned,
        "hidden1": {**pruned, "low_rank": {"energy": 0.9}},
        "scores": {"prune": {"sparsity": 0.75}},
    }
    recipe = recipe_of(PRESETS["int8"], model(NAMES), chosen)
    assert [step.kind for step in recipe.steps] == ["low_rank", "prune", "quantize"]
    assert [each and each.sparsity for each in settings(recipe, "prune").values()] == [0.5, 0.5, 0.75]
    assert [each and each.energy for each in settings(recipe, "low_rank").values()] == [None, 0.9, None]
    assert settings(recipe, "quantize")["last"] is None
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    for step in recipe.steps:
        step.check_model(model(NAMES))


def test_quantisation_that_the_recipe_lacks_leaves_arithmetic_alone() -> None:
    recipe = recipe_of(PRESETS["f32"], model(NAMES), {"hidden0": {"quantize": {"bits": 4}}})
    found = settings(recipe, "quantize")
    assert found["first"].activations == "f32"
    assert found["last"] is None


def test_layers_that_a_step_leaves_alone_stay_so() -> None:
    base = PRESETS["int8-weights"].with_settings(['quantize.skip=["last"]'])
    graph = model()
    assert options_of(graph.nodes[2], graph, base, [{"quantize": {"bits": 4}}, {"cluster": {"entries": 4}}, {}]) == [
        {"cluster": {"entries": 4}},
        {},
    ]


def test_integers_stay_integers() -> None:
    candidates = [{"quantize": {"bits": 8}}, {"cluster": {"entries": 4}}, {}]
    graph = model()
    assert options_of(graph.nodes[0], graph, PRESETS["int8"], candidates) == [candidates[0], {}]
    assert options_of(graph.nodes[0], graph, PRESETS["int8-weights"], candidates) == candidates


def test_layers_with_large_weights_are_searched() -> None:
    assert [node.outputs[0] for node in layers_of(optimize(model()))] == [
        "hidden0",
        "hidden1",
    ]  # 240 weights in the last


def test_candidates_are_what_the_steps_take() -> None:
    """None of the table is dropped while its steps exist."""
    assert usable(CANDIDATES, has_data=True, strict=True) == list(CANDIDATES)
    assert {kind for candidate in CANDIDATES for kind in candidate} <= set(STEPS)
    without = usable(CANDIDATES, has_data=False, strict=False)
    assert {"quantize": {"bits": 4, "range": "mse"}} in without
    assert len(without) < len(CANDIDATES)


@pytest.mark.parametrize(
    ("candidates", "says"),
    [
        ([{"quantise": {}}, {}], "no step 'quantise'"),
        ([{"quantize": {"bit": 4}}, {}], "no key 'bit'"),
        ([{"quantize": {"bits": 1}}, {}], r"2\.\.8"),
        ([{}], "two or more"),
    ],
)
def test_bad_candidates(candidates: list, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        usable(candidates, has_data=True, strict=True)


def test_words() -> None:
    assert describe({"prune": {"sparsity": 0.5}, "quantize": {"bits": 4}}) == "prune sparsity=0.5, quantize bits=4"
    assert describe({}) == "left alone"


def test_the_rest_of_the_recipe_stays() -> None:
    base = replace(PRESETS["int8"], storage="archive", seed=7)
    made = recipe_of(base, model(), {"hidden0": {}})
    assert (made.storage, made.seed, made.inputs) == ("archive", 7, base.inputs)


@pytest.mark.parametrize("preset", ["int8", "small"])
def test_what_was_clustered_keeps_its_few_codes_in_integers(preset: str) -> None:
    clustered = [c for c in CANDIDATES if c.get("cluster") == {"entries": 4} and "quantize" in c and "prune" not in c]
    recipe = recipe_of(PRESETS[preset], optimize(model()), {"hidden1": clustered[0], "hidden0": clustered[0]})
    report = compress(model(), None, recipe, samples())
    entropies = [layer.entropy for layer in report.layers if layer.name in ("first", "middle")]
    assert all(entropy is not None and entropy <= 2 for entropy in entropies)
    assert all(layer.dtype == "s8" for layer in report.layers)
