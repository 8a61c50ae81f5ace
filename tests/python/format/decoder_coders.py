"""The entropy coders of docs/FORMAT.md in plain Python: blocks of Huffman and rANS codes, adaptive, coded bytes."""

from __future__ import annotations

import math
import operator
from typing import Any


class Rejected(Exception):
    """The file breaks a rule."""


class Unsupported(Rejected):
    """A file of a later minor version."""


def require(condition: bool, problem: str) -> None:
    if not condition:
        raise Rejected(problem)


class Bits:
    """Fields from the lowest bit of each byte up; zeros beyond the end."""

    def __init__(self, data: bytes) -> None:
        self.number, self.at = int.from_bytes(data, "little"), 0

    def take(self, bits: int) -> int:
        value = self.number >> self.at & (1 << bits) - 1
        self.at += bits
        return value

    def rest_is_zero(self) -> bool:
        """Of the byte that was read last."""
        return self.number >> self.at & (1 << -self.at % 8) - 1 == 0


def least_payload(elements: int) -> int:
    return -(-elements // 256)


def check_end(payload: bytes, used: int, elements: int) -> None:
    require(len(payload) == max(used, least_payload(elements)), "bytes after what is coded")
    require(not any(payload[used:]), "what fills up the payload")


# --- Blocks ---


def decode_blocks(payload: bytes, values: Any) -> list[list[int]]:
    bits = min(values.bits, 8)
    planes = max(values.bits // 8, 1)
    counts = [min(65536, values.elements - at) for at in range(0, values.elements, 65536)]
    at = 0
    sizes = []
    for _ in range(planes * len(counts)):
        size = 0
        for shift in range(0, 35, 7):
            require(at < len(payload), "sizes of blocks")
            byte = payload[at]
            at += 1
            size |= (byte & 127) << shift
            if byte < 128:
                require(not (byte == 0 and shift) and size < 2**32, "varint")
                break
        else:
            raise Rejected("varint")
        sizes.append(size)
    result = []
    for plane in range(planes):
        symbols: list[int] = []
        for i, count in enumerate(counts):
            size = sizes[plane * len(counts) + i]
            require(at + size <= len(payload), "a block is cut")
            symbols += decode_block(payload[at : at + size], bits, count)
            at += size
        result.append(symbols)
    check_end(payload, at, values.elements)
    return result


def decode_block(block: bytes, bits: int, count: int) -> list[int]:
    require(len(block) > 0, "an empty block")
    require(block[0] <= 2, "mode of a block")
    return (raw, huffman, rans)[block[0]](block[1:], bits, count)


def raw(block: bytes, bits: int, count: int) -> list[int]:
    require(len(block) == -(-count * bits // 8), "size of a raw block")
    fields = Bits(block)
    symbols = [fields.take(bits) for _ in range(count)]
    require(fields.rest_is_zero(), "unused bits")
    return symbols


def table_range(block: bytes, bits: int) -> tuple[int, int]:
    require(len(block) >= 2 and block[0] <= block[1] < 1 << bits, "range of a table")
    return block[0], block[1]


def huffman(block: bytes, bits: int, count: int) -> list[int]:
    low, high = table_range(block, bits)
    end = 2 + (high - low + 2) // 2
    require(len(block) >= end + 6, "a table is cut")
    fields = Bits(block[2:end])
    lengths = {symbol: fields.take(4) for symbol in range(low, high + 1)}
    require(fields.rest_is_zero(), "unused bits")
    require(max(lengths.values()) <= 11, "length of a code")
    require(sum(2**-length for length in lengths.values() if length) == 1, "a complete code")
    codes: dict[tuple[int, int], int] = {}
    code = 0
    for length in range(1, 12):
        code <<= 1
        for symbol in range(low, high + 1):
            if lengths[symbol] == length:
                codes[length, code] = symbol
                code += 1
    sizes = [int.from_bytes(block[end + 2 * i : end + 2 * i + 2], "little") for i in range(3)]
    rest = block[end + 6 :]
    require(sum(sizes) <= len(rest), "streams are cut")
    symbols: list[int] = []
    run = (count + 3) // 4
    for i in range(4):
        stream, rest = (rest[: sizes[i]], rest[sizes[i] :]) if i < 3 else (rest, b"")
        fields = Bits(stream)
        for _ in range(min(i * run, count), min((i + 1) * run, count)):
            code, length = 0, 0
            while (length, code) not in codes:
                code, length = code << 1 | fields.take(1), length + 1
            symbols.append(codes[length, code])
        require(-(-fields.at // 8) == len(stream) and fields.rest_is_zero(), "the end of a stream")
    return symbols


def rans(block: bytes, bits: int, count: int) -> list[int]:
    low, high = table_range(block, bits)
    fields = Bits(block[2:])
    slots: list[tuple[int, int, int]] = []  # symbol, frequency, place
    for symbol in range(low, high + 1):
        length = fields.take(4)
        if length:
            require(length <= 13, "a frequency")
            frequency = 1 << length - 1 | fields.take(length - 1)
            require(len(slots) + frequency <= 4096, "sum of frequencies")
            slots += [(symbol, frequency, i) for i in range(frequency)]
    require(len(slots) == 4096, "sum of frequencies")
    require(fields.rest_is_zero(), "unused bits")
    at = 2 + -(-fields.at // 8)
    require(at + 32 <= len(block), "states are cut")
    states = [int.from_bytes(block[at + 4 * i : at + 4 * i + 4], "little") for i in range(8)]
    require(min(states) >= 2**16, "a state")
    at += 32
    symbols = []
    for i in range(count):
        symbol, frequency, place = slots[states[i % 8] % 4096]
        state = frequency * (states[i % 8] >> 12) + place
        if state < 2**16:
            require(at + 2 <= len(block), "words are cut")
            state = state << 16 | int.from_bytes(block[at : at + 2], "little")
            at += 2
        states[i % 8] = state
        symbols.append(symbol)
    require(at == len(block), "words that are not used")
    require(states == [2**16] * 8, "the last states")
    return symbols


# --- The adaptive coder ---


class RangeDecoder:
    def __init__(self, payload: bytes) -> None:
        self.payload, self.at = payload, 4
        self.low, self.high = 0, 2**32 - 1
        self.value = int.from_bytes(payload[:4].ljust(4, b"\0"), "big")

    def bit(self, p: int) -> int:
        middle = self.low + ((self.high - self.low) * p >> 16)
        bit = int(self.value <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while self.low >> 24 == self.high >> 24:
            self.low = self.low << 8 & 0xFFFFFFFF
            self.high = (self.high << 8 | 255) & 0xFFFFFFFF
            following = self.payload[self.at] if self.at < len(self.payload) else 0
            self.value = (self.value << 8 | following) & 0xFFFFFFFF
            self.at += 1
        return bit

    def used(self) -> int:
        """Bytes that the encoder wrote."""
        for count in range(5):
            rest = 0xFFFFFFFF >> 8 * count
            end = (self.low + rest) & ~rest
            if end <= self.high and end < 2**32:
                break
        require(end == self.value, "the end of an adaptive payload")
        used = self.at - 4 + count
        require(used <= len(self.payload), "an adaptive payload is cut")
        return used


CURVE = [22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768]
CURVE += [
    40793,
    47911,
    53581,
    57724,
    60565,
    62428,
    63615,
    64357,
    64816,
    65097,
    65269,
    65374,
    65438,
    65476,
    65500,
    65514,
]


def squash(x: int) -> int:
    at = min(max(x, -2047), 2047) + 2048
    return (CURVE[at >> 7] * (128 - (at & 127)) + CURVE[(at >> 7) + 1] * (at & 127) + 64) >> 7


STRETCH = []
x = -2047
for i in range(4096):
    while x < 2047 and squash(x) < i * 16 + 8:
        x += 1
    STRETCH.append(x)

EVEN = 2**31


def learned(counter: int, bit: int, limit: int) -> int:
    seen, p = counter & 1023, counter >> 10
    p += (((bit << 22) - p) * (655360 // (10 * seen + 16))) >> 16
    return min(max(p, 64), 2**22 - 64) << 10 | (seen + 1 if seen < limit else seen)


class Weights:
    def __init__(self, count: int) -> None:
        self.weights, self.seen = [96000] * (count - 1) + [0], 0

    def mix(self, inputs: list[int]) -> int:
        total = sum(x * w for x, w in zip(inputs, self.weights, strict=True))
        return squash(min(max(total >> 20, -2047), 2047))

    def learn(self, inputs: list[int], bit: int, p: int) -> None:
        error, rate = (bit << 16) - p, 4 + 6000 // (self.seen + 20)
        for k, x in enumerate(inputs):
            step = (x * error * rate + (1 << 15)) >> 16
            self.weights[k] = min(max(self.weights[k] + step, -(1 << 24)), 1 << 24)
        self.seen = min(self.seen + 1, 6000)


def log_of(x: int) -> int:
    octave = (x + 1).bit_length() - 1
    return octave << 5 | ((x + 1) << 5 >> octave) & 31


def within(x: int, count: int) -> int:
    return min(max(x, 0), count - 1)


def sign_of(value: int) -> int:
    return 0 if value == 0 else 1 if value > 0 else 2


def quotient(a: int, b: int) -> int:
    """a / b, rounded towards 0; b is above 0."""
    return a // b if a >= 0 else -(-a // b)


class LinearPrediction:
    """The next value of a row, from those before it and the covariance of the rows before."""

    def __init__(self, rows: int, columns: int) -> None:
        self.is_used = 2 <= columns <= 384 and rows >= columns
        if not self.is_used:
            return
        self.columns, self.rows, self.next = columns, 0, 4
        self.row: list[int] = []
        self.news: list[int] = []
        self.moments = [[0] * columns for _ in range(columns)]
        self.factor_moments()

    def predict(self) -> int:
        if not self.is_used:
            return 0
        total = sum(f * x for f, x in zip(self.factor[len(self.row)], self.news, strict=False))
        return min(max(total >> 16, -(2**15)), 2**15)

    def update(self, value: int, predicted: int) -> None:
        if not self.is_used:
            return
        column = len(self.row)
        news = quotient((value * 256 - predicted) * 65536, self.factor[column][column])
        self.row.append(value)
        self.news.append(min(max(news, -(2**26)), 2**26))
        if len(self.row) == self.columns:
            self.end_row()
            self.row, self.news = [], []

    def end_row(self) -> None:
        energy = sum(x * x for x in self.row)
        if energy > 0:
            size = math.isqrt((energy << 16) // self.columns)
            row = [min(max(quotient(x * 65536, size), -4096), 4096) for x in self.row]
            for i, x in enumerate(row):
                for j in range(i + 1):
                    self.moments[i][j] += x * row[j]
        self.rows += 1
        if self.rows >= self.next:
            self.factor_moments()
            self.next = self.rows + max(4, self.columns // 4)

    def factor_moments(self) -> None:
        noise = (self.columns**2 // 64 + 3) << 16
        shift = (max(self.moments[i][i] for i in range(self.columns)) + noise).bit_length() - 40
        self.factor: list[list[int]] = []
        for i in range(self.columns):
            row: list[int] = []
            for j in range(i + 1):
                moment = self.moments[i][j] + (noise if i == j else 0)
                rest = moment >> shift if shift > 0 else moment << -shift
                rest -= sum(a * b for a, b in zip(row, self.factor[j] if j < i else row, strict=False))
                if i == j:
                    least = noise >> shift if shift > 0 else noise << -shift
                    row.append(max(1, math.isqrt(max(rest, least))))
                else:
                    row.append(min(max(quotient(rest, self.factor[j][j]), -(2**20)), 2**20))
            self.factor.append(row)


class RowPrediction:
    """The next value of a long row, from rows before it."""

    LAST, ALIKE, KEPT, BLOCK, PRIOR = 4, 12, 1024, 64, 300 << 16

    def __init__(self, rows: int, columns: int) -> None:
        self.is_used = 256 <= columns <= 8192 and rows >= 16
        self.columns, self.kept = columns, [[0]]
        self.usual, self.size, self.gain, self.next = [0] * self.LAST, 256, 0, 0
        self.kept.clear()
        self.begin_row()

    def begin_row(self) -> None:
        self.row: list[int] = []
        self.error = self.searched = 0
        self.others = self.kept[: -1 - self.LAST : -1]
        self.expected = [quotient(usual * self.size, 256) for usual in self.usual[: len(self.others)]]
        self.coefficients = list(self.expected)

    def predict(self) -> int:
        return self.next if self.gain > 0 else 0

    def update(self, value: int) -> None:
        self.error += (value * 256 - self.next) ** 2
        self.row.append(value)
        if len(self.row) == self.columns:
            self.end_row()
        elif len(self.row) % self.BLOCK == 0:
            if len(self.row) == max(2 * self.searched, self.BLOCK):
                self.search()
            self.solve()
        total = sum(a * other[len(self.row)] for a, other in zip(self.coefficients, self.others, strict=True))
        self.next = min(max(total >> 16, -(2**15)), 2**15)

    def end_row(self) -> None:
        energy = sum(x * x for x in self.row)
        if energy > 0:
            self.size = math.isqrt((energy << 16) // self.columns)
            for k, a in enumerate(self.coefficients[: self.LAST]):
                self.usual[k] += quotient(quotient(a * 256, self.size) - self.usual[k], 8)
            self.gain += 65536 - self.error // energy
        self.kept.append([min(max(quotient(x * 65536, self.size), -4096), 4096) for x in self.row])
        self.kept = self.kept[-self.KEPT :]
        self.begin_row()

    def search(self) -> None:
        known = len(self.row)
        self.searched = known
        last = self.kept[: -1 - self.LAST : -1]
        products = [abs(sum(map(operator.mul, other, self.row))) for other in self.kept[-1 - self.LAST :: -1]]
        order = sorted(range(len(products)), key=lambda k: -products[k])[: self.ALIKE]
        energy = sum(x * x for x in self.row)
        alike = [self.kept[-1 - self.LAST - k] for k in order if (products[k] >> 8) ** 2 > 9 * energy]
        self.others = last + alike
        self.expected = self.expected[: self.LAST] + [0] * len(alike)
        self.coefficients = self.coefficients[: self.LAST] + [0] * len(alike)

    def solve(self) -> None:
        known = len(self.row)
        moments = [[sum(map(operator.mul, a[:known], b)) for b in self.others] for a in self.others]
        with_row = [sum(map(operator.mul, other, self.row)) for other in self.others]
        for _ in range(2):
            for i, moment in enumerate(moments):
                rest = (with_row[i] << 24) + self.PRIOR * (self.expected[i] - self.coefficients[i])
                rest -= sum(map(operator.mul, moment, self.coefficients))
                changed = self.coefficients[i] + quotient(rest, moment[i] + self.PRIOR)
                self.coefficients[i] = min(max(changed, -(2**23)), 2**23)


TAIL = []
power = 2**32
for _ in range(1025):
    TAIL.append((power << 30) // (2**32 + power))
    power = power * 4228380000 >> 32


def below(x: int) -> int:
    """The part of the logistic distribution below x / 1024, in 2^-30."""
    at, fine = abs(x) >> 4, abs(x) & 15
    tail = TAIL[at] - ((TAIL[at] - TAIL[at + 1]) * fine >> 4)
    return tail if x < 0 else 2**30 - tail


def part(some: int, whole: int) -> int:
    return min(max((some * 65536 + 32768) // (whole + 1), 1), 65535)


class Distribution:
    def __init__(self, mean: int, distance: int) -> None:
        self.mean, self.slope = mean, 5814540 // distance

    def at(self, x: int) -> int:
        return min(max((x * 256 - 128 - self.mean) * self.slope >> 16, -16383), 16383)

    def other_than_zero(self) -> int:
        return 65536 - part(below(self.at(1)) - below(self.at(0)), 2**30)

    def negative(self) -> int:
        return part(below(self.at(0)), below(self.at(0)) + below(-self.at(1)))

    def upper_part(self, low: int, middle: int, high: int) -> int:
        ends = self.at(low), self.at(middle), self.at(high)
        if ends[1] > 0:
            x, y, z = (below(-end) for end in ends)
            return part(y - z, x - z)
        x, y, z = (below(end) for end in ends)
        return part(z - y, z - x)


class Contexts:
    """What is known before symbol i of a plane."""

    def __init__(self, values: Any, upper: list[int] | None) -> None:
        self.v: list[int] = []
        self.upper = upper
        self.row = min(max(values.row, 1), max(values.elements, 1))
        self.plane = min(max(values.plane, 1), max(values.elements, 1))
        rows, columns = values.elements // self.plane, self.plane if values.bits <= 8 else 1
        self.within_row, self.from_rows = LinearPrediction(rows, columns), RowPrediction(rows, columns)
        self.columns = [0] * self.plane
        self.place = self.rows = self.channel = self.all = self.typical = self.last = self.largest = self.peak = 0

    def before(self, distance: int) -> int:
        return self.v[-distance] if 1 <= distance <= len(self.v) else 0

    def prepare(self) -> None:
        i = len(self.v)
        left, left2, left3 = self.before(1), self.before(2), self.before(3)
        above, above2, before_row = self.before(self.plane), self.before(2 * self.plane), self.before(self.row)
        is_within = self.within_row.is_used or not self.from_rows.is_used
        self.mean = self.within_row.predict() if is_within else self.from_rows.predict()
        if i < 64 or i % 16 == 0:
            self.typical = (self.all + 128) // (i + 4)
        channel = (self.channel + 8 * self.typical) // (self.place + 8)
        column = (self.columns[self.place] + 4 * self.typical) // (self.rows + 4)
        of_all, of_channel, of_column = log_of(self.typical), log_of(channel), log_of(column)
        expected = of_channel + of_column - of_all
        close = log_of(2 * abs(left) + abs(left2))
        over = log_of(2 * abs(above) + abs(above2) + abs(before_row))
        chances = 0 if self.largest >= self.peak else 1 + min((self.plane - self.place).bit_length(), 14)
        self.distances = [
            min(max(size * column // max(self.typical, 1), 1), 2**14) for size in (channel, self.last >> 4)
        ]
        aside = quotient(self.mean, self.distances[0])
        self.spread = spread = within((expected >> 5) - 4, 8)
        self.level = within((aside + 14) >> 2, 8)
        neighbours = (left, left2, left3, above, above2, before_row)
        neighbours += (self.before(self.plane + 1), self.before(self.plane - 1))
        signs = sign_of(left) * 9 + sign_of(above) * 3 + sign_of(before_row)
        self.at = [
            0,
            within(of_channel >> 2, 128),
            within(expected >> 2, 128),
            within((of_column - of_all + 64) >> 3, 16) * 16 + within((of_channel - of_all + 64) >> 3, 16),
            within(close >> 4, 16) * 16 + within(over >> 4, 16),
            sum((value == 0) << bit for bit, value in enumerate(neighbours)),
            signs * 8 + spread,
            self.upper[i] if self.upper else chances * 8 + spread,
            within((aside >> 1) + 16, 32) * 8 + spread,
        ]

    def update(self, value: int) -> None:
        distance = abs(value * 256 - self.mean) >> 4
        self.within_row.update(value, self.mean)
        if self.from_rows.is_used and not self.within_row.is_used:
            self.from_rows.update(value)
        self.v.append(value)
        self.all += distance
        self.last += distance - (self.last >> 4)
        self.largest = max(self.largest, abs(value))
        self.channel += distance
        self.columns[self.place] += distance
        self.place += 1
        if self.place == self.plane:
            self.peak = max(self.peak, self.largest)
            self.place = self.channel = self.largest = 0
            self.rows += 1


class ValueModel:
    """Counters are filed under (kind of context, context, node), weights under (set, spread) and (node, level)."""

    def __init__(self) -> None:
        self.counters: dict[tuple[object, int, int], int] = {}
        self.weights: dict[tuple[str, int, int], Weights] = {}

    def run(self, coder: RangeDecoder, values: Any, pivot: int, upper: list[int] | None) -> list[int]:
        self.coder = coder
        for key, counter in self.counters.items():
            self.counters[key] = counter & ~1023 | min(counter & 1023, 8)
        for weights in self.weights.values():
            weights.seen = min(weights.seen, 200)
        self.contexts = Contexts(values, upper)
        bits = min(values.bits, 8)
        symbols = []
        for _ in range(values.elements):
            self.contexts.prepare()
            value = self.value()
            symbol = (value + pivot) % 2**bits
            symbols.append(symbol)
            signed = (symbol - pivot) % 2**bits
            self.contexts.update(signed - 2**bits if signed >= 2 ** (bits - 1) else signed)
        return symbols

    def value(self) -> int:
        of = [Distribution(self.contexts.mean, distance) for distance in self.contexts.distances]
        if not self.bit(0, 0, [d.other_than_zero() for d in of]):
            return 0
        is_negative = self.bit(8, 8, [d.negative() for d in of])
        for d in of:
            d.mean = -d.mean if is_negative else d.mean

        def upper(node: int, group: int, *limits: int) -> int:
            return self.bit(node, group, [d.upper_part(*limits) for d in of])

        node, length = 1, 0
        for k in (4, 2, 1):
            is_longer = upper(node, node, 2**length, 2 ** (length + k), 2 ** (length + 2 * k))
            node, length = node * 2 + is_longer, length + k * is_longer
        size = 1
        for k in range(length):
            node, rest = 16 + 2**length + size - 1, length - 1 - k
            limits = [(2 * size + i) << rest for i in range(3)]
            size = size * 2 + upper(node, 16 + length * 4 + min(k, 3), *limits)
        return -size if is_negative else size

    def bit(self, node: int, group: int, parts: list[int]) -> int:
        counters = self.counters
        first = counters.setdefault((0, 0, node), EVEN)
        keys: list[tuple[object, int, int]] = [(kind, at, node) for kind, at in enumerate(self.contexts.at)]
        for key in keys[1:]:
            if counters.get(key, 0) == 0:
                counters[key] = first & ~1023
        keys.append(("fast", 0, node))
        counters.setdefault(keys[-1], EVEN)
        said = [STRETCH[p >> 4] for p in parts]
        keys.append(("calibrating", group, (said[0] + 2048) >> 7))
        counters.setdefault(keys[-1], parts[0] << 16)
        inputs = [STRETCH[counters[key] >> 20] for key in keys] + said + [256]
        by_set = self.weights.setdefault(("set", group, self.contexts.spread), Weights(14))
        by_node = self.weights.setdefault(("node", node, self.contexts.level), Weights(14))
        p, q = by_set.mix(inputs), by_node.mix(inputs)
        bit = self.coder.bit((p + q) // 2)
        by_set.learn(inputs, bit, p)
        by_node.learn(inputs, bit, q)
        for key in keys:
            counters[key] = learned(counters[key], bit, 30 if key[0] == "fast" else 1023)
        return bit


class Chain:
    """The models of adaptive values that continue each other."""

    models: dict[object, ValueModel] | None = None


def decode_adaptive(payload: bytes, values: Any, pivot: int, chain: Chain, is_continued: bool) -> list[list[int]]:
    require(chain.models is not None or not is_continued, "values that continue none")
    if not is_continued:
        chain.models = {}
    assert chain.models is not None
    coder = RangeDecoder(payload)
    planes: list[list[int]] = []
    for plane in range(max(values.bits // 8, 1)):
        kind = "bytes" if values.bits <= 8 else (values.bits, values.bits == 32 and values.is_real, plane)
        model = chain.models.setdefault(kind, ValueModel())
        planes.append(model.run(coder, values, 0 if plane else pivot, planes[-1] if planes else None))
    check_end(payload, coder.used(), values.elements)
    return planes


# --- Coded bytes ---


def decode_bytes(payload: bytes, count: int) -> bytes:
    size = 1 << (min(max(count * 64, 2**14), 2**20) - 1).bit_length()
    coder = RangeDecoder(payload)
    counters: dict[int, int] = {}
    by_length = [EVEN + EVEN // 2] * 32
    weights = [Weights(11) for _ in range(24)]
    surprises = [0] * 8
    last: dict[int, int] = {}
    out = bytearray()
    match = length = 0

    def at(distance: int) -> int:
        return out[-distance] if distance <= len(out) else 0

    def hash_of(order: int, value: int) -> int:
        for k in range(1, order + 1):
            value = ((value ^ at(k)) * 0x01000193 + 0x7F4A7C15) % 2**32
        return value

    for i in range(count):
        hashes = [hash_of(order, order << 24) for order in range(5)] + [hash_of(6, 5 << 24)]
        hashes += [
            word * 0x9E3779B1 % 2**32
            for word in (
                6 << 24 | (i & 3) << 16 | at(4) << 8 | at(8),
                7 << 24 | at(1) << 16 | at(4) << 8,
                8 << 24 | at(2) << 8 | at(3),
            )
        ]
        expected = out[match] | 256 if length else 0
        level = min((surprises[-8] + surprises[-4]) >> 16, 7)
        surprises.append(0)
        node = 1
        for k in range(7, -1, -1):
            keys = [((h ^ node * 0x9E3779B1 % 2**32) * 0x85EBCA6B % 2**32 >> 8) % size for h in hashes]
            inputs = []
            for key in keys:
                counter = counters.get(key, EVEN)
                product = STRETCH[counter >> 20] * min((counter & 1023) + 1, 4)
                inputs.append(abs(product) // 4 * (1 if product > 0 else -1))
            is_match = expected >> k + 1 == node
            following = expected >> k & 1
            trust = STRETCH[by_length[min(length, 31)] >> 20] if is_match else 0
            inputs += [trust if following else -trust, 256]
            group = weights[8 + min(length, 15) if is_match else level]
            p = group.mix(inputs)
            bit = coder.bit(p)
            group.learn(inputs, bit, p)
            surprises[-1] += 65536 - p if bit else p
            for key in keys:
                counters[key] = learned(counters.get(key, EVEN), bit, 250)
            if is_match:
                by_length[min(length, 31)] = learned(by_length[min(length, 31)], int(bit == following), 250)
            node = node << 1 | bit
        out.append(node - 256)
        if length and out[match] == out[i]:
            match, length = match + 1, length + 1
        else:
            length = 0
        if i + 1 >= 5:
            slot = hash_of(5, 0) * 0x9E3779B1 % 2**32 >> 18
            if length == 0 and slot in last:
                match = last[slot]
                while length < 32 and length < match and out[match - 1 - length] == out[i - length]:
                    length += 1
                if length < 5:
                    length = 0
            last[slot] = i + 1
    require(coder.used() == len(payload), "the end of coded bytes")
    return bytes(out)
