#include "codec/byte_model.h"

namespace whit::codec {
namespace {

/// The last `count` bytes before i.
u32 hash_of(const u8* bytes, std::size_t i, std::size_t count, u32 hash) {
  for (std::size_t k = 1; k <= count; ++k) hash = (hash ^ (k <= i ? bytes[i - k] : 0)) * 0x01000193u + 0x7f4a7c15u;
  return hash;
}

u32 at(const u8* bytes, std::size_t i, std::size_t distance) { return distance <= i ? bytes[i - distance] : 0; }

}  // namespace

ByteModel::ByteModel(std::size_t count)
    : tables_(mixing_tables()),
      counters_(std::bit_ceil(std::clamp<std::size_t>(count * 64, 1 << 14, 1 << 20)), kEven),
      last_(1 << 14),
      weights_(24) {
  std::fill(std::begin(by_length_), std::end(by_length_), kEven + (kEven >> 1));
}

void ByteModel::prepare(const u8* bytes, std::size_t i) {
  for (std::size_t order = 0; order < 5; ++order)
    hashes_[order] = hash_of(bytes, i, order, static_cast<u32>(order) << 24);
  hashes_[5] = hash_of(bytes, i, 6, 5u << 24);
  // Columns of tables whose numbers have four bytes.
  hashes_[6] = (6u << 24 | static_cast<u32>(i & 3) << 16 | at(bytes, i, 4) << 8 | at(bytes, i, 8)) * 0x9e3779b1u;
  hashes_[7] = (7u << 24 | at(bytes, i, 1) << 16 | at(bytes, i, 4) << 8) * 0x9e3779b1u;
  hashes_[8] = (8u << 24 | at(bytes, i, 2) << 8 | at(bytes, i, 3)) * 0x9e3779b1u;
}

void ByteModel::update(const u8* bytes, std::size_t i) {
  if (length_ > 0 && bytes[match_] == bytes[i]) {
    ++match_;
    ++length_;
  } else {
    length_ = 0;
  }
  if (i + 1 < kLeastMatch) return;
  u32& last = last_[(hash_of(bytes, i + 1, kLeastMatch, 0) * 0x9e3779b1u) >> 18];
  if (length_ == 0 && last > 0) {
    match_ = last;
    while (length_ < 32 && length_ < match_ && bytes[match_ - 1 - length_] == bytes[i - length_]) ++length_;
    if (length_ < kLeastMatch) length_ = 0;
  }
  last = static_cast<u32>(i + 1);
}

}  // namespace whit::codec
