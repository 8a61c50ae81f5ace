"""The encodings of docs/FORMAT.md in plain Python: parameters and payload in, dense bytes out. Part of decoder.py.

Entropy coding is in decoder_coders.py.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace

from decoder_coders import Chain, Rejected, Unsupported, decode_adaptive, decode_blocks, require

MAX_EXPANSION = 256


@dataclass(frozen=True)
class Values:
    """What is stored: so many elements of so many bits, and the geometry that contexts and groups need."""

    elements: int
    bits: int
    is_real: bool
    row: int
    plane: int

    @property
    def bytes(self) -> int:
        return -(-self.elements * self.bits // 8)


class Parameters:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        require(count <= len(self.data), "the parameters are cut")
        result, self.data = self.data[:count], self.data[count:]
        return result

    def number(self, format: str) -> int:
        return struct.unpack("<" + format, self.take(struct.calcsize(format)))[0]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.number("B")
            value |= (byte & 127) << shift
            if byte < 128:
                require(not (byte == 0 and shift) and value < 2**32, "varint")
                return value
        raise Rejected("varint")


def decode_values(encoding: int, parameters: bytes, payload: bytes, values: Values, chain: Chain) -> bytes:
    reader = Parameters(parameters)
    result = decode_nested(encoding, reader, payload, values, chain, ())
    require(not reader.data, "bytes after the parameters")
    return result


def decode_nested(
    encoding: int, reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]
) -> bytes:
    """Reads the parameters of one encoding from the front of `reader`."""
    decoders = {
        0: dense,
        1: bit_packed,
        2: palette,
        3: csr,
        4: bitmap,
        5: entropy_coded,
        6: linear,
        7: sparse,
    }
    if encoding not in decoders:
        raise Unsupported(f"encoding {encoding}")
    require(encoding not in around, "an encoding within itself")
    require(encoding in (0, 5) or values.bits >= 8, "values of less than a byte")
    return decoders[encoding](reader, payload, values, chain, (*around, encoding))


def nest(reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]) -> bytes:
    return decode_nested(reader.number("B"), reader, payload, values, chain, around)


def dense(reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]) -> bytes:
    require(len(payload) == values.bytes, "payload size")
    return payload


def bit_packed(reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]) -> bytes:
    bits = reader.number("B")
    size = values.bits // 8
    base = int.from_bytes(reader.take(size), "little")
    require(1 <= bits < values.bits, "bits of a code")
    require(len(payload) == -(-values.elements * bits // 8), "payload size")
    codes = unpack(payload, values.elements, bits)
    return b"".join(((base + code) % 2**values.bits).to_bytes(size, "little") for code in codes)


def unpack(payload: bytes, count: int, bits: int) -> list[int]:
    number = int.from_bytes(payload, "little")
    require(number >> count * bits == 0, "unused bits")
    return [number >> i * bits & (1 << bits) - 1 for i in range(count)]


def palette(reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]) -> bytes:
    size = values.bits // 8
    count = reader.number("B") + 1
    table = reader.take(count * size)
    indices = nest(reader, payload, replace(values, bits=8, is_real=False), chain, around)
    require(all(index < count for index in indices), "an index beyond the palette")
    return b"".join(table[index * size : (index + 1) * size] for index in indices)


def linear(reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]) -> bytes:
    require(values.bits == 32 and values.is_real, "linear codes of what is not f32")
    flags, group = reader.number("B"), reader.varint()
    require(flags < 8, "flags")
    require(group <= values.plane, "group")
    plane = values.plane if group else values.elements
    per_plane = -(-plane // group) if group else 1
    count = values.elements // values.plane * per_plane if group else 1
    format, size = ("e", 2) if flags & 2 else ("f", 4)
    scales = struct.unpack(f"<{count}{format}", reader.take(size * count))
    zeros = struct.unpack(f"<{count}h", reader.take(2 * count)) if flags & 4 else [0] * count
    codes = nest(reader, payload, replace(values, bits=8, is_real=False), chain, around)
    result = []
    for i, code in enumerate(codes):
        which = i // plane * per_plane + i % plane // group if group else 0
        require(math.isfinite(scales[which]), "a scale")
        signed = code - 256 if flags & 1 and code > 127 else code
        result.append(f32_product(signed - zeros[which], scales[which]))
    return b"".join(result)


def f32_product(steps: int, scale: float) -> bytes:
    product = steps * scale  # exact: both have at most 24 bits
    if product == 0:
        product = math.copysign(0.0, scale) * (1.0 if steps >= 0 else -1.0)
    try:
        return struct.pack("<f", product)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, product))


def sparse(reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]) -> bytes:
    count, symbols, gap_bytes = (reader.number("I") for _ in range(3))
    escape = reader.number("B")
    size = values.bits // 8
    base = reader.take(size)
    require(escape >= 1 and count <= symbols and count <= values.elements, "number of values")
    require(symbols - count <= values.elements, "number of gaps")
    require(gap_bytes <= len(payload) and values.elements <= MAX_EXPANSION * len(payload), "payload size")
    gaps = nest(reader, payload[:gap_bytes], list_of(symbols, 8), chain, around)
    given = nest(reader, payload[gap_bytes:], list_of(count, values.bits, values.is_real), chain, around)
    result: list[bytes] = []
    used = 0
    for gap in gaps:
        require(gap <= escape, "a gap that is too long")
        require(len(result) + gap <= values.elements, "gaps beyond the last value")
        result += [base] * gap
        if gap < escape:
            require(len(result) < values.elements and used < count, "more gaps than values")
            result.append(given[used * size : (used + 1) * size])
            used += 1
    require(used == count, "fewer gaps than values")
    return b"".join(result + [base] * (values.elements - len(result)))


def list_of(count: int, bits: int, is_real: bool = False) -> Values:
    """Values without a shape."""
    return Values(count, bits, is_real, count, count)


def csr(reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]) -> bytes:
    rows, columns = reader.number("B"), reader.number("B")
    entries, count_bytes, gap_bytes = (reader.number("I") for _ in range(3))
    size = values.bits // 8
    base = reader.take(size)
    require(rows >= 1 and columns >= 1 and values.elements >= 1, "size of an entry")
    height, width = values.elements // values.plane, values.plane // columns
    require(height % rows == 0 and values.plane % columns == 0 and width < 2**32, "size of an entry")
    require(entries * rows * columns <= values.elements, "number of entries")
    require(count_bytes + gap_bytes <= len(payload), "counts and gaps beyond the payload")
    require(values.elements <= MAX_EXPANSION * len(payload), "payload size")
    count_size = 1 if width < 2**8 else 2 if width < 2**16 else 4
    count_values = list_of(height // rows, 8 * count_size)
    coded = nest(reader, payload[:count_bytes], count_values, chain, around)
    counts = [int.from_bytes(coded[i : i + count_size], "little") for i in range(0, len(coded), count_size)]
    bits = bytes(byte >> i & 1 for byte in payload[count_bytes : count_bytes + gap_bytes] for i in range(8))
    rest = payload[count_bytes + gap_bytes :]
    given = nest(reader, rest, list_of(entries * rows * columns, values.bits, values.is_real), chain, around)
    require(sum(counts) == entries, "number of entries")

    result = [base] * values.elements
    at = used = 0
    for group, count in enumerate(counts):
        require(count <= width, "more entries than a row has places")
        low_bits = 0
        while count * 2**low_bits * 128 < 31 * (2 * width - count) and count > 0:
            low_bits += 1
        place = -1
        for _ in range(count):
            one = bits.find(1, at)
            low = one + 1 + low_bits
            require(one >= 0 and low <= len(bits), "gaps are cut")
            place += (one - at) * 2**low_bits + sum(bit << i for i, bit in enumerate(bits[one + 1 : low])) + 1
            at = low
            require(place < width, "an entry beyond the end of its row")
            for row in range(rows):
                for column in range(columns):
                    target = (group * rows + row) * values.plane + place * columns + column
                    result[target] = given[used * size : (used + 1) * size]
                    used += 1
    require(len(bits) - at < 8 and not any(bits[at:]), "bits after the last gap")
    return b"".join(result)


def bitmap(reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]) -> bytes:
    count, mask_bytes = reader.number("I"), reader.number("I")
    size = values.bits // 8
    base = reader.take(size)
    require(count <= values.elements, "number of values")
    require(mask_bytes <= len(payload) and values.elements <= MAX_EXPANSION * len(payload), "payload size")
    masks = nest(reader, payload[:mask_bytes], list_of(-(-values.elements // 8), 8), chain, around)
    given = nest(reader, payload[mask_bytes:], list_of(count, values.bits, values.is_real), chain, around)
    bits = unpack(masks, values.elements, 1)
    require(sum(bits) == count, "number of values")
    rest = iter(range(count))
    return b"".join(given[(i := next(rest)) * size : (i + 1) * size] if bit else base for bit in bits)


def entropy_coded(reader: Parameters, payload: bytes, values: Values, chain: Chain, around: tuple[int, ...]) -> bytes:
    coder = reader.number("B")
    pivot = reader.number("B") if coder else 0
    if coder > 2:
        raise Unsupported(f"coder {coder}")
    require(values.elements <= MAX_EXPANSION * len(payload), "values in a coded byte")
    if coder == 0:
        planes = decode_blocks(payload, values)
    else:
        planes = decode_adaptive(payload, values, pivot, chain, is_continued=coder == 2)
    if values.bits <= 8:
        number = sum(symbol << i * values.bits for i, symbol in enumerate(planes[0]))
        return number.to_bytes(values.bytes, "little")
    result = []
    for symbols in zip(*planes, strict=True):
        folded = int.from_bytes(bytes(symbols), "big")
        if values.is_real:
            value = folded >> 1 | (folded & 1) << values.bits - 1
        else:
            value = (folded >> 1) ^ (2**values.bits - 1 if folded & 1 else 0)
        result.append(value.to_bytes(values.bits // 8, "little"))
    return b"".join(result)
