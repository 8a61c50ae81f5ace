"""Writing, and what the C++ reader and the independent decoder make of it."""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import replace
from pathlib import Path

import decoder
import numpy as np
import pytest
from support import GOLDEN, GOLDEN_FILES, make_v1

import whit._core
from whit.errors import InvalidArgumentError, WhitError
from whit.format import save, write
from whit.ir import Graph, Node, Quantization, Tensor, verify

MODELS = make_v1.MODELS


def unary(**tensor: object) -> Graph:
    """x -> abs -> y, with changes to x."""
    x = {"name": "x", "dtype": "f32", "shape": (2,), **tensor}
    inputs = [] if x.get("data") is not None else ["x"]
    return make_v1.graph_of(
        "unary", [Tensor(**x), Tensor("y", "f32", (2,))], [Node("abs", "abs", ["x"], ["y"])], inputs, ["y"]
    )


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_through_the_reader(name: str) -> None:
    graph = MODELS[name]()
    model = whit._core.Model(write(graph))
    assert [tensor["name"] for tensor in model.tensors()] == list(graph.tensors)
    for got, tensor in zip(model.tensors(), graph.tensors.values(), strict=True):
        assert (got["dtype"], got["shape"]) == (tensor.dtype, tensor.shape)
        assert got["constant"] == tensor.is_constant
        if tensor.quantization is None:
            assert got["quantization"] is None
        else:
            assert got["quantization"]["axis"] == tensor.quantization.axis
            assert got["quantization"]["scale"] == tensor.quantization.scale.ravel().tolist()
            assert got["quantization"]["zero_point"] == tensor.quantization.zero_point.ravel().tolist()
            assert got["quantization"].get("group", 0) == tensor.quantization.group
        if tensor.data is not None:
            shared = tensor.name in ("shared", "again")
            assert got["encoding"] == "dense"
            assert got["stored_bytes"] == (0 if shared else tensor.data.nbytes)
    for got, node in zip(model.nodes(), graph.nodes, strict=True):
        assert (got["name"], got["op"]) == (node.name, node.op)
        assert (list(got["inputs"]), list(got["outputs"])) == (node.inputs, node.outputs)
        operator = next(entry for entry in whit._core.operators() if entry["name"] == node.op)
        defaults = {entry["name"]: entry["default"] for entry in operator["attributes"] if not entry["required"]}
        expected = {**defaults, **node.attributes}
        assert got["attributes"].keys() == expected.keys()
        for attribute, value in expected.items():
            assert got["attributes"][attribute] == value


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_through_the_decoder(name: str) -> None:
    graph = MODELS[name]()
    file = decoder.decode(write(graph))
    assert file.version == (1, {"pictures": 1, "groups": 5}.get(name, 0))
    assert file.name == graph.name
    assert file.metadata == graph.metadata
    assert [file.tensors[i].name for i in file.inputs] == graph.inputs
    assert [file.tensors[i].name for i in file.outputs] == graph.outputs
    for got, tensor in zip(file.tensors, graph.tensors.values(), strict=True):
        assert (got.name, got.dtype, got.shape) == (tensor.name, tensor.dtype, tensor.shape)
        assert got.values == (None if tensor.data is None else tensor.data.tobytes())
    for node, expected in zip(file.nodes, graph.nodes, strict=True):
        assert (node.name, node.op) == (expected.name, expected.op)
        assert [file.tensors[i].name if i >= 0 else "" for i in node.inputs] == expected.inputs
        assert node.attributes.keys() == expected.attributes.keys()


def test_metadata_reaches_the_model_as_json() -> None:
    model = whit._core.Model(write(MODELS["quantized"]()))
    assert json.loads(model.metadata) == MODELS["quantized"]().metadata


def test_golden_folder_holds_exactly_the_models_of_the_script() -> None:
    assert [path.stem for path in GOLDEN_FILES] == sorted(make_v1.FILES)


@pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)
def test_golden_file_is_reproduced_byte_for_byte(path: Path) -> None:
    assert make_v1.file_of(path.stem) == path.read_bytes()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("v*/*.whit")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_file_loads(path: Path) -> None:
    names = [tensor["name"] for tensor in whit._core.Model(path.read_bytes()).tensors()]
    assert names == [tensor.name for tensor in decoder.decode(path.read_bytes()).tensors]


