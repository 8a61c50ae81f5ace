from __future__ import annotations

import numpy as np
import pytest
from onnx_check import OPSETS, check, compare, model, node, normal, ops, run_onnx

from whit.errors import UnsupportedOperatorError
from whit.importers.onnx import import_onnx

X = normal(2, 3, 4, 5)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("target", [(6, 20), (0, -1), (2, 0, 20), (-1, 5), (120,)])
def test_reshape(target: tuple[int, ...], opset: int) -> None:
    graph = check(node("Reshape", "x s"), {"x": X}, {"s": ints(*target)}, opset=opset)
    assert ops(graph) == ["reshape"]


def test_reshape_through_a_shape_chain() -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "n", axis=0),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "x target"),
    ]
    constants = {"zero": np.array(0, np.int64), "axis": ints(0), "rest": ints(-1)}
    graph = check(nodes, {"x": X}, constants, shapes={"x": ["N", 3, 4, 5]})
    assert ops(graph) == ["reshape"]
    assert graph.nodes[0].attributes["shape"] == [0, -1]
    assert graph.tensors["y"].shape == ("N", 60)


def test_reshape_that_merges_the_batch() -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Slice", "shape from to", "last"),
        node("Concat", "minus last", "target", axis=0),
        node("Reshape", "x target"),
    ]
    constants = {"from": ints(3), "to": ints(4), "minus": ints(-1)}
    graph = check(nodes, {"x": X}, constants, shapes={"x": ["N", 3, 4, 5]})
    assert ops(graph) == ["reshape"]
    assert graph.nodes[0].attributes["shape"] == [-1, 5]


def test_pinned_sizes_fold_what_depends_on_them() -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Cast", "shape", "f", to=1),
        node("ReduceSum", "f", "s"),
        node("Mul", "x s"),
    ]
    proto = model(nodes, {"x": X}, shapes={"x": ["N", 3, "H", "W"]})
    with pytest.raises(UnsupportedOperatorError, match=r"Shape.*input_shapes"):
        import_onnx(proto)
    graph = import_onnx(proto, input_shapes={"x": X.shape})
    assert ops(graph) == ["mul"]
    assert graph.tensors["x"].shape == X.shape
    compare(graph, {"x": X}, run_onnx(proto, {"x": X}), 1e-5)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("axis", [0, 1, 2, 4, -1])
def test_flatten(axis: int, opset: int) -> None:
    check(node("Flatten", "x", axis=axis), {"x": X}, opset=opset)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_flatten_with_an_open_batch(axis: int) -> None:
    graph = check(node("Flatten", "x", axis=axis), {"x": X}, shapes={"x": ["N", 3, 4, 5]})
    assert graph.tensors["y"].shape[1] == X[:, :].reshape(-1, int(np.prod(X.shape[axis:]))).shape[1]


@pytest.mark.parametrize("opset", OPSETS)
def test_squeeze_and_unsqueeze(opset: int) -> None:
    x = normal(2, 1, 3, 1)
    if opset < 13:
        check(node("Squeeze", "x", axes=[1, -1]), {"x": x}, opset=opset)
        check(node("Unsqueeze", "x", axes=[-1, 0]), {"x": x}, opset=opset)
    else:
        check(node("Squeeze", "x a"), {"x": x}, {"a": ints(1, -1)}, opset=opset)
        check(node("Unsqueeze", "x a"), {"x": x}, {"a": ints(-1, 0)}, opset=opset)
    check(node("Squeeze", "x"), {"x": x}, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_transpose(opset: int) -> None:
    check(node("Transpose", "x", perm=[0, 3, 1, 2]), {"x": X}, opset=opset)
    check(node("Transpose", "x"), {"x": X}, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_expand(opset: int) -> None:
    check(node("Expand", "x s"), {"x": normal(3, 1, 5)}, {"s": ints(2, 1, 4, 1)}, opset=opset)


def test_expand_to_the_shape_of_another_tensor() -> None:
    nodes = [node("Shape", "x", "s"), node("Expand", "c s", "e"), node("Add", "x e")]
    graph = check(nodes, {"x": X}, {"c": normal(3, 1, 1)})
    assert ops(graph) == ["add"]


@pytest.mark.parametrize("repeats", [(1, 2, 1, 3), (2, 1, 1, 1), (1, 1, 1, 1)])
def test_tile(repeats: tuple[int, ...]) -> None:
    check([node("Tile", "x r", "t"), node("Neg", "t")], {"x": X}, {"r": ints(*repeats)})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str, opset: int) -> None:
    check(node("DepthToSpace", "x", blocksize=2, mode=mode), {"x": normal(2, 8, 3, 4)}, opset=opset)


def test_space_to_depth() -> None:
    check(node("SpaceToDepth", "x", blocksize=2), {"x": normal(2, 3, 4, 6)}, shapes={"x": ["N", 3, 4, 6]})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ((1,), (3,), (2,), (1,)),
        ((0, 1), (2, 2**63 - 1), (1, -1), (1, 2)),
        ((-1,), (-(2**63) + 1,), (3,), (-1,)),
        ((-3,), (-1,), (2,), (1,)),
    ],
)
def test_slice(
    starts: tuple[int, ...], ends: tuple[int, ...], axes: tuple[int, ...], steps: tuple[int, ...], opset: int
) -> None:
    constants = {"s": ints(*starts), "e": ints(*ends), "a": ints(*axes), "t": ints(*steps)}
    graph = check(node("Slice", "x s e a t"), {"x": X}, constants, opset=opset)
    assert all(abs(end) <= 2**31 for end in graph.nodes[0].attributes["ends"])


