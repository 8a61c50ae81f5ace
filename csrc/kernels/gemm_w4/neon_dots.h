#pragma once
// The product of few.h by SDOT, for panels of 4 or, as SMMLA has them, 8 k side by side.
// Include a file before that sets kGroup.

#include "kernels/gemm_w4/neon_codes.h"
#include "kernels/gemm_w4/vector_finish.h"

namespace whit::gemm_w4 {
namespace {

template <int kBitsOfCode, bool kLooksUp>
struct Product {
  using Int = Vector::Int;
  static constexpr int kBits = kBitsOfCode, kOffset = 0, kParts = 8 / kBits;
  static constexpr int kVectors = kGroup;  // of the 16 columns by kGroup of k
  static constexpr bool kLookup = kLooksUp;
  static constexpr isize kNr = 16;

  explicit Product(const u8* of) : table(Codes::table(of)) {}

  template <int R>
  struct Sums {
    Int of[R][kVectors];
  };

  template <int R>
  WHIT_INLINE static void zero(Sums<R>& sums) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < kVectors; ++c) sums.of[r][c] = vdupq_n_s32(0);
    }
  }

  template <int R>
  WHIT_INLINE void step(Sums<R>& sums, const s8* const (&x)[R], const u8* codes) const {
    WHIT_UNROLL for (int g = 0; g < kStep / kGroup; ++g) {
      int8x16_t spread[R];
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        const s8* p = x[r] + g * kGroup;
        spread[r] = kGroup == 4 ? vreinterpretq_s8_s32(vdupq_n_s32(load_as<s32>(p)))
                                : vreinterpretq_s8_s64(vdupq_n_s64(load_as<s64>(p)));
      }
      WHIT_UNROLL for (int v = 0; v < kVectors; v += kParts, codes += Codes::kBlock) {
        Codes::Block parts[kParts];
        Codes::unpack<kBits>(Codes::load(codes), parts);
        WHIT_UNROLL for (int i = 0; i < kParts; ++i) {
          if constexpr (kLookup) parts[i] = Codes::lookup(table, parts[i]);
          WHIT_UNROLL for (int r = 0; r < R; ++r) sums.of[r][v + i] =
              vdotq_s32(sums.of[r][v + i], vreinterpretq_s8_u8(parts[i]), spread[r]);
        }
      }
    }
  }

  /// The sums of row r, vector c of 4 columns.
  template <int R>
  WHIT_INLINE static Int sum(const Sums<R>& sums, int r, int c) {
    return kGroup == 4 ? sums.of[r][c] : vpaddq_s32(sums.of[r][2 * c % kVectors], sums.of[r][(2 * c + 1) % kVectors]);
  }

  template <int R>
  WHIT_INLINE static void store(const Sums<R>& sums, s32 (&out)[R][kNr]) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < 4; ++c) vst1q_s32(out[r] + 4 * c, sum(sums, r, c));
    }
  }

  Codes::Block table;
};

}  // namespace
}  // namespace whit::gemm_w4
