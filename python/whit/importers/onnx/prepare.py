"""The second step: constants folded, functions inlined, QLinear operators written out, every shape inferred.

All of it is the work of onnx, onnx_ir and onnxscript; here it is only put in order and kept within bounds.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir
import onnxscript.optimizer
from onnx_ir.passes import common

from whit.errors import FormatError, InvalidArgumentError
from whit.importers.onnx.blocks import blocks_of
from whit.importers.onnx.load import Source
from whit.importers.onnx.qoperator import expand_qoperators

__all__ = ["prepare"]

#: A constant that folding would create is at most this many elements.
_FOLD_LIMIT = 1 << 26
#: Operators whose output can be far larger than their inputs: folded only if the output's size is known.
_GROWING = frozenset({"ConstantOfShape", "Expand", "Tile", "Resize", "Pad", "Range", "OneHot", "EyeLike", "GatherND"})
#: dtypes of weights that stay quantised; DequantizeLinear of constants of any other is folded.
_KEPT_QUANTIZED = frozenset({ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT32})
_ROUNDS = 4


def prepare(source: Source, input_shapes: Mapping[str, Sequence[int | str]]) -> ir.Model:
    """Returns the model as onnx_ir, without constant expressions and with all shapes that can be inferred."""
    with _quiet():
        try:
            model = ir.serde.deserialize_model(source.proto)
            common.RemoveInitializersFromInputsPass()(model)
        except Exception as error:
            raise FormatError(f"the ONNX model is damaged: {error}") from error
        _set_input_shapes(model, input_shapes)
        try:
            common.InlinePass()(model)
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
            _check_constants(model)
            expand_qoperators(model)
            declared = _forget_shapes(model, static_too=bool(input_shapes))
            for _ in range(_ROUNDS):
                _fold(model)
                _infer_shapes(model)
                if not _fix_targets(model):
                    break
            for value, shape in declared.items():
                if value.shape is None:
                    value.shape = shape
        except FormatError:
            raise
        except Exception as error:
            raise FormatError(f"the ONNX model cannot be simplified: {error}") from error
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the libraries from writing to stderr: log records where no logging is set up, and numpy's warnings."""
    handler = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "onnxscript")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _check_constants(model: ir.Model) -> None:
    for name, value in model.graph.initializers.items():
        if value.const_value is None or value.const_value.dtype == ir.DataType.STRING:
            continue
        try:
            value.const_value.numpy()
        except Exception as error:
            raise FormatError(f"the data of constant '{name}' does not fit its shape: {error}") from error


# --- inputs ---


def _set_input_shapes(model: ir.Model, wanted: Mapping[str, Sequence[int | str]]) -> None:
    """Pins sizes of inputs and gives every open one a name."""
    inputs = {value.name: value for value in model.graph.inputs}
    unknown = sorted(set(wanted) - set(inputs))
    if unknown:
        raise InvalidArgumentError(f"input_shapes names {unknown}, but the model's inputs are {sorted(inputs)}")
    pinned: dict[str, int | str] = {}
    for name, value in inputs.items():
        if value.shape is None:
            if name not in wanted:
                raise InvalidArgumentError(f"the model gives input '{name}' no shape; name one in input_shapes")
            dims: list[int | str] = [f"{name}.{axis}" for axis in range(len(wanted[name]))]
        else:
            dims = [_dim(dim, f"{name}.{axis}") for axis, dim in enumerate(value.shape)]
        if name in wanted:
            _pin(name, dims, list(wanted[name]), pinned)
        value.shape = ir.Shape(dims)
    for value in inputs.values():
        dims = [_dim(dim, "") for dim in value.shape]
        value.shape = ir.Shape([pinned.get(dim, dim) if isinstance(dim, str) else dim for dim in dims])


def _dim(dim: int | ir.SymbolicDim, name: str) -> int | str:
    if isinstance(dim, int):
        return dim if dim > 0 else name
    return name if dim.value is None else str(dim.value)


def _pin(name: str, dims: list[int | str], wanted: list[int | str], pinned: dict[str, int | str]) -> None:
    if len(wanted) != len(dims):
        raise InvalidArgumentError(f"input '{name}' has {len(dims)} dimensions {dims}; input_shapes says {wanted}")
    for axis, (have, want) in enumerate(zip(dims, wanted, strict=True)):
        size = want if isinstance(want, str) else int(want) if isinstance(want, int | np.integer) else 0
        if size in ("", 0) or isinstance(want, bool) or (isinstance(size, int) and size < 0):
            raise InvalidArgumentError(f"input_shapes['{name}'][{axis}] must be a positive int or a name; got {want!r}")
        if isinstance(have, int):
            if have != size:
                raise InvalidArgumentError(f"input '{name}' has the fixed size {have} at {axis}; got {want!r}")
        elif pinned.setdefault(have, size) != size:
            raise InvalidArgumentError(
                f"input_shapes gives the dimension '{have}' two sizes: {pinned[have]} and {size} (input '{name}')"
            )


