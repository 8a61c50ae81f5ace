"""Levels of writing: whatever they do, the values are the same to the bit."""

from __future__ import annotations

from pathlib import Path

import decoder
import numpy as np
import pytest
from support import GOLDEN, make_v1

import whit._core
from whit.errors import InvalidArgumentError
from whit.format import save, write
from whit.format.encodings import LEVELS
from whit.ir import Graph, LinearCodes, Node, Tensor

DTYPES = {"i1": "s8", "u1": "u8", "i2": "s16", "i4": "s32", "f2": "f16", "f4": "f32"}


def graph_of(constants: dict[str, np.ndarray], codes: dict[str, LinearCodes] | None = None) -> Graph:
    """Constants, each transposed by nothing into an output."""
    tensors, nodes = [], []
    for name, data in constants.items():
        dtype = DTYPES[data.dtype.str[1:]]
        tensors.append(Tensor(name, dtype, data.shape, data=data, codes=(codes or {}).get(name)))
        tensors.append(Tensor(f"{name}_", dtype, data.shape))
        nodes.append(Node("transpose", "", [name], [f"{name}_"], {"perm": list(range(data.ndim))}))
    return make_v1.graph_of("", tensors, nodes, [], [f"{name}_" for name in constants])


def assert_same(file: bytes, graph: Graph, python: bool = False) -> None:
    model = whit._core.Model(file)
    values = {tensor.name: tensor.values for tensor in decoder.decode(file).tensors} if python else {}
    for name, tensor in graph.tensors.items():
        if tensor.data is not None:
            expected = tensor.data.astype(tensor.data.dtype.newbyteorder("<")).tobytes()
            assert model.constant(name) == expected, name
            assert not python or values[name] == expected, name


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "kind", ["any", "few", "narrow", "zeros", "mostly zeros", "one", "nothing", "scalar", "special"]
)
def test_values_come_back(level: str, dtype: str, kind: str) -> None:
    random = np.random.default_rng(1)
    size = {"one": 1, "nothing": 0, "scalar": 1}.get(kind, 180)
    data = random.integers(0, 256, size * int(dtype[1]), np.uint8).view("<" + dtype)
    if kind == "few":
        data = data[random.integers(0, 3, size)]
    elif kind == "narrow":
        data = random.normal(0, 3, size).astype("<" + dtype)
    elif kind == "zeros":
        data = np.zeros(size, "<" + dtype)
    elif kind == "mostly zeros":
        data = np.where(random.random(size) < 0.05, data, data.dtype.type(0))
    elif kind == "special" and dtype[0] == "f":
        data = np.resize(np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, 1.0], "<" + dtype), size)
    shape = {0: (0, 3), 1: () if kind == "scalar" else (1,)}.get(size, (5, 3, 3, 4))
    graph = graph_of({"c": data.reshape(shape)})
    assert_same(write(graph, level), graph, python=kind in ("few", "narrow", "special"))


def test_arrays_of_any_layout_and_byte_order() -> None:
    plain = (np.arange(60) % 7).reshape(5, 12)
    for level in LEVELS:
        for dtype in ("f4", "i4", "i2", "i1"):
            expected = write(graph_of({"c": plain.astype("<" + dtype)}), level)
            for same in (plain.astype(">" + dtype), np.asfortranarray(plain.astype("<" + dtype))):
                assert write(graph_of({"c": same}), level) == expected


