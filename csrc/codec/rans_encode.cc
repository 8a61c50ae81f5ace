#include <algorithm>
#include <array>
#include <bit>

#include "codec/blocks.h"

namespace whit::codec {
namespace {

constexpr u32 kTotal = 1 << kRansBits;

/// Frequencies that add up to kTotal, none of a symbol that occurs being 0. Each step that is left after rounding down
/// goes where it saves most, or costs least, in integers: log2(f + 1) - log2(f) is about 1 / f.
std::array<u32, 256> frequencies_of(Bytes symbols) {
  std::array<u32, 256> counts{}, frequencies{};
  for (std::byte symbol : symbols) ++counts[static_cast<u8>(symbol)];
  u32 sum = 0;
  for (std::size_t i = 0; i < 256; ++i) {
    if (counts[i] == 0) continue;
    frequencies[i] = std::max<u32>(1, static_cast<u32>(u64{counts[i]} * kTotal / symbols.size()));
    sum += frequencies[i];
  }
  while (sum != kTotal) {
    const bool is_more = sum < kTotal;
    std::size_t best = 256;
    for (std::size_t i = 0; i < 256; ++i) {
      if (counts[i] == 0 || (!is_more && frequencies[i] == 1)) continue;
      // The gain counts / (f + 1/2), or the loss counts / (f - 1/2), against the best so far.
      const auto weight = [&](std::size_t k) { return 2 * u64{frequencies[k]} + (is_more ? 1 : u64{0} - 1); };
      if (best == 256 || (is_more ? counts[i] * weight(best) > counts[best] * weight(i)
                                  : counts[i] * weight(best) < counts[best] * weight(i)))
        best = i;
    }
    frequencies[best] += is_more ? 1 : u32{0} - 1;
    sum += is_more ? 1 : u32{0} - 1;
  }
  return frequencies;
}

}  // namespace

void encode_rans(Bytes symbols, std::vector<std::byte>* out) {
  const std::array<u32, 256> frequencies = frequencies_of(symbols);
  std::array<u32, 256> starts{};
  u32 low = 0, high = 255, start = 0;
  while (frequencies[low] == 0) ++low;
  while (frequencies[high] == 0) --high;
  out->push_back(static_cast<std::byte>(low));
  out->push_back(static_cast<std::byte>(high));
  BitWriter table(out);
  for (u32 symbol = low; symbol <= high; ++symbol) {
    const int length = static_cast<int>(std::bit_width(frequencies[symbol]));
    table.put(static_cast<u32>(length), 4);
    if (length > 1) table.put(frequencies[symbol] & ((1u << (length - 1)) - 1), length - 1);
    starts[symbol] = start;
    start += frequencies[symbol];
  }
  table.finish();

  u32 states[kRansStates];
  std::fill(std::begin(states), std::end(states), kRansLow);
  std::vector<u16> words;
  for (std::size_t i = symbols.size(); i-- > 0;) {
    const auto symbol = static_cast<u8>(symbols[i]);
    const u32 frequency = frequencies[symbol];
    u32& state = states[i % kRansStates];
    if (state >= u64{frequency} << (32 - kRansBits)) {
      words.push_back(static_cast<u16>(state));
      state >>= 16;
    }
    state = state / frequency << kRansBits | (state % frequency + starts[symbol]);
  }
  for (u32 state : states) put_number(out, state);
  std::reverse(words.begin(), words.end());
  for (u16 word : words) put_number(out, word);
}

}  // namespace whit::codec
