"""How a constant is stored: finds the smallest encoding of its values (docs/FORMAT.md, Encodings).

Each encoding is a candidate: its parameters, and its payload. What a level allows is in `LEVELS`; nothing here loses a
bit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from whit.errors import InvalidArgumentError
from whit.format import schema
from whit.ir import LinearCodes, Tensor

__all__ = ["LEVELS", "Encoder", "Stored", "check_codes"]

#: Bytes that are not worth a coder's parameters.
_TINY = 8
#: Rows x columns of the entries of csr, as pruning leaves them; and how many of their values may be for nothing.
_ENTRIES = ((1, 1), (1, 2), (1, 4), (1, 8), (2, 1), (4, 1), (8, 1), (4, 4))
_FILLED = 1.5
#: From fastest to load to smallest.
LEVELS = ("dense", "packed", "coded", "archive")


@dataclass(frozen=True)
class Stored:
    """An encoding with its parameters, the payload, and the minor version of the format that defines it."""

    encoding: int
    parameters: bytes
    payload: bytes
    minor: int = schema.CODED_VERSION

    @property
    def size(self) -> int:
        return len(self.parameters) + len(self.payload)

    @property
    def nested(self) -> bytes:
        """As it stands within the parameters of another encoding."""
        return bytes([self.encoding]) + self.parameters

    @staticmethod
    def around(encoding: int, head: bytes, inner: Sequence[Stored], payload: bytes | None = None) -> Stored:
        """An encoding with others within it; its payload is theirs, if none is given."""
        parameters = head + b"".join(stored.nested for stored in inner)
        minor = schema.ENCODING_VERSIONS.get(encoding, schema.CODED_VERSION)
        minor = max(minor, *(stored.minor for stored in inner))
        return Stored(encoding, parameters, b"".join(s.payload for s in inner) if payload is None else payload, minor)


@dataclass(frozen=True)
class _Values:
    """Values to store: an array, and where the elements of its last and first axis lie (`row`, `plane`)."""

    data: np.ndarray
    row: int
    plane: int

    @property
    def bits(self) -> int:
        return 8 * self.data.dtype.itemsize

    @property
    def is_real(self) -> bool:
        return self.data.dtype.kind == "f"

    @property
    def bytes(self) -> bytes:
        return self.data.astype(self.data.dtype.newbyteorder("<"), copy=False).tobytes()

    @staticmethod
    def list(data: np.ndarray) -> _Values:
        """Values without a shape."""
        return _Values(data.ravel(), max(data.size, 1), max(data.size, 1))

    def like(self, data: np.ndarray) -> _Values:
        """Other data of the same shape."""
        return _Values(data, self.row, self.plane)


class Encoder:
    """Stores the constants of one file, one after another."""

    #: Adaptive values learn from those before, until so many have been coded: then others can be decoded meanwhile.
    CHAIN = 2**20

    def __init__(self, level: str, minor: int = schema.MINOR) -> None:
        if level not in LEVELS:
            raise InvalidArgumentError(f"unknown level {level!r}; levels are {', '.join(LEVELS)}")
        self.level = level
        self.minor = minor
        self._adaptive: object = None
        self._chained = 0

    def store(self, tensor: Tensor) -> Stored:
        """The smallest of what the level allows. `tensor` is a constant."""
        assert tensor.data is not None
        data = np.asarray(tensor.data, tensor.data.dtype.newbyteorder("<"), order="C")
        row = next((size for size in reversed(data.shape) if size != 1), 1)
        values = _Values(data, row, int(np.prod(data.shape[1:], dtype=np.int64)))
        dense = _dense(values)
        if self.level == "dense" or data.size == 0:
            return dense
        if self.level == "archive":
            return self._archived(values, tensor.codes)
        candidates = list(self._candidates(values, tensor.codes))
        return min([dense, *candidates], key=lambda stored: stored.size)

    def _candidates(self, values: _Values, codes: LinearCodes | None) -> Iterator[Stored]:
        if codes is not None:
            yield self._linear(values, codes, self._smallest)
        yield from self._plain(values)
        palette = _palette(values.data)
        if palette is not None:
            yield _palette_of(palette[0], self._smallest(values.like(palette[1])))
        yield from self._thinned(values)

    def _smallest(self, values: _Values) -> Stored:
        """Of codes or indices."""
        return min([*self._plain(values), *self._thinned(values)], key=lambda stored: stored.size)

    def _plain(self, values: _Values) -> Iterator[Stored]:
        yield _dense(values)
        packed = _bit_packed(values)
        if packed is not None:
            yield packed
        if self.level == "coded":
            yield _blocks(values)

    def _thinned(self, values: _Values) -> Iterator[Stored]:
        """Without the most frequent value."""
        flat = values.data.ravel()
        words = flat.view(f"u{flat.itemsize}")
        fill = _most_frequent(words)
        is_other = words != fill
        places = np.flatnonzero(is_other)
        if 8 * places.size > 7 * words.size:
            return
        base, others = fill.to_bytes(flat.itemsize, "little"), self._others(flat[places])
        candidates = [self._bitmap(is_other, base, others)]
        if 2 * places.size <= words.size:
            candidates += self._sparse(places, base, others)
            candidates += self._csr(values, is_other, base, others)
        least = -(-words.size // schema.MAX_EXPANSION)
        yield from (stored for stored in candidates if len(stored.payload) >= least and stored.minor <= self.minor)

    def _others(self, data: np.ndarray) -> Stored:
        """What is left without the most frequent value."""
        rest = _Values.list(data)
        inner = list(self._plain(rest))
        palette = _palette(rest.data)
        if palette is not None:
            inner.append(_palette_of(palette[0], min(self._plain(rest.like(palette[1])), key=lambda s: s.size)))
        return min(inner, key=lambda stored: stored.size)

    def _list(self, data: np.ndarray) -> Stored:
        """Gaps, counts and masks."""
        return min(self._plain(_Values.list(data)), key=lambda stored: stored.size)

    def _bitmap(self, is_other: np.ndarray, base: bytes, others: Stored) -> Stored:
        masks = self._list(np.packbits(is_other, bitorder="little"))
        head = struct.pack("<II", np.count_nonzero(is_other), len(masks.payload)) + base
        return Stored.around(schema.BITMAP, head, [masks, others])

    def _sparse(self, places: np.ndarray, base: bytes, others: Stored) -> Iterator[Stored]:
        for bits in range(2, 9):
            escape = 2**bits - 1
            symbols = _gaps(places, escape)
            gaps = self._list(symbols)
            head = struct.pack("<IIIB", places.size, symbols.size, len(gaps.payload), escape) + base
            yield Stored.around(schema.SPARSE, head, [gaps, others])

    def _csr(self, values: _Values, is_other: np.ndarray, base: bytes, others: Stored) -> Iterator[Stored]:
        matrix = is_other.reshape(-1, values.plane)
        for rows, columns in _ENTRIES:
            if matrix.shape[0] % rows or matrix.shape[1] % columns:
                continue
            blocks = matrix.reshape(-1, rows, values.plane // columns, columns)
            is_entry = np.asarray(blocks.any((1, 3)))
            count = np.count_nonzero(is_entry)
            if rows * columns > 1:
                if count * rows * columns > _FILLED * np.count_nonzero(is_other):
                    continue
                data = values.data.reshape(blocks.shape).transpose(0, 2, 1, 3)
                others = self._others(data[is_entry])
            dtype = next(d for d in (np.uint8, np.uint16, np.uint32) if is_entry.shape[1] <= np.iinfo(d).max)
            counts = self._list(np.count_nonzero(is_entry, axis=1).astype(dtype))
            gaps = _row_gaps(is_entry)
            head = struct.pack("<BBIII", rows, columns, count, len(counts.payload), len(gaps)) + base
            yield Stored.around(schema.CSR, head, [counts, others], counts.payload + gaps + others.payload)

    def _linear(self, values: _Values, codes: LinearCodes, inner: object) -> Stored:
        assert callable(inner)
        scale, zero_point = np.ravel(codes.scale), np.ravel(codes.zero_point)
        half = _halves(scale)
        is_signed, has_zeros = codes.codes.dtype == np.int8, bool(zero_point.any())
        group = 0 if scale.size == 1 else min(codes.group or values.plane, values.plane)
        parameters = bytes([is_signed | (half is not None) << 1 | has_zeros << 2]) + _varint(group)
        parameters += (scale.astype("<f4") if half is None else half).tobytes()
        if has_zeros:
            parameters += zero_point.astype("<i2").tobytes()
        return Stored.around(schema.LINEAR, parameters, [inner(values.like(codes.codes))])

    def _archived(self, values: _Values, codes: LinearCodes | None) -> Stored:
        """One encoding, chosen by what the values are: the adaptive coder learns from all, so none is tried out."""
        if codes is not None:
            zero = int(np.ravel(codes.zero_point)[0]) & 255
            return self._linear(values, codes, lambda inner: self._adaptive_values(inner, zero))
        palette = _palette(values.data)
        if palette is not None and _is_worth_it(values.data, palette[0]):
            table, indices = palette
            middle = int(np.argmin(np.abs(table.astype(np.float64))))
            return _palette_of(table, self._adaptive_values(values.like(indices), middle))
        pivot = 0 if values.data.dtype != np.uint8 else _most_frequent(values.data.ravel())
        return self._adaptive_values(values, pivot)

    def _adaptive_values(self, values: _Values, pivot: int) -> Stored:
        from whit import _core

        continues = self._adaptive is not None and self._chained < self.CHAIN
        if not continues:
            self._adaptive, self._chained = _core.AdaptiveEncoder(), 0
        self._chained += values.data.size * values.data.itemsize
        assert isinstance(self._adaptive, _core.AdaptiveEncoder)
        payload = self._adaptive.encode(values.bytes, values.bits, values.is_real, values.row, values.plane, pivot)
        coder = schema.ADAPTIVE_CONTINUED if continues else schema.ADAPTIVE
        return Stored(schema.ENTROPY_CODED, bytes([coder, pivot]), payload)


def _dense(values: _Values) -> Stored:
    return Stored(schema.DENSE, b"", values.bytes, minor=0)


def _blocks(values: _Values) -> Stored:
    from whit import _core

    payload = _core.encode_values(values.bytes, values.bits, values.is_real)
    return Stored(schema.ENTROPY_CODED, bytes([schema.BLOCKS]), payload)


def _bit_packed(values: _Values) -> Stored | None:
    """Integers whose range needs fewer bits than they have."""
    if values.is_real or values.data.size == 0:
        return None
    flat = values.data.ravel()
    low = flat.min()
    codes = flat.astype(np.int64) - int(low)
    bits = max(int(codes.max()).bit_length(), 1)
    if bits >= values.bits:
        return None
    return Stored(schema.BIT_PACKED, bytes([bits]) + low.tobytes(), _pack(codes, bits))


def _pack(codes: np.ndarray, bits: int) -> bytes:
    """Fields of `bits` bits, each byte filled from its lowest bit up."""
    narrow = codes.astype(np.uint8 if bits <= 8 else np.uint32)
    planes = (narrow[:, None] >> np.arange(bits, dtype=narrow.dtype)) & 1
    return np.packbits(planes.astype(np.uint8).ravel(), bitorder="little").tobytes()


def _palette(data: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The distinct values, at most 256, in ascending order, and the index of each value; to the bit."""
    words = data.view(f"u{data.itemsize}")
    if np.unique(words.ravel()[:4096]).size > 256:
        return None
    distinct, indices = np.unique(words, return_inverse=True)
    if not 0 < distinct.size <= 256:
        return None
    table = distinct.view(data.dtype)
    order = np.argsort(table, kind="stable")
    rank = np.empty(order.size, np.uint8)
    rank[order] = np.arange(order.size)
    return table[order], rank[indices.reshape(data.shape)]


