"""What a compression did, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whit.compression.evaluate import Accuracy

__all__ = ["LayerReport", "Report", "size_text"]


@dataclass(frozen=True)
class LayerReport:
    """One operator of the f32 model and what became of it.

    Attributes:
        name, op: of the operator.
        dtype: how it computes: "s8", "s8 (dynamic)", "f32", or "f32 (s8 weights)".
        bytes_before, bytes_after: of its constants.
        snr_db: signal-to-noise ratio of its output against the f32 model on calibration data, in decibel; 200 if equal,
            None if not measured. Errors of earlier layers are part of it.
        note: why it stays in f32, or "".
        stored_bytes: of its constants, as they are encoded in the file.
        bits_per_weight: `8 * stored_bytes` over the elements of its constants in the f32 model; None without.
        sparsity: share of zeros among its weights; None without weights.
        entropy: bits for each weight that the empirical distribution of the stored symbols needs; None without weights.
        ms_before, ms_after: of one inference, on this machine; None if not measured.
    """

    name: str
    op: str
    dtype: str
    bytes_before: int
    bytes_after: int
    snr_db: float | None = None
    note: str = ""
    stored_bytes: int = 0
    bits_per_weight: float | None = None
    sparsity: float | None = None
    entropy: float | None = None
    ms_before: float | None = None
    ms_after: float | None = None


@dataclass(frozen=True)
class Report:
    """Sizes and errors of one compression.

    Attributes:
        recipe: as `Recipe.to_dict` gives it.
        layers: in the order of execution.
        source_bytes: of the ONNX model; None for a graph.
        file_bytes: of the .whit file.
        weight_bytes_before, weight_bytes_after: of all constants.
        calibration_samples: runs that ranges were measured on.
        notes: what the user should know.
        path: where the file was written, or None.
        accuracy: of the model before and after, if evaluation data was given.
        ms_before, ms_after: of one inference on this machine, sums over the operators; None if not measured.
        file: its bytes, if no path was given.
    """

    recipe: dict[str, object]
    layers: tuple[LayerReport, ...]
    source_bytes: int | None
    file_bytes: int
    weight_bytes_before: int
    weight_bytes_after: int
    calibration_samples: int = 0
    notes: tuple[str, ...] = ()
    path: str | None = None
    accuracy: Accuracy | None = None
    ms_before: float | None = None
    ms_after: float | None = None
    file: bytes | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready, with stable keys; the file's bytes are left out."""
        values = asdict(self)
        del values["file"]
        accuracy = None if self.accuracy is None else self.accuracy.to_dict()
        layers = [asdict(layer) for layer in self.layers]
        return {**values, "layers": layers, "notes": list(self.notes), "accuracy": accuracy}

    def to_html(self) -> str:
        """One page, complete in itself: a summary, pictures, and a table of the layers."""
        from whit.compression.page import report_page

        return report_page(self)

    def worst(self, count: int = 5) -> list[LayerReport]:
        """The measured layers with the lowest signal-to-noise ratio, worst first."""
        measured = [layer for layer in self.layers if layer.snr_db is not None]
        return sorted(measured, key=lambda layer: layer.snr_db or 0.0)[:count]

    def __str__(self) -> str:
        rows = [("layer", "operator", "dtype", "before", "stored", "bits", "SNR dB", "")]
        for layer in self.layers:
            snr = "" if layer.snr_db is None else f"{layer.snr_db:.1f}"
            bits = "" if layer.bits_per_weight is None else f"{layer.bits_per_weight:.1f}"
            sizes = (size_text(layer.bytes_before), size_text(layer.stored_bytes), bits)
            rows.append((layer.name, layer.op, layer.dtype, *sizes, snr, layer.note))
        lines = [_table(rows), "", f"recipe {_title(self.recipe)}, {self.calibration_samples} calibration samples"]
        lines.append(f"weights {size_text(self.weight_bytes_before)} -> {size_text(self.weight_bytes_after)}")
        source = "" if self.source_bytes is None else f"{size_text(self.source_bytes)} -> "
        lines.append(f"file    {source}{size_text(self.file_bytes)}" + (f" ({self.path})" if self.path else ""))
        if self.ms_before is not None and self.ms_after is not None:
            lines.append(f"time    {self.ms_before:.3f} ms -> {self.ms_after:.3f} ms")
        if self.accuracy is not None:
            lines.append(str(self.accuracy))
        lines.extend(f"note: {note}" for note in self.notes)
        return "\n".join(lines)


def _title(recipe: Mapping[str, Any]) -> str:
    """Its name, or else its steps."""
    steps = " + ".join(step["kind"] for step in recipe["steps"])
    return str(recipe.get("name") or steps or "without steps")


def size_text(count: int) -> str:
    """`12.3 kB`; 1 kB is 1000 bytes."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.2f} MB"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns padded to equal widths; numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = (3, 4, 5, 6)
    return "\n".join(
        "  ".join(
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ).rstrip()
        for row in rows
    )
