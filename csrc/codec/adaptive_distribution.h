#pragma once
// Where a number is expected: a logistic distribution in integers.

#include <algorithm>
#include <array>
#include <cstdlib>

#include "codec/bits.h"

namespace whit::codec {

/// 2^30 / (1 + exp(x)) for x of 0 to 16 in steps of 1/64.
struct LogisticTable {
  std::array<u32, 1025> tail;

  LogisticTable() {
    u64 power = u64{1} << 32;  // exp(-x) in 2^-32
    for (u32& t : tail) {
      t = static_cast<u32>((power << 30) / ((u64{1} << 32) + power));
      power = (power * 4228380000u) >> 32;  // exp(-1/64)
    }
  }
  /// The part below x, in 1/1024, within +-16383, of what lies around 0; in 2^-30.
  u32 below(s32 x) const {
    const u32 at = static_cast<u32>(std::abs(x)), fine = at & 15;
    const u32 t = tail[at >> 4] - ((tail[at >> 4] - tail[(at >> 4) + 1]) * fine >> 4);
    return x < 0 ? t : (1u << 30) - t;
  }
};

inline const LogisticTable& logistic_table() {
  static const LogisticTable table;
  return table;
}

/// Parts of the whole numbers, in 1/65536, 1 to 65535.
class Distribution {
 public:
  /// `mean` in 1/256; `distance`, that of numbers from there on average, in 1/16, at least 1.
  Distribution(s32 mean, u32 distance)
      : table_(logistic_table()), mean_(mean), slope_(static_cast<s32>(5814540 / distance)) {}  // 2^23 * ln 2

  void negate() { mean_ = -mean_; }
  /// All but 0.
  u32 other_than_zero() const { return 65536 - part(table_.below(at(1)) - table_.below(at(0)), 1 << 30); }
  /// Of these, those below 0.
  u32 negative() const { return part(table_.below(at(0)), table_.below(at(0)) + table_.below(-at(1))); }
  /// Of [low, high) those from `middle` on. Differences are taken in the tail where they are exact.
  u32 upper_part(u32 low, u32 middle, u32 high) const {
    const s32 l = at(low), m = at(middle), h = at(high);
    if (m > 0) return part(table_.below(-m) - table_.below(-h), table_.below(-l) - table_.below(-h));
    return part(table_.below(h) - table_.below(m), table_.below(h) - table_.below(l));
  }

 private:
  /// The lower end of number x.
  s32 at(u32 x) const {
    const s32 from_mean = static_cast<s32>(x * 256) - 128 - mean_;
    return static_cast<s32>(std::clamp<s64>((s64{from_mean} * slope_) >> 16, -16383, 16383));
  }
  static u32 part(u32 some, u32 all) {
    return static_cast<u32>(std::clamp<u64>((u64{some} * 65536 + 32768) / (u64{all} + 1), 1, 65535));
  }

  const LogisticTable& table_;
  s32 mean_, slope_;
};

}  // namespace whit::codec
