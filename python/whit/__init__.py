"""whit compresses neural networks offline and runs them fast on small CPUs.

    import whit

    whit.compress("model.onnx", "model.whit", recipe="int8", data="photos/")   # needs whit[compress]
    model = whit.load("model.whit")                                            # needs numpy alone
    logits = model(x)

Importing whit is light and silent: neither onnx nor torch is imported before `compress` needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from whit import _core as _core
except ImportError as _problem:
    from whit.unavailable import extension_error

    raise extension_error(_problem) from _problem

from whit import kernels
from whit.errors import (
    BudgetError,
    CalibrationError,
    FileError,
    FormatError,
    InvalidArgumentError,
    RecipeError,
    ShapeError,
    TrainingError,
    UnsupportedOperatorError,
    VersionError,
    WhitError,
)
from whit.model import Model, Session, TensorInfo, load
from whit.version import __version__

if TYPE_CHECKING:
    from whit.ir import Graph
    from whit.report import Report

__all__ = [
    "BudgetError",
    "CalibrationError",
    "FileError",
    "FormatError",
    "InvalidArgumentError",
    "Model",
    "RecipeError",
    "Session",
    "ShapeError",
    "TensorInfo",
    "TrainingError",
    "UnsupportedOperatorError",
    "VersionError",
    "WhitError",
    "__version__",
    "compress",
    "from_torch",
    "kernels",
    "load",
]


def compress(model: Any, out: Any = None, recipe: Any = "int8", data: Any = None, **options: Any) -> Report:
    """Compresses an ONNX model into a .whit file. Needs `pip install 'whit[compress]'`.

    The arguments, the report that comes back and the errors are those of `whit.compression.compress`.
    """
    from whit.compression import compress as run

    return run(model, out, recipe, data, **options)


def from_torch(module: Any, example: Any) -> Graph:
    """A torch module as a graph for `compress` and `whit.train`. Needs `pip install 'whit[compress,train]'`.

    The arguments and the errors are those of `whit.train.from_torch`.
    """
    from whit.train import from_torch as run

    return run(module, example)
