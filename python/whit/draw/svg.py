"""Bar charts as standalone SVG, readable on light and dark pages; plain text, no font or script from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = [
    "COLOURS",
    "MARGIN",
    "WIDTH",
    "Panel",
    "Row",
    "bar_chart",
    "document",
    "escaped",
    "head",
    "linear_ticks",
    "log_ticks",
    "number_text",
    "text",
    "text_width",
]

WIDTH, MARGIN = 860, 16
_BAR, _GAP, _HEADER = 13, 7, 46
_FONT = 12
#: Advance of a character relative to the size of the font: the widest of the usual sans-serif fonts, about.
_ADVANCE = 0.58
#: For each series, on light and on dark; told apart by those who do not see red and green (Okabe and Ito 2008).
COLOURS = (
    ("#0072b2", "#56b4e9"),
    ("#e69f00", "#f0b840"),
    ("#009e73", "#2fc79b"),
    ("#cc79a7", "#dd9cc0"),
    ("#5c5c5c", "#a8a8a8"),
    ("#d55e00", "#f08a4b"),
    ("#7a5195", "#b28cc9"),
    ("#8a7a00", "#d6c64d"),
)


@dataclass(frozen=True)
class Row:
    """One label and its bars.

    Attributes:
        values: one for each series; None where there is none.
        ranges: (lowest, highest) of each series, drawn as a line across the end of the bar; may be left out.
    """

    label: str
    values: Sequence[float | None]
    ranges: Sequence[tuple[float, float] | None] = ()


@dataclass(frozen=True)
class Panel:
    """Bars on one axis.

    Attributes:
        title: what is shown, and which direction is better.
        unit: of the values.
        rows: from top to bottom.
        log: logarithmic axis, over whole powers of ten.
    """

    title: str
    unit: str
    rows: Sequence[Row]
    log: bool = False


def bar_chart(title: str, series: Sequence[str], panels: Sequence[Panel], note: str = "") -> str:
    """Horizontal bars, grouped by row, one panel below the other.

    Args:
        title: of the picture.
        series: names of the bars of a row, in their order; shown in a legend.
        panels: those without a value are left out.
        note: a line below the title.

    Returns:
        The text of an SVG file.

    Raises:
        ValueError: a row has another number of values, or of ranges if any, than there are series.
    """
    shown = [panel for panel in panels if _values(panel)]
    for panel in shown:
        for row in panel.rows:
            for what, given in (("values", row.values), ("ranges", row.ranges or row.values)):
                if len(given) != len(series):
                    raise ValueError(f"row {row.label!r} has {len(given)} {what} for {len(series)} series")
    labels = [row.label for panel in shown for row in panel.rows]
    left = min(MARGIN + max((text_width(label) for label in labels), default=0.0) + 8, WIDTH / 2)
    parts, y = head(title, series, note)
    for panel in shown:
        drawn, y = _panel(panel, left, y)
        parts += drawn
    return document(parts, y + MARGIN)


def _values(panel: Panel) -> list[float]:
    """Everything that an axis has to hold."""
    values = [value for row in panel.rows for value in row.values]
    values += [value for row in panel.rows for limits in row.ranges if limits for value in limits]
    return [value for value in values if _is_drawn(value, panel.log)]  # type: ignore[misc]


def _is_drawn(value: float | None, log: bool) -> bool:
    return value is not None and math.isfinite(value) and (value > 0 if log else value >= 0)


def _panel(panel: Panel, left: float, top: float) -> tuple[list[str], float]:
    """The elements and where the next panel begins."""
    values = _values(panel)
    right = WIDTH - MARGIN - text_width("0000.00 ")
    ticks = log_ticks(min(values), max(values)) if panel.log else linear_ticks(max(values))
    low, high = ticks[0], ticks[-1]

    def x(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if panel.log else value / high
        return left + (right - left) * share

    parts = [text(MARGIN, top + 22, f"{panel.title} [{panel.unit}]", "panel")]
    y = first = top + _HEADER
    for row in panel.rows:
        present = [(index, value) for index, value in enumerate(row.values) if _is_drawn(value, panel.log)]
        if not present:
            continue
        parts.append(text(left - 8, y + len(present) * _BAR / 2 + 4, _shortened(row.label, left), "label"))
        for index, value in present:
            assert value is not None, "_is_drawn"
            width = max(x(value) - left, 1.0)
            parts.append(
                f'<rect class="s{index % len(COLOURS)}" x="{left:.1f}" y="{y}" width="{width:.1f}" '
                f'height="{_BAR - 2}"/>'
            )
            end = left + width
            limits = row.ranges[index] if row.ranges else None
            if limits and all(_is_drawn(limit, panel.log) for limit in limits):
                low_x, end = x(limits[0]), max(end, x(limits[1]))
                middle = y + _BAR / 2 - 1
                parts.append(f'<line class="range" x1="{low_x:.1f}" x2="{end:.1f}" y1="{middle}" y2="{middle}"/>')
            parts.append(text(end + 4, y + _BAR - 3, number_text(value), "value"))
            y += _BAR
        y += _GAP
    grid = []
    for tick in ticks:
        grid.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{first - 4}" y2="{y - _GAP + 4}"/>')
        grid.append(text(x(tick), first - 8, number_text(tick), "tick"))
    return [*grid, *parts], y


def head(title: str, series: Sequence[str], note: str) -> tuple[list[str], float]:
    """Title, note and, for more than one series, the legend; and where the first panel begins."""
    parts, y = [text(MARGIN, 26, title, "title")], 44.0
    if note:
        parts.append(text(MARGIN, y, note, "note"))
        y += 18
    if len(series) < 2:
        return parts, y
    drawn, y = _legend(series, y)
    return parts + drawn, y


def _legend(series: Sequence[str], y: float) -> tuple[list[str], float]:
    """A square and a name for each, in as many lines as it takes, and where the first panel begins."""
    parts, x = [], float(MARGIN)
    for index, name in enumerate(series):
        width = 14 + text_width(name) + 18
        if index and x + width > WIDTH:
            x, y = float(MARGIN), y + 16
        parts.append(f'<rect class="s{index % len(COLOURS)}" x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10"/>')
        parts.append(text(x + 14, y, name, "note"))
        x += width
    return parts, y + 12


def linear_ticks(high: float) -> list[float]:
    """From 0 to `high` or a little above."""
    if high <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(high / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * 5 >= high)
    return [step * index for index in range(math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten around both."""
    first = math.floor(math.log10(low) + 1e-9)
    last = max(math.ceil(math.log10(high) - 1e-9), first + 1)
    return [10.0**power for power in range(first, last + 1)]


