"""What to do to a model: a small, frozen, versioned list of steps that is stored in the file it produced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from whit.compression.settings import Settings, check_keys, choice, count, did_you_mean, text
from whit.compression.steps import STEPS, Prune, Quantize, Step
from whit.errors import FileError, RecipeError

__all__ = ["PRESETS", "RECIPE_VERSION", "Recipe", "RecipeLike"]

#: Rises when a stored recipe would mean something else than before.
RECIPE_VERSION = 2


@dataclass(frozen=True)
class Recipe(Settings):
    """One way to compress a model.

    Attributes:
        name: the preset it started from, or a name of its own.
        inputs: dtype of inputs that have a preprocessing: "f32" as the model was made, or "u8": pictures as they are,
            [N, H, W, C]; scale, mean and std become part of the first convolution (see `compression/pictures.py`).
        storage: how constants are stored (docs/FORMAT.md): "dense": as the kernels read them, mapped from the file;
            "packed": in as few bits as their values need; "coded": entropy coded, still fast to load; "archive": the
            smallest file, slow to load.
        seed: of everything random.
        steps: applied in this order.
    """

    name: str = text("")
    inputs: str = choice("f32", "u8")
    storage: str = choice("dense", "packed", "coded", "archive")
    seed: int = count(0)
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.steps, (list, tuple)) or not all(isinstance(step, Step) for step in self.steps):
            raise RecipeError(f"recipe.steps must be a list of steps; got {self.steps!r}")
        object.__setattr__(self, "steps", tuple(self.steps))
        for step, following in zip(self.steps, self.steps[1:], strict=False):
            if isinstance(step, Quantize):
                raise RecipeError(f"recipe.steps: {following.kind} comes after quantize, which must be the last step")

    @property
    def needs_data(self) -> bool:
        """Whether calibration data must be given."""
        return any(step.needs_data for step in self.steps)

    @classmethod
    def of(cls, recipe: RecipeLike) -> Recipe:
        """A recipe from a preset's name, the path of a .toml file, a mapping as made by `to_dict`, or a recipe.

        Raises:
            RecipeError: no such preset or key, or a value that does not fit.
            FileError: the .toml file cannot be read.
        """
        if isinstance(recipe, Recipe):
            return recipe
        if isinstance(recipe, Mapping):
            return cls.from_dict(recipe)
        if isinstance(recipe, os.PathLike) or (isinstance(recipe, str) and recipe.endswith(".toml")):
            return cls.from_dict(_parse_toml(_read(recipe), os.fspath(recipe)), os.fspath(recipe))
        if not isinstance(recipe, str) or recipe not in PRESETS:
            close = did_you_mean(recipe, list(PRESETS)) if isinstance(recipe, str) else ""
            raise RecipeError(f"no recipe {recipe!r}{close}; recipes: {', '.join(PRESETS)}, or a .toml file")
        return PRESETS[recipe]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: what differs from the defaults; `from_dict` gives the same recipe back."""
        values = super().to_dict()
        values["steps"] = [{"kind": step.kind, **step.to_dict()} for step in self.steps]
        return {"version": RECIPE_VERSION, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str | None = None) -> Recipe:
        """The reverse of `to_dict`. Without steps, they are those of the preset that `name` says.

        Raises:
            RecipeError: an unknown preset, step or key, another version, or a value that does not fit.
        """
        where, values = where or "recipe", dict(values)
        version = values.pop("version", RECIPE_VERSION)
        if version != RECIPE_VERSION:
            raise RecipeError(f"{where}: version {version!r} is not {RECIPE_VERSION}, the one this whit knows")
        check_keys(cls, values, where)
        if "steps" not in values:
            return cls.of(values.pop("name", "int8")).changed(values)
        steps = values.pop("steps")
        if not isinstance(steps, (list, tuple)):
            raise RecipeError(f"{where}.steps must be a list of tables ([[steps]] in TOML); got {type(steps).__name__}")
        return cls(**values, steps=tuple(_step(step, f"{where}.steps[{number}]") for number, step in enumerate(steps)))

    def to_toml(self) -> str:
        """As a TOML document; `from_toml` gives the same recipe back."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    @classmethod
    def from_toml(cls, document: str) -> Recipe:
        """A recipe from a TOML document.

        Raises:
            RecipeError: it is no TOML (says where), or no recipe.
        """
        return cls.from_dict(_parse_toml(document, "recipe"))

    def with_settings(self, settings: Iterable[str]) -> Recipe:
        """Changed by `key=value` texts: `storage=archive`, `quantize.bits=4`, `quantize.calibration.method=kl`.

        The first word of a key is a field of the recipe or the kind of a step (`prune.2` is the second of its kind).
        Values are written as in TOML; the quotes of plain words may be left out.

        Raises:
            RecipeError: no such key, or a value that does not fit.
        """
        recipe = self
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals or not key.strip():
                raise RecipeError(f"{setting!r} is not KEY=VALUE, such as quantize.bits=4")
            recipe = recipe._with(key.strip().split("."), _parse_value(value.strip()))
        return recipe

    def _with(self, path: list[str], value: Any) -> Recipe:
        if path[0] not in STEPS:
            if path[0] == "steps":
                raise RecipeError("recipe.steps: a step is named by its kind, such as quantize.bits=4")
            return self.changed(_nested(path, value))
        places = [index for index, step in enumerate(self.steps) if step.kind == path[0]]
        if not places:
            kinds = ", ".join(step.kind for step in self.steps) or "none"
            raise RecipeError(f"{path[0]}: recipe {self.name!r} has no such step; its steps: {kinds}")
        rest = path[1:]
        if rest and rest[0].isdigit():
            if not 1 <= int(rest[0]) <= len(places):
                raise RecipeError(f"{'.'.join(path)}: recipe {self.name!r} has {len(places)} steps {path[0]}")
            places, rest = [places[int(rest[0]) - 1]], rest[1:]
        if not rest:
            raise RecipeError(f"{'.'.join(path)}: which setting? Such as {path[0]}.layers")
        steps = list(self.steps)
        for place in places:
            steps[place] = steps[place].changed(_nested(rest, value))
        return replace(self, steps=tuple(steps))


def _step(values: Any, where: str) -> Step:
    if not isinstance(values, Mapping):
        raise RecipeError(f'{where} must be a table with a kind, such as {{kind = "quantize"}}; got {values!r}')
    kind = values.get("kind")
    if kind not in STEPS:
        close = did_you_mean(kind, list(STEPS)) if isinstance(kind, str) else ""
        raise RecipeError(f"{where}: no step {kind!r}{close}; kinds: {', '.join(STEPS)}")
    return STEPS[kind].from_dict({key: value for key, value in values.items() if key != "kind"}, f"{where} ({kind})")


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def _parse_value(value: str) -> Any:
    try:
        return _parse_toml(f"value = {value}", "")["value"]
    except RecipeError:
        return value


def _parse_toml(document: str, where: str) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib  # type: ignore[import-not-found,no-redef]
    try:
        return tomllib.loads(document)
    except tomllib.TOMLDecodeError as problem:
        raise RecipeError(f"{where}: not TOML: {problem}") from problem


def _read(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as problem:
        raise FileError(f"recipe {os.fspath(path)!r}: {problem.strerror or problem}") from problem
    except UnicodeDecodeError as problem:
        raise RecipeError(f"recipe {os.fspath(path)!r} is not text in UTF-8: {problem}") from problem


RecipeLike = Recipe | str | os.PathLike[str] | Mapping[str, Any]

#: Below 8 bits errors have to be made up for, and channels scaled against each other lose more than they gain.
_LOW_BITS = Quantize(range="mse", rounding="sequential", equalize=False, scale_bits=8)

#: Recipes by name. Depthwise weights are few, and each counts.
PRESETS: dict[str, Recipe] = {
    "f32": Recipe("f32"),
    "int8": Recipe("int8", steps=(Quantize(),)),
    "int8-weights": Recipe("int8-weights", steps=(Quantize(activations="f32"),)),
    "int4": Recipe("int4", storage="packed", steps=(replace(_LOW_BITS, bits=4, overrides={"@grouped": {"bits": 8}}),)),
    "small": Recipe(
        "small",
        storage="archive",
        steps=(replace(_LOW_BITS, bits=5, overrides={"@grouped": {"bits": 8}, "@gemm": {"bits": 4}}),),
    ),
    "tiny": Recipe(
        "tiny",
        storage="archive",
        steps=(
            Prune(sparsity=0.5, sequential=True, overrides={"@grouped": {"sparsity": 0.0}}),
            replace(_LOW_BITS, bits=4, overrides={"@grouped": {"bits": 6}}),
        ),
    ),
}
