"""What to do to a model: a small, frozen, versioned description that is stored in the file it produced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from whit.errors import RecipeError

__all__ = ["PRESETS", "RECIPE_VERSION", "Calibration", "Recipe", "RecipeLike"]

#: Rises when a stored recipe would mean something else than before.
RECIPE_VERSION = 1

_METHODS = ("minmax", "percentile", "mse")
_DTYPES = ("f32", "s8")
_INPUTS = ("f32", "u8")


@dataclass(frozen=True)
class Calibration:
    """How the range of an activation is chosen from what it took on calibration data.

    Attributes:
        method: "minmax": everything seen; "percentile": a share of the values is cut off on each side; "mse": the range
            whose quantisation has the least mean squared error.
        percentile: for "percentile": the values from (100 - percentile) to percentile are kept.
        bins: of the histogram behind "percentile" and "mse".
    """

    method: str = "mse"
    percentile: float = 99.99
    bins: int = 4096

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise RecipeError(f"recipe: calibration method must be one of {', '.join(_METHODS)}; got {self.method!r}")
        percentile = _number("percentile", self.percentile)
        if not 50 < percentile <= 100:
            raise RecipeError(f"recipe: percentile must be above 50 and at most 100; got {self.percentile!r}")
        if isinstance(self.bins, bool) or not isinstance(self.bins, int) or not 256 <= self.bins <= 1 << 20:
            raise RecipeError(f"recipe: bins must be in 256..{1 << 20}; got {self.bins!r}")
        object.__setattr__(self, "percentile", percentile)


@dataclass(frozen=True)
class Recipe:
    """One way to compress a model.

    Attributes:
        name: the preset it started from.
        weights: dtype of the weights of convolutions, matrix products and LSTMs: "f32" or "s8".
        activations: dtype between layers: "s8" computes in integers, "f32" leaves arithmetic as it was.
        inputs: dtype of inputs that have a preprocessing: "f32" as the model was made, or "u8": pictures as they are,
            [N, H, W, C]; scale, mean and std become part of the first convolution (see `compression/pictures.py`).
        calibration: how activation ranges are found; unused for f32 activations.
        equalize: scales channels against each other where that leaves the f32 model as it is.
        bias_correction: adds to every bias what rounding the weights changes in the layer's mean output.
        keep_f32: layers to leave alone: patterns of node names or of their output tensors (`*`, `?`, `[...]`).
        min_weight_elements: weights with fewer elements stay f32 where activations are f32.
    """

    name: str = "int8"
    weights: str = "s8"
    activations: str = "s8"
    inputs: str = "f32"
    calibration: Calibration = field(default_factory=Calibration)
    equalize: bool = True
    bias_correction: bool = True
    keep_f32: tuple[str, ...] = ()
    min_weight_elements: int = 256

    def __post_init__(self) -> None:
        for key in ("weights", "activations"):
            if getattr(self, key) not in _DTYPES:
                raise RecipeError(f"recipe: {key} must be one of {', '.join(_DTYPES)}; got {getattr(self, key)!r}")
        if self.inputs not in _INPUTS:
            raise RecipeError(f"recipe: inputs must be one of {', '.join(_INPUTS)}; got {self.inputs!r}")
        if self.activations == "s8" and self.weights != "s8":
            raise RecipeError("recipe: s8 activations need s8 weights")
        if not isinstance(self.name, str):
            raise RecipeError(f"recipe: name must be text; got {self.name!r}")
        for key in ("equalize", "bias_correction"):
            if not isinstance(getattr(self, key), bool):
                raise RecipeError(f"recipe: {key} must be true or false; got {getattr(self, key)!r}")
        patterns = self.keep_f32
        if isinstance(patterns, str) or not all(isinstance(pattern, str) for pattern in patterns):
            raise RecipeError(f"recipe: keep_f32 must be a list of patterns; got {patterns!r}")
        object.__setattr__(self, "keep_f32", tuple(patterns))
        minimum = self.min_weight_elements
        if isinstance(minimum, bool) or not isinstance(minimum, int) or minimum < 0:
            raise RecipeError(f"recipe: min_weight_elements must be a count; got {minimum!r}")

    @property
    def needs_data(self) -> bool:
        return self.activations == "s8"

    def keeps_f32(self, *names: str) -> bool:
        """True if a pattern of `keep_f32` matches one of these names."""
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.keep_f32)

    @classmethod
    def of(cls, recipe: RecipeLike) -> Recipe:
        """A recipe from a preset's name, a mapping as made by `to_dict`, or a recipe.

        Raises:
            RecipeError: no such preset or key, or a value that does not fit.
        """
        if isinstance(recipe, Recipe):
            return recipe
        if isinstance(recipe, Mapping):
            return cls.from_dict(recipe)
        if not isinstance(recipe, str) or recipe not in PRESETS:
            raise RecipeError(f"no recipe {recipe!r}; recipes: {', '.join(PRESETS)}")
        return PRESETS[recipe]

    def to_dict(self) -> dict[str, object]:
        """JSON-ready; `from_dict` gives the same recipe back."""
        values = asdict(self)
        values["keep_f32"] = list(self.keep_f32)
        return {"version": RECIPE_VERSION, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The reverse of `to_dict`. Keys that are missing come from the preset that `name` says ("int8" without).

        Raises:
            RecipeError: unknown preset or key, a version from the future, or a value that does not fit.
        """
        values = dict(values)
        version = values.pop("version", RECIPE_VERSION)
        if version != RECIPE_VERSION:
            raise RecipeError(f"recipe: version {version!r} is not {RECIPE_VERSION}, the one this whit knows")
        base = cls.of(values.pop("name", "int8"))
        _check_keys(values, cls, "recipe")
        if "calibration" in values:
            calibration = values["calibration"]
            if not isinstance(calibration, Mapping):
                raise RecipeError(f"recipe: calibration must be a mapping; got {type(calibration).__name__}")
            _check_keys(calibration, Calibration, "recipe: calibration")
            values["calibration"] = replace(base.calibration, **calibration)
        if isinstance(values.get("keep_f32"), list):
            values["keep_f32"] = tuple(values["keep_f32"])
        return replace(base, **values)


def _check_keys(values: Mapping[str, Any], kind: type, where: str) -> None:
    known = [item.name for item in fields(kind)]
    for key in values:
        if key not in known:
            raise RecipeError(f"{where}: no key {key!r}; keys: {', '.join(known)}")


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RecipeError(f"recipe: {name} must be a finite number; got {value!r}")
    return float(value)


RecipeLike = Recipe | str | Mapping[str, Any]

#: Recipes by name.
PRESETS: dict[str, Recipe] = {
    "f32": Recipe("f32", weights="f32", activations="f32"),
    "int8": Recipe("int8"),
    "int8-weights": Recipe("int8-weights", activations="f32"),
}