def _is_worth_it(data: np.ndarray, table: np.ndarray) -> bool:
    """For the adaptive coder bytes are what they are; a palette only helps if it leaves much of their range out."""
    if data.dtype.itemsize > 1:
        return table.nbytes < data.size * data.itemsize // 2
    return 4 * table.size <= int(table.max()) - int(table.min()) + 1 and data.size > 16 * table.size


def _palette_of(table: np.ndarray, indices: Stored) -> Stored:
    little = table.astype(table.dtype.newbyteorder("<"), copy=False)
    return Stored.around(schema.PALETTE, bytes([table.size - 1]) + little.tobytes(), [indices])


def _gaps(places: np.ndarray, escape: int) -> np.ndarray:
    """How far each place lies behind the one before, in steps of `escape` and a rest below it."""
    gaps = np.diff(places, prepend=-1) - 1
    whole, rest = np.divmod(gaps, escape)
    symbols = np.full(int(whole.sum()) + gaps.size, escape, np.uint8)
    symbols[np.cumsum(whole + 1) - 1] = rest
    return symbols


def _row_gaps(is_entry: np.ndarray) -> bytes:
    """How far each entry lies behind the one before in its row, as Rice codes."""
    groups, places = np.nonzero(is_entry)
    counts = np.count_nonzero(is_entry, axis=1)
    is_first = np.diff(groups, prepend=-1) != 0
    gaps = places - np.where(is_first, 0, np.roll(places, 1) + 1)
    low_bits = np.zeros(counts.size, np.int64)  # for each row the least that fits its mean gap
    while (short := (counts << low_bits) * 128 < 31 * (2 * is_entry.shape[1] - counts) * (counts > 0)).any():
        low_bits += short
    low = low_bits[groups]
    high = gaps >> low
    ends = np.cumsum(high + 1 + low)
    bits = np.zeros(int(ends[-1]) if ends.size else 0, np.uint8)
    bits[ends - low - 1] = 1
    for bit in range(int(low.max(initial=0))):
        has_bit = low > bit
        bits[(ends - low + bit)[has_bit]] = (gaps[has_bit] >> bit) & 1
    return np.packbits(bits, bitorder="little").tobytes()


