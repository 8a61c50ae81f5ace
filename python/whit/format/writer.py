"""Graph -> bytes of a .whit file (docs/FORMAT.md). The same graph always gives the same bytes."""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Sequence

import numpy as np

from whit.errors import InvalidArgumentError
from whit.format import schema
from whit.format.checks import check_graph, encode_metadata, encode_text, quantization_arrays
from whit.format.encodings import Encoder, Stored
from whit.ir import Attribute, Graph, Node, Tensor

__all__ = ["save", "store", "write"]


def write(graph: Graph, level: str = "dense", minor: int = schema.MINOR) -> bytes:
    """Returns `graph` as the bytes of a .whit file.

    Tensors that no node, input or output of the graph names are left out. Constants with the same bytes are stored
    once.

    Args:
        graph: what to write.
        level: how much to do for a small file. Whatever it is, the file says the same to the bit.
            "dense": constants are used where they are in the file. "packed": few bits for values that need few, tables
            of those that are few, gaps instead of zeros. "coded": these with entropy coding, decoded at some hundred
            megabytes a second. "archive": the smallest, a hundred times slower to load.
        minor: the newest minor version of the format that values may be stored in, for older readers.

    Raises:
        InvalidArgumentError: the graph is not one that a reader accepts, and the message names the node or tensor; or
            there is no such level, or the graph or level needs a newer version of the format.
    """
    encoder = Encoder(level, minor)
    operators = schema.operators()
    tensors = check_graph(graph, operators)
    index = {tensor.name: i for i, tensor in enumerate(tensors)}
    stored, data, encodings = _stored_tensors(tensors, encoder)
    sections = [
        _section(b"GRPH", _graph(graph, tensors, index, operators), level),
        _section(b"META", encode_metadata(graph.metadata), level),
        _section(b"TENS", stored, level),
        (b"DATA", 0, data),
    ]
    is_coded = any(flags for _, flags, _ in sections)
    needed = max(_minor_version(graph, tensors), encodings, schema.CODED_VERSION if is_coded else 0)
    if needed > minor:
        raise InvalidArgumentError(f"cannot write the model in version 1.{minor} of the format: it needs 1.{needed}")
    return _assemble(sections, needed)


def save(graph: Graph, path: str | os.PathLike[str], level: str = "dense") -> None:
    """Writes `graph` to a .whit file. The file appears complete or not at all; an existing one is replaced.

    Args:
        graph: what to write.
        path: where.
        level: as in `write`.

    Raises:
        InvalidArgumentError: the graph cannot be written (see `write`), `path` is a directory, or its folder is
            missing.
        OSError: the operating system refused (no permission, disk full, ...).
    """
    store(write(graph, level), path)


def store(content: bytes, path: str | os.PathLike[str]) -> None:
    """Writes the bytes of a .whit file; as `save` does it, with its errors."""
    target = os.path.realpath(os.fspath(path))  # a symbolic link stays one
    folder, name = os.path.split(target)
    if os.path.isdir(target):
        raise InvalidArgumentError(
            f"cannot write {os.fspath(path)!r}: it is a directory; name a file, such as model.whit"
        )
    if not name or not os.path.isdir(folder):
        raise InvalidArgumentError(f"cannot write {os.fspath(path)!r}: the folder {folder!r} does not exist")
    _replace(target, folder, content)


