"""The exceptions that whit raises. All derive from `WhitError`."""

from __future__ import annotations

__all__ = [
    "BudgetError",
    "CalibrationError",
    "FileError",
    "FormatError",
    "InvalidArgumentError",
    "RecipeError",
    "ShapeError",
    "TrainingError",
    "UnsupportedOperatorError",
    "VersionError",
    "WhitError",
]


class WhitError(Exception):
    """Base of everything that whit raises on purpose."""


class InvalidArgumentError(WhitError, ValueError):
    """A call got something it cannot use: a dtype, a name, an option."""


class ShapeError(WhitError, ValueError):
    """Shapes do not fit together."""


class FileError(WhitError, OSError):
    """A file that cannot be read or written: it is not there, is a directory, or the system refuses."""


class FormatError(WhitError):
    """A file is damaged, or not what it should be."""


class VersionError(FormatError):
    """A .whit file of a version that this whit does not read."""


class UnsupportedOperatorError(WhitError):
    """A model uses operators, attributes or types that whit does not have.

    Attributes:
        nodes: one (name, operator, reason) for each offending node.
    """

    def __init__(self, message: str, nodes: list[tuple[str, str, str]] | None = None) -> None:
        super().__init__(message)
        self.nodes = nodes or []


class CalibrationError(WhitError):
    """Calibration data is missing, empty, of the wrong shape, or holds NaN or infinity."""


class RecipeError(WhitError, ValueError):
    """A compression recipe that does not exist or contradicts itself."""


class TrainingError(WhitError):
    """A training cannot go on: its loss is not finite, or its checkpoint belongs to another run."""


class BudgetError(WhitError, ValueError):
    """No way to compress a model stays within what was asked for.

    Attributes:
        reachable: what is: "bytes", "drop", "snr" or "ms" -> the best value found.
    """

    def __init__(self, message: str, reachable: dict[str, float] | None = None) -> None:
        super().__init__(message)
        self.reachable = reachable or {}
