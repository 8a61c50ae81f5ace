"""Damaged and hostile files: each is refused with a typed error, and both readers agree on which ones."""

from __future__ import annotations

import json
import os
import re
import struct
from pathlib import Path

import decoder
import numpy as np
import pytest
from support import GOLDEN, GOLDEN_FILES, make_v1, rebuilt, with_checksums

import whit
import whit._core
from whit.errors import FormatError, InvalidArgumentError, UnsupportedOperatorError, VersionError, WhitError
from whit.format import encodings, write, writer
from whit.ir import Graph, Node, Quantization, Tensor

MINIMAL = write(make_v1.minimal())
#: Without those whose sections the decoder takes seconds for.
PLAIN_FILES = [path for path in GOLDEN_FILES if "archive" not in path.stem]


def read(file: bytes) -> str:
    """What the C++ reader says: "ok", "format", "version" or "unsupported"."""
    try:
        whit._core.Model(file)
    except VersionError:
        return "version"
    except FormatError as problem:
        return "format" if str(problem).startswith("offset ") else f"no offset: {problem}"
    except UnsupportedOperatorError:
        return "unsupported"
    return "ok"


def decode(file: bytes) -> str:
    """The same of the decoder."""
    try:
        decoder.decode(file)
    except decoder.UnknownVersion:
        return "version"
    except decoder.Unsupported:
        return "unsupported"
    except decoder.Rejected:
        return "format"
    return "ok"


def assert_same_verdict(file: bytes, what: object) -> None:
    got, expected = read(file), decode(file)
    # A file with several faults may be refused for either.
    assert (got == "ok") == (expected == "ok"), (what, got, expected)


def test_cut_anywhere() -> None:
    for length in range(len(MINIMAL)):
        with pytest.raises(FormatError):
            whit._core.Model(MINIMAL[:length])


def test_cut_anywhere_with_right_checksums_and_size() -> None:
    for length in range(32, len(MINIMAL)):
        file = with_checksums(MINIMAL[:16] + struct.pack("<Q", length) + MINIMAL[24:length])
        with pytest.raises(FormatError):
            whit._core.Model(file)


def test_any_flipped_bit() -> None:
    for position in range(len(MINIMAL)):
        for bit in range(8):
            file = bytearray(MINIMAL)
            file[position] ^= 1 << bit
            with pytest.raises(FormatError):
                whit._core.Model(bytes(file))


def test_any_flipped_bit_with_right_checksums() -> None:
    for position in range(len(MINIMAL)):
        for bit in range(8):
            file = bytearray(MINIMAL)
            file[position] ^= 1 << bit
            assert_same_verdict(with_checksums(bytes(file)), (position, bit))


def test_appended_bytes() -> None:
    with pytest.raises(FormatError, match="1 bytes follow"):
        whit._core.Model(MINIMAL + b"\0")
    with pytest.raises(FormatError):
        whit._core.Model(with_checksums(MINIMAL[:16] + struct.pack("<Q", len(MINIMAL) + 64) + MINIMAL[24:] + bytes(64)))