def _replace(target: str, folder: str, content: bytes) -> None:
    temporary = os.path.join(folder, f".whit-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _minor_version(graph: Graph, tensors: Sequence[Tensor]) -> int:
    """The lowest one that defines everything in the graph."""
    needed = [schema.VERSION[1]]
    if any(tensor.quantization is not None and tensor.quantization.group for tensor in tensors):
        needed.append(schema.GROUPS_VERSION)
    for node in graph.nodes:
        needed.append(schema.OPERATOR_VERSIONS.get(node.op, 0))
        needed += [schema.MINOR_VERSIONS.get((node.op, name), 0) for name, value in node.attributes.items() if value]
        if node.op == "requantize" and graph.tensors[node.inputs[0]].dtype == "u8":
            needed.append(1)
    return max(needed)


def _section(kind: bytes, content: bytes, level: str) -> tuple[bytes, int, bytes]:
    """Its type, flags and bytes: coded if the level asks for it and that is smaller."""
    from whit import _core

    if level == "archive":
        coded = struct.pack("<I", len(content)) + _core.encode_bytes(content)
        if len(coded) < len(content) <= schema.MAX_EXPANSION * (len(coded) - 4):
            return kind, schema.CODED, coded
    return kind, 0, content


def _assemble(sections: Sequence[tuple[bytes, int, bytes]], minor: int) -> bytes:
    from whit import _core

    end = schema.HEADER.size + len(sections) * schema.SECTION.size
    table = b""
    body: list[bytes] = []
    for kind, flags, content in sections:
        start = schema.align(end)
        table += schema.SECTION.pack(kind, flags, start, len(content), _core.crc32c(content), 0)
        body += [bytes(start - end), content]
        end = start + len(content)
    major = schema.VERSION[0]
    blank = schema.HEADER.pack(schema.MAGIC, major, minor, len(sections), end, 0, 0)
    crc = _core.crc32c(blank + table)
    header = schema.HEADER.pack(schema.MAGIC, major, minor, len(sections), end, crc, 0)
    return b"".join([header, table, *body])


def _stored_tensors(tensors: Sequence[Tensor], encoder: Encoder) -> tuple[bytes, bytes, int]:
    """The sections TENS and DATA, and the minor version that defines their encodings."""
    entries: list[bytes] = []
    data = bytearray()
    known: dict[object, tuple[Stored, int]] = {}
    for index, tensor in enumerate(tensors):
        if tensor.data is None:
            continue
        # Dense values are shared whatever they are, others by tensors of one kind.
        key: object = _little_endian(tensor.data)
        if encoder.level != "dense":
            key = (key, tensor.dtype, tensor.shape)
        found = known.get(key)
        if found is None:
            stored = encoder.store(tensor)
            if stored.encoding == schema.DENSE:
                data += bytes(schema.align(len(data)) - len(data)) if stored.payload else b""
            found = known[key] = stored, len(data) if stored.payload else 0
            data += stored.payload
        stored, offset = found
        entries += [
            schema.STORED.pack(index, stored.encoding, len(stored.parameters)),
            stored.parameters,
            schema.PAYLOAD.pack(offset, len(stored.payload)),
        ]
    minor = max((stored.minor for stored, _ in known.values()), default=0)
    count = sum(tensor.data is not None for tensor in tensors)
    return struct.pack("<I", count) + b"".join(entries), bytes(data), minor


def _little_endian(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _graph(graph: Graph, tensors: list[Tensor], index: dict[str, int], operators: dict[str, schema.Operator]) -> bytes:
    parts = [encode_text(graph.name, "the name of the graph"), struct.pack("<I", len(tensors))]
    parts += [_tensor(tensor) for tensor in tensors]
    parts.append(struct.pack("<I", len(graph.nodes)))
    parts += [_node(node, index, operators[node.op]) for node in graph.nodes]
    parts += [_indices(graph.inputs, index), _indices(graph.outputs, index)]
    return b"".join(parts)


def _tensor(tensor: Tensor) -> bytes:
    assert tensor.shape is not None  # check_graph
    parts = [
        encode_text(tensor.name, "a tensor name"),
        struct.pack("<BB", schema.DTYPE_NUMBERS[tensor.dtype], len(tensor.shape)),
    ]
    for size in tensor.shape:
        if isinstance(size, str):
            parts += [struct.pack("<i", -1), encode_text(size, "a dimension name")]
        else:
            parts.append(struct.pack("<i", size))
    if tensor.quantization is None:
        parts.append(b"\0")
    else:
        scale, zero_point = quantization_arrays(tensor)
        axis = tensor.quantization.axis
        if tensor.quantization.group:
            return b"".join([*parts, b"\4", scale.astype("<f2").tobytes()])
        symmetric = axis is not None and not zero_point.any()
        parts.append(b"\1" if axis is None else struct.pack("<BB", 3 if symmetric else 2, axis))
        parts.append(scale.astype("<f4").tobytes())
        if not symmetric:
            parts.append(zero_point.astype("<i4").tobytes())
    return b"".join(parts)


def _node(node: Node, index: dict[str, int], operator: schema.Operator) -> bytes:
    attributes = [
        (name, kind)
        for name, kind in operator.attributes.items()
        if name in node.attributes and (node.attributes[name] or (node.op, name) not in schema.MINOR_VERSIONS)
    ]
    parts = [
        encode_text(node.name, "a node name"),
        struct.pack("<H", operator.number),
        _indices(node.inputs, index),
        _indices(node.outputs, index),
        struct.pack("<B", len(attributes)),
    ]
    for name, kind in attributes:
        parts += [encode_text(name, "an attribute name"), _attribute(node, name, kind, node.attributes[name])]
    return b"".join(parts)


def _indices(names: Sequence[str], index: dict[str, int]) -> bytes:
    return struct.pack(f"<H{len(names)}i", len(names), *(index[name] if name else -1 for name in names))


def _attribute(node: Node, name: str, kind: str, value: Attribute) -> bytes:
    try:
        if kind == "string":
            if not isinstance(value, str):
                raise TypeError("not a string")
            body = encode_text(value, "a string")
        elif kind in ("int", "float"):
            body = struct.pack("<q" if kind == "int" else "<f", value)
        else:
            if isinstance(value, (str, int, float)):
                raise TypeError("not a list")
            body = struct.pack(f"<H{len(value)}{'q' if kind == 'ints' else 'f'}", len(value), *value)
    except (TypeError, ValueError, OverflowError, struct.error) as problem:
        raise InvalidArgumentError(
            f"cannot write node {node.name!r} ({node.op}): attribute {name!r} must be of type {kind}; "
            f"got {value!r:.100} ({problem})"
        ) from problem
    return struct.pack("<B", schema.ATTRIBUTE_TYPES[kind]) + body
