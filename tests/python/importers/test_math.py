"""Reductions, softmax, normalisations, matrix products and LSTM."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_check import OPSETS, check, model, node, normal, ops

from whit.errors import UnsupportedOperatorError
from whit.importers.onnx import import_onnx

X = normal(2, 3, 4, 5)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [None, (1,), (-1, 2)])
@pytest.mark.parametrize(
    "op_type",
    [f"Reduce{what}" for what in ["Mean", "Sum", "Max", "Min", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]],
)
def test_reduce(op_type: str, axes: tuple[int, ...] | None, keepdims: int, opset: int) -> None:
    x = np.abs(X) if op_type == "ReduceLogSum" else X
    since = 13 if op_type == "ReduceSum" else 18
    if axes is None:
        check(node(op_type, "x", keepdims=keepdims), {"x": x}, opset=opset)
    elif opset < since:
        check(node(op_type, "x", axes=list(axes), keepdims=keepdims), {"x": x}, opset=opset)
    else:
        check(node(op_type, "x a", keepdims=keepdims), {"x": x}, {"a": ints(*axes)}, opset=opset)


def test_reduce_of_no_axes() -> None:
    made = [node("ReduceSum", "x a", "s", noop_with_empty_axes=1), node("Neg", "s")]
    assert ops(check(made, {"x": X}, {"a": ints()})) == ["neg"]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_arg_max(op_type: str, keepdims: int, opset: int) -> None:
    check(node(op_type, "x", axis=-2, keepdims=keepdims), {"x": X}, opset=opset, outputs={"y": np.int64})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("attributes", [{}, {"axis": 3}, {"axis": -1}, {"axis": 2}, {"axis": 0}])
def test_softmax(op_type: str, attributes: dict[str, object], opset: int) -> None:
    check(node(op_type, "x", **attributes), {"x": X}, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_batch_normalization(shape: tuple[int, ...], opset: int) -> None:
    constants = {"s": normal(3), "b": normal(3, seed=1), "m": normal(3, seed=2), "v": np.abs(normal(3, seed=3)) + 0.1}
    graph = check(node("BatchNormalization", "x s b m v", epsilon=1e-3), {"x": normal(*shape)}, constants, opset=opset)
    assert ops(graph) == ["mul", "add"]
    assert graph.tensors[graph.nodes[0].inputs[1]].shape == (3, *[1] * (len(shape) - 2))


def test_batch_normalization_in_training_is_refused() -> None:
    constants = dict.fromkeys("sbmv", np.ones(3, np.float32))
    made = node("BatchNormalization", "x s b m v", "y m1 v1", training_mode=1)
    proto = model(made, {"x": X}, constants, outputs=dict.fromkeys(("y", "m1", "v1"), np.float32))
    with pytest.raises(UnsupportedOperatorError, match="training_mode"):
        import_onnx(proto)


@pytest.mark.parametrize("opset", OPSETS)
def test_instance_normalization(opset: int) -> None:
    check(node("InstanceNormalization", "x s b"), {"x": X}, {"s": normal(3), "b": normal(3, seed=1)}, opset=opset)


@pytest.mark.parametrize("axis", [-1, 2])
def test_layer_normalization(axis: int) -> None:
    shape = X.shape[axis:]
    check(node("LayerNormalization", "x s b", axis=axis), {"x": X}, {"s": normal(*shape), "b": normal(*shape, seed=1)})
    check(node("LayerNormalization", "x s", axis=axis, epsilon=1e-2), {"x": X}, {"s": normal(*shape)})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("c", [None, (5,), (1, 5), (), (1,), (4, 1), (4, 5)])
@pytest.mark.parametrize("factors", [{}, {"alpha": 0.5, "beta": 2.0}])
def test_gemm(trans_a: int, trans_b: int, c: tuple[int, ...] | None, factors: dict[str, float], opset: int) -> None:
    constants = {"b": normal(*((5, 3) if trans_b else (3, 5)))}
    if c is not None:
        constants["c"] = normal(*c, seed=7)
    made = node("Gemm", "a b" if c is None else "a b c", transA=trans_a, transB=trans_b, **factors)
    graph = check(made, {"a": normal(*((3, 4) if trans_a else (4, 3)))}, constants, opset=opset)
    per_row = c is not None and c[:1] == (4,)
    assert ops(graph) == ["transpose"] * trans_a + ["gemm"] + (
        (["mul"] if factors else []) + ["add"] if per_row else []
    )


def test_gemm_of_computed_matrices() -> None:
    feeds = {"a": normal(3, 4), "b": normal(5, 3), "c": normal(5)}
    check(node("Gemm", "a b c", transA=1, transB=1, alpha=0.5, beta=3.0), feeds)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (3,), (2, 1, 4, 3)])
def test_mat_mul_with_a_constant(shape: tuple[int, ...], opset: int) -> None:
    assert ops(check(node("MatMul", "a b"), {"a": normal(*shape)}, {"b": normal(3, 5)}, opset=opset)) == ["gemm"]


@pytest.mark.parametrize(
    ("a", "b"), [((2, 4, 3), (3, 5)), ((4, 3), (2, 3, 5)), ((3,), (3, 5)), ((4, 3), (3,)), ((3,), (3,))]
)
def test_mat_mul_of_computed_matrices(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    check(node("MatMul", "a b"), {"a": normal(*a), "b": normal(*b)})


def test_weights_behind_a_transpose() -> None:
    made = [node("Transpose", "w", "v", perm=[1, 0]), node("MatMul", "a v")]
    assert ops(check(made, {"a": normal(4, 3)}, {"w": normal(5, 3)})) == ["gemm"]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("state", [False, True])
def test_lstm(direction: str, state: bool, opset: int) -> None:
    count = 2 if direction == "bidirectional" else 1
    constants = {"w": normal(count, 16, 3), "r": normal(count, 16, 4), "b": normal(count, 32)}
    feeds = {"x": normal(5, 2, 3)}
    if state:
        feeds |= {"h": normal(count, 2, 4), "c": normal(count, 2, 4, seed=1)}
    made = node("LSTM", "x w r b - h c" if state else "x w r b", "y yh yc", hidden_size=4, direction=direction)
    check(made, feeds, constants, opset=opset, outputs=dict.fromkeys(("y", "yh", "yc"), np.float32))


def test_lstm_with_only_the_last_state() -> None:
    made = [node("LSTM", "x w r", "- yh", hidden_size=4), node("Neg", "yh")]
    graph = check(made, {"x": normal(5, 2, 3)}, {"w": normal(1, 16, 3), "r": normal(1, 16, 4)})
    assert graph.nodes[0].outputs == ["", "yh"]


@pytest.mark.parametrize(
    ("inputs", "attributes", "reason"),
    [
        ("x w r b", {"layout": 1}, "layout"),
        ("x w r b", {"clip": 3.0}, "clip"),
        ("x w r b", {"activations": ["Sigmoid", "Relu", "Tanh"]}, "activations"),
        ("x w r b - - - p", {}, "peepholes"),
        ("x w r b l", {}, "sequence_lens"),
    ],
)
def test_lstm_refused(inputs: str, attributes: dict[str, object], reason: str) -> None:
    constants = {"w": normal(1, 16, 3), "r": normal(1, 16, 4), "b": normal(1, 32), "p": normal(1, 12)}
    constants["l"] = np.array([5, 3], np.int32)
    proto = model(node("LSTM", inputs, hidden_size=4, **attributes), {"x": normal(5, 2, 3)}, constants)
    with pytest.raises(UnsupportedOperatorError, match=reason):
        import_onnx(proto)
