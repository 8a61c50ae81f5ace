"""Finds the place on the front that the budgets ask for, by trying few of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from whit.compression.result import size_text
from whit.compression.search.budget import Budget
from whit.compression.search.points import Point
from whit.compression.search.solver import Assignment, Option, front
from whit.errors import BudgetError

__all__ = ["Chooser", "is_accurate", "is_within"]

#: Accuracy goes up and down a little along the front: so many places behind the first bad one are tried.
_LOOK_PAST = 2
#: Then single layers of the best point go one option further: so many at once, so often.
_MOVES, _ROUNDS = 6, 6
#: How often a limit of measured time is tightened, where layers together take longer than their sum said.
_TIGHTENINGS = 4

Choices = tuple[int, ...]


def loss(point: Point) -> float:
    """What grows as accuracy falls: points, or decibel below 0."""
    if point.accuracy is None or point.problem:
        return float("inf")
    return -point.accuracy.after if point.accuracy.drop is None else point.accuracy.drop


def is_accurate(budget: Budget, point: Point) -> bool:
    """Whether the limit of accuracy holds."""
    if point.accuracy is None or point.problem:
        return False
    # Shares of samples are not exact in binary: a drop of 0.3 is at most 0.3.
    if budget.max_drop is not None:
        return loss(point) <= budget.max_drop + 1e-9
    return budget.min_snr is None or point.accuracy.after >= budget.min_snr


def is_within(budget: Budget, point: Point) -> bool:
    """Whether all limits hold."""
    return is_accurate(budget, point) and _is_small(budget, point) and _is_fast(budget, point)


def _is_small(budget: Budget, point: Point) -> bool:
    return not point.problem and (budget.max_bytes is None or point.bytes <= budget.max_bytes)


def _is_fast(budget: Budget, point: Point) -> bool:
    return budget.max_ms is None or (point.ms is not None and point.ms <= budget.max_ms)


class Chooser:
    """One search along the front.

    Attributes:
        budget: what is asked for.
        options: of each layer, against where the search began.
        start: that point.
        tried: choices -> what they gave.
    """

    def __init__(
        self,
        budget: Budget,
        options: Sequence[Sequence[Option]],
        start: Point,
        attempt: Callable[[Iterable[Sequence[int]]], list[Point]],
    ) -> None:
        self.budget, self.options, self.start, self.attempt = budget, options, start, attempt
        self.tried: dict[Choices, Point] = {}

    def rank(self, point: Point) -> tuple[float, float]:
        """Lower is better, of points within the budgets."""
        return (point.bytes, loss(point)) if self.budget.has_accuracy else (loss(point), point.bytes)

    def choose(self) -> tuple[Point, Choices]:
        """The best point within the budgets, and its choices.

        Raises:
            BudgetError: there is none.
        """
        limit = self.budget.max_ms
        for _ in range(_TIGHTENINGS):
            places = front(self.options, None if limit is None else limit - (self.start.ms or 0.0))
            if not places:
                break
            self._check_smallest(places[-1])
            self._walk(places)
            if self.budget.has_accuracy:
                self._descend()
            found = self.best()
            if found is not None:
                return found
            slow = [point.ms for point in self.tried.values() if point.ms is not None]
            if limit is None or self.budget.max_ms is None or min(slow, default=0.0) <= self.budget.max_ms:
                break
            limit *= min(self.budget.max_ms / min(slow), 0.97)
        raise self._impossible()

    def _check_smallest(self, place: Assignment) -> None:
        """Tries the smallest file first: where that is too large, no search for accuracy is worth its time."""
        if self.budget.max_bytes is None:
            return
        (point,) = self.try_all([place.choices])
        if not point.problem and not _is_small(self.budget, point):
            raise BudgetError(
                f"budget: {size_text(self.budget.max_bytes)} cannot be reached: whatever the accuracy, the smallest "
                f"file is {size_text(point.bytes)} ({point.bytes} bytes); ask for at least that",
                {"bytes": point.bytes},
            )

    def best(self) -> tuple[Point, Choices] | None:
        """Of what was tried."""
        good = [(self.rank(point), choices) for choices, point in self.tried.items() if is_within(self.budget, point)]
        if not good:
            return None
        _, choices = min(good)
        return self.tried[choices], choices

    def try_all(self, wanted: Iterable[Choices]) -> list[Point]:
        """Their points."""
        wanted = list(wanted)
        new = [choices for choices in dict.fromkeys(wanted) if choices not in self.tried]
        self.tried.update(zip(new, self.attempt(new), strict=True))
        return [self.tried[choices] for choices in wanted]

    def _walk(self, places: Sequence[Assignment]) -> None:
        """Tries what is needed to know the best place."""
        if self.budget.has_accuracy:
            last = self._last(places, lambda point: is_accurate(self.budget, point))
            behind = places[last + 2 : last + 2 + _LOOK_PAST]
            self.try_all(place.choices for place in behind)
        elif self.budget.max_bytes is not None:
            self._last(places, lambda point: not _is_small(self.budget, point))
        else:
            self.try_all([places[0].choices])

    def _descend(self) -> None:
        """Tries the neighbours of the smallest accurate point: single layers may bear more than the sum said."""
        before: Choices | None = None
        for _ in range(_ROUNDS):
            accurate = [
                (point.bytes, choices)
                for choices, point in self.tried.items()
                if is_accurate(self.budget, point) and _is_fast(self.budget, point)
            ]
            _, choices = min(accurate, default=(0, before))
            if choices is None or choices == before:
                return
            before = choices
            moves = []
            for layer, options in enumerate(self.options):
                here = options[choices[layer]]
                for index, there in enumerate(options):
                    if there.bytes < here.bytes:
                        moves.append(((there.damage - here.damage) / (here.bytes - there.bytes), layer, index))
            firsts: dict[int, Choices] = {}  # the best one of each layer
            for _, layer, index in sorted(moves):
                firsts.setdefault(layer, (*choices[:layer], index, *choices[layer + 1 :]))
            self.try_all(list(firsts.values())[:_MOVES])

    def _last(self, places: Sequence[Assignment], holds: Callable[[Point], bool]) -> int:
        """The last place before the first one where `holds` ends; -1 if it never begins."""
        count = len(places)
        low, high = -1, count
        marks = sorted({0, count // 4, count // 2, 3 * count // 4, count - 1})
        while True:
            for mark, point in zip(marks, self.try_all(places[mark].choices for mark in marks), strict=True):
                if mark >= high:
                    break
                if holds(point):
                    low = mark
                else:
                    high = mark
            if high - low <= 1:
                return low
            marks = sorted({low + max(1, (high - low) * part // 4) for part in (1, 2, 3)})

    def _impossible(self) -> BudgetError:
        budget, points = self.budget, list(self.tried.values())
        fast = [point for point in points if _is_fast(budget, point) and not point.problem]
        if budget.max_ms is not None and not fast:
            least = sum(min(option.ms for option in options) for options in self.options) + (self.start.ms or 0.0)
            least = min([least, *(point.ms for point in points if point.ms is not None)])
            return BudgetError(
                f"budget: {budget.max_ms:g} ms cannot be reached on {budget.target}: the fastest combination takes "
                f"about {least:.3g} ms; ask for at least that",
                {"ms": least},
            )
        accurate = [point for point in fast if is_accurate(budget, point)]
        if not accurate:
            nearest = min(fast, key=loss, default=None)
            if nearest is None or nearest.accuracy is None:
                return BudgetError(
                    f"budget: no recipe could be applied: {points[0].problem if points else 'no points'}"
                )
            return BudgetError(f"budget: {self._limit()} cannot be kept: {_best_accuracy(nearest)}", _reach(nearest))
        smallest = min(accurate, key=lambda point: point.bytes)
        text = f"budget: the smallest file {self._within()}is {size_text(smallest.bytes)} ({smallest.bytes} bytes)"
        reachable: dict[str, float] = {"bytes": smallest.bytes}
        text += "; ask for at least that"
        if budget.has_accuracy:
            places = front(self.options, None if budget.max_ms is None else budget.max_ms - (self.start.ms or 0.0))
            self._last(places, lambda point: not _is_small(budget, point))
            small = [point for point in self.tried.values() if _is_small(budget, point) and _is_fast(budget, point)]
            if small:
                nearest = min(small, key=loss)
                reachable |= _reach(nearest)
                text += f" or allow {_loss_text(nearest)}"
        return BudgetError(text, reachable)

    def _limit(self) -> str:
        budget = self.budget
        return f"a drop of {budget.max_drop:g} points" if budget.max_drop is not None else f"{budget.min_snr:g} dB"

    def _within(self) -> str:
        budget = self.budget
        if budget.max_drop is not None:
            return f"within {budget.max_drop:g} points "
        return f"of {budget.min_snr:g} dB " if budget.min_snr is not None else ""


def _reach(point: Point) -> dict[str, float]:
    return {"snr": -loss(point)} if point.accuracy and point.accuracy.drop is None else {"drop": loss(point)}


def _loss_text(point: Point) -> str:
    if point.accuracy is not None and point.accuracy.drop is None:
        return f"{point.accuracy.after:.1f} dB"
    return f"{loss(point):.2f} points"


def _best_accuracy(point: Point) -> str:
    return f"the most accurate recipe reaches {_loss_text(point)}; allow that, or start from another recipe"