@pytest.mark.parametrize("path", PLAIN_FILES, ids=lambda path: path.stem)
def test_absurd_numbers_with_right_checksums(path: Path) -> None:
    file = path.read_bytes()
    refused = 0
    for field in decoder.decode(file).fields:
        if "encodings" in path.stem and not re.search("encoding|parameter|payload|stored", field.name):
            continue  # the other files have them
        size = struct.calcsize(field.format)
        old = int.from_bytes(file[field.offset : field.offset + size], "little")
        top = 1 << 8 * size
        for value in {0, 1, top - 1, top - 2, top // 2, top // 2 - 1, (old + 1) % top, (old - 1) % top, old ^ 0x40}:
            changed = file[: field.offset] + value.to_bytes(size, "little") + file[field.offset + size :]
            changed = with_checksums(changed)
            assert_same_verdict(changed, (field, value))
            refused += read(changed) != "ok"
    assert refused > 100


@pytest.mark.parametrize("kind", [b"GRPH", b"META", b"TENS", b"DATA"])
def test_cut_and_grown_sections_with_right_checksums(kind: bytes) -> None:
    for path in PLAIN_FILES:
        file = path.read_bytes()
        table = {file[32 + 32 * i : 36 + 32 * i]: struct.unpack_from("<QQ", file, 40 + 32 * i) for i in range(4)}
        offset, size = table[kind]
        content = file[offset : offset + size]
        assert read(rebuilt(file, {})) == "ok"
        for length in range(0, size, 1 if "encodings" not in path.stem else 1 + size // 100):
            assert_same_verdict(rebuilt(file, {kind: content[:length]}), (path, length))
            assert read(rebuilt(file, {kind: content[:length]})) == "format"
        if kind != b"META":
            assert read(rebuilt(file, {kind: content + b"\0"})) == "format"


def test_versions() -> None:
    newer = with_checksums(MINIMAL[:8] + struct.pack("<HH", 2, 0) + MINIMAL[12:])
    with pytest.raises(VersionError, match=r"version 2\.0.*Update whit"):
        whit._core.Model(newer)
    with pytest.raises(VersionError, match=r"version 0\.9"):
        whit._core.Model(with_checksums(MINIMAL[:8] + struct.pack("<HH", 0, 9) + MINIMAL[12:]))
    assert read(with_checksums(MINIMAL[:8] + struct.pack("<HH", 1, 7) + MINIMAL[12:])) == "ok"


def with_field(file: bytes, name: str, number: int, old: int | None = None, skipped: int = 0) -> bytes:
    """`file` with the first field of a name (and value) changed, or one behind it, and right checksums."""
    for field in decoder.decode(file).fields:
        size = struct.calcsize(field.format)
        value = int.from_bytes(file[field.offset : field.offset + size], "little")
        if field.name == name and old in (None, value) and (skipped := skipped - 1) < 0:
            return with_checksums(file[: field.offset] + number.to_bytes(size, "little") + file[field.offset + size :])
    raise AssertionError(f"no field {name!r}")


def test_scales_of_groups() -> None:
    file = write(make_v1.groups())
    assert read(with_field(file, "group scale", 0x0001)) == "ok"  # the smallest one
    for bits in (0x0000, 0x8000, 0x8001, 0x7C00, 0x7C01, 0x7E00, 0xBC00, 0xFC00, 0xFFFF):
        with pytest.raises(FormatError, match=r"offset \d+: tensor 'w': the scale of a group is"):
            whit._core.Model(with_field(file, "group scale", bits))
    for columns in (0, 32, 64, 97, 2**31 - 1):  # so many scales are not there, or too many
        assert read_and_decode(with_field(file, "dimension", columns, old=70, skipped=1), columns) == "format"
    for dtype in ("u8", "s32", "f32", "s4", "p4"):
        with pytest.raises(FormatError, match=f"by groups are for s8 .*; it is {dtype}"):
            whit._core.Model(with_field(file, "dtype", decoder.DTYPES.index(dtype), old=decoder.DTYPES.index("s8")))


@pytest.mark.parametrize("shape", [(), (64,), (0, 64), (2, 0), ("n", 64), (2, "n")])
def test_groups_without_rows(shape: tuple[int | str, ...]) -> None:
    scale = Quantization(np.ones(1, np.float32), np.zeros(1, np.int32))
    tensors = [Tensor("x", "s8", shape, scale), Tensor("y", "f32", shape)]
    file = write(make_v1.graph_of("", tensors, [Node("dequantize_linear", "", ["x"], ["y"])], ["x"], ["y"]))
    with pytest.raises(FormatError, match="for s8 of two axes or more, of fixed sizes"):
        whit._core.Model(with_field(file, "quantization kind", 4, old=1))
    assert decode(with_field(file, "quantization kind", 4, old=1)) == "format"


def test_groups_of_what_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [Tensor("x", "s8", (2, 40), Quantization.by_groups(np.ones((2, 2)), 2)), Tensor("y", "f32", (2, 40))]
    graph = make_v1.graph_of("", tensors, [Node("dequantize_linear", "", ["x"], ["y"])], ["x"], ["y"])
    monkeypatch.setattr(writer, "check_graph", lambda graph, operators: list(graph.tensors.values()))
    assert read_and_decode(write(graph), "an input") == "format"
    with pytest.raises(FormatError, match="tensor 'x' has scales by groups, but is no constant"):
        whit._core.Model(write(graph))


def test_extension_sections() -> None:
    assert read(rebuilt(MINIMAL, {b"SIGN": b"signature"}, flags=1)) == "ok"
    with pytest.raises(UnsupportedOperatorError, match="section SIGN needs a newer version"):
        whit._core.Model(rebuilt(MINIMAL, {b"SIGN": b"signature"}, flags=0))
    damaged = bytearray(rebuilt(MINIMAL, {b"SIGN": b"signature"}, flags=1))
    damaged[-1] ^= 1
    with pytest.raises(FormatError, match=r"section SIGN .* is damaged"):
        whit._core.Model(bytes(damaged))


def test_unknown_encoding_is_named() -> None:
    fields = decoder.decode(MINIMAL).fields
    field = next(field for field in fields if field.name == "encoding")
    for number in (8, 999):
        file = MINIMAL[: field.offset] + struct.pack("<H", number) + MINIMAL[field.offset + 2 :]
        with pytest.raises(UnsupportedOperatorError, match=rf"'c': encoding {number} \(unknown\)"):
            whit._core.Model(with_checksums(file))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"{} ",
        b'{"a":1}x',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":01}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":1e}',
        b'{"a":-}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a" 1}',
        b"{a:1}",
        b'{"a":[1,2}',
        b'{"a":"\x01"}',
        b'{"a":"\\x"}',
        b'{"a":"\\u12g4"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\ud800\\u0041"}',
        b'{"a":"\\udc00"}',
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\xf0\x9f\x98\x80"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"1" * 64 + b"}",
        b'{"a":' + b"1" * 65 + b"}",
        b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
        b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
        b'{"a":' + b"[" * 100000 + b"]" * 100000 + b"}",
        b' {"a" : [ true , false , null , -0.5e-3 , "\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4" ] , "b" : { } }\r\n\t',
    ],
)
def test_metadata(text: bytes) -> None:
    file = rebuilt(MINIMAL, {b"META": text})
    assert_same_verdict(file, text[:80])
    if read(file) == "ok":
        json.loads(whit._core.Model(file).metadata)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\x89WHIT\n\x1a" + bytes(100), "text mode"),
        (b"PK\x03\x04" + bytes(100), "zip archive.*whit compress"),
        (b"\x08\x08\x12\x07pytorch" + bytes(100), "ONNX model.*whit compress"),
        (b"\x1c\0\0\0TFL3" + bytes(100), "TensorFlow Lite"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x93NUMPY\x01\x00", "numpy array"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"hello", "not a .whit file"),
        (b"\x89", "truncated"),
    ],
)
def test_other_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.whit"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        whit.load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(FormatError, match=message):
        whit.load(content)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(WhitError, match="is a directory"):
        whit.load(tmp_path)
    with pytest.raises(WhitError, match=r"missing\.whit: cannot open: No such file"):
        whit.load(tmp_path / "missing.whit")
    with pytest.raises(InvalidArgumentError, match="zero byte"):
        whit.load("a\0b")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(WhitError, match="not a regular file"):
        whit.load(tmp_path / "fifo")


