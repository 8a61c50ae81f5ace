#pragma once
// Codes are the u8 operand of vpdpbusd, or what is looked up for them, weights + 128. A block is 4 k of two vectors of
// columns for every two parts. Linear codes of 4 bits need no shift: with both codes of a byte as one operand, the sums
// are 16 times those of the upper ones and those of the lower ones. (They wrap beyond 2^16 k.)
//
// Include a file before that defines Vector (see simd_s8), Codes and struct Dot with dot4(acc, u, s) and
// shift_right4(x), arithmetic.

#include "kernels/gemm_w4/kernel.h"
#include "kernels/simd_s8/partial.h"

namespace whit::gemm_w4 {
namespace {

template <int kBitsOfCode, bool kLooksUp>
struct Product {
  using Int = Vector::Int;
  static constexpr int kBits = kBitsOfCode, kOffset = 128, kParts = 8 / kBits, kLanes = Vector::kLanes;
  static constexpr bool kLookup = kLooksUp, kWholeBytes = kBits == 4 && !kLookup;
  static constexpr isize kNr = 2 * kLanes;

  explicit Product(const u8* of) : table(Codes::table(of)) {}

  /// The latency is 5 cycles on two ports: few rows spread k over several accumulators.
  template <int R>
  struct Sums {
    static constexpr int kSplit = R == 1 ? 4 : R == 2 ? 2 : 1;
    Int of[kSplit][R][2];
  };

  template <int R>
  WHIT_INLINE static void zero(Sums<R>& sums) {
    WHIT_UNROLL for (int s = 0; s < Sums<R>::kSplit; ++s) {
      WHIT_UNROLL for (int r = 0; r < R; ++r) sums.of[s][r][0] = sums.of[s][r][1] = Vector::broadcast(s32{0});
    }
  }

  template <int R>
  WHIT_INLINE void step(Sums<R>& sums, const s8* const (&x)[R], const u8* codes) const {
    constexpr isize kAhead = 64 * Codes::kBlock;
    constexpr int kGroups = kStep / 4;
    WHIT_UNROLL for (int g = 0; g < kGroups; g += kParts / 2, codes += Codes::kBlock) {
      __builtin_prefetch(codes + kAhead);
      Int parts[kParts];
      const Int block = Codes::load(codes);
      Codes::template unpack<kBits>(block, parts);
      if constexpr (kWholeBytes) parts[1] = block;
      WHIT_UNROLL for (int i = 0; i < kParts; ++i) {
        if constexpr (kLookup) parts[i] = Codes::lookup(table, parts[i]);
        const int group = g + i / 2;
        WHIT_UNROLL for (int r = 0; r < R; ++r) {
          Int& sum = sums.of[group % Sums<R>::kSplit][r][i % 2];
          sum = Dot::dot4(sum, parts[i], Vector::broadcast(load_as<s32>(x[r] + 4 * group)));
        }
      }
    }
  }

  /// The sums of row r, vector c.
  template <int R>
  WHIT_INLINE static Int sum(const Sums<R>& sums, int r, int c) {
    const auto all = [&](int vector) __attribute__((always_inline)) {
      Int total = sums.of[0][r][vector];
      WHIT_UNROLL for (int s = 1; s < Sums<R>::kSplit; ++s) total = Vector::add(total, sums.of[s][r][vector]);
      return total;
    };
    if constexpr (kWholeBytes) {
      if (c == 1) return Dot::shift_right4(Vector::sub(all(1), all(0)));
    }
    return all(c);
  }

  template <int R>
  WHIT_INLINE static void store(const Sums<R>& sums, s32 (&out)[R][kNr]) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < 2; ++c) Vector::store(out[r] + c * kLanes, sum(sums, r, c));
    }
  }

  Int table;
};

}  // namespace
}  // namespace whit::gemm_w4
