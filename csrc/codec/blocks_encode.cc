#include <algorithm>

#include "codec/blocks.h"
#include "codec/coders.h"

namespace whit::codec {

std::vector<std::byte> encode_blocks(Bytes planes, const Symbols& symbols) {
  std::vector<std::byte> sizes, blocks, other;
  const auto plane = static_cast<std::size_t>(symbols.values.elements);
  for (std::size_t at = 0; at < planes.size(); at += plane)
    for (std::size_t i = 0; i < plane; i += kBlockSymbols) {
      const Bytes part = planes.subspan(at + i, std::min(kBlockSymbols, plane - i));
      const std::size_t start = blocks.size();
      encode_block(part, symbols.bits(), Block::huffman, &blocks);
      other.clear();
      encode_block(part, symbols.bits(), Block::rans, &other);
      if (other.size() + other.size() / 32 < blocks.size() - start) {  // rANS takes twice the time
        blocks.resize(start);
        blocks.insert(blocks.end(), other.begin(), other.end());
      }
      put_varint(&sizes, static_cast<u32>(blocks.size() - start));
    }
  sizes.insert(sizes.end(), blocks.begin(), blocks.end());
  sizes.resize(std::max<std::size_t>(sizes.size(), least_payload(symbols.values.elements)));
  return sizes;
}

void encode_block(Bytes symbols, int bits, Block mode, std::vector<std::byte>* out) {
  const std::size_t start = out->size();
  const bool is_one_symbol =
      std::all_of(symbols.begin(), symbols.end(), [&](std::byte symbol) { return symbol == symbols[0]; });
  if (is_one_symbol && mode == Block::huffman) mode = Block::raw;
  out->push_back(static_cast<std::byte>(mode));
  if (mode == Block::huffman) encode_huffman(symbols, out);
  if (mode == Block::rans) encode_rans(symbols, out);
  if (mode != Block::raw && out->size() - start < 1 + packed_bytes(symbols.size(), bits)) return;
  out->resize(start);
  out->push_back(static_cast<std::byte>(Block::raw));
  BitWriter raw(out);
  for (std::byte symbol : symbols) raw.put(static_cast<u8>(symbol), bits);
  raw.finish();
}

}  // namespace whit::codec
