"""A second reader of .whit files, in plain Python, laid out like docs/FORMAT.md and independent of the package.

It follows the document to the letter, including every rule about files to reject, and takes the operators from the
document's table. It is slow and keeps everything in memory: it exists to check the document and the C++ reader. The
encodings of tensors are in decoder_values.py, the entropy coders in decoder_coders.py.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from decoder_coders import Chain, Rejected, Unsupported, decode_bytes, require
from decoder_values import Values, decode_values

DOCUMENT = Path(__file__).parents[3] / "docs" / "FORMAT.md"


class UnknownVersion(Rejected):
    """Another major version."""


# --- CRC-32C ---

TABLE = []
for value in range(256):
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    TABLE.append(value)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


# --- Primitive types ---


@dataclass
class Field:
    """Where a number stands in the file; the tests change these."""

    name: str
    offset: int
    format: str


@dataclass
class Cursor:
    data: bytes
    base: int
    fields: list[Field]
    at: int = 0

    def take(self, count: int) -> bytes:
        require(count <= len(self.data) - self.at, "the section is too short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, format: str, name: str) -> int:
        self.fields.append(Field(name, self.base + self.at, format))
        return struct.unpack("<" + format, self.take(struct.calcsize(format)))[0]

    def numbers(self, format: str, count: int, name: str) -> list:
        require(count * struct.calcsize(format) <= len(self.data) - self.at, "the section is too short")
        return [self.number(format, name) for _ in range(count)]

    def parameters(self) -> bytes:
        """As fields of one byte each, for the tests."""
        count = self.number("I", "parameter bytes")
        self.fields += [Field("parameter", self.base + self.at + i, "B") for i in range(min(count, 64))]
        return self.take(count)

    def text(self, name: str) -> str:
        length = self.number("H", name + " length")
        require(length <= 1024, "text is too long")
        try:
            text = self.take(length).decode()
        except UnicodeDecodeError as problem:
            raise Rejected("not UTF-8") from problem
        require(not re.search("[\x00-\x1f\x7f-\x9f]", text), "a control character")
        return text

    def count(self, limit: int, name: str) -> int:
        count = self.number("I", name)
        require(count <= limit, f"{name} is too large")
        return count

    def finish(self) -> None:
        require(self.at == len(self.data), "bytes after the end of the section's contents")


# --- Header and section table ---

MAGIC = bytes.fromhex("89 57 48 49 54 0d 0a 1a")


@dataclass
class Section:
    offset: int
    data: bytes


def align(offset: int) -> int:
    return (offset + 63) // 64 * 64


def read_sections(file: bytes, fields: list[Field]) -> tuple[tuple[int, int], dict[bytes, Section]]:
    require(len(file) >= 32 and file[:8] == MAGIC, "not a .whit file")
    header = Cursor(file[8:32], 8, fields)
    major, minor = header.number("H", "major"), header.number("H", "minor")
    if major != 1:
        raise UnknownVersion(f"{major}.{minor}")
    count = header.number("I", "section count")
    file_bytes = header.number("Q", "file bytes")
    crc = header.number("I", "header crc")
    reserved = header.number("I", "header reserved")
    require(count <= 64, "too many sections")
    table_end = 32 + 32 * count
    require(table_end <= len(file), "the section table is cut")
    require(crc == crc32c(file[:24] + bytes(4) + file[28:table_end]), "header checksum")
    require(reserved == 0, "reserved field")
    require(file_bytes == len(file), "file size")

    sections: dict[bytes, Section] = {}
    seen = set()
    table = Cursor(file[32:table_end], 32, fields)
    end = table_end
    for _ in range(count):
        kind = struct.pack("<I", table.number("I", "section type"))
        flags = table.number("I", "section flags")
        offset, size = table.number("Q", "section offset"), table.number("Q", "section bytes")
        crc, reserved = table.number("I", "section crc"), table.number("I", "section reserved")
        require(re.fullmatch(rb"[A-Za-z0-9_]{4}", kind) is not None, "section type")
        require(flags < 4, "section flags")
        require(reserved == 0, "reserved field")
        require(offset == align(end), "section offset")
        require(offset + size <= len(file), "section size")
        require(not any(file[end:offset]), "padding")
        data = file[offset : offset + size]
        require(crc == crc32c(data), "section checksum")
        require(kind not in seen, "section twice")
        seen.add(kind)
        end = offset + size
        if kind in (b"GRPH", b"META", b"TENS", b"DATA"):
            require(flags in (0, 2), "a required section marked optional")
            require(flags == 0 or kind != b"DATA", "DATA is coded")
            sections[kind] = Section(offset, data if flags == 0 else decode_section(data, offset, fields))
        elif flags & 2:
            raise Rejected("another section is coded")
        elif flags == 0:
            raise Unsupported(f"section {kind!r}")
    require(len(sections) == 4, "a section is missing")
    require(end == len(file), "bytes after the last section")
    return (major, minor), sections


def decode_section(data: bytes, offset: int, fields: list[Field]) -> bytes:
    size = Cursor(data, offset, fields).number("I", "decoded bytes")
    require(size <= 256 * (len(data) - 4), "a coded section is too large")
    return decode_bytes(data[4:], size)


# --- GRPH ---

DTYPES = ["f32", "s8", "u8", "s32", "s16", "f16", "b1", "s4", "t2", "p4"]
BITS = [32, 8, 8, 32, 16, 16, 1, 4, 2, 4]
ZERO_POINTS = {
    "s8": (-128, 127),
    "u8": (0, 255),
    "s16": (-(2**15), 2**15 - 1),
    "s32": (-(2**31), 2**31 - 1),
    "b1": (0, 1),
    "s4": (-8, 7),
    "t2": (-1, 1),
}


@dataclass
class Tensor:
    name: str
    dtype: str
    shape: tuple[int | str, ...]
    scale: list[float] = field(default_factory=list)
    zero_point: list[int] = field(default_factory=list)
    axis: int | None = None
    group: int = 0
    values: bytes | None = None  # dense


@dataclass
class Node:
    name: str
    op: str
    inputs: list[int]
    outputs: list[int]
    attributes: dict[str, object]


@dataclass
class File:
    version: tuple[int, int]
    name: str
    tensors: list[Tensor]
    nodes: list[Node]
    inputs: list[int]
    outputs: list[int]
    metadata: dict[str, object]
    fields: list[Field]


@dataclass
class Operator:
    name: str
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    attributes: dict[str, tuple[str, bool]]  # name -> (type, required)


def read_operators() -> list[Operator]:
    """The table `Operators` of the document."""
    operators = []
    for line in DOCUMENT.read_text().splitlines():
        row = re.fullmatch(r"\| (\d+) \| `(\w+)` \| (\d+)(?:-(\d+|n))? \| (\d+)(?:-(\d+|n))? \|(.*)\|", line)
        if not row:
            continue
        assert int(row[1]) == len(operators)

        def limits(least: str, most: str | None) -> tuple[int, int]:
            return int(least), 2**16 - 1 if most == "n" else int(most or least)

        attributes = {
            name: (kind, optional == "")
            for name, kind, optional in re.findall(r"`(\w+)`: (\w+)( = \S+)?(?=,| $)", row[7])
        }
        operators.append(Operator(row[2], limits(row[3], row[4]), limits(row[5], row[6]), attributes))
    return operators


OPERATORS = read_operators()
ATTRIBUTE_TYPES = ["int", "float", "string", "ints", "floats"]


def read_graph(section: Section, fields: list[Field]) -> tuple[str, list[Tensor], list[Node], list[int], list[int]]:
    cursor = Cursor(section.data, section.offset, fields)
    name = cursor.text("graph name")
    tensors = [read_tensor(cursor) for _ in range(cursor.count(2**18, "tensor count"))]
    nodes = [read_node(cursor, len(tensors)) for _ in range(cursor.count(2**18, "node count"))]
    inputs = read_indices(cursor, len(tensors), 0, "graph input")
    outputs = read_indices(cursor, len(tensors), 0, "graph output")
    cursor.finish()
    return name, tensors, nodes, inputs, outputs


def read_tensor(cursor: Cursor) -> Tensor:
    name = cursor.text("tensor name")
    require(name != "", "a tensor without a name")
    dtype = cursor.number("B", "dtype")
    if dtype >= len(DTYPES):
        raise Unsupported(f"dtype {dtype}")
    rank = cursor.number("B", "rank")
    require(rank <= 8, "rank")
    shape: list[int | str] = []
    elements = 1
    for _ in range(rank):
        size = cursor.number("i", "dimension")
        require(size >= -1, "dimension")
        shape.append(cursor.text("dimension name") if size == -1 else size)
        elements *= max(size, 1)
        require(elements <= 2**40, "too many elements")
    tensor = Tensor(name, DTYPES[dtype], tuple(shape))
    kind = cursor.number("B", "quantization kind")
    if kind > 4:
        raise Unsupported(f"quantization {kind}")
    if kind == 4:
        require(tensor.dtype == "s8" and rank >= 2, "groups of another dtype, or of one axis")
        require(all(isinstance(size, int) and size > 0 for size in shape), "groups of sizes that are not fixed")
        tensor.group, tensor.axis = 32, rank - 1
        count = math.prod(map(int, shape[:-1])) * -(-int(shape[-1]) // 32)
        tensor.scale = cursor.numbers("e", count, "group scale")
        tensor.zero_point = [0] * count
        require(all(math.isfinite(scale) and scale > 0 for scale in tensor.scale), "scale")
    elif kind:
        require(tensor.dtype in ZERO_POINTS, "this dtype cannot be quantised")
        count = 1
        if kind >= 2:
            tensor.axis = cursor.number("B", "quantization axis")
            require(tensor.axis < rank, "quantization axis")
            size = shape[tensor.axis]
            require(isinstance(size, int) and size > 0, "quantization axis")
            count = int(size)
        tensor.scale = cursor.numbers("f", count, "scale")
        tensor.zero_point = [0] * count if kind == 3 else cursor.numbers("i", count, "zero point")
        low, high = ZERO_POINTS[tensor.dtype]
        require(all(math.isfinite(scale) and scale > 0 for scale in tensor.scale), "scale")
        require(all(low <= point <= high for point in tensor.zero_point), "zero point")
    return tensor


def read_indices(cursor: Cursor, tensors: int, lowest: int, name: str) -> list[int]:
    indices = cursor.numbers("i", cursor.number("H", name + " count"), name)
    require(all(lowest <= index < tensors for index in indices), "a tensor that does not exist")
    return indices


def read_node(cursor: Cursor, tensors: int) -> Node:
    name = cursor.text("node name")
    number = cursor.number("H", "operator")
    if number >= len(OPERATORS):
        raise Unsupported(f"operator {number}")
    operator = OPERATORS[number]
    inputs = read_indices(cursor, tensors, -1, "node input")
    outputs = read_indices(cursor, tensors, -1, "node output")
    require(max(outputs, default=-1) >= 0, "a node without outputs")
    require(operator.inputs[0] <= len(inputs) <= operator.inputs[1], "number of inputs")
    require(operator.outputs[0] <= len(outputs) <= operator.outputs[1], "number of outputs")
    require(all(index >= 0 for index in inputs[: operator.inputs[0]]), "a required input is absent")
    attributes: dict[str, object] = {}
    kinds: dict[str, str] = {}
    count = cursor.number("B", "attribute count")
    require(count <= 64, "attribute count")
    for _ in range(count):
        attribute = cursor.text("attribute name")
        require(attribute not in attributes, "an attribute twice")
        kind = cursor.number("B", "attribute type")
        if kind >= len(ATTRIBUTE_TYPES):
            raise Unsupported(f"attribute type {kind}")
        kinds[attribute] = ATTRIBUTE_TYPES[kind]
        attributes[attribute] = read_value(cursor, ATTRIBUTE_TYPES[kind])
    for attribute, kind in kinds.items():
        require(operator.attributes.get(attribute, ("", False))[0] == kind, "attribute unknown or of the wrong type")
    for attribute, (_, required) in operator.attributes.items():
        require(attribute in attributes or not required, "a required attribute is absent")
    return Node(name, operator.name, inputs, outputs, attributes)


def read_value(cursor: Cursor, kind: str) -> object:
    if kind == "int":
        return cursor.number("q", "int")
    if kind == "float":
        return cursor.number("f", "float")
    if kind == "string":
        return cursor.text("string")
    return cursor.numbers("q" if kind == "ints" else "f", cursor.number("H", "list size"), "list item")


# --- TENS and DATA ---


def read_tensors(section: Section, data: Section, tensors: list[Tensor], fields: list[Field]) -> None:
    cursor = Cursor(section.data, section.offset, fields)
    last = -1
    end = 0
    known: dict[tuple[int, int], tuple[object, bytes]] = {}
    chain = Chain()
    for _ in range(cursor.count(2**18, "stored tensor count")):
        index = cursor.number("I", "stored tensor")
        encoding = cursor.number("H", "encoding")
        parameters = cursor.parameters()
        offset, size = cursor.number("Q", "payload offset"), cursor.number("Q", "payload bytes")
        require(last < index < len(tensors), "order of stored tensors")
        last = index
        tensor = tensors[index]
        require(all(isinstance(dim, int) for dim in tensor.shape), "a stored tensor of unknown size")
        values = values_of(tensor)
        is_dense = encoding == 0
        require(is_dense or values.elements > 0, "no values, but not dense")
        kind = is_dense or (encoding, parameters, tensor.dtype, tensor.shape)
        is_shared = size > 0 and (offset, size) in known
        if is_shared:
            require(known[offset, size][0] == kind, "a payload of two kinds")
        elif size == 0:
            require(offset == 0, "offset of an empty payload")
        else:
            require(offset == (align(end) if is_dense else end), "payload offset")
            require(offset + size <= len(data.data), "payload beyond DATA")
            require(not any(data.data[end:offset]), "padding")
            end = offset + size
        if is_shared and not is_dense:
            tensor.values = known[offset, size][1]
        else:
            tensor.values = decode_values(encoding, parameters, data.data[offset : offset + size], values, chain)
        known[offset, size] = kind, tensor.values
        check_unused_bits(tensor, values.elements, values.bits)
    cursor.finish()
    require(end == len(data.data), "bytes after the last payload")


def values_of(tensor: Tensor) -> Values:
    shape = [int(size) for size in tensor.shape]
    row = next((size for size in reversed(shape) if size != 1), 1)
    bits = BITS[DTYPES.index(tensor.dtype)]
    return Values(math.prod(shape), bits, tensor.dtype in ("f32", "f16"), row, math.prod(shape[1:]))


def check_unused_bits(tensor: Tensor, elements: int, bits: int) -> None:
    assert tensor.values is not None
    number = int.from_bytes(tensor.values, "little")
    require(number >> (elements * bits) == 0, "unused bits")
    if tensor.dtype == "t2":
        require(all(number >> 2 * i & 3 != 2 for i in range(elements)), "a ternary value")


# --- The graph as a whole ---


def check_graph(tensors: list[Tensor], nodes: list[Node], inputs: list[int], outputs: list[int]) -> None:
    require(len({tensor.name for tensor in tensors}) == len(tensors), "a name twice")
    require(all(not tensor.group or tensor.values is not None for tensor in tensors), "groups of no constant")
    ready = {i for i, tensor in enumerate(tensors) if tensor.values is not None}

    def provide(index: int) -> None:
        require(index not in ready, "a tensor with two sources")
        ready.add(index)

    for index in inputs:
        provide(index)
    for node in nodes:
        require(all(index in ready for index in node.inputs if index >= 0), "read before it is computed")
        for index in node.outputs:
            if index >= 0:
                provide(index)
    require(len(ready) == len(tensors), "a tensor without a source")
    require(len(outputs) > 0 and len(set(outputs)) == len(outputs), "outputs")


# --- META ---


def read_metadata(section: Section) -> dict[str, object]:
    require(len(section.data) <= 2**24, "too much metadata")

    def reject(token: str) -> object:
        raise ValueError(token)

    def number(token: str) -> float:
        require(len(token) <= 64, "a long number")
        return float(token) if re.search("[.eE]", token) else int(token)

    def depth(value: object) -> int:
        if isinstance(value, dict):
            return 1 + max(map(depth, value.values()), default=0)
        return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0

    try:
        text = section.data.decode()
        metadata = json.loads(text, parse_constant=reject, parse_int=number, parse_float=number)
        json.dumps(metadata, ensure_ascii=False).encode()  # no lone surrogates
    except (ValueError, RecursionError) as problem:
        raise Rejected("metadata is not JSON") from problem
    require(isinstance(metadata, dict) and depth(metadata) <= 32, "metadata is not an object, or nested too deeply")
    return metadata


def decode(file: bytes) -> File:
    fields: list[Field] = []
    version, sections = read_sections(file, fields)
    name, tensors, nodes, inputs, outputs = read_graph(sections[b"GRPH"], fields)
    read_tensors(sections[b"TENS"], sections[b"DATA"], tensors, fields)
    check_graph(tensors, nodes, inputs, outputs)
    metadata = read_metadata(sections[b"META"])
    return File(version, name, tensors, nodes, inputs, outputs, metadata, fields)
