"""The solver against exact ones: dynamic programming over bytes, and all combinations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from whit.compression.search.solver import Option, front, walk


def layers(seed: int, count: int = 4, options: int = 5) -> list[list[Option]]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        sizes = rng.integers(0, 30, options)
        damages = rng.integers(0, 200, options) / 8
        times = rng.integers(0, 9, options)
        made.append([Option(float(d), float(b), float(t)) for d, b, t in zip(damages, sizes, times, strict=True)])
    return made


def knapsack(given: list[list[Option]], most: int) -> float:
    """The least damage within so many bytes, exactly."""
    best = np.full(most + 1, np.inf)
    best[0] = 0.0
    for options in given:
        following = np.full(most + 1, np.inf)
        for option in options:
            size = int(option.bytes)
            if size <= most:
                following[size:] = np.minimum(following[size:], best[: most + 1 - size] + option.damage)
        best = following
    return float(best.min())


@pytest.mark.parametrize("seed", range(40))
def test_every_place_of_the_walk_is_optimal_for_its_bytes(seed: int) -> None:
    given = layers(seed)
    places = walk(given)
    for place in places:
        assert place.damage == pytest.approx(knapsack(given, int(place.bytes)))
    assert places[0].damage == pytest.approx(sum(min(o.damage for o in options) for options in given))
    assert places[-1].bytes == sum(min(o.bytes for o in options) for options in given)


@pytest.mark.parametrize("seed", range(20))
def test_a_walk_goes_down_in_bytes_and_up_in_damage(seed: int) -> None:
    places = walk(layers(seed, 7))
    for here, there in itertools.pairwise(places):
        assert there.bytes < here.bytes
        assert there.damage >= here.damage
        assert sum(a != b for a, b in zip(here.choices, there.choices, strict=True)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_between_two_places_nothing_is_missed_by_more_than_one_step(seed: int) -> None:
    """The gap to the exact optimum at any budget is at most the step of the walk that the budget falls into."""
    given = layers(seed, 6)
    places = walk(given)
    for here, there in itertools.pairwise(places):
        exact = knapsack(given, int((here.bytes + there.bytes) / 2))
        assert here.damage - 1e-9 <= exact <= there.damage + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_front_within_a_limit_of_time(seed: int) -> None:
    given = layers(seed, 4, 4)
    everything = [
        (
            sum(o.damage for o in taken),
            sum(o.bytes for o in taken),
            sum(o.ms for o in taken),
        )
        for taken in itertools.product(*given)
    ]
    limit = float(np.quantile([ms for _, _, ms in everything], 0.2))
    places = front(given, limit)
    assert places
    for place in places:
        assert place.ms <= limit
        taken = [options[choice] for options, choice in zip(given, place.choices, strict=True)]
        assert place.bytes == sum(option.bytes for option in taken)
    for here, there in itertools.pairwise(places):
        assert here.bytes > there.bytes
        assert here.damage <= there.damage
    fastest = min(ms for _, _, ms in everything)
    assert front(given, fastest)
    assert not front(given, fastest - 0.5)


def test_what_is_worse_in_both_is_never_chosen() -> None:
    options = [Option(0, 10), Option(5, 12), Option(1, 4), Option(20, 4)]
    assert {place.choices for place in walk([options])} == {(0,), (2,)}
