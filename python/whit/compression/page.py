"""A report as one HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence

from whit.compression.result import LayerReport, Report, size_text
from whit.draw.page import cells, facts, page, preformatted, section
from whit.draw.svg import Panel, Row, bar_chart

__all__ = ["report_page"]

_HEADER = (
    "layer",
    "operator",
    "dtype",
    "before",
    "stored",
    "bits/weight",
    "zeros",
    "entropy",
    "SNR dB",
    "ms before",
    "ms after",
    "note",
)


def report_page(report: Report, more: Sequence[str] = ()) -> str:
    """The report as a page.

    Args:
        report: of a compression.
        more: further sections, shown after the summary.
    """
    name = report.path or str(report.recipe.get("name") or "model")
    return page(
        f"whit compress: {name}",
        [
            section("Summary", facts(_summary(report))),
            *more,
            section("Layers in pictures", _bytes_chart(report), _snr_chart(report), _time_chart(report)),
            section("Layers", cells(_HEADER, [_row(layer) for layer in report.layers], numbers=range(3, 11))),
            section("Notes", *(preformatted(note) for note in report.notes)),
            section("Recipe", preformatted(json.dumps(report.recipe, indent=2))),
        ],
    )


def _summary(report: Report) -> list[tuple[str, str]]:
    lines = [("recipe", str(report.recipe.get("name") or "own"))]
    if report.source_bytes is not None:
        factor = report.source_bytes / report.file_bytes
        lines.append(("model", size_text(report.source_bytes)))
        lines.append(("file", f"{size_text(report.file_bytes)}, {factor:.1f} times smaller"))
    else:
        lines.append(("file", size_text(report.file_bytes)))
    stored = sum(layer.stored_bytes for layer in report.layers)
    lines.append(("constants", f"{size_text(report.weight_bytes_before)} before, {size_text(stored)} in the file"))
    if report.accuracy is not None:
        lines.append(("accuracy", str(report.accuracy)))
    if report.ms_before is not None and report.ms_after is not None:
        lines.append(("time on this machine", f"{report.ms_before:.3f} ms before, {report.ms_after:.3f} ms after"))
    lines.append(("calibration", f"{report.calibration_samples} samples"))
    return lines


def _bytes_chart(report: Report) -> str:
    rows = [Row(layer.name, (layer.bytes_before, layer.stored_bytes)) for layer in report.layers if layer.bytes_before]
    panel = Panel("Constants of each layer; shorter is smaller", "bytes", rows, log=True)
    return bar_chart("Bytes before and after", ("before", "stored"), [panel]) if rows else ""


def _snr_chart(report: Report) -> str:
    rows = [Row(layer.name, (layer.snr_db,)) for layer in report.layers if layer.snr_db is not None]
    panel = Panel("Output of each layer against the f32 model; longer is better", "dB", rows)
    return bar_chart("Signal-to-noise ratio", ("SNR",), [panel]) if rows else ""


def _time_chart(report: Report) -> str:
    rows = [Row(layer.name, (layer.ms_before, layer.ms_after)) for layer in report.layers if layer.ms_before]
    panel = Panel("Each layer; shorter is faster", "ms", rows)
    return bar_chart("Time before and after", ("before", "after"), [panel]) if rows else ""


def _row(layer: LayerReport) -> tuple[str, ...]:
    return (
        layer.name,
        layer.op,
        layer.dtype,
        size_text(layer.bytes_before),
        size_text(layer.stored_bytes),
        _number(layer.bits_per_weight, 2),
        "" if layer.sparsity is None else f"{100 * layer.sparsity:.1f} %",
        _number(layer.entropy, 2),
        _number(layer.snr_db, 1),
        _number(layer.ms_before, 4),
        _number(layer.ms_after, 4),
        layer.note,
    )


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
