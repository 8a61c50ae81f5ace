"""What import_onnx says about what it cannot use."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx_check import check_graph, compare, model, node, normal, ops, run_onnx

from whit.errors import FileError, FormatError, InvalidArgumentError, UnsupportedOperatorError
from whit.importers.onnx import import_onnx, supported_operators

X = normal(1, 3, 4, 4)


def relu(**options: object) -> onnx.ModelProto:
    return model(node("Relu", "x"), {"x": X}, **options)


# --- sources ---


def test_path_bytes_and_proto_give_the_same_graph(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(relu(), path)
    graphs = [import_onnx(source) for source in (path, str(path), path.read_bytes(), onnx.load(path))]
    assert len({repr(graph) for graph in graphs}) == 1
    source = graphs[0].metadata["source"]
    assert source["format"] == "onnx"
    assert source["opset"] == 17
    assert source["producer"] == "test"
    assert len(source["sha256"]) == 64


def test_the_given_proto_is_not_changed() -> None:
    proto = model([node("Reshape", "x s", "r"), node("Relu", "r")], {"x": X}, {"s": np.array([0, -1])})
    before = proto.SerializeToString(deterministic=True)
    import_onnx(proto, input_shapes={"x": [1, 3, 4, 4]})
    assert proto.SerializeToString(deterministic=True) == before


def test_external_data(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.onnx"
    proto = model(node("Conv", "x w"), {"x": X}, {"w": normal(8, 3, 3, 3)})
    expected = run_onnx(proto, {"x": X})
    onnx.save(proto, path, save_as_external_data=True, location="m.data", size_threshold=0)
    compare(import_onnx(path), {"x": X}, expected)
    (tmp_path / "m.data").write_bytes(b"\0" * 10)
    with pytest.raises(FormatError, match="external data"):
        import_onnx(path)
    (tmp_path / "m.data").unlink()
    with pytest.raises(FormatError, match="external data"):
        import_onnx(path)


def test_external_data_outside_the_folder_is_refused(tmp_path: pathlib.Path) -> None:
    proto = model(node("Conv", "x w"), {"x": X}, {"w": normal(8, 3, 3, 3)})
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret").write_bytes(bytes(8 * 27 * 4))
    tensor = proto.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location="../secret", offset=0, length=8 * 27 * 4)
    tensor.ClearField("raw_data")
    (tmp_path / "inner" / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(FormatError, match="external data"):
        import_onnx(tmp_path / "inner" / "m.onnx")


# --- bad files ---


def test_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        import_onnx(tmp_path / "none.onnx")


def test_directory(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileError, match="is a directory"):
        import_onnx(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\xff\xfe\xfd not a model", "not an ONNX file, or it is damaged"),
        (b"PK\x03\x04 rest", "zip archive"),
        (b"\x1c\0\0\0TFL3 rest", "TensorFlow Lite"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\x08\x08", "no graph"),
        (relu().SerializeToString()[:-40], "ONNX"),
    ],
)
def test_bad_bytes(data: bytes, message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(FormatError, match=message):
        import_onnx(data)
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"bad\.onnx"):
        import_onnx(path)


def test_every_truncation_and_flipped_byte_is_a_typed_error() -> None:
    data = model(node("Conv", "x w"), {"x": X}, {"w": normal(2, 3, 1, 1)}).SerializeToString()
    broken = [data[:length] for length in range(len(data))]
    broken += [data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :] for place in range(len(data))]
    for candidate in broken:
        try:
            check_graph(import_onnx(candidate))
        except (FormatError, InvalidArgumentError, UnsupportedOperatorError):
            continue


def test_model_that_the_checker_refuses() -> None:
    proto = relu()
    proto.graph.node[0].input[0] = "nothing"
    with pytest.raises(FormatError, match="not a valid ONNX model"):
        import_onnx(proto)


@pytest.mark.parametrize(("opset", "what"), [(10, "newer opset"), (999, "newer onnx package")])
def test_opset_out_of_range(opset: int, what: str) -> None:
    proto = relu()
    proto.opset_import[0].version = opset
    with pytest.raises(FormatError, match=rf"opset {opset}; whit reads 11 to .*{what}"):
        import_onnx(proto)


def test_wrong_type_of_model() -> None:
    with pytest.raises(InvalidArgumentError, match="got int"):
        import_onnx(3)  # type: ignore[arg-type]


# --- input shapes ---


@pytest.mark.parametrize(
    ("input_shapes", "message"),
    [
        ({"nope": [1, 3, 4, 4]}, r"names \['nope'\]"),
        ({"x": [1, 3, 4]}, "has 4 dimensions"),
        ({"x": [1, 5, 4, 4]}, "fixed size 3 at 1"),
        ({"x": [0, 3, 4, 4]}, "positive int"),
        ({"x": [-1, 3, 4, 4]}, "positive int"),
        ({"x": [1.5, 3, 4, 4]}, "positive int"),
        ({"x": [1, 3, 4, 5]}, "two sizes"),
    ],
)
def test_bad_input_shapes(input_shapes: dict[str, list[int]], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        import_onnx(relu(shapes={"x": ["N", 3, "side", "side"]}), input_shapes=input_shapes)


def test_input_shapes_pin_and_name() -> None:
    proto = relu(shapes={"x": ["N", 3, None, "W"]})
    assert import_onnx(proto).tensors["y"].shape == ("N", 3, "x.2", "W")
    graph = import_onnx(proto, input_shapes={"x": [2, 3, "H", 7]})
    assert graph.tensors["x"].shape == graph.tensors["y"].shape == (2, 3, "H", 7)


# --- unsupported operators ---


def test_every_unsupported_node_is_listed() -> None:
    made = [
        node("Einsum", "x x", "e", equation="nchw,nchw->nc"),
        node("Relu", "x", "r"),
        node("LpPool", "r", "p", kernel_shape=[2, 2]),
        node("Resize", "p - s", "z", mode="cubic"),
        node("Selu", "z"),
    ]
    proto = model(made, {"x": X}, {"s": np.array([1, 1, 2, 2], np.float32)}, outputs={"y": np.float32, "e": np.float32})
    with pytest.raises(UnsupportedOperatorError) as caught:
        import_onnx(proto)
    assert [(name, operator) for name, operator, _ in caught.value.nodes] == [
        ("Einsum_e", "Einsum"),
        ("LpPool_p", "LpPool"),
        ("Resize_z", "Resize"),
    ]
    text = str(caught.value)
    assert "3 nodes" in text
    assert "'Einsum_e' (Einsum): whit has no such operator [near to it: MatMul, Transpose, Reshape]" in text
    assert "attribute mode=cubic; supported: nearest, linear" in text
    assert all(operator in text for operator in supported_operators())


def test_operators_of_other_domains() -> None:
    proto = model([node("Relu", "x", "r"), node("Neg", "r")], {"x": X})
    proto.opset_import.add(domain="my.domain", version=1)
    proto.graph.node[0].domain = "my.domain"
    proto.graph.node[0].op_type = "Reluu"
    with pytest.raises(UnsupportedOperatorError) as caught:
        import_onnx(proto)
    # The node behind it has no fault of its own.
    assert caught.value.nodes == [("Relu_r", "my.domain.Reluu", "whit has no such operator")]
    assert "near to it: Relu" in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_float_types(dtype: type) -> None:
    with pytest.raises(UnsupportedOperatorError, match="supported types: float") as caught:
        import_onnx(model(node("Relu", "x"), {"x": X.astype(dtype)}, outputs={"y": dtype}))
    assert caught.value.nodes[0][:2] == ("x", "graph input")


def test_integer_arithmetic() -> None:
    with pytest.raises(UnsupportedOperatorError, match="arithmetic on int64"):
        import_onnx(model(node("Add", "x x"), {"x": np.array([1, 2])}, outputs={"y": np.int64}))


def test_dead_nodes_are_not_looked_at() -> None:
    proto = model([node("Relu", "x"), node("Einsum", "x x", "dead", equation="nchw,nchw->nc")], {"x": X})
    assert ops(import_onnx(proto)) == ["clip"]


def test_constants_cannot_grow_without_bound() -> None:
    made = [node("ConstantOfShape", "s", "c"), node("Add", "x c")]
    proto = model(made, {"x": np.ones(1, np.float32)}, {"s": np.array([1 << 40])})
    with pytest.raises(UnsupportedOperatorError, match="ConstantOfShape"):
        import_onnx(proto)
    made = [node("Tile", "c r", "t"), node("Add", "x t")]
    proto = model(made, {"x": np.ones(1, np.float32)}, {"c": np.ones(4, np.float32), "r": np.array([1 << 38])})
    with pytest.raises(UnsupportedOperatorError, match="Tile"):
        import_onnx(proto)


# --- the package ---


def test_supported_operators() -> None:
    names = supported_operators()
    assert names == sorted(names)
    assert {"Conv", "LSTM", "QLinearConv", "com.microsoft.QLinearAdd", "DequantizeLinear"} <= set(names)


def test_missing_packages_say_what_to_install(tmp_path: pathlib.Path) -> None:
    code = """
