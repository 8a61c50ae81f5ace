"""Fields that check themselves, for frozen dataclasses: what a recipe may say, and the errors when it says otherwise.

`sparsity: float = number(0.5, low=0.0, high=0.99)` is a field of a subclass of `Settings`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, TypeVar

from whit.errors import RecipeError

__all__ = ["Settings", "check_keys", "choice", "count", "did_you_mean", "flag", "group", "number", "patterns", "text"]

#: Takes where a value stands and the value; returns it in its canonical type or raises RecipeError.
Check = Callable[[str, Any], Any]
S = TypeVar("S", bound="Settings")


def choice(*values: str) -> Any:
    """One of some words; the first is the default."""

    def check(where: str, value: Any) -> str:
        if not isinstance(value, str) or value not in values:
            raise RecipeError(f"{where} must be one of {', '.join(values)}; got {value!r}")
        return value

    return field(default=values[0], metadata={"check": check})


def number(default: float, *, low: float, high: float = math.inf, above: bool = False) -> Any:
    """A finite number from `low` (or above it) to `high`."""

    def check(where: str, value: Any) -> float:
        good = not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
        if not good or not low <= value <= high or (above and value == low):
            span = f"{'above' if above else 'at least'} {low:g}" + ("" if high == math.inf else f", at most {high:g}")
            raise RecipeError(f"{where} must be a finite number, {span}; got {value!r}")
        return float(value)

    return field(default=float(default), metadata={"check": check})


def count(default: int, *, low: int = 0, high: int = 2**31 - 1) -> Any:
    """A whole number from `low` to `high`."""

    def check(where: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise RecipeError(f"{where} must be a whole number in {low}..{high}; got {value!r}")
        return value

    return field(default=default, metadata={"check": check})


def flag(default: bool) -> Any:
    """True or false."""

    def check(where: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise RecipeError(f"{where} must be true or false; got {value!r}")
        return value

    return field(default=default, metadata={"check": check})


def text(default: str = "") -> Any:
    """Any text."""

    def check(where: str, value: Any) -> str:
        if not isinstance(value, str):
            raise RecipeError(f"{where} must be text; got {value!r}")
        return value

    return field(default=default, metadata={"check": check})


def patterns(*default: str) -> Any:
    """A list of patterns of names: `*`, `?` and `[...]` match as in file names."""

    def check(where: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise RecipeError(f"{where} must be a list of patterns; got {value!r}")
        return tuple(value)

    return field(default=default, metadata={"check": check})


def group(kind: type[S]) -> Any:
    """Settings within settings."""

    def check(where: str, value: Any) -> Settings:
        return value if isinstance(value, kind) else kind.from_dict(value, where)

    return field(default_factory=kind, metadata={"check": check})


@dataclass(frozen=True)
class Settings:
    """A frozen dataclass whose fields were made by the functions above."""

    def __post_init__(self) -> None:
        for item in fields(self):
            check = item.metadata.get("check")
            if check is not None:
                object.__setattr__(self, item.name, check(f"{self.where()}.{item.name}", getattr(self, item.name)))

    @classmethod
    def where(cls) -> str:
        """What errors call these settings."""
        return cls.__name__.lower()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: what differs from the defaults."""
        result: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value != _default(item):
                result[item.name] = _plain(value)
        return result

    @classmethod
    def from_dict(cls: type[S], values: Mapping[str, Any], where: str | None = None) -> S:
        """The reverse of `to_dict`.

        Raises:
            RecipeError: an unknown key or a value that does not fit.
        """
        check_keys(cls, values, where or cls.where())
        return cls(**values)

    def changed(self: S, values: Mapping[str, Any], where: str | None = None) -> S:
        """A copy with other values; those of a group are completed by the group as it is here.

        Raises:
            RecipeError: an unknown key or a value that does not fit.
        """
        where = where or self.where()
        check_keys(type(self), values, where)
        made = {}
        for key, value in values.items():
            old = getattr(self, key)
            inner = isinstance(old, Settings) and isinstance(value, Mapping)
            made[key] = old.changed(value, f"{where}.{key}") if inner else value
        return replace(self, **made)


def check_keys(kind: type[Settings], values: Any, where: str) -> None:
    """Raises RecipeError if `values` is no mapping, or has a key that is no field of `kind`."""
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where} must be a table of keys; got {type(values).__name__}")
    known = [item.name for item in fields(kind)]
    for key in values:
        if key not in known:
            raise RecipeError(f"{where}: no key {key!r}{did_you_mean(str(key), known)}; keys: {', '.join(known)}")


def did_you_mean(word: str, known: list[str]) -> str:
    """' (did you mean ...?)' if something like `word` is known, else ''."""
    close = difflib.get_close_matches(word, known, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _default(item: Field[Any]) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value
