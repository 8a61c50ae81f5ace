"""What handlers work with: the ONNX node they translate, and the whit graph that they add to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from whit.importers.onnx.blocks import Blocks, blocks_of
from whit.ir import Attribute, Dim, Graph, Node, Quantization, Tensor

__all__ = ["INT32_MAX", "INT32_MIN", "Context", "Operation", "Unknown", "Unsupported", "Weight"]

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

_DTYPES = {
    ir.DataType.FLOAT: "f32",
    ir.DataType.INT32: "s32",
    ir.DataType.INT64: "s32",
    ir.DataType.INT8: "s8",
    ir.DataType.UINT8: "u8",
}


class Unsupported(Exception):  # noqa: N818  # it becomes one line of an UnsupportedOperatorError
    """Raised by a handler: why this node cannot be translated, and what to do."""


class Unknown(Unsupported):
    """The shape or the type of an ONNX value could not be inferred."""


@dataclass(frozen=True)
class Operation:
    """One ONNX node."""

    node: ir.Node
    opset: int

    @property
    def op_type(self) -> str:
        return str(self.node.op_type)

    @property
    def name(self) -> str:
        return str(self.node.name or self.node.outputs[0].name)

    @property
    def output(self) -> ir.Value:
        return self.node.outputs[0]

    def input(self, index: int) -> ir.Value:
        """A required input."""
        value = self.optional(index)
        if value is None:
            raise Unsupported(f"it has no input {index}")
        return value

    def optional(self, index: int) -> ir.Value | None:
        """An input, None if it is absent."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def is_used(self, index: int) -> bool:
        """True if something reads output `index`."""
        if index >= len(self.node.outputs) or not self.node.outputs[index].name:
            return False
        value = self.node.outputs[index]
        return bool(value.uses()) or value.is_graph_output()

    def has(self, name: str) -> bool:
        return name in self.node.attributes

    def integer(self, name: str, default: int = 0) -> int:
        return int(self.node.attributes[name].as_int()) if self.has(name) else default

    def number(self, name: str, default: float = 0.0) -> float:
        return float(self.node.attributes[name].as_float()) if self.has(name) else default

    def string(self, name: str, default: str = "") -> str:
        return str(self.node.attributes[name].as_string()) if self.has(name) else default

    def integers(self, name: str, default: Sequence[int] = ()) -> list[int]:
        return [int(value) for value in self.node.attributes[name].as_ints()] if self.has(name) else list(default)

    def refuse_attribute(self, name: str, *accepted: object) -> None:
        """Unsupported if the attribute is there with a value that is not accepted."""
        if self.has(name) and self.node.attributes[name].value not in accepted:
            wanted = f"; supported: {', '.join(map(str, accepted))}" if accepted else ""
            raise Unsupported(f"attribute {name}={self.node.attributes[name].value}{wanted}")

    def refuse_output(self, index: int, what: str) -> None:
        if self.is_used(index):
            raise Unsupported(f"its output {index} ({what}) is used")


@dataclass(frozen=True)
class Weight:
    """A constant operand: f32, or s8 / s32 with its quantisation (behind a DequantizeLinear).

    `blocks`: where f32 data comes from, if it is that.
    """

    data: np.ndarray
    quantization: Quantization | None = None
    blocks: Blocks | None = None

    def real(self) -> np.ndarray:
        """As f32."""
        if self.quantization is None:
            return self.data
        axis = self.quantization.axis
        shape = [-1 if index == axis else 1 for index in range(self.data.ndim)] if axis is not None else []
        steps = (self.data.astype(np.int64) - self.quantization.zero_point.reshape(shape)).astype(np.float32)
        result: np.ndarray = steps * self.quantization.scale.reshape(shape)
        return result

    def transposed(self, perm: Sequence[int]) -> Weight:
        quantization = self.quantization
        if quantization is not None and quantization.axis is not None:
            axis = list(perm).index(quantization.axis)
            quantization = Quantization(quantization.scale, quantization.zero_point, axis)
        blocks = None if self.blocks is None else self.blocks.transposed(perm)
        return Weight(self.data.transpose(perm), quantization, blocks)