def number_text(value: float) -> str:
    """With three digits."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def text_width(content: str) -> float:
    """About, in pixels."""
    return len(content) * _FONT * _ADVANCE


def _shortened(label: str, left: float) -> str:
    room = int((left - MARGIN - 8) / (_FONT * _ADVANCE)) + 1
    return label if len(label) <= room else label[: room - 3] + "..."


def text(x: float, y: float, content: str, style: str) -> str:
    """A text element; `content` may hold anything."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escaped(content)}</text>'


def escaped(content: str) -> str:
    """`content` as the text of an element."""
    # Control characters are not allowed in XML, escaped or not.
    return escape("".join(character if character.isprintable() else "?" for character in content))


def document(parts: Sequence[str], height: float) -> str:
    """The text of an SVG file."""
    light = "".join(f".s{index}{{fill:{colour}}}" for index, (colour, _) in enumerate(COLOURS))
    dark = "".join(f".s{index}{{fill:{colour}}}" for index, (_, colour) in enumerate(COLOURS))
    style = (
        f"text{{font:{_FONT}px sans-serif;fill:#1a1a1a}}.page{{fill:#ffffff}}.grid{{stroke:#d8d8d8;stroke-width:1}}"
        ".range,.front{stroke:#1a1a1a;stroke-width:1;fill:none}.limit{stroke:#5c5c5c;stroke-dasharray:5 4}"
        ".ring{stroke:#1a1a1a;stroke-width:2;fill:none}"
        ".title{font-size:17px;font-weight:bold}.panel{font-size:13px;font-weight:bold}"
        ".note,.tick,.value{fill:#595959}.tick,.value{font-size:10px}.tick{text-anchor:middle}.label{text-anchor:end}"
        f"{light}"
        "@media(prefers-color-scheme:dark){text{fill:#e6e6e6}.range,.front,.ring{stroke:#e6e6e6}.limit{stroke:#a8a8a8}"
        ".page{fill:#161b22}.grid{stroke:#3d444d}"
        f".note,.tick,.value{{fill:#a0a8b0}}{dark}}}"
    )
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<style>{style}</style>",
            f'<rect class="page" width="{WIDTH}" height="{height:.0f}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )
