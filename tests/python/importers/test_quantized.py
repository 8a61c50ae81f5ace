"""Quantised models: QDQ kept as it is, QLinear operators written out, u8 turned into s8."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import onnxruntime.quantization as quantization
import pytest
from onnx_check import OPSETS, check, check_graph, compare, model, node, normal, ops, run_onnx
from onnxruntime.quantization import QuantFormat, QuantType

from whit.errors import UnsupportedOperatorError
from whit.importers.onnx import import_onnx
from whit.ir import Graph

X = normal(2, 3, 4, 5)
S8, U8, S32 = np.int8, np.uint8, np.int32


def scalar(value: float, dtype: type = np.float32) -> np.ndarray:
    return np.array(value, dtype)


def steps(shape: tuple[int, ...], dtype: type, low: int = -127) -> np.ndarray:
    numbers = np.random.default_rng(3).integers(low, 128, shape)
    return (numbers + (128 if dtype is U8 else 0)).astype(dtype)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(("dtype", "zero"), [(S8, -7), (U8, 131), (U8, 0)])
def test_quantize_dequantize(dtype: type, zero: int, opset: int) -> None:
    made = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z")]
    graph = check(made, {"x": X}, {"s": scalar(0.013), "z": scalar(zero, dtype)}, opset=opset, tolerance=1e-6)
    assert ops(graph) == ["quantize_linear", "dequantize_linear"]
    q = graph.tensors["q"]
    assert q.dtype == "s8"
    assert q.quantization.zero_point.tolist() == [zero - (128 if dtype is U8 else 0)]
    assert q.quantization.axis is None


@pytest.mark.parametrize("dtype", [S8, U8])
def test_quantized_inputs_and_outputs(dtype: type) -> None:
    constants = {"s": scalar(0.1), "z": scalar(3, dtype), "t": scalar(0.07)}
    made = [node("DequantizeLinear", "q s z", "f"), node("Relu", "f", "r"), node("QuantizeLinear", "r t z")]
    graph = check(made, {"q": steps((2, 5), dtype)}, constants, outputs={"y": dtype})
    assert graph.tensors["q"].dtype == graph.tensors["y"].dtype == ("s8" if dtype is S8 else "u8")


@pytest.mark.parametrize("dtype", [S8, U8])
def test_moving_quantized_tensors(dtype: type) -> None:
    constants = {"s": scalar(0.05), "z": scalar(5, dtype), "shape": np.array([2, -1]), "pads": np.array([0, 1, 0, 0])}
    made = [
        node("QuantizeLinear", "x s z", "q"),
        node("MaxPool", "q", "m", kernel_shape=[2, 2]),
        node("Transpose", "m", "t", perm=[0, 2, 3, 1]),
        node("Reshape", "t shape", "r"),
        node("Pad", "r pads z", "p"),
        node("Concat", "p p", "c", axis=1),
        node("DequantizeLinear", "c s z"),
    ]
    graph = check(made, {"x": X}, constants)
    moved = [tensor for tensor in graph.tensors.values() if tensor.dtype == "s8"]
    assert len(moved) == len(graph.nodes) - 1
    assert all(tensor.quantization is not None for tensor in moved)


def test_one_tensor_read_with_two_scales() -> None:
    constants = {"s": scalar(0.05), "t": scalar(0.02), "z": scalar(5, S8)}
    made = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "a"),
        node("DequantizeLinear", "q t z", "b"),
        node("Add", "a b"),
    ]
    check(made, {"x": X}, constants)


def test_s32_with_a_zero_point() -> None:
    feeds = {"x": np.array([[-5, 1000, 7]], S32)}
    constants = {"c": np.array([10, -20, 30], S32), "s": scalar(0.5), "z": scalar(0, S32)}
    made = [
        node("DequantizeLinear", "x s z", "a"),
        node("DequantizeLinear", "c s z", "b"),
        node("Add", "a b"),
    ]
    check(made, feeds, constants)
    # onnxruntime refuses zero points of s32, ONNX does not.
    proto = model(made, feeds, constants | {"z": scalar(4, S32)})
    compare(import_onnx(proto), feeds, {"y": np.array([[(-9 + 6) / 2, (996 - 24) / 2, (3 + 26) / 2]], np.float32)})


def test_cast_of_quantized_u8() -> None:
    constants = {"s": scalar(0.05), "z": scalar(100, U8)}
    check([node("QuantizeLinear", "x s z", "q"), node("Cast", "q", to=1)], {"x": X}, constants)


def weight_of(graph: Graph, op: str) -> tuple[str, object]:
    """The dequantize_linear's input (or the constant itself) that is the weight of the first `op`."""
    weight = next(made for made in graph.nodes if made.op == op).inputs[1]
    producer = graph.producer(weight)
    tensor = graph.tensors[producer.inputs[0] if producer else weight]
    return tensor.dtype, tensor