def test_document_lists_the_operators_as_they_are() -> None:
    def limits(least: int, most: int) -> str:
        return str(least) if least == most else f"{least}-{'n' if most < 0 else most}"

    def attribute(entry: dict) -> str:
        text = f"`{entry['name']}`: {entry['type']}"
        if entry["required"]:
            return text
        if isinstance(entry["default"], list):
            return f"{text} = {entry['default']}"
        return f'{text} = "{entry["default"]}"' if entry["type"] == "string" else f"{text} = {entry['default']:g}"

    rows = []
    for number, entry in enumerate(whit._core.operators()):
        inputs = limits(entry["min_inputs"], entry["max_inputs"])
        outputs = limits(entry["min_outputs"], entry["max_outputs"])
        attributes = ", ".join(map(attribute, entry["attributes"]))
        rows.append(
            f"| {number} | `{entry['name']}` | {inputs} | {outputs} | {attributes + ' ' if attributes else ''}|"
        )
    lines = [line for line in decoder.DOCUMENT.read_text().splitlines() if line.startswith("| ") and "` | " in line]
    assert (
        rows == [line for line in lines if line.split("|")[1].strip().isdigit() and line.count("|") == 6][-len(rows) :]
    )


def test_minor_version_is_the_lowest_that_will_do() -> None:
    def minor(node: Node, tensor: Tensor) -> int:
        scale = Quantization(np.ones(1, np.float32), np.zeros(1, np.int32))
        tensors = {"x": tensor, "y": Tensor("y", "s8", tensor.shape, scale)}
        return int.from_bytes(write(Graph("g", [node], tensors, ["x"], ["y"]))[10:12], "little")

    quantization = Quantization(np.ones(1, np.float32), np.zeros(1, np.int32))
    f32, s8, u8 = (
        Tensor("x", dtype, (2, 3), None if dtype == "f32" else quantization) for dtype in ("f32", "s8", "u8")
    )
    assert minor(Node("quantize_linear", "", ["x"], ["y"]), f32) == 0
    assert minor(Node("quantize_linear", "", ["x"], ["y"], {"perm": []}), f32) == 0
    assert minor(Node("quantize_linear", "", ["x"], ["y"], {"perm": [0, 1]}), f32) == 1
    assert minor(Node("binarize", "", ["x"], ["y"]), f32) == 4
    assert minor(Node("requantize", "", ["x"], ["y"]), s8) == 0
    assert minor(Node("requantize", "", ["x"], ["y"]), u8) == 1