def test_large_tensors_on_many_threads() -> None:
    random = np.random.default_rng(2)
    graph = graph_of({f"w{i}": random.normal(0, 9, (300, 700)).astype(np.int8) for i in range(3)})
    assert_same(write(graph, "coded"), graph)
    assert len(write(graph, "coded")) < 0.66 * len(write(graph))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("scales", "group"), [((1,), 0), ((6,), 0), ((6, 20), 1), ((6, 3), 7), ((6, 1), 20), ((6, 1), 50)]
)
@pytest.mark.parametrize("zeros", [False, True])
def test_linear_codes(level: str, signed: bool, scales: tuple[int, ...], group: int, zeros: bool) -> None:
    random = np.random.default_rng(3)
    codes = random.integers(-4 if signed else 0, 12, (6, 4, 5)).astype(np.int8 if signed else np.uint8)
    scale = random.random(scales).astype(np.float32)
    zero_point = random.integers(-300, 300, scales).astype(np.int32) * zeros
    linear = LinearCodes(codes, scale, zero_point, group)
    graph = graph_of({"w": linear.dequantize()}, {"w": linear})
    assert_same(write(graph, level), graph, python=level != "archive")


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (1, 4), (1, 8), (2, 1), (4, 1), (8, 1), (4, 4)])
@pytest.mark.parametrize("dtype", ["i1", "f4"])
def test_pruned_blocks(rows: int, columns: int, dtype: str) -> None:
    """The places of entries take little more than their entropy, and one is stored for a whole block."""
    random = np.random.default_rng(5)
    density = np.linspace(0.02, 0.2, 128 // rows)[:, None]
    is_entry = random.random((128 // rows, 320 // columns)) < density
    mask = np.kron(is_entry, np.ones((rows, columns), bool))
    weights = (np.where(mask, random.integers(1, 128, mask.shape), 0) * random.choice([-1, 1], mask.shape)).astype(
        dtype
    )
    if dtype == "f4":
        weights = (weights + random.random(mask.shape) * mask).astype("<f4")
    graph = graph_of({"w": weights.reshape(128, 2, 2, 80)})
    for level in ("packed", "coded"):
        file = write(graph, level)
        assert_same(file, graph, python=True)
        stored = next(tensor for tensor in whit._core.Model(file).tensors() if tensor["constant"])
        assert stored["encoding"] == "csr"
        entropy = -(density * np.log2(density) + (1 - density) * np.log2(1 - density)).sum() * is_entry.shape[1] / 8
        assert stored["stored_bytes"] < 1.08 * entropy + mask.sum() * weights.itemsize + is_entry.shape[0] + 30


@pytest.mark.parametrize("zeros", [0.2, 0.3, 0.45])
def test_a_bit_for_each_value(zeros: float) -> None:
    random = np.random.default_rng(6)
    weights = np.where(random.random((64, 90)) < zeros, 0, random.integers(-128, 128, (64, 90))).astype(np.int8)
    graph = graph_of({"w": weights})
    file = write(graph, "packed")
    assert_same(file, graph, python=True)
    stored = next(tensor for tensor in whit._core.Model(file).tensors() if tensor["constant"])
    assert (stored["encoding"], stored["stored_bytes"]) == ("bitmap", 11 + 64 * 90 // 8 + np.count_nonzero(weights))


def test_codes_that_do_not_fit_are_refused() -> None:
    linear = LinearCodes(np.ones((2, 3), np.int8), np.ones(1, np.float32), np.zeros(1, np.int32))
    data = linear.dequantize()
    for codes, message in (
        (LinearCodes(linear.codes * 2, linear.scale, linear.zero_point), "do not give its data"),
        (LinearCodes(linear.codes.astype(np.int16), linear.scale, linear.zero_point), "not s8 or u8"),
        (LinearCodes(linear.codes, linear.scale, linear.zero_point + 40000), "within s16"),
        (LinearCodes(linear.codes, linear.scale * np.inf, linear.zero_point), "not finite"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            write(graph_of({"w": data}, {"w": codes}))
    with pytest.raises(InvalidArgumentError, match="dtype f32"):
        write(graph_of({"w": np.ones((2, 3), np.int8)}, {"w": linear}))


def test_unknown_level() -> None:
    with pytest.raises(InvalidArgumentError, match="levels are dense, packed, coded, archive"):
        write(graph_of({"c": np.zeros(3, np.int8)}), "smallest")


def test_each_level_is_smaller(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    pruned = np.where(random.random((50, 80)) < 0.1, random.integers(-7, 8, (50, 80)), 0)
    linear = LinearCodes(pruned.astype(np.int8), np.array([0.01], np.float32), np.zeros(1, np.int32))
    graph = graph_of({"w": linear.dequantize(), "b": random.normal(0, 1, 50).astype("<f4")}, {"w": linear})
    sizes = []
    for level in LEVELS:
        save(graph, tmp_path / "model.whit", level)
        sizes.append((tmp_path / "model.whit").stat().st_size)
        assert (tmp_path / "model.whit").read_bytes() == write(graph, level)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 14


@pytest.mark.parametrize("level", LEVELS)
def test_minor_version(level: str) -> None:
    assert decoder.decode(write(make_v1.encodings(), level, minor=2)).version == (1, 0 if level == "dense" else 2)
    newest = {"dense": 0, "packed": 3, "coded": 3, "archive": 2}[level]
    assert decoder.decode(write(make_v1.pruned(), level)).version == (1, newest)
    if level == "archive":
        with pytest.raises(InvalidArgumentError, match=r"in version 1\.1 of the format: it needs 1\.2"):
            write(make_v1.pruned(), level, minor=1)


def test_golden_files_have_every_encoding_and_coder() -> None:
    """In what they store, so that they stay readable."""
    seen = set()
    for path in (GOLDEN / "v1").glob("*_*.whit"):
        for tensor in whit._core.Model(path.read_bytes()).tensors():
            if tensor["constant"]:
                seen.add(tensor["encoding"])
    assert seen == {"dense", "bit_packed", "palette", "csr", "bitmap", "linear", "sparse", "entropy_coded"}
