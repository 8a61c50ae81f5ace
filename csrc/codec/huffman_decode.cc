// Canonical Huffman codes of at most 11 bits, four streams side by side.
//
// table   = u8 lowest symbol, u8 highest, then 4 bits for each symbol between them, both included: the length of its
//           code, 0 if it does not occur. The lengths make a complete code: the sum of 2^-length is 1.
// codes   in the order of (length, symbol), counted up as in RFC 1951; a stream has their bits from the first on.
// streams = the symbols of run 0, 1, 2, 3 (huffman_run), each filled up with zero bits.

#include <array>

#include "codec/blocks.h"

namespace whit::codec {
namespace {

struct Entry {
  u8 symbol, length;
};
using Table = std::array<Entry, 1 << kHuffmanBits>;

/// Bits in reverse, of which `bits` count.
u32 reversed(u32 value, int bits) {
  u32 result = 0;
  for (int i = 0; i < bits; ++i) result |= ((value >> i) & 1) << (bits - 1 - i);
  return result;
}

Status read_table(ByteReader* reader, int bits, Table* table) {
  const u32 low = reader->number<u8>(), high = reader->number<u8>();
  if (!reader->ok() || low > high || high >= (1u << bits)) return error(Code::format, "a Huffman table of no symbols");
  const u32 count = high - low + 1;
  const Bytes packed = reader->take(packed_bytes(count, 4));
  if (!reader->ok()) return error(Code::format, "a Huffman table that is cut");
  BitReader lengths_reader(packed);
  std::array<u8, 256> lengths{};
  std::array<u32, kHuffmanBits + 2> next{};
  for (u32 i = 0; i < count; ++i) {
    const u32 length = lengths_reader.take(4);
    if (length > kHuffmanBits) return error(Code::format, "a Huffman code of %u bits", length);
    lengths[i] = static_cast<u8>(length);
    if (length > 0) ++next[length + 1];
  }
  if (!lengths_reader.rest_is_zero()) return error(Code::format, "the last bits of a Huffman table are not zero");
  u32 code = 0;
  for (std::size_t length = 1; length <= kHuffmanBits; ++length) {
    code = (code + next[length]) << 1;
    next[length] = code;
  }
  // The first code after the last one of the longest length.
  u32 sum = 0;
  for (u32 i = 0; i < count; ++i)
    if (lengths[i] > 0) sum += 1u << (kHuffmanBits - lengths[i]);
  if (sum != 1u << kHuffmanBits) return error(Code::format, "a Huffman code that is not complete");
  for (u32 i = 0; i < count; ++i) {
    const int length = lengths[i];
    if (length == 0) continue;
    const u32 first = reversed(next[static_cast<std::size_t>(length)]++, length);
    for (u32 slot = first; slot < table->size(); slot += 1u << length)
      (*table)[slot] = {static_cast<u8>(low + i), static_cast<u8>(length)};
  }
  return {};
}

/// A stream of codes. Bits beyond its end are zero; whoever has read them has read too much, which end() tells.
struct Stream {
  const u8* at = nullptr;
  const u8* end = nullptr;
  u64 buffer = 0;
  u32 count = 0;    // bits in the buffer
  u32 missing = 0;  // of them, bits that are not in the stream

  explicit Stream(Bytes bytes) : at(reinterpret_cast<const u8*>(bytes.data())), end(at + bytes.size()) {}

  bool has_8_bytes() const { return end - at >= 8; }
  /// At least 56 bits are in the buffer. Precondition: has_8_bytes().
  void refill() {
    u64 more;
    std::memcpy(&more, at, 8);
    buffer |= more << count;
    at += (63 - count) >> 3;
    count |= 56;
  }
  void refill_slowly() {
    while (count <= 56) {
      if (at < end)
        buffer |= static_cast<u64>(*at++) << count;
      else
        missing += 8;
      count += 8;
    }
  }
  u8 decode(const Table& table) {
    const Entry entry = table[buffer & ((1 << kHuffmanBits) - 1)];
    buffer >>= entry.length;
    count -= entry.length;
    return entry.symbol;
  }
  /// True if all bits up to the last byte have been read, and those left in it are zero.
  bool is_at_end() const { return at == end && count >= missing && count - missing < 8 && buffer == 0; }
};

}  // namespace

Status decode_huffman(Bytes block, int bits, MutableBytes out) {
  ByteReader reader(block);
  Table table;
  WHIT_RETURN_IF_ERROR(read_table(&reader, bits, &table));
  std::array<u32, kHuffmanStreams> sizes{};
  for (int i = 0; i + 1 < kHuffmanStreams; ++i) sizes[static_cast<std::size_t>(i)] = reader.number<u16>();
  const Bytes first = reader.take(sizes[0]), second = reader.take(sizes[1]), third = reader.take(sizes[2]);
  if (!reader.ok()) return error(Code::format, "Huffman streams that are cut");
  Stream streams[kHuffmanStreams] = {Stream(first), Stream(second), Stream(third), Stream(reader.left())};

  const std::size_t run = huffman_run(out.size());
  u8* to[kHuffmanStreams];
  std::size_t left[kHuffmanStreams];
  for (std::size_t i = 0; i < kHuffmanStreams; ++i) {
    const std::size_t begin = std::min(i * run, out.size());
    to[i] = reinterpret_cast<u8*>(out.data()) + begin;
    left[i] = std::min(run, out.size() - begin);
  }
  // 56 bits hold five codes of 11 bits. The last run is the shortest.
  constexpr std::size_t kCodes = 56 / kHuffmanBits;
  auto [a, b, c, d] = streams;
  std::size_t done = 0;
  while (left[3] - done >= kCodes && a.has_8_bytes() && b.has_8_bytes() && c.has_8_bytes() && d.has_8_bytes()) {
    a.refill();
    b.refill();
    c.refill();
    d.refill();
    for (std::size_t i = done; i < done + kCodes; ++i) {
      to[0][i] = a.decode(table);
      to[1][i] = b.decode(table);
      to[2][i] = c.decode(table);
      to[3][i] = d.decode(table);
    }
    done += kCodes;
  }
  Stream rest[] = {a, b, c, d};
  for (std::size_t i = 0; i < kHuffmanStreams; ++i) {
    for (std::size_t at = done; at < left[i]; ++at) {
      if (rest[i].count < kHuffmanBits) rest[i].refill_slowly();
      to[i][at] = rest[i].decode(table);
    }
    if (!rest[i].is_at_end()) return error(Code::format, "a Huffman stream does not end where its symbols do");
  }
  return {};
}

}  // namespace whit::codec
