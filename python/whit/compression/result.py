"""What a compression did, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

__all__ = ["LayerReport", "Report"]


@dataclass(frozen=True)
class LayerReport:
    """One operator of the f32 model and what became of it.

    Attributes:
        name, op: of the operator.
        dtype: how it computes: "s8", "f32", or "f32 (s8 weights)".
        bytes_before, bytes_after: of its constants.
        snr_db: signal-to-noise ratio of its output against the f32 model on calibration data, in decibel; 200 if equal,
            None if not measured. Errors of earlier layers are part of it.
        note: why it stays in f32, or "".
    """

    name: str
    op: str
    dtype: str
    bytes_before: int
    bytes_after: int
    snr_db: float | None = None
    note: str = ""


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
    file: bytes | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready, with stable keys; the file's bytes are left out."""
        values = asdict(self)
        del values["file"]
        return {**values, "layers": [asdict(layer) for layer in self.layers], "notes": list(self.notes)}

    def worst(self, count: int = 5) -> list[LayerReport]:
        """The measured layers with the lowest signal-to-noise ratio, worst first."""
        measured = [layer for layer in self.layers if layer.snr_db is not None]
        return sorted(measured, key=lambda layer: layer.snr_db or 0.0)[:count]

    def __str__(self) -> str:
        rows = [("layer", "operator", "dtype", "before", "after", "SNR dB", "")]
        for layer in self.layers:
            snr = "" if layer.snr_db is None else f"{layer.snr_db:.1f}"
            sizes = (_bytes(layer.bytes_before), _bytes(layer.bytes_after))
            rows.append((layer.name, layer.op, layer.dtype, *sizes, snr, layer.note))
        lines = [_table(rows), "", f"recipe {self.recipe.get('name')}, {self.calibration_samples} calibration samples"]
        lines.append(f"weights {_bytes(self.weight_bytes_before)} -> {_bytes(self.weight_bytes_after)}")
        source = "" if self.source_bytes is None else f"{_bytes(self.source_bytes)} -> "
        lines.append(f"file    {source}{_bytes(self.file_bytes)}" + (f" ({self.path})" if self.path else ""))
        lines.extend(f"note: {note}" for note in self.notes)
        return "\n".join(lines)


def _bytes(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.2f} MB"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns padded to equal widths; numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = (3, 4, 5)
    return "\n".join(
        "  ".join(
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ).rstrip()
        for row in rows
    )
