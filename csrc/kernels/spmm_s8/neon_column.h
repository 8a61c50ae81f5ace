#pragma once
// One column on NEON of either width, eight rows at once. Include a file before that defines
//     gather_bytes(const s8* x, const u8* places) -> int8x8_t   x[place] of eight places
//     gather_fours(const s8* x, const u8* places) -> int8x16_t  four bytes from x[4 * place] on, of four places

#include "kernels/spmm_s8/column_rows.h"

namespace whit::spmm_s8 {
namespace {

/// Single weights: a product of two s8 with weights from -127 fits twice in s16.
struct ColumnOfSingles {
  static constexpr int kLanes = 8, kLines = 1, kEntries = kLanes * column_multiple(kLines);
  using Sums = int32x4_t[2];

  WHIT_INLINE static void clear(Sums& sums) { sums[0] = sums[1] = vdupq_n_s32(0); }
  WHIT_INLINE static void add_step(Sums& sums, const s8* x, const u8* places, const s8* weights) {
    WHIT_UNROLL for (int i = 0; i < kEntries; i += 16) {
      int16x8_t products = vmull_s8(gather_bytes(x, places + i), vld1_s8(weights + i));
      products = vmlal_s8(products, gather_bytes(x, places + i + 8), vld1_s8(weights + i + 8));
      sums[0] = vaddw_s16(sums[0], vget_low_s16(products));
      sums[1] = vaddw_s16(sums[1], vget_high_s16(products));
    }
  }
  WHIT_INLINE static void finish(const Sums& sums, const s32* bias, s32 (&out)[kLanes]) {
    vst1q_s32(out, vaddq_s32(sums[0], vld1q_s32(bias)));
    vst1q_s32(out + 4, vaddq_s32(sums[1], vld1q_s32(bias + 4)));
  }
};

/// Entries of four, two at a time; each row has two sums.
struct ColumnOfFours {
  static constexpr int kLanes = 8, kLines = 4;
  using Sums = int32x4_t[4];

  WHIT_INLINE static void clear(Sums& sums) { sums[0] = sums[1] = sums[2] = sums[3] = vdupq_n_s32(0); }
  WHIT_INLINE static void add_step(Sums& sums, const s8* x, const u8* places, const s8* weights) {
    WHIT_UNROLL for (int i = 0; i < 2; ++i) {
      const int8x16_t a = gather_fours(x, places + 4 * i), b = gather_fours(x, places + 4 * i + 8);
      const int8x16_t v = vld1q_s8(weights + 16 * i), w = vld1q_s8(weights + 16 * i + 32);
      const int16x8_t low = vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(v)), vget_low_s8(b), vget_low_s8(w));
      const int16x8_t high = vmlal_s8(vmull_s8(vget_high_s8(a), vget_high_s8(v)), vget_high_s8(b), vget_high_s8(w));
      sums[2 * i] = vpadalq_s16(sums[2 * i], low);
      sums[2 * i + 1] = vpadalq_s16(sums[2 * i + 1], high);
    }
  }
  WHIT_INLINE static void finish(const Sums& sums, const s32* bias, s32 (&out)[kLanes]) {
    vst1q_s32(out, vaddq_s32(add_neighbours(sums[0], sums[1]), vld1q_s32(bias)));
    vst1q_s32(out + 4, vaddq_s32(add_neighbours(sums[2], sums[3]), vld1q_s32(bias + 4)));
  }

 private:
  WHIT_INLINE static int32x4_t add_neighbours(int32x4_t a, int32x4_t b) {
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
  }
};

}  // namespace
}  // namespace whit::spmm_s8
