#pragma once
// Binary arithmetic coding in 32 bits: an interval, cut in two at every bit in proportion to the probability of each.
// Both halves of the coder have `int code(int bit, u32 p)`: p is the probability of a 1 in 1/65536, 1 to 65535; the
// encoder takes the bit, the decoder ignores it, and both return it. So a model is written once for both.

#include <vector>

#include "codec/bits.h"

namespace whit::codec {

class Interval {
 public:
  /// The largest number of [low, high] that belongs to a 1.
  u32 middle(u32 p) const { return low_ + static_cast<u32>((u64{high_ - low_} * p) >> 16); }
  void cut(int bit, u32 middle) {
    if (bit)
      high_ = middle;
    else
      low_ = middle + 1;
  }
  /// True while low and high begin with the same byte, which *byte then is; it is shifted out.
  bool shift(u32* byte) {
    if ((low_ ^ high_) >> 24) return false;
    *byte = high_ >> 24;
    low_ <<= 8;
    high_ = high_ << 8 | 255;
    return true;
  }
  /// The shortest end of a payload: the fewest bytes that, zeros following, lie within the interval. Their number; the
  /// bytes are the highest of *value.
  int end(u32* value) const {
    for (int bytes = 0; bytes < 4; ++bytes) {
      const u32 rest = 0xffffffffu >> (8 * bytes);
      const u32 rounded = static_cast<u32>((u64{low_} + rest) & ~u64{rest});
      if (rounded < low_ || rounded > high_) continue;
      *value = rounded;
      return bytes;
    }
    *value = low_;
    return 4;
  }

 private:
  u32 low_ = 0, high_ = 0xffffffff;
};

class RangeEncoder {
 public:
  explicit RangeEncoder(std::vector<std::byte>* out) : out_(out) {}
  int code(int bit, u32 p) {
    interval_.cut(bit, interval_.middle(p));
    for (u32 byte; interval_.shift(&byte);) out_->push_back(static_cast<std::byte>(byte));
    return bit;
  }
  void finish() {
    u32 value;
    const int bytes = interval_.end(&value);
    for (int i = 0; i < bytes; ++i) out_->push_back(static_cast<std::byte>(value >> (24 - 8 * i)));
  }

 private:
  std::vector<std::byte>* out_;
  Interval interval_;
};

class RangeDecoder {
 public:
  explicit RangeDecoder(Bytes bytes) : bytes_(bytes) {
    for (int i = 0; i < 4; ++i) next();
  }
  int code(int, u32 p) {
    const u32 middle = interval_.middle(p);
    const int bit = value_ <= middle;
    interval_.cut(bit, middle);
    for (u32 byte; interval_.shift(&byte);) next();
    return bit;
  }
  /// How many bytes the encoder wrote, if all of them were as it writes them; else SIZE_MAX. Beyond the end are zeros.
  std::size_t used() const {
    u32 value;
    const int bytes = interval_.end(&value);
    const std::size_t used = at_ - 4 + static_cast<std::size_t>(bytes);
    return value == value_ && used <= bytes_.size() ? used : SIZE_MAX;
  }

 private:
  void next() {
    value_ = value_ << 8 | (at_ < bytes_.size() ? static_cast<u32>(bytes_[at_]) : 0);
    ++at_;
  }

  Bytes bytes_;
  std::size_t at_ = 0;
  Interval interval_;
  u32 value_ = 0;
};

}  // namespace whit::codec
