"""ONNX models -> `whit.ir.Graph`.

This package alone imports onnx, onnx_ir and onnxscript, and only when a function here is called.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from whit.errors import InvalidArgumentError

if TYPE_CHECKING:
    import onnx

    from whit.ir import Graph

__all__ = ["import_onnx", "supported_operators"]


def import_onnx(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto,
    *,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
) -> Graph:
    """Reads an ONNX model: f32, or quantised as QDQ or QLinear operators.

    Args:
        model: A path (external data beside it is read too), the file's bytes, or a `ModelProto`.
        input_shapes: Shapes to give to inputs, by name. An int fixes a size that the model leaves open; a str names it.

    Returns:
        A graph of whit operators, channels-last, with the dtype and the shape of every tensor set. Inputs and outputs
        keep their names, layouts and order; int64 becomes s32.

    Raises:
        FormatError: The file is missing, not ONNX, damaged, or of an opset that is not read.
        UnsupportedOperatorError: The model uses what whit does not have; it lists every such node.
        InvalidArgumentError: `model` or `input_shapes` cannot be used, or `whit[compress]` is not installed.
    """
    _require_packages()
    from whit.importers.onnx.convert import convert
    from whit.importers.onnx.load import load
    from whit.importers.onnx.prepare import prepare

    source = load(model)
    return convert(prepare(source, input_shapes or {}), source.metadata)


def supported_operators() -> list[str]:
    """The ONNX operators that `import_onnx` knows, sorted; those of other domains as "domain.Operator"."""
    _require_packages()
    from whit.importers.onnx.registry import supported_operators as supported

    return supported()


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnx_ir  # noqa: F401
        import onnxscript.optimizer  # noqa: F401
    except ImportError as error:
        raise InvalidArgumentError(
            f"reading ONNX models needs packages that are not installed ({error}): pip install 'whit[compress]'"
        ) from error
