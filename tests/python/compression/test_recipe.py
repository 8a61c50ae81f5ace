"""Recipes: what they say comes back from dicts and TOML, changes by text, and is refused with reasons."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from small_graphs import small_network

from whit.compression.recipe import PRESETS, RECIPE_VERSION, Recipe
from whit.compression.steps import STEPS, Calibration, Quantize
from whit.errors import FileError, RecipeError

#: Everything that a recipe can say, in one.
FULL = Recipe(
    "mine",
    inputs="u8",
    storage="archive",
    seed=7,
    steps=(
        Quantize(
            layers=("conv*",),
            skip=("head*",),
            overrides={"conv1*": {"bias_correction": False}, "conv?": {"calibration": {"method": "minmax"}}},
            calibration=Calibration("percentile", percentile=99.9),
        ),
    ),
)


def test_presets() -> None:
    assert {"f32", "int8", "int8-weights"} <= set(PRESETS)
    assert Recipe.of("int8").needs_data
    assert not Recipe.of("int8-weights").needs_data
    assert not Recipe.of("f32").needs_data
    assert Recipe.of(FULL) is FULL
    for name, recipe in PRESETS.items():
        assert recipe.name == name
        for step in recipe.steps:
            assert STEPS[step.kind] is type(step)


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PRESETS["int8"].storage = "coded"  # type: ignore[misc]


@pytest.mark.parametrize("recipe", [*PRESETS.values(), FULL], ids=lambda recipe: recipe.name)
def test_round_trips(recipe: Recipe, tmp_path) -> None:
    values = json.loads(json.dumps(recipe.to_dict()))
    assert values["version"] == RECIPE_VERSION
    assert Recipe.of(values) == recipe
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    path = tmp_path / "mine.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.of(path) == Recipe.of(str(path)) == recipe


def test_stores_what_differs() -> None:
    assert PRESETS["int8"].to_dict() == {"version": 2, "name": "int8", "steps": [{"kind": "quantize"}]}


def test_mapping_without_steps_changes_its_preset() -> None:
    assert Recipe.of({"name": "int8-weights", "storage": "coded"}) == replace(PRESETS["int8-weights"], storage="coded")
    assert Recipe.of({}) == PRESETS["int8"]


def test_settings_as_text() -> None:
    recipe = PRESETS["int8"].with_settings(
        ["storage=archive", "quantize.calibration.method=minmax", "quantize.calibration.bins = 512"]
    )
    assert recipe.storage == "archive"
    assert recipe.steps == (Quantize(calibration=Calibration("minmax", bins=512)),)
    recipe = recipe.with_settings(['quantize.1.overrides={"head*" = {equalize = false}}', "quantize.skip=['a', 'b*']"])
    assert recipe.steps[0].overrides == {"head*": {"equalize": False}}
    assert recipe.steps[0].skip == ("a", "b*")


def test_layers() -> None:
    """Layers, then skip, then overrides, the last that matches first; by node name or by an output's."""
    graph = small_network()
    first, last = graph.nodes[0], graph.nodes[-1]
    step = Quantize(overrides={"*": {"min_weight_elements": 1}, first.outputs[0]: {"min_weight_elements": 2}})
    assert step.for_node(first, graph) == Quantize(min_weight_elements=2)
    assert step.for_node(last, graph) == Quantize(min_weight_elements=1)
    assert Quantize(layers=(first.name,)).for_node(last, graph) is None
    assert Quantize(skip=(first.outputs[0],)).for_node(first, graph) is None
    partly = Quantize(calibration=Calibration(bins=512), overrides={"*": {"calibration": {"method": "minmax"}}})
    assert partly.for_node(first, graph) == Quantize(calibration=Calibration("minmax", bins=512))


@pytest.mark.parametrize("key", ["layers", "skip", "overrides"])
def test_patterns_that_match_nothing(key: str) -> None:
    graph = small_network()
    name = graph.nodes[0].name
    wrong = name[:-1] + "~"
    step = Quantize(**{key: {wrong: {}} if key == "overrides" else (wrong,)})
    with pytest.raises(RecipeError, match=f"no layer matches '{wrong}' .did you mean '{name}'"):
        step.check_model(graph)
    Quantize(skip=("*",), overrides={name: {}}).check_model(graph)


