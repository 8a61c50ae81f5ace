"""Choices between two numbers by a comparison with a constant, which become signs."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_check import check, model, node, normal, ops

import whit
from whit.importers.onnx import import_onnx

#: With numbers at, just below and just above the bounds.
X = np.concatenate(
    [normal(2, 8, 3).ravel(), [0, -0.0, 1e-45, -1e-45, 0.5, np.nextafter(np.float32(0.5), 1), np.inf, -np.inf]]
)
X = X.astype(np.float32).reshape(1, 8, 7)
COMPARISONS = ["GreaterOrEqual", "Greater", "Less", "LessOrEqual"]


def scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("bound", [0.0, 0.5])
@pytest.mark.parametrize("op_type", COMPARISONS)
def test_where(op_type: str, bound: float, swapped: bool) -> None:
    nodes = [node(op_type, "c x" if swapped else "x c", "b"), node("Where", "b yes no")]
    constants = {"c": scalar(bound), "yes": scalar(1), "no": scalar(-1)}
    graph = check(nodes, {"x": X}, constants, tolerance=0)
    assert ops(graph).count("binarize") == 1


def test_plus_and_minus_one_take_no_arithmetic() -> None:
    """What exporters write for the sign of a binary network."""
    nodes = [node("GreaterOrEqual", "x c", "b"), node("Where", "b yes no", "s"), node("Neg", "s")]
    graph = check(nodes, {"x": X}, {"c": scalar(0), "yes": scalar(1), "no": scalar(-1)}, tolerance=0)
    assert ops(graph) == ["binarize", "neg"]


@pytest.mark.parametrize(("yes", "no"), [(3.0, 0.25), (-1.0, 1.0), (0.0, 0.0), (2.0, 2.0)])
def test_other_numbers(yes: float, no: float) -> None:
    nodes = [node("Less", "x c", "b"), node("Where", "b yes no")]
    check(nodes, {"x": X}, {"c": scalar(0), "yes": scalar(yes), "no": scalar(no)}, tolerance=0)


@pytest.mark.parametrize("op_type", COMPARISONS)
def test_cast_of_a_comparison(op_type: str) -> None:
    check([node(op_type, "x c", "b"), node("Cast", "b", to=1)], {"x": X}, {"c": scalar(0)}, tolerance=0)


def test_sign() -> None:
    """Of 0 it is 0."""
    check(node("Sign", "x"), {"x": X}, tolerance=0)


@pytest.mark.parametrize(
    ("nodes", "constants", "says"),
    [
        ([node("Greater", "x z", "b"), node("Where", "b yes no")], {}, "no boolean tensors"),
        ([node("Greater", "x c", "b"), node("Where", "b z no")], {}, "no boolean tensors"),
        ([node("Greater", "x c", "b"), node("Not", "b", "n"), node("Where", "n yes no")], {}, "no boolean tensors"),
        ([node("Greater", "x inf", "b"), node("Where", "b yes no")], {"inf": scalar(np.inf)}, "compares with inf"),
        ([node("Greater", "x c", "b"), node("Where", "b yes inf")], {"inf": scalar(np.inf)}, "chooses infinity"),
    ],
)
def test_what_is_more_than_a_sign(nodes: list, constants: dict, says: str) -> None:
    given = {"c": scalar(0), "yes": scalar(1), "no": scalar(-1), **constants}
    used = {name for each in nodes for name in each.input}
    feeds = {name: X for name in ("x", "z") if name in used}
    proto = model(nodes, feeds, {name: value for name, value in given.items() if name in used})
    with pytest.raises(whit.UnsupportedOperatorError, match=says):
        import_onnx(proto)
