#pragma once
// Bits and small numbers as the encodings store them: fields fill each byte from its lowest bit up.

#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "base/types.h"

namespace whit::codec {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// Reads numbers from the front of some bytes. After the first that is not there, ok() is false and all are zero.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : left_(bytes) {}
  bool ok() const { return ok_; }
  Bytes left() const { return left_; }

  Bytes take(u64 count) {
    if (!ok_ || count > left_.size()) {
      ok_ = false;
      return {};
    }
    const Bytes result = left_.first(static_cast<std::size_t>(count));
    left_ = left_.subspan(static_cast<std::size_t>(count));
    return result;
  }
  template <class T>
  T number() {
    T value{};
    const Bytes source = take(sizeof value);
    if (!source.empty()) std::memcpy(&value, source.data(), sizeof value);
    return value;
  }
  /// Seven bits a byte, the lowest first, a set high bit if more follow; at most five bytes, and no more than needed.
  u32 varint() {
    u64 value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      const u32 byte = number<u8>();
      if (!ok_) return 0;
      value |= static_cast<u64>(byte & 0x7f) << shift;
      if (byte & 0x80) continue;
      if ((byte == 0 && shift > 0) || value > 0xffffffffu) break;
      return static_cast<u32>(value);
    }
    ok_ = false;
    return 0;
  }

 private:
  Bytes left_;
  bool ok_ = true;
};

/// Reads fields of up to 32 bits, any number of them: beyond the end are zeros.
class BitReader {
 public:
  explicit BitReader(Bytes bytes) : bytes_(bytes) {}
  u32 take(int bits) {
    while (count_ < bits) {
      const u64 byte = at_ < bytes_.size() ? static_cast<u64>(bytes_[at_]) : 0;
      buffer_ |= byte << count_;
      count_ += 8;
      ++at_;
    }
    const u32 value = static_cast<u32>(buffer_ & ((u64{1} << bits) - 1));
    buffer_ >>= bits;
    count_ -= bits;
    return value;
  }
  /// Bytes that have been read from, some of them perhaps beyond the end.
  std::size_t used() const { return at_; }
  /// True if the bits of the last byte that nobody took are zero.
  bool rest_is_zero() const { return buffer_ == 0; }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
  u64 buffer_ = 0;
  int count_ = 0;
};

class BitWriter {
 public:
  explicit BitWriter(std::vector<std::byte>* out) : out_(out) {}
  void put(u32 value, int bits) {
    buffer_ |= static_cast<u64>(value) << count_;
    for (count_ += bits; count_ >= 8; count_ -= 8, buffer_ >>= 8) out_->push_back(static_cast<std::byte>(buffer_));
  }
  /// Fills up the last byte.
  void finish() {
    if (count_ > 0) out_->push_back(static_cast<std::byte>(buffer_));
    buffer_ = 0;
    count_ = 0;
  }

 private:
  std::vector<std::byte>* out_;
  u64 buffer_ = 0;
  int count_ = 0;
};

template <class T>
void put_number(std::vector<std::byte>* out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out->insert(out->end(), bytes, bytes + sizeof value);
}

inline void put_varint(std::vector<std::byte>* out, u32 value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<std::byte>(value | 0x80));
  out->push_back(static_cast<std::byte>(value));
}

/// Bytes of `count` fields.
constexpr u64 packed_bytes(u64 count, int bits) { return (count * static_cast<u64>(bits) + 7) / 8; }

/// The largest whole number whose square is at most x; x is below 2^62.
inline s32 square_root(u64 x) {
  u64 root = 0;
  for (u64 bit = u64{1} << 30; bit > 0; bit >>= 1)
    if ((root + bit) * (root + bit) <= x) root += bit;
  return static_cast<s32>(root);
}

}  // namespace whit::codec
