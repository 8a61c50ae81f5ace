"""What may be done to one layer: data, to be extended by a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whit.compression.steps import STEPS
from whit.errors import RecipeError

__all__ = ["ADDED", "CANDIDATES", "ORDER", "Candidate", "describe", "usable"]

#: Kind of step -> the settings in which it differs from the recipe's. An empty one leaves the layer as it was.
Candidate = Mapping[str, Mapping[str, Any]]

#: Added steps come in this order; quantisation is last.
ORDER = ("low_rank", "prune", "cluster", "quantize")

#: Where a step is added to a recipe without it, what it changes besides the candidate's settings.
ADDED: dict[str, dict[str, Any]] = {"quantize": {"activations": "f32", "min_weight_elements": 0}}

_LOW = {"range": "mse", "rounding": "compensated"}
_ROUNDED: list[Candidate] = [
    {"quantize": {"bits": 8}},
    *({"quantize": {"bits": bits, "range": "mse"}} for bits in (6, 5, 4, 3, 2)),
    *({"quantize": {"bits": bits, **_LOW}} for bits in (5, 4, 3, 2)),
]
_PRUNED: list[Candidate] = [
    {"prune": {"sparsity": share}, "quantize": quantize}
    for quantize in ({"bits": 8}, {"bits": 4, **_LOW}, {"bits": 3, **_LOW})
    for share in (0.5, 0.75, 0.9)
]
#: One scale for all and nothing made up for: what shared a value then shares a code.
_TENSOR = {"quantize": {"bits": 8, "granularity": "tensor", "range": "minmax", "rounding": "nearest"}}
_CLUSTERED: list[Candidate] = [
    {**before, "cluster": {"entries": entries}, **after}
    for after in ({}, _TENSOR)
    for before, entries in (
        ({}, 16),
        ({}, 8),
        ({}, 4),
        ({"prune": {"sparsity": 0.75}}, 16),
        ({"prune": {"sparsity": 0.9}}, 16),
    )
]
_LOW_RANK: list[Candidate] = [{"low_rank": {"energy": share}, "quantize": {"bits": 8}} for share in (0.99, 0.95, 0.9)]

#: The first one that a layer takes is where its search begins; the last one leaves the layer as it is.
CANDIDATES: tuple[Candidate, ...] = (*_ROUNDED, *_PRUNED, *_CLUSTERED, *_LOW_RANK, {})


def usable(candidates: Sequence[Candidate], *, has_data: bool, strict: bool) -> list[Candidate]:
    """Those whose steps and settings exist and have the data they need; with `strict` one that has not is an error.

    Raises:
        RecipeError: a step or setting that does not exist, or nothing is left.
    """
    found = []
    for candidate in candidates:
        try:
            for kind, settings in candidate.items():
                if kind not in STEPS:
                    raise RecipeError(f"candidates: no step {kind!r}; kinds: {', '.join(STEPS)}")
                needs_data = STEPS[kind].from_dict({**ADDED.get(kind, {}), **settings}).needs_data
                if needs_data and not has_data:
                    raise RecipeError(f"candidates: {describe(candidate)} needs calibration data")
        except RecipeError:
            if strict:
                raise
            continue
        found.append(candidate)
    if len(found) < 2:
        raise RecipeError("candidates: a search needs two or more to choose from")
    return found


def describe(candidate: Candidate) -> str:
    """`prune sparsity=0.5, quantize bits=4`."""
    parts = (
        " ".join([kind, *(f"{key}={value}" for key, value in settings.items())]) for kind, settings in candidate.items()
    )
    return ", ".join(parts) or "left alone"