class Context:
    """Builds the whit graph. Tensors of ONNX values are asked for by `tensor`; new ones come from `emit`."""

    def __init__(self, model: ir.Model, graph: Graph) -> None:
        self.graph = graph
        self.notes: list[str] = []
        self._names: dict[ir.Value, str] = {}
        self._shapes: dict[ir.Value, tuple[Dim, ...]] = {}
        self._prepared: dict[tuple[ir.Value, str], str] = {}
        self._channels_last: dict[str, str] = {}
        self._offset_u8: set[str] = set()
        #: Results of comparisons, whose tensors are f32 +1 and -1, and which of the two stands for true.
        self.truths: dict[ir.Value, int] = {}
        self._taken = {str(value.name) for node in model.graph for value in node.outputs}
        self._taken.update(str(value.name) for value in (*model.graph.inputs, *model.graph.initializers.values()))
        self._node_name, self._node_names, self._emitted = "", {""}, 0

    # --- ONNX values ---

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """The array of a constant as ONNX has it, None for anything computed."""
        if value is None or value.const_value is None or value.is_graph_input():
            return None
        array: np.ndarray = value.const_value.numpy()
        return array

    def require_constant(self, value: ir.Value | None, what: str) -> np.ndarray:
        array = self.constant(value)
        if array is None:
            raise Unsupported(f"its {what} is computed at run time; only a constant is supported")
        return array

    def require_ints(self, value: ir.Value | None, what: str) -> list[int]:
        """A constant list of integers, within s32."""
        array = self.require_constant(value, what).reshape(-1)
        return [max(INT32_MIN, min(INT32_MAX, int(number))) for number in array]

    def shape(self, value: ir.Value) -> tuple[Dim, ...]:
        """Sizes of an ONNX value; those that are not known get a name of their own."""
        if value not in self._shapes:
            if value.shape is None:
                raise Unknown(f"the shape of '{value.name}' is not known; fix the sizes with input_shapes")
            self._shapes[value] = tuple(
                dim if isinstance(dim, int) else str(dim.value or f"{value.name}.{axis}")
                for axis, dim in enumerate(value.shape)
            )
        return self._shapes[value]

    def rank(self, value: ir.Value) -> int:
        return len(self.shape(value))

    def static_shape(self, value: ir.Value, why: str) -> list[int]:
        """Sizes of an ONNX value, all of them fixed; `why` completes "needs fixed sizes ..."."""
        sizes = [dim for dim in self.shape(value) if isinstance(dim, int)]
        if len(sizes) != self.rank(value):
            raise Unsupported(f"needs fixed sizes {why}; '{value.name}' is {list(self.shape(value))} (input_shapes)")
        return sizes

    def dtype(self, value: ir.Value) -> str:
        dtype = value.dtype if value.const_value is None else value.const_value.dtype
        if dtype is None:
            raise Unknown(f"the type of '{value.name}' is not known")
        if dtype not in _DTYPES:
            kind = dtype.name.lower()
            raise Unsupported(f"'{value.name}' is {kind}; supported types: float, int32, int64, int8, uint8")
        return _DTYPES[dtype]

    def tensor(self, value: ir.Value) -> str:
        """The whit tensor of an ONNX value. Quantised u8 is s8, 128 less (see `is_offset`)."""
        if value not in self._names:
            array = self.constant(value)
            if array is None:
                raise Unsupported(f"'{value.name}' has no producer")
            self._names[value] = self._add_constant(value, array)
        return self._names[value]

    def f32(self, value: ir.Value) -> str:
        """As `tensor`, for operators that compute in f32 only."""
        if self.dtype(value) != "f32":
            raise Unsupported(
                f"arithmetic on {value.dtype.name.lower()} ('{value.name}') is not supported; "
                "if it computes sizes, fix them with input_shapes"
            )
        return self.tensor(value)

    def bind(self, value: ir.Value, name: str) -> None:
        """Says which tensor an ONNX value is."""
        self._names[value] = name

    def rename(self, old: str, new: str, start: int = 0) -> None:
        """Renames a computed tensor that only nodes from index `start` on name."""
        tensor = self.graph.tensors.pop(old)
        tensor.name = new
        self.graph.tensors[new] = tensor
        for node in self.graph.nodes[start:]:
            node.inputs = [new if name == old else name for name in node.inputs]
            node.outputs = [new if name == old else name for name in node.outputs]
        if old in self._channels_last:
            self._channels_last[new] = self._channels_last.pop(old)
        if old in self._offset_u8:
            self._offset_u8.add(new)
        if start == 0:
            self._names.update({value: new for value, name in self._names.items() if name == old})

    def _add_constant(self, value: ir.Value, array: np.ndarray) -> str:
        dtype = self.dtype(value)
        if dtype == "s32" and array.dtype != np.int32:
            if array.size and (array.min() < INT32_MIN or array.max() > INT32_MAX):
                raise Unsupported(f"constant '{value.name}' does not fit into 32 bits")
            array = array.astype(np.int32)
        return self.graph.add_constant(str(value.name), array)

    # --- adding ---

    def begin(self, name: str) -> None:
        """Names the nodes that follow."""
        self._emitted = 0
        self._node_name, count = name, 1
        while self._node_name in self._node_names:
            count += 1
            self._node_name = f"{name}_{count}"
        self._node_names.add(self._node_name)

    def fresh(self, hint: str) -> str:
        """A name that no tensor of either graph has."""
        name, count = hint, 1
        while name in self.graph.tensors or name in self._taken:
            count += 1
            name = f"{hint}_{count}"
        return name

    def add_constant(self, hint: str, data: np.ndarray, quantization: Quantization | None = None) -> str:
        return self.graph.add_constant(self.fresh(f"{self._node_name}/{hint}"), data, quantization)

    def scalar(self, number: float) -> str:
        return self.add_constant("constant", np.array(number, np.float32))

    def shape_of(self, name: str) -> tuple[Dim, ...]:
        """Of a whit tensor."""
        shape = self.graph.tensors[name].shape
        assert shape is not None
        return shape

    def emit(
        self,
        op: str,
        inputs: Sequence[str],
        shape: Iterable[Dim],
        /,
        *,
        dtype: str = "f32",
        quantization: Quantization | None = None,
        **attributes: Attribute,
    ) -> str:
        """Adds a node with one output and returns the output's name."""
        return self.emit_many(op, inputs, [shape], dtype=dtype, quantization=quantization, **attributes)[0]

    def emit_many(
        self,
        op: str,
        inputs: Sequence[str],
        shapes: Sequence[Iterable[Dim] | None],
        /,
        *,
        dtype: str = "f32",
        quantization: Quantization | None = None,
        **attributes: Attribute,
    ) -> list[str]:
        """Adds a node with several outputs; a shape of None is an absent one (and its name is '')."""
        inputs = list(inputs)
        while inputs and not inputs[-1]:
            inputs.pop()
        outputs = []
        for shape in shapes:
            name = "" if shape is None else self.fresh(f"{self._node_name}/{op}")
            if shape is not None:
                self.graph.add_tensor(Tensor(name, dtype, tuple(shape), quantization))
            outputs.append(name)
        name = f"{self._node_name}/{op}_{self._emitted}" if self._emitted else self._node_name
        self._emitted += 1
        self.graph.nodes.append(Node(op, name, inputs, outputs, dict(attributes)))
        return outputs

    def same(self, op: str, inputs: Sequence[str], *, dtype: str = "f32", **attributes: Attribute) -> str:
        """`emit` with the shape of the first input."""
        return self.emit(op, inputs, self.shape_of(inputs[0]), dtype=dtype, quantization=None, **attributes)

    def move(self, op: str, inputs: Sequence[str], shape: Iterable[Dim], /, **attributes: Attribute) -> str:
        """`emit` for operators that only move data: dtype and quantisation are those of the first input."""
        return self.move_many(op, inputs, [shape], **attributes)[0]

    def move_many(
        self, op: str, inputs: Sequence[str], shapes: Sequence[Iterable[Dim]], /, **attributes: Attribute
    ) -> list[str]:
        first = self.graph.tensors[inputs[0]]
        if first.quantization is not None and first.quantization.axis is not None:
            raise Unsupported("it moves a tensor that is quantised per axis; only per-tensor quantisation is supported")
        outputs = self.emit_many(op, inputs, shapes, dtype=first.dtype, quantization=first.quantization, **attributes)
        if inputs[0] in self._offset_u8:
            self._offset_u8.update(outputs)
        return outputs

    def transpose(self, name: str, perm: Sequence[int]) -> str:
        shape = self.shape_of(name)
        return self.move("transpose", [name], [shape[axis] for axis in perm], perm=list(perm))

    def reshape(self, name: str, target: Sequence[int], shape: Iterable[Dim]) -> str:
        return self.move("reshape", [name], shape, shape=list(target))

    # --- images: ONNX has [N, C, spatial...], whit [N, spatial..., C] ---

    def channels_last(self, name: str) -> str:
        """`name` [N, C, spatial...] as [N, spatial..., C]."""
        if name not in self._channels_last:
            rank = len(self.shape_of(name))
            self._channels_last[name] = self.transpose(name, [0, *range(2, rank), 1])
        return self._channels_last[name]

    def channels_first(self, name: str) -> str:
        """The way back."""
        rank = len(self.shape_of(name))
        result = self.transpose(name, [0, rank - 1, *range(1, rank - 1)])
        self._channels_last[result] = name
        return result

    def shape_channels_last(self, value: ir.Value) -> list[Dim]:
        shape = self.shape(value)
        return [shape[0], *shape[2:], shape[1]]

    # --- weights ---

    def weight(self, value: ir.Value | None) -> Weight | None:
        """A constant, or a DequantizeLinear of one, also behind Transpose; None for anything computed."""
        if value is None:
            return None
        array = self.constant(value)
        if array is not None:
            if self.dtype(value) != "f32":
                raise Unsupported(f"constant '{value.name}' is {value.dtype.name.lower()}; it must be float")
            return Weight(array)
        producer = value.producer()
        if producer is None or producer.domain not in ("", "ai.onnx"):
            return None
        if producer.op_type == "Transpose":
            inner = self.weight(producer.inputs[0])
            if inner is None:
                return None
            perm = producer.attributes.get("perm")
            return inner.transposed(perm.as_ints() if perm is not None else range(inner.data.ndim)[::-1])
        if producer.op_type == "DequantizeLinear":
            blocks = blocks_of(producer)
            if blocks is not None:
                return Weight(blocks.real(), None, blocks)
            array = self.constant(producer.inputs[0])
            quantization = self.quantization_of(producer)
            if array is None or quantization is None:
                return None
            if array.dtype == np.uint8:
                array, quantization = offset_u8(array, quantization)
            return Weight(array, quantization)
        return None

    def require_weight(self, value: ir.Value | None, what: str) -> np.ndarray:
        """As f32, whether it is stored as that or quantised."""
        weight = self.weight(value)
        if weight is None:
            raise Unsupported(f"its {what} is computed at run time; only a constant is supported")
        return weight.real()

    def quantization_of(self, node: ir.Node) -> Quantization | None:
        """Scale and zero point of a QuantizeLinear or DequantizeLinear as written there; None if not constant."""
        scale = self.constant(node.inputs[1])
        has_zero_point = len(node.inputs) > 2 and node.inputs[2] is not None
        zero_point = self.constant(node.inputs[2]) if has_zero_point else np.zeros(1, np.int32)
        if scale is None or zero_point is None:
            return None
        if scale.dtype != np.float32 or not (np.isfinite(scale).all() and (scale > 0).all()):
            raise Unsupported("its scale must be float, positive and finite")
        axis = None
        if scale.size > 1:
            axis = int(node.attributes["axis"].as_int()) if "axis" in node.attributes else 1
            rank = self.rank(node.inputs[0])
            axis = axis + rank if axis < 0 else axis
            if scale.ndim != 1 or not 0 <= axis < rank:
                raise Unsupported(f"its scale has shape {list(scale.shape)}; one or one per index of axis is supported")
        scale = scale.reshape(-1)
        return Quantization(scale, np.broadcast_to(zero_point.reshape(-1), scale.shape).astype(np.int32), axis)

    def add_weight(
        self, value: ir.Value, weight: Weight, layout: str, arrange: Callable[[np.ndarray], np.ndarray], axis: int
    ) -> str:
        """Adds a weight in whit's layout; s8 ones stay s8 behind a dequantize_linear, per index of axis 0.

        Args:
            value: The ONNX value; with `layout` it names the constant, so that shared weights are stored once.
            weight: Its content.
            layout: A word for `arrange`.
            arrange: Turns the ONNX layout into whit's, output channels first.
            axis: The axis of the ONNX layout that becomes axis 0.
        """
        key = (value, layout)
        if key not in self._prepared:
            self._prepared[key] = self._add_weight(str(value.name), weight, arrange, axis)
        return self._prepared[key]

    def _add_weight(self, hint: str, weight: Weight, arrange: Callable[[np.ndarray], np.ndarray], axis: int) -> str:
        quantization = weight.quantization
        grouped = None if weight.blocks is None else weight.blocks.arranged(arrange)
        if grouped is not None:
            name = self.graph.add_constant(self.fresh(f"{hint}/q"), *grouped)
            return self.emit("dequantize_linear", [name], grouped[0].shape)
        if quantization is not None:
            reason = self._not_symmetric(weight, axis)
            if reason:
                self.notes.append(f"weight '{hint}' is stored as f32: {reason}")
                quantization = None
        if quantization is None:
            return self.graph.add_constant(self.fresh(hint), arrange(weight.real()))
        along = [-1 if index == axis else 1 for index in range(weight.data.ndim)]
        scales = quantization.scale.reshape(along) if quantization.axis is not None else quantization.scale
        data = arrange(weight.data)
        # The scales go through the same rearrangement, which tiles them over groups and keeps them in step.
        spread = arrange(np.broadcast_to(scales, weight.data.shape))
        scale = np.ascontiguousarray(spread.reshape(spread.shape[0], -1)[:, 0])
        stored = Quantization(scale, np.zeros(scale.shape, np.int32), 0)
        name = self.graph.add_constant(self.fresh(f"{hint}/q"), data, stored)
        return self.emit("dequantize_linear", [name], data.shape)

    @staticmethod
    def _not_symmetric(weight: Weight, axis: int) -> str:
        quantization = weight.quantization
        assert quantization is not None
        if weight.data.dtype != np.int8:
            return f"it is quantised as {weight.data.dtype}"
        if quantization.zero_point.any():
            return "its zero point is not the middle of the range"
        if quantization.axis not in (None, axis):
            return f"it is quantised along axis {quantization.axis}, not per output channel"
        if weight.data.size and weight.data.min() < -127:
            return "it uses the step -128"
        return ""

    def add_bias(self, value: ir.Value, count: int) -> str | None:
        """A constant bias [count]; s32 ones stay s32 behind a dequantize_linear. None if it is computed."""
        weight = self.weight(value)
        if weight is None:
            return None
        if weight.data.size not in (1, count):
            return None
        quantization = weight.quantization
        if quantization is None or weight.data.dtype != np.int32 or quantization.zero_point.any():
            data = weight.real().reshape(-1)
            if data.size == count and data.ndim == self.rank(value):
                return self.tensor(value) if weight.quantization is None else self.add_constant("bias", data)
            return self.add_constant("bias", np.broadcast_to(data, (count,)))
        data = np.broadcast_to(weight.data.reshape(-1), (count,))
        scale = np.ascontiguousarray(np.broadcast_to(quantization.scale, (count,)))
        name = self.add_constant("bias", data, Quantization(scale, np.zeros(count, np.int32), 0))
        return self.emit("dequantize_linear", [name], data.shape)

    # --- u8: held as s8, 128 less, wherever it is quantised ---

    def is_offset(self, name: str) -> bool:
        """True for a s8 tensor that stands for u8 values 128 higher."""
        return name in self._offset_u8

    def mark_offset(self, name: str) -> None:
        self._offset_u8.add(name)

    def to_offset(self, name: str) -> str:
        """A u8 tensor as s8, 128 less."""
        real = self.same("cast", [name])
        offset = self.same("cast", [self.same("sub", [real, self.scalar(128)])], dtype="s8")
        self.mark_offset(offset)
        return offset

    def from_offset(self, name: str, dtype: str) -> str:
        """The u8 values that an offset tensor stands for, as another dtype."""
        real = self.same("add", [self.same("cast", [name]), self.scalar(128)])
        return real if dtype == "f32" else self.same("cast", [real], dtype=dtype)


def offset_u8(array: np.ndarray, quantization: Quantization) -> tuple[np.ndarray, Quantization]:
    """u8 values and their quantisation as s8, both 128 less."""
    zero_point = (quantization.zero_point - 128).astype(np.int32)
    return (array ^ 0x80).view(np.int8), Quantization(quantization.scale, zero_point, quantization.axis)