def test_document_example_is_the_golden_file() -> None:
    example = decoder.DOCUMENT.read_text().split("## Example")[1].split("```")[1]
    file = (GOLDEN / "v1" / "minimal.whit").read_bytes()
    end = 0
    for line in example.strip("\n").splitlines():
        if line.startswith("   "):
            continue
        offset, rest = int(line[:4], 16), line[6:29].strip()
        assert offset == end, line
        chunk = bytes(-(-end // 64) * 64 - end) if "..." in rest else bytes.fromhex(rest)
        end = offset + len(chunk)
        assert file[offset:end] == chunk, line
    assert end == len(file)


def test_crc32c_of_known_vectors() -> None:
    # RFC 3720, B.4, and the check value of the algorithm.
    assert whit._core.crc32c(b"123456789") == decoder.crc32c(b"123456789") == 0xE3069283
    assert whit._core.crc32c(bytes(32)) == decoder.crc32c(bytes(32)) == 0x8A9136AA
    assert whit._core.crc32c(b"") == decoder.crc32c(b"") == 0


# --- writing ---


def test_same_graph_gives_same_bytes_whatever_the_order_of_attributes_and_metadata() -> None:
    first, second = MODELS["attributes"](), MODELS["attributes"]()
    for node in second.nodes:
        node.attributes = dict(reversed(node.attributes.items()))
    first.metadata = {"a": 1, "b": {"c": [1], "d": 2}}
    second.metadata = {"b": {"d": 2, "c": [1]}, "a": 1}
    assert write(first) == write(second)


def test_payloads_are_aligned_and_shared() -> None:
    graph = MODELS["constants"]()
    file = write(graph)
    assert file.count(graph.tensors["s32"].data.tobytes()) == 1
    fields = decoder.decode(file).fields
    offsets = [field for field in fields if field.name == "payload offset"]
    places = [int.from_bytes(file[field.offset : field.offset + 8], "little") for field in offsets]
    assert all(place % 64 == 0 for place in places)
    names = [tensor.name for tensor in graph.tensors.values() if tensor.is_constant]
    assert places[names.index("shared")] == places[names.index("s8")]
    data = next(field for field in fields if field.name == "section offset" and field.offset == 32 + 3 * 32 + 8)
    assert int.from_bytes(file[data.offset : data.offset + 8], "little") % 64 == 0


def test_arrays_of_any_layout_and_byte_order() -> None:
    plain = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph = make_v1.graph_of(
        "",
        [Tensor("c", "f32", (2, 3), data=plain), Tensor("y", "f32", (2, 3))],
        [Node("abs", "", ["c"], ["y"])],
        [],
        ["y"],
    )
    expected = write(graph)
    for same in (np.asfortranarray(plain), plain.astype(">f4"), np.repeat(plain, 2, axis=1)[:, ::2]):
        graph.tensors["c"].data = same
        assert write(graph) == expected


def test_unused_tensors_are_left_out() -> None:
    graph = MODELS["minimal"]()
    expected = write(graph)
    graph.add_constant("unused", np.zeros(100, np.float32))
    graph.add_tensor(Tensor("left_over", "f32", None))
    assert write(graph) == expected


def quantization(scale: object, zero_point: object, axis: int | None = None) -> Quantization:
    return Quantization(np.atleast_1d(np.asarray(scale)), np.atleast_1d(np.asarray(zero_point)), axis)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"shape": None}, "shape is not known"),
        ({"shape": (1,) * 9}, "rank 9"),
        ({"shape": (-1,)}, "sizes are 0"),
        ({"shape": (2**31,)}, "sizes are 0"),
        ({"shape": (2**21, 2**20)}, "more than 2"),
        ({"dtype": "f64"}, "unknown dtype"),
        ({"shape": ("a\nb",)}, "control characters"),
        ({"shape": ("a" * 1025,)}, "1025 bytes"),
        ({"shape": ("\ud800",)}, "not Unicode"),
        ({"data": np.zeros(2)}, "declared f32"),
        ({"data": np.zeros((2, 1), "f4")}, "declared f32"),
        ({"dtype": "s4", "data": np.zeros(2, "i1")}, "cannot be written"),
        ({"quantization": quantization(1.0, 0)}, "cannot be quantized"),
        ({"dtype": "s8", "quantization": quantization(0.0, 0)}, "scale"),
        ({"dtype": "s8", "quantization": quantization(math.nan, 0)}, "scale"),
        ({"dtype": "s8", "quantization": quantization(1e39, 0)}, "scale"),
        ({"dtype": "s8", "quantization": quantization(1e-60, 0)}, "scale"),
        ({"dtype": "s8", "quantization": quantization(1.0, 128)}, "zero points"),
        ({"dtype": "s8", "quantization": quantization(1.0, 0.0)}, "integers"),
        ({"dtype": "s8", "quantization": quantization([1.0, 1.0], [0, 0])}, "1 of each"),
        ({"dtype": "s8", "quantization": quantization([1.0], [0], 0)}, "2 of each"),
        ({"dtype": "s8", "quantization": quantization([1.0], [0], 1)}, "axis 1"),
        ({"dtype": "s8", "shape": ("n",), "quantization": quantization([1.0], [0], 0)}, "must be fixed"),
    ],
)
def test_bad_tensor_is_refused(tensor: dict, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        write(unary(**tensor))


def changed(change: str) -> Graph:
    graph = MODELS["quantized"]()
    quantize, gemm, dequantize = graph.nodes
    if change == "no such operator":
        gemm.op = "gemmm"
    elif change == "1 inputs":
        gemm.inputs = ["x_s8"]
    elif change == "input 1 is missing":
        gemm.inputs[1] = ""
    elif change == "no output":
        gemm.outputs = [""]
    elif change == "unknown attribute":
        gemm.attributes["alpha"] = 1.0
    elif change == "is missing":
        graph.nodes.insert(0, Node("clip", "clip", ["x"], ["clipped"], {"clamp_min": 0.0}))
        graph.add_tensor(Tensor("clipped", "f32", (1,)))
    elif change == "must be of type float":
        gemm.attributes["clamp_min"] = "low"
    elif change == "must be of type string":
        gemm.attributes["activation"] = 1
    elif change == "before it is computed":
        graph.nodes = [gemm, quantize, dequantize]
    elif change == "computed before":
        graph.nodes.append(Node("dequantize_linear", "again", ["y_s8"], ["y"]))
    elif change == "is a constant":
        graph.inputs.append("w")
    elif change == "no outputs":
        graph.outputs = []
    elif change == "twice":
        graph.outputs = ["y", "y"]
    elif change == "no such tensor":
        gemm.inputs[2] = "bias"
    elif change == "nothing computes":
        graph.add_tensor(Tensor("z", "f32", (1,)))
        graph.outputs.append("z")
    elif change == "under the name":
        graph.tensors["w"].name = "v"
    elif change == "as JSON":
        graph.metadata["score"] = math.nan
    elif change == "nested":
        for _ in range(40):
            graph.metadata = {"deeper": graph.metadata}
    elif change == "too long":
        graph.metadata["number"] = 10**64
    elif change == "keys must be":
        graph.metadata["map"] = {1: 2}
    else:
        raise AssertionError(change)
    return graph


@pytest.mark.parametrize(
    "message",
    [
        "no such operator",
        "1 inputs",
        "input 1 is missing",
        "no output",
        "unknown attribute",
        "is missing",
        "must be of type float",
        "must be of type string",
        "before it is computed",
        "computed before",
        "is a constant",
        "no outputs",
        "twice",
        "no such tensor",
        "nothing computes",
        "under the name",
        "as JSON",
        "nested",
        "too long",
        "keys must be",
    ],
)
def test_bad_graph_is_refused(message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        write(changed(message))


@pytest.mark.parametrize("value", [2**63, 1.5, "1", None])
def test_bad_int_attribute_is_refused(value: object) -> None:
    graph = MODELS["attributes"]()
    graph.nodes[0].attributes["group"] = value  # type: ignore[assignment]
    with pytest.raises(InvalidArgumentError, match=r"node 'conv' \(conv\): attribute 'group' must be of type int"):
        write(graph)


# --- saving ---


def test_save_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "model.whit"
    path.write_bytes(b"old")
    save(MODELS["minimal"](), path)
    assert path.read_bytes() == write(MODELS["minimal"]())
    assert os.listdir(tmp_path) == ["model.whit"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_save_keeps_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.whit"
    link.symlink_to(tmp_path / "real" / "model.whit")
    save(MODELS["minimal"](), link)
    assert link.is_symlink()
    assert (tmp_path / "real" / "model.whit").read_bytes() == write(MODELS["minimal"]())


def test_save_of_a_bad_graph_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.whit"
    path.write_bytes(b"old")
    with pytest.raises(InvalidArgumentError):
        save(changed("no outputs"), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.whit"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_while_saving_leaves_nothing_behind(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    path = tmp_path / "model.whit"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        save(MODELS["minimal"](), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.whit"]


def test_save_to_a_directory_or_below_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="is a directory"):
        save(MODELS["minimal"](), tmp_path)
    with pytest.raises(InvalidArgumentError, match="does not exist"):
        save(MODELS["minimal"](), tmp_path / "missing" / "model.whit")
    assert os.listdir(tmp_path) == []


HALVES = np.array([[0.5, 0.25], [1.0, 2.0]], np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": HALVES[:1]}, "scale"),
        ({"scale": np.ones((2, 3), np.float32)}, "scale"),
        ({"scale": np.where(HALVES == 2, 0, HALVES)}, "scale"),
        ({"scale": -HALVES}, "scale"),
        ({"scale": np.where(HALVES == 2, np.inf, HALVES)}, "scale"),
        ({"scale": np.where(HALVES == 2, np.nan, HALVES)}, "scale"),
        ({"scale": HALVES * np.float32(1e6)}, "numbers that f16 has"),
        ({"scale": HALVES * np.float32(1.0001)}, "numbers that f16 has"),
        ({"zero_point": np.ones((2, 2), np.int32)}, "zero point"),
        ({"axis": 0}, "along axis 0"),
        ({"axis": None}, "along axis None"),
        ({"group": 16}, "groups of 16"),
        ({"dtype": "u8", "data": np.zeros((2, 40), np.uint8)}, "only constants of s8"),
        ({"data": None}, "only constants of s8"),
        ({"data": np.zeros(40, np.int8), "shape": (40,)}, "two axes or more"),
        ({"data": np.zeros((0, 40), np.int8), "shape": (0, 40)}, "two axes or more"),
    ],
)
def test_bad_scales_of_groups_are_refused(change: dict, message: str) -> None:
    good = Quantization.by_groups(HALVES, 2)
    verify(groups_of(good))
    write(groups_of(good))
    tensor = {key: change[key] for key in change if key in ("dtype", "data", "shape")}
    graph = groups_of(replace(good, **{key: change[key] for key in change if key not in tensor}), **tensor)
    with pytest.raises(InvalidArgumentError, match=message):
        write(graph)
    with pytest.raises(WhitError, match=message):
        verify(graph)


def groups_of(quantization: Quantization, **change: object) -> Graph:
    data = np.full((2, 40), 3, np.int8)
    return unary(**{"dtype": "s8", "shape": (2, 40), "data": data, "quantization": quantization, **change})
