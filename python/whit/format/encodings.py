"""How a constant is stored: finds the smallest encoding of its values (docs/FORMAT.md, Encodings).

Each encoding is a candidate: its parameters, and its payload. What a level allows is in `LEVELS`; nothing here loses a
bit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from whit.errors import InvalidArgumentError
from whit.format import schema
from whit.ir import LinearCodes, Tensor

__all__ = ["LEVELS", "Encoder", "Stored", "check_codes"]

#: Bytes that are not worth a coder's parameters.
_TINY = 8
#: From fastest to load to smallest.
LEVELS = ("dense", "packed", "coded", "archive")


@dataclass(frozen=True)
class Stored:
    """An encoding with its parameters, and the payload."""

    encoding: int
    parameters: bytes
    payload: bytes

    @property
    def size(self) -> int:
        return len(self.parameters) + len(self.payload)

    @property
    def nested(self) -> bytes:
        """As it stands within the parameters of another encoding."""
        return bytes([self.encoding]) + self.parameters


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

    def like(self, data: np.ndarray) -> _Values:
        """Other data of the same shape."""
        return _Values(data, self.row, self.plane)


class Encoder:
    """Stores the constants of one file, one after another."""

    #: Adaptive values learn from those before, until so many have been coded: then others can be decoded meanwhile.
    CHAIN = 2**20

    def __init__(self, level: str) -> None:
        if level not in LEVELS:
            raise InvalidArgumentError(f"unknown level {level!r}; levels are {', '.join(LEVELS)}")
        self.level = level
        self._adaptive: object = None
        self._chained = 0

    def store(self, tensor: Tensor) -> Stored:
        """The smallest of what the level allows. `tensor` is a constant."""
        assert tensor.data is not None
        data = np.asarray(tensor.data, tensor.data.dtype.newbyteorder("<"), order="C")
        row = next((size for size in reversed(data.shape) if size != 1), 1)
        values = _Values(data, row, int(np.prod(data.shape[1:], dtype=np.int64)))
        dense = Stored(schema.DENSE, b"", values.bytes)
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
        yield from self._sparse(values)

    def _smallest(self, values: _Values) -> Stored:
        """Of codes or indices."""
        return min([*self._plain(values), *self._sparse(values)], key=lambda stored: stored.size)

    def _plain(self, values: _Values) -> Iterator[Stored]:
        yield Stored(schema.DENSE, b"", values.bytes)
        packed = _bit_packed(values)
        if packed is not None:
            yield packed
        if self.level == "coded":
            yield _blocks(values)

    def _sparse(self, values: _Values) -> Iterator[Stored]:
        flat = values.data.ravel()
        words = flat.view(f"u{flat.itemsize}")
        fill = _most_frequent(words)
        places = np.flatnonzero(words != fill)
        if 2 * places.size > words.size:
            return
        rest = _Values(flat[places], max(places.size, 1), max(places.size, 1))
        inner = list(self._plain(rest))
        palette = _palette(rest.data)
        if palette is not None:
            inner.append(_palette_of(palette[0], min(self._plain(rest.like(palette[1])), key=lambda s: s.size)))
        best = min(inner, key=lambda stored: stored.size)
        for bits in range(2, 9):
            escape = 2**bits - 1
            symbols = _gaps(places, escape)
            gaps = min(self._plain(_Values(symbols, max(symbols.size, 1), max(symbols.size, 1))), key=lambda s: s.size)
            head = struct.pack("<IIIB", places.size, symbols.size, len(gaps.payload), escape)
            payload = gaps.payload + best.payload
            if len(payload) >= -(-words.size // schema.MAX_EXPANSION):
                yield Stored(
                    schema.SPARSE, head + fill.to_bytes(flat.itemsize, "little") + gaps.nested + best.nested, payload
                )

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
        stored = inner(values.like(codes.codes))
        return Stored(schema.LINEAR, parameters + stored.nested, stored.payload)

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
    return Stored(schema.PALETTE, bytes([table.size - 1]) + little.tobytes() + indices.nested, indices.payload)


def _gaps(places: np.ndarray, escape: int) -> np.ndarray:
    """How far each place lies behind the one before, in steps of `escape` and a rest below it."""
    gaps = np.diff(places, prepend=-1) - 1
    whole, rest = np.divmod(gaps, escape)
    symbols = np.full(int(whole.sum()) + gaps.size, escape, np.uint8)
    symbols[np.cumsum(whole + 1) - 1] = rest
    return symbols


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
