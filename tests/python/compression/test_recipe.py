from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from whit.compression.recipe import PRESETS, Calibration, Recipe
from whit.errors import RecipeError


def test_presets() -> None:
    assert set(PRESETS) == {"f32", "int8", "int8-weights"}
    assert Recipe.of("int8").needs_data
    assert not Recipe.of("int8-weights").needs_data
    assert not Recipe.of("f32").needs_data
    recipe = replace(PRESETS["int8"], keep_f32=("head/*",))
    assert Recipe.of(recipe) is recipe


def test_unknown_lists_presets() -> None:
    for wrong in ("int9", 3, None):
        with pytest.raises(RecipeError, match="recipes: f32, int8, int8-weights"):
            Recipe.of(wrong)  # type: ignore[arg-type]


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PRESETS["int8"].weights = "f32"  # type: ignore[misc]


def test_round_trip_through_json() -> None:
    recipe = replace(PRESETS["int8"], calibration=Calibration("percentile", 99.9), keep_f32=("a", "b*"))
    for each in (*PRESETS.values(), recipe):
        text = json.dumps(each.to_dict())
        assert Recipe.of(json.loads(text)) == each
    assert json.loads(text)["version"] == 1


def test_partial_mapping_completes_its_preset() -> None:
    recipe = Recipe.of({"name": "int8", "calibration": {"method": "minmax"}, "keep_f32": ["conv_1"]})
    assert recipe == replace(PRESETS["int8"], calibration=Calibration("minmax"), keep_f32=("conv_1",))
    assert Recipe.of({}) == PRESETS["int8"]


def test_patterns() -> None:
    recipe = replace(PRESETS["int8"], keep_f32=("head/*", "conv_?"))
    assert recipe.keeps_f32("head/a/b")
    assert recipe.keeps_f32("other", "conv_1")
    assert not recipe.keeps_f32("conv_12", "HEAD/x")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"version": 2}, "version 2"),
        ({"inputs": "s8"}, "inputs must be one of f32, u8"),
        ({"weigths": "s8"}, "no key 'weigths'"),
        ({"calibration": {"metod": "mse"}}, "no key 'metod'"),
        ({"calibration": "mse"}, "must be a mapping"),
        ({"calibration": {"method": "entropy"}}, "minmax, percentile, mse"),
        ({"calibration": {"percentile": 40}}, "above 50"),
        ({"calibration": {"percentile": float("nan")}}, "finite"),
        ({"calibration": {"bins": 3}}, "bins must be"),
        ({"weights": "s4"}, "weights must be one of"),
        ({"weights": "f32"}, "need s8 weights"),
        ({"keep_f32": "conv"}, "list of patterns"),
        ({"keep_f32": [3]}, "list of patterns"),
        ({"min_weight_elements": -1}, "count"),
        ({"bias_correction": 1}, "true or false"),
        ({"name": "int9"}, "no recipe"),
    ],
)
def test_refuses(values: dict[str, object], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        Recipe.of(values)
