"""Pictures of the tables: SVG, horizontal bars on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

#: One colour a contender, in the order of the legend; distinct for colour-blind readers (Okabe and Ito 2008).
_COLOURS = ("#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#999999", "#f0e442")
_WIDTH, _LABELS, _VALUES = 860, 190, 90
_BAR, _GAP, _TOP, _BOTTOM = 11, 9, 58, 34


@dataclass(frozen=True)
class Bar:
    """`low` and `high` are drawn as a line across the end of the bar."""

    value: float
    low: float
    high: float


def bars(title: str, unit: str, groups: Mapping[str, Mapping[str, Bar]], names: Sequence[str]) -> str:
    """An SVG document.

    Args:
        unit: of the values, written at the axis.
        groups: label -> name -> bar; all values above 0.
        names: the order of the bars of a group, and of the legend.
    """
    values = [v for group in groups.values() for bar in group.values() for v in (bar.low, bar.high)]
    if not values or min(values) <= 0:
        raise ValueError("bars: values must be above 0, and at least one")
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = max(last, first + 1)
    plot = _WIDTH - _LABELS - _VALUES
    height = _TOP + _BOTTOM + sum(_BAR * len(group) + _GAP for group in groups.values())

    def x(value: float) -> float:
        return _LABELS + plot * (math.log10(value) - first) / (last - first)

    parts = [_text(12, 20, title, "font-size='14' font-weight='bold'")]
    for i, name in enumerate(names):
        left = _LABELS + i * (plot + _VALUES) // max(len(names), 1)
        parts.append(f"<rect x='{left}' y='32' width='10' height='10' fill='{_colour(i)}'/>")
        parts.append(_text(left + 14, 41, name))
    bottom = height - _BOTTOM
    for power in range(first, last + 1):
        line = x(10.0**power)
        parts.append(f"<line x1='{line:.1f}' x2='{line:.1f}' y1='{_TOP - 6}' y2='{bottom}' stroke='#ddd'/>")
        parts.append(_text(line, bottom + 14, f"{10.0**power:g}", "text-anchor='middle'"))
    parts.append(_text(_WIDTH - 8, bottom + 14, unit, "text-anchor='end'"))
    y = _TOP
    for label, group in groups.items():
        parts.append(_text(_LABELS - 8, y + _BAR * len(group) / 2 + 4, label, "text-anchor='end'"))
        for i, name in enumerate(names):
            if name in group:
                parts += _bar(group[name], x, y, _colour(i))
                y += _BAR
        y += _GAP
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' "
    head += f"viewBox='0 0 {_WIDTH} {height}' font-family='sans-serif' font-size='11'>"
    return "\n".join([head, "<rect width='100%' height='100%' fill='white'/>", *parts, "</svg>"]) + "\n"


def _bar(bar: Bar, x: object, y: float, colour: str) -> list[str]:
    assert callable(x)
    end, low, high = x(bar.value), x(bar.low), x(bar.high)
    middle = y + _BAR / 2
    return [
        f"<rect x='{_LABELS}' y='{y}' width='{end - _LABELS:.1f}' height='{_BAR - 1}' fill='{colour}'/>",
        f"<line x1='{low:.1f}' x2='{high:.1f}' y1='{middle}' y2='{middle}' stroke='black'/>",
        _text(max(end, high) + 4, y + _BAR - 2, f"{bar.value:.3g}", "font-size='9'"),
    ]


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {attributes}>{escape(text)}</text>"


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]
