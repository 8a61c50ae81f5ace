"""What a compressed model may cost."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from whit.compression.targets import NAMES
from whit.errors import InvalidArgumentError

__all__ = ["TARGETS", "Budget"]

#: Where times can be said for: this machine, measured; or a core of the table, estimated.
TARGETS = NAMES


@dataclass(frozen=True)
class Budget:
    """Limits; None is no limit, at least one is needed.

    Within them the smallest file wins; where neither accuracy limit is given, the most accurate one.

    Attributes:
        max_drop: points of top-1 (with labels) or of agreement with the original (without) that may be lost.
        min_snr: signal-to-noise ratio of the output in decibel, for models whose output is no class scores.
        max_bytes: of the whole file.
        max_ms: milliseconds of one inference on `target`.
        target: "this" machine, or the core whose table estimates them ("cortex-a53", ...; one thread).
    """

    max_drop: float | None = None
    min_snr: float | None = None
    max_bytes: int | None = None
    max_ms: float | None = None
    target: str = "this"

    def __post_init__(self) -> None:
        for name, low in (("max_drop", 0.0), ("min_snr", -200.0), ("max_bytes", 1), ("max_ms", 0.0)):
            value = getattr(self, name)
            if value is None:
                continue
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not good or value < low or (name == "max_ms" and value == 0):
                raise InvalidArgumentError(f"budget: {name} must be a finite number, at least {low:g}; got {value!r}")
        if self.target not in TARGETS:
            raise InvalidArgumentError(f"budget: no target {self.target!r}; targets: {', '.join(TARGETS)}")
        if self.max_drop is not None and self.min_snr is not None:
            raise InvalidArgumentError(
                "budget: max_drop is for class scores, min_snr for other outputs; give the one that fits the model"
            )
        if all(value is None for value in (self.max_drop, self.min_snr, self.max_bytes, self.max_ms)):
            raise InvalidArgumentError(
                "budget: give at least one of max_drop, min_snr, max_bytes, max_ms (as options: --max-drop, ...)"
            )

    @property
    def has_accuracy(self) -> bool:
        """Whether accuracy is limited."""
        return self.max_drop is not None or self.min_snr is not None

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return asdict(self)
