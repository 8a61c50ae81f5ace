from __future__ import annotations

import math

import numpy as np
import pytest
from onnx_check import OPSETS, check, node, normal, ops

X = normal(2, 3, 4, 5) * 2
UNARY = ["Sigmoid", "Tanh", "Erf", "Softplus", "Exp", "Abs", "Neg", "Floor", "Ceil", "Round", "Sin", "Cos", "Relu"]
UNARY += ["Identity", "Selu", "Softsign", "LeakyRelu", "Elu", "HardSigmoid"]
POSITIVE = np.abs(X) + 0.1


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "PRelu"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 1, 1), (1,), ()])
def test_binary_with_a_constant(op_type: str, shape: tuple[int, ...], opset: int) -> None:
    check(node(op_type, "x c"), {"x": X}, {"c": np.abs(normal(*shape)) + 0.5}, opset=opset)


@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
def test_binary_of_two_inputs(op_type: str) -> None:
    check(node(op_type, "a b"), {"a": normal(4, 1), "b": POSITIVE})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    "op_type",
    UNARY,
)
def test_unary(op_type: str, opset: int) -> None:
    graph = check(node(op_type, "x"), {"x": X}, opset=opset)
    if op_type != "Identity":
        assert "reshape" not in ops(graph)


@pytest.mark.parametrize("op_type", ["Log", "Sqrt", "Reciprocal"])
def test_unary_of_positive_numbers(op_type: str) -> None:
    check(node(op_type, "x"), {"x": POSITIVE})


@pytest.mark.parametrize(
    ("op_type", "opset", "attributes"),
    [
        ("LeakyRelu", 11, {"alpha": 0.3}),
        ("Elu", 13, {"alpha": 0.7}),
        ("Celu", 12, {}),
        ("Celu", OPSETS[-1], {"alpha": 2.0}),
        ("Selu", 13, {"alpha": 1.5, "gamma": 1.1}),
        ("HardSigmoid", 11, {"alpha": 1 / 6, "beta": 0.5}),
        ("HardSwish", 14, {}),
        ("Mish", 18, {}),
        ("Gelu", 20, {}),
        ("Gelu", 20, {"approximate": "tanh"}),
        ("Swish", 24, {}),
        ("Swish", 24, {"alpha": 1.7}),
    ],
)
def test_activation_attributes(op_type: str, opset: int, attributes: dict[str, object]) -> None:
    check(node(op_type, "x", **attributes), {"x": X}, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("op_type", ["Min", "Max", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_variadic(op_type: str, count: int, opset: int) -> None:
    feeds = {f"x{index}": normal(2, 3, *([1] if index == 1 else [4]), seed=index) for index in range(count)}
    if count == 1:
        check([node(op_type, "x0", "s"), node("Neg", "s")], feeds, opset=opset)
    else:
        check(node(op_type, " ".join(feeds)), feeds, opset=opset)


@pytest.mark.parametrize(
    ("exponent", "op"), [(2.0, "mul"), (0.5, "sqrt"), (-1.0, "reciprocal"), (3.0, "pow"), (1.5, "pow")]
)
@pytest.mark.parametrize("opset", OPSETS)
def test_pow(exponent: float, op: str, opset: int) -> None:
    graph = check(node("Pow", "x e"), {"x": POSITIVE}, {"e": np.float32(exponent)}, opset=opset)
    assert ops(graph) == [op]


def test_pow_of_one_is_nothing() -> None:
    graph = check([node("Pow", "x e", "p"), node("Neg", "p")], {"x": X}, {"e": np.float32(1)})
    assert ops(graph) == ["neg"]


def test_pow_with_an_integer_exponent() -> None:
    check(node("Pow", "x e"), {"x": X}, {"e": np.array([2, 3, 2, 1, 0], np.int64)})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("bounds", [(0.0, 6.0), (-1.0, None), (None, 0.5), (None, None), (2.0, 1.0)])
def test_clip(bounds: tuple[float | None, float | None], opset: int) -> None:
    names = [name if bound is not None else "-" for name, bound in zip(("low", "high"), bounds, strict=True)]
    constants = {
        name: np.float32(bound) for name, bound in zip(("low", "high"), bounds, strict=True) if bound is not None
    }
    graph = check(node("Clip", f"x {' '.join(names)}"), {"x": X}, constants, opset=opset)
    assert ops(graph) == ["clip"]


def test_clip_with_computed_bounds() -> None:
    feeds = {"x": X, "high": np.array(0.3, np.float32)}
    graph = check(node("Clip", "x low high"), feeds, {"low": np.float32(-0.4)})
    assert ops(graph) == ["clip", "min"]


def test_relu_is_clip() -> None:
    graph = check(node("Relu", "x"), {"x": X})
    assert graph.nodes[0].attributes == {"clamp_min": 0.0, "clamp_max": math.inf}


@pytest.mark.parametrize("opset", OPSETS)
def test_dropout_is_nothing(opset: int) -> None:
    graph = check([node("Dropout", "x", "d"), node("Relu", "d")], {"x": X}, opset=opset)
    assert ops(graph) == ["clip"]


@pytest.mark.parametrize("opset", OPSETS)
def test_cast(opset: int) -> None:
    graph = check(
        [node("Cast", "x", "i", to=7), node("Cast", "i", "j", to=6), node("Cast", "j", to=1)], {"x": X}, opset=opset
    )
    assert ops(graph) == ["cast", "cast"]


def test_cast_of_an_image() -> None:
    image = np.arange(0, 256, dtype=np.uint8).reshape(1, 1, 16, 16)
    graph = check([node("Cast", "x", "f", to=1), node("Div", "f c")], {"x": image}, {"c": np.float32(255)})
    assert graph.tensors["x"].dtype == "u8"
