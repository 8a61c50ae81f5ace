#include "codec/blocks.h"
#include "codec/coders.h"

namespace whit::codec {
namespace {

Status decode_raw(Bytes block, int bits, MutableBytes out) {
  if (block.size() != packed_bytes(out.size(), bits))
    return error(Code::format, "a raw block of %zu symbols of %d bits has %zu bytes", out.size(), bits, block.size());
  if (bits == 8) {
    std::memcpy(out.data(), block.data(), out.size());
    return {};
  }
  BitReader reader(block);
  for (std::byte& symbol : out) symbol = static_cast<std::byte>(reader.take(bits));
  if (!reader.rest_is_zero()) return error(Code::format, "the last bits of a raw block are not zero");
  return {};
}

}  // namespace

Status decode_block(Bytes block, int bits, MutableBytes out) {
  if (block.empty()) return error(Code::format, "a block of 0 bytes");
  const Bytes rest = block.subspan(1);
  switch (static_cast<Block>(block[0])) {
    case Block::raw: return decode_raw(rest, bits, out);
    case Block::huffman: return decode_huffman(rest, bits, out);
    case Block::rans: return decode_rans(rest, bits, out);
    default: return error(Code::format, "a block of mode %u", static_cast<unsigned>(block[0]));
  }
}

bool is_filled_up(Bytes payload, u64 used, s64 elements) {
  if (used > payload.size() || payload.size() != std::max(used, least_payload(elements))) return false;
  for (std::byte byte : payload.subspan(static_cast<std::size_t>(used)))
    if (byte != std::byte{0}) return false;
  return true;
}

Status find_blocks(Bytes payload, const Symbols& symbols, MutableBytes planes, std::vector<BlockTask>* tasks) {
  if (planes.empty()) {
    if (payload.empty()) return {};
    return error(Code::format, "%zu coded bytes of no values", payload.size());
  }
  const auto plane = static_cast<std::size_t>(symbols.values.elements);
  ByteReader reader(payload);
  const std::size_t first = tasks->size();
  std::vector<u32> sizes;
  for (std::size_t at = 0; at < planes.size(); at += plane)
    for (std::size_t i = 0; i < plane && reader.ok(); i += kBlockSymbols) {
      sizes.push_back(reader.varint());
      tasks->push_back({{}, planes.subspan(at + i, std::min(kBlockSymbols, plane - i))});
    }
  for (std::size_t i = 0; i < sizes.size(); ++i) (*tasks)[first + i].block = reader.take(sizes[i]);
  if (!reader.ok()) return error(Code::format, "coded blocks that are cut");
  if (!is_filled_up(payload, payload.size() - reader.left().size(), symbols.values.elements))
    return error(Code::format, "%zu bytes follow the coded blocks", reader.left().size());
  return {};
}

}  // namespace whit::codec