def test_slice_without_axes() -> None:
    check(node("Slice", "x s e"), {"x": X}, {"s": ints(0, 1), "e": ints(1, 3)})


@pytest.mark.parametrize("opset", OPSETS)
def test_concat(opset: int) -> None:
    check(node("Concat", "x c x", axis=-3), {"x": X}, {"c": normal(2, 1, 4, 5)}, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("sizes", [None, (1, 3)])
def test_split(sizes: tuple[int, ...] | None, opset: int) -> None:
    outputs = {"y": np.float32, "z": np.float32}
    if sizes is None:
        extra = {"num_outputs": 2} if opset >= 18 else {}
        check(node("Split", "x", "y z", axis=2, **extra), {"x": X}, opset=opset, outputs=outputs)
    elif opset < 13:
        check(node("Split", "x", "y z", axis=2, split=list(sizes)), {"x": X}, opset=opset, outputs=outputs)
    else:
        check(node("Split", "x s", "y z", axis=-2), {"x": X}, {"s": ints(*sizes)}, opset=opset, outputs=outputs)


def test_split_into_uneven_parts() -> None:
    outputs = dict.fromkeys("abc", np.float32)
    graph = check(node("Split", "x", "a b c", axis=3, num_outputs=3), {"x": X}, opset=18, outputs=outputs)
    assert graph.nodes[0].attributes["sizes"] == [2, 2, 1]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("indices", [np.array(1), np.array([2, 0, -1]), np.array([[0, 1], [2, 2]])])
def test_gather(indices: np.ndarray, opset: int) -> None:
    check(node("Gather", "x i", axis=1), {"x": X}, {"i": indices.astype(np.int64)}, opset=opset)


def test_gather_with_computed_indices() -> None:
    graph = check(node("Gather", "t i"), {"i": ints(3, 1, -2)}, {"t": normal(5, 4)})
    assert graph.tensors["i"].dtype == "s32"


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(mode: str, opset: int) -> None:
    pads = ints(0, 0, 1, 2, 0, 0, 2, 1)
    check(node("Pad", "x p", mode=mode), {"x": X}, {"p": pads}, opset=opset)
    if mode == "constant":
        check(node("Pad", "x p v", mode=mode), {"x": X}, {"p": pads, "v": np.float32(1.5)}, opset=opset)
    if opset >= 18:
        check(node("Pad", "x p - a", mode=mode), {"x": X}, {"p": ints(1, 2), "a": ints(-1)}, opset=opset)


def test_pad_that_crops() -> None:
    graph = check(node("Pad", "x p"), {"x": X}, {"p": ints(0, 0, -1, 2, 0, 1, -1, 0)})
    assert ops(graph) == ["slice", "pad"]
    graph = check(node("Pad", "x p"), {"x": X}, {"p": ints(0, 0, -1, 0, 0, 0, 0, -2)})
    assert ops(graph) == ["slice"]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
def test_resize(mode: str, coordinates: str, opset: int) -> None:
    made = {"mode": mode, "coordinate_transformation_mode": coordinates}
    empty = np.zeros(0, np.float32)
    scales = np.array([1, 1, 2, 1.6], np.float32)
    tolerance = 2e-5
    check(node("Resize", "x r s", **made), {"x": X}, {"r": empty, "s": scales}, opset=opset, tolerance=tolerance)
    constants = {"r": empty, "s": empty, "z": ints(2, 3, 3, 7)}
    check(node("Resize", "x r s z", **made), {"x": X}, constants, opset=opset, tolerance=tolerance)


@pytest.mark.parametrize("nearest", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_resize_nearest_modes(nearest: str) -> None:
    made = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": nearest}
    check(node("Resize", "x - s", **made), {"x": X}, {"s": np.array([1, 1, 1.5, 2.5], np.float32)})


def test_resize_of_some_axes() -> None:
    check(node("Resize", "x - s", axes=[2, 3]), {"x": X}, {"s": np.array([2, 2], np.float32)}, opset=18)
    check(node("Resize", "x - - z", axes=[3]), {"x": X}, {"z": ints(10)}, opset=18)


def test_resize_1d() -> None:
    check(node("Resize", "x - s", mode="linear"), {"x": normal(2, 3, 5)}, {"s": np.array([1, 1, 2], np.float32)})


@pytest.mark.parametrize(
    "attributes",
    [{"mode": "cubic"}, {"coordinate_transformation_mode": "tf_crop_and_resize"}, {"antialias": 1, "mode": "linear"}],
)
def test_resize_refused(attributes: dict[str, object]) -> None:
    constants = {"r": np.zeros(8, np.float32), "s": np.array([1, 1, 2, 2], np.float32)}
    proto = model(node("Resize", "x r s", **attributes), {"x": X}, constants, opset=18)
    with pytest.raises(UnsupportedOperatorError, match=next(iter(attributes))):
        import_onnx(proto)


@pytest.mark.parametrize("source", ["x", "c"])
def test_outputs_that_nothing_computes(source: str) -> None:
    proto = model(
        [node("Identity", source, "y"), node("Relu", "x", "z"), node("Identity", "z", "w")],
        {"x": X},
        {"c": normal(3)},
        outputs=dict.fromkeys("yzw", np.float32),
    )
    graph = import_onnx(proto)
    assert graph.outputs == ["y", "z", "w"]
    compare(graph, {"x": X}, run_onnx(proto, {"x": X}), 0)
