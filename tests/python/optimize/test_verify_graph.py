from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builder import Builder, quantization

from whit.errors import InvalidArgumentError, ShapeError, UnsupportedOperatorError, WhitError
from whit.ir import Graph, Node, Quantization, Tensor, verify
from whit.optimize import optimize


def graph() -> Graph:
    """x -> conv "c" (weights w) -> y -> quantize "q" -> z."""
    b = Builder()
    b.conv(b.input("x", 1, 4, 4, 3), 5, 3, bias=False)
    b.finish(b.quantize(b.graph.nodes[0].outputs[0], 0.1, 3))
    conv, quantize = b.graph.nodes
    rename = {conv.inputs[1]: "w", conv.outputs[0]: "y", quantize.outputs[0]: "z"}
    for old, new in rename.items():
        tensor = b.graph.tensors.pop(old)
        tensor.name = new
        b.graph.tensors[new] = tensor
    conv.name, conv.inputs, conv.outputs = "c", ["x", "w"], ["y"]
    quantize.name, quantize.inputs, quantize.outputs = "q", ["y"], ["z"]
    b.graph.outputs = ["z"]
    return b.graph


def attribute(name: str, value: object) -> Callable[[Graph], object]:
    return lambda g: g.nodes[0].attributes.update({name: value})  # type: ignore[dict-item]


def change(tensor: str, **fields: object) -> Callable[[Graph], object]:
    def apply(g: Graph) -> None:
        for name, value in fields.items():
            setattr(g.tensors[tensor], name, value)

    return apply


def new_quantization(scale: object, zero_point: object, axis: int | None = None) -> Callable[[Graph], object]:
    return change("z", quantization=Quantization(np.asarray(scale), np.asarray(zero_point), axis))


F32, S32 = np.float32, np.int32
BROKEN: dict[str, tuple[type[WhitError], str, Callable[[Graph], object]]] = {
    "unknown operator": (UnsupportedOperatorError, "'c' (Conv)", lambda g: setattr(g.nodes[0], "op", "Conv")),
    "missing attribute": (
        UnsupportedOperatorError,
        "'strides' is missing",
        lambda g: g.nodes[0].attributes.pop("strides"),
    ),
    "unknown attribute": (UnsupportedOperatorError, "'kernel' is unknown", attribute("kernel", [3, 3])),
    "int for ints": (UnsupportedOperatorError, "'strides' is 1", attribute("strides", 1)),
    "floats for ints": (UnsupportedOperatorError, "'strides'", attribute("strides", [1.0, 1.0])),
    "bool for int": (UnsupportedOperatorError, "'group'", attribute("group", True)),
    "int for float": (UnsupportedOperatorError, "'clamp_min' is 0", attribute("clamp_min", 0)),
    "numpy integer": (UnsupportedOperatorError, "'group'", attribute("group", np.int64(1))),
    "too few inputs": (InvalidArgumentError, "1 inputs", lambda g: g.nodes[0].inputs.pop()),
    "too many outputs": (InvalidArgumentError, "2 outputs", lambda g: g.nodes[0].outputs.append("w2")),
    "absent input": (InvalidArgumentError, "input 1 is missing", lambda g: g.nodes[0].inputs.__setitem__(1, "")),
    "unknown tensor": (
        InvalidArgumentError,
        "'nowhere' does not exist",
        lambda g: g.nodes[1].inputs.__setitem__(0, "nowhere"),
    ),
    "nothing computes it": (
        InvalidArgumentError,
        "nothing computes tensor 'v'",
        lambda g: (g.add_tensor(Tensor("v")), g.nodes[1].inputs.__setitem__(0, "v")),
    ),
    "wrong order": (InvalidArgumentError, "before", lambda g: g.nodes.reverse()),
    "cycle": (InvalidArgumentError, "cycle", lambda g: g.nodes[0].inputs.__setitem__(0, "y")),
    "two producers": (
        InvalidArgumentError,
        "given by someone else",
        lambda g: g.nodes.append(Node("neg", "n", ["x"], ["y"])),
    ),
    "an input is computed": (
        InvalidArgumentError,
        "given by someone else",
        lambda g: g.nodes.append(Node("neg", "n", ["y"], ["x"])),
    ),
    "a constant is computed": (
        InvalidArgumentError,
        "given by someone else",
        lambda g: g.nodes.append(Node("neg", "n", ["y"], ["w"])),
    ),
    "constant input": (InvalidArgumentError, "is a constant", lambda g: g.inputs.append("w")),
    "unknown input": (InvalidArgumentError, "input 'v'", lambda g: g.inputs.append("v")),
    "input listed twice": (InvalidArgumentError, "listed twice", lambda g: g.inputs.append("x")),
    "unknown output": (InvalidArgumentError, "output 'v'", lambda g: g.outputs.append("v")),
    "output that is not computed": (
        InvalidArgumentError,
        "output 'v'",
        lambda g: (g.add_tensor(Tensor("v")), g.outputs.append("v")),
    ),
    "filed under another name": (InvalidArgumentError, "filed", change("w", name="v")),
    "dtype": (InvalidArgumentError, "'int8'", change("w", dtype="int8")),
    "dtype of data": (InvalidArgumentError, "'w'", change("w", dtype="s32")),
    "shape of data": (ShapeError, "'w'", change("w", shape=(5, 3, 3, 4))),
    "negative size": (ShapeError, "-1", change("y", shape=(1, -1, 4, 5))),
    "nameless size": (ShapeError, "''", change("y", shape=(1, "", 4, 5))),
    "zero scale": (InvalidArgumentError, "positive", new_quantization(F32([0]), S32([0]))),
    "infinite scale": (InvalidArgumentError, "finite", new_quantization(F32([np.inf]), S32([0]))),
    "zero point of u8": (InvalidArgumentError, "-128 to 127", new_quantization(F32([1]), S32([128]))),
    "dtype of scale": (InvalidArgumentError, "f32", new_quantization(np.float64([1]), S32([0]))),
    "two scales for one tensor": (ShapeError, "no axis", new_quantization(F32([1, 1]), S32([0, 0]))),
    "zero points without scales": (ShapeError, "[count]", new_quantization(F32([1, 1]), S32([0]), 3)),
    "scalar scale": (ShapeError, "[count]", new_quantization(F32(1), S32(0))),
    "axis": (ShapeError, "axis 4", new_quantization(F32([1] * 5), S32([0] * 5), 4)),
    "count of scales": (ShapeError, "5 scales", new_quantization(F32([1] * 5), S32([0] * 5), 1)),
    "quantised f32": (InvalidArgumentError, "f32 tensor", change("y", quantization=quantization(1.0))),
}


def test_valid() -> None:
    g = graph()
    verify(g)
    g.tensors["z"].quantization = quantization([0.1] * 5, 0, 3)
    g.tensors["y"].shape = ("n", 4, "w", 5)
    verify(g)
    g.tensors["y"].shape = None
    verify(g)


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str) -> None:
    error, message, damage = BROKEN[case]
    g = graph()
    damage(g)
    with pytest.raises(error) as caught:
        verify(g)
    assert message in str(caught.value)


def test_optimize_refuses_a_broken_graph() -> None:
    g = graph()
    g.nodes[0].attributes.pop("pads")
    with pytest.raises(UnsupportedOperatorError) as caught:
        optimize(g)
    assert caught.value.nodes == [("c", "conv", "attribute 'pads' is missing")]
