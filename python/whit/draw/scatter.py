"""Points on two axes as standalone SVG: what was tried, the front, the limits, and what was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from whit.draw.svg import MARGIN, WIDTH, document, escaped, head, number_text, text

__all__ = ["Dot", "Plot", "scatter_chart"]

_HEIGHT, _LEFT, _HEADER, _FOOTER = 300, 70, 34, 40


@dataclass(frozen=True)
class Dot:
    """One point.

    Attributes:
        x, y: where.
        about: shown while the pointer is on it.
        series: index of its colour.
        chosen: drawn with a ring.
    """

    x: float
    y: float
    about: str = ""
    series: int = 0
    chosen: bool = False


@dataclass(frozen=True)
class Plot:
    """Two axes.

    Attributes:
        title: what is shown.
        x, y: names of the axes with their units.
        dots: the points; others than finite ones are left out.
        front: points that a line joins, in this order.
        x_limit, y_limit: drawn as dashed lines, where given.
        log_x: logarithmic x axis.
        y_floor: where the y axis begins, if something lies below; what does is drawn there.
    """

    title: str
    x: str
    y: str
    dots: Sequence[Dot]
    front: Sequence[tuple[float, float]] = ()
    x_limit: float | None = None
    y_limit: float | None = None
    log_x: bool = False
    y_floor: float | None = None


def scatter_chart(title: str, series: Sequence[str], plots: Sequence[Plot], note: str = "") -> str:
    """Plots, one below the other; those without points are left out.

    Args:
        title: of the picture.
        series: names of the colours, shown in a legend.
        plots: from top to bottom.
        note: a line below the title.

    Returns:
        The text of an SVG file.
    """
    parts, y = head(title, series, note)
    for plot in plots:
        if any(_is_finite(dot, plot.log_x) for dot in plot.dots):
            parts += _plot(plot, y)
            y += _HEADER + _HEIGHT + _FOOTER
    return document(parts, y + MARGIN)


def _is_finite(dot: Dot, log: bool) -> bool:
    return math.isfinite(dot.x) and math.isfinite(dot.y) and (dot.x > 0 or not log)


def _plot(plot: Plot, top: float) -> list[str]:
    floor = -math.inf if plot.y_floor is None else plot.y_floor
    dots = [replace(dot, y=max(dot.y, floor)) for dot in plot.dots if _is_finite(dot, plot.log_x)]
    x_ticks = _ticks([dot.x for dot in dots], plot.x_limit, plot.log_x)
    y_ticks = _ticks([dot.y for dot in dots], plot.y_limit, False)
    first, last, right = top + _HEADER, top + _HEADER + _HEIGHT, WIDTH - MARGIN

    def share(value: float, ticks: Sequence[float], log: bool) -> float:
        if log:
            return math.log(value / ticks[0]) / math.log(ticks[-1] / ticks[0])
        return (value - ticks[0]) / (ticks[-1] - ticks[0])

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (right - _LEFT) * share(x, x_ticks, plot.log_x)
        return across, last - _HEIGHT * share(y, y_ticks, False)

    parts = [text(MARGIN, top + 20, f"{plot.title}: {plot.y}", "panel")]
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{first:.1f}" y2="{last:.1f}"/>')
        parts.append(text(x, last + 14, number_text(tick), "tick"))
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text(_LEFT - 20, y + 3, number_text(tick), "tick"))
    parts.append(text(_LEFT, last + 32, plot.x, "note"))
    if plot.x_limit is not None:
        x, _ = place(plot.x_limit, y_ticks[0])
        parts.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{first:.1f}" y2="{last:.1f}"/>')
    if plot.y_limit is not None:
        _, y = place(x_ticks[0], plot.y_limit)
        parts.append(f'<line class="limit" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
    if len(plot.front) > 1:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(x, max(y, floor)) for x, y in plot.front))
        parts.append(f'<polyline class="front" points="{line}"/>')
    for dot in sorted(dots, key=lambda dot: dot.chosen):
        x, y = place(dot.x, dot.y)
        about = f"<title>{escaped(dot.about)}</title>" if dot.about else ""
        parts.append(f'<circle class="s{dot.series}" cx="{x:.1f}" cy="{y:.1f}" r="4">{about}</circle>')
        if dot.chosen:
            parts.append(f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="8"/>')
    return parts


def _ticks(values: Sequence[float], limit: float | None, log: bool) -> list[float]:
    """About five round numbers that hold everything; on a logarithmic axis 1, 2 and 5 times powers of ten."""
    held = [*values, *([limit] if limit is not None and (limit > 0 or not log) else [])]
    low, high = min(held), max(held)
    if log:
        steps = [
            factor * 10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for factor in (1, 2, 5)
        ]
        inner = [step for step in steps if low < step < high]
        below = [step for step in steps if step <= low * (1 + 1e-9)]
        above = [step for step in steps if step >= high * (1 - 1e-9)]
        found = [below[-1], *inner, above[0]]
        return found if found[-1] > found[0] else [found[0], 2 * found[0]]
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * 4.5 >= span)
    start = math.floor(low / step + 1e-9)
    count = max(math.ceil(high / step - 1e-9) - start, 1)
    return [step * (start + index) for index in range(count + 1)]
