"""The front of accuracy, size and latency, with every point that was tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from whit.compression.result import size_text
from whit.compression.search.choose import is_within
from whit.compression.search.points import Point
from whit.draw.page import cells, facts, section
from whit.draw.scatter import Dot, Plot, scatter_chart

if TYPE_CHECKING:
    from whit.compression.search.run import SearchResult

__all__ = ["front_picture", "sections"]

#: How far below the limit of accuracy the axis goes: what is worse is drawn at its end.
_SHOWN_DROPS, _SHOWN_POINTS = 4, 5.0
#: What is drawn of a point; NaN where it has none.
Measure = Callable[[Point], float]
_SERIES = ("within the budget", "tried, not within it", "one layer changed")


def front_picture(found: SearchResult) -> str:
    """Accuracy over size, accuracy over latency, and the noise of every point over size, as an SVG file."""
    budget, points = found.budget, [point for point in found.points if not point.problem]
    trials = [point for point in points if point.accuracy is not None]
    has_classes = budget.min_snr is None and any(point.accuracy and point.accuracy.drop is not None for point in trials)
    name = "accuracy in per cent, higher is better" if has_classes else "SNR in dB, higher is better"
    limit = floor = budget.min_snr
    if budget.max_drop is not None and found.best.accuracy is not None:
        limit = found.best.accuracy.before - budget.max_drop
        floor = found.best.accuracy.before - max(_SHOWN_DROPS * budget.max_drop, _SHOWN_POINTS)

    def dots(shown: Sequence[Point], across: Measure, along: Measure) -> list[Dot]:
        return [
            Dot(across(point), along(point), _about(point), _series(found, point), point == found.best)
            for point in shown
        ]

    largest = None if budget.max_bytes is None else budget.max_bytes / 1e3
    sizes, times = dots(trials, _kilobytes, _accuracy), dots(trials, _ms, _accuracy)
    plots = [
        Plot("Size", "file in kB", name, sizes, _front(sizes), largest, limit, True, floor),
        Plot("Latency", f"ms on {budget.target}", name, times, _front(times), budget.max_ms, limit, False, floor),
        Plot(
            "Every point",
            "file in kB",
            "SNR of the outputs in dB on a few samples, higher is better",
            dots(points, _kilobytes, _snr),
            x_limit=largest,
            log_x=True,
        ),
    ]
    note = f"{len(points)} points; {len(trials)} of them tried in full; dashed: limits; ring: chosen"
    return scatter_chart("whit compress --auto", _SERIES, plots, note)


def sections(found: SearchResult) -> list[str]:
    """The search as parts of an HTML page."""
    best, budget = found.best, found.budget
    limits = [
        (key, f"{value:g}" if isinstance(value, float) else str(value))
        for key, value in budget.to_dict().items()
        if value is not None and (key != "target" or budget.max_ms is not None)
    ]
    reached = [("file", size_text(best.bytes)), ("accuracy", str(best.accuracy))]
    if best.ms is not None:
        reached.append(("time", f"{best.ms:.3g} ms on {budget.target}"))
    rows = []
    for layer in found.layers:
        option = next(option for about, option in layer.options if about == layer.chosen)
        time = "" if best.ms is None else f"{option.ms:+.3g}"
        rows.append((layer.name, layer.chosen, f"{option.bytes:+.0f}", f"{option.damage:+.3g}", time))
    tried = [
        (
            point.about,
            size_text(point.bytes) if point.bytes else "",
            "" if point.accuracy is None else f"{point.accuracy.after:.2f}",
            f"{_snr(point):.1f}" if math.isfinite(point.noise) else "",
            "" if point.ms is None else f"{point.ms:.3g}",
            point.problem,
        )
        for point in found.points
    ]
    header = ("what", "file", "accuracy", "SNR dB", "ms", "problem")
    return [
        section("Budget", facts(limits)),
        section("Reached", facts(reached)),
        section("Front", front_picture(found)),
        section(
            "Chosen for each layer",
            cells(("layer", "chosen", "bytes", "damage", "ms"), rows, numbers=(2, 3, 4)),
            "<p>Bytes, damage (noise over signal at the outputs) and ms against where the search began, where each "
            "layer has its first candidate.</p>",
        ),
        section("Tried", cells(header, tried, numbers=(1, 2, 3, 4))),
    ]


def _series(found: SearchResult, point: Point) -> int:
    if point.accuracy is None:
        return 2
    return 0 if is_within(found.budget, point) else 1


def _accuracy(point: Point) -> float:
    return math.nan if point.accuracy is None else point.accuracy.after


def _kilobytes(point: Point) -> float:
    return point.bytes / 1e3


def _ms(point: Point) -> float:
    return math.nan if point.ms is None else point.ms


def _snr(point: Point) -> float:
    return min(-10 * math.log10(point.noise), 200.0) if point.noise > 0 else 200.0


def _about(point: Point) -> str:
    parts = [point.about, size_text(point.bytes)]
    if point.accuracy is not None:
        parts.append(str(point.accuracy))
    if point.ms is not None:
        parts.append(f"{point.ms:.3g} ms")
    return "; ".join(parts)


def _front(dots: Sequence[Dot]) -> list[tuple[float, float]]:
    """Dots that no other beats in both."""
    front: list[tuple[float, float]] = []
    for dot in sorted(dots, key=lambda dot: (dot.x, -dot.y)):
        if math.isfinite(dot.x) and (not front or dot.y > front[-1][1]):
            front.append((dot.x, dot.y))
    return front
