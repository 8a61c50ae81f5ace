"""Chooses an option for each layer: least damage for the cost.

Damages and costs of the layers add up, so for a price of a unit of cost each layer's best option is independent of the
others'. As the price rises from 0, each layer walks down the lower convex hull of its options; all steps of all layers
sorted by what they damage for each unit saved are the walk of the whole model. Every place on it is optimal for its own
cost (Everett 1963, "Generalized Lagrange multiplier method"; Shoham and Gersho 1988 for rate and distortion).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Assignment", "Option", "front", "walk"]


@dataclass(frozen=True)
class Option:
    """What one candidate does to one layer, against where its search began.

    Attributes:
        damage: rise of the noise at the model's output.
        bytes, ms: rise of the file's size and of the time of an inference.
    """

    damage: float
    bytes: float
    ms: float = 0.0


@dataclass(frozen=True)
class Assignment:
    """An option for each layer, and the sums.

    Attributes:
        choices: index of the option of each layer.
        damage, bytes, ms: sums over the layers.
    """

    choices: tuple[int, ...]
    damage: float
    bytes: float
    ms: float


def walk(layers: Sequence[Sequence[Option]], ms_price: float = 0.0) -> list[Assignment]:
    """Places from the least damage to the least cost; cost is bytes + `ms_price` * ms."""
    hulls = [_hull(options, ms_price) for options in layers]
    steps = []
    for layer, hull in enumerate(hulls):
        for position, (here, there) in enumerate(pairwise(hull)):
            damage = layers[layer][there].damage - layers[layer][here].damage
            saved = _cost(layers[layer][here], ms_price) - _cost(layers[layer][there], ms_price)
            steps.append((damage / saved, layer, position, there))
    choices = [hull[0] for hull in hulls]
    places = [_assignment(layers, choices)]
    for _, layer, _, there in sorted(steps):
        choices[layer] = there
        places.append(_assignment(layers, choices))
    return places


def front(layers: Sequence[Sequence[Option]], max_ms: float | None = None) -> list[Assignment]:
    """Assignments from the least damage to the fewest bytes, none worse in both than another.

    With a limit of time, walks of many prices of a millisecond are put together.
    """
    places: dict[tuple[int, ...], Assignment] = {}
    for price in [0.0] if max_ms is None else _ms_prices(layers):
        for place in walk(layers, price):
            if max_ms is None or place.ms <= max_ms:
                places.setdefault(place.choices, place)
    result: list[Assignment] = []
    for place in sorted(places.values(), key=lambda place: (place.damage, place.bytes, place.choices)):
        if not result or place.bytes < result[-1].bytes:
            result.append(place)
    return result


def _ms_prices(layers: Sequence[Sequence[Option]]) -> list[float]:
    """From where time counts for nothing to where bytes do."""
    size = sum(max(option.bytes for option in options) - min(option.bytes for option in options) for options in layers)
    time = sum(max(option.ms for option in options) - min(option.ms for option in options) for options in layers)
    if time <= 0:
        return [0.0]
    return [0.0, *(max(size, 1.0) / time * 2.0**power for power in range(-8, 21, 2))]


def _cost(option: Option, ms_price: float) -> float:
    return option.bytes + ms_price * option.ms


def _hull(options: Sequence[Option], ms_price: float) -> list[int]:
    """Indices along the lower convex hull of (cost, damage), from the least damage to the least cost."""
    order = sorted(range(len(options)), key=lambda i: (options[i].damage, _cost(options[i], ms_price), i))
    hull: list[int] = []
    for index in order:
        cost, damage = _cost(options[index], ms_price), options[index].damage
        if hull and cost >= _cost(options[hull[-1]], ms_price):
            continue  # no less damage and no cheaper
        while len(hull) > 1:
            first, second = options[hull[-2]], options[hull[-1]]
            before = (second.damage - first.damage) / (_cost(first, ms_price) - _cost(second, ms_price))
            after = (damage - second.damage) / (_cost(second, ms_price) - cost)
            if before < after:
                break
            hull.pop()
        hull.append(index)
    return hull


def _assignment(layers: Sequence[Sequence[Option]], choices: Sequence[int]) -> Assignment:
    taken = [options[choice] for options, choice in zip(layers, choices, strict=True)]
    sums = (sum(option.damage for option in taken), sum(option.bytes for option in taken))
    return Assignment(tuple(choices), *sums, sum(option.ms for option in taken))