def test_file_and_bytes_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.whit"
    path.write_bytes(MINIMAL)
    core = whit._core.Model
    assert core.from_file(str(path)).tensors() == core(MINIMAL).tensors()


def read_and_decode(file: bytes, what: object) -> str:
    assert_same_verdict(file, what)
    return read(file)


@pytest.mark.parametrize("name", [path.stem for path in GOLDEN_FILES if "_" in path.stem])
def test_changed_payloads_with_right_checksums(name: str) -> None:
    """Whatever stands in DATA, both readers agree on it, to the bit."""
    file = (GOLDEN / "v1" / f"{name}.whit").read_bytes()
    level = name.split("_")[1]
    if level == "archive":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer, "_section", lambda kind, content, level: (kind, 0, content))
            patch.setattr(encodings.Encoder, "CHAIN", 1000)
            file = write(small(make_v1.encodings()), level)
    offset, size = struct.unpack_from("<QQ", file, 32 + 3 * 32 + 8)
    data = file[offset : offset + size]
    random = np.random.default_rng(5)
    accepted = 0
    for _ in range(150 if level != "archive" else 25):
        changed = bytearray(data)
        changed[random.integers(size)] ^= 1 << random.integers(8)
        other = rebuilt(file, {b"DATA": bytes(changed)})
        if read_and_decode(other, "payload") == "ok":
            accepted += 1
            model = whit._core.Model(other)
            for tensor in decoder.decode(other).tensors:
                assert tensor.values is None or tensor.values == model.constant(tensor.name)
    assert accepted > (0 if level != "archive" else -1)


def small(graph: Graph) -> Graph:
    """Without the large constants."""
    large = {name for name, tensor in graph.tensors.items() if tensor.data is not None and tensor.data.size > 100}
    graph.nodes = [node for node in graph.nodes if node.inputs[0] not in large]
    graph.outputs = [name for name in graph.outputs if name[:-1] not in large]
    graph.prune()
    return graph


