"""The numbers of docs/FORMAT.md: layouts, limits, and the operators with their attributes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from whit.dtypes import DTYPES

__all__ = [
    "ADAPTIVE",
    "ADAPTIVE_CONTINUED",
    "ALIGNMENT",
    "ATTRIBUTE_TYPES",
    "BITMAP",
    "BIT_PACKED",
    "BLOCKS",
    "CODED",
    "CODED_VERSION",
    "CSR",
    "DENSE",
    "DTYPE_NUMBERS",
    "ENCODING_VERSIONS",
    "ENTROPY_CODED",
    "GROUPS_VERSION",
    "HEADER",
    "LINEAR",
    "MAGIC",
    "MAX_ELEMENTS",
    "MAX_EXPANSION",
    "MAX_JSON_DEPTH",
    "MAX_JSON_NUMBER",
    "MAX_LIST",
    "MAX_METADATA_BYTES",
    "MAX_NODES",
    "MAX_RANK",
    "MAX_SIZE",
    "MAX_TENSORS",
    "MAX_TEXT_BYTES",
    "MINOR",
    "MINOR_VERSIONS",
    "OPERATOR_VERSIONS",
    "PALETTE",
    "PAYLOAD",
    "SECTION",
    "SPARSE",
    "STORED",
    "VERSION",
    "ZERO_POINT_RANGES",
    "Operator",
    "align",
    "operators",
]

MAGIC = b"\x89WHIT\r\n\x1a"
VERSION = (1, 0)
#: What is younger than that: (operator, attribute) -> minor version. As defaults these are not written.
MINOR_VERSIONS = {
    ("conv", "pad_values"): 1,
    ("quantize_linear", "perm"): 1,
    ("gemm", "dynamic"): 2,
    ("lstm", "dynamic"): 5,
}
#: The same of quantisation by groups, and of operators.
GROUPS_VERSION = 5
OPERATOR_VERSIONS = {"binarize": 4}
ALIGNMENT = 64

#: magic, major, minor, section count, file bytes, CRC-32C, reserved.
HEADER = struct.Struct("<8sHHIQII")
#: type, flags, offset, bytes, CRC-32C, reserved.
SECTION = struct.Struct("<4sIQQII")
#: tensor, encoding, parameter bytes; after the parameters: offset in DATA, bytes.
STORED = struct.Struct("<IHI")
PAYLOAD = struct.Struct("<QQ")

DENSE, BIT_PACKED, PALETTE, CSR, BITMAP, ENTROPY_CODED, LINEAR, SPARSE = range(8)
#: Coders of ENTROPY_CODED.
BLOCKS, ADAPTIVE, ADAPTIVE_CONTINUED = 0, 1, 2
#: Values that a coded byte may stand for.
MAX_EXPANSION = 256
#: The newest minor version that writers know.
MINOR = 5
#: The minor version that defined encodings and coded sections; those of other versions.
CODED_VERSION = 2
ENCODING_VERSIONS = {DENSE: 0, CSR: 3, BITMAP: 3}
#: Flag of a section.
CODED = 2
DTYPE_NUMBERS = {name: number for number, name in enumerate(DTYPES)}
ATTRIBUTE_TYPES = {"int": 0, "float": 1, "string": 2, "ints": 3, "floats": 4}
#: Lowest and highest zero point of the dtypes that can be quantised.
ZERO_POINT_RANGES = {
    "s8": (-128, 127),
    "u8": (0, 255),
    "s16": (-(2**15), 2**15 - 1),
    "s32": (-(2**31), 2**31 - 1),
    "b1": (0, 1),
    "s4": (-8, 7),
    "t2": (-1, 1),
}

MAX_TENSORS = 2**18
MAX_NODES = 2**18
MAX_LIST = 2**16 - 1
MAX_TEXT_BYTES = 1024
MAX_RANK = 8
MAX_SIZE = 2**31 - 1
MAX_ELEMENTS = 2**40
MAX_METADATA_BYTES = 2**24
MAX_JSON_DEPTH = 32
MAX_JSON_NUMBER = 64


def align(offset: int) -> int:
    """The first multiple of 64 at or after `offset`."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Operator:
    """An operator of the file: its number, how many tensors it takes, its attributes in order (name -> type)."""

    number: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    attributes: dict[str, str]
    required: frozenset[str]


def operators() -> dict[str, Operator]:
    """The operators by name, from the C++ operator list; an operator's number is its place there."""
    from whit import _core

    return {
        entry["name"]: Operator(
            number,
            (entry["min_inputs"], entry["max_inputs"]),
            (entry["min_outputs"], entry["max_outputs"]),
            {attribute["name"]: attribute["type"] for attribute in entry["attributes"]},
            frozenset(attribute["name"] for attribute in entry["attributes"] if attribute["required"]),
        )
        for number, entry in enumerate(_core.operators())
    }
