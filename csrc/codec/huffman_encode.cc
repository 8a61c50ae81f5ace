#include <algorithm>
#include <array>

#include "codec/blocks.h"

namespace whit::codec {
namespace {

using Lengths = std::array<u8, 256>;

/// Lengths of an optimal code of at most kHuffmanBits bits: package-merge (Larmore and Hirschberg, 1990). At least two
/// symbols occur.
Lengths code_lengths(const std::array<u32, 256>& counts) {
  struct Package {
    u64 weight;
    std::vector<u8> symbols;  // one entry for each bit that they get longer
  };
  std::vector<Package> leaves;
  for (std::size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0) leaves.push_back({counts[i], {static_cast<u8>(i)}});
  const auto lighter = [](const Package& a, const Package& b) { return a.weight < b.weight; };
  std::stable_sort(leaves.begin(), leaves.end(), lighter);
  std::vector<Package> row = leaves;
  for (int level = 1; level < kHuffmanBits; ++level) {
    std::vector<Package> pairs;
    for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
      Package both = row[i];
      both.weight += row[i + 1].weight;
      both.symbols.insert(both.symbols.end(), row[i + 1].symbols.begin(), row[i + 1].symbols.end());
      pairs.push_back(std::move(both));
    }
    row.clear();
    std::merge(leaves.begin(), leaves.end(), pairs.begin(), pairs.end(), std::back_inserter(row), lighter);
  }
  Lengths lengths{};
  for (std::size_t i = 0; i < 2 * leaves.size() - 2; ++i)
    for (u8 symbol : row[i].symbols) ++lengths[symbol];
  return lengths;
}

}  // namespace

void encode_huffman(Bytes symbols, std::vector<std::byte>* out) {
  std::array<u32, 256> counts{};
  for (std::byte symbol : symbols) ++counts[static_cast<u8>(symbol)];
  const Lengths lengths = code_lengths(counts);
  u32 low = 0, high = 255;
  while (lengths[low] == 0) ++low;
  while (lengths[high] == 0) --high;

  std::array<u32, 256> codes{};
  u32 code = 0;
  for (int length = 1; length <= kHuffmanBits; ++length, code <<= 1) {
    for (u32 symbol = low; symbol <= high; ++symbol) {
      if (lengths[symbol] != length) continue;
      for (int i = 0; i < length; ++i) codes[symbol] |= ((code >> i) & 1) << (length - 1 - i);
      ++code;
    }
  }

  out->push_back(static_cast<std::byte>(low));
  out->push_back(static_cast<std::byte>(high));
  BitWriter table(out);
  for (u32 symbol = low; symbol <= high; ++symbol) table.put(lengths[symbol], 4);
  table.finish();
  const std::size_t sizes_at = out->size();
  out->resize(sizes_at + 2 * (kHuffmanStreams - 1));
  const std::size_t run = huffman_run(symbols.size());
  for (std::size_t i = 0; i < kHuffmanStreams; ++i) {
    const std::size_t begin = out->size(), first = std::min(i * run, symbols.size());
    BitWriter stream(out);
    for (std::byte symbol : symbols.subspan(first, std::min(run, symbols.size() - first)))
      stream.put(codes[static_cast<u8>(symbol)], lengths[static_cast<u8>(symbol)]);
    stream.finish();
    const auto bytes = static_cast<u16>(out->size() - begin);
    if (i + 1 < kHuffmanStreams) std::memcpy(out->data() + sizes_at + 2 * i, &bytes, 2);
  }
}

}  // namespace whit::codec
