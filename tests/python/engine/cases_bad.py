"""Models that the writer writes and the engine must refuse: name -> (how to build it, exception, what it says)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from builder import quantization
from engine_graphs import EngineBuilder

from whit.ir import Graph, Node, Tensor

Bad = tuple[Callable[[], Graph], str, str]
SHAPE, UNSUPPORTED = "ShapeError", "UnsupportedOperatorError"


class BadBuilder(EngineBuilder):
    """Adds nodes without running them, and inputs without values."""

    def input(self, name: str, *shape: int, scale: float = 1.0) -> str:
        self.graph.inputs.append(name)
        return self.graph.add_tensor(Tensor(name, "f32", shape))

    def raw(self, op: str, *inputs: str, rank: int = 1, dtype: str = "f32", q: Any = None, **attributes: Any) -> str:
        tensor = Tensor(f"y{len(self.graph.nodes)}", dtype, tuple(f"size{axis}" for axis in range(rank)), q)
        self.graph.nodes.append(Node(op, "bad", list(inputs), [tensor.name], attributes))
        return self.graph.add_tensor(tensor)

    def done(self, *outputs: str) -> Graph:
        self.graph.outputs = list(outputs)
        return self.graph


CONV = {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "group": 1}
POOL = {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "ceil_mode": 0}
RESIZE = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
    "scales": [2.0, 2.0],
    "sizes": [],
}


def one(op: str, x_shape: tuple[int, ...], rank: int, /, **attributes: Any) -> Callable[[], Graph]:
    """A single node with one f32 input."""

    def build() -> Graph:
        b = BadBuilder()
        return b.done(b.raw(op, b.input("x", *x_shape), rank=rank, **attributes))

    return build


def two(op: str, a: tuple[int, ...], b_shape: tuple[int, ...], rank: int, **attributes: Any) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        return b.done(b.raw(op, b.input("x", *a), b.input("y", *b_shape), rank=rank, **attributes))

    return build


def conv(
    weights: tuple[int, ...] = (4, 3, 3, 2), bias: int = 0, residual: Any = None, channels: int = 2, **changed: Any
) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        inputs = [b.input("x", 1, 6, 6, channels), b.random_constant(*weights)]
        inputs.append(b.random_constant(bias) if bias else "")
        inputs += [b.input("r", *residual)] if residual else []
        return b.done(b.raw("conv", *inputs, rank=4, **(CONV | changed)))

    return build


def conv_s8(change: Callable[[BadBuilder, Node], Any], **attributes: Any) -> Callable[[], Graph]:
    """A good s8 convolution of which `change` breaks one thing."""

    def build() -> Graph:
        b = BadBuilder()
        x, w = b.input_s8("x", 1, 6, 6, 2), b.weights_s8(4, 3, 3, 2)
        y = b.raw("conv", x, w, b.bias_s32(x, w), rank=4, dtype="s8", q=quantization(1.0), **(CONV | attributes))
        change(b, b.graph.nodes[0])
        return b.done(y)

    return build


def set_quantization(tensor: int | str, q: Any) -> Callable[[BadBuilder, Node], None]:
    def change(b: BadBuilder, node: Node) -> None:
        name = node.inputs[tensor] if isinstance(tensor, int) else node.outputs[0]
        b.graph.tensors[name].quantization = q

    return change


def set_data(
    position: int, function: Callable[[np.ndarray], np.ndarray], dtype: str
) -> Callable[[BadBuilder, Node], None]:
    def change(b: BadBuilder, node: Node) -> None:
        tensor = b.graph.tensors[node.inputs[position]]
        tensor.data, tensor.dtype = function(tensor.data), dtype
        if dtype == "f32":
            tensor.quantization = None

    return change


def s8_input(b: BadBuilder, node: Node) -> None:
    tensor = b.graph.tensors[node.inputs[0]]
    tensor.dtype, tensor.quantization = "s8", quantization(0.1)


def make_input(position: int) -> Callable[[BadBuilder, Node], None]:
    def change(b: BadBuilder, node: Node) -> None:
        b.graph.tensors[node.inputs[position]].data = None
        b.graph.inputs.append(node.inputs[position])

    return change


def gather(indices: Any, axis: int = 0) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        return b.done(b.raw("gather", b.input("x", 3, 2), b.constant(np.asarray(indices)), rank=2, axis=axis))

    return build


def gemm(w: tuple[int, ...]) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        return b.done(b.raw("gemm", b.input("x", 2, 3), b.random_constant(*w), rank=2))

    return build


def dynamic_gemm(change: Callable[[BadBuilder, Node], Any] | None = None, dynamic: int = 1) -> Callable[[], Graph]:
    """A good product with rows rounded at run time, of which `change` breaks one thing."""

    def build() -> Graph:
        b = BadBuilder()
        y = b.raw("gemm", b.input("x", 2, 3), b.weights_s8(4, 3), b.random_constant(4), rank=2, dynamic=dynamic)
        if change is not None:
            change(b, b.graph.nodes[0])
        return b.done(y)

    return build


def lstm(
    direction: str = "forward", w: tuple[int, ...] = (1, 8, 3), r: tuple[int, ...] = (1, 8, 2)
) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        inputs = [b.input("x", 4, 1, 3), b.random_constant(*w), b.random_constant(*r)]
        return b.done(b.raw("lstm", *inputs, rank=4, direction=direction))

    return build


def declared_otherwise() -> Graph:
    b = BadBuilder()
    y = b.raw("neg", b.input("x", 2, 3), rank=2)
    b.graph.tensors[y].shape = (3, 2)
    return b.done(y)


def split(sizes: list[int], outputs: int = 2, axis: int = 1) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        b.raw("split", b.input("x", 2, 6), rank=2, axis=axis, sizes=sizes)
        node = b.graph.nodes[0]
        node.outputs += [b.graph.add_tensor(Tensor(f"z{i}", "f32", ("a", "b"))) for i in range(outputs - 1)]
        return b.done(*node.outputs)

    return build


def s8_elementwise(op: str, qx: Any, qy: Any, **attributes: Any) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        x = b.feed("x", b.any_s8(3, 4), qx)
        inputs = [x, x] if op in ("add", "mul") else [x]
        return b.done(b.raw(op, *inputs, rank=2, dtype="s8", q=qy, **attributes))

    return build


def quantized(shape: tuple[int, ...], q: Any, **attributes: Any) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        y = b.raw("quantize_linear", b.input("x", *shape), rank=2, dtype="s8", q=q, **attributes)
        if q is ROWS:
            b.graph.tensors[y].shape = (3, 2)
        return b.done(y)

    return build


def from_u8(q: Any) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        x = b.feed("x", np.zeros((3, 4), np.uint8), q)
        return b.done(b.raw("requantize", x, rank=2, dtype="s8", q=ONE))

    return build


def mixed(op: str, dtype: str, **attributes: Any) -> Callable[[], Graph]:
    """f32 and another dtype."""

    def build() -> Graph:
        b = BadBuilder()
        y = b.graph.add_tensor(Tensor("y", dtype, (3,)))
        b.graph.inputs += [b.graph.add_tensor(Tensor("x", "f32", (3,))), y]
        return b.done(b.raw(op, "x", "y", **attributes))

    return build


def empty(
    shape: tuple[int, ...], constant: bool, op: str = "neg", rank: int = 2, **attributes: Any
) -> Callable[[], Graph]:
    def build() -> Graph:
        b = BadBuilder()
        x = b.constant(np.zeros(shape, np.float32)) if constant else b.input("x", *shape)
        return b.done(b.raw(op, x, rank=rank, **attributes))

    return build


def input_of_bits() -> Graph:
    b = BadBuilder()
    b.graph.inputs.append(b.graph.add_tensor(Tensor("x", "b1", (8,))))
    return b.done(b.raw("neg", "x"))


BIG, MOST = 2**40, 2**63 - 1
PER_AXIS = quantization([0.1, 0.2], [0, 1], 3)
ROWS = quantization([0.1, 0.2, 0.3], 0, 0)
ONE = quantization(0.1)


def each(name: str, values: tuple[Any, ...], build: Callable[[Any], Callable[[], Graph]], text: str) -> dict[str, Bad]:
    """The same for each of some values, all of which are shape errors."""
    return {f"{name}_{value}": (build(value), SHAPE, text) for value in values}


CASES: dict[str, Bad] = {
    # conv
    **each("conv_strides", ([0, 1], [-1, 1], [1, BIG], [1], [1, 1, 1], []), lambda v: conv(strides=v), "strides"),
    **each("conv_dilations", ([0, 1], [1, -2], [MOST, 1], [1]), lambda v: conv(dilations=v), "dilations"),
    **each("conv_pads", ([-1, 0, 0, 0], [0, 0, 0, -MOST], [BIG] * 4, [1, 1]), lambda v: conv(pads=v), "pads"),
    **each("conv_group", (0, -1, 3, 2, BIG, -MOST), lambda v: conv(group=v), "group"),
    "conv_kernel_too_large": (conv((4, 7, 7, 2)), SHAPE, "larger than the padded input"),
    "conv_dilated_too_large": (conv(dilations=[2**20, 2**20]), SHAPE, "larger than the padded input"),
    "conv_huge_output": (conv(pads=[2**20] * 4), SHAPE, "larger than whit handles"),
    "conv_large_output": (conv((1, 3, 3, 8), channels=8, pads=[2**15] * 4), UNSUPPORTED, "9 kernel taps each"),
    "conv_channels": (conv((4, 3, 3, 5)), SHAPE, "fit together"),
    "conv_rank": (conv((4, 3, 2)), SHAPE, "axes"),
    "conv_bias": (conv(bias=3), SHAPE, r"bias .* must have shape \[4\]"),
    "conv_residual": (conv(residual=(1, 6, 6, 4)), SHAPE, "residual"),
    "conv_activation": (conv(activation="swish"), UNSUPPORTED, "activation 'swish' is unknown"),
    "conv_clamp": (conv(clamp_min=float("nan")), UNSUPPORTED, "NaN"),
    **each("conv_pad_values", ([1.0], [1.0] * 3), lambda v: conv(pad_values=v), "pad_values has .* each of 2 channels"),
    "conv_pad_values_inf": (conv(pad_values=[0.0, float("inf")]), UNSUPPORTED, "pad_values must be finite"),
    "conv_pad_values_nan": (conv(pad_values=[float("nan")] * 2), UNSUPPORTED, "pad_values must be finite"),
    # conv on integers
    "s8_x_without_quantization": (conv_s8(set_quantization(0, None)), UNSUPPORTED, "input 'x' needs one scale"),
    "s8_x_per_channel": (conv_s8(set_quantization(0, PER_AXIS)), UNSUPPORTED, "input 'x' needs one scale"),
    "s8_w_without_quantization": (conv_s8(set_quantization(1, None)), UNSUPPORTED, "weights .* need one scale"),
    "s8_w_per_input_channel": (conv_s8(set_quantization(1, PER_AXIS)), UNSUPPORTED, "weights .* need one scale"),
    "s8_w_zero_point": (conv_s8(set_quantization(1, quantization(0.1, 1))), UNSUPPORTED, "zero point other than 0"),
    "s8_y_without_quantization": (conv_s8(set_quantization("y", None)), UNSUPPORTED, "output 'y0' needs one scale"),
    "s8_scales_overflow": (conv_s8(set_quantization("y", quantization(1e-45))), UNSUPPORTED, "leave f32"),
    "s8_w_minus_128": (conv_s8(set_data(1, lambda w: np.full_like(w, -128), "s8")), UNSUPPORTED, "contain -128"),
    "s8_w_f32": (conv_s8(set_data(1, lambda w: w.astype("f4"), "f32")), UNSUPPORTED, "weights .* is f32; s8 is needed"),
    "s8_w_u8": (conv_s8(set_data(1, lambda w: w.view("u1"), "u8")), UNSUPPORTED, "weights .* is u8; s8 is needed"),
    "s8_bias_f32": (
        conv_s8(set_data(2, lambda w: w.astype("f4"), "f32")),
        UNSUPPORTED,
        "bias .* is f32; s32 is needed",
    ),
    "s8_bias_scale": (conv_s8(set_quantization(2, quantization(9.0))), UNSUPPORTED, "bias .* is not in steps of"),
    "s8_w_not_constant": (conv_s8(make_input(1)), UNSUPPORTED, "weights .* must be a constant"),
    "s8_bias_not_constant": (conv_s8(make_input(2)), UNSUPPORTED, "bias .* must be a constant"),
    # gemm, mat_mul, lstm
    "gemm_k": (gemm((4, 5)), SHAPE, "bad"),
    "gemm_rank": (gemm((4, 3, 1)), SHAPE, "bad"),
    "dynamic_value": (dynamic_gemm(dynamic=2), UNSUPPORTED, "dynamic is 2; 0 and 1 are known"),
    "dynamic_w_f32": (dynamic_gemm(set_data(1, lambda w: w.astype("f4"), "f32")), UNSUPPORTED, "s8 is needed"),
    "dynamic_w_zero_point": (dynamic_gemm(set_quantization(1, quantization(0.1, 1))), UNSUPPORTED, "zero point"),
    "dynamic_w_minus_128": (dynamic_gemm(set_data(1, lambda w: np.full_like(w, -128), "s8")), UNSUPPORTED, "-128"),
    "dynamic_bias_s8": (dynamic_gemm(set_data(2, lambda w: w.astype("i1"), "s8")), UNSUPPORTED, "f32 is needed"),
    "dynamic_x_s8": (dynamic_gemm(s8_input), UNSUPPORTED, "input 'x' is s8; f32 is needed"),
    "mat_mul_k": (two("mat_mul", (2, 3), (4, 5), 2), SHAPE, r"cannot multiply \[2, 3\] by \[4, 5\]"),
    "mat_mul_batch": (two("mat_mul", (2, 2, 3), (3, 3, 5), 3), SHAPE, "cannot multiply"),
    "mat_mul_scalar": (two("mat_mul", (), (3,), 0), SHAPE, "cannot multiply"),
    "lstm_direction": (lstm("sideways"), UNSUPPORTED, "direction 'sideways' is unknown"),
    "lstm_w": (lstm(w=(1, 8, 4)), SHAPE, r"w has shape \[1, 8, 4\]; \[1, 8, 3\] is needed"),
    "lstm_r": (lstm(r=(1, 7, 2)), SHAPE, "r has shape"),
    "lstm_directions": (lstm("bidirectional"), SHAPE, r"\[2, 8, 3\] is needed"),
    # elementwise
    "add_shapes": (two("add", (2, 3), (2, 4), 2), SHAPE, "do not broadcast: axis 1 has sizes 3 and 4"),
    "add_dtypes": (mixed("add", "s8"), UNSUPPORTED, "input b 'y' is s8; f32 is needed"),
    "add_s32": (mixed("add", "s32"), UNSUPPORTED, "f32 is needed"),
    "add_s8_per_axis": (s8_elementwise("add", ROWS, ONE), UNSUPPORTED, "needs one scale for the whole tensor"),
    "add_s8_unquantized": (s8_elementwise("add", None, ONE), UNSUPPORTED, "needs one scale"),
    "mul_s8_output": (s8_elementwise("mul", ONE, None), UNSUPPORTED, "output .* needs one scale"),
    "mul_s8_scales": (s8_elementwise("mul", quantization(1e30), quantization(1e-30)), UNSUPPORTED, "f32 cannot hold"),
    "exp_s8_unquantized": (s8_elementwise("exp", None, ONE), UNSUPPORTED, "needs one scale"),
    "requantize_per_axis": (s8_elementwise("requantize", ROWS, ONE), UNSUPPORTED, "needs one scale"),
    "clip_nan": (one("clip", (3,), 1, clamp_min=float("nan"), clamp_max=1.0), UNSUPPORTED, "clamp_min must not be NaN"),
    "gelu_mode": (one("gelu", (3,), 1, approximate="fast"), UNSUPPORTED, "approximate 'fast' is unknown"),
    **each(
        "quantize_perm",
        ([0], [0, 1, 2], [0, 0], [0, 2], [BIG, 0], [-3, 0]),
        lambda v: quantized((2, 3), ONE, perm=v),
        "perm|axis",
    ),
    "quantize_perm_per_axis": (quantized((2, 3), ROWS, perm=[1, 0]), UNSUPPORTED, "needs one scale"),
    "quantize_perm_unquantized": (quantized((2, 3), None, perm=[1, 0]), UNSUPPORTED, "needs one scale"),
    "requantize_u8_unquantized": (from_u8(None), UNSUPPORTED, "needs one scale"),
    "requantize_u8_per_axis": (from_u8(ROWS), UNSUPPORTED, "needs one scale"),
    "dequantize_f32": (one("dequantize_linear", (3,), 1), UNSUPPORTED, "bad"),
    "quantize_to_f32": (one("quantize_linear", (3,), 1), UNSUPPORTED, "bad"),
    # windows
    **each(
        "pool_kernel",
        ([0, 2], [-1, 2], [BIG, 2], [9, 2], [2]),
        lambda v: one("max_pool", (1, 4, 4, 1), 4, **(POOL | {"kernel_shape": v})),
        "kernel_shape|fit",
    ),
    **each(
        "pool_strides",
        ([0, 1], [-1, 1], [1, BIG]),
        lambda v: one("max_pool", (1, 4, 4, 1), 4, **(POOL | {"strides": v})),
        "stride",
    ),
    **each(
        "pool_pads",
        ([-1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, BIG], [0, 0]),
        lambda v: one("max_pool", (1, 4, 4, 1), 4, **(POOL | {"pads": v})),
        "pad",
    ),
    "pool_rank": (one("max_pool", (4, 4), 2, **POOL), SHAPE, "must have rank"),
    **each(
        "reduce_axes",
        ([2], [-3], [0, 0], [BIG], [0, -2]),
        lambda v: one("reduce_sum", (2, 3), 2, axes=v, keepdims=1),
        "axis|axes",
    ),
    **each("arg_max_axis", (2, BIG), lambda v: one("arg_max", (2, 3), 2, dtype="s32", axis=v, keepdims=1), "axis"),
    **each("softmax_axis", (2, -3, -MOST, MOST), lambda v: one("softmax", (2, 3), 2, axis=v), "axis"),
    "softmax_scalar": (one("softmax", (), 0, axis=0), SHAPE, "axis"),
    "layer_norm_scale": (two("layer_normalization", (2, 3), (2,), 2, axis=1, epsilon=1e-5), SHAPE, "scale"),
    **each(
        "resize_scales",
        ([0.0, 1.0], [-1.0, 1.0], [float("nan"), 1.0], [float("inf"), 1.0], [1e30, 1.0], [2.0], [], [0.1, 1.0]),
        lambda v: one("resize", (1, 2, 2, 1), 4, **(RESIZE | {"scales": v})),
        "scale|size",
    ),
    **each(
        "resize_sizes",
        ([0, 1], [-1, 1], [BIG, 1], [2**31 - 1, 2**31 - 1], [3]),
        lambda v: one("resize", (1, 2, 2, 1), 4, **(RESIZE | {"scales": [], "sizes": v})),
        "size|axis|long",
    ),
    "resize_both": (
        one("resize", (1, 2, 2, 1), 4, **(RESIZE | {"sizes": [3, 3]})),
        SHAPE,
        "either one per spatial axis",
    ),
    "resize_mode": (
        one("resize", (1, 2, 2, 1), 4, **(RESIZE | {"mode": "cubic"})),
        UNSUPPORTED,
        "mode 'cubic' is unknown",
    ),
    # movement
    **each(
        "pad",
        ([-1, 0, 0, 0], [0, 0, -MOST, 0], [1, 1], [MOST, 0, 1, 0], [BIG, 0, 0, 0], [2**33, 0, 0, 0]),
        lambda v: one("pad", (2, 3), 2, mode="constant", pads=v, value=0.0),
        "pads|size|larger",
    ),
    "pad_reflect": (one("pad", (2, 3), 2, mode="reflect", pads=[2, 0, 0, 0], value=0.0), SHAPE, "reflect pads"),
    "pad_mode": (one("pad", (2, 3), 2, mode="wrap", pads=[0] * 4, value=0.0), UNSUPPORTED, "mode 'wrap' is unknown"),
    **{
        f"slice_{name}": (
            one("slice", (4,), 1, **({"starts": [0], "ends": [2], "axes": [0], "steps": [1]} | v)),
            SHAPE,
            text,
        )
        for name, v, text in (
            ("step", {"steps": [0]}, "step 0"),
            ("axis", {"axes": [1]}, "axis"),
            ("axes", {"axes": [0, 0], "starts": [0, 0], "ends": [1, 1], "steps": [1, 1]}, "twice"),
            ("counts", {"ends": []}, "ends"),
            ("nothing", {"starts": [3]}, "leave nothing"),
            ("backwards", {"steps": [-MOST - 1]}, "leave nothing"),
        )
    },
    "concat_axis": (two("concat", (2, 3), (2, 3), 2, axis=2), SHAPE, "axis"),
    "concat_shapes": (two("concat", (2, 3), (4, 4), 2, axis=0), SHAPE, "does not continue"),
    "concat_ranks": (two("concat", (2, 3), (2, 3, 1), 2, axis=0), SHAPE, "does not continue"),
    "concat_dtypes": (mixed("concat", "s32", axis=0), UNSUPPORTED, "input 'y' is s32 but output"),
    "concat_quantization": (s8_elementwise("concat", ONE, quantization(0.2), axis=0), UNSUPPORTED, "same quantisation"),
    **each("split", ([5, 5], [0, 6], [-1, 7], [6], [1, 2, 3], [MOST, MOST]), lambda v: split(v), "cannot be split"),
    "split_unequal": (split([], 4), SHAPE, "cannot be split into the 4 parts"),
    "split_axis": (split([], axis=-3), SHAPE, "axis"),
    **{
        f"gather_{v}": (gather(np.int32(v)), SHAPE, f"index {v[-1]} is outside axis 0")
        for v in ([3], [-4], [0, 2**31 - 1])
    },
    "gather_f32": (gather(np.float32([0])), UNSUPPORTED, "indices .* are f32; s32 is needed"),
    "gather_axis": (gather(np.int32([0]), 5), SHAPE, "axis"),
    **each(
        "reshape",
        ([-1, -1], [-2, 3], [4, -1], [7], [2, 3, 0], [2**32, 2**32], [1] * 8 + [6], [MOST, 2]),
        lambda v: one("reshape", (2, 3), 2, shape=v),
        "shape|size|view",
    ),
    **each("squeeze", ([1], [2], [0, 0], [BIG]), lambda v: one("squeeze", (1, 3), 1, axes=v), "axis"),
    **each("unsqueeze", ([3], [0, 0], list(range(7))), lambda v: one("unsqueeze", (1, 3), 3, axes=v), "axis|axes"),
    **each(
        "transpose",
        ([0, 1], [0, 0, 1], [0, 1, 3], [0, 1, 2, 3], [], [BIG, 0, 1]),
        lambda v: one("transpose", (2, 3, 4), 3, perm=v),
        "axis|axes",
    ),
    **each(
        "expand",
        ([3, 3], [0, 1], [-1, 2], [2, BIG], [2] * 9, [2**20, 2, 2**20]),
        lambda v: one("expand", (2, 1), 2, shape=v),
        "cannot expand|larger|size|axes",
    ),
    **each(
        "depth_to_space",
        (0, -2, 3, BIG, MOST),
        lambda v: one("depth_to_space", (1, 2, 2, 4), 4, blocksize=v, mode="DCR"),
        "cannot be split",
    ),
    "depth_to_space_mode": (one("depth_to_space", (1, 2, 2, 4), 4, blocksize=2, mode="XYZ"), UNSUPPORTED, "mode 'XYZ'"),
    # shapes
    "declared_otherwise": (declared_otherwise, SHAPE, r"computes \[2, 3\], but tensor 'y0' is declared as \[3, 2\]"),
    "declared_rank": (one("neg", (2, 3), 3), SHAPE, "is declared as"),
    "empty_input": (empty((0, 3), False), SHAPE, r"input 'x' has shape \[0, 3\]; every size must be"),
    "empty_constant_moved": (empty((0, 3), True, "transpose", perm=[1, 0]), SHAPE, "every size must be at least 1"),
    "empty_constant_summed": (empty((0, 3), True, "reduce_sum", axes=[0], keepdims=1), SHAPE, "every size"),
    "empty_constant_elementwise": (empty((0, 3), True), "fine", ""),
    "huge_input": (one("neg", (2**31 - 1, 500), 2), SHAPE, "larger than whit handles"),
    "large_arena": (one("transpose", (2**16, 2**15), 2, perm=[1, 0]), "fine", ""),
    "dtype_of_input": (input_of_bits, UNSUPPORTED, "input 'x' is b1; f32 is needed here"),
}