@pytest.mark.parametrize("opset", [opset for opset in OPSETS if opset >= 13])
@pytest.mark.parametrize("dtype", [S8, U8])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("op_type", "op", "shape", "axis", "w_shape", "attributes"),
    [
        ("Conv", "conv", (1, 3, 6, 6), 0, (4, 3, 3, 3), {}),
        ("Conv", "conv", (1, 4, 6, 6), 0, (4, 1, 3, 3), {"group": 4}),
        ("ConvTranspose", "conv_transpose", (1, 4, 3, 3), 1, (4, 3, 2, 2), {"strides": [2, 2]}),
        ("ConvTranspose", "conv_transpose", (1, 4, 3, 3), 1, (4, 3, 2, 2), {"group": 2}),
        ("Gemm", "gemm", (2, 4), 1, (4, 3), {}),
        ("Gemm", "gemm", (2, 4), 0, (3, 4), {"transB": 1}),
        ("Gemm", "gemm", (2, 4), 0, (3, 4), {"transB": 1, "alpha": 0.5}),
        ("MatMul", "gemm", (2, 4), 1, (4, 3), {}),
    ],
)
def test_quantized_weights(
    op_type: str,
    op: str,
    shape: tuple[int, ...],
    axis: int,
    w_shape: tuple[int, ...],
    attributes: dict[str, object],
    per_channel: bool,
    dtype: type,
    opset: int,
) -> None:
    count = w_shape[axis]
    scale = (np.arange(1, count + 1) * 0.01).astype(np.float32) if per_channel else scalar(0.01)
    zero = np.full(scale.shape, 128 if dtype is U8 else 0, dtype)
    constants = {"w": steps(w_shape, dtype), "s": scale, "z": zero}
    made = [node("DequantizeLinear", "w s z", "v", axis=axis), node(op_type, "x v", **attributes)]
    graph = check(made, {"x": normal(*shape)}, constants, opset=opset)
    kind, tensor = weight_of(graph, op)
    assert kind == "s8"
    assert tensor.quantization.axis == 0
    assert tensor.quantization.scale.shape == tensor.shape[:1]
    assert not tensor.quantization.zero_point.any()
    assert "import_notes" not in graph.metadata


@pytest.mark.parametrize("kind", ["zero point", "wrong axis", "-128"])
def test_weights_that_s8_cannot_hold_become_f32(kind: str) -> None:
    w = steps((4, 3, 3, 3), S8, low=-128 if kind == "-128" else -127)
    w[0, 0, 0, 0] = -128 if kind == "-128" else w[0, 0, 0, 0]
    scale = np.array([0.01, 0.02, 0.03], np.float32) if kind == "wrong axis" else scalar(0.01)
    zero = np.full(scale.shape, 3 if kind == "zero point" else 0, S8)
    made = [node("DequantizeLinear", "w s z", "v", axis=1), node("Conv", "x v")]
    graph = check(made, {"x": normal(1, 3, 6, 6)}, {"w": w, "s": scale, "z": zero})
    assert weight_of(graph, "conv")[0] == "f32"
    assert "weight 'v' is stored as f32" in graph.metadata["import_notes"][0]


def test_weights_quantized_in_the_graph() -> None:
    constants = {"w": normal(4, 3, 3, 3), "s": scalar(0.03), "z": scalar(0, S8)}
    made = [
        node("QuantizeLinear", "w s z", "q"),
        node("DequantizeLinear", "q s z", "v"),
        node("Conv", "x v"),
    ]
    graph = check(made, {"x": normal(1, 3, 6, 6)}, constants)
    assert weight_of(graph, "conv")[0] == "s8"


def test_four_bit_weights_become_f32() -> None:
    w = onnx.helper.make_tensor("w", onnx.TensorProto.INT4, [4, 3], list(range(-6, 6)))
    proto = model(
        [node("DequantizeLinear", "w s", "v"), node("MatMul", "x v")],
        {"x": normal(2, 4)},
        {"w": np.zeros((4, 3), S8), "s": scalar(0.5)},
        opset=21,
    )
    proto.graph.initializer[0].CopyFrom(w)
    graph = import_onnx(proto)
    check_graph(graph)
    compare(graph, {"x": normal(2, 4)}, run_onnx(proto, {"x": normal(2, 4)}), 1e-5)
    assert ops(graph) == ["gemm"]


def test_quantized_bias() -> None:
    constants = {"w": steps((4, 3, 3, 3), S8), "s": scalar(0.01), "z": scalar(0, S8)}
    constants |= {"b": np.array([1000, -2000, 0, 77], S32), "t": scalar(0.001)}
    made = [
        node("DequantizeLinear", "w s z", "v"),
        node("DequantizeLinear", "b t", "c"),
        node("Conv", "x v c"),
    ]
    graph = check(made, {"x": normal(1, 3, 6, 6)}, constants)
    bias = graph.tensors[graph.producer(next(n for n in graph.nodes if n.op == "conv").inputs[2]).inputs[0]]
    assert bias.dtype == "s32"
    assert bias.quantization.axis == 0
    assert bias.quantization.scale.shape == (4,)


@pytest.mark.parametrize(
    ("constants", "reason"),
    [
        ({"s": np.array([0.1, 0.2, 0.0], np.float32), "z": np.zeros(3, S8)}, "positive and finite"),
        ({"s": scalar(-0.1), "z": scalar(0, S8)}, "positive and finite"),
        ({"s": scalar(0.1), "z": scalar(0, np.int16)}, "int16"),
    ],
)
def test_refused_quantization(constants: dict[str, np.ndarray], reason: str) -> None:
    made = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z")]
    with pytest.raises(UnsupportedOperatorError, match=reason):
        import_onnx(model(made, {"x": X}, constants, opset=21))


def test_computed_scale_is_refused() -> None:
    made = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z")]
    proto = model(made, {"x": X, "s": scalar(0.1)}, {"z": scalar(0, S8)})
    with pytest.raises(UnsupportedOperatorError, match="computed at run time") as caught:
        import_onnx(proto)
    assert [operator for _, operator, _ in caught.value.nodes] == ["QuantizeLinear", "DequantizeLinear"]


# --- QLinear operators ---


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("dtype", [S8, U8])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_qlinear_conv(bias: bool, per_channel: bool, dtype: type, opset: int) -> None:
    middle = 128 if dtype is U8 else 0
    w_scale = np.array([0.01, 0.02, 0.005, 0.03], np.float32) if per_channel else scalar(0.01)
    constants = {"xs": scalar(0.05), "xz": scalar(middle + 3, dtype), "w": steps((4, 3, 3, 3), S8), "ws": w_scale}
    constants |= {"wz": np.zeros(w_scale.shape, S8), "ys": scalar(0.7), "yz": scalar(middle - 9, dtype)}
    if bias:
        constants["b"] = np.array([1000, -2000, 0, 77], S32)
    made = [
        node("QuantizeLinear", "x xs xz", "xq"),
        node("QLinearConv", "xq xs xz w ws wz ys yz" + (" b" if bias else ""), "yq", pads=[1, 1, 1, 1]),
        node("DequantizeLinear", "yq ys yz"),
    ]
    graph = check(made, {"x": X}, constants, opset=opset, step=0.7)
    assert ops(graph).count("conv") == 1
    assert weight_of(graph, "conv")[0] == "s8"


