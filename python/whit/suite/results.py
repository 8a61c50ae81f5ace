"""The suite's results: what the JSON holds, written whole or not at all and read with suspicion."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from whit.errors import FileError, FormatError, VersionError

__all__ = ["SCHEMA", "Result", "Skipped", "SuiteResults"]

#: Rises when a key changes its meaning or goes away.
SCHEMA = 1


@dataclass(frozen=True)
class Result:
    """One graph on one number of threads; milliseconds of one inference.

    `count` samples were taken, each the mean of `inferences` inferences, after `first_ms`, the very first one. `gops`
    counts products alone (2 a multiplication), `gb_s` what the operators read and write; both at the median.
    """

    name: str
    group: str
    dtype: str
    threads: int
    kernels: list[str]
    count: int
    inferences: int
    first_ms: float
    median_ms: float
    min_ms: float
    max_ms: float
    gops: float | None
    gb_s: float | None
    valid: bool
    problems: list[str]

    @property
    def key(self) -> tuple[str, str, int]:
        """What two files are matched by."""
        return self.name, self.dtype, self.threads


@dataclass(frozen=True)
class Skipped:
    """A case that did not run, and why."""

    name: str
    dtype: str
    reason: str


@dataclass
class SuiteResults:
    """One run of the suite; `complete` is false if it was interrupted, `valid` if the machine was disturbed."""

    whit: str
    cpu: str
    machine: str
    system: str
    python: str
    numpy: str
    isa: str
    cpus: int
    date: str
    quick: bool
    before: dict[str, Any]
    schema: int = SCHEMA
    after: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    complete: bool = False
    valid: bool = True
    problems: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def to_json(self) -> str:
        """The file."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: str | Path) -> SuiteResults:
        """Reads a file of `whit bench --suite`.

        Raises:
            FileError: it cannot be read.
            FormatError: it is not such a file; VersionError for one of a newer whit.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as problem:
            raise FileError(f"cannot read {path}: {problem.strerror}") from problem
        except UnicodeDecodeError as problem:
            raise _not_a_result(path, "it is not text") from problem
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as problem:
            raise _not_a_result(path, f"no JSON ({problem})") from problem
        if not isinstance(values, dict) or not isinstance(values.get("schema"), int):
            raise _not_a_result(path, "it has no key 'schema'")
        if values["schema"] != SCHEMA:
            raise VersionError(
                f"{path}: schema {values['schema']}; this whit reads {SCHEMA}: measure again with one whit"
            )
        return cls(
            **{
                **_checked(cls, values, path, "the file"),
                "results": [
                    Result(**_checked(Result, each, path, "a result")) for each in _list(values, "results", path)
                ],
                "skipped": [
                    Skipped(**_checked(Skipped, each, path, "a skipped case"))
                    for each in _list(values, "skipped", path)
                ],
            }
        )


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
}


def _checked(kind: type, values: object, path: str | Path, what: str) -> dict[str, Any]:
    """The fields of a dataclass out of a mapping; keys that a later whit added are dropped."""
    if not isinstance(values, dict):
        raise _not_a_result(path, f"{what} is no object")
    found = {}
    for each in fields(kind):
        if each.name not in values:
            raise _not_a_result(path, f"{what} has no key {each.name!r}")
        value = values[each.name]
        name = str(each.type)
        wanted = _TYPES.get(name, (dict,) if name.startswith("dict") else (list,))
        wrong = not isinstance(value, wanted) or (isinstance(value, bool) and name != "bool")
        if isinstance(value, float) and not math.isfinite(value):
            wrong = True
        if not wrong and each.name.endswith("_ms"):
            wrong = value <= 0
        if not wrong and name == "list[str]":
            wrong = not all(isinstance(item, str) for item in value)
        if wrong:
            raise _not_a_result(path, f"{what}: {each.name!r} is {value!r:.50}")
        found[each.name] = value
    return found


def _list(values: dict[str, Any], key: str, path: str | Path) -> list[Any]:
    value = values.get(key)
    if not isinstance(value, list):
        raise _not_a_result(path, f"it has no list {key!r}")
    return value


def _not_a_result(path: str | Path, why: str) -> FormatError:
    return FormatError(f"{path} is not a result of whit bench --suite: {why}")