def test_coded_sections() -> None:
    content = b'{"text":"' + b"abcdefgh" * 20 + b'"}'
    coded = whit._core.encode_bytes(content)
    assert len(coded) < 60
    offset = 32 + 32 + 4  # flags of the second section

    def file(stored: bytes, flags: int = 2) -> bytes:
        data = bytearray(rebuilt(MINIMAL, {b"META": stored}))
        struct.pack_into("<I", data, offset, flags)
        return with_checksums(bytes(data))

    size = struct.pack("<I", len(content))
    assert read_and_decode(file(size + coded), "whole") == "ok"
    assert whit._core.Model(file(size + coded)).metadata == content.decode()
    assert read_and_decode(file(size + coded + b"\0"), "a zero more") == "format"
    assert read_and_decode(file(size + coded[:-1]), "cut") == "format"
    assert read_and_decode(file(b"\0\0\0"), "no size") == "format"
    assert read_and_decode(file(struct.pack("<I", 2**32 - 1) + coded), "4 GB") == "format"
    assert read_and_decode(file(struct.pack("<I", 256 * len(coded) + 1) + coded), "too large") == "format"
    assert read_and_decode(file(size + coded, flags=3), "optional") == "format"
    data_flags = bytearray(MINIMAL)
    struct.pack_into("<I", data_flags, 32 + 3 * 32 + 4, 2)
    assert read_and_decode(with_checksums(bytes(data_flags)), "DATA") == "format"
    other = bytearray(rebuilt(MINIMAL, {b"SIGN": bytes(8)}, flags=3))
    assert read_and_decode(bytes(other), "another section") == "format"


def constant(
    elements: int | tuple[int, ...], encoding: int, parameters: bytes, payload: bytes, dtype: str = "u8"
) -> bytes:
    """A file with one constant `c` of a number or shape of elements, stored as told."""
    shape = (elements,) if isinstance(elements, int) else elements
    tensors = [Tensor("c", "u8", shape, data=np.zeros(shape, np.uint8)), Tensor("y", "u8", shape)]
    node = Node("transpose", "", ["c"], ["y"], {"perm": list(range(len(shape)))})
    file = bytearray(write(make_v1.graph_of("", tensors, [node], [], ["y"])))
    for field in decoder.decode(bytes(file)).fields:
        if field.name == "dtype":
            file[field.offset] = decoder.DTYPES.index(dtype)
    entry = struct.pack("<IIHI", 1, 0, encoding, len(parameters)) + parameters + struct.pack("<QQ", 0, len(payload))
    return rebuilt(bytes(file), {b"TENS": entry, b"DATA": payload})


HUFFMAN = bytes([1, 0, 1, 0x11]) + bytes([1, 0, 0, 0, 0, 0, 0b10])  # two symbols of one bit each
RANS = bytes([2, 7, 7]) + bytes([0x0D, 0]) + bytes([0, 0, 1, 0]) * 8  # one symbol, 7
GAPS = struct.pack("<III", 1, 2, 2)  # one value, two gaps in two bytes