def test_patterns_of_operators() -> None:
    """A model may lack an operator; whit must know it."""
    graph = small_network()
    Quantize(skip=("@lstm", "@grouped", "@c*")).check_model(graph)
    with pytest.raises(RecipeError, match=r"'@convolution' stands for no operator"):
        Quantize(skip=("@convolution",)).check_model(graph)
    grouped = [node for node in graph.nodes if node.attributes.get("group", 1) != 1]
    step = Quantize(layers=("@grouped",))
    assert grouped
    assert [node for node in graph.nodes if step.for_node(node, graph) is not None] == grouped
    pointwise = [node.name for node in graph.nodes if Quantize(layers=("@1x1",)).for_node(node, graph) is not None]
    assert pointwise == ["project", "reduce", "expand"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"version": 1}, "version 1 is not 2"),
        ({"inputs": "s8"}, "recipe.inputs must be one of f32, u8"),
        ({"storrage": "dense"}, r"no key 'storrage' \(did you mean 'storage'\?\); keys: name, inputs"),
        ({"storage": "zip"}, "dense, packed, coded, archive"),
        ({"seed": -1}, "whole number in 0.."),
        ({"seed": True}, "whole number"),
        ({"name": "int9"}, r"no recipe 'int9' .did you mean 'int8'"),
        ({"name": 3, "steps": []}, "recipe.name must be text"),
        ({"steps": "quantize"}, "list of tables"),
        ({"steps": ["quantize"]}, r"steps\[0\] must be a table"),
        ({"steps": [{"kind": "quantise"}]}, r"no step 'quantise' .did you mean 'quantize'"),
        ({"steps": [{}]}, "no step None"),
        ({"steps": [{"kind": "quantize"}, {"kind": "quantize"}]}, "must be the last step"),
        ({"steps": [{"kind": "quantize", "bitts": 3}]}, r"steps\[0\] \(quantize\): no key 'bitts'"),
        ({"steps": [{"kind": "quantize", "calibration": {"metod": "mse"}}]}, "no key 'metod'"),
        ({"steps": [{"kind": "quantize", "calibration": "mse"}]}, "calibration must be a table"),
        ({"steps": [{"kind": "quantize", "calibration": {"method": "best"}}]}, "one of mse, minmax, percentile"),
        ({"steps": [{"kind": "quantize", "calibration": {"percentile": 50}}]}, "above 50, at most 100"),
        ({"steps": [{"kind": "quantize", "calibration": {"percentile": float("nan")}}]}, "finite"),
        ({"steps": [{"kind": "quantize", "equalize": 1}]}, "true or false"),
        ({"steps": [{"kind": "quantize", "skip": "conv"}]}, "list of patterns"),
        ({"steps": [{"kind": "quantize", "skip": [3]}]}, "list of patterns"),
        ({"steps": [{"kind": "quantize", "overrides": ["a"]}]}, "table of patterns"),
        ({"steps": [{"kind": "quantize", "overrides": {"a": {"skip": ["b"]}}}]}, "belongs to the step"),
        ({"steps": [{"kind": "quantize", "overrides": {"a": {"bitts": 3}}}]}, "overrides.'a'.*no key 'bitts'"),
        ({"steps": [{"kind": "quantize", "overrides": {"a": {"equalize": 3}}}]}, "true or false"),
    ],
)
def test_refuses(values: dict[str, object], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        Recipe.of(values)


@pytest.mark.parametrize("wrong", ["int9", 3, None])
def test_unknown_lists_presets(wrong: object) -> None:
    with pytest.raises(RecipeError, match="recipes: f32, int8, int8-weights"):
        Recipe.of(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("storage", "not KEY=VALUE"),
        ("=3", "not KEY=VALUE"),
        ("storage=best", "dense, packed"),
        ("storrage=dense", "did you mean 'storage'"),
        ("steps=[]", "named by its kind"),
        ("quantize=3", "which setting"),
        ("quantize.2.equalize=true", "has 1 steps quantize"),
        ("quantize.equalise=true", "did you mean 'equalize'"),
        ("quantize.calibration.bins=many", "whole number"),
    ],
)
def test_refuses_settings(setting: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        PRESETS["int8"].with_settings([setting])


def test_setting_of_a_missing_step() -> None:
    with pytest.raises(RecipeError, match="recipe 'f32' has no such step; its steps: none"):
        PRESETS["f32"].with_settings(["quantize.equalize=true"])


def test_bad_files(tmp_path) -> None:
    with pytest.raises(FileError, match=r"nowhere.toml.*No such file"):
        Recipe.of(tmp_path / "nowhere.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("steps = [\n")
    with pytest.raises(RecipeError, match="not TOML"):
        Recipe.of(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="UTF-8"):
        Recipe.of(bad)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("[[steps]", r"mine\.toml: not TOML: .*line 1"),
        ('storag = "packed"', r"mine\.toml: no key 'storag' \(did you mean 'storage'\?\)"),
        ('[steps]\nkind = "prune"', r"mine\.toml\.steps must be a list of tables \(\[\[steps\]\] in TOML\)"),
        ('steps = ["prune"]', r"mine\.toml\.steps\[0\] must be a table with a kind, such as"),
        ('[[steps]]\nkind = "prune"\nshare = 1', r"mine\.toml\.steps\[0\] \(prune\): no key 'share'"),
    ],
)
def test_what_is_wrong_in_a_file_names_the_file(document: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(document)
    with pytest.raises(RecipeError, match=says):
        Recipe.of(path)