@pytest.mark.parametrize("per_column", [False, True])
def test_qlinear_mat_mul(per_column: bool) -> None:
    scale = np.array([0.01, 0.02, 0.005], np.float32) if per_column else scalar(0.01)
    constants = {"s": scalar(0.02), "z": scalar(2, S8), "b": steps((4, 3), S8), "bs": scale}
    constants |= {"bz": np.zeros(scale.shape, S8), "ys": scalar(0.05), "yz": scalar(1, S8)}
    made = [
        node("QuantizeLinear", "x s z", "a"),
        node("QLinearMatMul", "a s z b bs bz ys yz", "q"),
        node("DequantizeLinear", "q ys yz"),
    ]
    graph = check(made, {"x": normal(2, 4)}, constants, step=0.05)
    assert weight_of(graph, "gemm")[0] == "s8"


QLINEAR = {
    "QLinearAdd": ("a s z a s z t z", {}),
    "QLinearMul": ("a s z a s z t z", {}),
    "QLinearSigmoid": ("a s z t z", {}),
    "QLinearLeakyRelu": ("a s z t z", {"alpha": 0.2}),
    "QLinearGlobalAveragePool": ("a s z t z", {"channels_last": 0}),
    "QLinearAveragePool": ("a s z t z", {"kernel_shape": [2, 2]}),
    "QLinearConcat": ("t z a s z a s z", {"axis": 1}),
    "QLinearSoftmax": ("a s z t z", {"opset": 17, "axis": -1}),
}


@pytest.mark.parametrize("op_type", QLINEAR)
@pytest.mark.parametrize("dtype", [S8, U8])
def test_qlinear_of_onnxruntime(op_type: str, dtype: type) -> None:
    inputs, attributes = QLINEAR[op_type]
    middle = 128 if dtype is U8 else 0
    constants = {"s": scalar(0.02), "z": scalar(middle, dtype), "t": scalar(0.03)}
    made = [
        node("QuantizeLinear", "x s z", "a"),
        node(op_type, inputs, "q", domain="com.microsoft", **attributes),
        node("DequantizeLinear", "q t z"),
    ]
    proto = model(made, {"x": X}, constants, ranks={"y": 4})
    graph = import_onnx(proto)
    check_graph(graph)
    # Means of four steps are often ties, and onnxruntime's softmax reads a table.
    share = 0.1 if op_type in ("QLinearAveragePool", "QLinearSoftmax") else 0.02
    compare(graph, {"x": X}, run_onnx(proto, {"x": X}), step=0.03, share=share)
    assert ops(graph)[0] == "quantize_linear"
    assert ops(graph)[-1] == "dequantize_linear"


@pytest.mark.parametrize("f32_output", [False, True])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_qgemm(alpha: float, f32_output: bool) -> None:
    constants = {"s": scalar(0.02), "z": scalar(2, S8), "w": steps((3, 4), S8), "t": scalar(0.01), "v": scalar(0, S8)}
    constants |= {"b": np.array([100, -2000, 0], S32), "ys": scalar(0.05), "yz": scalar(1, S8)}
    gemm = "a s z w t v b" + ("" if f32_output else " ys yz")
    made = [
        node("QuantizeLinear", "x s z", "a"),
        node("QGemm", gemm, "y" if f32_output else "q", domain="com.microsoft", transB=1, alpha=alpha),
    ]
    if not f32_output:
        made.append(node("DequantizeLinear", "q ys yz"))
    x = normal(2, 4)
    proto = model(made, {"x": x}, constants, ranks={"y": 2})
    graph = import_onnx(proto)
    check_graph(graph)
    compare(graph, {"x": x}, run_onnx(proto, {"x": x}), step=0.0 if f32_output else 0.05)