@pytest.mark.parametrize(
    ("elements", "encoding", "parameters", "payload", "values"),
    [
        (3, 1, b"\x02\x05", b"\x36", b"\x07\x06\x08"),
        (3, 1, b"\x02\x05", b"\x76", None),  # an unused bit
        (3, 1, b"\x02\xff", b"\x36", b"\x01\x00\x02"),  # modulo 256
        (3, 1, b"\x00\x05", b"", None),
        (3, 1, b"\x08\x05", b"\1\2\3", None),
        (3, 1, b"\x02", b"\x36", None),
        (3, 1, b"\x02\x05\x00", b"\x36", None),
        (3, 2, b"\x01\x0a\x14\x01\x01\x00", b"\x05", b"\x14\x0a\x14"),
        (3, 2, b"\x01\x0a\x14\x01\x02\x00", b"\x11", b"\x14\x0a\x14"),
        (3, 2, b"\x01\x0a\x14\x01\x02\x00", b"\x12", None),  # index 2 of 2
        (3, 2, b"\x00\x0a\x02\x00\x0b\x00", b"\0\0\0", None),  # a palette of a palette
        (3, 2, b"\x01\x0a", b"\0\0\0", None),
        (3, 5, b"\x00", b"\x04\x00\1\2\3", b"\1\2\3"),
        (3, 5, b"\x00", b"\x84\x00\x00\1\2\3", None),  # the size is not the shortest varint
        (3, 5, b"\x00", b"\x04\x00\1\2\3\0", None),
        (3, 5, b"\x00", b"\x04\x03\1\2\3", None),  # mode 3
        (3, 5, b"\x00", b"\x04\x00\1\2", None),
        (3, 5, b"\x03", b"\x04\x00\1\2\3", None),  # coder 3
        (3, 5, b"\x02\x00", b"", None),  # continues none
        (256, 5, b"\x01\x00", b"\x00", None),
        (257, 5, b"\x01\x00", b"\xff", None),  # too many for a byte
        (2, 5, b"\x00", bytes([37]) + RANS, b"\7\7"),
        (9000, 5, b"\x00", bytes([37]) + RANS, b"\7" * 9000),
        (9473, 5, b"\x00", bytes([37]) + RANS, b"\7" * 9473),
        (10000, 5, b"\x00", bytes([37]) + RANS, None),
        (10000, 5, b"\x00", bytes([37]) + RANS + b"\0\0", b"\7" * 10000),
        (10000, 5, b"\x00", bytes([37]) + RANS + b"\0\1", None),
        (9000, 5, b"\x00", bytes([38]) + RANS + b"\0", None),
        (2, 5, b"\x00", bytes([37]) + RANS[:-1] + b"\1", None),  # another last state
        (1, 5, b"\x00", bytes([12]) + HUFFMAN + b"\0", None),
        (1, 5, b"\x00", bytes([11]) + HUFFMAN, None),  # a bit left, and streams that should be empty
        (5, 7, GAPS + b"\x03\x09\x00\x00", b"\x03\x00\x05", b"\x09\x09\x09\x05\x09"),
        (5, 7, GAPS + b"\x03\x09\x00\x00", b"\x03\x02\x05", None),  # beyond the end
        (5, 7, GAPS + b"\x03\x09\x00\x00", b"\x00\x00\x05", None),  # two gaps that end, one value
        (5, 7, GAPS + b"\x02\x09\x00\x00", b"\x03\x00\x05", None),  # longer than the longest
        (5, 7, GAPS + b"\x00\x09\x00\x00", b"\x00\x00\x05", None),
        (5, 7, GAPS + b"\x03\x09\x00\x07", b"\x03\x00\x05", None),  # sparse values of sparse values
        (5, 7, struct.pack("<III", 2**32 - 1, 2**32 - 1, 2) + b"\x03\x09\x00\x00", b"\x03\x00\x05", None),
        (1000, 7, GAPS + b"\xff\x09\x00\x00", b"\xff\x00\x05", None),  # too many for three bytes
        (3, 6, b"\x00\x00\x00\x00\x80\x3f\x00", b"\1\2\3", None),  # u8 is not f32
        (0, 1, b"\x02\x05", b"", None),  # what is empty is dense
    ],
)
def test_encodings_by_hand(
    elements: int, encoding: int, parameters: bytes, payload: bytes, values: bytes | None
) -> None:
    file = constant(elements, encoding, parameters, payload)
    verdict = read_and_decode(file, (encoding, parameters, payload))
    assert (verdict == "ok") == (values is not None)
    if values is not None:
        assert whit._core.Model(file).constant("c") == values


def bits(text: str) -> bytes:
    """Fields of bits, each byte filled from its lowest one up."""
    return np.packbits([int(bit) for bit in text.replace(" ", "")], bitorder="little").tobytes()


def csr(
    rows: int = 1, columns: int = 1, entries: int = 3, counts: int = 2, gaps: int = 2, nested: bytes = b"\0\0"
) -> bytes:
    return struct.pack("<BBIII", rows, columns, entries, counts, gaps) + b"\x09" + nested


#: 2 x 10 values, of which 1, 4 and 19 are not 9: low parts of two bits in the first row, of three in the second.
PLACES = bits("1 10  1 01  01 100")
ROW_164 = b"\x09" * 464 + b"\5" + b"\x09" * 135  # of 2 x 300
ROWS = bytes([9, 1, 9, 9, 2, *[9] * 14, 3])