def _most_frequent(words: np.ndarray) -> int:
    if words.dtype.itemsize > 1 or 2 * np.count_nonzero(words == 0) > words.size:
        return 0
    return int(np.bincount(words, minlength=1).argmax())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def check_codes(tensor: Tensor) -> str | None:
    """What is wrong with the codes of a tensor; None if they give its data to the bit."""
    codes, data = tensor.codes, tensor.data
    if codes is None:
        return None
    if data is None or tensor.dtype != "f32":
        return "linear codes are for constants of dtype f32"
    if codes.codes.dtype not in (np.int8, np.uint8):
        return f"its linear codes are {codes.codes.dtype}, not s8 or u8"
    if codes.zero_point.size != codes.scale.size or np.abs(codes.zero_point.astype(np.int64)).max(initial=0) > 32767:
        return "zero points of its linear codes: one for each scale, within s16"
    if not np.isfinite(codes.scale).all():
        return "a scale of its linear codes is not finite"
    values = codes.dequantize() if codes.codes.size else codes.codes.astype(np.float32)
    if values.shape != data.shape or values.tobytes() != data.astype(np.float32, copy=False).tobytes():
        return "its linear codes do not give its data"
    return None


def _halves(scale: np.ndarray) -> np.ndarray | None:
    """The scales as f16, if that loses nothing."""
    with np.errstate(over="ignore"):
        half = scale.astype("<f2")
    return half if np.array_equal(half.astype(np.float32), scale.astype(np.float32)) else None
