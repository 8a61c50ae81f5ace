from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx_check import OPSETS, check, compare, model, node, normal, ops, run_onnx

from whit.errors import UnsupportedOperatorError
from whit.importers.onnx import import_onnx


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("bias", [False, True])
def test_conv_2d(bias: bool, opset: int) -> None:
    constants = {"w": normal(5, 3, 3, 2)}
    if bias:
        constants["b"] = normal(5)
    graph = check(
        node("Conv", "x w b" if bias else "x w", pads=[1, 0, 2, 1], strides=[2, 1]),
        {"x": normal(2, 3, 9, 8)},
        constants,
        opset=opset,
    )
    assert ops(graph) == ["transpose", "conv", "transpose"]
    conv = graph.nodes[1]
    assert graph.tensors[conv.inputs[1]].shape == (5, 3, 2, 3)
    assert conv.attributes == {"strides": [2, 1], "dilations": [1, 1], "pads": [1, 0, 2, 1], "group": 1}


@pytest.mark.parametrize(
    ("channels", "w", "attributes"),
    [
        (6, (4, 3, 3, 3), {"group": 2}),
        (6, (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
        (6, (12, 1, 3, 3), {"group": 6, "strides": [2, 2]}),
        (3, (4, 3, 3, 3), {"dilations": [2, 3]}),
        (3, (4, 3, 1, 1), {}),
        (3, (4, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
        (3, (4, 3, 2, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 1]}),
        (3, (4, 3, 2, 4), {"auto_pad": "SAME_UPPER", "dilations": [2, 1]}),
        (3, (4, 3, 3, 3), {"auto_pad": "VALID"}),
    ],
)
def test_conv_attributes(channels: int, w: tuple[int, ...], attributes: dict[str, object]) -> None:
    if attributes.get("dilations") == [2, 1]:
        # onnxruntime refuses SAME with dilations; strides of 1 keep the size.
        proto = model(node("Conv", "x w", **attributes), {"x": normal(1, channels, 9, 10)}, {"w": normal(*w)})
        conv = import_onnx(proto).nodes[1]
        assert conv.attributes["pads"] == [1, 1, 1, 2]
        return
    check(node("Conv", "x w", **attributes), {"x": normal(1, channels, 9, 10)}, {"w": normal(*w)})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("attributes", [{}, {"strides": [2], "pads": [2, 1]}, {"dilations": [2]}, {"group": 4}])
def test_conv_1d(attributes: dict[str, object], opset: int) -> None:
    w = normal(8, 4 // attributes.get("group", 1), 3)
    graph = check(node("Conv", "x w b", **attributes), {"x": normal(2, 4, 11)}, {"w": w, "b": normal(8)}, opset=opset)
    assert graph.tensors[graph.nodes[1].inputs[0]].shape == (2, 11, 4)


def test_conv_keeps_open_sizes() -> None:
    x = normal(2, 3, 8, 6)
    graph = check(
        [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Relu", "c")],
        {"x": x},
        {"w": normal(4, 3, 3, 3)},
        shapes={"x": ["N", 3, "H", "W"]},
    )
    assert graph.tensors["x"].shape == ("N", 3, "H", "W")
    assert graph.tensors["y"].shape[:2] == ("N", 4)
    assert all(isinstance(size, str) for size in graph.tensors["y"].shape[2:])


def test_same_pads_with_open_sizes_need_stride_one() -> None:
    feeds, constants = {"x": normal(1, 3, 8, 8)}, {"w": normal(4, 3, 3, 3)}
    shapes = {"x": [1, 3, "H", "W"]}
    check(node("Conv", "x w", auto_pad="SAME_UPPER"), feeds, constants, shapes=shapes)
    strided = model(node("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2]), feeds, constants, shapes=shapes)
    with pytest.raises(UnsupportedOperatorError, match="input_shapes"):
        import_onnx(strided)
    graph = import_onnx(strided, input_shapes={"x": [1, 3, 8, 8]})
    compare(graph, feeds, run_onnx(strided, feeds), 1e-5)


def test_computed_bias_is_added() -> None:
    graph = check(node("Conv", "x w b"), {"x": normal(1, 3, 5, 5), "b": normal(4)}, {"w": normal(4, 3, 3, 3)})
    assert ops(graph) == ["transpose", "conv", "add", "transpose"]


def test_computed_weight_is_refused() -> None:
    proto = model(node("Conv", "x w"), {"x": normal(1, 3, 5, 5), "w": normal(4, 3, 3, 3)})
    with pytest.raises(UnsupportedOperatorError, match="'w' is computed at run time") as caught:
        import_onnx(proto)
    assert caught.value.nodes == [("Conv_y", "Conv", "its weight 'w' is computed at run time; it must be a constant")]


def test_conv_3d_is_refused() -> None:
    proto = model(node("Conv", "x w"), {"x": normal(1, 3, 5, 5, 5)}, {"w": normal(4, 3, 3, 3, 3)})
    with pytest.raises(UnsupportedOperatorError, match="5 dimensions"):
        import_onnx(proto)


def test_neighbouring_convolutions_share_the_layout() -> None:
    nodes = [node("Conv", "x w", "a"), node("Conv", "a v", "b"), node("Conv", "a u", "c"), node("Add", "b c")]
    constants = {"w": normal(4, 3, 3, 3), "v": normal(4, 4, 1, 1), "u": normal(4, 4, 1, 1)}
    graph = check(nodes, {"x": normal(1, 3, 6, 6)}, constants)
    assert ops(graph).count("transpose") == 3


def test_shared_weights_are_stored_once() -> None:
    nodes = [node("Conv", "x w", "a"), node("Conv", "a w")]
    graph = check(nodes, {"x": normal(1, 3, 6, 6)}, {"w": normal(3, 3, 1, 1)})
    assert sum(tensor.is_constant for tensor in graph.tensors.values()) == 1


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    ("w", "attributes"),
    [
        ((4, 3, 2, 2), {"strides": [2, 2]}),
        ((4, 3, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ((4, 3, 3, 2), {"pads": [1, 0, 0, 1]}),
        ((4, 3, 3, 3), {"dilations": [2, 1]}),
        ((4, 3, 3, 3), {"group": 2, "strides": [2, 1]}),
        ((4, 1, 3, 3), {"group": 4, "strides": [2, 2]}),
        ((4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ((4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
        ((4, 3, 3, 3), {"strides": [2, 2], "output_shape": [10, 12]}),
        ((4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "VALID"}),
    ],
)
def test_conv_transpose(w: tuple[int, ...], attributes: dict[str, object], opset: int) -> None:
    weight = normal(*w)
    bias = normal(w[1] * attributes.get("group", 1))
    check(
        node("ConvTranspose", "x w b", **attributes),
        {"x": normal(2, 4, 5, 6)},
        {"w": weight, "b": bias},
        opset=opset,
    )


def test_conv_transpose_1d() -> None:
    check(node("ConvTranspose", "x w", strides=[3]), {"x": normal(1, 4, 5)}, {"w": normal(4, 2, 3)})


def test_weights_that_are_constant_expressions() -> None:
    nodes = [
        node("Constant", "", "scale", value=onnx.numpy_helper.from_array(np.float32(0.5))),
        node("Mul", "w scale", "v"),
        node("Conv", "x v"),
    ]
    graph = check(nodes, {"x": normal(1, 3, 5, 5)}, {"w": normal(4, 3, 3, 3)})
    assert ops(graph) == ["transpose", "conv", "transpose"]
