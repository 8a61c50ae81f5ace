#pragma once
// Prediction of bits in integers, so that every machine comes to the same: counters that learn how often a 1 stood in a
// context, and their mixture in the logistic domain, whose weights learn which of them to trust (as in the PAQ
// compressors; Mahoney, 2005).
//
// A probability is that of a 1, in 1/65536. stretch(p) = ln(p / (1 - p)) * 256, within +-2047; squash is its inverse.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "codec/bits.h"

namespace whit::codec {

/// 1 to 65535.
inline u32 squash(s32 x) {
  // 65536 / (1 + exp(-i / 2)) for i from -16 to 16; lines between them.
  constexpr u16 kCurve[33] = {22,    36,    60,    98,    162,   267,   439,   720,   1179,  1921,  3108,
                              4971,  7812,  11955, 17625, 24743, 32768, 40793, 47911, 53581, 57724, 60565,
                              62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514};
  const u32 at = static_cast<u32>(std::clamp(x, -2047, 2047) + 2048), fine = at & 127;
  return (kCurve[at >> 7] * (128 - fine) + kCurve[(at >> 7) + 1] * fine + 64) >> 7;
}

/// Tables that are the same for everyone.
struct MixingTables {
  static constexpr int kLimit = 1023;  ///< the most that a counter counts
  std::array<s16, 4096> stretch;       ///< of p / 16
  std::array<u16, kLimit + 1> share;   ///< 65536 / (n + 1.6): how far counter n moves towards a bit

  MixingTables() {
    s32 x = -2047;
    for (u32 i = 0; i < stretch.size(); ++i) {
      while (x < 2047 && squash(x) < i * 16 + 8) ++x;
      stretch[i] = static_cast<s16>(x);
    }
    for (u32 n = 0; n < share.size(); ++n) share[n] = static_cast<u16>(655360 / (10 * n + 16));
  }
};

inline const MixingTables& mixing_tables() {
  static const MixingTables tables;
  return tables;
}

/// A probability in 22 bits and how many bits it has seen in 10, in one number. A fresh one is 0.
using Counter = u32;

inline u32 probability(Counter counter) { return counter >> 16; }
inline u32 seen(Counter counter) { return counter & 1023; }
inline void learn(Counter* counter, int bit, u32 limit, const MixingTables& tables) {
  const u32 n = *counter & 1023, p = *counter >> 10;
  const s32 error = (bit << 22) - static_cast<s32>(p);
  const s32 next = static_cast<s32>(p) + static_cast<s32>((s64{error} * tables.share[n]) >> 16);
  *counter = static_cast<u32>(std::clamp(next, 64, (1 << 22) - 64)) << 10 | (n < limit ? n + 1 : n);
}

/// A counter that expects either bit.
inline constexpr Counter kEven = 1u << 31;
/// The same expectation, from bits seen elsewhere.
inline Counter without_count(Counter counter) { return counter & ~Counter{1023}; }
inline Counter with_count_of_at_most(Counter counter, u32 count) {
  return seen(counter) > count ? without_count(counter) | count : counter;
}

/// What each of n predictions counts in their mixture, in 2^-20.
template <int n>
class Weights {
 public:
  Weights() {
    weights_.fill(96000);
    weights_.back() = 0;
  }

  /// Inputs are stretched probabilities, the last one a constant.
  u32 mix(const s32 (&inputs)[n]) const {
    s64 sum = 0;
    for (std::size_t k = 0; k < n; ++k) sum += s64{inputs[k]} * weights_[k];
    return squash(static_cast<s32>(std::clamp<s64>(sum >> 20, -2047, 2047)));
  }
  /// Towards the weights that would have said `bit`, when p was what mix() gave: far at first, less and less.
  void learn(const s32 (&inputs)[n], int bit, u32 p) {
    const s64 error = (bit << 16) - static_cast<s32>(p);
    const s64 rate = 4 + 6000 / (seen_ + 20);
    for (std::size_t k = 0; k < n; ++k) {
      const s64 step = (inputs[k] * error * rate + (1 << 15)) >> 16;
      weights_[k] = static_cast<s32>(std::clamp<s64>(weights_[k] + step, -(1 << 24), 1 << 24));
    }
    if (seen_ < 6000) ++seen_;
  }
  /// What is to come may differ from what was.
  void quicken() { seen_ = std::min<u32>(seen_, 200); }

 private:
  std::array<s32, n> weights_;
  u32 seen_ = 0;
};

}  // namespace whit::codec
