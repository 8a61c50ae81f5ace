// ARMv7 NEON. A part of a block is 16 k of a column, whose products are two of each of 8 lanes of s16. Those of the two
// groups of a step add up there where codes are linear; what is looked up is widened at once.

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/gemm_w4/single_lane.h"
#include "kernels/gemm_w4/vector_finish.h"

namespace whit::gemm_w4 {
namespace {

struct Codes {
  using Block = uint8x16_t;
  static constexpr isize kBlock = 16;

  WHIT_INLINE static Block load(const u8* p) { return vld1q_u8(p); }
  WHIT_INLINE static void store(u8* p, Block x) { vst1q_u8(p, x); }
  WHIT_INLINE static Block table(const u8* p) { return vld1q_u8(p); }
  WHIT_INLINE static Block lookup(Block table, Block codes) {
    const uint8x8x2_t halves = {{vget_low_u8(table), vget_high_u8(table)}};
    return vcombine_u8(vtbl2_u8(halves, vget_low_u8(codes)), vtbl2_u8(halves, vget_high_u8(codes)));
  }

  template <int kBits>
  WHIT_INLINE static void unpack(Block block, Block (&parts)[8 / kBits]) {
    const Block mask = vdupq_n_u8((1 << kBits) - 1);
    parts[0] = vandq_u8(block, mask);
    if constexpr (kBits == 2) {
      parts[1] = vandq_u8(vshrq_n_u8(block, 2), mask);
      parts[2] = vandq_u8(vshrq_n_u8(block, 4), mask);
    }
    parts[8 / kBits - 1] = vshrq_n_u8(block, 8 - kBits);
  }
};

template <int kBitsOfCode, bool kLooksUp>
struct Product {
  using Int = Vector::Int;
  static constexpr int kBits = kBitsOfCode, kOffset = 0, kParts = 8 / kBits;
  static constexpr bool kLookup = kLooksUp;
  static constexpr isize kNr = 4;

  explicit Product(const u8* of) : table(Codes::table(of)) {}

  template <int R>
  struct Sums {
    Int of[R][kNr];
  };

  template <int R>
  WHIT_INLINE static void zero(Sums<R>& sums) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < kNr; ++c) sums.of[r][c] = vdupq_n_s32(0);
    }
  }

  template <int R>
  WHIT_INLINE void step(Sums<R>& sums, const s8* const (&x)[R], const u8* codes) const {
    constexpr int kGroup = 16;
    int16x8_t some[R][kNr];
    WHIT_UNROLL for (int g = 0; g < kStep / kGroup; ++g) {
      int8x16_t rows[R];
      WHIT_UNROLL for (int r = 0; r < R; ++r) rows[r] = vld1q_s8(x[r] + g * kGroup);
      WHIT_UNROLL for (int c = 0; c < kNr; c += kParts, codes += Codes::kBlock) {
        Codes::Block parts[kParts];
        Codes::unpack<kBits>(Codes::load(codes), parts);
        WHIT_UNROLL for (int i = 0; i < kParts; ++i) {
          if constexpr (kLookup) parts[i] = Codes::lookup(table, parts[i]);
          const int8x16_t w = vreinterpretq_s8_u8(parts[i]);
          WHIT_UNROLL for (int r = 0; r < R; ++r) {
            int16x8_t& sum = some[r][c + i];
            sum = g == 0 || kLookup ? vmull_s8(vget_low_s8(rows[r]), vget_low_s8(w))
                                    : vmlal_s8(sum, vget_low_s8(rows[r]), vget_low_s8(w));
            sum = vmlal_s8(sum, vget_high_s8(rows[r]), vget_high_s8(w));
            if (kLookup || (g + 1) * kGroup == kStep) sums.of[r][c + i] = vpadalq_s16(sums.of[r][c + i], sum);
          }
        }
      }
    }
  }

  template <int R>
  WHIT_INLINE static s32 sum(const Sums<R>& sums, int r, int c) {
    const int32x2_t pair = vpadd_s32(vget_low_s32(sums.of[r][c]), vget_high_s32(sums.of[r][c]));
    return vget_lane_s32(pair, 0) + vget_lane_s32(pair, 1);
  }

  template <int R>
  WHIT_INLINE static void store(const Sums<R>& sums, s32 (&out)[R][kNr]) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < kNr; c += 2) {
        const Int a = sums.of[r][c], b = sums.of[r][c + 1];
        const int32x2_t low = vpadd_s32(vget_low_s32(a), vget_high_s32(a));
        vst1_s32(out[r] + c, vpadd_s32(low, vpadd_s32(vget_low_s32(b), vget_high_s32(b))));
      }
    }
  }

  Codes::Block table;
};

}  // namespace
}  // namespace whit::gemm_w4

#include "kernels/gemm_w4/few.h"
#include "kernels/gemm_w4/grouped_rows.h"

GEMM_W4_LEVEL(4x4k16, neon32)
GEMM_W4_GROUPED_LEVEL(neon32)