@pytest.mark.parametrize(
    ("shape", "parameters", "payload", "values"),
    [
        ((2, 10), csr(), b"\2\1" + PLACES + b"\1\2\3", ROWS),
        ((2, 2, 5), csr(), b"\2\1" + PLACES + b"\1\2\3", ROWS),
        ((2, 10), csr(gaps=3), b"\2\1" + PLACES + b"\0\1\2\3", None),  # a byte after the last gap
        ((2, 10), csr(), b"\2\1" + bits("1 10  1 01  01 100 00001") + b"\1\2\3", None),  # a bit
        ((2, 10), csr(gaps=1), b"\2\1" + PLACES[:1] + b"\1\2\3", None),
        ((2, 10), csr(), b"\2\1" + bits("1 10  1 01  01 010") + b"\1\2\3", None),  # place 10 of row 1
        ((2, 10), csr(), b"\2\1" + bits("01 01  1 11  1 000") + b"\1\2\3", None),  # places 6 and 10 of row 0
        ((2, 10), csr(), b"\2\1" + bits("0000000000 00001") + b"\1\2\3", None),
        ((2, 10), csr(), b"\2\1" + b"\0\0" + b"\1\2\3", None),
        ((2, 10), csr(), b"\2\2" + PLACES + b"\1\2\3", None),  # four entries
        ((2, 10), csr(), b"\2\0" + PLACES + b"\1\2\3", None),  # two
        ((2, 10), csr(), b"\x0b\1" + PLACES + b"\1\2\3", None),  # eleven in a row of ten
        ((2, 10), csr(), b"\xff\xff" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(), b"\2\1" + PLACES + b"\1\2", None),
        ((2, 10), csr(), b"\2\1" + PLACES + b"\1\2\3\4", None),
        ((2, 10), csr(counts=1), b"\2" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(counts=2**32 - 1), b"\2\1" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(gaps=2**32 - 1), b"\2\1" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(counts=5, gaps=3), b"\2\1" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(entries=21), b"\2\1" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(entries=2**32 - 1), b"\2\1" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(rows=0), b"\2\1" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(columns=0), b"\2\1" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(rows=3, entries=1, counts=1), b"\1" + bits("1 000") + bytes(3), None),
        ((2, 10), csr(columns=4, entries=1), b"\1\0" + bits("1 0") + bytes(4), None),
        ((2, 10), csr(nested=b"\3\0"), b"\2\1" + PLACES + b"\1\2\3", None),  # within itself
        ((2, 10), csr(nested=b"\0"), b"\2\1" + PLACES + b"\1\2\3", None),
        ((2, 10), csr()[:-3], b"\2\1" + PLACES + b"\1\2\3", None),
        ((2, 10), csr(nested=b"\1\1\1\1\2\1", counts=1), bits("1 0") + PLACES + bits("00 10 01"), ROWS),
        ((2, 10), csr(entries=0, gaps=0), b"\0\0", b"\x09" * 20),
        ((2, 10), csr(entries=20), b"\x0a\x0a" + bits("1" * 20) + bytes(range(20)), None),
        ((2, 10), csr(entries=20, gaps=3), b"\x0a\x0a" + bits("1" * 20) + bytes(range(20)), bytes(range(20))),
        ((2, 4), csr(2, 2, 1, 1, 1), b"\1" + bits("01") + b"\1\2\3\4", b"\x09\x09\1\2\x09\x09\3\4"),
        ((2, 4), csr(1, 4, 1, 2, 1), b"\0\1" + bits("1") + b"\1\2\3\4", b"\x09\x09\x09\x09\1\2\3\4"),
        ((2, 300), csr(entries=1, counts=4, gaps=2), b"\0\0\1\0" + bits("1 00100101") + b"\5", ROW_164),
        ((2, 300), csr(entries=1, counts=4, gaps=2), b"\0\0\1\0" + bits("01 00110100") + b"\5", None),
        ((1, 3000), csr(entries=1, counts=2, gaps=2), b"\1\0" + bits("1 0000000000") + b"\5", None),  # in 5 bytes
    ],
)
def test_csr_by_hand(shape: tuple[int, ...], parameters: bytes, payload: bytes, values: bytes | None) -> None:
    file = constant(shape, 3, parameters, payload)
    verdict = read_and_decode(file, (parameters, payload))
    assert (verdict == "ok") == (values is not None)
    if values is not None:
        assert whit._core.Model(file).constant("c") == values


