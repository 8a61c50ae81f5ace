"""What the format tests share: golden models, and repairing checksums so that a change gets past them."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from types import ModuleType

import whit._core

GOLDEN = Path(__file__).parents[2] / "golden"


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_v1 = load_script(GOLDEN / "make_v1.py")
GOLDEN_FILES = sorted((GOLDEN / "v1").glob("*.whit"))


def with_checksums(file: bytes) -> bytes:
    """`file` with the checksums of its sections and header made right, wherever they lie within the file."""
    data = bytearray(file)
    (count,) = struct.unpack_from("<I", data, 12)
    table_end = 32 + 32 * count
    if table_end > len(data):
        return bytes(data)
    for entry in range(32, table_end, 32):
        offset, size = struct.unpack_from("<QQ", data, entry + 8)
        if offset + size <= len(data):
            struct.pack_into("<I", data, entry + 24, whit._core.crc32c(bytes(data[offset : offset + size])))
    struct.pack_into("<I", data, 24, 0)
    struct.pack_into("<I", data, 24, whit._core.crc32c(bytes(data[:table_end])))
    return bytes(data)


def rebuilt(file: bytes, changes: dict[bytes, bytes], flags: int = 0) -> bytes:
    """`file` with the contents of sections replaced; sections it does not have are appended with `flags`."""
    (count,) = struct.unpack_from("<I", file, 12)
    sections: dict[bytes, tuple[int, bytes]] = {}
    for i in range(count):
        kind, old_flags, offset, size = struct.unpack_from("<4sIQQ", file, 32 + 32 * i)
        sections[kind] = (old_flags, file[offset : offset + size])
    for kind, content in changes.items():
        sections[kind] = (sections[kind][0] if kind in sections else flags, content)
    end = 32 + 32 * len(sections)
    table, body = b"", b""
    for kind, (section_flags, content) in sections.items():
        start = -(-end // 64) * 64
        body += bytes(start - end) + content
        table += struct.pack("<4sIQQII", kind, section_flags, start, len(content), 0, 0)
        end = start + len(content)
    return with_checksums(file[:12] + struct.pack("<IQII", len(sections), end, 0, 0) + table + body)
