"""Damaged and hostile files: each is refused with a typed error, and both readers agree on which ones."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import decoder
import numpy as np
import pytest
from support import GOLDEN, GOLDEN_FILES, make_v1, rebuilt, with_checksums

import whit
import whit._core
from whit.errors import FormatError, InvalidArgumentError, UnsupportedOperatorError, VersionError, WhitError
from whit.format import write
from whit.ir import Node, Tensor

MINIMAL = write(make_v1.minimal())


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


@pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)
def test_absurd_numbers_with_right_checksums(path: Path) -> None:
    file = path.read_bytes()
    refused = 0
    for field in decoder.decode(file).fields:
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
    for path in GOLDEN_FILES:
        file = path.read_bytes()
        table = {file[32 + 32 * i : 36 + 32 * i]: struct.unpack_from("<QQ", file, 40 + 32 * i) for i in range(4)}
        offset, size = table[kind]
        content = file[offset : offset + size]
        assert read(rebuilt(file, {})) == "ok"
        for length in range(size):
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
    for number, name in ((2, "palette"), (5, "entropy_coded"), (999, "unknown")):
        file = MINIMAL[: field.offset] + struct.pack("<H", number) + MINIMAL[field.offset + 2 :]
        with pytest.raises(UnsupportedOperatorError, match=rf"'c': encoding {number} \({name}\)"):
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