@pytest.mark.parametrize(("place", "verdict"), [(0, "ok"), (1023, "ok"), (1024, "ok"), (1499, "ok"), (1500, "format")])
def test_last_place_of_a_row(place: int, verdict: str) -> None:
    high, low = divmod(place, 2**10)
    gap = bits("0" * high + "1" + f"{low:010b}"[::-1])
    value = struct.pack("<f", 1.5)
    parameters = struct.pack("<BBIIIf", 1, 1, 1, 2, len(gap), 0.0) + b"\0\0"
    file = constant((1, 1500), 3, parameters, b"\1\0" + gap + value, "f32")
    assert read_and_decode(file, place) == verdict
    if verdict == "ok":
        assert whit._core.Model(file).constant("c") == bytes(4 * place) + value + bytes(4 * (1499 - place))


MASKS = struct.pack("<II", 3, 2) + b"\x09"


@pytest.mark.parametrize(
    ("elements", "parameters", "payload", "values"),
    [
        (10, MASKS + b"\0\0", b"\x12\x02\1\2\3", b"\x09\1\x09\x09\2\x09\x09\x09\x09\3"),
        (10, MASKS + b"\0\0", b"\x12\x04\1\2\3", None),  # an unused bit
        (10, MASKS + b"\0\0", b"\x12\x03\1\2\3", None),  # four bits for three values
        (10, MASKS + b"\0\0", b"\x12\x00\1\2\3", None),
        (10, MASKS + b"\0\0", b"\x12\x02\1\2", None),
        (10, MASKS + b"\0\0", b"\x12\x02\1\2\3\4", None),
        (10, MASKS + b"\0\0", b"\x12", None),
        (10, MASKS + b"\4\0", b"\x12\x02\1\2\3", None),  # within itself
        (10, MASKS + b"\0", b"\x12\x02\1\2\3", None),
        (10, MASKS + b"\0\0\0", b"\x12\x02\1\2\3", None),
        (17, MASKS + b"\0\0", b"\x12\x02\1\2\3", None),  # two masks of three
        (8, MASKS + b"\0\0", b"\x12\x02\1\2\3", None),
        (2, MASKS + b"\0\0", b"\x12\x02\1\2\3", None),
        (10, struct.pack("<II", 2**32 - 1, 2) + b"\x09\0\0", b"\x12\x02\1\2\3", None),
        (10, struct.pack("<II", 3, 2**32 - 1) + b"\x09\0\0", b"\x12\x02\1\2\3", None),
        (10, struct.pack("<II", 3, 1) + b"\x09\1\4\x02\0", b"\x00\1\2\3", None),
        (
            16,
            struct.pack("<II", 4, 1) + b"\x09\1\4\x03\0",
            b"\x00\1\2\3\4",
            b"\1\2" + b"\x09" * 6 + b"\3\4" + b"\x09" * 6,
        ),
        (300, struct.pack("<II", 0, 38) + b"\x09\0\0", bytes(38), b"\x09" * 300),
        (3000, struct.pack("<II", 0, 1) + b"\x09\2\0\0\1\1\0\0", b"\0", None),  # in a byte
    ],
)
def test_bitmap_by_hand(elements: int, parameters: bytes, payload: bytes, values: bytes | None) -> None:
    file = constant(elements, 4, parameters, payload)
    verdict = read_and_decode(file, (parameters, payload))
    assert (verdict == "ok") == (values is not None)
    if values is not None:
        assert whit._core.Model(file).constant("c") == values


@pytest.mark.parametrize(
    ("parameters", "values"),
    [
        (b"\x00\x00" + struct.pack("<f", 0.1) + b"\x00", [0, 100, 200]),
        (b"\x01\x00" + struct.pack("<f", -0.1) + b"\x00", [0, 100, -56]),
        (b"\x04\x01" + struct.pack("<fffhhh", 0.1, 1e38, -0.0, -5, 90, 300) + b"\x00", None),
        (b"\x02\x00" + struct.pack("<e", 6e-8) + b"\x00", [0, 100, 200]),
        (b"\x00\x00" + struct.pack("<f", np.inf) + b"\x00", "refused"),
        (b"\x00\x02" + struct.pack("<ff", 1, 1) + b"\x00", "refused"),  # groups longer than a plane
        (b"\x08\x00" + struct.pack("<f", 1) + b"\x00", "refused"),
        (b"\x00\x00" + struct.pack("<f", 1), "refused"),
    ],
)
def test_linear_by_hand(parameters: bytes, values: object) -> None:
    file = constant(3, 6, parameters, bytes([0, 100, 200]), dtype="f32")
    assert (read_and_decode(file, parameters) == "ok") == (values != "refused")
    if values == "refused":
        return
    model = whit._core.Model(file)
    assert model.constant("c") == next(tensor.values for tensor in decoder.decode(file).tensors if tensor.name == "c")
    if isinstance(values, list):
        half = parameters[0] & 2
        scale = np.frombuffer(parameters, np.float16 if half else np.float32, 1, 2).astype(np.float32)
        assert model.constant("c") == (np.array(values, np.float32) * scale).tobytes()