import sys
sys.modules["onnx_ir"] = None
from whit.errors import InvalidArgumentError
from whit.importers.onnx import import_onnx
assert "onnx" not in sys.modules
try:
    import_onnx(b"")
except InvalidArgumentError as error:
    assert "pip install 'whit[compress]'" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_nothing_is_printed(tmp_path: pathlib.Path) -> None:
    made = [node("Split", "c", "a b", axis=0), node("Add", "x a", "d"), node("Add", "d b")]
    proto = model(made, {"x": np.ones(2, np.float32)}, {"c": np.ones(4, np.float32)})
    path = tmp_path / "m.onnx"
    onnx.save(proto, path)
    code = f"from whit.importers.onnx import import_onnx; import_onnx({str(path)!r})"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, cwd=tmp_path)
    assert done.stdout == done.stderr == b""


@pytest.mark.parametrize("size", [0, 5])
def test_constant_whose_data_does_not_fit(size: int) -> None:
    proto = model(node("Conv", "x w"), {"x": X}, {"w": normal(2, 3, 1, 1)})
    proto.graph.initializer[0].dims[0] = size
    with pytest.raises(FormatError):
        import_onnx(proto)


def test_operands_that_contradict_each_other() -> None:
    proto = model(node("Pad", "x p"), {"x": X}, {"p": np.zeros(8, np.int64)})
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones(3, np.int64), "p"))
    with pytest.raises(FormatError, match=r"'Pad_y' \(Pad\) of the ONNX model contradicts itself"):
        import_onnx(proto)