# --- folding and inference ---


def _forget_shapes(model: ir.Model, *, static_too: bool) -> dict[ir.Value, ir.Shape]:
    """Drops shapes of computed values that inference is to find anew: exporters leave names that hide what is known.

    Static ones stay unless `static_too`: they may come from operators that inference does not know. Returns what was
    dropped.
    """
    dropped = {}
    for node in model.graph:
        for value in node.outputs:
            if value.shape is not None and (static_too or not value.shape.is_static()):
                dropped[value] = value.shape
                value.shape = None
    return dropped


def _fold(model: ir.Model) -> None:
    onnxscript.optimizer.fold_constants(
        model,
        onnx_shape_inference=True,
        input_size_limit=_FOLD_LIMIT,
        output_size_limit=_FOLD_LIMIT,
        should_fold=_should_fold,
    )
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.RemoveUnusedNodesPass()(model)


def _should_fold(node: ir.Node) -> bool | None:
    """None leaves the decision to onnxscript, which folds all but the quantisation operators."""
    output = node.outputs[0]
    if output.shape is None or not output.shape.is_static():
        if node.op_type in _GROWING and not (node.op_type == "ConstantOfShape" and _elements_of_shape(node)):
            return False
    elif _is_huge(output.shape):
        return False
    if node.op_type == "ConstantOfShape" or node.op_type == "QuantizeLinear":
        return True
    if node.op_type == "DequantizeLinear":
        block = node.attributes.get("block_size")
        if block is not None and block.as_int() != 0:
            return blocks_of(node) is None
        return node.inputs[0].dtype not in _KEPT_QUANTIZED
    return None


def _is_huge(shape: ir.Shape | None) -> bool:
    return shape is not None and shape.is_static() and math.prod(shape.numpy()) > _FOLD_LIMIT


def _elements_of_shape(node: ir.Node) -> bool:
    shape = node.inputs[0].const_value.numpy()
    return bool((shape >= 0).all() and math.prod(shape.tolist()) <= _FOLD_LIMIT)


def _infer_shapes(model: ir.Model) -> None:
    """Inference over the whole graph, which also follows sizes through Shape, Gather, Concat, ..."""
    _forget_shapes(model, static_too=False)
    # onnx would write the values out to follow them.
    absurd = any(node.op_type in _GROWING and _is_huge(node.outputs[0].shape) for node in model.graph)
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=not absurd)(model)


def _fix_targets(model: ir.Model) -> bool:
    """Turns computed targets of Reshape, Expand and Resize whose result is known into constants. True if any."""
    changed = False
    for node in list(model.graph):
        if node.domain not in ("", "ai.onnx") or not node.inputs or node.inputs[0] is None:
            continue
        index = {"Reshape": 1, "Expand": 1, "Resize": 3}.get(node.op_type, 0)
        target = node.inputs[index] if 0 < index < len(node.inputs) else None
        if target is None or target.const_value is not None:
            continue
        sizes = _target(node.op_type, node.inputs[0].shape, node.outputs[0].shape)
        if sizes is not None:
            name = f"{node.outputs[0].name}.target"
            constant = ir.Value(
                name=name,
                type=ir.TensorType(ir.DataType.INT64),
                shape=ir.Shape([len(sizes)]),
                const_value=ir.tensor(np.array(sizes, np.int64), name=name),
            )
            model.graph.register_initializer(constant)
            node.replace_input_with(index, constant)
            if node.op_type == "Reshape" and 0 in sizes:
                node.attributes.pop("allowzero", None)
            changed = True
    return changed


def _target(op_type: str, before: ir.Shape | None, after: ir.Shape | None) -> list[int] | None:
    """The constant that makes the operator give shape `after`; None if there is none."""
    if before is None or after is None:
        return None
    sizes: list[int] = []
    for axis, size in enumerate(after):
        if isinstance(size, int):
            sizes.append(size)
            continue
        same = axis < len(before) and size.value is not None and before[axis] == size
        if op_type == "Reshape":
            sizes.append(0 if same else -1)
        elif op_type == "Expand" and size.value is not None:
            from_end = len(after) - axis
            if from_end > len(before) or before[len(before) - from_end] != size:
                return None
            sizes.append(1)
        else:
            return None
    return sizes if sizes.count(-1) <= 1 else None
