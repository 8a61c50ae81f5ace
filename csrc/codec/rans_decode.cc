// Range asymmetric numeral systems (Duda, 2013), eight states side by side: symbol i is of state i mod 8.
//
// table  = u8 lowest symbol, u8 highest, then for each symbol between them, both included, 4 bits: how many bits its
//          frequency has (0 to 13), and that many bits less one: the frequency without its highest bit. Filled up to a
//          byte with zero bits. Frequencies add up to 4096.
// states = u32 each, at least 2^16: where the decoder begins, which is where the encoder ended.
// words  = u16 each. A state below 2^16 takes the next one.

#include <array>
#include <utility>

#include "codec/blocks.h"

namespace whit::codec {
namespace {

constexpr u32 kSlots = 1 << kRansBits;

/// For each slot: symbol, its frequency - 1 (12 bits), the slot's place within the symbol (12 bits).
using Table = std::array<u32, kSlots>;

Status read_table(ByteReader* reader, int bits, Table* table) {
  const u32 low = reader->number<u8>(), high = reader->number<u8>();
  if (!reader->ok() || low > high || high >= (1u << bits)) return error(Code::format, "an rANS table of no symbols");
  BitReader fields(reader->left());
  u32 start = 0;
  for (u32 symbol = low; symbol <= high; ++symbol) {
    const int length = static_cast<int>(fields.take(4));
    if (length == 0) continue;
    if (length > kRansBits + 1) return error(Code::format, "an rANS frequency of %d bits", length);
    const u32 frequency = (1u << (length - 1)) | fields.take(length - 1);
    if (frequency > kSlots - start) return error(Code::format, "rANS frequencies of more than %u", kSlots);
    for (u32 i = 0; i < frequency; ++i) (*table)[start + i] = symbol | (frequency - 1) << 8 | i << 20;
    start += frequency;
  }
  if (start != kSlots) return error(Code::format, "rANS frequencies of %u in all, not %u", start, kSlots);
  if (!fields.rest_is_zero()) return error(Code::format, "the last bits of an rANS table are not zero");
  reader->take(fields.used());
  if (!reader->ok()) return error(Code::format, "an rANS table that is cut");
  return {};
}

/// The next symbol of a state; its next word is at `words` if it needs one, which this tells.
[[gnu::always_inline]] inline bool step(const Table& table, u32* state, const u8* words, u8* symbol) {
  const u32 entry = table[*state & (kSlots - 1)];
  *symbol = static_cast<u8>(entry);
  u32 x = (((entry >> 8) & (kSlots - 1)) + 1) * (*state >> kRansBits) + (entry >> 20);
  u16 word;
  std::memcpy(&word, words, 2);
  const bool is_low = x < kRansLow;
  const u32 mask = 0 - static_cast<u32>(is_low);  // a branch would be mispredicted all the time
  *state = x ^ ((x ^ (x << 16 | word)) & mask);
  return is_low;
}

/// One symbol of each state.
template <std::size_t... k>
[[gnu::always_inline]] inline const u8* step_all(const Table& table, u32* states, const u8* words, u8* to,
                                                 std::index_sequence<k...>) {
  ((words += 2 * step(table, &states[k], words, &to[k])), ...);
  return words;
}

}  // namespace

Status decode_rans(Bytes block, int bits, MutableBytes out) {
  ByteReader reader(block);
  Table table;
  WHIT_RETURN_IF_ERROR(read_table(&reader, bits, &table));
  u32 states[kRansStates];
  for (u32& state : states) {
    state = reader.number<u32>();
    if (state < kRansLow) return error(Code::format, "an rANS state below 2^16, or none");
  }
  const auto* words = reinterpret_cast<const u8*>(reader.left().data());
  const u8* const end = words + reader.left().size();
  auto* to = reinterpret_cast<u8*>(out.data());
  const std::size_t count = out.size();
  std::size_t i = 0;
  for (; count - i >= kRansStates && end - words >= 2 * kRansStates; i += kRansStates)
    words = step_all(table, states, words, to + i, std::make_index_sequence<kRansStates>());
  constexpr u8 kNone[2] = {};
  for (; i < count; ++i) {
    const bool is_there = end - words >= 2;
    const bool is_taken = step(table, &states[i % kRansStates], is_there ? words : kNone, &to[i]);
    if (is_taken && !is_there) return error(Code::format, "too few rANS words");
    words += 2 * is_taken;
  }
  if (words != end) return error(Code::format, "%td bytes follow the last rANS word", end - words);
  for (u32 state : states)
    if (state != kRansLow) return error(Code::format, "an rANS state does not end where it began");
  return {};
}

}  // namespace whit::codec