def test_dynamic_quantization_is_refused() -> None:
    made = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w z", "i"),
        node("Cast", "i", "f", to=1),
        node("Mul", "f s"),
    ]
    with pytest.raises(UnsupportedOperatorError, match="quantise statically") as caught:
        import_onnx(model(made, {"x": normal(2, 4)}, {"w": steps((4, 3), S8)}))
    assert [operator for _, operator, _ in caught.value.nodes] == ["DynamicQuantizeLinear", "MatMulInteger"]


# --- whole models from onnxruntime's quantiser ---


class Samples(quantization.CalibrationDataReader):
    def __init__(self, count: int = 8) -> None:
        self.samples = iter([{"x": normal(1, 3, 16, 16, seed=seed)} for seed in range(count)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.samples, None)


def small_net() -> onnx.ModelProto:
    constants = {
        "w1": normal(8, 3, 3, 3) * 0.3,
        "b1": normal(8),
        "w2": normal(8, 1, 3, 3) * 0.5,
        "w3": normal(8, 8, 1, 1) * 0.4,
        "b3": normal(8, seed=4),
        "w4": normal(5, 8) * 0.5,
        "b4": normal(5, seed=5),
        "shape": np.array([0, -1]),
    }
    made = [
        node("Conv", "x w1 b1", "c1", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w2", "c2", pads=[1, 1, 1, 1], group=8),
        node("Relu", "c2", "r2"),
        node("Conv", "r2 w3 b3", "c3"),
        node("Add", "c3 r1", "a"),
        node("MaxPool", "a", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", "m m", "cc", axis=1),
        node("Slice", "cc from to axis", "sl"),
        node("GlobalAveragePool", "sl", "g"),
        node("Reshape", "g shape", "f"),
        node("Gemm", "f w4 b4", transB=1),
    ]
    constants |= {"from": np.array([4]), "to": np.array([12]), "axis": np.array([1])}
    return model(made, {"x": normal(1, 3, 16, 16)}, constants, opset=17)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activations", [QuantType.QInt8, QuantType.QUInt8])
@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
def test_models_of_the_static_quantizer(
    form: QuantFormat, activations: QuantType, per_channel: bool, tmp_path: pathlib.Path
) -> None:
    source, target = tmp_path / "f32.onnx", tmp_path / "s8.onnx"
    onnx.save(small_net(), source)
    quantization.quantize_static(
        source,
        target,
        Samples(),
        quant_format=form,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
    )
    proto = onnx.load(target)
    graph = import_onnx(target)
    check_graph(graph)
    feeds = {"x": normal(1, 3, 16, 16, seed=99)}
    expected = run_onnx(proto, feeds)
    # A tie that rounds to the other side moves some outputs by a step or two of their 8 bits.
    compare(graph, feeds, expected, 0.02)
    # Every weight stayed s8.
    assert {weight_of(graph, op)[0] for op in ("conv", "gemm")} == {"s8"}
    convolutions = [made for made in graph.nodes if made.op == "conv"]
    assert len(convolutions) == 3
    assert all(graph.producer(made.inputs[1]).op == "dequantize_linear" for made in convolutions)


@pytest.mark.parametrize("op", ["BatchNormalization", "InstanceNormalization"])
def test_parameters_of_a_normalisation_may_be_quantised(op: str) -> None:
    channels, feeds = X.shape[1], {"x": X}
    constants = {"q": steps((channels,), S8), "s": scalar(0.02), "z": scalar(0, S8), "b": normal(channels)}
    inputs = "x g b"
    if op == "BatchNormalization":
        constants |= {"m": normal(channels), "v": normal(channels) ** 2}
        inputs += " m v"
    check([node("DequantizeLinear", "q s z", "g"), node(op, inputs)], feeds, constants)