def test_payloads_that_are_not_dense_are_shared_by_tensors_of_a_kind_only() -> None:
    file = (GOLDEN / "v1" / "encodings_packed.whit").read_bytes()
    fields = decoder.decode(file).fields
    places = [field.offset for field in fields if field.name in ("payload offset", "payload bytes")]
    first, second = places[0:2], places[2:4]  # small, weights
    changed = bytearray(file)
    for source, target in zip(first, second, strict=True):
        changed[target : target + 8] = file[source : source + 8]
    assert read_and_decode(with_checksums(bytes(changed)), "shared") == "format"


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_entropy_coded_values_of_less_than_a_byte(bits: int) -> None:
    dtype = {1: "b1", 2: "t2", 4: "s4"}[bits]
    codes = (np.arange(50) ** 2 // 3) % (3 if bits == 2 else 2**bits)
    codes = np.where(codes == 2, 3, codes) if bits == 2 else codes
    packed = np.packbits(
        ((codes[:, None] >> np.arange(bits)) & 1).astype(np.uint8).ravel(), bitorder="little"
    ).tobytes()
    for parameters, payload in (
        (b"\0", whit._core.encode_values(packed, bits, False)),
        (b"\1\0", whit._core.AdaptiveEncoder().encode(packed, bits, False, 8 * len(packed) // bits, 1, 0)),
    ):
        elements = len(packed) * 8 // bits
        file = constant(elements, 5, parameters, payload, dtype)
        assert read_and_decode(file, bits) == "ok"
        assert whit._core.Model(file).constant("c") == packed


def stored(dtype: str, elements: int, payload: bytes) -> bytes:
    """A file with one constant of any dtype: written as u8, then renamed."""
    names = (("c", np.frombuffer(payload, np.uint8)), ("y", None))
    tensors = [Tensor(name, "u8", (len(payload),), data=data) for name, data in names]
    graph = make_v1.graph_of("", tensors, [Node("transpose", "", ["c"], ["y"], {"perm": [0]})], [], ["y"])
    file = bytearray(write(graph))
    for field in decoder.decode(bytes(file)).fields:
        if field.name == "dtype":
            file[field.offset] = decoder.DTYPES.index(dtype)
        elif field.name == "dimension":
            struct.pack_into("<i", file, field.offset, elements)
    return with_checksums(bytes(file))


@pytest.mark.parametrize(
    ("dtype", "elements", "payload", "verdict"),
    [
        ("b1", 8, b"\xff", "ok"),
        ("b1", 7, b"\x7f", "ok"),
        ("b1", 7, b"\xff", "format"),  # an unused bit is set
        ("b1", 9, b"\xff\x01", "ok"),
        ("b1", 9, b"\xff\x03", "format"),
        ("b1", 9, b"\xff", "format"),  # too few bytes
        ("b1", 8, b"\xff\x00", "format"),  # too many bytes
        ("s4", 3, b"\xe1\x03", "ok"),
        ("s4", 3, b"\xe1\x13", "format"),
        ("p4", 2, b"\xff", "ok"),
        ("t2", 4, b"\x4d", "ok"),  # 1, -1, 0, 1
        ("t2", 4, b"\xff", "ok"),
        ("t2", 4, b"\x02", "format"),  # 0b10
        ("t2", 4, b"\x8d", "format"),
        ("t2", 3, b"\x3d", "ok"),
        ("t2", 3, b"\x7d", "format"),
        ("t2", 5, b"\x00\x01", "ok"),
        ("t2", 5, b"\x00\x02", "format"),
    ],
)
def test_values_of_less_than_a_byte(dtype: str, elements: int, payload: bytes, verdict: str) -> None:
    file = stored(dtype, elements, payload)
    assert read(file) == decode(file) == verdict
    if verdict == "ok":
        assert whit._core.Model(file).tensors()[0]["bytes"] == len(payload)


@pytest.mark.parametrize("path", sorted((GOLDEN.parent / "fuzz" / "corpus").iterdir()), ids=lambda path: path.name)
def test_fuzz_seeds_get_past_the_checks(path: Path) -> None:
    assert read(path.read_bytes()) == decode(path.read_bytes()) == "ok"
